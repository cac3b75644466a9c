"""Which executions a search finds. Pure."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING

from kestra._api.parsing import time_of
from kestra._testing.fake.refused import Refused, UnexpectedError
from kestra._testing.fake.shown import iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from kestra._testing.fake.executions import Execution

Query = dict[str, list[str]]
_Condition = tuple[str, str, "str | None", str]

# What plain parameters, which are known until 1.x, ask for.
_PLAIN = {
    "namespace": "PREFIX",
    "flowId": "EQUALS",
    "labels": "EQUALS",
    "startDate": "GREATER_THAN_OR_EQUAL_TO",
    "endDate": "LESS_THAN_OR_EQUAL_TO",
    "state": "IN",
}


def found(
    executions: Iterable[Execution], query: Query, version: str, dated: Callable[[float], datetime]
) -> list[Execution]:
    """Return the executions that a search finds, in its order.

    As on the servers, what a version does not know is ignored: 0.21 the `filters`, 2.0 the plain
    parameters.

    Raises:
        UnexpectedError: The search asks for something that is not imitated.
    """
    tests = [
        _meets(condition, dated)
        for name, values in query.items()
        if name not in {"page", "size", "sort"}
        for condition in _conditions(name, values, version)
    ]
    result = [each for each in executions if all(test(each) for test in tests)]
    for order in reversed(query.get("sort", [])):
        field, _, direction = order.partition(":")
        if field not in {"state.startDate", "startDate"}:
            raise UnexpectedError(f"sort={order}: executions are sorted by state.startDate only")
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


def _conditions(name: str, values: list[str], version: str) -> Iterator[_Condition]:
    """Yield what a parameter asks for: field, operator, the key of a label, and a value."""
    if name in _PLAIN:
        if version == "2.0":
            return
        for value in [",".join(values)] if name == "state" else values:
            label, _, wanted = value.partition(":") if name == "labels" else (None, "", value)
            yield name, _PLAIN[name], label, wanted
        return
    match = re.fullmatch(r"filters\[(\w+)\]\[(\w+)\](?:\[(.+)\])?", name)
    if match is None:
        raise UnexpectedError(f"{name}: this parameter of a search is not imitated")
    if version != "0.21":
        for value in values:
            yield match[1], match[2], match[3], value


def _meets(
    condition: _Condition, dated: Callable[[float], datetime]
) -> Callable[[Execution], bool]:
    field, comparison, label, wanted = condition
    compare = _OPERATORS.get(comparison)
    if compare is None or field not in _PLAIN:
        raise UnexpectedError(f"filters[{field}][{comparison}]: this filter is not imitated")
    if field in {"startDate", "endDate"}:
        wanted = _date(wanted)

    def meets(execution: Execution) -> bool:
        actual = _actual(execution, field, label, dated)
        return actual is not None and compare(actual, wanted)

    return meets


def _actual(
    execution: Execution, field: str, label: str | None, dated: Callable[[float], datetime]
) -> str | None:
    """Return what an execution has of a field, as text that can be compared."""
    if field == "labels":
        return execution.labels.get(label or "")
    if field == "startDate":
        return iso(dated(execution.history[0][1]))
    if field == "endDate":
        return iso(dated(execution.history[-1][1])) if execution.has_ended else None
    return {"namespace": execution.namespace, "flowId": execution.flow,
            "state": execution.state}[field]  # fmt: skip


def _date(text: str) -> str:
    moment = time_of(text)
    if moment is None:
        raise UnexpectedError(
            f"{text} must be a date and time with an offset, as 2026-01-31T08:00:00Z"
        )
    return iso(moment)


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "EQUALS": operator.eq,
    "NOT_EQUALS": operator.ne,
    "IN": lambda actual, wanted: actual in wanted.split(","),
    "NOT_IN": lambda actual, wanted: actual not in wanted.split(","),
    "PREFIX": lambda actual, wanted: f"{actual}.".startswith(f"{wanted}."),
    "STARTS_WITH": str.startswith,
    "CONTAINS": operator.contains,
    "GREATER_THAN": operator.gt,
    "GREATER_THAN_OR_EQUAL_TO": operator.ge,
    "LESS_THAN": operator.lt,
    "LESS_THAN_OR_EQUAL_TO": operator.le,
}
