"""What the server's answers say of an execution, as values. Pure.

Answers of other versions than those known may lack anything: what is not there, or makes no sense,
is `None` or empty, and no error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from kestra._client.executions import TERMINAL_STATES, state_of
from kestra.exceptions import ExecutionFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR")
_GOOD = frozenset({"SUCCESS", "WARNING"})
_BAD = frozenset({"FAILED", "KILLED", "CANCELLED"})
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")


# --- values ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StateChange:
    """One entry of a history: from this time on it was in this state. As text, it is the state.

    Attributes:
        state: The name of the state.
        time: When it began, with its offset.
    """

    state: str
    time: datetime | None

    def __str__(self) -> str:
        return self.state


@dataclass(frozen=True, slots=True)
class State:
    """The state of an execution or of a task run, and how it came about.

    Attributes:
        current: The name of the present state, `None` if the server told none.
        history: Every state that it was in, the first one first.
    """

    current: str | None
    history: tuple[StateChange, ...] = ()

    @property
    def start(self) -> datetime | None:
        """When it was created."""
        return self.history[0].time if self.history else None

    @property
    def end(self) -> datetime | None:
        """When it ended, `None` while it has not."""
        ended = self.history and self.current in TERMINAL_STATES
        return self.history[-1].time if ended else None

    @property
    def duration(self) -> float | None:
        """Seconds from the creation to the end, `None` while it has not ended."""
        if self.start is None or self.end is None:
            return None
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One run of a task.

    Attributes:
        id: Its id.
        task: The id of the task.
        state: Its state, with the history and the duration.
        attempts: How many attempts there were.
        value: The value that it ran for, where the task is in a loop.
        parent_id: The id of the task run around it, where there is one.
        outputs: Its outputs as far as the answer has them; 2.0 shows them elsewhere, and it is
            `None`: see `Flow.get_outputs`.
    """

    id: str
    task: str
    state: State
    attempts: int = 0
    value: str | None = None
    parent_id: str | None = None
    outputs: dict[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of an execution's log. As text, it is a line of it.

    `2026-01-31T12:00:00.123Z INFO  load: 3 rows`: the time in UTC, the level, the task, the
    message.

    Attributes:
        time: When it was logged.
        level: `TRACE`, `DEBUG`, `INFO`, `WARN` or `ERROR`.
        message: The text; it may have several lines.
        task: The id of the task, `None` where the entry belongs to none.
        task_run_id: The id of the task run, likewise.
        attempt: Which attempt of the task run it was, from 0 on.
    """

    time: datetime | None
    level: str
    message: str
    task: str | None = None
    task_run_id: str | None = None
    attempt: int | None = None

    def __str__(self) -> str:
        time = ""
        if self.time is not None:
            in_utc = self.time.astimezone(timezone.utc).replace(tzinfo=None)
            time = f"{in_utc.isoformat(timespec='milliseconds')}Z "
        task = "" if self.task is None else f"{self.task}: "
        return f"{time}{self.level:5} {task}{self.message}"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that a task has sent.

    Attributes:
        name: Its name.
        type: `counter`, `timer` or `gauge`.
        value: The value; for a timer, seconds.
        tags: Its tags.
        task: The id of the task.
        task_run_id: The id of the task run.
        time: When it was sent.
    """

    name: str
    type: str
    value: float
    tags: dict[str, str]
    task: str | None = None
    task_run_id: str | None = None
    time: datetime | None = None


@dataclass(slots=True)
class FlowExecution:
    """What became of an execution.

    Two are equal if their first four attributes are. What follows those is as the last answer
    about the execution had it; if nobody waited, there is the address only.

    Attributes:
        execution_id: Its id.
        status: The terminal state that it ended in, or `STARTED` if nobody waited. From
            `Flow.get_execution`, the present state.
        log: Its log, one line an entry; `None` if it was not fetched or could not be.
        error: For one that ended badly, which task did so, in which state, and the last message
            that it logged as ERROR; `None` if the server says nothing of it.
        outputs: The outputs of the flow; `None` where the answer has none: the flow has none, or
            the server (2.0) shows them elsewhere, where `Flow.get_outputs` finds them.
        url: Where the user interface shows it.
        state: Its state, with the history.
        duration: Seconds from its creation to its end, `None` while it has not ended.
        task_runs: The runs of its tasks, in the server's order.
    """

    execution_id: str
    status: str | None
    log: str | None
    error: str | None
    outputs: dict[str, Any] | None = field(default=None, compare=False, repr=False)
    url: str | None = field(default=None, compare=False)
    state: State | None = field(default=None, compare=False, repr=False)
    duration: float | None = field(default=None, compare=False)
    task_runs: tuple[TaskRun, ...] = field(default=(), compare=False, repr=False)

    @property
    def ok(self) -> bool:
        """Whether it has ended, and in SUCCESS or WARNING."""
        return self.status in _GOOD

    def raise_for_status(self) -> None:
        """Raise an error if it has ended, and not well; do nothing if it has not ended.

        Raises:
            ExecutionFailed: It ended in another state than SUCCESS or WARNING.
        """
        if self.ok or self.status not in TERMINAL_STATES:
            return
        text = f"execution {self.execution_id} ended in the state {self.status}"
        text += f": {self.error}" if self.error else ""
        text += f" ({self.url})" if self.url else ""
        raise ExecutionFailed(
            text,
            execution_id=self.execution_id,
            status=self.status,
            error=self.error,
            result=self,
        )


# --- from answers ----------------------------------------------------------------------------


def time_of(text: Any) -> datetime | None:
    """Return a time as servers write it: with a `Z` or an offset, and up to nine decimals."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    seconds, decimals, offset = match.groups()
    # Python 3.10 reads three or six decimals, and no `Z`.
    offset = "+00:00" if offset == "Z" else offset
    try:
        return datetime.fromisoformat(f"{seconds}.{(decimals or '')[:6]:0<6}{offset}")
    except ValueError:
        return None


def whole_state(holder: Any) -> State:
    """Return the state of an execution, or of a task run, with its history."""
    state = holder.get("state") if isinstance(holder, dict) else None
    listed = state.get("histories") if isinstance(state, dict) else None
    history = tuple(
        StateChange(str(each.get("state")), time_of(each.get("date"))) for each in _objects(listed)
    )
    return State(state_of(holder), history)


def outputs_in(holder: Any) -> dict[str, Any] | None:
    """Return the outputs that an execution or a task run shows, `None` if it shows none."""
    outputs = holder.get("outputs") if isinstance(holder, dict) else None
    return outputs if isinstance(outputs, dict) else None


def task_runs_of(execution: Any) -> tuple[TaskRun, ...]:
    """Return the task runs of an execution."""
    listed = execution.get("taskRunList") if isinstance(execution, dict) else None
    return tuple(
        TaskRun(
            id=str(run.get("id")),
            task=str(run.get("taskId")),
            state=whole_state(run),
            attempts=len(_objects(run.get("attempts"))),
            value=_text(run.get("value")),
            parent_id=_text(run.get("parentTaskRunId")),
            outputs=outputs_in(run),
        )
        for run in _objects(listed)
    )


def checked_level(level: Any) -> str:
    """Return a level that there is.

    Raises:
        TypeError: It is no string.
        ValueError: There is no such level.
    """
    if not isinstance(level, str):
        raise TypeError(f"min_level must be one of {', '.join(LEVELS)}, not {type(level).__name__}")
    if level not in LEVELS:
        raise ValueError(f"min_level must be one of {', '.join(LEVELS)}, not {level!r}")
    return level


def is_shown(level: Any, min_level: str) -> bool:
    """Say whether a level is the least one or above it; one that is not known here is shown."""
    return level not in LEVELS[: LEVELS.index(min_level)]


def log_entries(answer: Any, min_level: str = "TRACE") -> list[LogEntry]:
    """Return the log entries of an answer, from a level on: not every server leaves out others."""
    return [
        LogEntry(
            time=time_of(entry.get("timestamp")),
            level=str(entry.get("level")),
            message=_text(entry.get("message")) or "",
            task=_text(entry.get("taskId")),
            task_run_id=_text(entry.get("taskRunId")),
            attempt=_integer(entry.get("attemptNumber")),
        )
        for entry in _objects(answer)
        if is_shown(entry.get("level"), min_level)
    ]


def metrics_of(answer: Any) -> list[Metric]:
    """Return the metrics on a page."""
    return [
        Metric(
            name=str(entry.get("name")),
            type=str(entry.get("type")),
            # Of a timer, the task sends seconds, and the API shows milliseconds.
            value=float(entry["value"]) / (1000 if entry.get("type") == "timer" else 1),
            tags={str(k): str(v) for k, v in _mapping(entry.get("tags")).items()},
            task=_text(entry.get("taskId")),
            task_run_id=_text(entry.get("taskRunId")),
            time=time_of(entry.get("timestamp")),
        )
        for entry in _objects(answer.get("results") if isinstance(answer, dict) else None)
        if isinstance(entry.get("value"), int | float)
    ]


# --- what failed -----------------------------------------------------------------------------


def ended_badly(execution: Any) -> bool:
    """Say whether an execution has ended in a state that needs an explanation."""
    return state_of(execution) in _BAD


def culprit(task_runs: Iterable[TaskRun]) -> TaskRun | None:
    """Return the task run that made an execution end badly.

    It is the first that did so itself: a run around another takes over the other's state. One
    that failed goes before one that was killed, which may have been so on account of it.
    """
    bad = [run for run in task_runs if run.state.current in _BAD]
    around = {run.parent_id for run in bad}
    own = [run for run in bad if run.id not in around]
    return min(own, key=lambda run: run.state.current != "FAILED", default=None)


def error_text(run: TaskRun | None, errors: Iterable[LogEntry]) -> str | None:
    """Return what failed, in words.

    Args:
        run: The run that did, if one did.
        errors: What was logged as ERROR.
    """
    own = [entry for entry in errors if run is None or entry.task_run_id == run.id]
    # The sort is stable: where times are the same, the server's order counts.
    own.sort(key=lambda entry: entry.time or datetime.min.replace(tzinfo=timezone.utc))
    message = own[-1].message.strip() if own else ""
    if run is None:
        return message or None
    value = f" ({run.value})" if run.value else ""
    said = f": {message}" if message else ""
    return f"task {run.task}{value} ended in the state {run.state.current}{said}"


# --- pieces of an answer ---------------------------------------------------------------------


def _objects(listed: Any) -> list[dict[str, Any]]:
    """Return the objects of a list."""
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) else None
