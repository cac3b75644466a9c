"""What is done to an execution: kill, pause, resume, restart, replay, labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kestra._testing.fake import inputs as _inputs
from kestra._testing.fake.engine import NO_FLOW, Engine
from kestra._testing.fake.execution import Execution
from kestra._testing.fake.refused import Refused, not_found, not_terminated

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NOTHING = "No task found to restart execution from!"


def kill(engine: Engine, execution_id: str) -> Execution:
    """Kill an execution; one that has ended stays as it is."""
    execution = engine.get(execution_id)
    with engine.lock:
        if not (execution.has_ended or execution.state == "KILLING"):
            execution.kill(engine.clock.now())
    return execution


def pause(engine: Engine, execution_id: str) -> Execution:
    """Pause an execution that runs."""
    execution = engine.get(execution_id, _page(engine))
    with engine.lock:
        if execution.state != "RUNNING":
            raise _out_of_place(engine, "pause", execution, "The execution is not running")
        execution.pause(engine.clock.now())
    return execution


def resume(engine: Engine, execution_id: str, parts: Iterable[_inputs.Part]) -> Execution:
    """Resume an execution that is paused.

    Raises:
        Refused: It is not, or an input is not accepted.
    """
    execution = engine.get(execution_id, f"Execution '{execution_id}' not found.")
    with engine.lock:
        if execution.state != "PAUSED":
            text = f"Execution '{execution_id}' is not paused, can't resume it"
            raise Refused(409, f"Illegal state: {text}")
        sent = engine.sent(parts, f"///executions/{execution_id}/resume")
        known = execution.definition.on_resume
        execution.resumed = _inputs.read(known, sent, engine.version) if known else sent
        execution.resume(engine.clock.now())
    return execution


def restart(engine: Engine, execution_id: str, revision: int | None) -> Execution:
    """Run an execution again that has failed; until 1.x, with a revision, as a new one."""
    execution = engine.get(execution_id, _page(engine))
    with engine.lock:
        if not execution.has_ended:
            text = f"Execution must be terminated, current state is '{execution.state}'"
            raise Refused(409, f"Illegal state: {text}")
        if execution.state != "FAILED":
            raise _out_of_place(engine, "restart", execution, _NOTHING)
        if revision is not None:
            _check_revision(engine, execution, revision)
            if engine.version == "2.0":
                execution.revision = revision
            else:
                execution = _copy(engine, execution, revision)
                execution.history = list(engine.executions[execution_id].history)
        execution.labels["system.restarted"] = "true"
        execution.restart(engine.clock.now())
        engine.executions[execution.id] = execution
    return execution


def replay(
    engine: Engine,
    execution_id: str,
    task_run: str | None,
    revision: int | None,
    parts: Iterable[_inputs.Part] | None,
) -> Execution:
    """Run an execution again, as a new one, with other inputs where there are some."""
    execution = engine.get(execution_id, _page(engine))
    with engine.lock:
        runs = {f"{execution_id}-{task}" for task in execution.definition.tasks}
        if task_run is not None and task_run not in runs:
            text = f"Task run id '{task_run}' not found in execution '{execution_id}'"
            raise Refused(422, f"Illegal argument: {text if engine.version == '2.0' else _NOTHING}")
        if revision is not None:
            _check_revision(engine, execution, revision)
        new = _copy(engine, execution, revision)
        if parts is not None:
            sent = engine.sent(parts, f"///executions/{new.id}/inputs")
            known = execution.definition.inputs
            new.inputs = sent if known is None else _inputs.read(known, sent, engine.version)
        new.labels["system.replay"] = "true"
        new.attempts += 1
        new.start(execution.definition.states)
        engine.executions[new.id] = new
    return new


def set_labels(engine: Engine, execution_id: str, labels: Mapping[str, str]) -> Execution:
    """Add labels to an execution that has ended."""
    execution = engine.get(execution_id)
    with engine.lock:
        if not execution.has_ended:
            raise not_terminated()
        execution.labels.update(labels)
    return execution


def _page(engine: Engine) -> str:
    """Return what 2.0 says of an unknown execution in some actions."""
    return "Page Not Found" if engine.version == "2.0" else ""


def _out_of_place(engine: Engine, action: str, execution: Execution, before: str) -> Refused:
    if engine.version == "2.0":
        text = f"Cannot {action} execution: current state is '{execution.state}'"
        return Refused(409, f"Conflict: {text}")
    return Refused(422, f"Illegal argument: {before}")


def _check_revision(engine: Engine, execution: Execution, revision: int) -> None:
    if revision not in execution.definition.revisions:
        flow = f"{execution.namespace}.{execution.flow}"
        text = f"Unable to find revision {revision} on flow {flow}"
        raise not_found(text if engine.version == "2.0" else NO_FLOW)


def _copy(engine: Engine, execution: Execution, revision: int | None) -> Execution:
    """Return an execution like another one, with nothing in it that has come about."""
    return Execution(
        execution.definition,
        engine.new_id(),
        revision or execution.revision,
        execution.inputs,
        dict(execution.labels),
        engine.clock.now(),
        parent=execution.id,
        files=dict(execution.files),
        attempts=execution.attempts,
    )
