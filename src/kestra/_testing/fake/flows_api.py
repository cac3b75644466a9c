"""The routes of flows as sources. A source that is deployed can be executed, and does nothing.

A function that is registered for the flow stays what its executions call.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kestra._api.sources import document
from kestra._testing.fake.execution import FlowDefinition
from kestra._testing.fake.messages import Refused, Reply, as_json, as_zip, invalid, not_found
from kestra._testing.fake.shown import iso

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
# What a source may have at its top, by the version.
_PROPERTIES = {
    "2.0": _BOTH | {"draft", "policyRefs", "quotas", "workerSelector"},
    "1.3": _BOTH | {"listeners", "pluginDefaults", "taskDefaults", "workerGroup"},
}
_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9._-]*")
_DISABLED = re.compile(r"^disabled:.*\n?", re.MULTILINE)


@dataclass
class StoredFlow:
    """The revisions of a flow, each as it is shown with its source."""

    revisions: list[dict[str, Any]]
    is_there: bool = True

    @property
    def latest(self) -> dict[str, Any]:
        return self.revisions[-1]


def get(engine: Engine, request: Request, namespace: str, flow: str) -> Reply:
    number = request.value("revision")
    for revision in reversed(_there(engine, namespace, flow).revisions):
        if number in {None, str(revision["revision"])}:
            return as_json(revision if request.value("source") == "true" else _brief(revision))
    raise not_found()


def listed(engine: Engine, _: Request, namespace: str) -> Reply:
    return as_json([
        _brief(stored.latest)
        for (space, _), stored in engine.sources.items()
        if space == namespace and stored.is_there
    ])  # fmt: skip


def revisions(engine: Engine, _: Request, namespace: str, flow: str) -> Reply:
    return as_json(_there(engine, namespace, flow).revisions)


def create(engine: Engine, request: Request) -> Reply:
    source = _read(engine, request)
    name = str(source.namespace), str(source.id)
    stored = engine.sources.get(name)
    if stored is not None and stored.is_there:
        if engine.is_new:
            text = f"Flow '{source.id}' already exists in namespace '{source.namespace}'."
            raise Refused(409, f"Conflict: {text}")
        raise invalid(("flow.id", "Flow id already exists"))
    return _store(engine, name, request.body.decode())


def update(engine: Engine, request: Request, namespace: str, flow: str) -> Reply:
    """Make another revision of a flow, unless its source is the same."""
    stored = _there(engine, namespace, flow)
    source = _read(engine, request)
    if source.namespace != namespace:
        raise invalid(("flow.namespace", "Illegal namespace update"))
    if source.id != flow:
        raise invalid(("flow.id", "Illegal flow id update"))
    text = request.body.decode()
    if stored.latest["source"] == text:
        return as_json(stored.latest)
    return _store(engine, (namespace, flow), text)


def delete(engine: Engine, _: Request, namespace: str, flow: str) -> Reply:
    _there(engine, namespace, flow).is_there = False
    engine.flows[namespace, flow] = None
    return Reply(204)


def switch(engine: Engine, request: Request, how: str) -> Reply:
    """Enable or disable flows, by another revision of their sources."""
    names = [(each["namespace"], each["id"]) for each in json.loads(request.body)]
    there = [each for each in names if each in engine.sources and engine.sources[each].is_there]
    for name in there:
        text = _DISABLED.sub("", engine.sources[name].latest["source"])
        _store(engine, name, f"{text.rstrip()}\ndisabled: true\n" if how == "disable" else text)
    return as_json({"count": len(there)})


def validate(engine: Engine, request: Request) -> Reply:
    """Say what is wrong with a source: whether it can be read, and has its parts."""
    request.check_kind(_YAML)
    try:
        source, faults = _parsed(engine, request.body.decode(), "Flow")
    except ValueError as error:
        line = re.search(r"error: line (\d+)", str(error))
        place = f" (at line {line[1]})" if line else ""
        constraints = f"Validation error: {error}{place}"
        return as_json([{"index": 0, "constraints": constraints, "outdated": False}])
    entry: dict[str, Any] = {"index": 0, "namespace": source.namespace, "flow": source.id}
    entry |= {"outdated": False, "deprecationPaths": [], "warnings": [], "infos": []}
    if faults:
        entry["constraints"] = f"Validation error: {_lines(faults)}"
    entry["warnings"] = [
        f"The subflow '{flow}' not found in namespace '{namespace}'."
        for namespace, flow in sorted(source.calls)
        if engine.flows.get((namespace, flow)) is None
    ]
    return as_json([entry])


def export(engine: Engine, request: Request) -> Reply:
    wanted = request.value("namespace" if engine.is_old else "filters[namespace][EQUALS]")
    return as_zip(
        (f"{namespace}-{flow}.yml", stored.latest["source"].encode())
        for (namespace, flow), stored in engine.sources.items()
        if stored.is_there and wanted in {None, namespace}
    )


def _there(engine: Engine, namespace: str, flow: str) -> StoredFlow:
    stored = engine.sources.get((namespace, flow))
    if stored is None or not stored.is_there:
        raise not_found()
    return stored


def _brief(revision: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in revision.items() if key != "source"}


def _read(engine: Engine, request: Request) -> Source:
    """Return the source in a request; of several documents, the server takes the first."""
    request.check_kind(_YAML)
    if not request.body:
        raise Refused(422, "Invalid route params: Required Body [flow] not specified")
    first = re.split(r"\n---\s", request.body.decode(), maxsplit=1)[0]
    try:
        source, faults = _parsed(engine, first, "genericflow")
    except ValueError as error:
        raise Refused(422, f"Invalid entity: {error}") from None
    if faults:
        raise Refused(422, f"Invalid entity: {_lines(faults)}", faults)
    return source


def _parsed(engine: Engine, text: str, kind: str) -> tuple[Source, list[tuple[str, str]]]:
    """Return a source, and what is wrong with it; a `ValueError` if the server cannot read it."""
    source = document(text)
    if source is None or source.fault:
        fault = "No content to map" if source is None else source.fault
        raise ValueError(f"Illegal {kind} source: YAML parsing error: {fault}")
    content = _content(text)
    known = _PROPERTIES.get(engine.version, _PROPERTIES["1.3"])
    if unknown := [each for each in content if each not in known]:
        name = "io.kestra.core.models.flows.FlowWithSource"
        raise ValueError(
            f'Unrecognized field "{unknown[0]}" (class {name}), not marked as ignorable'
        )
    faults = []
    if not content.get("tasks"):
        faults.append(("tasks", "must not be empty"))
    if not _NAMESPACE.fullmatch(str(source.namespace)):
        faults.append(("namespace", 'must match "^[a-z0-9][a-z0-9._-]*"'))
    return source, faults


def _lines(faults: list[tuple[str, str]]) -> str:
    return "".join(f"{path}: {message}\n" for path, message in faults)


def _store(engine: Engine, name: tuple[str, str], text: str) -> Reply:
    """Make another revision of a flow, which executions of it take from now on."""
    stored = engine.sources.setdefault(name, StoredFlow([]))
    stored.is_there = True
    content = _content(text)
    disabled = bool(content.get("disabled"))
    revision = {
        "id": name[1],
        "namespace": name[0],
        "revision": stored.latest["revision"] + 1 if stored.revisions else 1,
        "updated": iso(engine.clock.utcnow()),
        "disabled": disabled,
        "deleted": False,
        "source": text,
    }
    stored.revisions.append(revision)
    if content.get("draft"):
        engine.flows[name] = None
    else:
        known = engine.flows.get(name)
        if known is None:
            tasks = tuple(str(each.get("id")) for each in content["tasks"])
            known = FlowDefinition(*name, lambda _: None, tasks=tasks)
        numbers = tuple(each["revision"] for each in stored.revisions)
        engine.flows[name] = replace(known, disabled=disabled, revisions=numbers)
    return as_json(revision)


def _content(text: str) -> dict[str, Any]:
    import yaml

    content = next(yaml.safe_load_all(text.removeprefix("\ufeff")), None)
    return content if isinstance(content, dict) else {}
