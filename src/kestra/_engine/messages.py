"""What the engine keeps of a task's lines, as values."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, SupportsIndex, overload

Stream = Literal["stdout", "stderr"]
Source = Literal["stdout", "stderr", "frame", "engine"]
State = Literal["SUCCESS", "WARNING", "FAILED", "KILLED", "CRASH"]


@dataclass(frozen=True, slots=True)
class TaskLog:
    """One entry of the log of a task, as `kestra.LogEntry` is one of an execution's.

    Attributes:
        level: `"TRACE"`, `"DEBUG"`, `"INFO"`, `"WARN"` or `"ERROR"`.
        message: `None` where a log frame came without one.
        source: where the entry comes from: an ordinary line of `"stdout"` or `"stderr"`, a
            `"frame"`, or the `"engine"` itself, which says in words of its own what it could
            not read (they are not imitated: compare the level).
    """

    level: str
    message: str | None
    source: Source


@dataclass(frozen=True, slots=True)
class TaskMetric:
    """A metric as it stands at the end: counters and timers added up, the last value of a gauge.

    Attributes:
        name: `None` where the frame named none.
        type: `"counter"`, `"timer"` or `"gauge"`.
        value: Seconds for a timer. `None` where the frame held no value.
        tags: Text, whatever was sent.
    """

    name: str | None
    type: str
    value: float | None
    tags: dict[str, str | None]


class Metrics(list[TaskMetric]):
    """The metrics in order of appearance; `metrics["rows"]` is the value of the one called rows."""

    __slots__ = ()

    @overload
    def __getitem__(self, key: SupportsIndex) -> TaskMetric: ...
    @overload
    def __getitem__(self, key: slice) -> list[TaskMetric]: ...
    @overload
    def __getitem__(self, key: str) -> float | None: ...
    def __getitem__(
        self, key: SupportsIndex | slice | str
    ) -> TaskMetric | list[TaskMetric] | float | None:
        """Look up by position, or a value by name.

        Raises:
            KeyError: No metric has that name, or several do, with other tags or types.
        """
        if not isinstance(key, str):
            return super().__getitem__(key)
        found = [metric for metric in self if metric.name == key]
        if not found:
            raise KeyError(f"no metric is called {key!r}; there are {[m.name for m in self]}")
        if len(found) > 1:
            raise KeyError(
                f"{len(found)} metrics are called {key!r}: choose by tags or type, as in "
                f"[each.value for each in metrics if each.tags == {found[0].tags}]"
            )
        return found[0].value

    def __contains__(self, item: object) -> bool:
        if isinstance(item, str):
            return any(metric.name == item for metric in self)
        return super().__contains__(item)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line of which something is lost, or all of it.

    A line that was meant as a frame, but is not one, is here, although the engine logs its text.

    Attributes:
        line_number: From 1, counted per stream.
        stream: `"stdout"` or `"stderr"`.
        text: The line, without its end.
        reason: What is lost and why, and how to avoid it.
    """

    line_number: int
    stream: Stream
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Messages:
    """What the engine keeps of a task's lines.

    Attributes:
        outputs: The outputs of all frames, the last value of a key.
        metrics: The metrics, added up.
        logs: Ordinary lines and log frames, in order.
        assets: The `assets` objects of the frames, as printed; only the Enterprise Edition
            keeps any.
        rejected: The lines of which something is lost.
        state: `"SUCCESS"`, or `"WARNING"` where the engine makes it that; where a script was run,
            `"FAILED"` after a non-zero exit, and `"KILLED"` where it was killed; `"CRASH"` where
            a line takes the server down or leaves the execution running forever. After a crash
            the other attributes hold what the task had sent, not what survives.
    """

    outputs: dict[str, Any]
    metrics: Metrics
    logs: list[TaskLog]
    assets: list[dict[str, Any]]
    rejected: list[Rejected]
    state: State


@dataclass(frozen=True, slots=True)
class ScriptMessages(Messages):
    """What the engine keeps of the lines of a script that has ended.

    Attributes:
        exit_status: That of the script; 128 + N where signal N ended it.
    """

    exit_status: int

    @classmethod
    def of(cls, messages: Messages, returncode: int, *, killed: bool = False) -> ScriptMessages:
        """Return `messages` with the end of the process, as `Popen.returncode` tells it."""
        values = {field.name: getattr(messages, field.name) for field in fields(messages)}
        if (returncode or killed) and messages.state != "CRASH":
            values["state"] = "KILLED" if killed else "FAILED"
        return cls(**values, exit_status=returncode if returncode >= 0 else 128 - returncode)
