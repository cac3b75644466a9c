"""The routes of flows as sources. A source that is deployed can be executed, and does nothing.

A function that is registered for the flow stays what its executions call.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kestra._api.sources import document
from kestra._testing.fake.execution import FlowDefinition
from kestra._testing.fake.messages import Reply, Request, as_json
from kestra._testing.fake.refused import Refused, not_found
from kestra._testing.fake.shown import iso

if TYPE_CHECKING:
    from kestra._api.sources import Source
    from kestra._testing.fake.api import Api

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
    """The sources of a flow, and when each was deployed, by the fake's clock."""

    revisions: list[tuple[int, str, float]]
    is_there: bool = True

    @property
    def source(self) -> str:
        """The latest source."""
        return self.revisions[-1][1]


def get(api: Api, request: Request, namespace: str, flow: str) -> Reply:
    """Show a flow, or a revision of it."""
    stored = _there(api, namespace, flow)
    number = request.value("revision")
    for revision in reversed(stored.revisions):
        if number in {None, str(revision[0])}:
            has_source = request.value("source") == "true"
            return as_json(_shown(api, namespace, flow, revision, has_source=has_source))
    raise not_found()


def listed(api: Api, _: Request, namespace: str) -> Reply:
    """Show all flows of a namespace."""
    return as_json([
        _shown(api, space, flow, stored.revisions[-1])
        for (space, flow), stored in api.engine.sources.items()
        if space == namespace and stored.is_there
    ])  # fmt: skip


def revisions(api: Api, _: Request, namespace: str, flow: str) -> Reply:
    """Show all revisions of a flow."""
    stored = _there(api, namespace, flow)
    return as_json([
        _shown(api, namespace, flow, each, has_source=True) for each in stored.revisions
    ])  # fmt: skip


def create(api: Api, request: Request) -> Reply:
    """Create a flow."""
    source = _read(api, request)
    name = str(source.namespace), str(source.id)
    stored = api.engine.sources.get(name)
    if stored is not None and stored.is_there:
        if api.engine.version == "2.0":
            text = f"Flow '{source.id}' already exists in namespace '{source.namespace}'."
            raise Refused(409, f"Conflict: {text}")
        text = "Flow id already exists"
        raise Refused(422, f"Invalid entity: flow.id: {text}", (("flow.id", text),))
    return _store(api, name, source.text)


def update(api: Api, request: Request, namespace: str, flow: str) -> Reply:
    """Make another revision of a flow, unless its source is the same."""
    stored = _there(api, namespace, flow)
    source = _read(api, request)
    for what, old, new in (("namespace", namespace, source.namespace), ("id", flow, source.id)):
        if old != new:
            text = f"Illegal {'flow id' if what == 'id' else what} update"
            raise Refused(422, f"Invalid entity: flow.{what}: {text}", ((f"flow.{what}", text),))
    if stored.source == source.text:
        revision = stored.revisions[-1]
        return as_json(_shown(api, namespace, flow, revision, has_source=True))
    return _store(api, (namespace, flow), source.text)


def delete(api: Api, _: Request, namespace: str, flow: str) -> Reply:
    """Delete a flow."""
    _there(api, namespace, flow).is_there = False
    api.engine.flows[namespace, flow] = None
    return Reply(204)


def switch(api: Api, request: Request, how: str) -> Reply:
    """Enable or disable flows, by another revision of their sources."""
    count = 0
    for each in json.loads(request.body):
        name = each["namespace"], each["id"]
        stored = api.engine.sources.get(name)
        if stored is not None and stored.is_there:
            text = _DISABLED.sub("", stored.source)
            if how == "disable":
                text = f"{text.rstrip()}\ndisabled: true\n"
            _store(api, name, text)
            count += 1
    return as_json({"count": count})


def validate(api: Api, request: Request) -> Reply:
    """Say what is wrong with a source: whether it can be read, and has its parts."""
    _check_kind(request)
    source = document(request.body.decode())
    none = {"outdated": False, "deprecationPaths": [], "warnings": [], "infos": []}
    if source is None or source.fault:
        fault = "No content to map" if source is None else source.fault
        line = re.match(r"line (\d+)", fault)
        place = f" (at line {line[1]})" if line else ""
        text = f"Validation error: Illegal Flow source: YAML parsing error: {fault}{place}"
        return as_json([{"index": 0, "constraints": text, "outdated": False}])
    if unknown := _unknown(api, source):
        return as_json(
            [{"index": 0, "constraints": f"Validation error: {unknown}", "outdated": False}]
        )
    entry: dict[str, Any] = {"index": 0, "namespace": source.namespace, "flow": source.id, **none}
    if faults := _faults(source):
        entry["constraints"] = "Validation error: " + "".join(f"{each}\n" for each in faults)
    missing = [
        f"The subflow '{flow}' not found in namespace '{namespace}'."
        for namespace, flow in sorted(source.calls)
        if api.engine.flows.get((namespace, flow)) is None
    ]
    return as_json([{**entry, "warnings": missing}])


def export(api: Api, request: Request) -> Reply:
    """Show the sources of a namespace as a zip."""
    is_old = api.engine.version == "0.21"
    wanted = request.value("namespace" if is_old else "filters[namespace][EQUALS]")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for (namespace, flow), stored in api.engine.sources.items():
            if stored.is_there and wanted in {None, namespace}:
                opened.writestr(f"{namespace}-{flow}.yml", stored.source.encode())
    return Reply(200, archive.getvalue(), {"Content-Type": "application/octet-stream"})


def _there(api: Api, namespace: str, flow: str) -> StoredFlow:
    stored = api.engine.sources.get((namespace, flow))
    if stored is None or not stored.is_there:
        raise not_found()
    return stored


def _check_kind(request: Request) -> None:
    kind = request.content_type.partition(";")[0]
    if kind not in {_YAML, ""}:
        allowed = f"Content Type [{kind}] not allowed. Allowed types: [{_YAML}]"
        raise Refused(415, f"Unsupported Media Type: {allowed}")


def _read(api: Api, request: Request) -> Source:
    """Return the source in a request; of several documents, the server takes the first."""
    _check_kind(request)
    if not request.body:
        raise Refused(422, "Invalid route params: Required Body [flow] not specified")
    text = request.body.decode()
    source = document(re.split(r"\n---\s", text, maxsplit=1)[0], line=0)
    if source is None or source.fault:
        fault = "No content to map" if source is None else source.fault
        raise Refused(
            422, f"Invalid entity: Illegal genericflow source: YAML parsing error: {fault}"
        )
    if unknown := _unknown(api, source):
        raise Refused(422, f"Invalid entity: {unknown}")
    if faults := _faults(source):
        errors = tuple((each.partition(":")[0], each.partition(": ")[2]) for each in faults)
        raise Refused(422, "Invalid entity: " + "".join(f"{each}\n" for each in faults), errors)
    return replace(source, text=text)


def _unknown(api: Api, source: Source) -> str:
    """Return what a server says of a property that it does not know, or nothing."""
    known = _PROPERTIES.get(api.engine.version, _PROPERTIES["1.3"])
    unknown = [each for each in _content(source.text) if each not in known]
    kind = "io.kestra.core.models.flows.FlowWithSource"
    text = f'Unrecognized field "{unknown[0] if unknown else ""}" (class {kind})'
    return f"{text}, not marked as ignorable" if unknown else ""


def _faults(source: Source) -> list[str]:
    content = _content(source.text)
    faults = []
    if not content.get("tasks"):
        faults.append("tasks: must not be empty")
    if not _NAMESPACE.fullmatch(str(source.namespace)):
        faults.append('namespace: must match "^[a-z0-9][a-z0-9._-]*"')
    return faults


def _store(api: Api, name: tuple[str, str], text: str) -> Reply:
    stored = api.engine.sources.setdefault(name, StoredFlow([]))
    stored.is_there = True
    number = stored.revisions[-1][0] + 1 if stored.revisions else 1
    stored.revisions.append((number, text, api.engine.clock.now()))
    content = _content(text)
    known = api.engine.flows.get(name)
    numbers = tuple(each[0] for each in stored.revisions)
    disabled = bool(content.get("disabled"))
    if known is None:
        tasks = tuple(str(each.get("id")) for each in content["tasks"])
        known = FlowDefinition(*name, lambda _: None, tasks=tasks)
    is_draft = bool(content.get("draft"))
    api.engine.flows[name] = (
        None if is_draft else replace(known, disabled=disabled, revisions=numbers)
    )
    return as_json(_shown(api, *name, stored.revisions[-1], has_source=True))


def _content(text: str) -> dict[str, Any]:
    import yaml

    content = next(yaml.safe_load_all(text.removeprefix("\ufeff")), None)
    return content if isinstance(content, dict) else {}


def _shown(
    api: Api,
    namespace: str,
    flow: str,
    revision: tuple[int, str, float],
    *,
    has_source: bool = False,
) -> dict[str, Any]:
    number, text, at = revision
    shown = {
        "id": flow,
        "namespace": namespace,
        "revision": number,
        "updated": iso(api.engine.clock.date(at)),
        "disabled": bool(_content(text).get("disabled")),
        "deleted": False,
    }
    return {**shown, "source": text} if has_source else shown
