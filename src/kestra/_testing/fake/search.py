"""Which executions a search finds. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from kestra._client.results import time_of
from kestra._testing.fake.refused import Refused
from kestra._testing.fake.shown import iso

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from kestra._testing.fake.executions import Execution

Query = dict[str, list[str]]
_Test = Callable[["Execution"], bool]

# What plain parameters, which are known until 1.x, ask for.
_PLAIN = {
    "namespace": "PREFIX",
    "flowId": "EQUALS",
    "labels": "EQUALS",
    "startDate": "GREATER_THAN_OR_EQUAL_TO",
    "endDate": "LESS_THAN_OR_EQUAL_TO",
}
_FIELDS = {*_PLAIN, "state"}


class UnknownFilterError(Exception):
    """A search asks for something that is not imitated."""


def found(
    executions: Iterable[Execution], query: Query, version: str, dated: Callable[[float], datetime]
) -> list[Execution]:
    """Return the executions that a search finds, in its order.

    As on the servers, what a version does not know is ignored: 0.21 the `filters`, 2.0 the plain
    parameters.

    Raises:
        UnknownFilterError: The search asks for something that is not imitated.
    """
    tests = [
        test
        for name, values in query.items()
        if name not in {"page", "size", "sort"}
        for test in _tests(name, values, version, dated)
    ]
    result = [each for each in executions if all(test(each) for test in tests)]
    for order in reversed(query.get("sort", [])):
        field, _, direction = order.partition(":")
        if field not in {"state.startDate", "startDate"}:
            raise UnknownFilterError(f"sort={order}: executions are sorted by state.startDate only")
        result.sort(key=lambda execution: execution.history[0][1], reverse=direction == "desc")
    return result


def page(query: Query, name: str, default: int, method: str) -> int:
    """Return the number of a page, or its size.

    Raises:
        Refused: It is less than one.
    """
    number = int(query.get(name, [str(default)])[0])
    if number < 1:
        text = "must be greater than or equal to 1"
        path = f"{method}.{name}"
        raise Refused(422, f"Invalid entity: {path}: {text}", ((path, text),))
    return number


def _tests(
    name: str, values: list[str], version: str, dated: Callable[[float], datetime]
) -> list[_Test]:
    if name in _FIELDS:
        if version == "2.0":
            return []
        if name == "state":
            return [_filter("state", "IN", None, ",".join(values), dated)]
        if name == "labels":
            pairs = [value.partition(":") for value in values]
            return [_filter("labels", "EQUALS", key, value, dated) for key, _, value in pairs]
        return [_filter(name, _PLAIN[name], None, values[0], dated)]
    match = re.fullmatch(r"filters\[(\w+)\]\[(\w+)\](?:\[(.+)\])?", name)
    if match is None:
        raise UnknownFilterError(f"{name}: this parameter of a search is not imitated")
    if version == "0.21":
        return []
    return [_filter(match[1], match[2], match[3], value, dated) for value in values]


def _filter(
    field: str, operator: str, key: str | None, value: str, dated: Callable[[float], datetime]
) -> _Test:
    compare = _OPERATORS.get(operator)
    if compare is None or field not in _FIELDS:
        raise UnknownFilterError(f"filters[{field}][{operator}]: this filter is not imitated")
    wanted = value.split(",") if operator in {"IN", "NOT_IN"} else [value]
    if field in {"startDate", "endDate"}:
        wanted = [_date(each) for each in wanted]

    def test(execution: Execution) -> bool:
        actual = _actual(execution, field, key, dated)
        return actual is not None and compare(actual, wanted)

    return test


def _actual(
    execution: Execution, field: str, key: str | None, dated: Callable[[float], datetime]
) -> str | None:
    """Return what an execution has of a field, as text that can be compared."""
    if field == "labels":
        return execution.labels.get(key or "")
    if field == "startDate":
        return iso(dated(execution.history[0][1]))
    if field == "endDate":
        return iso(dated(execution.history[-1][1])) if execution.has_ended else None
    return {"namespace": execution.namespace, "flowId": execution.flow,
            "state": execution.state}[field]  # fmt: skip


def _date(text: str) -> str:
    moment = time_of(text)
    if moment is None:
        raise UnknownFilterError(
            f"{text}: a date and time with an offset, as in 2026-01-31T08:00:00Z"
        )
    return iso(moment)


_OPERATORS: dict[str, Callable[[str, list[str]], bool]] = {
    "EQUALS": lambda actual, wanted: actual == wanted[0],
    "NOT_EQUALS": lambda actual, wanted: actual != wanted[0],
    "IN": lambda actual, wanted: actual in wanted,
    "NOT_IN": lambda actual, wanted: actual not in wanted,
    "PREFIX": lambda actual, wanted: f"{actual}.".startswith(f"{wanted[0]}."),
    "STARTS_WITH": lambda actual, wanted: actual.startswith(wanted[0]),
    "CONTAINS": lambda actual, wanted: wanted[0] in actual,
    "GREATER_THAN": lambda actual, wanted: actual > wanted[0],
    "GREATER_THAN_OR_EQUAL_TO": lambda actual, wanted: actual >= wanted[0],
    "LESS_THAN": lambda actual, wanted: actual < wanted[0],
    "LESS_THAN_OR_EQUAL_TO": lambda actual, wanted: actual <= wanted[0],
}
