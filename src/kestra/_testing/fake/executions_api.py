"""The routes that create executions, and change them: kill, pause, resume, restart, replay."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from kestra._api.models import CORRELATION
from kestra._testing.fake import messages
from kestra._testing.fake.engine import NO_FLOW
from kestra._testing.fake.inputs import as_text
from kestra._testing.fake.messages import Refused, Reply, as_json, invalid, is_on, not_found
from kestra._testing.fake.shown import execution_json, json_ready
from kestra._values.times import parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kestra._testing.fake.engine import Engine
    from kestra._testing.fake.execution import Execution
    from kestra._testing.fake.messages import Request

_GOOD = {"SUCCESS", "WARNING"}
# Actions to which servers up to 1.x respond with a status alone.
_BRIEF = {"kill": 202, "resume": 204}
_NOTHING = "No task found to restart execution from!"


def create(engine: Engine, request: Request, namespace: str, flow: str) -> Reply:
    """Create an execution; with `wait`, respond when it has ended."""
    request.check_kind("multipart/form-data")
    revision = _revision(request)
    definition = engine.definition(namespace, flow, revision)
    labels = _labels_of_query(engine, request.values.get("labels", ()))
    date = parse_instant(request.value("scheduleDate"))  # one without an offset is ignored too
    execution = engine.create(definition, revision, request.parts(), labels, date)
    if (request.value("wait") or "").lower() == "true":
        _await_end(engine, execution, request)
    return as_json({**execution_json(engine, execution), "url": engine.ui_url(execution)})


def webhook(engine: Engine, request: Request, namespace: str, flow: str, key: str) -> Reply:
    """Start an execution; what its function is called with is under `trigger`."""
    known = engine.flows.get((namespace, flow))
    if known is None or known.webhook is None or known.webhook.get("key") != key:
        raise not_found("Flow not found")
    if known.disabled:
        new = "Conflict: Cannot execute flow: flow is disabled."
        old = "Illegal state: Cannot execute a disabled flow"
        raise Refused(409, new if engine.is_new else old)
    trigger: dict[str, Any] = {"parameters": request.values}
    if text := request.body.decode(errors="replace"):
        with suppress(ValueError):
            trigger["body"] = json.loads(text)
        if not isinstance(trigger.get("body"), dict | list):
            trigger["body"] = text
    body = trigger.get("body")
    sent = body if isinstance(body, dict) and known.inputs else {}
    parts = [
        (key, None, as_text(value).encode()) for key, value in sent.items() if value is not None
    ]
    try:
        execution = engine.create(known, parts=parts)
    except Refused:
        return Reply(422 if engine.is_new else 409)
    execution.labels["system.from"] = "trigger"
    execution.inputs = {**execution.inputs, "trigger": trigger}
    waits, status = is_on(known.webhook, "wait"), 200
    if waits:
        _await_end(engine, execution, request)
        code = int(known.webhook.get("responseCode", 200))
        status = code if execution.state in _GOOD else 500
    shown = execution_json(engine, execution)
    outputs = json_ready(execution.outputs)
    if waits and is_on(known.webhook, "returnOutputs"):
        return as_json(outputs, status)
    variables = {"id": "webhook", "type": "io.kestra.plugin.core.trigger.Webhook"}
    shown["trigger"] = {**variables, "variables": trigger}
    shown.pop("taskRunList", None)
    shown.pop("inputs", None)
    if waits:
        shown["outputs"] = outputs
    return as_json({**shown, "url": engine.ui_url(execution)}, status)


def _await_end(engine: Engine, execution: Execution, request: Request) -> None:
    """Let time pass until an execution has ended, or the client has given up."""
    clock = engine.clock
    end = clock.now() + (math.inf if request.read_timeout is None else request.read_timeout)
    while not execution.has_ended:
        now = clock.now()
        wait = min(execution.due, end) - now
        if now > end or math.isinf(wait):
            raise TimeoutError(f"{execution.id} stays {execution.state}")
        clock.sleep(wait)
        engine.play(execution)


def act(engine: Engine, request: Request, execution_id: str, place: str, action: str) -> Reply:
    """Do what is done to an execution: until 1.x directly below it, later below `actions`.

    On 2.0 the old paths are creations: of the flow `pause` in a namespace called like the id.
    """
    if engine.is_new and not place:
        if request.method != "POST":
            not_allowed(engine, request)
        return create(engine, request, execution_id, action)
    if place and not engine.is_new:
        raise not_found()
    what = "" if action in {"kill", "labels"} or not engine.is_new else "Page Not Found"
    if action == "resume":
        what = f"Execution '{execution_id}' not found."
    execution = engine.get(execution_id, what)
    with engine.lock:
        execution = _ACTIONS[action](engine, request, execution) or execution
    if not engine.is_new and action in _BRIEF:
        return Reply(_BRIEF[action])
    if engine.is_new:
        engine.play(execution)  # which responds when the action has been carried out
    return as_json(execution_json(engine, execution))


def not_allowed(_: Engine, request: Request, *_path: str) -> Reply:
    raise messages.not_allowed(request)


def _kill(engine: Engine, _: Request, execution: Execution) -> None:
    if not (execution.has_ended or execution.state == "KILLING"):
        execution.kill(engine.clock.now())


def _pause(engine: Engine, _: Request, execution: Execution) -> None:
    if execution.state != "RUNNING":
        raise _out_of_place(engine, "pause", execution, "The execution is not running")
    execution.pause(engine.clock.now())


def _resume(engine: Engine, request: Request, execution: Execution) -> None:
    request.check_kind("multipart/form-data")
    if execution.state != "PAUSED":
        text = f"Execution '{execution.id}' is not paused, can't resume it"
        raise Refused(409, f"Illegal state: {text}")
    try:
        declared = execution.definition.on_resume or None
        execution.resumed = engine.read(execution, declared, request.parts())
    except Refused as refused:
        if engine.is_old and refused.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            engine.clock.sleep(request.read_timeout or 0)
            raise TimeoutError(f"0.21 does not respond: {refused}") from None
        raise
    execution.resume(engine.clock.now())


def _restart(engine: Engine, request: Request, execution: Execution) -> Execution:
    """Run an execution again that has failed; until 1.x, with a revision, as a new one."""
    if not (execution.has_ended or execution.state == "PAUSED" or engine.is_new):
        text = "Execution must be terminated to be restarted, current state is"
        raise Refused(409, f"Illegal state: {text} '{execution.state}' !")
    if execution.state not in {"FAILED", "PAUSED"}:
        raise _out_of_place(engine, "restart", execution, _NOTHING)
    revision = _known_revision(engine, request, execution)
    if revision is not None:
        if engine.is_new:
            execution.revision = revision
        else:
            history = list(execution.history)
            new_id, now = engine.new_id(), engine.clock.now()
            execution = execution.copy(new_id, now, revision=revision)
            execution.history = history
            engine.executions[execution.id] = execution
    execution.labels["system.restarted"] = "true"
    execution.restart(engine.clock.now())
    return execution


def _replay(engine: Engine, request: Request, execution: Execution) -> Execution:
    task_run = request.value("taskRunId")
    if task_run is not None and task_run not in execution.run_ids.values():
        text = f"Task run id '{task_run}' not found in execution '{execution.id}'"
        raise Refused(422, f"Illegal argument: {text if engine.is_new else _NOTHING}")
    revision = _known_revision(engine, request, execution)
    changes = {"attempts": execution.attempts + 1, "revision": revision or execution.revision}
    new = execution.copy(engine.new_id(), engine.clock.now(), **changes)
    if request.path.endswith("-with-inputs"):
        request.check_kind("multipart/form-data")
        new.inputs = engine.read(new, execution.definition.inputs, request.parts())
    new.labels["system.replay"] = "true"
    new.start(execution.definition.states)
    engine.executions[new.id] = new
    return new


def _set_labels(engine: Engine, request: Request, execution: Execution) -> None:
    request.check_kind("application/json")
    labels = _labels_of_body(engine, request.json())
    if not execution.has_ended:
        raise Refused(400, "The execution is not terminated", None)
    execution.labels.update(labels)


def _revision(request: Request) -> int | None:
    number = request.value("revision") or ""
    return int(number) if number.isdecimal() else None  # another is ignored


def _known_revision(engine: Engine, request: Request, execution: Execution) -> int | None:
    revision = _revision(request)
    if revision is not None and revision not in execution.definition.revisions:
        flow = f"{execution.namespace}.{execution.flow}"
        new = f"Unable to find revision {revision} on flow {flow}"
        raise not_found(new if engine.is_new else NO_FLOW)
    return revision


def _out_of_place(engine: Engine, action: str, execution: Execution, old: str) -> Refused:
    if engine.is_new:
        text = f"Cannot {action} execution: current state is '{execution.state}'"
        text += ", expected terminated or paused." if action == "restart" else ""
        return Refused(409, f"Conflict: {text}")
    return Refused(422, f"Illegal argument: {old}")


_ACTIONS: dict[str, Callable[[Engine, Request, Execution], Execution | None]] = {
    "kill": _kill,
    "pause": _pause,
    "resume": _resume,
    "restart": _restart,
    "replay": _replay,
    "replay-with-inputs": _replay,
    "labels": _set_labels,
}


def _labels_of_query(engine: Engine, pairs: Iterable[str]) -> dict[str, str]:
    """Return the labels of a creation, which are sent as `key:value`."""
    labels: dict[str, str] = {}
    for pair in pairs:
        key, colon, value = pair.partition(":")
        key = key.strip() if engine.is_old else key
        text = ""
        if not (key and colon):
            text = "Can't split the queryString parameter by ':'"
        elif not value:
            text = "Can't have an empty part of queryString"
        elif any(letter.isspace() for letter in key) and not engine.is_old:
            text = "Key of queryString can't contain a whitespace character"
        if text:
            text = "Invalid queryString parameter" if engine.is_old else text
            raise Refused(422, f"Unprocessable Entity: {text}")
        if key in labels:
            text = f"Duplicate key {key} (attempted merging values {labels[key]} and {value})"
            if engine.is_old:
                raise Refused(409, f"Illegal state: {text}")
            whole = f"The queryString parameter keys contains duplicities: {text}"
            raise Refused(422, f"Unprocessable Entity: {whole}")
        labels[key] = value
    _check_system(labels, allowed=CORRELATION)
    return labels


def _labels_of_body(engine: Engine, body: Any) -> dict[str, str]:
    """Return the labels that an execution is to get, which are sent as JSON."""
    listed = body if isinstance(body, list) else [body]
    old = engine.is_old
    method = "setLabels" if old else "setLabelsOnTerminatedExecution"
    faults = [
        (f"{method}.labels[{number}].{part}", f"must not be {'null' if old else 'empty'}")
        for number, each in enumerate(listed)
        for part in ("value", "key")
        if (value := each.get(part) if isinstance(each, dict) else None) is None
        or (value == "" and not old)
    ]
    if faults:
        raise invalid(*faults)
    labels = {as_text(each["key"]): as_text(each["value"]) for each in listed}
    _check_system(labels, allowed="" if engine.is_new else CORRELATION)
    return labels


def _check_system(labels: dict[str, str], allowed: str) -> None:
    for key, value in labels.items():
        if key.startswith("system.") and key != allowed:
            text = "System labels can only be set by Kestra itself, offending label"
            raise Refused(422, f"Illegal argument: {text}: {key}={value}")
