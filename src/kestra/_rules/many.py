"""Executing many flows at once: few connections, and one search for all that run of a flow."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from kestra._api.models import TERMINAL_STATES, FlowExecution
from kestra._api.parsing import start_of, state_of
from kestra._api.requests import ExecutionOutcome, ExecutionRequest, request_of
from kestra._rules import jobs
from kestra._rules.attempts import annotate
from kestra._rules.batches import Batch, ResultPages, Running
from kestra._rules.waiting import (
    Wait,
    creation_grace,
    is_transient,
    log_state,
    next_pause,
)
from kestra.exceptions import KestraError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Hashable, Iterator

    from kestra._rules.io import IO
    from kestra._rules.waiting import Options

    Job = Callable[[IO, Options], Coroutine[Any, Any, Any]]
    # Gets what the job returned, or what it raised.
    Then = Callable[[Any, Exception | None], None]

logger = logging.getLogger("kestra")

_MOST_CONNECTIONS = 10
_MOST_FAILURES = 3  # searches in a row; the next one comes soon
# How long the end waits for the ids of executions that are just being created, in seconds.
_LAST_RESPONSES = 2.0


def checked_requests(requests: Any) -> Iterator[Any]:
    """Return the requests one by one.

    Raises:
        TypeError: They are not an iterable of requests, but a single one.
    """
    if isinstance(requests, str | Mapping | ExecutionRequest):
        raise TypeError("requests must be an iterable: put a single request into a list")
    return iter(requests)


def checked_slots(max_concurrent: Any) -> int:
    """Return how many executions may be under way.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is not positive.
    """
    if isinstance(max_concurrent, bool) or not isinstance(max_concurrent, int):
        raise TypeError(f"max_concurrent must be an integer, not {type(max_concurrent).__name__}")
    if max_concurrent < 1:
        raise ValueError("max_concurrent must be 1 or more")
    return max_concurrent


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
    """One call of `execute_all`: what is sent when, and what follows from the responses.

    Attributes:
        ready: The outcomes to hand out.
        failure: What the iterable of requests has raised.
    """

    def __init__(
        self,
        io: IO,
        requests: Iterator[Any],
        options: Options,
        slots: int,
        *,
        waits: bool,
    ) -> None:
        self._io = io
        self._options = options
        self._waits = waits
        self._requests: Iterator[Any] | None = requests  # None: all of them were read
        self.failure: Exception | None = None
        self._slots = slots
        self._free = min(slots, _MOST_CONNECTIONS)  # jobs that may begin
        self._jobs = 0
        self._todo: deque[tuple[Job, Then]] = deque()
        self._searches = True  # whether searches are understood, as far as is known
        self._unanswered = 0
        # Where the requests are that were read: each takes up a slot until it is handed out.
        self._creating = 0
        self._running: dict[Running, None] = {}  # in the order of creation
        self._ending: dict[Running, None] = {}
        self.ready: deque[ExecutionOutcome] = deque()
        self._batches: dict[Hashable, Batch] = {}

    @property
    def _taken(self) -> int:
        """How many slots are taken."""
        return self._creating + len(self._running) + len(self._ending) + len(self.ready)

    @property
    def is_done(self) -> bool:
        """Whether there is nothing more to come."""
        return self._requests is None and not self._taken

    # --- what to do next ---

    def begin(self) -> None:
        """Begin what there is to do."""
        now = self._io.clock.now()
        while (oldest := next(iter(self._running), None)) and oldest.deadline <= now:
            self._end(oldest, partial(jobs.expire, oldest), first=True)
        for batch in [batch for batch in self._batches.values() if batch.due <= now]:
            self._poll(batch)
        while self._todo and self._free:
            self._start(*self._todo.popleft())
        while self._free and self._taken < self._slots and self._requests is not None:
            self._read(self._requests)

    async def wait(self) -> None:
        """Wait until a job is done, or there is something to do."""
        due = min((batch.due for batch in self._batches.values()), default=math.inf)
        oldest = next(iter(self._running), None)
        pause = min(due, math.inf if oldest is None else oldest.deadline) - self._io.clock.now()
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
        self._free += 1
        then(value, error)
        return True

    def _start(self, job: Job, then: Then) -> None:
        self._jobs += 1
        self._free -= 1
        self._io.start(partial(jobs.carried_out, job, self._options), then)

    def _read(self, requests: Iterator[Any]) -> None:
        """Read one request, and begin to create what it asks for."""
        try:
            given = next(requests)
        except StopIteration:
            self._requests = None
            return
        except Exception as error:  # noqa: BLE001  # whatever a caller's own iterable raises
            self._requests, self.failure = None, error
            return
        try:
            request = request_of(given)
        except TypeError as error:
            self.ready.append(ExecutionOutcome(given, error=error))
            return
        self._creating += 1
        self._start(partial(jobs.create, request), partial(self._created, request))

    # --- creating ---

    def _created(self, request: ExecutionRequest, value: Any, error: Exception | None) -> None:
        self._creating -= 1
        if error is not None:
            self.ready.append(ExecutionOutcome(request, error=error))
            return
        created, url, now = value
        execution_id = created["id"]
        if not self._waits:
            result = FlowExecution(execution_id, "STARTED", None, None, url=url)
            self.ready.append(ExecutionOutcome(request, result, execution_id=execution_id))
            return
        options = self._options
        deadline = now + (math.inf if options.timeout is None else options.timeout)
        known_by = now + creation_grace(options.poll_interval)
        wait = Wait(execution_id, end=deadline, known_by=known_by, exists=True)
        start = start_of(created)
        execution = Running(request, execution_id, url, start, now, deadline, now, wait)
        self._running[execution] = None
        due = now + next_pause(options.poll_interval, 0)
        self._join(execution, execution.batch_key, due)

    # --- polling ---

    def _join(self, execution: Running, key: Hashable, due: float) -> None:
        """Put an execution into a batch."""
        execution.key = key
        self._batches.setdefault(key, Batch(due)).members[execution] = None

    def _leave(self, execution: Running) -> None:
        """Take an execution out of its batch."""
        members = self._batches[execution.key].members
        del members[execution]
        if not members:
            del self._batches[execution.key]

    def _poll(self, batch: Batch) -> None:
        """Poll all members of a batch. One alone is not searched for: a poll shows more of it."""
        batch.due = math.inf
        if self._searches and len(batch.members) > 1:
            # It goes before other jobs, which may be many.
            search = partial(jobs.search, batch.wanted())
            self._todo.appendleft((search, partial(self._searched, batch)))
        else:
            self._poll_singly(batch)

    def _poll_singly(self, batch: Batch) -> None:
        batch.due = math.inf
        for execution in batch.members:
            batch.polls += 1
            poll = partial(jobs.poll, execution)
            self._todo.append((poll, partial(self._polled, batch, execution)))

    def _searched(self, batch: Batch, pages: ResultPages | None, error: Exception | None) -> None:
        if pages is None or not pages.understood:
            self._search_failed(batch, error)
            return
        self._unanswered = 0
        now = self._io.clock.now()
        for execution in list(batch.members):
            shown = pages.shown.get(execution.execution_id)
            if shown is not None:
                self._show(execution, shown, jobs.finish_found)
            elif pages.covers(execution) and execution.is_lost(now):
                self._leave(execution)
                self._join(execution, execution, now)
        self._plan(batch)

    def _search_failed(self, batch: Batch, error: Exception | None) -> None:
        """Go on without a response to a search."""
        if is_transient(error):
            self._unanswered += 1
            if self._unanswered < _MOST_FAILURES:
                self._plan(batch)
            else:
                self._poll_singly(batch)
            return
        self._searches = False
        # Only the texts of our own errors are known to hold no secret.
        why = error if isinstance(error, KestraError) else type(error).__name__
        why = "filters are ignored" if error is None else why
        logger.info("Executions are polled one by one: searching for them failed: %s", why)
        self._poll(batch)

    def _polled(
        self,
        batch: Batch,
        execution: Running,
        shown: dict[str, Any] | None,
        error: Exception | None,
    ) -> None:
        batch.polls -= 1
        if execution in batch.members:  # else its timeout is over by now
            if error is not None:
                self._leave(execution)
                del self._running[execution]
                self._hand_out(execution, None, error)
            elif shown is not None:
                self._show(execution, shown, jobs.finish)
        if not batch.polls:
            self._plan(batch)

    def _plan(self, batch: Batch) -> None:
        """Plan the next poll."""
        if batch.members:
            batch.due = batch.next_poll(self._options.poll_interval, self._io.clock.now())

    def _show(self, execution: Running, shown: dict[str, Any], finish: Any) -> None:
        """Take note of how an execution was shown."""
        execution.shown = self._io.clock.now()
        state = str(state_of(shown))
        if state in TERMINAL_STATES:
            execution.ended = True
            self._end(execution, partial(finish, execution, shown))
        elif state not in execution.logged:
            execution.logged.add(state)
            log_state(execution.execution_id, state)

    # --- ending ---

    def _end(self, execution: Running, job: Job, *, first: bool = False) -> None:
        """Let the result of an execution be made."""
        self._leave(execution)
        del self._running[execution]
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
        self.ready.append(
            ExecutionOutcome(execution.request, result, error, execution.execution_id)
        )

    async def report_left(self, error: BaseException) -> None:
        """Report which executions are left behind."""
        end = self._io.clock.now() + _LAST_RESPONSES
        while self._creating and self._io.clock.now() < end:
            await self.handle_one(end - self._io.clock.now())
        left = [each.execution_id for each in (*self._running, *self._ending) if not each.ended]
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
