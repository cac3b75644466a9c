"""The routes of flows as sources. A source that is deployed can be executed, and does nothing.

A function that is registered for the flow stays what its executions call.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kestra._api.sources import SEPARATOR, document
from kestra._testing.fake.execution import FlowDefinition
from kestra._testing.fake.messages import (
    Refused,
    Reply,
    as_json,
    as_zip,
    invalid,
    is_on,
    not_found,
    not_given,
)
from kestra._values.times import utc_text

if TYPE_CHECKING:
    from kestra._api.sources import Source
    from kestra._testing.fake.engine import Engine
    from kestra._testing.fake.messages import Request

_YAML = "application/x-yaml"
_BOTH = frozenset({
    "afterExecution", "checks", "concurrency", "deleted", "description", "disabled", "errors",
    "finally", "id", "inputs", "labels", "namespace", "outputs", "retry", "revision", "sla",
    "source", "tasks", "tenantId", "triggers", "updated", "variables",
})  # fmt: skip
_OLD = {"listeners", "pluginDefaults", "taskDefaults"}
# What a source may have at its top, by the version.
_PROPERTIES = {
    "2.0": _BOTH | {"draft", "policyRefs", "quotas", "workerSelector"},
    "1.3": _BOTH | _OLD | {"workerGroup"},
    "0.21": _BOTH - {"afterExecution", "checks", "source", "updated"} | _OLD,
}
_PATTERNS = {"id": "^[a-zA-Z0-9][a-zA-Z0-9._-]*", "namespace": "^[a-z0-9][a-z0-9._-]*"}
_FOREACH = "io.kestra.plugin.core.flow.ForEach"
_MOST = 1 << 20  # bytes of a flow that 2.0 can pass on: its source, and what was read from it


class _UnreadableError(Exception):
    """A source that the server cannot read, or with a property that it does not know."""


def get(engine: Engine, request: Request, namespace: str, flow: str) -> Reply:
    number = request.value("revision")
    for revision in reversed(_revisions(engine, namespace, flow)):
        if number in {None, str(revision["revision"])}:
            return as_json(revision if request.value("source") == "true" else _brief(revision))
    raise not_found()


def listed(engine: Engine, _: Request, namespace: str) -> Reply:
    return as_json([_brief(each) for each in _latest(engine, namespace)])


def revisions(engine: Engine, _: Request, namespace: str, flow: str) -> Reply:
    return as_json(_revisions(engine, namespace, flow))


def create(engine: Engine, request: Request) -> Reply:
    source = _read(engine, request)
    name = str(source.namespace), str(source.id)
    if name in _names(engine):
        if engine.is_new:
            text = f"Flow '{source.id}' already exists in namespace '{source.namespace}'."
            raise Refused(409, f"Conflict: {text}")
        raise invalid(("flow.id", "Flow id already exists"))
    return _store(engine, name, request.text())


def update(engine: Engine, request: Request, namespace: str, flow: str) -> Reply:
    """Make another revision of a flow, unless its source is the same."""
    latest = _revisions(engine, namespace, flow)[-1]
    source = _read(engine, request)
    if source.namespace != namespace:
        raise invalid(("flow.namespace", "Illegal namespace update"))
    if source.id != flow:
        raise invalid(("flow.id", "Illegal flow id update"))
    text = request.text()
    if latest["source"] == text:
        return as_json(latest)
    return _store(engine, (namespace, flow), text)


def delete(engine: Engine, _: Request, namespace: str, flow: str) -> Reply:
    _revisions(engine, namespace, flow)[-1]["deleted"] = True
    engine.flows[namespace, flow] = None
    return Reply(204)


def switch(engine: Engine, request: Request, how: str) -> Reply:
    """Enable or disable flows, by another revision of their sources."""
    names = [(each.get("namespace"), each.get("id")) for each in request.json()]
    there = [name for name in names if name in _names(engine)]
    to = "true" if how == "disable" else "false"
    for name in there:
        _store(engine, name, _switched(engine.sources[name][-1]["source"], to))
    return as_json({"count": len(there)})


def _switched(source: str, to: str) -> str:
    before = "false" if to == "true" else "true"
    text, count = re.subn(rf"(?m)^disabled\s*:\s*{before}\s*", f"disabled: {to}\n", source)
    return text if count else f"{source}\ndisabled: {to}"


def validate(engine: Engine, request: Request) -> Reply:
    """Say what is wrong with sources: whether they can be read, and have their parts."""
    _check_kind(engine, request)
    texts = re.split(r"\n+---(?=\s)", request.text())
    return as_json([_validated(engine, index, text) for index, text in enumerate(texts)])


def _validated(engine: Engine, index: int, text: str) -> dict[str, Any]:
    prefix = "" if engine.is_old else "Validation error: "
    try:
        source, faults = _parsed(engine, text, "Flow")
    except _UnreadableError as error:
        line = re.search(r"error: line (\d+)", str(error))
        place = f" (at line {line[1]})" if line else ""
        return {"index": index, "constraints": f"{prefix}{error}{place}", "outdated": False}
    entry: dict[str, Any] = {"index": index, "namespace": source.namespace, "flow": source.id}
    entry |= {"outdated": False, "deprecationPaths": [], "warnings": [], "infos": []}
    if faults:
        entry["constraints"] = f"{prefix}{_lines(faults)}"
    entry["warnings"] = [
        f"The subflow '{flow}' not found in namespace '{namespace}'."
        for namespace, flow in sorted(source.calls)
        if engine.flows.get((namespace, flow)) is None
    ]
    return entry


def export(engine: Engine, request: Request) -> Reply:
    wanted = request.value("namespace" if engine.is_old else "filters[namespace][EQUALS]")
    return as_zip(
        (f"{each['namespace']}-{each['id']}.yml", each["source"].encode())
        for each in _latest(engine, wanted)
    )


def _latest(engine: Engine, namespace: str | None = None) -> list[dict[str, Any]]:
    """Return the latest revisions of the flows that are there: in a namespace, or all."""
    latest = [stored[-1] for stored in engine.sources.values()]
    there = [each for each in latest if not each["deleted"]]
    return [each for each in there if namespace in {None, each["namespace"]}]


def _names(engine: Engine) -> set[tuple[str, str]]:
    return {(each["namespace"], each["id"]) for each in _latest(engine)}


def _revisions(engine: Engine, namespace: str, flow: str) -> list[dict[str, Any]]:
    if (namespace, flow) not in _names(engine):
        raise not_found()
    return engine.sources[namespace, flow]


def _brief(revision: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in revision.items() if key != "source"}


def _check_kind(engine: Engine, request: Request, *others: str) -> None:
    if engine.is_new:
        request.check_kind(_YAML)
    elif request.kind not in {_YAML, "", *others}:
        raise not_given("flow")


def _read(engine: Engine, request: Request) -> Source:
    """Return the source in a request; of several documents, the server takes the first.

    Up to 1.x it may be JSON, and has to be where no type is said.
    """
    _check_kind(engine, request, "application/json")
    request.require_body("flow")
    if not engine.is_new and request.kind != _YAML:
        try:
            json.loads(request.body)
        except ValueError:
            text = "Internal server error: Unrecognized token: was expecting JSON"
            raise Refused(500, text) from None
    documents = SEPARATOR.split(request.text())
    first = next((each for each in documents if document(each) is not None), "")
    try:
        source, faults = _parsed(engine, first, "genericflow")
    except _UnreadableError as error:
        raise Refused(422, f"Invalid entity: {error}") from None
    if faults:
        raise Refused(422, f"Invalid entity: {_lines(faults)}", faults)
    return source


def _parsed(engine: Engine, text: str, kind: str) -> tuple[Source, list[tuple[str, str]]]:
    """Return a source, and what is wrong with it."""
    source = document(text)
    if source is None or source.fault:
        fault = "No content to map" if source is None else source.fault
        raise _UnreadableError(f"Illegal {kind} source: YAML parsing error: {fault}")
    content = _content(text)
    if unknown := [each for each in content if each not in _PROPERTIES[engine.version]]:
        name = f"io.kestra.core.models.flows.Flow{'' if engine.is_old else 'WithSource'}"
        raise _UnreadableError(
            f'Unrecognized field "{unknown[0]}" (class {name}), not marked as ignorable'
        )
    tasks = _objects(content, "tasks")
    _webhook(content)  # refuses triggers that are not objects
    types = {"BOOLEAN": content.get("inputs"), _FOREACH: tasks}
    for gone, below in types.items():
        if engine.is_new and _has_type(below, gone):
            raise _UnreadableError(f"Invalid type: {gone}")
    faults = []
    if not tasks:
        faults.append(("tasks", "must not be empty"))
    for name, pattern in _PATTERNS.items():
        if not re.fullmatch(pattern, str(getattr(source, name))):
            faults.append((name, f'must match "{pattern}"'))
    return source, faults


def _objects(content: dict[str, Any], name: str) -> list[Any]:
    below = content.get(name) or []
    if not (isinstance(below, list) and all(isinstance(each, dict) for each in below)):
        raise _UnreadableError(f"Cannot deserialize value of `{name}`, a list of objects")
    return below


def _has_type(node: Any, kind: str) -> bool:
    if isinstance(node, dict):
        return node.get("type") == kind or _has_type(list(node.values()), kind)
    return isinstance(node, list) and any(_has_type(each, kind) for each in node)


def _lines(faults: list[tuple[str, str]]) -> str:
    return "".join(f"{path}: {message}\n" for path, message in faults)


def _store(engine: Engine, name: tuple[str, str], text: str) -> Reply:
    """Make another revision of a flow, which executions of it take from now on."""
    size = 2 * len(text.encode())
    if engine.is_new and size > _MOST:
        text = f"[FlowInterface] message of size {size} has exceeded the configured limit"
        raise Refused(500, f"Internal server error: {text} of {_MOST}.")
    stored = engine.sources[name]
    content = _content(text)
    disabled = is_on(content, "disabled")
    revision = {
        "id": name[1],
        "namespace": name[0],
        "revision": len(stored) + 1,
        "updated": utc_text(engine.clock.utcnow()),
        "disabled": disabled,
        "deleted": False,
        "source": text,
    }
    stored.append(revision)
    if is_on(content, "draft"):
        engine.flows[name] = None
    else:
        known = engine.flows.get(name)
        if known is None:
            tasks = tuple(str(each.get("id")) for each in content["tasks"])
            known = FlowDefinition(*name, lambda _: None, tasks=tasks)
        numbers = tuple(each["revision"] for each in stored)
        webhook = _webhook(content) or known.webhook
        engine.flows[name] = replace(known, disabled=disabled, revisions=numbers, webhook=webhook)
    return as_json(revision)


def _webhook(content: dict[str, Any]) -> dict[str, Any] | None:
    """Return the webhook among the triggers of a flow."""
    triggers = _objects(content, "triggers")
    return next((each for each in triggers if str(each.get("type")).endswith(".Webhook")), None)


def _content(text: str) -> dict[str, Any]:
    import yaml

    documents = yaml.load_all(text.removeprefix("\ufeff"), yaml.BaseLoader)  # all is text
    try:
        content = next(documents, None)
    except yaml.constructor.ConstructorError as error:  # such as `{{ x }}` as a value
        raise _UnreadableError(f"YAML parsing error: {error}") from None
    return content if isinstance(content, dict) else {}
