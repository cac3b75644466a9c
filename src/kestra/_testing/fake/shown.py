"""What answers look like: executions, their task runs, log entries and metrics as JSON. Pure."""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Any

from kestra._api.models import TERMINAL_STATES
from kestra._testing.fake.inputs import SentFile
from kestra._values.times import iso_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from kestra._testing.fake.executions import Execution

    Dated = Callable[[float], datetime]
    _History = list[tuple[str, float]]


def execution_json(execution: Execution, version: str, dated: Dated) -> dict[str, Any]:
    """Return an execution."""
    history = execution.history
    shown: dict[str, Any] = {
        "id": execution.id,
        "namespace": execution.namespace,
        "flowId": execution.flow,
        "flowRevision": execution.revision,
        "labels": [{"key": key, "value": value} for key, value in execution.labels.items()],
        "state": _state(history, dated),
        "originalId": execution.parent or execution.id,
        "deleted": False,
        "metadata": {
            "attemptNumber": execution.attempts,
            "originalCreatedDate": iso(dated(execution.created)),
        },
    }
    if execution.inputs:
        shown["inputs"] = {name: json_ready(value) for name, value in execution.inputs.items()}
    if execution.parent:
        shown["parentId"] = execution.parent
    if execution.schedule_date:
        shown["scheduleDate"] = iso(execution.schedule_date)
    if has_run(execution) or execution.parent:
        shown["taskRunList"] = task_runs(execution, version, dated)
    if version != "2.0" and (outputs := flow_outputs(execution)):
        shown["outputs"] = outputs
    return shown


def has_run(execution: Execution) -> bool:
    """Say whether it has come to running tasks."""
    return any(state == "RUNNING" for state, _ in execution.history)


def flow_outputs(execution: Execution) -> dict[str, Any]:
    """Return the outputs of the flow, which are there when it has ended well."""
    return execution.outputs if execution.state in {"SUCCESS", "WARNING"} else {}


def task_outputs(execution: Execution, task: str) -> dict[str, Any]:
    """Return the outputs of a task: the last one's are those of a Script task."""
    has_ended = execution.has_ended and execution.state != "KILLED"
    if not (has_ended and execution.outputs and task == execution.definition.tasks[-1]):
        return {}
    return {"vars": execution.outputs, "exitCode": int(execution.error is not None)}


def task_runs(execution: Execution, version: str, dated: Dated) -> list[dict[str, Any]]:
    """Return the runs of an execution's tasks; the last one is that of the flow's function."""
    if not has_run(execution):
        return []
    first = next(at for state, at in execution.history if state == "RUNNING")
    own = [(state, at) for state, at in execution.history if at >= first]
    done = [("RUNNING", first), ("SUCCESS", first)]
    *before, last = execution.definition.tasks
    runs = [*((task, done) for task in before), (last, own)]
    return [_task_run(execution, task, history, version, dated) for task, history in runs]


def _task_run(
    execution: Execution, task: str, history: _History, version: str, dated: Dated
) -> dict[str, Any]:
    run = {
        "id": run_id(execution, task),
        **_origin(execution, task),
        "attempts": [{"state": _created(each, dated)} for each in _attempts(history)],
        "state": _created(history, dated),
    }
    if version != "2.0":
        run["outputs"] = task_outputs(execution, task)
    return run


def _attempts(history: _History) -> list[_History]:
    """Return the parts of a history that restarts divide."""
    parts: list[_History] = [[]]
    for entry in history:
        if entry[0] == "RESTARTED":
            parts.append([])
        else:
            parts[-1].append(entry)
    return [part for part in parts if part]


def _created(history: _History, dated: Dated) -> dict[str, Any]:
    return _state([("CREATED", history[0][1]), *history], dated)


def run_id(execution: Execution, task: str) -> str:
    """Return the id of a task's run."""
    return f"{execution.id}-{task}"


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
    return {**_origin(execution, task), "taskRunId": run_id(execution, task)}


def log_json(execution: Execution, dated: Dated) -> list[dict[str, Any]]:
    """Return the log, entry by entry."""
    return [
        {
            **_last_task(execution),
            "attemptNumber": sum(
                state == "RESTARTED" and since < at for state, since in execution.history
            ),
            "timestamp": iso(dated(at)),
            "level": level,
            "thread": "worker_1",
            "message": message,
        }
        for at, level, message in execution.logs
    ]


def metrics_json(execution: Execution, dated: Dated) -> list[dict[str, Any]]:
    """Return the metrics; of timers, milliseconds."""
    return [
        {
            **_last_task(execution),
            "type": metric.type,
            "name": metric.name,
            "value": (metric.value or 0.0) * (1000 if metric.type == "timer" else 1),
            "timestamp": iso(dated(execution.history[-1][1])),
            "tags": metric.tags,
        }
        for metric in execution.metrics
    ]


def _state(history: _History, dated: Dated) -> dict[str, Any]:
    current, last = history[-1]
    shown = {
        "current": current,
        "histories": [{"state": state, "date": iso(dated(at))} for state, at in history],
        "startDate": iso(dated(history[0][1])),
    }
    if current in TERMINAL_STATES:
        shown["endDate"] = iso(dated(last))
        shown["duration"] = iso_duration(timedelta(seconds=last - history[0][1]))
    return shown


def iso(moment: datetime) -> str:
    """Return a time as the server writes it."""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")[:-6] + "Z"


def json_ready(value: Any) -> Any:
    """Return the value of an input as the server shows it."""
    if isinstance(value, SentFile):
        return value.uri
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value).replace("nan", "NaN")
    return value
