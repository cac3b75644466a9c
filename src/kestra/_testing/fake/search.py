"""Which executions, and which log entries, a search finds. Pure."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kestra._api.models import LEVELS, OTHER_STATES, TERMINAL_STATES
from kestra._testing.fake.refused import Refused, UnexpectedError
from kestra._testing.fake.shown import LOOP, iso
from kestra._values.times import parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from kestra._testing.fake.execution import Execution

Query = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class _Condition:
    field: str
    operation: str
    label: str | None
    wanted: str


_EQUAL = {"EQUALS", "NOT_EQUALS"}
_LISTED = _EQUAL | {"IN", "NOT_IN"}
_TEXT = _LISTED | {"STARTS_WITH", "CONTAINS", "PREFIX", "REGEX"}
_BOUNDS = {"GREATER_THAN_OR_EQUAL_TO", "LESS_THAN_OR_EQUAL_TO"}
_DATES = _BOUNDS | {"EQUALS", "GREATER_THAN", "LESS_THAN"}
_IS = {"EQUALS", "IN"}
# Operations by field, as far as they are imitated; others on these fields are refused.
_EXECUTIONS = {
    "namespace": _TEXT,
    "flowId": _TEXT,
    "state": _LISTED,
    "labels": _EQUAL | {"CONTAINS"},
    "startDate": _DATES,
    "endDate": _DATES,
    "q": _EQUAL,
    "childFilter": _EQUAL,
    "scope": _EQUAL,
    "triggerExecutionId": _IS,
    "kind": _IS,
    "parentId": _IS,
}
_LOGS = {
    "executionId": _IS,
    "taskId": _IS,
    "taskRunId": _IS,
    "attemptNumber": _IS,
    "level": _BOUNDS | {"IN", "NOT_IN"},
    "startDate": _DATES,
    "endDate": _DATES,
    "namespace": _TEXT,
    "flowId": _TEXT,
    "kind": _IS,
    "q": _EQUAL,
}
# Other fields that a server knows, and does not search for.
_ELSEWHERE = {"id", "metadata", "flowRevision", "triggerId", "taskId", "level", "executionId"}
# What plain parameters, which are known until 1.x, ask for.
_PLAIN = {
    "namespace": "PREFIX",
    "flowId": "EQUALS",
    "labels": "EQUALS",
    "startDate": "GREATER_THAN_OR_EQUAL_TO",
    "endDate": "LESS_THAN_OR_EQUAL_TO",
    "state": "IN",
    "q": "EQUALS",
}
_SORTED_BY = ("state.startDate", "state.endDate", "state.duration", "id", "namespace", "flowId")


def executions(
    found: Iterable[Execution], query: Query, version: str, dated: Callable[[float], datetime]
) -> list[Execution]:
    """Return the executions that a search finds, in its order.

    As on the servers, what a version does not know is ignored: 0.21 the `filters`, 2.0 the plain
    parameters. Iterations of a loop are found only where their kind is asked for.

    Raises:
        Refused: The server does not know the field, or the operation on it.
        UnexpectedError: The search asks for something that is not imitated.
    """
    known = {**_EXECUTIONS}
    if version != "2.0":
        del known["parentId"]
    conditions = [
        condition
        for name, values in query.items()
        if name not in {"page", "size", "sort"}
        for condition in _conditions(name, values, version, known)
    ]
    if not any(condition.field == "kind" for condition in conditions):
        found = [each for each in found if each.iteration is None]
    result = [(each, _fields(each, dated)) for each in found]
    for condition in conditions:
        result = [each for each in result if _meets(condition, each[1])]
    for order in reversed(query.get("sort", [])):
        field, is_reversed = _order(order, _SORTED_BY)
        result.sort(key=lambda each: str(each[1].get(field) or ""), reverse=is_reversed)
    return [execution for execution, _ in result]


def entries(found: Iterable[dict[str, Any]], query: Query, version: str) -> list[dict[str, Any]]:
    """Return the log entries that a search finds, in its order; 0.21 ignores the filters.

    Raises:
        Refused: The server does not know the field, or the operation on it.
    """
    known = {**_LOGS}
    if version == "1.3":
        known["level"] = {"EQUALS", "NOT_EQUALS"}
    conditions = [
        condition
        for name, values in query.items()
        if name.startswith("filters[")
        for condition in _conditions(name, values, version, known)
    ]
    result = [each for each in found if all(_meets(c, _entry_fields(each)) for c in conditions)]
    for order in reversed(query.get("sort", [])):
        field, is_reversed = _order(order, ("timestamp",))
        result.sort(key=lambda each: str(each[field]), reverse=is_reversed)
    return result


def page(found: list[Any], query: Query, method: str, version: str) -> tuple[list[Any], int]:
    """Return a page of what was found, and the total; past the end that is 0 from 1.x on.

    Raises:
        Refused: The number of the page, or its size, is less than one.
    """
    number, size = _count(query, "page", 1, method), _count(query, "size", 10, method)
    some = found[(number - 1) * size : number * size]
    return some, len(found) if some or version == "0.21" else 0


def _count(query: Query, name: str, default: int, method: str) -> int:
    number = int(query.get(name, [str(default)])[0])
    if number < 1:
        text = "must be greater than or equal to 1"
        path = f"{method}.{name}"
        raise Refused(422, f"Invalid entity: {path}: {text}", ((path, text),))
    return number


def _order(order: str, known: Iterable[str]) -> tuple[str, bool]:
    field, colon, direction = order.partition(":")
    if not colon:
        raise Refused(422, "Unprocessable Entity: Invalid sort parameter")
    if field not in known:
        raise Refused(422, f"Unprocessable Entity: Invalid sort field: {field}")
    return field, direction == "desc"


def _conditions(
    name: str, values: list[str], version: str, known: Mapping[str, set[str]]
) -> Iterator[_Condition]:
    match = re.fullmatch(r"filters\[(\w+)\]\[(\w+)\](?:\[(.+)\])?", name)
    if match is None:
        if version == "2.0":
            return
        if name not in _PLAIN:
            raise UnexpectedError(f"{name}: this parameter of a search is not imitated")
        for value in [",".join(values)] if name == "state" else values:
            label, _, wanted = value.partition(":") if name == "labels" else (None, "", value)
            yield _Condition(name, _PLAIN[name], label, _read(name, wanted))
        return
    if version == "0.21":
        return
    field, operation, label = match.groups()
    _check(field, operation, known)
    if field == "labels" and operation != "CONTAINS" and not label:
        raise _invalid(f"Operation {operation} on the labels field requires a label key")
    for value in values:
        yield _Condition(field, operation, label, _read(field, value))


def _check(field: str, operation: str, known: Mapping[str, set[str]]) -> None:
    if operation not in _OPERATIONS:
        raise Refused(422, f"Illegal argument: No enum constant QueryFilter.Op.{operation}")
    if field in known:
        if operation not in known[field]:
            listed = ", ".join(sorted(known[field]))
            raise _invalid(
                f"Operation {operation} is not supported for field {field.upper()}. "
                f"Supported operations are {listed}"
            )
    elif field in _ELSEWHERE:
        raise _invalid(f"Field {field.upper()} is not supported for this resource")
    elif field == "timeRange":
        raise UnexpectedError(f"filters[{field}] is not imitated: filter by startDate")
    else:
        raise Refused(422, f"Illegal argument: Unsupported field '{field}'")


def _invalid(what: str) -> Refused:
    text = "Invalid query filters: Provided query filters are invalid"
    return Refused(400, f"{text}: {what}")


def _read(field: str, text: str) -> str:
    """Return what is asked for as it is compared.

    Raises:
        Refused: There is no such state, or it is not a date and time with an offset.
    """
    if field in {"startDate", "endDate"}:
        moment = parse_instant(text)
        if moment is None:
            raise Refused(500, f"Internal server error: Text '{text}' could not be parsed")
        return iso(moment)
    if field == "state":
        for each in text.split(","):
            if each not in TERMINAL_STATES | OTHER_STATES:
                raise Refused(422, f"Illegal argument: No enum constant State.Type.{each}")
    return text


def _fields(execution: Execution, dated: Callable[[float], datetime]) -> dict[str, Any]:
    """Return what of an execution can be searched for."""
    start = iso(dated(execution.history[0][1]))
    end = iso(dated(execution.history[-1][1])) if execution.has_ended else None
    return {
        "id": execution.id,
        "namespace": execution.namespace,
        "flowId": execution.flow,
        "state": execution.state,
        "labels": execution.labels,
        "startDate": start,
        "state.startDate": start,
        "endDate": end,
        "state.endDate": end,
        "state.duration": f"{execution.history[-1][1] - execution.created:020.6f}",
        "q": f"{execution.id} {execution.namespace} {execution.flow}",
        "childFilter": "MAIN",
        "scope": "USER",
        "kind": LOOP if execution.iteration else None,
        "parentId": execution.parent,
    }


def _entry_fields(entry: dict[str, Any]) -> dict[str, Any]:
    at = iso(parse_instant(entry["timestamp"]))  # type: ignore[arg-type]
    return {
        **entry,
        "attemptNumber": str(entry["attemptNumber"]),
        "startDate": at,
        "endDate": at,
        "kind": entry.get("executionKind", "NORMAL"),
        "level": str(LEVELS.index(entry["level"])),
        "q": entry["message"],
    }


def _meets(condition: _Condition, fields: dict[str, Any]) -> bool:
    field, operation, wanted = condition.field, condition.operation, condition.wanted
    actual = fields.get(field)
    if field == "labels":
        if operation == "CONTAINS":
            return any(wanted in f"{key}:{value}" for key, value in actual.items())  # type: ignore[union-attr]
        actual = actual.get(condition.label)  # type: ignore[union-attr]
        if operation == "NOT_EQUALS":
            return bool(actual != wanted)
    if field == "q":
        return str(wanted).lower() in str(actual).lower()
    if field == "level":
        wanted = ",".join(
            str(LEVELS.index(each)) if each in LEVELS else each for each in wanted.split(",")
        )
    return actual is not None and _OPERATIONS[operation](str(actual), wanted)


_OPERATIONS: dict[str, Callable[[str, str], bool]] = {
    "EQUALS": operator.eq,
    "NOT_EQUALS": operator.ne,
    "IN": lambda actual, wanted: actual in wanted.split(","),
    "NOT_IN": lambda actual, wanted: actual not in wanted.split(","),
    "PREFIX": lambda actual, wanted: f"{actual}.".startswith(f"{wanted}."),
    "STARTS_WITH": str.startswith,
    "CONTAINS": operator.contains,
    "REGEX": lambda actual, wanted: re.fullmatch(wanted, actual) is not None,
    "GREATER_THAN": operator.gt,
    "GREATER_THAN_OR_EQUAL_TO": operator.ge,
    "LESS_THAN": operator.lt,
    "LESS_THAN_OR_EQUAL_TO": operator.le,
}
