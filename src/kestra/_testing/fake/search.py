"""Which executions, and which log entries, a search finds, and its pages."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any, TypeVar

from kestra._api.models import LEVELS, OTHER_STATES, TERMINAL_STATES
from kestra._testing.fake.messages import Refused, UnexpectedError, as_json, invalid
from kestra._testing.fake.shown import LOOP, iso
from kestra._values.times import parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kestra._testing.fake.engine import Engine
    from kestra._testing.fake.execution import Execution
    from kestra._testing.fake.messages import Reply, Request

T = TypeVar("T")
Query = dict[str, list[str]]
_Fields = dict[str, "str | None"]
_Condition = tuple[str, str, str]  # field, operation, and what is wanted

_EQUAL = {"EQUALS", "NOT_EQUALS"}
_LISTED = _EQUAL | {"IN", "NOT_IN"}
_TEXT = _LISTED | {"STARTS_WITH", "CONTAINS", "PREFIX", "REGEX"}
_BOUNDS = {"GREATER_THAN_OR_EQUAL_TO", "LESS_THAN_OR_EQUAL_TO"}
_DATES = _BOUNDS | {"EQUALS", "GREATER_THAN", "LESS_THAN"}
_IS = {"EQUALS", "IN"}
# Operations by field, as far as they are imitated; others on these fields are refused.
_BOTH = {"namespace": _TEXT, "flowId": _TEXT, "q": _EQUAL, "kind": _IS}
_BOTH |= {"startDate": _DATES, "endDate": _DATES}
_EXECUTIONS = _BOTH | {"state": _LISTED, "labels": _EQUAL | {"CONTAINS"}}
_EXECUTIONS |= {"childFilter": _EQUAL, "scope": _EQUAL, "triggerExecutionId": _IS}
_LOGS = _BOTH | dict.fromkeys(("executionId", "taskId", "taskRunId", "attemptNumber"), _IS)
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
_INVALID = "Invalid query filters: Provided query filters are invalid"
_SORTED_BY = ("state.startDate", "state.endDate", "state.duration", "id", "namespace", "flowId")
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


def executions(engine: Engine, query: Query) -> list[Execution]:
    """Return the executions that a search finds, in its order.

    As on the servers, what a version does not know is ignored: 0.21 the `filters`, 2.0 the plain
    parameters. Iterations of a loop are found only where their kind is asked for.
    """
    known = _EXECUTIONS | ({"parentId": _IS} if engine.is_new else {})
    conditions = list(_conditions(engine, query, known, plain=True))
    found = engine.all()
    if not any(field == "kind" for field, *_ in conditions):
        found = [each for each in found if each.loop_run is None]
    rows = [(each, _fields(engine, each)) for each in found]
    return _found(rows, conditions, query, _SORTED_BY)


def entries(engine: Engine, logged: Iterable[dict[str, Any]], query: Query) -> list[dict[str, Any]]:
    """Return the log entries that a search finds, in its order; 0.21 ignores the filters."""
    levels = _EQUAL if engine.version == "1.3" else _BOUNDS | {"IN", "NOT_IN"}
    conditions = list(_conditions(engine, query, _LOGS | {"level": levels}))
    rows = [(each, _entry_fields(each)) for each in logged]
    return _found(rows, conditions, query, ("timestamp",))


def _found(
    rows: list[tuple[T, _Fields]],
    conditions: list[_Condition],
    query: Query,
    sorted_by: Iterable[str],
) -> list[T]:
    rows = [row for row in rows if all(_meets(row[1], *each) for each in conditions)]
    for order in reversed(query.get("sort", [])):
        field, colon, direction = order.partition(":")
        if not colon:
            raise Refused(422, "Unprocessable Entity: Invalid sort parameter")
        if field not in sorted_by:
            raise Refused(422, f"Unprocessable Entity: Invalid sort field: {field}")
        name = field.removeprefix("state.")
        rows.sort(key=lambda row: row[1][name] or "", reverse=direction == "desc")
    return [row[0] for row in rows]


def _meets(fields: _Fields, field: str, operation: str, wanted: str) -> bool:
    actual = fields.get(field)
    if actual is None:
        return operation == "NOT_EQUALS"
    return _OPERATIONS[operation](actual, wanted)


def page(
    engine: Engine,
    request: Request,
    found: list[T],
    method: str,
    show: Callable[[T], Any] = lambda each: each,
) -> Reply:
    """Return a page of what was found, and the total; past the end that is 0 from 1.x on."""
    number, size = int(request.value("page") or 1), int(request.value("size") or 10)
    for name, count in (("page", number), ("size", size)):
        if count < 1:
            raise invalid((f"{method}.{name}", "must be greater than or equal to 1"))
    some = found[(number - 1) * size : number * size]
    total = len(found) if some or engine.is_old else 0
    return as_json({"results": [show(each) for each in some], "total": total})


def _conditions(
    engine: Engine, query: Query, known: dict[str, set[str]], *, plain: bool = False
) -> Iterator[_Condition]:
    for name, values in query.items():
        match = re.fullmatch(r"filters\[(\w+)\]\[(\w+)\](?:\[(.+)\])?", name)
        if match is not None:
            if not engine.is_old:
                field, operation, label = match.groups()
                _check(field, operation, label, known)
                for value in values:
                    yield _condition(field, operation, value, label)
        elif plain and not engine.is_new and name not in {"page", "size", "sort"}:
            if name not in _PLAIN:
                raise UnexpectedError(f"{name}: this parameter of a search is not imitated")
            for value in [",".join(values)] if name == "state" else values:
                label, _, wanted = value.partition(":") if name == "labels" else (None, "", value)
                yield _condition(name, _PLAIN[name], wanted, label)


def _check(field: str, operation: str, label: str | None, known: dict[str, set[str]]) -> None:
    if operation not in _OPERATIONS:
        raise Refused(422, f"Illegal argument: No enum constant QueryFilter.Op.{operation}")
    if field in known:
        if operation not in known[field]:
            listed = ", ".join(sorted(known[field]))
            text = f"Operation {operation} is not supported for field {field.upper()}"
            raise Refused(400, f"{_INVALID}: {text}. Supported operations are {listed}")
    elif field in _ELSEWHERE:
        raise Refused(400, f"{_INVALID}: Field {field.upper()} is not supported for this resource")
    elif field == "timeRange":
        raise UnexpectedError(f"filters[{field}] is not imitated: filter by startDate")
    else:
        raise Refused(422, f"Illegal argument: Unsupported field '{field}'")
    if field == "labels" and operation != "CONTAINS" and not label:
        raise Refused(
            400, f"{_INVALID}: Operation {operation} on the labels field requires a label key"
        )


def _condition(field: str, operation: str, wanted: str, label: str | None) -> _Condition:
    """Return a condition on the fields of `_fields` or `_entry_fields`."""
    if field in {"startDate", "endDate"}:
        moment = parse_instant(wanted)
        if moment is None:
            raise Refused(500, f"Internal server error: Text '{wanted}' could not be parsed")
        return (field, operation, iso(moment))
    if field == "q":
        return (field, "CONTAINS", wanted.lower())
    if field == "level":
        levels = [str(LEVELS.index(x)) if x in LEVELS else x for x in wanted.split(",")]
        return (field, operation, ",".join(levels))
    if field == "state":
        for each in wanted.split(","):
            if each not in TERMINAL_STATES | OTHER_STATES:
                raise Refused(422, f"Illegal argument: No enum constant State.Type.{each}")
    return (field if label is None else f"{field}[{label}]", operation, wanted)


def _fields(engine: Engine, execution: Execution) -> _Fields:
    (_, began), (_, last) = execution.history[0], execution.history[-1]
    return {
        **{f"labels[{key}]": value for key, value in execution.labels.items()},
        "labels": "\n".join(f"{key}:{value}" for key, value in execution.labels.items()),
        "id": execution.id,
        "namespace": execution.namespace,
        "flowId": execution.flow,
        "state": execution.state,
        "startDate": iso(engine.clock.date(began)),
        "endDate": iso(engine.clock.date(last)) if execution.has_ended else None,
        "duration": f"{last - execution.created:020.6f}",
        "q": f"{execution.id} {execution.namespace} {execution.flow}".lower(),
        "childFilter": "MAIN",
        "scope": "USER",
        "kind": LOOP if execution.loop_run else None,
        "parentId": execution.parent,
    }


def _entry_fields(entry: dict[str, Any]) -> _Fields:
    return {
        **entry,
        "attemptNumber": str(entry["attemptNumber"]),
        "startDate": entry["timestamp"],
        "endDate": entry["timestamp"],
        "kind": entry.get("executionKind", "NORMAL"),
        "level": str(LEVELS.index(entry["level"])),
        "q": entry["message"].lower(),
    }
