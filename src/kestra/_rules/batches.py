"""Executions that are polled together: what to search for, and what the results show."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta, timezone
from typing import TYPE_CHECKING, Any

from kestra._api.dialects import search_queries
from kestra._api.models import TERMINAL_STATES
from kestra._api.parsing import state_of
from kestra._rules.problems import json_of, malformed
from kestra._rules.waiting import next_pause
from kestra.exceptions import APIError

if TYPE_CHECKING:
    from datetime import datetime

    from kestra._rules.io import IO
    from kestra._rules.jobs import Running

_PAGE = 100
_MOST_PAGES = 100  # servers on Elasticsearch show no more than 10,000 results
_LONGEST_SEARCH = 10.0  # seconds that a page may take


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

    def wanted(self) -> Wanted:
        first = next(iter(self.members)).request
        starts = [each.start for each in self.members if each.start is not None]
        ids = frozenset(each.execution_id for each in self.members)
        return Wanted(str(first.namespace), str(first.flow), min(starts), ids)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Executions of one flow to search for, of which the earliest was created at `start`."""

    namespace: str
    flow: str
    start: datetime
    ids: frozenset[str]

    @property
    def fields(self) -> dict[str, Any]:
        """What to ask for, by field."""
        # Some databases keep less of a time than the response to the creation shows.
        start = (self.start - timedelta(seconds=1)).astimezone(timezone.utc)
        since = start.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return {
            "namespace": self.namespace,
            "flowId": self.flow,
            "startDate": ("GREATER_THAN_OR_EQUAL_TO", since),
        }


class ResultPages:
    """What the pages of a search have shown so far.

    Attributes:
        shown: The executions that were searched for, by id; of one that has not ended, the state.
        understood: Whether the server searches for what it is asked.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._results = 0
        self._fruitless = 0
        self.shown: dict[str, dict[str, Any]] = {}
        self.understood = True

    def covers(self, execution: Running) -> bool:
        """Return True if the search was for an execution; it may be younger than the search."""
        return execution.execution_id in self._wanted.ids

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
            and self._fruitless < len(self._wanted.ids) - len(self.shown)
            and len(results) > 0
            and self._results < min(_PAGE * _MOST_PAGES, total if isinstance(total, int) else 0)
        )

    def _add(self, execution: Any) -> None:
        state = state_of(execution)
        if state is None:
            return
        # The namespace of a search is a prefix on some versions.
        namespace = str(execution.get("namespace"))
        if not (
            execution.get("flowId") == self._wanted.flow
            and f"{namespace}.".startswith(f"{self._wanted.namespace}.")
        ):
            self.understood = False
        elif (execution_id := execution.get("id")) in self._wanted.ids:
            whole = state in TERMINAL_STATES
            self.shown[execution_id] = execution if whole else {"state": {"current": state}}


async def search(wanted: Wanted, io: IO) -> ResultPages:
    """Search for executions, page by page, in the forms that the server may understand.

    A search is not repeated if it fails: the next one comes soon.
    """
    url = io.server.url("executions/search")
    pages = ResultPages(wanted)
    refused: APIError | None = None
    order = "state.startDate:desc"
    for form, query in search_queries(io.server, wanted.fields, sort=order, size=_PAGE):
        pages, page, more = ResultPages(wanted), 0, True
        try:
            while more:
                page += 1
                response = await io.request(
                    "get", url, params={**query, "page": page}, within=_LONGEST_SEARCH, once=True
                )
                body = json_of(response, dict, "get", url)
                results = body.get("results")
                if not isinstance(results, list):
                    raise malformed("get", url, response, "lacks the executions")
                more = pages.add(results, body.get("total"))
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
