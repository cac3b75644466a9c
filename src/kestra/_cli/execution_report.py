"""What is shown of an execution: text for people, JSON for programs. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kestra._api.models import TERMINAL_STATES, FlowExecution, LogEntry, TaskRun
from kestra._engine.report import columns, counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date


_MINUTE = 60


def summary(execution: FlowExecution) -> str:
    """Return the state in one line: `SUCCESS after 12.3 s, 3 of 3 tasks done`."""
    text = str(execution.status)
    if execution.duration is not None:
        text += f" after {duration(execution.duration)}"
    if execution.task_runs:
        text += f", {tasks_done(execution.task_runs)}"
    return text


def tasks_done(runs: Sequence[TaskRun]) -> str:
    done = sum(run.state.current in TERMINAL_STATES for run in runs)
    return f"{done} of {counted(len(runs), 'task')} done"


def duration(seconds: float) -> str:
    """Return a duration as people read it: `12.3 s`, `2 min 5 s`, `1 h 0 min`."""
    if round(seconds, 1) < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    if minutes < _MINUTE:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours} h {minutes} min"


def as_text(execution: FlowExecution, room: int | None = None) -> str:
    """Return all that is known of an execution, but for its log, in so many columns."""
    lines = [f"{execution.execution_id}: {summary(execution)}"]
    lines += filter(None, (execution.url, execution.error))
    tables = {
        "Tasks": map(_task_row, execution.task_runs),
        "Outputs": _output_rows(execution.outputs or {}),
    }
    for title, rows in tables.items():
        table = list(columns(rows, room, indent="  "))
        lines += ["", title, *table] if table else []
    return printable("\n".join(lines))


def output_lines(outputs: Mapping[str, Any], room: int | None = None) -> str:
    """Return outputs, one a line, or wrapped to so many columns: name, and value as JSON."""
    return "\n".join(columns(_output_rows(outputs), room))


def _output_rows(outputs: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, value in outputs.items():
        yield printable(name), printable(json.dumps(value, ensure_ascii=False))


def _task_row(run: TaskRun) -> tuple[str, ...]:
    name = run.task if run.value is None else f"{run.task} ({run.value})"
    took = "" if run.state.duration is None else duration(run.state.duration)
    return printable(name), str(run.state.current), took


def as_json(shown: FlowExecution | LogEntry) -> str:
    """Return the attributes as a JSON object, but for the log of an execution."""
    attributes = asdict(shown)
    attributes.pop("log", None)
    return json.dumps(attributes, default=instant)


def instant(time: date) -> str:
    return time.isoformat().replace("+00:00", "Z")
