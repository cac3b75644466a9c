"""When which executions are polled, where many run: all of a flow by one search, or one by one."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from kestra._api.dialects import search_queries
from kestra._api.models import TERMINAL_STATES
from kestra._api.parsing import state_of
from kestra._rules.problems import harmless, page_of
from kestra._rules.waiting import is_transient, next_pause
from kestra._values.times import utc_text
from kestra.exceptions import APIError

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Coroutine, Hashable
    from datetime import datetime

    from kestra._rules.io import IO
    from kestra._rules.many import Running
    from kestra._rules.waiting import Options

    Job = Callable[[IO], Coroutine[Any, Any, Any]]
    # Gets what the job returned, or what it raised.
    Then = Callable[[Any, Exception | None], None]

logger = logging.getLogger("kestra")

_PAGE = 100
_MOST_PAGES = 100  # servers on Elasticsearch show no more than 10,000 results
_LONGEST_SEARCH = 10.0  # seconds that a page may take
_MOST_FAILURES = 3  # searches in a row; the next one comes soon
# What no search has shown for that long, in seconds, is polled by itself. Servers on Elasticsearch
# take a second or two to show what is new.
_NOT_SHOWN = 3.0


@dataclass(eq=False, slots=True)
class Batch:
    """Executions of one flow, which one search shows; or one that no search shows."""

    due: float  # when to poll next, by the clock of the call; never, while polls are on their way
    members: dict[Running, None] = field(default_factory=dict)  # in the order of their creation
    polls: int = 0  # on their way

    def next_poll(self, poll_interval: float, now: float) -> float:
        """Return when to poll next: when a member of middle age would be polled by itself.

        By the youngest, a steady stream of new ones would have the server polled all the time; by
        the oldest, one that takes an hour would delay all others.
        """
        ages = sorted(now - each.wait.begin for each in self.members)
        return now + next_pause(poll_interval, ages[(len(ages) - 1) // 2])

    def search(self) -> Search:
        first = next(iter(self.members)).request
        starts = [each.start for each in self.members if each.start is not None]
        ids = frozenset(each.wait.execution_id for each in self.members)
        return Search(str(first.namespace), str(first.flow), min(starts), ids)


@dataclass(slots=True)
class Search:
    """A search for executions of one flow, and what its pages have shown so far."""

    namespace: str
    flow: str
    start: datetime  # of the earliest
    ids: frozenset[str]  # as they were when it began: a batch grows
    # By id; of one that has not ended, the state.
    shown: dict[str, dict[str, Any]] = field(init=False, default_factory=dict)
    understood: bool = field(init=False, default=True)  # the server searches for what it is asked
    _results: int = field(init=False, default=0)
    _fruitless: int = field(init=False, default=0)

    @property
    def fields(self) -> dict[str, Any]:
        # Some databases keep less of a time than the response to the creation shows.
        since = utc_text(self.start.replace(microsecond=0) - timedelta(seconds=1), "milliseconds")
        return {
            "namespace": self.namespace,
            "flowId": self.flow,
            "startDate": ("GREATER_THAN_OR_EQUAL_TO", since),
        }

    def add(self, results: list[Any], total: Any) -> bool:
        """Take a page into account, and return True if the next one is worth a request.

        It is if there is one, and something is missing still. But what is missing can be polled
        by itself, one request each: no more pages are read in vain than that would take.
        """
        before = len(self.shown)
        for execution in results:
            self._add(execution)
        self._results += len(results)
        self._fruitless = 0 if len(self.shown) > before else self._fruitless + 1
        return (
            self.understood
            and self._fruitless < len(self.ids) - len(self.shown)
            and len(results) > 0
            and self._results < min(_PAGE * _MOST_PAGES, total if isinstance(total, int) else 0)
        )

    def _add(self, execution: Any) -> None:
        state = state_of(execution)
        if state is None:
            return
        # The namespace of a search is a prefix on some versions.
        is_inside = f"{execution.get('namespace')}.".startswith(f"{self.namespace}.")
        if execution.get("flowId") != self.flow or not is_inside:
            self.understood = False
        elif (execution_id := execution.get("id")) in self.ids:
            whole = state in TERMINAL_STATES
            self.shown[execution_id] = execution if whole else {"state": {"current": state}}

    async def run(self, io: IO) -> Search:
        """Search page by page, in the forms that the server may understand.

        A search is not repeated if it fails: the next one comes soon.
        """
        url, order = io.server.url("executions/search"), "state.startDate:desc"
        pages, refused = self, None
        for form, query in search_queries(io.server, self.fields, sort=order, size=_PAGE):
            pages, page, more = replace(self), 0, True
            try:
                while more:
                    page += 1
                    asked = {**query, "page": page}
                    response = await io.request(
                        "get", url, params=asked, within=_LONGEST_SEARCH, once=True
                    )
                    more = pages.add(*page_of(response, url, "the executions"))
            except APIError as error:
                if error.status not in {400, 422}:
                    raise
                refused = error
                continue
            if pages.understood:
                if pages.shown:
                    io.server.search_form = form
                return pages
        if refused is not None:
            raise refused
        return pages


class Polls:
    """Plans the polls of all executions that run, and notes what they show."""

    def __init__(
        self,
        io: IO,
        options: Options,
        todo: deque[tuple[Job, Then]],
        end: Callable[[Running, Job], None],
        give_up: Callable[[Running, None, Exception], None],
    ) -> None:
        """Begin without any.

        `todo` gets the polls to send, and what to do with their responses; `end` an execution that
        has ended, and the job that makes its result; `give_up` one whose poll has failed.
        """
        self._io = io
        self._options = options
        self._todo = todo
        self._end = end
        self._give_up = give_up
        self.running: dict[Running, None] = {}  # in the order of creation
        self._batches: dict[Hashable, Batch] = {}
        self._searches = True  # whether searches are understood, as far as is known
        self._failed_searches = 0

    @property
    def oldest(self) -> Running | None:
        return next(iter(self.running), None)

    @property
    def due(self) -> float:
        """When the next poll is due, or a timeout is over."""
        dues = [batch.due for batch in self._batches.values()]
        if self.oldest is not None:
            dues.append(self.oldest.wait.end)
        return min(dues, default=math.inf)

    def add(self, execution: Running) -> None:
        self.running[execution] = None
        due = execution.wait.begin + next_pause(self._options.poll_interval, 0)
        key: Hashable = str(execution.request.namespace), str(execution.request.flow)
        if execution.start is None:  # without it, it cannot be searched for
            key = execution
        self._join(execution, key, due)

    def remove(self, execution: Running) -> None:
        self._leave(execution)
        del self.running[execution]

    def begin(self, now: float) -> None:
        for batch in [batch for batch in self._batches.values() if batch.due <= now]:
            self._poll(batch)

    def _join(self, execution: Running, key: Hashable, due: float) -> None:
        execution.key = key
        self._batches.setdefault(key, Batch(due)).members[execution] = None

    def _leave(self, execution: Running) -> None:
        members = self._batches[execution.key].members
        del members[execution]
        if not members:
            del self._batches[execution.key]

    def _poll(self, batch: Batch) -> None:
        """Poll all members of a batch. One alone is not searched for: a poll shows more of it."""
        if self._searches and len(batch.members) > 1:
            batch.due = math.inf
            # It goes before other jobs, which may be many.
            then = partial(self._searched, batch)
            self._todo.appendleft((batch.search().run, then))
        else:
            self._poll_singly(batch)

    def _poll_singly(self, batch: Batch) -> None:
        batch.due = math.inf
        batch.polls = len(batch.members)
        for execution in batch.members:
            self._todo.append((execution.poll, partial(self._polled, batch, execution)))

    def _searched(self, batch: Batch, pages: Search | None, error: Exception | None) -> None:
        if pages is None or not pages.understood:
            self._search_failed(batch, error)
            return
        self._failed_searches = 0
        now = self._io.clock.now()
        for execution in list(batch.members):
            execution_id = execution.wait.execution_id
            shown = pages.shown.get(execution_id)
            if shown is not None:
                self._show(execution, shown, execution.finish_found)
            elif execution_id in pages.ids and now - execution.shown >= _NOT_SHOWN:
                self._leave(execution)
                self._join(execution, execution, now)
        self._plan(batch)

    def _search_failed(self, batch: Batch, error: Exception | None) -> None:
        if is_transient(error):
            self._failed_searches += 1
            if self._failed_searches < _MOST_FAILURES:
                self._plan(batch)
            else:
                self._poll_singly(batch)
            return
        self._searches = False
        why = "filters are ignored" if error is None else harmless(error)
        logger.info("Executions are polled one by one: searching for them failed: %s", why)
        self._poll_singly(batch)

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
                self.remove(execution)
                self._give_up(execution, None, error)
            elif shown is not None:
                self._show(execution, shown, execution.finish)
        if not batch.polls:
            self._plan(batch)

    def _plan(self, batch: Batch) -> None:
        if batch.members:
            batch.due = batch.next_poll(self._options.poll_interval, self._io.clock.now())

    def _show(self, execution: Running, shown: dict[str, Any], finish: Any) -> None:
        execution.shown = self._io.clock.now()
        state = str(state_of(shown))
        if state in TERMINAL_STATES:
            execution.ended = True
            self.remove(execution)
            self._end(execution, partial(finish, shown))
        else:
            execution.wait.log_state(state)
