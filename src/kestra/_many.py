"""Executing many flows at once: few connections, and one look for all that run."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from kestra._answers import json_object, malformed
from kestra._api_errors import APIError, NotFound
from kestra._batch import (
    FORMS,
    Batch,
    ExecutionOutcome,
    ExecutionRequest,
    Sightings,
    Watched,
    batch_key,
    deadline,
    is_lost,
    is_passing,
    request_of,
)
from kestra._executions import TERMINAL_STATES, state_of
from kestra._parts import FlowPart, about
from kestra._results import FlowExecution, time_of
from kestra._session import once, within
from kestra._transport import annotate
from kestra._waiting import LAST_LOOK, Stopwatch, check_timeout, next_pause, report
from kestra._workers import Workers
from kestra.exceptions import FailedExponentialBackoff, KestraError

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable, Iterable, Iterator

    from kestra._batch import Search
    from kestra._workers import Job, Then

    Given = (
        ExecutionRequest
        | tuple[str, str]
        | tuple[str, str, Mapping[str, Any] | None]
        | Mapping[str, Any]
    )

logger = logging.getLogger("kestra")

_MOST_CONNECTIONS = 10
_LONGEST_SEARCH = 10.0  # seconds that a page may take
_MOST_FAILURES = 3  # searches in a row that were not answered; the next one comes soon
# How long the end waits for the ids of executions that are just being created, in seconds.
_LAST_ANSWERS = 2.0
# Waits are no longer than that, so that Ctrl-C gets through on Windows too; in seconds.
_LONGEST_WAIT = 1.0


class Many(FlowPart):
    """The part of `Flow` that executes many."""

    def execute_all(
        self,
        requests: Iterable[Given],
        *,
        max_concurrent: int = 10,
        timeout: float | None = None,
        kill_on_timeout: bool = False,
        fetch_log: bool = False,
    ) -> Generator[ExecutionOutcome, None, None]:
        """Start many executions, some at a time, and hand out what becomes of them as they end.

        It takes at most ten connections, whatever `max_concurrent` is. All executions of a flow
        are looked at with one search. Where there is no search, or it does not show them, they
        are looked at singly.

        Nothing happens before the first outcome is asked for, nor, but for what is on its way,
        while none is. An error of one request is its outcome, and does not disturb the others. The
        end of the iteration, be it `close`, Ctrl-C or an error of `requests`, kills nothing: a log
        record or a note tells which executions are running still.

        A subclass that overrides what this goes through is called from several threads.

        Example:
            ::

                days = (date(2026, 1, 1) + timedelta(number) for number in range(365))
                requests = (("company.team", "report", {"day": day}) for day in days)
                for outcome in flow.execute_all(requests, max_concurrent=20):
                    if not outcome.ok:
                        print(outcome.request.inputs, outcome.error or outcome.result)

        Args:
            requests: Each an `ExecutionRequest`, a tuple `(namespace, flow)` or
                `(namespace, flow, inputs)`, or a mapping with the attributes of an
                `ExecutionRequest`. They are read one by one, in the thread of the caller, when
                there is a place: it may be a generator, also one that never ends.
            max_concurrent: How many executions are between their creation and the moment when
                their outcome is handed out.
            timeout: How long each may take from its creation, in seconds. The error of one that
                takes longer is `ExecutionTimeout`.
            kill_on_timeout: Whether to kill it then.
            fetch_log: Whether to fetch the log of each. That costs a request or more, and a third
                of a second or more, for each; `get_logs` fetches a single one.

        Yields:
            The outcome of each request; unless `wait_for_completion` is off, in the order in which
            the executions end, otherwise as soon as they are created.

        Raises:
            TypeError: An argument is of the wrong type. For one of a request, this is the error of
                its outcome.
            ValueError: `max_concurrent` is not positive, or the timeout is negative.
        """
        check_timeout(timeout)
        if isinstance(max_concurrent, bool) or not isinstance(max_concurrent, int):
            raise TypeError(f"max_concurrent: an integer, not {type(max_concurrent).__name__}")
        if max_concurrent < 1:
            raise ValueError("max_concurrent: one execution at least")
        if isinstance(requests, str | Mapping | ExecutionRequest):
            raise TypeError("requests: an iterable of requests; put a single one into a list")
        run = _Run(self, iter(requests), max_concurrent, timeout)
        run.kill_on_timeout = kill_on_timeout
        run.fetch_log = fetch_log
        return run.outcomes()


class _Run:
    """One call of `execute_all`.

    The thread of the caller decides everything, and does no I/O; the workers do that, and decide
    nothing. What they call here are the methods that say so.
    """

    kill_on_timeout = False
    fetch_log = False

    def __init__(
        self, flow: Many, requests: Iterator[Given], places: int, timeout: float | None
    ) -> None:
        self._flow = flow
        self._requests: Iterator[Given] | None = requests  # None: all of them were read
        self._failure: Exception | None = None  # of the iterable
        self._places = places
        self._timeout = timeout
        self._watch = Stopwatch()
        self._workers = Workers(min(places, _MOST_CONNECTIONS))
        self._jobs: deque[tuple[Job, Then]] = deque()
        self._forms: tuple[str, ...] = FORMS  # of a search, that the server may understand
        self._unanswered = 0
        # Where the requests are that were read: each takes up a place until it is handed out.
        self._creating = 0
        self._running: dict[Watched, None] = {}  # in the order of creation
        self._ending: dict[Watched, None] = {}
        self._ready: deque[ExecutionOutcome] = deque()
        self._batches: dict[Hashable, Batch] = {}

    def outcomes(self) -> Generator[ExecutionOutcome, None, None]:
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
        while self._jobs and self._workers.free:
            self._workers.begin(*self._jobs.popleft())
        while self._requests and self._workers.free and self._taken < self._places:
            self._read(self._requests)

    def _read(self, requests: Iterator[Given]) -> None:
        """Read one request, and begin to create what it asks for."""
        try:
            given = next(requests)
        except StopIteration:
            self._requests = None
            return
        except Exception as error:  # noqa: BLE001 - whatever a caller's own iterable raises
            self._requests, self._failure = None, error
            return
        try:
            request = request_of(given)
        except TypeError as error:
            self._ready.append(ExecutionOutcome(cast("ExecutionRequest", given), error=error))
            return
        self._creating += 1
        self._workers.begin(partial(self._create, request), partial(self._created, request))

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

    def _create(self, request: ExecutionRequest) -> tuple[dict[str, Any], str | None, float]:
        """Create an execution (in a worker)."""
        created, address = self._flow._create(request)  # noqa: SLF001 - of the same object
        return created, address, self._watch.elapsed

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
        execution = Watched(
            request, execution_id, address, start, now, deadline(now, self._timeout), now
        )
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
            search = partial(self._search, batch.search(), form)
            # It goes before other jobs, which may be many.
            self._jobs.appendleft((search, partial(self._searched, batch, form)))
        else:
            self._look_singly(batch)

    def _look_singly(self, batch: Batch) -> None:
        batch.due = math.inf
        for execution in batch.members:
            batch.looks += 1
            look = partial(self._look_at, execution)
            self._jobs.append((look, partial(self._looked, batch, execution)))

    def _search(self, search: Search, form: str) -> Sightings:
        """Search for executions (in a worker)."""
        url = self._flow._api("executions/search")  # noqa: SLF001 - of the same object
        sightings = Sightings(search)
        page, more = 0, True
        while more:
            page += 1
            with once(), within(_LONGEST_SEARCH):
                response = self._flow._make_request(  # noqa: SLF001 - likewise
                    "get", url, params=search.query(form, page)
                )
            answer = json_object(response, "get", url)
            results = answer.get("results")
            if not isinstance(results, list):
                raise malformed("get", url, response, "lacks the executions")
            more = sightings.add(results, answer.get("total"))
        return sightings

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
                self._saw(execution, shown, searched=True)
            elif is_lost(execution, now):
                self._leave(execution)
                self._join(execution, execution, now)
        self._plan(batch)

    def _search_failed(self, batch: Batch, form: str, error: Exception | None) -> None:
        """Go on without an answer to a search."""
        if is_passing(error):
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
            why = str(error) if isinstance(error, KestraError) else type(error).__name__
            logger.info("Executions are looked at singly, since they cannot be searched: %s", why)
        self._look(batch)

    def _look_at(self, execution: Watched) -> dict[str, Any] | None:
        """Look at one execution (in a worker); `None` if it is not to be seen yet, or in time."""
        try:
            left = execution.deadline - self._watch.elapsed
            with about(execution.execution_id), within(max(left, LAST_LOOK)):
                return self._flow._look(execution.execution_id)  # noqa: SLF001 - of the same object
        except NotFound:
            # On a server that has several parts an execution may take a moment to be seen.
            if self._watch.elapsed - execution.created >= self._flow.poll_interval:
                raise
        except FailedExponentialBackoff:
            if self._watch.elapsed < execution.deadline:
                raise
        return None

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

    def _saw(self, execution: Watched, shown: dict[str, Any], *, searched: bool = False) -> None:
        """Take note of what an execution was seen to be."""
        execution.seen = self._watch.elapsed
        state = str(state_of(shown))
        if state in TERMINAL_STATES:
            execution.ended = True
            self._leave(execution)
            self._end(execution)
            job = partial(self._finish, execution, shown, whole=not searched)
            self._jobs.append((job, partial(self._ended, execution)))
        elif state not in execution.reported:
            execution.reported.add(state)
            report(execution.execution_id, state)

    # --- ending ---

    def _expire(self) -> None:
        """Let those be looked at for the last time whose timeout is over."""
        now = self._watch.elapsed
        while (oldest := next(iter(self._running), None)) and oldest.deadline <= now:
            self._leave(oldest)
            self._end(oldest)
            job = partial(self._time_out, oldest)
            self._jobs.appendleft((job, partial(self._ended, oldest)))

    def _end(self, execution: Watched) -> None:
        del self._running[execution]
        self._ending[execution] = None

    def _time_out(self, execution: Watched) -> FlowExecution:
        """Return what an execution has come to after all, or raise (in a worker)."""
        shown = self._look_at(execution)
        state = state_of(shown)
        if shown is not None and state in TERMINAL_STATES:
            return self._finish(execution, shown, whole=True)
        raise self._flow._timed_out(  # noqa: SLF001 - of the same object
            execution.execution_id, self._timeout, state, kill=self.kill_on_timeout
        )

    def _finish(self, execution: Watched, shown: dict[str, Any], *, whole: bool) -> FlowExecution:
        """Return the result of an execution that has ended (in a worker)."""
        # A search on 2.0 leaves out the task runs.
        if not whole and "taskRunList" not in shown:
            shown = self._whole(execution) or shown
        request = execution.request
        with about(execution.execution_id):
            return self._flow._ended(  # noqa: SLF001 - of the same object
                execution.execution_id,
                shown,
                f"{execution.execution_id} of {request.namespace}.{request.flow}",
                url=execution.address,
                fetch_log=self.fetch_log,
            )

    def _whole(self, execution: Watched) -> dict[str, Any] | None:
        """Look again at an execution that has ended; what is known is not lost if that fails."""
        try:
            shown = self._look_at(execution)
        except (APIError, FailedExponentialBackoff) as error:
            logger.warning("Not all of an execution that has ended can be seen: %s", error)
            return None
        return shown if state_of(shown) in TERMINAL_STATES else None

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
        text = f"Executions that were left running: {', '.join(left) or 'none that is known'}"
        if self._creating:
            text += f"; and {self._creating} may have been created"
        if isinstance(error, GeneratorExit):
            logger.warning("%s", text)
        else:
            annotate(error, text)
