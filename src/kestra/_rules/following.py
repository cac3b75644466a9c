"""Following an execution: its states and its log, as they come about."""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from kestra._api.dialects import BEFORE_2
from kestra._api.models import LogEntry, StateChange
from kestra._api.parsing import state_of
from kestra._rules.channels import Channel, Log, States
from kestra._rules.io import tell
from kestra._rules.pages import BRIEFLY
from kestra._rules.reading import naming, poll
from kestra._rules.settling import Settling
from kestra._rules.waiting import Wait, log_state
from kestra._values.signals import is_interruption

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence

    from kestra._rules.channels import Change
    from kestra._rules.io import IO
    from kestra._rules.waiting import Options

logger = logging.getLogger("kestra")

_LAST_WORDS = 0.5  # seconds of quiet after which a stream of the log is given up


async def until_ended(io: IO, wait: Wait) -> tuple[dict[str, Any], Settling | None]:
    """Follow an execution until it has ended, and call `on_log` and `on_state`."""
    options = wait.options
    follower = _Follower(io, wait, None if options.on_log is None else "TRACE")
    async with aclosing(follower.events()) as events:
        async for event in events:
            if isinstance(event, StateChange):
                follower.log_state(event)
            callback = options.on_log if isinstance(event, LogEntry) else options.on_state
            await tell(callback, event)
    return follower.states.execution, follower.settling


async def events(
    io: IO, execution_id: str, options: Options, min_level: str
) -> AsyncGenerator[Change, None]:
    """Yield what happens in an execution, whoever started it, until it has ended."""
    follower = _Follower(io, Wait(execution_id, options, io.clock.now()), min_level)
    with naming(execution_id):
        async with aclosing(follower.events()) as changes:
            async for change in changes:
                yield change


class _Follower:
    """Follows an execution; without a `min_level`, no entries of its log."""

    def __init__(self, io: IO, wait: Wait, min_level: str | None) -> None:
        self._io = io
        self._wait = wait
        self.states = States(io, wait)
        self._log = None if min_level is None else Log(io, wait, min_level)
        # The log comes first: what is logged after the states are shown is in its stream then.
        self._channels = [each for each in (self._log, self.states) if each is not None]
        self._last: Change | None = None  # the terminal state, which is reported at the end
        self.settling: Settling | None = None  # once the execution has ended

    async def events(self) -> AsyncGenerator[Change, None]:
        """Yield what happens, until the execution has ended."""
        try:
            for stage in self._stages():
                async with aclosing(stage) as changes:
                    async for change in changes:
                        yield change
            if self._last is not None:
                yield self._last
        finally:
            for channel in self._channels:
                await channel.close()

    def log_state(self, change: StateChange) -> None:
        """Log a state that needs someone, if the execution is in it."""
        if change.state == state_of(self.states.execution) and not self.states.ended:
            log_state(self._wait.execution_id, change.state)

    def _stages(self) -> Iterator[AsyncGenerator[Change, None]]:
        if self._wait.url is None:  # else it has just been created
            yield self._poll()
        while not self.states.ended:
            yield self._step() if self._left > 0 else self._poll(is_last=True)
        yield self._end()
        if self._log is not None and self.settling is not None:
            yield self._merged(self._log, self.settling)

    @property
    def _left(self) -> float:
        return self._wait.end - self._io.clock.now()

    async def _poll(self, *, is_last: bool = False) -> AsyncGenerator[Change, None]:
        for change in self._new(self.states, await self.states.poll()):
            yield change
        if is_last and not self.states.ended:
            raise await self._wait.timed_out(self._io, state_of(self.states.execution))

    async def _step(self) -> AsyncGenerator[Change, None]:
        """Do what there is to do, and wait for the next event."""
        for channel in self._channels:
            for change in self._new(channel, await channel.tend()):
                yield change
            if self.states.ended:
                return
        due = min(channel.due for channel in self._channels)
        for change in await self._next(min(due - self._io.clock.now(), self._left)):
            yield change

    async def _next(self, seconds: float) -> Sequence[Change]:
        streams = {channel.stream: channel for channel in self._channels if channel.stream}
        if not streams:
            await self._io.sleep(seconds)
            return ()
        found = await self._io.next_event(max(seconds, 0.0))
        if found is None or found[0] not in streams:  # that of a stream which was closed
            return ()
        channel = streams[found[0]]
        return self._new(channel, await channel.take(found[1]))

    def _new(self, channel: Channel, found: Sequence[Change]) -> Sequence[Change]:
        """Return what to report of what was found: all but the terminal state."""
        if channel is self.states and self.states.ended and found:
            *found, self._last = found
        return found

    # --- after the end ---

    async def _poll_again(self) -> None:
        """Poll once more: an event of 2.0 shows less of an execution than a poll."""
        try:
            execution = await poll(self._io, self._wait.execution_id, **BRIEFLY)
        except Exception as error:  # a mock's too: what the event showed will do
            if is_interruption(error):
                raise
            logger.debug("The execution could not be polled: %s", type(error).__name__)
        else:
            if state_of(execution) == state_of(self.states.execution):
                self.states.execution = execution

    async def _end(self) -> AsyncGenerator[Change, None]:
        """Wait until the log is stored, and yield what its stream brings meanwhile.

        Where nothing tells when that is, the stream is heard until it is quiet.
        """
        if self.states.stream is not None and self._io.server.dialect is not BEFORE_2:
            await self._poll_again()
        await self.states.close()
        if self._log is None:
            return
        clock, limit = self._io.clock, self._wait.options.log_settle
        settling = Settling(self._io, self._wait.execution_id, self.states.execution, limit)
        self.settling = settling
        end = clock.now() + max(settling.limit, _LAST_WORDS)
        while settling.pending:
            await settling.poll()
            next_poll = clock.now() + settling.pause
            while settling.pending and (left := next_poll - clock.now()) > 0:
                for change in await self._next(left):
                    yield change
        quiet = clock.now() + (0 if settling.is_known else _LAST_WORDS)
        while self._log.stream is not None and (left := min(quiet, end) - clock.now()) > 0:
            for change in await self._next(left):
                quiet = clock.now() + _LAST_WORDS
                yield change
        await self._log.close()

    async def _merged(self, log: Log, settling: Settling) -> AsyncGenerator[Change, None]:
        """Yield what is stored, and was not in the stream."""
        while True:
            new = await log.stored()
            for entry in new or ():
                yield entry
            settling.not_stored = log.reported.not_stored
            if new is None:
                again = await settling.fetch_again("it could not be fetched")
            elif await settling.is_short(log.stored_count):
                again = True
            else:
                again = bool(settling.not_stored) and await settling.has_grown()
            if not again:
                break
            await settling.wait()
        if not self._wait.options.fetch_log:
            settling.warn()
