"""The two streams of an execution, its states and its log, and what takes their place.

A stream is opened, and opened again when it breaks; where there is none, or it says nothing, the
server is asked now and then. Everything here happens in the thread of the caller.
"""

from __future__ import annotations

import json
import logging
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from queue import Queue
from typing import TYPE_CHECKING, Any

from kestra._api.models import TERMINAL_STATES, LogEntry, StateChange
from kestra._api.parsing import log_entries, state_of
from kestra._client.seen import SeenEntries, SeenStates
from kestra._client.waiting import LAST_LOOK, Stopwatch, is_transient, look_within, next_pause
from kestra._http.session import once, within
from kestra._http.stream import Stream
from kestra.exceptions import RequestTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import requests

    from kestra._http.events import Event

    Told = LogEntry | StateChange

logger = logging.getLogger("kestra")

# Seconds.
_SILENT = 2.0  # a stream that has said nothing by then is held back on its way
_TRUSTED = 60.0  # a stream of states that says nothing for so long may have lost its other end
_FIRST_PAUSE = 0.1  # before a stream that broke is opened again
_LONGEST_PAUSE = 10.0
_LOG_PAUSE = 0.5  # between two looks at the log, at the least
_LONGEST_ASKING = 10.0  # for the log


@dataclass(slots=True)
class Followed:
    """The execution that is followed, and for how long.

    Attributes:
        execution_id: Its id.
        connect: Opens a stream: of `executions`, the states, or of `logs`.
        look: Asks for the execution.
        entries: Asks for its log.
        min_level: The least level of what is told of its log; `None` for none of it.
        poll_interval: The longest pause between two looks, in seconds.
        end: When the timeout is over, by `watch`.
        patience: How long it may be unknown to the server, in seconds.
        inbox: The events of its streams.
        watch: The time since the beginning.
    """

    execution_id: str
    connect: Callable[[str], requests.Response]
    look: Callable[[], dict[str, Any]]
    entries: Callable[[], list[LogEntry]]
    min_level: str | None
    poll_interval: float
    end: float
    patience: float
    # No SimpleQueue: given a timeout that is over already, its `get` may wait for ever.
    inbox: Queue[tuple[Stream, Event | None]] = field(default_factory=Queue)
    watch: Stopwatch = field(default_factory=Stopwatch)

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.watch.elapsed

    @property
    def left(self) -> float:
        """Seconds until the end of the timeout; none, or less, if it is over."""
        return self.end - self.now


class Channel(ABC):
    """A stream that is opened, and opened again when it breaks; and looks in place of it.

    Attributes:
        stream: The stream while it is open.
        works: Whether the open stream has said anything.
        looks_at: When to look. While the stream works, that is seldom.
    """

    _kind: str
    _trusted: float

    def __init__(self, followed: Followed) -> None:
        self._followed = followed
        self.stream: Stream | None = None
        self.works = False
        self._worked = False  # whether this one or one before has said anything
        self._opens_at = self.looks_at = 0.0
        self._failures = 0  # since it last told something new

    @abstractmethod
    def look(self) -> Sequence[Told]:
        """Ask the server how things are, and return what is new in that."""

    @abstractmethod
    def read(self, data: Any) -> Sequence[Told] | None:
        """Return what is new in the data of an event, `None` if it does not show a thing."""

    @property
    def _pause(self) -> float:
        """Seconds until the next look, where there is no stream."""
        return next_pause(self._followed.poll_interval, self._followed.now)

    @property
    def due(self) -> float:
        """When there is something to do next."""
        return min(self.looks_at, math.inf if self.stream else self._opens_at)

    def tend(self) -> Sequence[Told]:
        """Open the stream, or look, if it is time to."""
        if self.stream is None and self._opens_at <= self._followed.now:
            self._open()
        if self.looks_at > self._followed.now:
            return ()
        found = self.look()
        self.looks_at = self._followed.now + (self._trusted if self.works else self._pause)
        return found

    def take(self, event: Event | None) -> Sequence[Told]:
        """Return what is new in an event of the stream; `None` is its end."""
        if event is None:
            self.stream = None
            self.works = False
            self._wait_to_open()
            return ()
        found = self.read(_json(event.data))
        if found is None:
            return ()
        self.works = self._worked = True
        self.looks_at = self._followed.now + self._trusted
        if found:
            self._failures = 0
        return found

    def close(self) -> None:
        """Close the stream."""
        if self.stream is not None:
            self.stream.close()
            self.stream = None

    def _open(self) -> None:
        try:
            with once(), within(max(self._followed.left, LAST_LOOK)):
                response = self._followed.connect(self._kind)
        except Exception as error:  # noqa: BLE001  # a mock's too; a look will show what is wrong
            # A stream that does not begin in time is held back on its way.
            is_held_back = type(error) is RequestTimeout
            self._wait_to_open(again=is_transient(error) and not is_held_back)
            return
        if not str(response.headers.get("Content-Type")).startswith("text/event-stream"):
            response.close()
            self._wait_to_open(again=False)
            return
        self.stream = Stream(response, self._followed.inbox)
        self.looks_at = self._followed.now + _SILENT

    def _wait_to_open(self, *, again: bool = True) -> None:
        """Look soon, and open the stream later, or never again if none ever worked."""
        now = self._followed.now
        pause = min(_FIRST_PAUSE * 2.0 ** min(self._failures, 10), _LONGEST_PAUSE)
        self._failures += 1
        self._opens_at = now + pause if again or self._worked else math.inf
        self.looks_at = now + self._pause


class States(Channel):
    """The states. Each event is the whole execution.

    Attributes:
        execution: The execution as it was last shown.
    """

    _kind = "executions"
    _trusted = _TRUSTED

    def __init__(self, followed: Followed) -> None:
        super().__init__(followed)
        self._seen = SeenStates()
        self.execution: dict[str, Any] = {}

    @property
    def ended(self) -> bool:
        """Whether the execution has ended."""
        return state_of(self.execution) in TERMINAL_STATES

    def look(self) -> Sequence[Told]:
        followed = self._followed
        execution = look_within(
            followed.look, followed.watch, end=followed.end, seen_by=followed.patience
        )
        return () if execution is None else self._shown(execution)

    def read(self, data: Any) -> Sequence[Told] | None:
        # 1.3 begins with an execution that has no state.
        return None if state_of(data) is None else self._shown(data)

    def _shown(self, execution: dict[str, Any]) -> Sequence[Told]:
        self.execution = execution
        return self._seen.new_in(execution)


class Log(Channel):
    """The log, from a level on. Each event is an entry.

    Attributes:
        seen: The entries that were told.
        in_doubt: Whether the stream may have missed some.
    """

    _kind = "logs"
    _trusted = math.inf

    def __init__(self, followed: Followed, min_level: str) -> None:
        super().__init__(followed)
        self._min_level = min_level
        self.seen = SeenEntries()
        self.in_doubt = False

    @property
    def is_cut(self) -> bool:
        """Whether the stream stands in the middle of an event: the rest is held back somewhere."""
        return self.stream is not None and self.stream.is_cut

    @property
    def _pause(self) -> float:
        return max(super()._pause, _LOG_PAUSE)

    def look(self) -> Sequence[Told]:
        stored = self.stored(max(self._followed.left, LAST_LOOK))
        return () if stored is None else self.seen.new_in(stored)

    def stored(self, seconds: float = math.inf) -> list[LogEntry] | None:
        """Return the log as the server has stored it so far, `None` if it cannot be had.

        Args:
            seconds: How long that may take.
        """
        try:
            with once(), within(min(seconds, _LONGEST_ASKING)):
                return self._followed.entries()
        except Exception as error:  # noqa: BLE001  # whatever a caller's own `_make_request` raises
            logger.debug("The log could not be read: %s", type(error).__name__)
            return None

    def read(self, data: Any) -> Sequence[Told] | None:
        # The first event shows a stream that works, and is no entry.
        is_entry = isinstance(data, dict) and (data.get("level") or data.get("message"))
        entries = log_entries([data], self._min_level) if is_entry else []
        new = [entry for entry in entries if self.seen.is_new(entry)]
        self.in_doubt |= len(new) < len(entries)
        return new

    def _open(self) -> None:
        super()._open()
        if self.stream is not None and self.in_doubt:
            self.looks_at = self._followed.now  # what the old one has missed is stored

    def _wait_to_open(self, *, again: bool = True) -> None:
        super()._wait_to_open(again=again)
        self.in_doubt = True


def _json(text: str) -> Any:
    """Return what a text says, `None` if it is no JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return None
