"""The two streams of an execution, its states and its log, and the polls that take their place.

A stream is opened, and opened again when it breaks; where there is none, or it says nothing, the
server is polled.
"""

from __future__ import annotations

import json
import logging
import math
from abc import ABC, abstractmethod
from collections import Counter
from typing import TYPE_CHECKING, Any

from kestra._api.models import TERMINAL_STATES, LogEntry, StateChange
from kestra._api.parsing import log_entries, state_of, whole_state
from kestra._rules.pages import BRIEFLY
from kestra._rules.reading import stored_entries
from kestra._rules.waiting import is_transient, next_pause
from kestra._values.signals import is_interruption
from kestra.exceptions import ReadTimeout

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kestra._rules.io import IO, Event, Stream
    from kestra._rules.waiting import Wait

    Change = LogEntry | StateChange

logger = logging.getLogger("kestra")

# Seconds.
_SILENT = 2.0  # a stream that has said nothing by then is held back on its way
_TRUSTED = 60.0  # a stream of states that says nothing for so long may have lost its other end
_FIRST_PAUSE = 0.1  # before a stream that broke is opened again
_LONGEST_PAUSE = 10.0
_LOG_PAUSE = 0.5  # between two polls of the log, at the least

# Compressed, an event would wait for the next ones.
_HEADERS = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}


class Channel(ABC):
    """A stream that is opened, and opened again when it breaks; and polls in place of it."""

    _kind: str
    _trusted: float
    _shortest_pause = 0.0

    def __init__(self, io: IO, wait: Wait, query: dict[str, str] | None = None) -> None:
        self._io = io
        self._wait = wait
        self._query = {"params": query} if query else {}
        self.stream: Stream | None = None  # while it is open
        self.works = False  # the open stream has said something; then polls are seldom
        self._worked = False  # whether this one or one before has said anything
        self._opens_at = self.polls_at = wait.begin
        self._failures = 0  # since it last reported something new

    @abstractmethod
    async def poll(self) -> Sequence[Change]:
        """Ask the server how things are, and return what is new in that."""

    @abstractmethod
    def read(self, data: Any) -> Sequence[Change] | None:
        """Return what is new in the data of an event, `None` if it does not show a thing."""

    @property
    def due(self) -> float:
        return min(self.polls_at, math.inf if self.stream else self._opens_at)

    async def tend(self) -> Sequence[Change]:
        """Open the stream, or poll, if it is time to."""
        if self.stream is None and self._opens_at <= self._io.clock.now():
            await self._open()
        if self.polls_at > self._io.clock.now():
            return ()
        found = await self.poll()
        if self.works:
            self.polls_at = self._io.clock.now() + self._trusted
        else:
            self._plan_poll()
        return found

    async def take(self, event: Event | None) -> Sequence[Change]:
        """Return what is new in an event of the stream; `None` is its end."""
        if event is None:
            self.stream = None
            self.works = False
            self._wait_to_open()
            return ()
        found = self.read(await self._io.call(_json, event.data))
        if found is None:
            return ()
        self.works = self._worked = True
        self.polls_at = self._io.clock.now() + self._trusted
        if found:
            self._failures = 0
        return found

    async def close(self) -> None:
        stream, self.stream = self.stream, None
        if stream is not None:
            await self._io.close(stream)

    async def _open(self) -> None:
        url = self._io.server.url(f"{self._kind}/{{id}}/follow", id=self._wait.execution_id)
        within = self._wait.within(self._io)
        try:
            self.stream = await self._io.listen(url, within=within, headers=_HEADERS, **self._query)
        except Exception as error:  # a mock's too; a poll will show what is wrong
            if is_interruption(error):
                raise
            # A stream that does not begin in time is held back on its way.
            is_held_back = isinstance(error, ReadTimeout)
            self._wait_to_open(again=is_transient(error) and not is_held_back)
            return
        if self.stream is None:
            self._wait_to_open(again=False)
        else:
            self.polls_at = self._io.clock.now() + _SILENT

    def _wait_to_open(self, *, again: bool = True) -> None:
        """Poll soon, and open the stream later, or never again if none ever worked."""
        pause = min(_FIRST_PAUSE * 2.0 ** min(self._failures, 10), _LONGEST_PAUSE)
        self._failures += 1
        self._opens_at = self._io.clock.now() + pause if again or self._worked else math.inf
        self._plan_poll()

    def _plan_poll(self) -> None:
        now = self._io.clock.now()
        pause = next_pause(self._wait.options.poll_interval, now - self._wait.begin)
        self.polls_at = now + max(pause, self._shortest_pause)


class States(Channel):
    """The states. Each event is the whole execution."""

    _kind = "executions"
    _trusted = _TRUSTED

    def __init__(self, io: IO, wait: Wait) -> None:
        super().__init__(io, wait)
        self.execution: dict[str, Any] = {}  # as it was last shown
        self._reported = 0  # changes of its history
        self._last: str | None = None

    @property
    def ended(self) -> bool:
        return state_of(self.execution) in TERMINAL_STATES

    async def poll(self) -> Sequence[Change]:
        execution = await self._wait.poll(self._io)
        return () if execution is None else self._shown(execution)

    def read(self, data: Any) -> Sequence[Change] | None:
        # 1.3 begins with an execution that has no state.
        return None if state_of(data) is None else self._shown(data)

    def _shown(self, execution: dict[str, Any]) -> Sequence[Change]:
        """Take note of a response, and return the changes that none before it had."""
        self.execution = execution
        state = whole_state(execution)
        if not self._reported:
            states = [change.state for change in state.history]
            if self._last in states:  # reported as the present state, at its time
                self._reported = len(states) - states[::-1].index(self._last)
        new = list(state.history[self._reported :])
        self._reported += len(new)
        self._last = new[-1].state if new else self._last
        # Without any history, or where it lags behind the end, the present state is a change.
        if (not self._reported or state.current in TERMINAL_STATES) and state.current != self._last:
            self._last = str(state.current)
            new.append(StateChange(self._last, None))
        return new


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


class Log(Channel):
    """The log, from a level on. Each event is an entry."""

    _kind = "logs"
    _trusted = math.inf
    _shortest_pause = _LOG_PAUSE

    def __init__(self, io: IO, wait: Wait, min_level: str) -> None:
        super().__init__(io, wait, {"minLevel": min_level})
        self._min_level = min_level
        self.reported = ReportedEntries()
        self.in_doubt = False  # the stream may have missed some
        self.stored_count: float = math.inf  # entries of all levels, as far as is known

    async def poll(self) -> Sequence[Change]:
        return await self.stored(self._wait.within(self._io)) or ()

    async def stored(self, seconds: float = math.inf) -> list[LogEntry] | None:
        """Return what is new in the log as it is stored so far, `None` if it cannot be had."""
        limits = {**BRIEFLY, "within": min(seconds, BRIEFLY["within"])}
        try:
            execution_id = self._wait.execution_id
            entries = await stored_entries(self._io, execution_id, self._min_level, **limits)
        except Exception as error:  # whatever a caller's own `_make_request` raises
            if is_interruption(error):
                raise
            logger.debug("The log could not be read: %s", type(error).__name__)
            return None
        if self._min_level == "TRACE":
            self.stored_count = len(entries)
        return self.reported.new_in(entries)

    def read(self, data: Any) -> Sequence[Change] | None:
        # The first event shows a stream that works, and is no entry.
        is_entry = isinstance(data, dict) and (data.get("level") or data.get("message"))
        entries = log_entries([data], self._min_level) if is_entry else []
        new = [entry for entry in entries if self.reported.is_new(entry)]
        self.in_doubt |= len(new) < len(entries)
        return new

    async def _open(self) -> None:
        await super()._open()
        if self.stream is not None and self.in_doubt:
            self.polls_at = self._io.clock.now()  # what the old one has missed is stored

    def _wait_to_open(self, *, again: bool = True) -> None:
        super()._wait_to_open(again=again)
        self.in_doubt = True


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
