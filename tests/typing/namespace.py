"""A program that uses a namespace, as type checkers see it. Checked, not run."""

from collections.abc import Generator
from datetime import date, timedelta
from pathlib import Path, PurePosixPath
from typing import IO, Any

from typing_extensions import assert_type

from kestra import (
    AsyncFlow,
    AsyncNamespace,
    Change,
    Execution,
    FileInfo,
    Flow,
    FlowSource,
    KeyInfo,
    KeyValueStore,
    Namespace,
    NamespaceFiles,
    NamespaceFlows,
    State,
    Violation,
    WebhookResponse,
)

with Namespace("company.team", tenant="main", retries=1, api_token="t") as ns:
    assert_type(ns, Namespace)
assert_type(Flow().namespace("company.team"), Namespace)

assert_type(ns.kv, KeyValueStore)
assert_type(ns.kv["x"], Any)
ns.kv["x"] = date(2026, 1, 31)
ns.kv.set("x", 1, ttl=timedelta(hours=1), description="why")
assert_type(ns.kv.info("x"), KeyInfo)
assert_type(ns.kv.list(), list[KeyInfo])
assert_type([key for key in ns.kv], list[str])  # noqa: C416  # the type is what is asked for

assert_type(ns.files, NamespaceFiles)
assert_type(ns.files.read(PurePosixPath("a")), bytes)
with ns.files.open("a") as text, ns.files.open("a", "wb") as binary:
    assert_type(text, IO[str])
    assert_type(binary, IO[bytes])
assert_type(ns.files.list("a", recursive=True), list[FileInfo])
assert_type(ns.files.download("a", Path("b")), Path)
assert_type(ns.files.exists("a"), bool)
assert_type(ns.files.sync("src", to="etl", direction="down", on_change=print), list[Change])

assert_type(ns.flows, NamespaceFlows)
assert_type(ns.flows.get("report", revision=3), FlowSource)
assert_type(ns.flows.list(), list[FlowSource])
assert_type(ns.flows.revisions("report"), list[FlowSource])
assert_type(ns.flows.validate(["a.yml", Path("b")]), list[Violation])
assert_type(ns.flows.deploy("flows", dry_run=True), list[Change])
assert_type(ns.flows.export("flows"), list[Path])

found = ns.executions("report", state=["FAILED"], labels={"team": "a"}, since=timedelta(days=1))
assert_type(found, Generator[Execution, None, None])
assert_type(ns.last("report"), Execution | None)
for execution in found:
    assert_type(execution.state, State)
    assert_type(execution.labels, dict[str, str])
assert_type(ns.webhook("orders", "key", {"id": 7}, wait=60), WebhookResponse)
assert_type(ns.webhook("orders", "key").outputs, dict[str, Any] | None)


async def main() -> None:
    """What is awaited has the same types."""
    async with AsyncNamespace("company.team") as ns:
        assert_type(await ns.kv.get("x"), Any)
        assert_type(await ns.kv.list(), list[KeyInfo])
        assert_type(await ns.files.read("a"), bytes)
        assert_type(await ns.files.sync("src"), list[Change])
        assert_type(await ns.flows.deploy("flows"), list[Change])
        assert_type(await ns.last("report"), Execution | None)
        async for execution in ns.executions():
            assert_type(execution, Execution)
    assert_type(AsyncFlow().namespace("company.team"), AsyncNamespace)
