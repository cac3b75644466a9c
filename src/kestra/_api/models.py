"""What an execution is, as values: its state, task runs, log entries, metrics, and its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kestra._values.times import utc_text
from kestra.exceptions import ExecutionFailed

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any

TERMINAL_STATES = frozenset(
    {"SUCCESS", "WARNING", "FAILED", "KILLED", "CANCELLED", "RETRIED", "SKIPPED", "RESUBMITTED"}
)
OTHER_STATES = frozenset({"CREATED", "SUBMITTED", "RUNNING", "PAUSED", "RESTARTED", "KILLING",
                          "QUEUED", "RETRYING", "BREAKPOINT"})  # fmt: skip
GOOD_STATES = frozenset({"SUCCESS", "WARNING"})
CORRELATION = "system.correlationId"  # the label by which an execution is found again
LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR")


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
        current: The name of the present state, `None` if the server reported none.
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
        outputs: Its outputs as far as the response has them; 2.0 has them elsewhere, and this is
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
        task_run_id: The id of the task run, `None` where the entry belongs to none.
        attempt: Which attempt of the task run it was, from 0 on.
    """

    time: datetime | None
    level: str
    message: str
    task: str | None = None
    task_run_id: str | None = None
    attempt: int | None = None

    def __str__(self) -> str:
        time = "" if self.time is None else f"{utc_text(self.time, 'milliseconds')} "
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

    Two are equal if their first four attributes are. The others are from the last response
    about the execution; if nobody waited, only `url` is set.

    Attributes:
        execution_id: Its id.
        status: The terminal state that it ended in, or `STARTED` if nobody waited. From
            `Flow.get_execution`, the present state.
        log: Its log, one line an entry; `None` if it was not fetched or could not be.
        error: For one that ended badly, which task did so, in which state, and the last message
            that it logged as ERROR; `None` if the server says nothing of it.
        outputs: The outputs of the flow, none of them where it has none; `None` while it runs, or
            where they could not be had (the reason is logged).
        url: Where the user interface shows it.
        state: Its state, with the history.
        duration: Seconds from its creation to its end, `None` while it has not ended.
        task_runs: The runs of its tasks, in the server's order.
        log_complete: True if the end of the log is known; False, with a warning in the log
            `kestra`, if it may lack something. `None` if nothing marks the end (the last task logs
            none), if the log was fetched at once (`log_settle=0`), or not at all.
    """

    execution_id: str
    status: str | None
    log: str | None = field(repr=False)
    error: str | None
    outputs: dict[str, Any] | Any = field(default=None, compare=False)
    url: str | None = field(default=None, compare=False)
    state: State | None = field(default=None, compare=False, repr=False)
    duration: float | None = field(default=None, compare=False)
    task_runs: tuple[TaskRun, ...] = field(default=(), compare=False, repr=False)
    log_complete: bool | None = field(default=None, compare=False, repr=False)

    @property
    def ok(self) -> bool:
        """Whether it has ended, and in SUCCESS or WARNING."""
        return self.status in GOOD_STATES

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from kestra._api.html import execution_html

        return execution_html(self)

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
