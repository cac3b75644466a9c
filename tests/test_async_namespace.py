"""`AsyncNamespace`: what `Namespace` does, awaited."""

import asyncio
import math
import threading
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from kestra import AsyncFlow, AsyncNamespace, Flow, Namespace
from kestra.exceptions import Conflict, ExecutionTimeout, FailedExponentialBackoff, NotFound
from kestra.testing import FakeKestra

pytestmark = pytest.mark.usefixtures("environment")

REPORT = "id: report\nnamespace: company.team\ntasks:\n  - {id: render, type: x.Script}\n"


@pytest.fixture(params=["1.3", "2.0"])
def fake(request):
    with FakeKestra(version=request.param) as fake:
        yield fake


def test_the_key_value_store(fake):
    async def main():
        async with AsyncNamespace("company.team") as ns:
            await ns.kv.set("lock", {"a": 1}, ttl=timedelta(hours=1), description="mine")
            assert await ns.kv.get("lock") == {"a": 1}
            assert await ns.kv.get("missing", 7) == 7
            assert await ns.kv.get("not a key", 7) == 7
            assert not await ns.kv.exists("not a key")
            assert await ns.kv.exists("lock")
            assert (await ns.kv.info("lock")).description == "mine"
            assert [each.key for each in await ns.kv.list()] == ["lock"]
            fake.sleep(3600)
            assert not await ns.kv.exists("lock")
            with pytest.raises(KeyError):
                await ns.kv.delete("lock")
            await ns.kv.set("x", 1)
            await ns.kv.delete("x")
            await ns.kv.set("y", 1)
            await ns.kv.clear()
            assert await ns.kv.list() == []
            with pytest.raises(ValueError, match="must not be None"):
                await ns.kv.set("x", None)

    asyncio.run(main())


def test_many_at_once(fake):
    async def main():
        async with AsyncNamespace("company.team") as ns:
            await asyncio.gather(*(ns.kv.set(f"k{each}", each) for each in range(20)))
            found = await asyncio.gather(*(ns.kv.get(f"k{each}") for each in range(20)))
            assert found == list(range(20))

    asyncio.run(main())


def test_a_large_body_arrives_at_the_fake(fake, tmp_path):
    """One that is read from files, piece by piece: of a namespace file, and of an input."""
    large = b"x" * 2_000_000
    (tmp_path / "large").write_bytes(large)
    fake.flow("company.team", "size", lambda inputs: {"size": len(inputs["file"])})

    async def main():
        async with AsyncFlow() as flow:
            ns = flow.namespace("company.team")
            await ns.files.write("a", large)
            await ns.files.upload(tmp_path / "large", "b")
            assert await ns.files.read("a") == await ns.files.read("b") == large
            inputs = {"file": tmp_path / "large"}
            result = await flow.execute("company.team", "size", inputs)
            assert result.outputs["size"] == len(large)

    fake.fail(1, on="POST")
    asyncio.run(main())


def test_files(fake, tmp_path):
    local = tmp_path / "src"
    local.mkdir()
    (local / "a.py").write_text("a")

    async def main():
        async with AsyncFlow() as flow:
            ns = flow.namespace("company.team")
            await ns.files.write("etl/x.txt", "ü")
            assert await ns.files.read("etl/x.txt") == "ü".encode()
            await ns.files.upload(local / "a.py", "etl/b.py")
            await ns.files.move("etl/b.py", "etl/c.py")
            assert await ns.files.exists("etl/c.py")
            assert (await ns.files.download("etl/c.py", tmp_path / "c")).read_text() == "a"
            assert [str(each) for each in await ns.files.list("etl")] == ["etl/c.py", "etl/x.txt"]
            with pytest.raises(IsADirectoryError):
                await ns.files.write("etl", b"")
            await ns.files.delete("etl", recursive=True)
            told = []

            async def tell(change):
                told.append(change)

            changes = await ns.files.sync(local, to="new", on_change=tell)
            assert [str(each) for each in changes] == ["created a.py"]
            assert told == changes
            assert await ns.files.sync(local, to="new") == []
            down = await ns.files.sync(tmp_path / "down", to="new", direction="down")
            assert [str(each) for each in down] == ["created a.py"]
            with pytest.raises(ValueError, match="direction must be"):
                await ns.files.sync(local, direction="x")

    asyncio.run(main())
    assert (tmp_path / "down" / "a.py").read_text() == "a"


def test_flows_and_executions(fake, tmp_path):
    (tmp_path / "report.yml").write_bytes(REPORT.encode())

    async def main():
        async with AsyncNamespace("company.team") as ns:
            assert await ns.flows.validate(tmp_path) == []
            assert [str(each) for each in await ns.flows.deploy(tmp_path)] == ["created report"]
            assert (await ns.flows.get("report")).source == REPORT
            assert [each.id for each in await ns.flows.list()] == ["report"]
            assert await ns.last("report") is None
            Flow().execute("company.team", "report")
            found = [each async for each in ns.executions("report", state="SUCCESS")]
            assert found == [await ns.last("report")]
            await ns.flows.disable("report")
            await ns.flows.enable("report")
            assert len(await ns.flows.revisions("report")) == 3
            assert [each.name for each in await ns.flows.export(tmp_path / "x")] == ["report.yml"]
            await ns.flows.delete("report")
            with pytest.raises(NotFound):
                await ns.flows.get("report")

    asyncio.run(main())


def test_webhooks(fake):
    fake.flow("company.team", "orders", lambda inputs: inputs["trigger"]["body"], webhook="k1")

    async def main():
        async with AsyncNamespace("company.team") as ns:
            assert (await ns.webhook("orders", "k1", {"id": 7})).status == "CREATED"
            answer = await ns.webhook("orders", "k1", {"id": 7}, wait=60)
            assert (answer.status, answer.outputs) == ("SUCCESS", {"id": 7})
            with pytest.raises(NotFound) as raised:
                await ns.webhook("orders", "s3cret")
            assert "s3cret" not in str(raised.value)
            assert "s3cret" not in f"{raised.value.request!r} {raised.value.response.url}"

    asyncio.run(main())


@pytest.mark.parametrize("wait", [True, 0, math.inf, Fraction(60)])
def test_a_wait_for_a_webhook_may_be_without_an_end(fake, wait):
    """`wait=True` sets no limit to the response either; one without a wait comes at once."""
    fake.flow("company.team", "orders", lambda inputs: {"n": 5}, webhook="k1")

    async def main():
        async with AsyncNamespace("company.team") as ns:
            return await ns.webhook("orders", "k1", {}, wait=wait)

    if wait:
        assert asyncio.run(main()).outputs == {"n": 5}
    else:
        with pytest.raises(ExecutionTimeout):
            asyncio.run(main())


@pytest.mark.parametrize("given", [str, lambda path: [str(path)], lambda path: path])
def test_sources_are_read_in_a_thread(fake, tmp_path, monkeypatch, given):
    """Also where they are given as text, which is light in itself."""
    (tmp_path / "report.yml").write_bytes(REPORT.encode())
    threads = set()
    read = Path.read_bytes

    def note(path):
        threads.add(threading.current_thread())
        return read(path)

    async def main():
        async with AsyncNamespace("company.team") as ns:
            assert await ns.flows.validate(given(tmp_path)) == []
            assert len(await ns.flows.deploy(given(tmp_path))) == 1

    monkeypatch.setattr(Path, "read_bytes", note)
    asyncio.run(main())
    assert threads
    assert threading.main_thread() not in threads


def test_the_log_of_httpx2_does_not_show_the_key(fake, caplog):
    caplog.set_level("INFO")

    async def main():
        async with AsyncNamespace("company.team") as ns:
            with pytest.raises(NotFound):
                await ns.webhook("orders", "s3cret")

    asyncio.run(main())
    assert "/executions/webhook/company.team/orders/***" in caplog.text
    assert "s3cret" not in caplog.text


def test_errors_say_where_the_address_came_from(fake):
    fake.fail(20)

    async def main():
        ns = AsyncNamespace("company.team")
        with pytest.raises(FailedExponentialBackoff, match="from the default"):
            await ns.kv.get("x")
        with pytest.raises(FailedExponentialBackoff, match="from the default"):
            _ = [each async for each in ns.executions()]
        await ns.close()

    asyncio.run(main())


def test_a_namespace_is_named_as_that_of_flow():
    assert repr(AsyncNamespace("a.b")) == repr(Namespace("a.b")).replace(
        "Namespace(", "AsyncNamespace("
    )
    assert Conflict
