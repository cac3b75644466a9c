"""A program that executes flows, as type checkers see it. Checked, not run."""

from collections.abc import Iterator
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import requests
import urllib3
from typing_extensions import assert_type

from kestra import (
    AsyncFlow,
    ExecutionOutcome,
    ExecutionRequest,
    FailedExponentialBackoff,
    Flow,
    FlowExecution,
    LogEntry,
    Metric,
    State,
    StateChange,
    TaskRun,
)
from kestra.exceptions import (
    APIError,
    ConnectionFailed,
    ExecutionFailed,
    ExecutionTimeout,
    InvalidInput,
    KestraError,
    MalformedResponse,
    RequestTimeout,
)

# Every published argument by position, the others by name only.
flow = Flow(True, 1, False, "main")
flow = Flow(
    poll_interval=0.5,
    hostname="https://kestra.example.com",
    api_token="token",
    session=requests.Session(),
    headers={"X-Team": "sales"},
    verify="ca.pem",
    proxies={"https": "http://proxy.example.com"},
    request_timeout=(5, 60.0),
    retries=urllib3.Retry(3),
)
flow.user, flow.password, flow.tenant = "jane", None, None
Flow(True, 1, False, "main", "host")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


class Reports(Flow):
    """A subclass: `with` gives it back as what it is."""

    def run(self) -> FlowExecution:
        return self.execute("company.team", "report")


with Reports() as reports:
    assert_type(reports, Reports)
    assert_type(reports.run(), FlowExecution)

try:
    result = flow.execute(
        "company.team",
        "report",
        {"day": date(2026, 1, 31), "orders": Path("orders.csv"), "file": ("a.csv", b"1")},
        labels={"team": "sales", "year": 2026},
        timeout=3600,
        kill_on_timeout=True,
        revision=3,
        schedule_date=datetime(2026, 1, 31, tzinfo=timezone.utc),
        fetch_log=False,
    )
except InvalidInput as error:
    # What the server says of a request it refused.
    assert_type(error.status, int | None)
    assert_type(error.message, str | None)
    assert_type(error.errors, tuple[tuple[str, str], ...])
except ExecutionTimeout as error:
    assert_type(error.execution_id, str | None)
    assert_type(error.state, str | None)
    assert_type(error.killed, bool)
except FailedExponentialBackoff as error:
    assert_type(error.attempts, int | None)
    assert_type(error.correlation_id, str | None)
else:
    assert_type(result, FlowExecution)
    assert_type(result.execution_id, str)
    assert_type(result.status, str | None)
    assert_type(result.log, str | None)
    assert_type(result.outputs, dict[str, Any] | Any)
    assert_type(result.duration, float | None)
    assert_type(result.ok, bool)
    assert_type(result.task_runs, tuple[TaskRun, ...])
    for run in result.task_runs:
        assert_type(run.state, State)
        assert_type(run.state.history, tuple[StateChange, ...])
        assert_type(run.state.end, datetime | None)

# Following and acting
assert_type(flow.get_execution("id"), FlowExecution)
assert_type(flow.get_outputs("id", task_id="render"), dict[str, Any])
assert_type(flow.get_metrics("id"), list[Metric])
assert_type(flow.iter_logs("id", min_level="WARN"), Iterator[LogEntry])
assert_type(flow.download("id", "kestra:///report.pdf", "report.pdf"), Path)
assert_type(flow.wait("id", timeout=60), FlowExecution)
assert_type(flow.replay("id", task_run_id="run", revision=2), str)
assert_type(flow.restart("id"), str)
assert_type(flow.kill("id"), None)
assert_type(flow.check_status("id"), requests.Response)

# Follow
for event in flow.follow("id", min_level="INFO", timeout=60):
    if isinstance(event, LogEntry):
        assert_type(event.message, str)
    else:
        assert_type(event, StateChange)

# Execute many
for outcome in flow.execute_all(
    [
        ("company.team", "report"),
        ("company.team", "report", {"day": date(2026, 1, 31)}),
        {"namespace": "company.team", "flow": "report"},
        ExecutionRequest("company.team", "report", labels={"team": "sales"}),
    ],
    max_concurrent=20,
):
    assert_type(outcome, ExecutionOutcome)
    assert_type(outcome.ok, bool)
    assert_type(outcome.result, FlowExecution | None)
    assert_type(outcome.error, Exception | None)


# The errors are those of `requests` and of Python too.
def refused(error: APIError) -> requests.HTTPError:
    return error


def broken(error: ConnectionFailed) -> requests.ConnectionError:
    return error


def late(error: RequestTimeout) -> requests.Timeout:
    return error


def senseless(error: MalformedResponse) -> ValueError:
    return error


def base(error: ExecutionFailed | ExecutionTimeout | APIError) -> KestraError:
    return error


async def from_a_loop() -> None:
    """The same with `AsyncFlow`."""
    async with AsyncFlow(hostname="https://kestra.example.com", retries=3) as asynchronous:
        assert_type(asynchronous, AsyncFlow)
        executed = await asynchronous.execute("ns", "flow", {"a": 1}, on_log=print, timeout=60)
        assert_type(executed, FlowExecution)
        async for told in asynchronous.follow("id1"):
            assert_type(told, LogEntry | StateChange)
        async for outcome in asynchronous.execute_all([("ns", "flow")], max_concurrent=50):
            assert_type(outcome, ExecutionOutcome)
        async for entry in asynchronous.iter_logs("id1"):
            assert_type(entry, LogEntry)
        assert_type(await asynchronous.get_metrics("id1"), list[Metric])
        assert_type(await asynchronous.replay("id1"), str)
        assert_type(await asynchronous.download("id1", "kestra:///a", "b"), Path)
