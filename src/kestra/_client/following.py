"""Following an execution: its states and its log, as they come about."""

from __future__ import annotations

import logging
import math
from contextlib import closing
from datetime import datetime, timezone
from queue import Empty
from typing import TYPE_CHECKING, Any, NamedTuple

from kestra._api.models import LogEntry, StateChange
from kestra._api.parsing import checked_level, state_of, whole_state
from kestra._client.channels import Channel, Followed, Log, States
from kestra._client.client import naming_execution
from kestra._client.lifecycle import Lifecycle
from kestra._client.waiting import BATCH, LOG_AGAIN, log_state, patience

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    import requests

    from kestra._client.channels import Told
    from kestra.exceptions import ExecutionTimeout

logger = logging.getLogger("kestra")

# Seconds.
_QUIET = 0.5  # the stream of the log is complete that long after the end
_STORED = 2.0  # the log itself, if it is short
_OLD = 60.0  # the log certainly, also where the clock of the server is a little wrong
_LONGEST_WAIT = 1.0  # where Ctrl-C is not heard during one

_LONG = 10_000  # entries; so many are read a second time only where there is a doubt

# Compressed, an event would wait for the next ones.
_HEADERS = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}


class Following(Lifecycle):
    """The part of `Flow` that follows."""

    def follow(
        self, execution_id: str, *, min_level: str = "TRACE", timeout: float | None = None
    ) -> Generator[LogEntry | StateChange, None, None]:
        """Tell what happens in an execution as it happens, each thing once, until it has ended.

        First come the states that it went through so far and the log entries that there are. The
        last one is the terminal state: it comes when the log is complete, half a second after the
        end if the connection held, and two seconds or, for a long log, up to `log_settle` if
        something has to be looked up. All else comes in the order in which the server tells it.

        It reads the two streams of events that the server has, opens them again where they break
        off, and looks up what it missed. Where there are no such streams, or something on the way
        holds them back, it looks now and then, as `wait` does; most servers show log entries only
        after the end then.

        The entries and changes print as lines: `print(event)`. Closing the generator, or dropping
        it, closes the connections.

        Args:
            execution_id: The id of the execution.
            min_level: The least level: `TRACE`, `DEBUG`, `INFO`, `WARN` or `ERROR`.
            timeout: How long to wait for the end, in seconds.

        Yields:
            A `LogEntry` for what was logged, and a `StateChange` for each state.

        Raises:
            ExecutionTimeout: It has not ended in time.
            NotFound: There is no such execution.
            MalformedResponse: An answer is not what a Kestra server sends.
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed.
            TypeError: The level is no string, or the timeout no number.
            ValueError: There is no such level, the timeout is negative, or the id cannot be one.
        """
        self._check_waiting(timeout)
        # Refuses, now and not at the first event, what cannot be an id.
        self._url(self.API_ENDPOINT_EXECUTION_STATUS, execution_id=execution_id)
        follower = self._follower(execution_id, checked_level(min_level), timeout)
        return follower.events(look_first=True)

    def _watch(
        self,
        execution_id: str,
        timeout: float | None,
        callbacks: Callbacks,
        *,
        kill: bool,
        look_first: bool,
    ) -> dict[str, Any]:
        """Follow an execution until it has ended, and return it as the server showed it last."""
        level = None if callbacks.on_log is None else "TRACE"
        follower = self._follower(
            execution_id, level, timeout, kill=kill, patience=patience(self.poll_interval)
        )
        with closing(follower.events(look_first=look_first)) as events:
            for event in events:
                if isinstance(event, StateChange):
                    follower.log_state(event)
                callbacks.tell(event)
        return follower.execution

    def _follower(
        self,
        execution_id: str,
        min_level: str | None,
        timeout: float | None,
        *,
        kill: bool = False,
        patience: float = 0,
    ) -> _Follower:
        """Return who follows an execution; nothing is sent yet."""

        def connect(kind: str) -> requests.Response:
            url = self._api(f"{kind}/{{execution_id}}/follow", execution_id=execution_id)
            query = {"params": {"minLevel": min_level}} if kind == "logs" else {}
            return self._make_request("get", url, headers=_HEADERS, stream=True, **query)

        followed = Followed(
            execution_id,
            connect=connect,
            look=lambda: self._look(execution_id),
            entries=lambda: self._log_entries(execution_id, min_level or "TRACE"),
            min_level=min_level,
            poll_interval=self.poll_interval,
            end=math.inf if timeout is None else timeout,
            patience=patience,
        )
        return _Follower(
            followed,
            log_settle=self.log_settle,
            timed_out=lambda state: self._timed_out(execution_id, timeout, state, kill=kill),
        )


class Callbacks(NamedTuple):
    """Who is told what happens; nobody, where the caller only wants to know of the end soon."""

    on_log: Callable[[Any], object] | None
    on_state: Callable[[Any], object] | None

    def tell(self, event: Told) -> None:
        """Call who is to be told of such an event."""
        callback = self.on_log if isinstance(event, LogEntry) else self.on_state
        if callback is not None:
            callback(event)


def checked_callbacks(on_log: Any, on_state: Any, *, follow: bool) -> Callbacks | None:
    """Return who is to be told what happens, `None` if an execution is not to be followed.

    Raises:
        TypeError: One of them cannot be called.
    """
    for name, callback in (("on_log", on_log), ("on_state", on_state)):
        if callback is not None and not callable(callback):
            raise TypeError(f"{name} must be callable, not {type(callback).__name__}")
    if not (follow or on_log or on_state):
        return None
    return Callbacks(on_log, on_state)


class _Follower:
    """Follows an execution, in the thread of the caller."""

    def __init__(
        self,
        followed: Followed,
        *,
        log_settle: float,
        timed_out: Callable[[str | None], ExecutionTimeout],
    ) -> None:
        self._followed = followed
        self._log_settle = log_settle
        self._timed_out = timed_out
        self._states = States(followed)
        self._log = None if followed.min_level is None else Log(followed, followed.min_level)
        # The log comes first: what is logged after the states are seen is in its stream then.
        self._channels = [each for each in (self._log, self._states) if each is not None]
        self._last: Told | None = None  # the terminal state, which is told at the end
        self._known: dict[str, Any] | None = None  # the execution, before there was a stream

    @property
    def execution(self) -> dict[str, Any]:
        """The execution as it was last shown."""
        return self._states.execution

    def events(self, *, look_first: bool) -> Generator[Told, None, None]:
        """Yield what happens, until the execution has ended.

        Args:
            look_first: Whether to ask for the execution before the streams are opened.
        """
        try:
            with naming_execution(self._followed.execution_id):
                if look_first:
                    yield from self._told(self._states, self._states.look())
                self._known = self.execution
                while not self._states.ended:
                    yield from self._step()
                self._states.close()
                yield from self._rest_of_log()
            if self._last is not None:
                yield self._last
        finally:
            for channel in self._channels:
                channel.close()

    def log_state(self, change: StateChange) -> None:
        """Log a state that needs someone, if the execution is in it."""
        if change.state == state_of(self.execution) and not self._states.ended:
            log_state(self._followed.execution_id, change.state)

    def _step(self) -> Iterator[Told]:
        """Do what there is to do, and wait for the next event."""
        followed = self._followed
        if followed.left <= 0:
            yield from self._last_look()
            return
        for channel in self._channels:
            yield from self._told(channel, channel.tend())
            if self._states.ended:
                return
        due = min(channel.due for channel in self._channels)
        yield from self._next(min(due - followed.now, followed.left))

    def _last_look(self) -> Iterator[Told]:
        yield from self._told(self._states, self._states.look())
        if not self._states.ended:
            raise self._timed_out(state_of(self.execution))

    def _next(self, seconds: float) -> Iterator[Told]:
        """Wait for the next event, and yield what is new in it."""
        streams = {channel.stream: channel for channel in self._channels if channel.stream}
        if not streams:
            self._followed.watch.sleep(seconds)
            return
        seconds = max(0, min(seconds, _LONGEST_WAIT))
        end = self._followed.now + seconds
        try:
            stream, event = self._followed.inbox.get(timeout=seconds)
        except Empty:
            self._followed.watch.reach(end)
            return
        if stream in streams:  # others were closed
            channel = streams[stream]
            yield from self._told(channel, channel.take(event))

    def _told(self, channel: Channel, found: Sequence[Told]) -> Sequence[Told]:
        """Return what to yield of what was found: all but the terminal state."""
        if channel is not self._states:
            return found
        self._compare()
        if self._states.ended and found:
            *found, self._last = found
        return found

    def _compare(self) -> None:
        """Find out whether the stream of the log was there before the first entry.

        The server begins it with what is stored. What was logged shortly before, is not.
        """
        if self._log is None or self._log.stream is None or self._known is None:
            return
        if self.execution is not self._known:
            self._log.in_doubt |= len(whole_state(self.execution).history) != 1
            self._known = None

    # --- after the end ---

    def _rest_of_log(self) -> Iterator[Told]:
        """Yield what there is of the log once the execution has ended."""
        followed, log = self._followed, self._log
        if log is None:
            return
        ended = followed.now
        stop = ended + max(self._log_settle, _QUIET)
        quiet = ended + _QUIET
        while log.stream and followed.now < min(quiet, stop):
            for entry in self._next(min(quiet, stop) - followed.now):
                quiet = followed.now + _QUIET
                yield entry
        log.in_doubt |= not log.works or log.is_cut or followed.now >= stop
        log.close()
        if log.in_doubt or len(log.seen) <= _LONG:
            yield from self._stored(log, -math.inf if self._is_old else ended + _STORED)

    @property
    def _is_old(self) -> bool:
        """Whether the execution ended so long ago that its log is stored, by the server's clock."""
        end = whole_state(self.execution).end
        return end is not None and (datetime.now(timezone.utc) - end).total_seconds() > _OLD

    def _stored(self, log: Log, whole_at: float) -> Iterator[Told]:
        """Yield what is in the stored log alone.

        One look tells whether the stream has been stuck. Only where it may lack something, the log
        is waited for until it is all there.

        Args:
            log: The log.
            whole_at: When a short log is all there. Before, what was logged last may be missing.
        """
        followed = self._followed
        begun, count = followed.now, 0
        while True:
            stored = log.stored(math.inf if log.in_doubt else _STORED)
            if stored is not None:
                new = log.seen.new_in(stored)
                log.in_doubt |= bool(new)
                yield from new
                is_settled = log.seen.are_in(stored) and len(stored) <= max(BATCH, count)
                if is_settled and followed.now >= whole_at:
                    return
                count = len(stored)
            if not log.in_doubt:
                return
            if followed.now - begun + LOG_AGAIN > self._log_settle:
                break
            followed.watch.sleep(LOG_AGAIN)
        if stored is None:
            logger.warning(
                "The log of execution %s could not be fetched to its end",
                self._followed.execution_id,
            )
