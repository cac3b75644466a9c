"""What responses show: executions, their task runs, log entries and metrics as JSON."""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from kestra._api.models import TERMINAL_STATES
from kestra._testing.fake.inputs import SentFile
from kestra._values.times import utc_text

if TYPE_CHECKING:
    from kestra._testing.fake.engine import Engine
    from kestra._testing.fake.execution import Execution

    _History = list[tuple[str, float]]

LOOP = "LOOP"  # the kind of an execution that is an iteration
_BATCH = 100  # entries of a log that are stored together


def execution_json(
    engine: Engine, execution: Execution, *, is_brief: bool = False
) -> dict[str, Any]:
    """Return an execution, and note that it was shown.

    Where it is read, 2.0 is brief: without `deleted`, and what its task runs are parts of.
    """
    execution.was_shown_ended = execution.was_shown_ended or execution.has_ended
    is_brief = is_brief and engine.is_new
    shown: dict[str, Any] = {
        "id": execution.id,
        "namespace": execution.namespace,
        "flowId": execution.flow,
        "flowRevision": execution.revision,
        "labels": [{"key": key, "value": value} for key, value in execution.labels.items()],
        "state": _state(engine, execution.history),
        "originalId": execution.id if execution.loop_run else execution.parent or execution.id,
        "metadata": {
            "attemptNumber": execution.attempts,
            "originalCreatedDate": shown_at(engine, execution.created),
        },
    }
    if not is_brief:
        shown["deleted"] = False
    if execution.inputs:
        shown["inputs"] = {name: json_ready(value) for name, value in execution.inputs.items()}
    if execution.parent:
        shown["parentId"] = execution.parent
    if execution.loop_run:
        shown |= {"kind": LOOP, "loopRun": execution.loop_run}
    if execution.schedule_date:
        shown["scheduleDate"] = utc_text(execution.schedule_date)
    runs = _task_runs(engine, execution)
    if runs or execution.parent:
        hidden = {"executionId", "namespace", "flowId", "outputs"} if is_brief else set()
        shown["taskRunList"] = [
            {key: value for key, value in run.items() if key not in hidden} for run in runs
        ]
    if not engine.is_new and (outputs := flow_outputs(execution)):
        shown["outputs"] = outputs
    return shown


def flow_outputs(execution: Execution) -> dict[str, Any]:
    """Return the outputs of the flow, which are there when it has ended well."""
    return execution.outputs if execution.state in {"SUCCESS", "WARNING"} else {}


def task_outputs(execution: Execution, task: str) -> dict[str, Any]:
    """Return the outputs of a task: the last one's are those of a Script task."""
    has_ended = execution.has_ended and execution.state != "KILLED"
    if not (has_ended and execution.outputs and task == execution.definition.tasks[-1]):
        return {}
    return {"vars": execution.outputs, "exitCode": int(execution.error is not None)}


def _task_runs(engine: Engine, execution: Execution) -> list[dict[str, Any]]:
    """Return the runs of an execution's tasks; the last one is that of the flow's function."""
    first = next((at for state, at in execution.history if state == "RUNNING"), None)
    if first is None:
        return []
    own = [(state, at) for state, at in execution.history if at >= first]
    done = [("RUNNING", first), ("SUCCESS", first)]
    *before, last = execution.definition.tasks
    runs = [_task_run(engine, execution, task, done) for task in before]
    return [*runs, _task_run(engine, execution, last, own)]


def _task_run(engine: Engine, execution: Execution, task: str, history: _History) -> dict[str, Any]:
    began = history[0][1]
    attempts: list[_History] = [[]]
    for entry in history:
        if entry[0] == "RESTARTED":
            attempts.append([])
        else:
            attempts[-1].append(entry)
    submitted = [("SUBMITTED", began)] if engine.is_new else []
    run = {
        "id": execution.run_ids[task],
        **_origin(execution, task),
        "attempts": [
            {"state": _state(engine, [("CREATED", each[0][1]), *each])} for each in attempts if each
        ],
        "state": _state(engine, [("CREATED", began), *submitted, *history]),
        "outputs": None if engine.is_new else task_outputs(execution, task),
    }
    if execution.loop_run:
        run["parentTaskRunId"] = execution.loop_run["taskRunId"]
    return run


def _origin(execution: Execution, task: str) -> dict[str, Any]:
    return {
        "executionId": execution.id,
        "namespace": execution.namespace,
        "flowId": execution.flow,
        "taskId": task,
    }


def _last_task(execution: Execution) -> dict[str, Any]:
    """Return which task logs and sends metrics: the last one is the flow's function."""
    task = execution.definition.tasks[-1]
    return {**_origin(execution, task), "taskRunId": execution.run_ids[task]}


def log_json(engine: Engine, execution: Execution) -> list[dict[str, Any]]:
    """Return what is stored of a log by now; the last batch comes after the whole delay."""
    batches = math.ceil(len(execution.logs) / _BATCH)
    stored = [
        entry
        for number, entry in enumerate(execution.logs)
        if entry[0] + engine.log_delay * (number // _BATCH + 1) / batches <= engine.clock.now()
    ]
    restarts = [since for state, since in execution.history if state == "RESTARTED"]
    return [
        {
            **_last_task(execution),
            "attemptNumber": sum(since < at for since in restarts),
            "timestamp": utc_text(engine.clock.date(at)),
            "level": level,
            "thread": "worker_1",
            "message": message,
            **({"executionKind": LOOP} if execution.loop_run else {}),
        }
        for at, level, message in sorted(stored, key=lambda entry: entry[0])
    ]


def metrics_json(engine: Engine, execution: Execution) -> list[dict[str, Any]]:
    """Return the metrics; of timers, milliseconds."""
    return [
        {
            **_last_task(execution),
            "type": metric.type,
            "name": metric.name,
            "value": (metric.value or 0.0) * (1000 if metric.type == "timer" else 1),
            "timestamp": utc_text(engine.clock.date(execution.history[-1][1])),
            "tags": metric.tags,
        }
        for metric in execution.metrics
    ]


def _state(engine: Engine, history: _History) -> dict[str, Any]:
    (_, began), (current, last) = history[0], history[-1]
    shown = {
        "current": current,
        "histories": [{"state": state, "date": shown_at(engine, at)} for state, at in history],
        "startDate": shown_at(engine, began),
    }
    if current in TERMINAL_STATES:
        shown["endDate"] = shown_at(engine, last)
        shown["duration"] = f"PT{last - began:.6f}S"
    return shown


def shown_at(engine: Engine, moment: float) -> str:
    """Return a time of the fake's clock; 0.21 has milliseconds."""
    return utc_text(engine.clock.date(moment), "milliseconds" if engine.is_old else "microseconds")


def json_ready(value: Any) -> Any:
    if isinstance(value, SentFile):
        return value.uri
    if isinstance(value, datetime):
        return utc_text(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value).replace("nan", "NaN").replace("inf", "Infinity")
    return value
