"""What somebody who follows an execution was told of it already. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from kestra._api.models import TERMINAL_STATES, StateChange
from kestra._api.parsing import whole_state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kestra._api.models import LogEntry


class SeenStates:
    """The part of an execution's history that was told."""

    def __init__(self) -> None:
        self._count = 0
        self._last: str | None = None

    def new_in(self, execution: Any) -> list[StateChange]:
        """Return the changes that an answer has and none before it had."""
        state = whole_state(execution)
        if state.history and not self._count:
            self._count = self._told_of([change.state for change in state.history])
        new = list(state.history[self._count :])
        self._count += len(new)
        self._last = new[-1].state if new else self._last
        # Without any history, or where it lags behind the end, the present state tells a change.
        if (not self._count or state.current in TERMINAL_STATES) and state.current != self._last:
            self._last = str(state.current)
            new.append(StateChange(self._last, None))
        return new

    def _told_of(self, states: list[str]) -> int:
        """Return how many states of a history were told as the present state, each at its time."""
        return len(states) - states[::-1].index(self._last) if self._last in states else 0


class SeenEntries:
    """The log entries that were told.

    Two entries can be the same in everything: 0.21 counts milliseconds, and a task may print a
    line twice in one. How often there is such an entry, only the stored log says: what a stream
    repeats may as well be a repetition.
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()  # by hash: a log may be large

    def __len__(self) -> int:
        return len(self._counts)

    def is_new(self, entry: LogEntry) -> bool:
        """Say whether there was no such entry so far, and take note of it."""
        key = hash(entry)
        if key in self._counts:
            return False
        self._counts[key] = 1
        return True

    def new_in(self, stored: Iterable[LogEntry]) -> list[LogEntry]:
        """Return the entries of the stored log that were not told, and take note of them."""
        met: Counter[int] = Counter()
        new = []
        for entry in stored:
            key = hash(entry)
            met[key] += 1
            if met[key] > self._counts[key]:
                self._counts[key] += 1
                new.append(entry)
        return new

    def are_in(self, stored: Iterable[LogEntry]) -> bool:
        """Say whether the stored log has everything that was told."""
        return self._counts <= Counter(map(hash, stored))
