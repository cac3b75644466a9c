"""`FakeKestra` and `AsyncFlow`, in tests of any kind."""

import asyncio
import math
import os
import subprocess
import sys

import pytest
from pages import ONLY_OURS

from kestra import AsyncFlow, Flow, Kestra
from kestra.exceptions import ExecutionTimeout, FailedExponentialBackoff, RequestTimeout
from kestra.testing import FakeKestra

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def fake():
    with FakeKestra() as fake:
        fake.flow("ns", "flow", report)
        yield fake


def report(inputs):
    Kestra.logger().info("reporting")
    return {"pages": 3, "day": inputs.get("day")}


def run(work, **arguments):
    async def whole():
        async with AsyncFlow(**arguments) as flow:
            return await work(flow)

    return asyncio.run(whole())


def executed(face, *arguments, **options):
    if face is Flow:
        return Flow().execute(*arguments, **options)
    return run(lambda flow: flow.execute(*arguments, **options))


@pytest.mark.parametrize("version", ["0.21", "1.3", "2.0"])
@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize("face", [Flow, AsyncFlow])
def test_both_clients_get_the_same(version, follow, face):
    """Five minutes pass for both of them, on the clock of the fake."""
    with FakeKestra(version=version) as fake:
        fake.flow("ns", "flow", report)
        fake.state(("QUEUED", 5), ("RUNNING", 300))
        result = executed(face, "ns", "flow", {"day": "2026-01-31"}, follow=follow)
    assert (result.status, result.execution_id) == ("SUCCESS", "execution1")
    assert result.outputs == {"pages": 3, "day": "2026-01-31"}
    assert "reporting" in result.log
    assert result.duration > 300


@pytest.mark.parametrize("fault", [{"status": None}, {"status": 503}, {"status": 504, "times": 3}])
@pytest.mark.parametrize("after_create", [True, False])
def test_an_execution_is_created_once(fake, fault, after_create):
    """Where the response is lost, and where nothing was done."""
    fake.fail(**fault, after_create=after_create, on="POST")

    async def execute(flow):
        return await flow.execute("ns", "flow")

    if fault["status"] is None and not after_create:  # it may come still: nothing is sent again
        with pytest.raises(FailedExponentialBackoff):
            run(execute)
        assert not fake.executions
    else:
        assert run(execute).status == "SUCCESS"
        assert len(fake.executions) == 1


def test_a_server_that_hangs_is_given_up(fake):
    """Its silence costs no time either."""
    fake.hang(5, on="GET")
    with pytest.raises(RequestTimeout, match="no complete response within the timeout"):
        run(lambda flow: flow.get_metrics("x"))


def test_retry_after_is_waited_for(fake):
    """By the clock of the fake."""
    fake.fail(status=429, retry_after=30)
    begin = fake._engine.clock.now()
    assert run(lambda flow: flow.get_metrics("x")) == []
    assert fake._engine.clock.now() - begin > 30


def test_a_timeout_passes_on_the_virtual_clock(fake):
    """And the execution is killed."""
    fake.state(("RUNNING", math.inf))
    with pytest.raises(ExecutionTimeout) as caught:
        run(lambda flow: flow.execute("ns", "flow", timeout=600, kill_on_timeout=True))
    assert caught.value.killed
    assert fake.executions[0].state in {"KILLING", "KILLED"}


def test_many_at_once(fake):
    """A hundred executions of a minute each."""

    async def execute(flow):
        requests = [("ns", "flow", {"day": number}) for number in range(100)]
        return [each async for each in flow.execute_all(requests, max_concurrent=50)]

    outcomes = run(execute)
    assert len(outcomes) == 100
    assert all(outcome.ok for outcome in outcomes)


def test_what_is_not_registered_is_a_mistake(fake):
    """Raised where it is made."""
    with pytest.raises(AssertionError, match=r"no flow ns\.other is registered"):
        run(lambda flow: flow.execute("ns", "other"))
    with pytest.raises(AssertionError, match="AsyncFlow would ask elsewhere"):
        run(lambda flow: flow.get_execution("x"), hostname="http://elsewhere")
    assert fake.mistakes
    fake.mistakes.clear()


def test_when_it_is_over_requests_go_to_the_network_again(server):
    """Another server on this machine is reached inside of it too."""
    with FakeKestra():
        run(lambda flow: flow.get_metrics("x"), hostname=server.url)
    run(lambda flow: flow.get_metrics("x"), hostname=server.url)
    assert len(server.requests) == 2


TEST = """
from kestra import AsyncFlow
import pytest

pytestmark = pytest.mark.{mark}

async def test_ordered(fake_kestra):
    fake_kestra.flow("ns", "flow", lambda inputs: {{"pages": 3}})
    async with AsyncFlow() as flow:
        result = await flow.execute("ns", "flow")
    assert result.outputs == {{"pages": 3}}
"""


@pytest.mark.parametrize("plugin", ["asyncio", "anyio"])
def test_the_fixture_serves_asynchronous_tests(tmp_path, plugin):
    """With the plugin of pytest-asyncio, and with that of anyio."""
    pytest.importorskip("pytest_asyncio" if plugin == "asyncio" else plugin)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
    )
    (tmp_path / "conftest.py").write_text(
        "import pytest\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    )
    (tmp_path / "test_it.py").write_text(TEST.format(mark=plugin))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", plugin, "-c", "pytest.ini", "."],
        env={**os.environ, **ONLY_OURS},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout
