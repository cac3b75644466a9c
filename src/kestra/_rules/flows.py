"""The flows of a namespace: one by one, never by the bulk routes, which delete what is not sent."""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kestra._api.forms import checked_revision
from kestra._api.namespaces import Change, FlowSource, Violation
from kestra._api.parsing import body_of
from kestra._api.sources import (
    Source,
    checked_paths,
    difference,
    document,
    for_namespace,
    read_sources,
)
from kestra._rules.downloads import fetch_zip
from kestra._rules.files import temporary_file
from kestra._rules.pages import address, carry_out, fetched, objects
from kestra._rules.problems import objects_of
from kestra._values.times import parse_instant
from kestra.exceptions import (
    Conflict,
    FailedExponentialBackoff,
    InvalidInput,
    KestraError,
    NotFound,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from kestra._rules.io import IO, Response

_FLOW = "flows/{namespace}/{flow}"
_YAML = {"Content-Type": "application/x-yaml"}
_LINE = re.compile(r"\bline:? (\d+)")  # the last one is that of the error
_FAULT = "Validation error: "


async def get(io: IO, namespace: str, flow: str, revision: int | None = None) -> FlowSource:
    query = {"source": "true"}
    if revision is not None:
        query["revision"] = checked_revision(revision)
    url = await address(io, _FLOW, namespace=namespace, flow=flow)
    return _flow(await fetched(io, dict, url, params=query))


async def listed(io: IO, namespace: str) -> list[FlowSource]:
    url = await address(io, "flows/{namespace}", namespace=namespace)
    found = [_flow(each) for each in await objects(io, url)]
    return sorted(found, key=lambda flow: flow.id)


async def revisions(io: IO, namespace: str, flow: str) -> list[FlowSource]:
    url = await address(io, f"{_FLOW}/revisions", namespace=namespace, flow=flow)
    return [_flow(each) for each in await objects(io, url)]


def _flow(shown: dict[str, Any]) -> FlowSource:
    return FlowSource(
        id=str(shown.get("id")),
        namespace=str(shown.get("namespace")),
        revision=shown.get("revision"),
        disabled=bool(shown.get("disabled")),
        updated=parse_instant(shown.get("updated")),
        source=shown.get("source"),
    )


async def _sources(io: IO, namespace: str) -> dict[str, str]:
    """Return the exact sources of all flows of a namespace, by their ids, with one request."""
    url = await address(io, "flows/export/by-query")
    query = {"namespace" if io.server.is_before_1 else "filters[namespace][EQUALS]": namespace}
    with temporary_file() as archive:
        await fetch_zip(io, url, archive, params=query)
        found = await io.call(_unpacked, archive)
    start = f"{namespace}-"  # in the name of the file of a source that cannot be read here
    return {
        each.id or each.path.removeprefix(start).removesuffix(".yml"): each.text
        for each in found
        if each.namespace == namespace or (each.fault and each.path.startswith(start))
    }


def _unpacked(archive: Path) -> list[Source]:
    if not archive.stat().st_size:
        return []
    with zipfile.ZipFile(archive) as opened:
        found = [document(opened.read(name).decode(), name) for name in opened.namelist()]
    return [each for each in found if each is not None]


async def export(io: IO, namespace: str, to: str | os.PathLike[str]) -> list[Path]:
    return await io.call(_write, await _sources(io, namespace), Path(to))


def _write(found: dict[str, str], to: Path) -> list[Path]:
    wrong = next((flow for flow in found if "/" in flow or "\\" in flow), None)
    if wrong is not None:
        raise ValueError(f"the server has a flow with an id that cannot be used: {wrong!r}")
    to.mkdir(parents=True, exist_ok=True)
    paths = {flow: to / f"{flow}.yml" for flow in sorted(found)}
    for flow, path in paths.items():
        path.write_bytes(found[flow].encode())
    return list(paths.values())


async def validate(io: IO, _namespace: str, paths: Any) -> list[Violation]:
    # Comments before a document would be another one here, without a flow.
    documents = await io.call(read_sources, checked_paths(paths), whole=False)
    url = await address(io, "flows/validate")
    found: list[Violation] = []
    for source in documents:
        response = await io.request("post", url, data=source.text.encode(), headers=_YAML)
        for entry in objects_of(response, "post", url):
            found += _violations(source, entry)
    return found


def _violations(source: Source, entry: dict[str, Any]) -> Iterable[Violation]:
    flow = entry.get("flow") or source.id
    said = str(entry.get("constraints") or "").removeprefix(_FAULT).strip("\n")
    # Of a source that can be read, each line is a violation; else they are one message.
    for message in said.split("\n") if entry.get("flow") else [said]:
        if message:
            lines = _LINE.findall(message)
            line = source.line + int(lines[-1]) if lines else None
            yield Violation(source.path, message, flow, line)
    deprecated = (f"{path} is deprecated" for path in entry.get("deprecationPaths") or ())
    for warning in (*(entry.get("warnings") or ()), *deprecated):
        yield Violation(source.path, str(warning), flow, is_warning=True)


async def deploy(  # noqa: PLR0913  # what `NamespaceFlows.deploy` is given
    io: IO, namespace: str, paths: Any, *, dry_run: bool, delete: bool, override: bool
) -> list[Change]:
    found = await io.call(read_sources, checked_paths(paths))
    documents = for_namespace(found, namespace, override=override)
    there = await _sources(io, namespace)
    plan = [_change(each, there.get(str(each.id))) for each in documents]
    texts = {str(each.id): each.text for each in documents}
    for flow in sorted(there.keys() - texts.keys()) if delete else ():
        diff = difference(there[flow], "", f"{namespace}.{flow}", "(nothing)")
        plan.append(Change("deleted", flow, diff=diff))

    async def make(change: Change) -> Change:
        if change.action == "unchanged":
            return change
        if change.action == "deleted":
            await remove(io, namespace, change.name)
            return change
        text = texts[change.name]
        if change.action == "created":
            return replace(change, revision=await _create(io, namespace, change.name, text))
        url = io.server.url(_FLOW, namespace=namespace, flow=change.name)
        response = await io.request("put", url, data=text.encode(), headers=_YAML)
        return replace(change, revision=_revision(response))

    return plan if dry_run else await carry_out(plan, make)


def _change(source: Source, there: str | None) -> Change:
    flow = str(source.id)
    if there == source.text:
        return Change("unchanged", flow, source.path)
    diff = difference(there or "", source.text, f"{source.namespace}.{flow}", source.path)
    return Change("created" if there is None else "updated", flow, source.path, diff)


async def _create(io: IO, namespace: str, flow: str, text: str) -> int | None:
    """Create a flow; where the response is lost, check whether it exists."""
    url = io.server.url("flows")
    try:
        return _revision(await io.request("post", url, data=text.encode(), headers=_YAML))
    except (FailedExponentialBackoff, Conflict, InvalidInput) as error:
        is_lost = isinstance(error, FailedExponentialBackoff) or error.attempts > 1
        if not is_lost:
            raise
        try:
            there = await get(io, namespace, flow)
        except KestraError:
            raise error from None
        if there.source != text:
            raise
        return there.revision


def _revision(response: Response) -> int | None:
    body = body_of(response)
    revision = body.get("revision") if isinstance(body, dict) else None
    return revision if isinstance(revision, int) else None


async def remove(io: IO, namespace: str, flow: str) -> None:
    """Delete a flow; where an earlier attempt was lost, it may be gone already."""
    url = await address(io, _FLOW, namespace=namespace, flow=flow)
    try:
        await io.request("delete", url)
    except NotFound as error:
        if error.attempts <= 1:
            raise


async def switch(io: IO, namespace: str, flow: str, *, on: bool) -> None:
    """Enable or disable a flow; the server rewrites its source."""
    url = await address(io, f"flows/{'enable' if on else 'disable'}/by-ids")
    body = body_of(await io.request("post", url, json=[{"namespace": namespace, "id": flow}]))
    if not (isinstance(body, dict) and body.get("count")):
        await get(io, namespace, flow)  # which raises if there is no such flow
