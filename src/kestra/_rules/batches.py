"""Executions among many: each with its jobs, and those of a flow, which one search shows."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import timedelta, timezone
from typing import TYPE_CHECKING, Any

from kestra._api.dialects import search_queries
from kestra._api.models import TERMINAL_STATES
from kestra._api.parsing import start_of, state_of
from kestra._rules import executing
from kestra._rules.problems import page_of
from kestra._rules.reading import naming
from kestra._rules.waiting import next_pause
from kestra.exceptions import APIError, FailedExponentialBackoff

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import datetime

    from kestra._api.models import FlowExecution
    from kestra._api.requests import ExecutionRequest
    from kestra._rules.io import IO
    from kestra._rules.waiting import Options, Wait

logger = logging.getLogger("kestra")

_PAGE = 100
_MOST_PAGES = 100  # servers on Elasticsearch show no more than 10,000 results
_LONGEST_SEARCH = 10.0  # seconds that a page may take


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


async def create(request: ExecutionRequest, options: Options, io: IO) -> Running:
    wait, created = await executing.create(io, request, options)
    return Running(request, start_of(created), wait, shown=wait.begin)


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
        start = (self.start - timedelta(seconds=1)).astimezone(timezone.utc)
        since = start.strftime("%Y-%m-%dT%H:%M:%S.000Z")
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
        refused: APIError | None = None
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
