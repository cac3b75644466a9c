"""Flows, and executions with their states: what becomes of them as time passes. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kestra._api.models import OTHER_STATES, TERMINAL_STATES

if TYPE_CHECKING:
    from datetime import datetime

    from kestra._engine.messages import TaskMetric
    from kestra._testing.fake.inputs import Input
    from kestra._testing.fake.task import Result

# Seconds:
_SHORT = 0.1  # a state lasts where nothing else is said
_BEFORE_END = 0.001  # from the last log entry to the end of the task
_TICK = 1e-6  # between two log entries at least: what a timestamp shows

Step = tuple[str, float]
Function = Callable[[dict[str, Any]], Mapping[str, Any] | None]
Loop = tuple[Sequence[Any], str, Callable[[Any], Mapping[str, Any] | None]]


def steps_of(states: Sequence[str | tuple[str, float]]) -> list[Step]:
    """Return the course that a user describes, with the seconds that each state lasts."""
    steps: list[Step] = []
    for each in states:
        state, seconds = (each, None) if isinstance(each, str) else each
        if state not in TERMINAL_STATES | OTHER_STATES:
            raise ValueError(f"states: there is no state {state!r}")
        if state in TERMINAL_STATES or seconds is None:
            seconds = math.inf if state in TERMINAL_STATES | {"PAUSED"} else _SHORT
        if not seconds >= 0:
            raise ValueError(f"states: {state} must last 0 or more seconds")
        if steps and steps[-1][0] in TERMINAL_STATES:
            raise ValueError(f"states: {steps[-1][0]} must be the last")
        steps.append((state, seconds))
    return steps


@dataclass(frozen=True, repr=False)
class FlowDefinition:
    """A flow as it is registered by `FakeKestra.flow`, which says what these are."""

    namespace: str
    id: str
    function: Function
    inputs: list[Input] | None = None
    on_resume: list[Input] = field(default_factory=list)
    disabled: bool = False
    revisions: tuple[int, ...] = (1,)
    tasks: tuple[str, ...] = ("main",)
    labels: Mapping[str, str] = field(default_factory=dict)
    states: tuple[Step, ...] = ()
    loops: Mapping[str, Loop] = field(default_factory=dict)
    webhook: Mapping[str, Any] | None = None


@dataclass(eq=False, repr=False)
class Execution:
    """An execution: what was asked for, and what has become of it so far.

    Attributes:
        inputs: The inputs. Those that the flow declares are values of their types (`datetime`,
            `int`, …), and others the text that was sent; files are `bytes` with a `name`.
        labels: All its labels, system labels too.
        schedule_date: When it was to run.
        history: Each state that it was in, and when that began, in seconds of the fake's clock.
        logs: Its log: the time by that clock, the level and the message of each entry.
        metrics: Its metrics; timers in seconds.
        error: What the flow's function raised.
        resumed: The inputs that it was resumed with.
        parent: The execution that it is a replay of, or an iteration of a loop in.
    """

    definition: FlowDefinition
    id: str
    revision: int
    inputs: dict[str, Any]
    labels: dict[str, str]
    created: float
    schedule_date: datetime | None = None
    parent: str | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    attempts: int = 1
    loop_run: dict[str, Any] | None = None  # of an iteration
    # What has come about is not in a copy.
    history: list[tuple[str, float]] = field(default_factory=list, init=False)
    outputs: dict[str, Any] = field(default_factory=dict, init=False)
    logs: list[tuple[float, str, str]] = field(default_factory=list, init=False)
    metrics: list[TaskMetric] = field(default_factory=list, init=False)
    error: Exception | None = field(default=None, init=False)
    resumed: dict[str, Any] | None = field(default=None, init=False)
    was_shown_ended: bool = field(default=False, init=False)
    is_called: bool = field(default=False, init=False)  # the function, now or before
    is_busy: bool = field(default=False, init=False)  # the function is being called
    _course: list[Step] = field(default_factory=list, init=False)
    _lasts: float = field(default=math.inf, init=False)  # seconds of the present state

    def __repr__(self) -> str:
        states = ", ".join(state for state, _ in self.history)
        return f"<Execution {self.id} of {self.namespace}.{self.flow}: {states}>"

    @property
    def namespace(self) -> str:
        return self.definition.namespace

    @property
    def flow(self) -> str:
        return self.definition.id

    @property
    def state(self) -> str:
        return self.history[-1][0]

    @property
    def has_ended(self) -> bool:
        return self.state in TERMINAL_STATES

    @property
    def due(self) -> float:
        """The moment when the next state begins; endless where somebody has to do something."""
        return self.history[-1][1] + self._lasts

    @property
    def place(self) -> str:
        """Where the server keeps its files."""
        return f"///{self.namespace.replace('.', '/')}/{self.flow}/executions/{self.id}"

    @property
    def run_ids(self) -> dict[str, str]:
        return {task: f"{self.id}-{task}" for task in self.definition.tasks}

    def store(self, name: str, content: bytes) -> str:
        task = self.definition.tasks[-1]
        uri = f"kestra:{self.place}/tasks/{task}/{len(self.files)}-{name}"
        self.files[uri] = content
        return uri

    def copy(self, new_id: str, now: float, **changes: Any) -> Execution:
        """Return one that comes of this one, with the same inputs if no others are given."""
        mine: dict[str, Any] = {"labels": dict(self.labels), "files": dict(self.files)}
        mine |= {"parent": self.id, "schedule_date": None, "loop_run": None, **changes}
        return replace(self, id=new_id, created=now, **mine)

    def start(self, course: Sequence[Step], wait: float = 0) -> None:
        """Begin, with what is to happen and the seconds to wait for it before."""
        steps = list(course)
        end = [steps.pop()] if steps and steps[-1][0] in TERMINAL_STATES else []
        if not steps or steps[-1][0] != "RUNNING":
            steps.append(("RUNNING", _SHORT))
        if steps[0][0] != "CREATED":
            steps.insert(0, ("CREATED", _SHORT))
        steps[0] = ("CREATED", steps[0][1] + wait)
        self._course = [*steps, *end]
        self._enter(self.created)

    def step(self) -> bool:
        """Enter the next state; return True if the flow's function is to be called in it."""
        self._enter(self.due)
        runs_later = "RUNNING" in dict(self._course)
        self.is_busy = self.state == "RUNNING" and not runs_later and not self.is_called
        self.is_called = self.is_called or self.is_busy
        return self.is_busy

    def finish(self, result: Result, seconds: float) -> None:
        """Take over what the function did, and how long that took."""
        self.is_busy = False
        self.outputs, self.error = result.outputs, result.error
        self.metrics += result.metrics
        if self.state == "RUNNING":
            self._lasts = max(self._lasts, seconds)
        self._log(result.logs)
        if not self._course or self._course[-1][0] not in TERMINAL_STATES:
            self._course.append((result.state, math.inf))

    def _log(self, entries: Sequence[tuple[str, str]]) -> None:
        """Spread a log over the present state; the last entry comes at its end, as in scripts."""
        began = self.history[-1][1]
        lasts = self._lasts if math.isfinite(self._lasts) else 0.0
        step = max(lasts - _BEFORE_END, 0.0) / max(len(entries), 1)
        self.logs += [
            (began + number * max(step, _TICK), level, message)
            for number, (level, message) in enumerate(entries, 1)
        ]

    def _enter(self, at: float) -> None:
        state, self._lasts = self._course.pop(0)
        self.history.append((state, at))

    def _turn_to(self, now: float, *course: Step) -> None:
        self._course = list(course)
        self._enter(now)

    def kill(self, now: float) -> None:
        """Let it be killed; what it would have logged later is not logged."""
        self.logs = [entry for entry in self.logs if entry[0] <= now]
        self._turn_to(now, ("KILLING", _SHORT), ("KILLED", math.inf))

    def pause(self, now: float) -> None:
        """Let what runs stand still until somebody resumes it."""
        rest = max(self.due - now, 0)
        self._turn_to(now, ("PAUSED", math.inf), ("RUNNING", rest), *self._course)

    def resume(self, now: float) -> None:
        self._lasts = now - self.history[-1][1]

    def restart(self, now: float) -> None:
        self.is_called = False
        self.attempts += 1
        self.outputs, self.error = {}, None
        self._turn_to(now, ("RESTARTED", _SHORT), ("RUNNING", _SHORT))
