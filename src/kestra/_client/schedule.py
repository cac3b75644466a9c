"""Who is next: what is sent while many executions are under way, and what follows from answers."""

from __future__ import annotations

import logging
import math
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from kestra._api.models import TERMINAL_STATES, FlowExecution
from kestra._api.parsing import state_of, time_of
from kestra._api.requests import ExecutionOutcome, request_of
from kestra._client.batch import (
    FORMS,
    Batch,
    Watched,
    batch_key,
    is_lost,
)
from kestra._client.waiting import Stopwatch, is_transient, log_state, next_pause
from kestra._client.workers import Workers
from kestra._http.api_errors import APIError
from kestra._http.transport import annotate
from kestra.exceptions import KestraError

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable, Iterator

    from kestra._api.requests import ExecutionRequest
    from kestra._client.batch import Sightings
    from kestra._client.jobs import Jobs
    from kestra._client.workers import Job, Then

logger = logging.getLogger("kestra")

_MOST_CONNECTIONS = 10
_MOST_FAILURES = 3  # searches in a row; the next one comes soon
# How long the end waits for the ids of executions that are just being created, in seconds.
_LAST_ANSWERS = 2.0
# Waits are no longer than that, so that Ctrl-C gets through on Windows too; in seconds.
_LONGEST_WAIT = 1.0


class Schedule:
    """One call of `execute_all`: what is sent when, and what follows from the answers.

    All of this happens in the thread of the caller, which sends nothing itself.

    Args:
        jobs: What there is to send.
        requests: What to execute.
        places: How many executions may be under way.
    """

    def __init__(self, jobs: Jobs, requests: Iterator[Any], places: int) -> None:
        self._jobs = jobs
        self._flow = jobs.flow
        self._watch = jobs.watch
        self._requests: Iterator[Any] | None = requests  # None: all of them were read
        self._failure: Exception | None = None  # of the iterable
        self._places = places
        self._workers = Workers(min(places, _MOST_CONNECTIONS))
        self._todo: deque[tuple[Job, Then]] = deque()
        self._forms: tuple[str, ...] = FORMS  # of a search, that the server may understand
        self._unanswered = 0
        # Where the requests are that were read: each takes up a place until it is handed out.
        self._creating = 0
        self._running: dict[Watched, None] = {}  # in the order of creation
        self._ending: dict[Watched, None] = {}
        self._ready: deque[ExecutionOutcome] = deque()
        self._batches: dict[Hashable, Batch] = {}

    def outcomes(self) -> Generator[ExecutionOutcome, None, None]:
        """Yield each outcome when it is there."""
        try:
            while True:
                while self._workers.handle(0):
                    pass
                self._expire()
                self._begin()
                if self._ready:
                    yield self._ready.popleft()
                elif self._requests is None and not self._taken:
                    break
                else:
                    self._wait()
        except BaseException as error:
            self._tell(error)
            raise
        finally:
            self._workers.stop()
        if self._failure is not None:
            raise self._failure

    @property
    def _taken(self) -> int:
        """How many places are."""
        return self._creating + len(self._running) + len(self._ending) + len(self._ready)

    # --- what to do next ---

    def _begin(self) -> None:
        """Let the workers begin what there is to do."""
        now = self._watch.elapsed
        for batch in [batch for batch in self._batches.values() if batch.due <= now]:
            self._look(batch)
        while self._todo and self._workers.free:
            self._workers.begin(*self._todo.popleft())
        while self._workers.free and self._taken < self._places:
            if self._requests is None:
                break
            self._read(self._requests)

    def _read(self, requests: Iterator[Any]) -> None:
        """Read one request, and begin to create what it asks for."""
        try:
            given = next(requests)
        except StopIteration:
            self._requests = None
            return
        except Exception as error:  # noqa: BLE001  # whatever a caller's own iterable raises
            self._requests, self._failure = None, error
            return
        try:
            request = request_of(given)
        except TypeError as error:
            self._ready.append(ExecutionOutcome(given, error=error))
            return
        self._creating += 1
        self._workers.begin(partial(self._jobs.create, request), partial(self._created, request))

    def _wait(self) -> None:
        """Wait until a worker is done, or there is something to do."""
        due = min((batch.due for batch in self._batches.values()), default=math.inf)
        oldest = next(iter(self._running), None)
        pause = min(due, math.inf if oldest is None else oldest.deadline) - self._watch.elapsed
        if self._workers.busy:
            self._workers.handle(min(max(pause, 0), _LONGEST_WAIT))
        else:
            self._watch.sleep(pause)

    # --- creating ---

    def _created(self, request: ExecutionRequest, answer: Any, error: Exception | None) -> None:
        self._creating -= 1
        if error is not None:
            self._ready.append(ExecutionOutcome(request, error=error))
            return
        created, address, now = answer
        execution_id = created["id"]
        if not self._flow.wait_for_completion:
            result = FlowExecution(execution_id, "STARTED", None, None, url=address)
            self._ready.append(ExecutionOutcome(request, result, execution_id=execution_id))
            return
        state = created.get("state")
        start = time_of(state.get("startDate")) if isinstance(state, dict) else None
        timeout = math.inf if self._jobs.timeout is None else self._jobs.timeout
        execution = Watched(request, execution_id, address, start, now, now + timeout, now)
        self._running[execution] = None
        self._join(execution, batch_key(execution), now + next_pause(self._flow.poll_interval, 0))

    # --- watching ---

    def _join(self, execution: Watched, key: Hashable, due: float) -> None:
        """Put an execution into a batch."""
        execution.key = key
        self._batches.setdefault(key, Batch(due)).members[execution] = None

    def _leave(self, execution: Watched) -> None:
        """Take an execution out of its batch."""
        members = self._batches[execution.key].members
        del members[execution]
        if not members:
            del self._batches[execution.key]

    def _look(self, batch: Batch) -> None:
        """Look at all members of a batch. One alone is not searched: a look shows more of it."""
        batch.due = math.inf
        if self._forms and len(batch.members) > 1:
            form = self._forms[0]
            search = partial(self._jobs.search, batch.search(), form)
            # It goes before other jobs, which may be many.
            self._todo.appendleft((search, partial(self._searched, batch, form)))
        else:
            self._look_singly(batch)

    def _look_singly(self, batch: Batch) -> None:
        batch.due = math.inf
        for execution in batch.members:
            batch.looks += 1
            look = partial(self._jobs.look, execution)
            self._todo.append((look, partial(self._looked, batch, execution)))

    def _searched(
        self, batch: Batch, form: str, sightings: Sightings | None, error: Exception | None
    ) -> None:
        if sightings is None or not sightings.understood:
            self._search_failed(batch, form, error)
            return
        self._unanswered = 0
        now = self._watch.elapsed
        for execution in list(batch.members):
            shown = sightings.shown.get(execution.execution_id)
            if shown is not None:
                self._saw(execution, shown, found=True)
            elif sightings.sought(execution) and is_lost(execution, now):
                self._leave(execution)
                self._join(execution, execution, now)
        self._plan(batch)

    def _search_failed(self, batch: Batch, form: str, error: Exception | None) -> None:
        """Go on without an answer to a search."""
        if is_transient(error):
            self._unanswered += 1
            if self._unanswered < _MOST_FAILURES:
                self._plan(batch)
            else:
                self._look_singly(batch)
            return
        refused = isinstance(error, APIError) and error.status in {400, 422}
        known = error is None or refused
        self._forms = tuple(each for each in self._forms if known and each != form)
        if not self._forms:
            # Only the texts of our own errors are known to hold no secret.
            why = error if isinstance(error, KestraError) else type(error).__name__
            why = "filters are ignored" if error is None else why
            logger.info("Executions are looked at one by one: searching for them failed: %s", why)
        self._look(batch)

    def _looked(
        self,
        batch: Batch,
        execution: Watched,
        shown: dict[str, Any] | None,
        error: Exception | None,
    ) -> None:
        batch.looks -= 1
        # Meanwhile its timeout may have been over.
        if execution in batch.members:
            if error is not None:
                self._leave(execution)
                self._end(execution)
                self._ended(execution, None, error)
            elif shown is not None:
                self._saw(execution, shown)
        if not batch.looks:
            self._plan(batch)

    def _plan(self, batch: Batch) -> None:
        """Plan the next look."""
        if batch.members:
            batch.due = batch.next_look(self._flow.poll_interval, self._watch.elapsed)

    def _saw(self, execution: Watched, shown: dict[str, Any], *, found: bool = False) -> None:
        """Take note of what an execution was seen to be."""
        execution.seen = self._watch.elapsed
        state = str(state_of(shown))
        if state in TERMINAL_STATES:
            execution.ended = True
            self._leave(execution)
            self._end(execution)
            finish = self._jobs.finish_found if found else self._jobs.finish
            job = partial(finish, execution, shown)
            self._todo.append((job, partial(self._ended, execution)))
        elif state not in execution.logged:
            execution.logged.add(state)
            log_state(execution.execution_id, state)

    # --- ending ---

    def _expire(self) -> None:
        """Let those be looked at for the last time whose timeout is over."""
        now = self._watch.elapsed
        while (oldest := next(iter(self._running), None)) and oldest.deadline <= now:
            self._leave(oldest)
            self._end(oldest)
            job = partial(self._jobs.expire, oldest)
            self._todo.appendleft((job, partial(self._ended, oldest)))

    def _end(self, execution: Watched) -> None:
        del self._running[execution]
        self._ending[execution] = None

    def _ended(
        self, execution: Watched, result: FlowExecution | None, error: Exception | None
    ) -> None:
        del self._ending[execution]
        self._ready.append(
            ExecutionOutcome(execution.request, result, error, execution.execution_id)
        )

    # --- the end of it all ---

    def _tell(self, error: BaseException) -> None:
        """Tell which executions are left behind."""
        watch = Stopwatch()
        while self._creating and watch.elapsed < _LAST_ANSWERS:
            self._workers.handle(_LAST_ANSWERS - watch.elapsed)
        left = [each.execution_id for each in (*self._running, *self._ending) if not each.ended]
        for outcome in self._ready:
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
