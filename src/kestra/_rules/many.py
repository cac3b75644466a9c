"""Executing many flows at once: few connections, and one search for all that run of a flow."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from kestra._api.models import TERMINAL_STATES
from kestra._api.parsing import start_of, state_of
from kestra._api.requests import ExecutionOutcome, ExecutionRequest, request_of
from kestra._rules import executing
from kestra._rules.attempts import annotate
from kestra._rules.polling import Polls
from kestra._rules.reading import naming
from kestra._values.signals import is_interruption
from kestra.exceptions import APIError, FailedExponentialBackoff

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Hashable, Iterator
    from datetime import datetime

    from kestra._api.models import FlowExecution
    from kestra._rules.io import IO
    from kestra._rules.polling import Job, Then
    from kestra._rules.waiting import Options, Wait

logger = logging.getLogger("kestra")

_MOST_CONNECTIONS = 10
# How long the end waits for the ids of executions that are just being created, in seconds.
_LAST_RESPONSES = 2.0


def checked_requests(requests: Any) -> Iterator[Any]:
    if isinstance(requests, str | Mapping | ExecutionRequest):
        raise TypeError("requests must be an iterable: put a single request into a list")
    return iter(requests)


def checked_slots(max_concurrent: Any) -> int:
    if isinstance(max_concurrent, bool) or not isinstance(max_concurrent, int):
        raise TypeError(f"max_concurrent must be an integer, not {type(max_concurrent).__name__}")
    if max_concurrent < 1:
        raise ValueError("max_concurrent must be 1 or more")
    return max_concurrent


@dataclass(eq=False, slots=True)
class Running:
    """An execution that was created, and has not ended as far as is known."""

    request: ExecutionRequest
    start: datetime | None  # when it was created, by the server's clock
    wait: Wait  # begins then, by the clock of the call, and polls it by itself
    shown: float  # when a response last showed it, by that clock
    ended: bool = False  # a response showed that it has
    key: Hashable = None  # of its batch

    async def poll(self, io: IO) -> dict[str, Any] | None:
        """Poll it; `None` if it is not known yet, or not before its timeout."""
        with naming(self.wait.execution_id):
            return await self.wait.poll(io)

    async def finish(self, shown: dict[str, Any], io: IO) -> FlowExecution:
        """Return its result, where a poll showed that it has ended."""
        with naming(self.wait.execution_id):
            return await executing.ended(io, self.wait, shown)

    async def finish_found(self, shown: dict[str, Any], io: IO) -> FlowExecution:
        """Return its result, where a search showed that it has ended.

        From 2.0 on searches leave out the task runs. That they cannot be had, or that a poll is
        behind the search, does not cost the result.
        """
        if "taskRunList" not in shown:
            try:
                whole = await self.poll(io)
            except (APIError, FailedExponentialBackoff) as error:
                logger.warning("The task runs of an execution could not be fetched: %s", error)
            else:
                shown = whole if whole and state_of(whole) in TERMINAL_STATES else shown
        return await self.finish(shown, io)

    async def expire(self, io: IO) -> FlowExecution:
        """Return its result if it has ended in time, now that its timeout is over."""
        shown = await self.poll(io)
        if shown is not None and state_of(shown) in TERMINAL_STATES:
            return await self.finish(shown, io)
        raise await self.wait.timed_out(io, state_of(shown))


async def _create(request: ExecutionRequest, options: Options, io: IO) -> Running:
    wait, created = await executing.create(io, request, options)
    return Running(request, start_of(created), wait, shown=wait.begin)


async def outcomes(
    io: IO, requests: Iterator[Any], options: Options, *, max_concurrent: int, waits: bool
) -> AsyncGenerator[ExecutionOutcome, None]:
    """Yield the outcome of each request when it is there."""
    executor = _Executor(io, requests, options, max_concurrent, waits=waits)
    try:
        while True:
            while await executor.handle_one(0):
                pass
            executor.begin()
            if executor.ready:
                yield executor.ready.popleft()
            elif executor.is_done:
                break
            else:
                await executor.wait()
    except BaseException as error:
        await executor.report_left(error)
        raise
    finally:
        await io.stop()
    if executor.failure is not None:
        raise executor.failure


class _Executor:
    """One call of `execute_all`: what is sent when, and what follows from the responses."""

    def __init__(
        self, io: IO, requests: Iterator[Any], options: Options, slots: int, *, waits: bool
    ) -> None:
        self._io = io
        self._options = options
        self._waits = waits
        self._requests: Iterator[Any] | None = requests  # None: all of them were read
        self.failure: Exception | None = None  # what the iterable of requests has raised
        self._slots = slots
        self._connections = min(slots, _MOST_CONNECTIONS)
        self._jobs = 0
        self._todo: deque[tuple[Job, Then]] = deque()
        self._polls = Polls(io, options, self._todo, self._end, self._hand_out)
        # Where the requests are that were read: each takes up a slot until it is yielded.
        self._creating = 0
        self._ending: dict[Running, None] = {}
        self.ready: deque[ExecutionOutcome] = deque()  # to hand out

    @property
    def _taken(self) -> int:
        return self._creating + len(self._polls.running) + len(self._ending) + len(self.ready)

    @property
    def is_done(self) -> bool:
        return self._requests is None and not self._taken

    # --- what to do next ---

    def begin(self) -> None:
        now = self._io.clock.now()
        while (oldest := self._polls.oldest) and oldest.wait.end <= now:
            self._polls.remove(oldest)
            self._end(oldest, oldest.expire, first=True)
        self._polls.begin(now)
        while self._todo and self._jobs < self._connections:
            self._start(*self._todo.popleft())
        while self._jobs < self._connections and self._taken < self._slots:
            if self._requests is None:
                break
            self._read(self._requests)

    async def wait(self) -> None:
        """Wait until a job is done, or there is something to do."""
        pause = self._polls.due - self._io.clock.now()
        if self._jobs:
            await self.handle_one(pause)
        else:
            await self._io.sleep(pause)

    async def handle_one(self, timeout: float) -> bool:
        """Wait for a job to be done, and handle what came of it; return True if there was one."""
        done = await self._io.finished(timeout)
        if done is None:
            return False
        then, value, error = done
        self._jobs -= 1
        then(value, error)
        return True

    def _start(self, job: Job, then: Then) -> None:
        self._jobs += 1
        self._io.start(job, then)

    def _read(self, requests: Iterator[Any]) -> None:
        try:
            given = next(requests)
        except StopIteration:
            self._requests = None
            return
        except Exception as error:  # whatever a caller's own iterable raises
            if is_interruption(error):
                raise
            self._requests, self.failure = None, error
            return
        try:
            request = request_of(given)
        except TypeError as error:
            self.ready.append(ExecutionOutcome(given, error=error))
            return
        self._creating += 1
        create = partial(_create, request, self._options)
        self._start(create, partial(self._created, request))

    # --- creating ---

    def _created(
        self, request: ExecutionRequest, execution: Running | None, error: Exception | None
    ) -> None:
        self._creating -= 1
        if execution is None:
            self.ready.append(ExecutionOutcome(request, error=error))
        elif self._waits:
            self._polls.add(execution)
        else:
            self._hand_out(execution, executing.started(execution.wait), None)

    # --- ending ---

    def _end(self, execution: Running, job: Job, *, first: bool = False) -> None:
        self._ending[execution] = None
        add = self._todo.appendleft if first else self._todo.append
        add((job, partial(self._ended, execution)))

    def _ended(
        self, execution: Running, result: FlowExecution | None, error: Exception | None
    ) -> None:
        del self._ending[execution]
        self._hand_out(execution, result, error)

    def _hand_out(
        self, execution: Running, result: FlowExecution | None, error: Exception | None
    ) -> None:
        execution_id = execution.wait.execution_id
        self.ready.append(ExecutionOutcome(execution.request, result, error, execution_id))

    async def report_left(self, error: BaseException) -> None:
        end = self._io.clock.now() + _LAST_RESPONSES
        with suppress(BaseException):  # `error` is raised, and says what is known
            while self._creating and self._io.clock.now() < end:
                await self.handle_one(end - self._io.clock.now())
        running = (*self._polls.running, *self._ending)
        left = [each.wait.execution_id for each in running if not each.ended]
        for outcome in self.ready:
            has_ended = outcome.result is not None and outcome.result.status in TERMINAL_STATES
            if outcome.execution_id is not None and not has_ended:
                left.append(outcome.execution_id)
        if not left and not self._creating:
            return
        text = f"Executions that were left running: {', '.join(left) or 'none known'}"
        if self._creating:
            text += f"; and {self._creating} may have been created"
        if isinstance(error, GeneratorExit):
            logger.warning("%s", text)
        else:
            annotate(error, text)
