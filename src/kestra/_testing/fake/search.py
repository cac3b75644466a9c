"""Which executions, and which log entries, a search finds, and its pages."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any, TypeVar

from kestra._api.models import LEVELS, OTHER_STATES, TERMINAL_STATES
from kestra._testing.fake.messages import Refused, UnexpectedError, as_json, invalid
from kestra._testing.fake.shown import LOOP
from kestra._values.times import parse_instant, utc_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from kestra._testing.fake.engine import Engine
    from kestra._testing.fake.execution import Execution
    from kestra._testing.fake.messages import Reply, Request

T = TypeVar("T")
Query = dict[str, list[str]]
_Fields = dict[str, "str | None"]
_Condition = tuple[str, str, str]  # field, operation, and what is wanted

_EQUAL = {"EQUALS", "NOT_EQUALS"}
_LISTED = _EQUAL | {"IN", "NOT_IN"}
_TEXT = _LISTED | {"STARTS_WITH", "ENDS_WITH", "CONTAINS", "PREFIX", "REGEX"}
_BOUNDS = {"GREATER_THAN_OR_EQUAL_TO", "LESS_THAN_OR_EQUAL_TO"}
_DATES = _BOUNDS | _EQUAL | {"GREATER_THAN", "LESS_THAN"}
# Operations by field, as far as they are imitated; others on these fields are refused.
_BOTH = {"namespace": _TEXT, "flowId": _TEXT, "q": _EQUAL, "kind": _LISTED}
_BOTH |= {"startDate": _DATES, "endDate": _DATES}
_EXECUTIONS = _BOTH | {"state": _LISTED, "labels": _EQUAL | {"CONTAINS"}}
_EXECUTIONS |= {"childFilter": _EQUAL, "scope": _EQUAL, "triggerExecutionId": _TEXT}
_LOGS = _BOTH | dict.fromkeys(("executionId", "taskId", "taskRunId", "attemptNumber"), _TEXT)
_KEYS = {"namespace": _TEXT, "q": _EQUAL}
# All that a server can search for somewhere: 1.3 these, 2.0 more.
_SOMEWHERE = {
    *("assetId", "childFilter", "created", "endDate", "executionId", "existingOnly"),
    *("expirationDate", "flowId", "flowRevision", "id", "kind", "labels", "level", "metadata"),
    *("namespace", "parentPath", "path", "q", "scope", "startDate", "state", "taskId"),
    *("taskRunId", "timeRange", "triggerExecutionId", "triggerId", "triggerState", "type"),
    *("updated", "username", "version", "workerId"),
}
_SOMEWHERE_NEW = {
    *("action", "artifactId", "assignee", "attemptNumber", "details", "email", "enabled"),
    *("enforcement", "expired_at", "external_id", "groupList", "instance_owner"),
    *("lastTriggeredDate", "locked", "name", "nextExecutionDate", "parentId", "policyScope"),
    *("resources", "severity", "source", "status", "tags", "userId"),
}
# What plain parameters, which are known until 1.x, ask for.
_PLAIN = {
    "namespace": "PREFIX",
    "flowId": "EQUALS",
    "labels": "EQUALS",
    "startDate": "GREATER_THAN_OR_EQUAL_TO",
    "endDate": "LESS_THAN_OR_EQUAL_TO",
    "state": "IN",
    "q": "EQUALS",
    "childFilter": "EQUALS",
    "triggerExecutionId": "EQUALS",
}
# Operations that only 2.0 has; they are not imitated.
_ONLY_NEW = {"NOT_CONTAINS", "IS_NULL", "IS_NOT_NULL"}
_PLAIN_OF_LOGS = {"q", "namespace", "flowId", "triggerId", "minLevel", "startDate", "endDate"}
_STATES = "io.kestra.core.models.flows.State.Type"
_INVALID = "Invalid query filters: Provided query filters are invalid"
_SORTED_BY = {
    "EXECUTION": {
        "state.startDate",
        "state.endDate",
        "state.duration",
        "id",
        "namespace",
        "flowId",
    },
    "LOG": {"timestamp"},
    "KV_METADATA": {"namespace", "key"},
}
_OPERATIONS: dict[str, Callable[[str, str], bool]] = {
    "EQUALS": operator.eq,
    "NOT_EQUALS": operator.ne,
    "IN": lambda actual, wanted: actual in wanted.split(","),
    "NOT_IN": lambda actual, wanted: actual not in wanted.split(","),
    "PREFIX": lambda actual, wanted: f"{actual}.".startswith(f"{wanted}."),
    "STARTS_WITH": str.startswith,
    "ENDS_WITH": str.endswith,
    "CONTAINS": operator.contains,
    "NOT_CONTAINS": lambda actual, wanted: wanted not in actual,
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
    known = _EXECUTIONS | ({"parentId": _TEXT} if engine.is_new else {})
    found = engine.all()
    if not any(name.startswith("filters[kind]") for name in query):
        found = [each for each in found if each.loop_run is None]
    rows = [(each, _fields(engine, each)) for each in found]
    return _found(engine, query, "EXECUTION", known, rows)


def entries(engine: Engine, logged: Iterable[dict[str, Any]], query: Query) -> list[dict[str, Any]]:
    """Return the log entries that a search finds, in its order; 0.21 ignores the filters."""
    if engine.version == "1.3" and (plain := _PLAIN_OF_LOGS & query.keys()):
        raise UnexpectedError(f"{min(plain)}: this parameter of a search for logs is not imitated")
    levels = _EQUAL if engine.version == "1.3" else _BOUNDS | {"IN", "NOT_IN"}
    rows = [(each, _entry_fields(each)) for each in logged]
    return _found(engine, query, "LOG", _LOGS | {"level": levels}, rows)


def keys(engine: Engine, stored: list[dict[str, Any]], query: Query) -> list[dict[str, Any]]:
    """Return the keys of key-value stores that a search finds, in its order."""
    rows = [(each, {**each, "q": each["key"].lower()}) for each in stored]
    return _found(engine, query, "KV_METADATA", _KEYS, rows)


def _found(
    engine: Engine,
    query: Query,
    resource: str,
    known: dict[str, set[str]],
    rows: list[tuple[T, _Fields]],
) -> list[T]:
    conditions = list(_conditions(engine, query, resource, known))
    rows = [row for row in rows if all(_meets(row[1], *each) for each in conditions)]
    for order in reversed(query.get("sort", [])):
        field, colon, direction = order.partition(":")
        if not colon:
            raise Refused(422, "Unprocessable Entity: Invalid sort parameter")
        if field not in _SORTED_BY[resource]:
            raise _unsorted(engine, resource, field)
        name = field.removeprefix("state.")
        rows.sort(key=lambda row: row[1][name] or "", reverse=direction == "desc")
    return [row[0] for row in rows]


def _unsorted(engine: Engine, resource: str, field: str) -> Refused:
    if resource == "EXECUTION":
        return Refused(422, f"Unprocessable Entity: Invalid sort field: {field}")
    if engine.is_new:
        text = f"The sort field '{field}' does not exist on this resource."
        return Refused(422, f"Illegal argument: {text}")
    return Refused(500, f'Internal server error: SQL […]; Column "{field}" not found')


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
    number, size = _count(request, "page", 1, method), _count(request, "size", 10, method)
    some = found[(number - 1) * size : number * size]
    total = len(found) if some or engine.is_old else 0
    return as_json({"results": [show(each) for each in some], "total": total})


def _count(request: Request, name: str, default: int, method: str) -> int:
    """Return a number of a query; where a server does not check it, there is no `method`."""
    text = request.value(name) or str(default)
    if not re.fullmatch(r"[+-]?\d+", text):
        cause = f'[{name}] for value [{text}] due to: For input string: "{text}"'
        raise Refused(422, f"Internal server error: Failed to convert argument {cause}")
    if int(text) >= 1:
        return int(text)
    if method:
        raise invalid((f"{method}.{name}", "must be greater than or equal to 1"))
    text = "Size cannot be 0" if name == "size" else "Page index cannot be negative"
    raise Refused(422, f"Illegal argument: {text}")


def _conditions(
    engine: Engine, query: Query, resource: str, known: dict[str, set[str]]
) -> Iterator[_Condition]:
    for name, values in query.items():
        match = re.fullmatch(r"filters\[(\w+)\]\[(\w+)\](?:\[(.+)\])?", name)
        if match is not None:
            if not engine.is_old:
                field, operation, label = match.groups()
                if field not in known:
                    raise _unknown(engine, resource, field)
                _check(engine, field, operation, label, known[field])
                for value in values:
                    yield _condition(field, operation, value, label)
        elif resource == "EXECUTION" and not engine.is_new and name not in {"page", "size", "sort"}:
            if name not in _PLAIN:
                raise UnexpectedError(f"{name}: this parameter of a search is not imitated")
            label, wanted = None, ",".join(values)
            if name == "labels":
                label, _, wanted = wanted.partition(":")
                if len(values) > 1:  # some servers refuse that, and others ignore one
                    raise Refused(422, "Unprocessable Entity: Invalid queryString parameter")
            yield _condition(name, _PLAIN[name], wanted, label)


def _unknown(engine: Engine, resource: str, field: str) -> Exception:
    if field == "timeRange" or (field == "taskId" and engine.is_new):
        return UnexpectedError(f"filters[{field}] is not imitated")
    if field in _SOMEWHERE or (engine.is_new and field in _SOMEWHERE_NEW):
        text = f"Field {_constant(field, engine.is_new)} is not supported for resource {resource}"
        return Refused(400, f"{_INVALID}: {text}")
    return Refused(422, f"Illegal argument: Unsupported field '{field}'")


def _check(
    engine: Engine, field: str, operation: str, label: str | None, supported: set[str]
) -> None:
    if operation in _ONLY_NEW and engine.is_new:
        raise UnexpectedError(f"filters[{field}][{operation}] is not imitated")
    if operation in _ONLY_NEW or operation not in _OPERATIONS:
        text = f"No enum constant io.kestra.core.models.QueryFilter.Op.{operation}"
        raise Refused(422, f"Illegal argument: {text}")
    if operation not in supported:
        listed = ", ".join(sorted(supported))
        text = f"Operation {operation} is not supported for field {_constant(field, engine.is_new)}"
        raise Refused(400, f"{_INVALID}: {text}. Supported operations are {listed}")
    if field == "labels" and operation != "CONTAINS" and not label:
        if not engine.is_new:
            text = f"Unsupported operation for query: {operation}"
            raise Refused(500, f"Internal server error: {text}")
        text = f"Operation {operation} on the labels field requires a label key"
        raise Refused(400, f"{_INVALID}: {text}")


def _constant(field: str, is_new: bool) -> str:
    named = {"q": "QUERY", "level": "LEVEL" if is_new else "MIN_LEVEL"}
    return named.get(field) or re.sub("([A-Z])", r"_\1", field).upper()


def _condition(field: str, operation: str, wanted: str, label: str | None) -> _Condition:
    """Return a condition on the fields of `_fields` or `_entry_fields`."""
    if field in {"startDate", "endDate"}:
        moment = parse_instant(wanted)
        if moment is None:
            raise Refused(500, f"Internal server error: Text '{wanted}' could not be parsed")
        return (field, operation, utc_text(moment))
    if operation == "REGEX" and not _is_pattern(wanted):
        raise Refused(500, "Internal server error: SQL […]")
    if field == "q":
        return (field, "CONTAINS" if operation == "EQUALS" else "NOT_CONTAINS", wanted.lower())
    if field == "level":
        levels = _constants(wanted, LEVELS, "org.slf4j.event.Level")
        return (field, operation, ",".join(str(LEVELS.index(each)) for each in levels))
    if field == "state":
        _constants(wanted, TERMINAL_STATES | OTHER_STATES, _STATES)
    return (field if label is None else f"{field}[{label}]", operation, wanted)


def _constants(wanted: str, known: Collection[str], name: str) -> list[str]:
    """Return names of a list; one that is not known is refused."""
    listed = wanted.split(",")
    for each in listed:
        if each not in known:
            raise Refused(422, f"Illegal argument: No enum constant {name}.{each}")
    return listed


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


def _fields(engine: Engine, execution: Execution) -> _Fields:
    (_, began), (_, last) = execution.history[0], execution.history[-1]
    return {
        **{f"labels[{key}]": value for key, value in execution.labels.items()},
        "labels": "\n".join(f"{key}:{value}" for key, value in execution.labels.items()),
        "id": execution.id,
        "namespace": execution.namespace,
        "flowId": execution.flow,
        "state": execution.state,
        "startDate": utc_text(engine.clock.date(began)),
        "endDate": utc_text(engine.clock.date(last)) if execution.has_ended else None,
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
