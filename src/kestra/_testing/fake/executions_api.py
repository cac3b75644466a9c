"""The routes that create, show and change executions."""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kestra._testing.fake import actions, shown
from kestra._testing.fake import search as _search
from kestra._testing.fake.labels import labels_of_body, labels_of_query
from kestra._testing.fake.messages import Reply, Request, as_json, as_stream, parts_of
from kestra._testing.fake.refused import Refused, SilenceError, not_found
from kestra._values.times import parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kestra._testing.fake.api import Api
    from kestra._testing.fake.engine import Engine
    from kestra._testing.fake.execution import Execution

# Actions to which servers up to 1.x respond with a status alone.
_BRIEF = {"kill": 202, "resume": 204}
# A stream that would say nothing for longer is closed, in seconds: to let that time pass is for the
# client to decide. On the way from a server a proxy may do the same.
_LONGEST_SILENCE = 1.0


def create(api: Api, request: Request, namespace: str, flow: str) -> Reply:
    """Create an execution; with `wait`, respond when it has ended."""
    engine = api.engine
    kind = request.content_type.partition(";")[0]
    if kind not in {"", "multipart/form-data"}:
        allowed = f"Content Type [{kind}] not allowed. Allowed types: [multipart/form-data]"
        raise Refused(415, f"Unsupported Media Type: {allowed}")
    revision = _revision(request)
    definition = engine.definition(namespace, flow, revision)
    labels = labels_of_query(request.values.get("labels", ()), engine.version)
    date = parse_instant(request.value("scheduleDate"))  # one without an offset is ignored too
    execution = engine.create(definition, revision, parts_of(request), labels, date)
    if (request.value("wait") or "").lower() == "true":
        await_end(engine, execution, request)
    tenant = () if engine.version == "0.21" else (api.tenant,)
    names = (*tenant, "executions", namespace, flow, execution.id)
    address = f"{api.base}/ui/" + "/".join(quote(name, safe="") for name in names)
    return as_json({**shown_execution(engine, execution), "url": address})


def await_end(engine: Engine, execution: Execution, request: Request) -> None:
    """Let time pass until an execution has ended, or the client has given up."""
    clock = engine.clock
    end = clock.now() + (math.inf if request.read_timeout is None else request.read_timeout)
    while not execution.has_ended:
        now = clock.now()
        wait = min(execution.due, end) - now
        if now > end or math.isinf(wait):
            raise SilenceError(f"{execution.id} stays {execution.state}")
        clock.sleep(wait)
        engine.play(execution)


def status(api: Api, _: Request, execution_id: str) -> Reply:
    """Show an execution."""
    return as_json(shown_execution(api.engine, api.engine.get(execution_id), is_brief=True))


def search(api: Api, request: Request) -> Reply:
    """Show the executions that a search finds; 2.0 leaves out their task runs."""
    engine, query = api.engine, request.values
    method = "find" if engine.version == "0.21" else "searchExecutions"
    found = _search.executions(engine.all(), query, engine.version, engine.clock.date)
    some, total = _search.page(found, query, method, engine.version)
    results = [shown_execution(engine, each, is_brief=True) for each in some]
    if engine.version == "2.0":
        for each in results:
            each.pop("taskRunList", None)
    return as_json({"results": results, "total": total})


def act(api: Api, request: Request, execution_id: str, place: str, action: str) -> Reply:
    """Do what is done to an execution: until 1.x directly below it, later below `actions`.

    On 2.0 the old paths are creations: of the flow `pause` in a namespace called like the id.
    """
    engine = api.engine
    is_new = engine.version == "2.0"
    if is_new and not place:
        if request.method != "POST":
            not_allowed(api, request)
        return create(api, request, execution_id, action)
    if place and not is_new:
        raise not_found()
    execution = _ACTIONS[action](engine, request, execution_id)
    if not is_new and action in _BRIEF:
        return Reply(_BRIEF[action])
    if is_new:
        engine.play(execution)  # which responds when the action has been carried out
    return as_json(shown_execution(engine, execution))


def not_allowed(_: Api, request: Request, *_path: str) -> Reply:
    """Refuse a method."""
    raise Refused(405, f"Method Not Allowed: Method [{request.method}] not allowed for this URI")


def _resume(engine: Engine, request: Request, execution_id: str) -> Execution:
    try:
        return actions.resume(engine, execution_id, parts_of(request))
    except Refused as refused:
        if engine.version == "0.21" and refused.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            engine.clock.sleep(request.read_timeout or 0)
            raise SilenceError(f"0.21 does not respond: {refused}") from None
        raise


def _replay(engine: Engine, request: Request, execution_id: str) -> Execution:
    parts = parts_of(request) if request.path.endswith("-with-inputs") else None
    task_run = request.value("taskRunId")
    return actions.replay(engine, execution_id, task_run, _revision(request), parts)


def _set_labels(engine: Engine, request: Request, execution_id: str) -> Execution:
    labels = labels_of_body(json.loads(request.body), engine.version)
    return actions.set_labels(engine, execution_id, labels)


def _revision(request: Request) -> int | None:
    number = request.value("revision") or ""
    return int(number) if number.isdecimal() else None  # another is ignored


_ACTIONS: dict[str, Callable[[Engine, Request, str], Execution]] = {
    "kill": lambda engine, _, execution_id: actions.kill(engine, execution_id),
    "pause": lambda engine, _, execution_id: actions.pause(engine, execution_id),
    "resume": _resume,
    "restart": lambda engine, request, execution_id: actions.restart(
        engine, execution_id, _revision(request)
    ),
    "replay": _replay,
    "replay-with-inputs": _replay,
    "labels": _set_labels,
}


def follow(api: Api, _: Request, execution_id: str) -> Reply:
    """Stream the states of an execution."""
    engine = api.engine
    is_old = engine.version == "0.21"
    start = [] if is_old else [("start", {"id": execution_id, "labels": []})]  # without a state
    if execution_id not in engine.executions:
        engine.clock.sleep(10)  # the server searches for it that long
        if is_old:
            return as_json(f"Unable to find the execution {execution_id}", 404)
        return as_stream(start)
    execution = engine.get(execution_id)
    states = [
        ("progress", shown_execution(engine, execution)) for _ in states_of(engine, execution)
    ]
    end = [("end", shown_execution(engine, execution))] if execution.has_ended else []
    return as_stream([*start, *states, *end])


def states_of(engine: Engine, execution: Execution) -> Iterator[None]:
    """Let time pass and yield in each state, until it has ended or one lasts too long."""
    clock, known = engine.clock, 0
    while True:
        engine.play(execution)
        if len(execution.history) > known:
            known = len(execution.history)
            yield
        if execution.has_ended:
            return
        wait = execution.due - clock.now()
        clock.sleep(min(wait, _LONGEST_SILENCE))
        if wait > _LONGEST_SILENCE:
            return


def shown_execution(
    engine: Engine, execution: Execution, *, is_brief: bool = False
) -> dict[str, Any]:
    """Return an execution as JSON."""
    execution.was_seen_ended = execution.was_seen_ended or execution.has_ended
    return shown.execution_json(execution, engine.version, engine.clock.date, is_brief=is_brief)
