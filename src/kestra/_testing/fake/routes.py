"""The REST API: which request is for what, and its answer."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from email.message import Message
from email.utils import collapse_rfc2231_value
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote

from kestra._api.models import LEVELS
from kestra._api.parsing import time_of
from kestra._testing.fake import search, shown
from kestra._testing.fake.labels import labels_of_body, labels_of_query
from kestra._testing.fake.refused import Refused, UnexpectedError, not_found

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kestra._testing.fake.engine import Engine
    from kestra._testing.fake.executions import Execution
    from kestra._testing.fake.inputs import Part

_VERSIONS = {"0.21": "0.21.0", "1.3": "1.3.31", "2.0": "2.0.0"}
_RESOURCES = ("configs", "executions", "logs", "metrics", "outputs")
# A stream that would say nothing for longer is closed, in seconds: to let that time pass is for the
# client to decide. On the way from a server a proxy may do the same.
_LONGEST_SILENCE = 1.0


class SilenceError(Exception):
    """The client gets no answer for longer than it waits for one."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    Attributes:
        method: Its method.
        path: Its path, below that of the server.
        query: Its query.
        content_type: The type of its body.
        body: Its body.
        patience: For how long the client bears silence, in seconds.
    """

    method: str
    path: str
    query: str = ""
    content_type: str = ""
    body: bytes = b""
    patience: float | None = None

    @property
    def values(self) -> dict[str, list[str]]:
        """The parameters of the query."""
        return parse_qs(self.query, keep_blank_values=True)

    def value(self, name: str) -> str | None:
        """Return a parameter of the query, if it is there."""
        return self.values.get(name, [None])[0]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def as_json(value: Any, status: int = 200) -> Reply:
    """Return an answer in JSON."""
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


class Routes:
    """The REST API of an engine."""

    def __init__(self, engine: Engine, base: str, tenant: str) -> None:
        self._engine = engine
        self._base = base
        self._tenant = tenant
        self._dated = engine.clock.date

    def __call__(self, request: Request) -> Reply:
        """Answer.

        Raises:
            UnexpectedError: This request is not imitated.
        """
        try:
            path = self._path(request.path)
            for pattern, answer in _ROUTES:
                match = re.fullmatch(pattern, f"{request.method} {path}")
                if match:
                    return answer(self, request, *map(unquote, match.groups()))
        except Refused as refused:
            return as_json(refused.body, refused.status)
        raise UnexpectedError(f"{request.method} {request.path} is not imitated")

    def _path(self, path: str) -> str:
        """Return what follows the tenant, if the tenant is right."""
        start, _, rest = path.partition("/api/v1/")
        first, _, below = rest.partition("/")
        if start or not rest:
            raise UnexpectedError(f"{path} is not below /api/v1/")
        version = self._engine.version
        if first in _RESOURCES:
            if version == "2.0" and first != "configs":
                raise not_found()
            return rest
        if not below:
            raise UnexpectedError(f"{path} is not imitated")
        if (below == "configs") != (version == "0.21"):
            raise not_found()
        if unquote(first) != self._tenant:
            raise Refused(400, f"Bad Request: Tenant must be '{self._tenant}' for OSS version")
        return below

    # --- executions ---

    def create(self, request: Request, namespace: str, flow: str) -> Reply:
        engine = self._engine
        kind = request.content_type.partition(";")[0]
        if kind not in {"", "multipart/form-data"}:
            allowed = f"Content Type [{kind}] not allowed. Allowed types: [multipart/form-data]"
            raise Refused(415, f"Unsupported Media Type: {allowed}")
        number = request.value("revision") or ""
        revision = int(number) if number.isdecimal() else None  # another is ignored
        definition = engine.definition(namespace, flow, revision)
        labels = labels_of_query(request.values.get("labels", ()), engine.version)
        date = time_of(request.value("scheduleDate"))  # so is one without an offset
        execution = engine.create(definition, revision, parts_of(request), labels, date)
        if (request.value("wait") or "").lower() == "true":
            self._await(execution, math.inf if request.patience is None else request.patience)
        tenant = () if engine.version == "0.21" else (self._tenant,)
        names = (*tenant, "executions", namespace, flow, execution.id)
        address = f"{self._base}/ui/" + "/".join(quote(name, safe="") for name in names)
        return as_json({**self._shown(execution), "url": address})

    def _await(self, execution: Execution, seconds: float) -> None:
        clock = self._engine.clock
        end = clock.monotonic() + seconds
        while not execution.has_ended:
            now = clock.monotonic()
            wait = min(execution.due, end) - now
            if now > end or math.isinf(wait):
                raise SilenceError(f"{execution.id} stays {execution.state}")
            clock.sleep(wait)
            self._engine.play(execution)

    def status(self, _: Request, execution_id: str) -> Reply:
        return as_json(self._shown(self._engine.get(execution_id)))

    def search(self, request: Request) -> Reply:
        query, version = request.values, self._engine.version
        method = "find" if version == "0.21" else "searchExecutions"
        number = search.page(query, "page", 1, method)
        size = search.page(query, "size", 10, method)
        results = search.found(self._engine.all(), query, version, self._dated)
        some = results[(number - 1) * size : number * size]
        return as_json({"results": [self._shown(each) for each in some], "total": len(results)})

    def file(self, request: Request, execution_id: str) -> Reply:
        uri = request.value("path")
        if uri is None:
            raise Refused(400, "Bad Request: Required QueryValue [path] not specified")
        if not uri.startswith("kestra://"):
            raise Refused(422, "Illegal argument: Invalid prefix path")
        if ".." in uri:
            text = "File should be accessed with their full path and not using relative '..' path."
            raise Refused(422, f"Illegal argument: {text}")
        execution = self._engine.get(execution_id)
        if uri not in execution.files:
            owner = re.search(r"/executions/([^/]+)/", uri)
            if owner and owner[1] != execution_id:
                place = request.path.replace(execution_id, owner[1])
                return Reply(301, headers={"Location": f"{place}?path={uri}"})
            raise not_found(f"{uri} (No such file or directory)")
        kind = {"Content-Type": "application/octet-stream"}
        return Reply(200, bytes(execution.files[uri]), kind)

    def act(self, request: Request, execution_id: str, place: str, action: str) -> Reply:
        """Do what is done to an execution: until 1.x directly below it, later below `actions`."""
        engine = self._engine
        if (place == "actions/") != (engine.version == "2.0"):
            raise not_found()
        number = request.value("revision")
        revision = None if number is None else int(number)
        if action == "resume":
            execution = self._resume(request, execution_id)
        elif action == "restart":
            execution = engine.restart(execution_id, revision)
        elif action == "replay":
            execution = engine.replay(execution_id, request.value("taskRunId"), revision)
        elif action == "labels":
            labels = labels_of_body(json.loads(request.body), engine.version)
            execution = engine.set_labels(execution_id, labels)
        elif action == "pause":
            execution = engine.pause(execution_id)
        else:
            execution = engine.kill(execution_id)
        if engine.version != "2.0" and action in _BRIEF:
            return Reply(_BRIEF[action])
        return as_json(self._shown(execution))

    def _resume(self, request: Request, execution_id: str) -> Execution:
        try:
            return self._engine.resume(execution_id, parts_of(request))
        except Refused as refused:
            if self._engine.version == "0.21" and refused.status == HTTPStatus.UNPROCESSABLE_ENTITY:
                self._engine.clock.sleep(request.patience or 0)
                raise SilenceError(f"0.21 does not answer: {refused}") from None
            raise

    # --- what they have produced ---

    def log(self, request: Request, execution_id: str) -> Reply:
        if execution_id not in self._engine.executions:
            return as_json([])
        return as_json(self._entries(request, execution_id))

    def download(self, request: Request, execution_id: str) -> Reply:
        plain = {"Content-Type": "text/plain"}
        if self._engine.version == "0.21" and execution_id not in self._engine.executions:
            return Reply(200, b"", plain)
        self._engine.get(execution_id, f"Execution '{execution_id}' not found.")
        lines = [
            f"{entry['timestamp']} {entry['level']} {entry['message']}"
            for entry in self._entries(request, execution_id)
        ]
        return Reply(200, "\n".join(lines).encode(), plain)

    def _entries(self, request: Request, execution_id: str) -> list[dict[str, Any]]:
        entries = shown.log_json(self._engine.get(execution_id), self._dated)
        wanted = request.value("minLevel") or "TRACE"
        if wanted.upper() not in LEVELS:
            text = f"Failed to convert argument [minLevel] for value [{wanted}]"
            what = f"No enum constant org.slf4j.event.Level.{wanted}"
            raise Refused(422, f"Internal server error: {text} due to: {what}")
        if self._engine.version == "2.0":
            wanted = "TRACE"  # it ignores it
        least, task = LEVELS.index(wanted.upper()), request.value("taskId")
        return [
            entry
            for entry in entries
            if LEVELS.index(entry["level"]) >= least and task in {None, entry["taskId"]}
        ]

    def metrics(self, request: Request, execution_id: str) -> Reply:
        metrics: list[dict[str, Any]] = []
        if execution_id in self._engine.executions:
            metrics = shown.metrics_json(self._engine.get(execution_id), self._dated)
        number = search.page(request.values, "page", 1, "searchByExecution")
        size = search.page(request.values, "size", 10, "searchByExecution")
        some = metrics[(number - 1) * size : number * size]
        return as_json({"results": some, "total": len(metrics)})

    def outputs(self, _: Request, kind: str, execution_id: str, run_id: str | None = None) -> Reply:
        """Return outputs where 2.0 has them."""
        execution = self._engine.get(execution_id)
        if self._engine.version != "2.0":
            raise not_found()
        if kind == "executions":
            return as_json(shown.flow_outputs(execution))
        tasks = {shown.run_id(execution, task): task for task in execution.definition.tasks}
        return as_json(shown.task_outputs(execution, tasks.get(str(run_id), "")))

    def nothing(self, _: Request) -> Reply:
        raise not_found()

    def configs(self, _: Request) -> Reply:
        version = self._engine.version
        return as_json({"version": _VERSIONS[version], "url": self._base, "edition": "OSS"})

    # --- following ---

    def follow(self, _: Request, execution_id: str) -> Reply:
        is_old = self._engine.version == "0.21"
        start = _event("start", {"id": execution_id, "labels": []})  # without a state
        if execution_id not in self._engine.executions:
            self._engine.clock.sleep(10)  # it looks for it for that long
            if is_old:
                return as_json(f"Unable to find the execution {execution_id}", 404)
            return _stream([start])
        execution = self._engine.get(execution_id)
        states = [_event("progress", self._shown(execution)) for _ in self._states(execution)]
        end = [_event("end", self._shown(execution))] if execution.has_ended else []
        return _stream([*([] if is_old else [start]), *states, *end])

    def follow_log(self, request: Request, execution_id: str) -> Reply:
        start = _event("start", {"attemptNumber": None})
        if execution_id not in self._engine.executions:
            return _stream([start])
        for _ in self._states(self._engine.get(execution_id)):
            pass
        entries = self._entries(request, execution_id)
        return _stream([start, *(_event("progress", entry) for entry in entries)])

    def _states(self, execution: Execution) -> Iterator[None]:
        """Let time pass and yield in each state, until it has ended or one lasts too long."""
        clock, seen = self._engine.clock, 0
        while True:
            self._engine.play(execution)
            if len(execution.history) > seen:
                seen = len(execution.history)
                yield
            if execution.has_ended:
                return
            wait = execution.due - clock.monotonic()
            clock.sleep(min(wait, _LONGEST_SILENCE))
            if wait > _LONGEST_SILENCE:
                return

    def _shown(self, execution: Execution) -> dict[str, Any]:
        execution.was_seen_ended = execution.was_seen_ended or execution.has_ended
        return shown.execution_json(execution, self._engine.version, self._dated)


# What until 1.x answers nothing but a status.
_BRIEF = {"kill": 202, "resume": 204}

_ROUTES: tuple[tuple[str, Callable[..., Reply]], ...] = (
    (r"GET configs", Routes.configs),
    (r"GET executions/search", Routes.search),
    (r"GET executions/([^/]+)", Routes.status),
    (r"GET executions/([^/]+)/file", Routes.file),
    (r"GET executions/([^/]+)/follow", Routes.follow),
    (r"DELETE executions/([^/]+)/(actions/|)(kill)", Routes.act),
    (r"POST executions/([^/]+)/(actions/|)(pause|resume|restart|replay|labels)", Routes.act),
    (r"POST executions/([^/]+)/([^/]+)", Routes.create),
    (r"GET logs/([^/]+)", Routes.log),
    (r"GET logs/([^/]+)/download", Routes.download),
    (r"GET logs/([^/]+)/follow", Routes.follow_log),
    (r"GET metrics/([^/]+)", Routes.metrics),
    (r"GET outputs/(executions)/([^/]+)", Routes.outputs),
    (r"GET outputs/(tasks)/([^/]+)/([^/]+)", Routes.outputs),
    (r"GET outputs/[^/]+(?:/[^/]+)?", Routes.nothing),  # where early versions of 2.0 had them
)


def parts_of(request: Request) -> list[Part]:
    """Return the parts of a multipart body."""
    head = Message()
    head["Content-Type"] = request.content_type
    boundary = str(head.get_param("boundary", ""))
    pieces = request.body.split(f"--{boundary}".encode())[1:-1] if boundary else []
    return [_part(piece) for piece in pieces]


def _part(piece: bytes) -> Part:
    headers, _, content = piece.partition(b"\r\n\r\n")
    part = Message()
    for line in headers.decode().strip().splitlines():
        name, _, value = line.partition(":")
        part[name] = value.strip()
    parameter = part.get_param("name", "", "Content-Disposition")
    return collapse_rfc2231_value(parameter), part.get_filename(), content.removesuffix(b"\r\n")


def _stream(events: Iterable[bytes]) -> Reply:
    return Reply(200, b"".join(events), {"Content-Type": "text/event-stream"})


def _event(kind: str, data: Any) -> bytes:
    """Return a server-sent event; its kind is in `id`."""
    return f"id: {kind}\ndata: {json.dumps(data)}\n\n".encode()
