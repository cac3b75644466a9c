"""The REST API of a server: who may call it, and which route a request takes."""

from __future__ import annotations

import re
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from kestra._testing.fake import (
    executions_api,
    files_api,
    flows_api,
    kv_api,
    results_api,
    webhooks_api,
)
from kestra._testing.fake.messages import Reply, Request, as_json
from kestra._testing.fake.refused import Refused, UnexpectedError, not_found

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from kestra._testing.fake.engine import Engine

_RELEASES = {"0.21": "0.21.0", "1.3": "1.3.31", "2.0": "2.0.0"}
_RESOURCES = ("configs", "executions", "flows", "kv", "logs", "metrics", "namespaces", "outputs")


class Api:
    """The REST API of an engine.

    Attributes:
        engine: The engine.
        base: The address of the server.
        tenant: Its one tenant.
        allowed: The values of `Authorization` that are let in; all, if there are none.
    """

    def __init__(
        self, engine: Engine, base: str, tenant: str = "main", allowed: Container[str] = ()
    ) -> None:
        self.engine = engine
        self.base = base
        self.tenant = tenant
        self.allowed = allowed

    def __call__(self, request: Request) -> Reply:
        """Return the reply to a request.

        Raises:
            UnexpectedError: This request is not imitated.
            SilenceError: There is no response for longer than the client waits.
        """
        reply = self._reply(request)
        date = format_datetime(self.engine.clock.utcnow(), usegmt=True)
        return Reply(reply.status, reply.body, {"Date": date, **reply.headers})

    def _reply(self, request: Request) -> Reply:
        is_old = self.engine.version == "0.21"
        is_open = not self.allowed or (request.path == "/api/v1/configs" and not is_old)
        if not is_open and (request.authorization or "") not in self.allowed:
            realm = "Basic realm=Kestra" if is_old else "Basic"
            return Reply(401, headers={"WWW-Authenticate": realm})
        try:
            line = f"{request.method} {self._path(request.path)}"
            for pattern, route in _ROUTES:
                if match := re.fullmatch(pattern, line):
                    names = [unquote(each) for each in match.groups() if each is not None]
                    return route(self, request, *names)
        except Refused as refused:
            return as_json(refused.body, refused.status)
        raise UnexpectedError(f"{request.method} {request.path} is not imitated")

    def _path(self, path: str) -> str:
        """Return what follows the tenant, which may be left out, if the tenant is right."""
        start, _, rest = path.partition("/api/v1/")
        first, _, below = rest.partition("/")
        if start or not rest:
            raise UnexpectedError(f"{path} is not below /api/v1/")
        if first in _RESOURCES:
            return rest
        if not below:
            raise UnexpectedError(f"{path} is not imitated")
        if (below == "configs") != (self.engine.version == "0.21"):
            raise not_found()
        if unquote(first) != self.tenant:
            raise Refused(400, f"Bad Request: Tenant must be '{self.tenant}' for OSS version")
        return below


def _configs(api: Api, _: Request) -> Reply:
    version = _RELEASES[api.engine.version]
    return as_json({"version": version, "url": api.base, "edition": "OSS"})


def _nothing(_api: Api, _: Request) -> Reply:
    raise not_found()


_ROUTES: tuple[tuple[str, Callable[..., Reply]], ...] = (
    (r"GET configs", _configs),
    (r"GET executions/search", executions_api.search),
    (r"GET executions/([^/]+)", executions_api.status),
    (r"GET executions/([^/]+)/file", results_api.file),
    (r"GET executions/([^/]+)/follow", executions_api.follow),
    (r"DELETE executions/([^/]+)/(actions/|)(kill)", executions_api.act),
    (r"POST executions/([^/]+)/(actions/)kill", executions_api.not_allowed),
    (r"POST executions/([^/]+)/(actions/|)(pause|resume|restart|replay|replay-with-inputs|labels)",
     executions_api.act),
    (r"(?:GET|POST|PUT) executions/webhook/([^/]+)/([^/]+)/([^/]+)", webhooks_api.call),
    (r"(?:GET|POST|PUT) executions/webhook/([^/]+)/([^/]+)/([^/]+)/.+", webhooks_api.nothing),
    (r"(?:DELETE|PATCH) executions/webhook/([^/]+)/([^/]+)/([^/]+)", executions_api.not_allowed),
    (r"POST executions/([^/]+)/([^/]+)", executions_api.create),
    (r"GET kv", kv_api.listed),
    (r"GET namespaces/([^/]+)/kv", kv_api.listed_of),
    (r"DELETE namespaces/([^/]+)/kv", kv_api.delete_many),
    (r"GET namespaces/([^/]+)/kv/([^/]+)", kv_api.get),
    (r"PUT namespaces/([^/]+)/kv/([^/]+)", kv_api.put),
    (r"DELETE namespaces/([^/]+)/kv/([^/]+)", kv_api.delete),
    (r"GET namespaces/([^/]+)/files", files_api.get),
    (r"POST namespaces/([^/]+)/files", files_api.put),
    (r"PUT namespaces/([^/]+)/files", files_api.move),
    (r"DELETE namespaces/([^/]+)/files", files_api.delete),
    (r"GET namespaces/([^/]+)/files/stats", files_api.stats),
    (r"GET namespaces/([^/]+)/files/directory", files_api.directory),
    (r"GET namespaces/([^/]+)/files/search", files_api.search),
    (r"GET namespaces/([^/]+)/files/export", files_api.export),
    (r"GET flows/export/by-query", flows_api.export),
    (r"POST flows", flows_api.create),
    (r"POST flows/validate", flows_api.validate),
    (r"POST flows/(enable|disable)/by-ids", flows_api.switch),
    (r"GET flows/([^/]+)", flows_api.listed),
    (r"GET flows/([^/]+)/([^/]+)", flows_api.get),
    (r"PUT flows/([^/]+)/([^/]+)", flows_api.update),
    (r"DELETE flows/([^/]+)/([^/]+)", flows_api.delete),
    (r"GET flows/([^/]+)/([^/]+)/revisions", flows_api.revisions),
    (r"GET logs/search", results_api.search_logs),
    (r"GET logs/([^/]+)", results_api.log),
    (r"GET logs/([^/]+)/download", results_api.download),
    (r"GET logs/([^/]+)/follow", results_api.follow_log),
    (r"GET metrics/([^/]+)", results_api.metrics),
    (r"GET outputs/executions/([^/]+)", results_api.flow_outputs),
    (r"GET outputs/tasks/([^/]+)(?:/([^/]+))?", results_api.task_outputs),
    (r"GET outputs/[^/]+(?:/[^/]+)?", _nothing),  # where early versions of 2.0 had them
)  # fmt: skip
