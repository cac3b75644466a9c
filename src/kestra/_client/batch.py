"""Executions that are watched together: what to ask the server, and what its answers show. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta, timezone
from typing import TYPE_CHECKING, Any

from kestra._api.models import TERMINAL_STATES
from kestra._api.parsing import state_of
from kestra._client.waiting import next_pause

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import datetime

    from kestra._api.requests import ExecutionRequest

_PAGE = 100
_MOST_PAGES = 100  # servers on Elasticsearch show no more than 10,000 results
# What no search has shown for that long, in seconds, is looked at by itself. Servers on
# Elasticsearch take a second or two to show what is new.
_UNSEEN = 3.0


# --- what is watched -------------------------------------------------------------------------


@dataclass(eq=False, slots=True)
class Watched:
    """An execution that was created, and has not ended as far as is known.

    Attributes:
        request: What asked for it.
        execution_id: Its id.
        address: Where the user interface shows it.
        start: When it was created, by the server's clock.
        created: The same by the stopwatch, in seconds.
        deadline: When its timeout is over, likewise.
        seen: When an answer last showed it, likewise.
        logged: The states that `log_state` has got already.
        ended: Whether an answer showed that it has ended.
        key: The key of its batch.
    """

    request: ExecutionRequest
    execution_id: str
    address: str | None
    start: datetime | None
    created: float
    deadline: float
    seen: float
    logged: set[str] = field(default_factory=set)
    ended: bool = False
    key: Hashable = None

    @property
    def flow(self) -> str:
        """The namespace and the id of the flow."""
        return f"{self.request.namespace}.{self.request.flow}"


class Batch:
    """Executions of one flow, which one search shows; or one that no search shows.

    Attributes:
        members: The executions in it, in the order of their creation.
        due: When to look next, by the stopwatch, in seconds; never, while looks are on their way.
        looks: How many looks are on their way.
    """

    def __init__(self, due: float) -> None:
        self.due = due
        self.members: dict[Watched, None] = {}
        self.looks = 0

    def next_look(self, poll_interval: float, now: float) -> float:
        """Return when to look next: when a member of middle age would be looked at by itself.

        By the youngest, a steady stream of new ones would have the server asked all the time; by
        the oldest, one that takes an hour would delay all others.
        """
        ages = sorted(now - each.created for each in self.members)
        return now + next_pause(poll_interval, ages[(len(ages) - 1) // 2])

    def search(self) -> Search:
        """Return the search that shows the members."""
        first = next(iter(self.members)).request
        starts = [each.start for each in self.members if each.start is not None]
        ids = frozenset(each.execution_id for each in self.members)
        return Search(str(first.namespace), str(first.flow), min(starts), ids)


def batch_key(execution: Watched) -> Hashable:
    """Return what the executions have in common that one search shows.

    One whose creation was answered without a start date cannot be searched for.
    """
    if execution.start is None:
        return execution
    return str(execution.request.namespace), str(execution.request.flow)


def is_lost(execution: Watched, now: float) -> bool:
    """Say whether it is time to look at an execution by itself, which searches do not show."""
    return now - execution.seen >= _UNSEEN


# --- what a search asks, and shows -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Search:
    """A search for executions of one flow.

    Attributes:
        namespace: The namespace of the flow.
        flow: The id of the flow.
        start: When the earliest of them was created.
        ids: Their ids.
    """

    namespace: str
    flow: str
    start: datetime
    ids: frozenset[str]

    def query(self, form: str, page: int) -> dict[str, Any]:
        """Return the query for one page, the latest execution first.

        Args:
            form: One of `FORMS`.
            page: The number of the page, from 1 on.
        """
        # Some databases keep less of a time than the answer to the creation shows.
        start = (self.start - timedelta(seconds=1)).astimezone(timezone.utc)
        asked = {
            "namespace": ("EQUALS", self.namespace),
            "flowId": ("EQUALS", self.flow),
            "startDate": ("GREATER_THAN_OR_EQUAL_TO", start.strftime("%Y-%m-%dT%H:%M:%S.000Z")),
        }
        named = {form.format(name, how): value for name, (how, value) in asked.items()}
        return {**named, "sort": "state.startDate:desc", "page": page, "size": _PAGE}


# How parameters of a search are written: up to 1.x, and from 1.x on. Of the servers that do not
# know a form, old ones ignore it, so that everything comes back, and new ones refuse it.
FORMS = ("{0}", "filters[{0}][{1}]")


class Sightings:
    """What the pages of a search have shown so far.

    Attributes:
        shown: The executions that were searched for, by id; of one that has not ended, the state.
        understood: Whether the server answers what it is asked.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._missing = set(search.ids)
        self._results = 0
        self._fruitless = 0
        self.shown: dict[str, dict[str, Any]] = {}
        self.understood = True

    def sought(self, execution: Watched) -> bool:
        """Say whether the search was for an execution; it may be younger than the search."""
        return execution.execution_id in self._search.ids

    def add(self, results: list[Any], total: Any) -> bool:
        """Take a page into account, and say whether the next one is worth a request.

        It is if there is one, and something is missing still. But what is missing can be looked
        at singly, one request each: no more pages are read in vain than that would take.

        Args:
            results: The executions on the page.
            total: How many there are on all pages.
        """
        before = len(self._missing)
        for execution in results:
            self._add(execution)
        self._results += len(results)
        self._fruitless = 0 if len(self._missing) < before else self._fruitless + 1
        return (
            self.understood
            and self._fruitless < len(self._missing)
            and len(results) > 0
            and self._results < min(_PAGE * _MOST_PAGES, total if isinstance(total, int) else 0)
        )

    def _add(self, execution: Any) -> None:
        state = state_of(execution)
        if not isinstance(execution, dict) or state is None:
            return
        # The namespace of a search is a prefix on some versions.
        namespace = str(execution.get("namespace"))
        if not (
            execution.get("flowId") == self._search.flow
            and f"{namespace}.".startswith(f"{self._search.namespace}.")
        ):
            self.understood = False
        elif (execution_id := execution.get("id")) in self._search.ids:
            whole = state in TERMINAL_STATES
            self.shown[execution_id] = execution if whole else {"state": {"current": state}}
            self._missing.discard(execution_id)
