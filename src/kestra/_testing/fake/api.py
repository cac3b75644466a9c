"""The REST API of a server: who may call it, and which route a request takes."""

from __future__ import annotations

import re
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from kestra._testing.fake import executions_api, files_api, flows_api, kv_api, results_api
from kestra._testing.fake.messages import Refused, Reply, UnexpectedError, as_json, not_found

if TYPE_CHECKING:
    from collections.abc import Callable

    from kestra._testing.fake.engine import Engine
    from kestra._testing.fake.messages import Request

_RELEASES = {"0.21": "0.21.0", "1.3": "1.3.31", "2.0": "2.0.0"}
_RESOURCES = ("configs", "executions", "flows", "kv", "logs", "metrics", "namespaces", "outputs")


def respond(engine: Engine, request: Request) -> Reply:
    """Return the reply of a server; a `TimeoutError` if none comes while the client waits."""
    reply = _reply(engine, request)
    date = format_datetime(engine.clock.utcnow(), usegmt=True)
    return Reply(reply.status, reply.body, {"Date": date, **reply.headers})


def _reply(engine: Engine, request: Request) -> Reply:
    is_open = not engine.allowed or (request.path == "/api/v1/configs" and not engine.is_old)
    is_open = is_open or "/executions/webhook/" in request.path
    if not is_open and request.headers.get("authorization", "") not in engine.allowed:
        realm = "Basic realm=Kestra" if engine.is_old else "Basic"
        return Reply(401, headers={"WWW-Authenticate": realm})
    try:
        line = f"{request.method} {_path(engine, request.path)}"
        for pattern, route in _ROUTES:
            if match := re.fullmatch(pattern, line):
                names = [unquote(each) for each in match.groups() if each is not None]
                return route(engine, request, *names)
    except Refused as refused:
        return refused.reply
    return _other(engine, request)


def _path(engine: Engine, path: str) -> str:
    """Return what follows the tenant, which may be left out, if the tenant is right."""
    start, _, rest = path.partition("/api/v1/")
    first, _, below = rest.partition("/")
    if start or not rest:
        raise UnexpectedError(f"{path} is not below /api/v1/")
    if first in _RESOURCES:
        return rest
    if not below:
        raise UnexpectedError(f"{path} is not imitated")
    if (below == "configs") != engine.is_old:
        raise not_found()
    if unquote(first) != engine.tenant:
        raise Refused(400, f"Bad Request: Tenant must be '{engine.tenant}' for OSS version")
    return below


def _configs(engine: Engine, _: Request) -> Reply:
    return as_json({"version": _RELEASES[engine.version], "url": engine.base, "edition": "OSS"})


def _nothing(_: Engine, _request: Request, *_path: str) -> Reply:
    raise not_found()


def _other(_: Engine, request: Request, *_path: str) -> Reply:
    raise UnexpectedError(f"{request.method} {request.path} is not imitated")


_ROUTES: tuple[tuple[str, Callable[..., Reply]], ...] = (
    (r"GET configs", _configs),
    # What would pass for the name of an execution, of a namespace, of a flow, or of a key.
    (r"GET executions/(?:namespaces|distinct-field-values)", _other),
    (r"POST executions/[^/]+/by-(?:ids|query)", _other),
    (r"GET flows/(?:deprecated|distinct-namespaces|search|source)", _other),
    (r"DELETE flows/delete/.*", _other),
    (r"GET namespaces/[^/]+/kv/inheritance", _other),
    (r"GET executions/search", results_api.search_executions),
    (r"GET executions/([^/]+)", results_api.status),
    (r"GET executions/([^/]+)/file", results_api.file),
    (r"GET executions/([^/]+)/follow", results_api.follow),
    (r"DELETE executions/([^/]+)/(actions/|)(kill)", executions_api.act),
    (r"POST executions/([^/]+)/(actions/)kill", executions_api.not_allowed),
    (r"POST executions/([^/]+)/(actions/|)(pause|resume|restart|replay|replay-with-inputs|labels)",
     executions_api.act),
    (r"(?:GET|POST|PUT) executions/webhook/([^/]+)/([^/]+)/([^/]+)", executions_api.webhook),
    (r"(?:GET|POST|PUT) executions/webhook/([^/]+)/([^/]+)/([^/]+)/.+", _nothing),
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
