"""What was reported already to somebody who follows an execution. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from kestra._api.models import TERMINAL_STATES, LogEntry, StateChange
from kestra._api.parsing import whole_state

if TYPE_CHECKING:
    from collections.abc import Iterable


class ReportedStates:
    """The part of an execution's history that was reported."""

    def __init__(self) -> None:
        self._count = 0
        self._last: str | None = None

    def new_in(self, execution: Any) -> list[StateChange]:
        """Return the changes that a response has and none before it had."""
        state = whole_state(execution)
        if state.history and not self._count:
            self._count = self._known_of([change.state for change in state.history])
        new = list(state.history[self._count :])
        self._count += len(new)
        self._last = new[-1].state if new else self._last
        # Without any history, or where it lags behind the end, the present state is a change.
        if (not self._count or state.current in TERMINAL_STATES) and state.current != self._last:
            self._last = str(state.current)
            new.append(StateChange(self._last, None))
        return new

    def _known_of(self, states: list[str]) -> int:
        """Return how many states of a history were reported as the present one, at their time."""
        return len(states) - states[::-1].index(self._last) if self._last in states else 0


class ReportedEntries:
    """The log entries that were reported.

    Two entries can be the same in everything: 0.21 counts milliseconds, and a task may print a
    line twice in one. How often there is such an entry, only the stored log says: what a stream
    repeats may as well be a repetition.
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()  # by hash: a log may be large
        self._streamed: dict[int, LogEntry] = {}  # those not known to be stored

    def is_new(self, entry: LogEntry) -> bool:
        """Return True if there was no such entry in the stream so far, and take note of it."""
        key = hash(entry)
        if key in self._counts:
            return False
        self._counts[key] = 1
        self._streamed[key] = entry
        return True

    def new_in(self, stored: Iterable[LogEntry]) -> list[LogEntry]:
        """Return the entries of the stored log that were not reported, and take note of them."""
        met: Counter[int] = Counter()
        new = []
        for entry in stored:
            key = hash(entry)
            met[key] += 1
            self._streamed.pop(key, None)
            if met[key] > self._counts[key]:
                self._counts[key] += 1
                new.append(entry)
        return new

    @property
    def not_stored(self) -> list[LogEntry]:
        """The entries that came by the stream, and that no stored log had so far."""
        return list(self._streamed.values())
