"""Executions that are polled together: what to search for, and what the results show. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta, timezone
from typing import TYPE_CHECKING, Any

from kestra._api.models import TERMINAL_STATES
from kestra._api.parsing import state_of
from kestra._rules.waiting import next_pause

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import datetime

    from kestra._api.requests import ExecutionRequest
    from kestra._rules.waiting import Wait

PAGE = 100
_MOST_PAGES = 100  # servers on Elasticsearch show no more than 10,000 results
# What no search has shown for that long, in seconds, is polled by itself. Servers on Elasticsearch
# take a second or two to show what is new.
_UNSEEN = 3.0


@dataclass(eq=False, slots=True)
class Running:
    """An execution that was created, and has not ended as far as is known.

    Attributes:
        request: What asked for it.
        execution_id: Its id.
        url: Where the user interface shows it.
        start: When it was created, by the server's clock.
        created: The same by the clock of the call, in seconds.
        deadline: When its timeout is over, by that clock.
        shown: When a response last showed it, by that clock.
        logged: The states that were logged already.
        ended: Whether a response showed that it has ended.
        key: The key of its batch.
        wait: Polls it by itself.
    """

    request: ExecutionRequest
    execution_id: str
    url: str | None
    start: datetime | None
    created: float
    deadline: float
    shown: float
    wait: Wait
    logged: set[str] = field(default_factory=set)
    ended: bool = False
    key: Hashable = None

    @property
    def name(self) -> str:
        """What it is called in the log."""
        return f"{self.execution_id} of {self.request.namespace}.{self.request.flow}"

    @property
    def batch_key(self) -> Hashable:
        """What the executions have in common that one search shows.

        Without the start date in the response to its creation, it cannot be searched for.
        """
        if self.start is None:
            return self
        return str(self.request.namespace), str(self.request.flow)

    def is_lost(self, now: float) -> bool:
        """Return True if it is time to poll it by itself: searches do not show it."""
        return now - self.shown >= _UNSEEN


class Batch:
    """Executions of one flow, which one search shows; or one that no search shows.

    Attributes:
        members: The executions in it, in the order of their creation.
        due: When to poll next, by the clock of the call; never, while polls are on their way.
        polls: How many polls are on their way.
    """

    def __init__(self, due: float) -> None:
        self.due = due
        self.members: dict[Running, None] = {}
        self.polls = 0

    def next_poll(self, poll_interval: float, now: float) -> float:
        """Return when to poll next: when a member of middle age would be polled by itself.

        By the youngest, a steady stream of new ones would have the server polled all the time; by
        the oldest, one that takes an hour would delay all others.
        """
        ages = sorted(now - each.created for each in self.members)
        return now + next_pause(poll_interval, ages[(len(ages) - 1) // 2])

    def wanted(self) -> Wanted:
        """Return what to search for to have the members shown."""
        first = next(iter(self.members)).request
        starts = [each.start for each in self.members if each.start is not None]
        ids = frozenset(each.execution_id for each in self.members)
        return Wanted(str(first.namespace), str(first.flow), min(starts), ids)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Executions of one flow to search for.

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
        self._missing = set(wanted.ids)
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
            and self._results < min(PAGE * _MOST_PAGES, total if isinstance(total, int) else 0)
        )

    def _add(self, execution: Any) -> None:
        state = state_of(execution)
        if not isinstance(execution, dict) or state is None:
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
            self._missing.discard(execution_id)
