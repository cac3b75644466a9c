"""Executions of a namespace, found by a search: each once, the newest first.

Pages go by the time of creation: the next one begins where the last one ended, so that executions
which are created meanwhile move nothing. 0.21 knows neither the filters nor that limit, and is
asked by its own parameters; whatever it ignores is checked here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from kestra._api.dialects import FROM_2
from kestra._api.forms import checked_labels
from kestra._api.models import OTHER_STATES, TERMINAL_STATES
from kestra._api.namespaces import Execution
from kestra._api.parsing import at, labels_on, start_of, state_of, whole_state
from kestra._rules.pages import clock_offset, learn_time, ready, server_time
from kestra._rules.problems import page_of
from kestra._values.times import utc_text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from kestra._rules.io import IO

_MOST_REPEATED = 100  # pages in a row that show nothing new: all pages are the same
_PAGE = 100
# A store may keep times less exactly than the server shows them.
_STEP = timedelta(milliseconds=1)
_STATES = TERMINAL_STATES | OTHER_STATES
_TEXT = (str, "a string")
_TIME = (datetime | timedelta, "a datetime, or a timedelta before now")
_ARGUMENTS: dict[str, tuple[Any, str]] = {
    "flow": _TEXT,
    "state": (str | Iterable, "the name of a state, or several"),
    "since": _TIME,
    "until": _TIME,
    "text": _TEXT,
    "trigger": _TEXT,
    "children": (bool, "True, False, or None for all executions"),
}
_KINDS = {True: "CHILD", False: "MAIN", None: None}


@dataclass(slots=True)
class Search:
    """What executions to find. The attributes are the arguments of `Namespace.executions`."""

    flow: str | None = None
    state: str | Iterable[str] | None = None
    labels: Mapping[str, Any] | None = None
    since: datetime | timedelta | None = None
    until: datetime | timedelta | None = None
    text: str | None = None
    trigger: str | None = None
    children: bool | None = None
    states: tuple[str, ...] = field(init=False)
    wanted: dict[str, str] = field(init=False)  # labels

    def __post_init__(self) -> None:
        for name, (kind, what) in _ARGUMENTS.items():
            if not isinstance(value := getattr(self, name), kind | None):
                raise TypeError(f"{name} must be {what}, not {type(value).__name__}")
        self.states = (self.state,) if isinstance(self.state, str) else tuple(self.state or ())
        if self.state is not None and not self.states:  # else all would be found
            raise ValueError("state must name at least one, or be None for all")
        self.wanted = checked_labels({} if self.labels is None else self.labels, sets=False)
        for each in self.states:
            if each not in _STATES:
                known = ", ".join(sorted(_STATES))
                raise ValueError(f"state must be one or more of {known}, not {each!r}")

    def finds(self, namespace: str, execution: dict[str, Any]) -> bool:
        """Return True for an execution that is as asked for, as far as it shows."""
        labels = labels_on(execution)
        return (
            execution.get("namespace") == namespace
            and self.flow in {None, execution.get("flowId")}
            and (not self.states or state_of(execution) in self.states)
            and all(labels.get(key) == value for key, value in self.wanted.items())
        )

    def query(
        self, namespace: str, since: datetime | None, until: datetime | None
    ) -> dict[str, Any]:
        """Return the filters of 1.x and later."""
        labels = {f"[labels][EQUALS][{key}]": value for key, value in self.wanted.items()}
        query = {
            "[namespace][EQUALS]": namespace,
            "[flowId][EQUALS]": self.flow,
            "[state][IN]": ",".join(self.states) or None,
            **labels,
            "[startDate][GREATER_THAN_OR_EQUAL_TO]": since and utc_text(since),
            "[startDate][LESS_THAN_OR_EQUAL_TO]": until and utc_text(until),
            "[q][EQUALS]": self.text,
            "[triggerExecutionId][EQUALS]": self.trigger,
            "[childFilter][EQUALS]": _KINDS[self.children],
        }
        return {f"filters{name}": value for name, value in query.items()}

    def old_query(self, namespace: str) -> dict[str, Any]:
        """Return the parameters of 0.21, which takes one label only; `finds` checks them all."""
        return {
            "namespace": namespace,
            "flowId": self.flow,
            "state": list(self.states) or None,
            "labels": next((f"{key}:{value}" for key, value in self.wanted.items()), None),
            "q": self.text,
            "triggerExecutionId": self.trigger,
            "childFilter": _KINDS[self.children],
        }


async def executions(
    io: IO, namespace: str, search: Search, size: int = _PAGE
) -> AsyncGenerator[Execution, None]:
    """Yield the executions that a search finds."""
    await ready(io)
    since, until = _bounds(io, search)
    is_relative = isinstance(search.since, timedelta) or isinstance(search.until, timedelta)
    is_by_own_clock = is_relative and io.server.offset is None
    is_old = io.server.is_before_1
    known: set[str] = set()
    page, newest, repeated = 1, until, 0
    while True:
        query = search.old_query(namespace) if is_old else search.query(namespace, since, newest)
        query |= {"sort": "state.startDate:desc", "size": size, "page": page}
        asked = {name: value for name, value in query.items() if value is not None}
        found = await _page(io, asked)
        if is_by_own_clock:
            is_by_own_clock = False
            if clock_offset(io):
                since, until = _bounds(io, search)
                newest = until
                continue
        is_sure = is_old or io.server.dialect is FROM_2
        if not (is_sure or all(search.finds(namespace, each) for each in found)):
            is_old = True  # the filters were ignored
            continue
        if is_old and until is None and found:
            until = start_of(found[0])
        new = [each for each in found if each["id"] not in known]
        for each in new:
            known.add(each["id"])
            if _is_within(each, since, until) and search.finds(namespace, each):
                yield _execution(io, each)
        last = start_of(found[-1]) if found else None
        repeated = 0 if new else repeated + 1
        is_over = len(found) < size or repeated > _MOST_REPEATED
        if is_over or (is_old and since and last and last < since):
            return
        if is_old or not new or last is None:
            page += 1
        else:
            page, newest = 1, last + _STEP


async def last(io: IO, namespace: str, search: Search) -> Execution | None:
    """Return the execution that was created last."""
    async for execution in executions(io, namespace, search, 1):
        return execution
    return None


async def _page(io: IO, query: dict[str, Any]) -> list[dict[str, Any]]:
    url = io.server.url("executions/search")
    response = await io.request("get", url, params=query)
    learn_time(io, response)
    found, _ = page_of(response, url, "the list of results")
    return [each for each in found if isinstance(each, dict) and each.get("id")]


def _is_within(execution: dict[str, Any], since: datetime | None, until: datetime | None) -> bool:
    start = start_of(execution)
    if start is None:
        return True
    return (since is None or start >= since) and (until is None or start <= until)


def _bounds(io: IO, search: Search) -> tuple[datetime | None, datetime | None]:
    return _moment(io, search.since), _moment(io, search.until)


def _moment(io: IO, time: datetime | timedelta | None) -> datetime | None:
    try:
        if isinstance(time, timedelta):
            return server_time(io) - time
        return None if time is None else time.astimezone()  # one without an offset is local
    except (OverflowError, ValueError):
        raise ValueError(f"since and until must be in the years 1 to 9999, not {time!r}") from None


def _execution(io: IO, shown: dict[str, Any]) -> Execution:
    trigger = at(dict, shown, "trigger") or {}
    return Execution(
        id=str(shown["id"]),
        namespace=str(shown.get("namespace")),
        flow=str(shown.get("flowId")),
        revision=shown.get("flowRevision"),
        state=whole_state(shown),
        labels=labels_on(shown),
        inputs=at(dict, shown, "inputs") or {},
        trigger=trigger.get("id"),
        parent_id=at(str, trigger, "variables", "executionId") or shown.get("parentId"),
        original_id=shown.get("originalId"),
        url=io.server.address(shown),
    )
