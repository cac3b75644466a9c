"""What responses show: executions, their task runs, log entries and metrics as JSON. Pure."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Any

from kestra._api.models import TERMINAL_STATES
from kestra._testing.fake.inputs import SentFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kestra._testing.fake.execution import Execution, Iteration

    Dated = Callable[[float], datetime]
    _History = list[tuple[str, float]]

LOOP = "LOOP"  # the kind of an execution that is an iteration


def execution_json(
    execution: Execution, version: str, dated: Dated, *, is_brief: bool = False
) -> dict[str, Any]:
    """Return an execution.

    Args:
        execution: The execution.
        version: That of the server.
        dated: Returns the date of a moment.
        is_brief: Return it as 2.0 shows it where it is read: without `deleted`, and what its task
            runs are parts of. (Creations, actions and events show all that.)
    """
    shown: dict[str, Any] = {
        "id": execution.id,
        "namespace": execution.namespace,
        "flowId": execution.flow,
        "flowRevision": execution.revision,
        "labels": [{"key": key, "value": value} for key, value in execution.labels.items()],
        "state": _state(execution.history, version, dated),
        "originalId": execution.id if execution.iteration else execution.parent or execution.id,
        "metadata": {
            "attemptNumber": execution.attempts,
            "originalCreatedDate": iso(dated(execution.created), version),
        },
    }
    is_brief = is_brief and version == "2.0"
    if not is_brief:
        shown["deleted"] = False
    if execution.inputs:
        shown["inputs"] = {name: json_ready(value) for name, value in execution.inputs.items()}
    if execution.parent:
        shown["parentId"] = execution.parent
    if execution.iteration:
        shown |= {"kind": LOOP, "loopRun": _loop_run(execution.iteration, execution.parent)}
    if execution.schedule_date:
        shown["scheduleDate"] = iso(execution.schedule_date)
    if has_run(execution) or execution.parent:
        runs = task_runs(execution, version, dated)
        hidden = {"executionId", "namespace", "flowId", "outputs"} if is_brief else set()
        shown["taskRunList"] = [
            {key: value for key, value in run.items() if key not in hidden} for run in runs
        ]
    if version != "2.0" and (outputs := flow_outputs(execution)):
        shown["outputs"] = outputs
    return shown


def _loop_run(iteration: Iteration, parent: str | None) -> dict[str, Any]:
    value = iteration.value
    return {
        "parent": {"id": parent},
        "taskId": iteration.task,
        "taskRunId": f"{parent}-{iteration.task}",
        "index": iteration.index,
        "value": value if isinstance(value, str) else json.dumps(value),
    }


def has_run(execution: Execution) -> bool:
    """Return True if it has come to running tasks."""
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
    is_new = version == "2.0"
    began = history[0][1]
    whole = [("CREATED", began), *([("SUBMITTED", began)] if is_new else []), *history]
    run = {
        "id": run_id(execution, task),
        **_origin(execution, task),
        "attempts": [
            {"state": _state([("CREATED", each[0][1]), *each], version, dated)}
            for each in _attempts(history)
        ],
        "state": _state(whole, version, dated),
        "outputs": None if is_new else task_outputs(execution, task),
    }
    if execution.iteration:
        run["parentTaskRunId"] = f"{execution.parent}-{execution.iteration.task}"
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


def log_json(
    execution: Execution, entries: Iterable[tuple[float, str, str]], dated: Dated
) -> list[dict[str, Any]]:
    """Return entries of a log."""
    restarts = [since for state, since in execution.history if state == "RESTARTED"]
    return [
        {
            **_last_task(execution),
            "attemptNumber": sum(since < at for since in restarts),
            "timestamp": iso(dated(at)),
            "level": level,
            "thread": "worker_1",
            "message": message,
            **({"executionKind": LOOP} if execution.iteration else {}),
        }
        for at, level, message in entries
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


def _state(history: _History, version: str, dated: Dated) -> dict[str, Any]:
    current, last = history[-1]
    shown = {
        "current": current,
        "histories": [{"state": state, "date": iso(dated(at), version)} for state, at in history],
        "startDate": iso(dated(history[0][1]), version),
    }
    if current in TERMINAL_STATES:
        shown["endDate"] = iso(dated(last), version)
        shown["duration"] = f"PT{last - history[0][1]:.6f}S"
    return shown


def iso(moment: datetime, version: str = "") -> str:
    """Return a time as the server writes it; with its version, one of an execution."""
    timespec = "milliseconds" if version == "0.21" else "microseconds"
    return moment.astimezone(timezone.utc).isoformat(timespec=timespec)[:-6] + "Z"


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
