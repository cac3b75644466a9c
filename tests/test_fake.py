"""`FakeKestra`: flows that are functions, on a clock of their own."""

import json
import logging
import math
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from datetime import time as clock_time
from email.utils import parsedate_to_datetime
from functools import partial
from importlib import import_module

import pytest
import requests
import requests_mock
import responses
from loopback import Routes, as_json, event, hang, stream

from kestra import Flow, Kestra
from kestra._http.stand_ins import clock
from kestra._testing.fake.stand_ins import VirtualClock
from kestra.exceptions import (
    AuthenticationError,
    Conflict,
    ConnectionFailed,
    ExecutionTimeout,
    FailedExponentialBackoff,
    InvalidInput,
    NotFound,
    RequestTimeout,
)
from kestra.testing import FakeKestra

HOST = "http://localhost:8080"
VERSIONS = ["0.21", "1.3", "2.0"]

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture(params=VERSIONS)
def any_fake(request):
    with FakeKestra(version=request.param) as fake:
        yield fake


@pytest.fixture
def fake():
    with FakeKestra() as fake:
        yield fake


@pytest.fixture
def flow():
    with Flow() as flow:
        yield flow


def emit(inputs):
    Kestra.outputs({"rows": 1, "day": date(2026, 1, 31)})
    Kestra.counter("rows", 3, {"table": "orders"})
    Kestra.timer("load", 1.5)
    Kestra.logger().warning("no logo")
    return {"rows": 3, "report": b"%PDF"}


def fail(inputs):
    Kestra.counter("tried", 1)
    Kestra.outputs({"rows": 1})
    raise LookupError("no such table")


def run(flow, **arguments):
    return flow.execute("company.team", "etl", **arguments)


# --- what becomes of an execution ---


def test_what_a_function_returns_and_emits_is_there(any_fake, flow):
    """Outputs, metrics in seconds, log and task run are those of the function."""
    any_fake.flow("company.team", "etl", emit, tasks=["prepare", "load"])
    result = run(flow)
    assert (result.status, result.execution_id) == ("SUCCESS", "execution1")
    assert "WARN" in result.log
    assert "no logo" in result.log
    assert [each.task for each in result.task_runs] == ["prepare", "load"]
    outputs = flow.get_outputs(result.execution_id)
    assert (outputs["rows"], outputs["day"]) == (3, "2026-01-31")
    assert flow.get_outputs(result.execution_id, task_id="load")["vars"] == outputs
    assert flow.get_outputs(result.execution_id, task_id="prepare") == {}
    rows, load = flow.get_metrics(result.execution_id)
    assert (rows.name, rows.value, rows.tags) == ("rows", 3.0, {"table": "orders"})
    assert (load.name, load.type, load.value, load.task) == ("load", "timer", 1.5, "load")
    (entry,) = flow.iter_logs(result.execution_id)
    assert (entry.level, entry.task) == ("WARN", "load")


def test_what_is_emitted_stays_out_of_standard_output(fake, flow, capfd):
    """Frames of the function are kept; those of the test are printed as ever."""
    fake.flow("company.team", "etl", emit)
    run(flow)
    Kestra.outputs({"mine": 1})
    printed = capfd.readouterr().out.removeprefix("\n")  # whether a line was open is not known
    assert printed == '::{"outputs": {"mine": 1}}::\n'


def test_a_function_that_raises_has_failed(any_fake, flow):
    """The state is FAILED, the traceback is in the log, and the exception at hand."""
    any_fake.flow("company.team", "etl", fail)
    result = run(flow)
    assert result.status == "FAILED"
    assert "ERROR Traceback" in result.log
    assert ", in fail" in result.log
    assert "kestra/_testing/fake" not in result.log
    assert "LookupError: no such table" in result.error
    assert isinstance(any_fake.executions[0].error, LookupError)
    assert [each.name for each in flow.get_metrics("execution1")] == ["tried"]
    assert flow.get_outputs("execution1") == {}
    assert flow.get_outputs("execution1", task_id="main")["vars"] == {"rows": 1}


def test_a_function_that_is_broken_off(fake, flow):
    """What ends a test goes through, and nobody waits for the execution forever."""

    def interrupt(inputs):
        raise KeyboardInterrupt

    fake.flow("company.team", "etl", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(flow)
    assert flow.wait("execution1").status == "FAILED"


def test_outputs_that_no_task_could_send_fail(fake, flow):
    """What is returned is checked as `Kestra.outputs` checks it."""
    fake.flow("company.team", "etl", lambda inputs: {"rows": object()})
    assert "outputs.rows" in run(flow).log


def test_files_among_the_outputs_can_be_downloaded(any_fake, flow, tmp_path):
    """Bytes become files of the server, at any depth."""
    any_fake.flow("company.team", "etl", lambda _: {"all": [{"pdf": b"%PDF"}, b"2"]})
    run(flow)
    first, second = flow.get_outputs("execution1")["all"]
    assert flow.download("execution1", first["pdf"], tmp_path / "a").read_bytes() == b"%PDF"
    assert flow.download("execution1", second, tmp_path / "a").read_bytes() == b"2"


def test_a_file_of_another_execution_is_found_by_a_redirect(fake, flow, tmp_path):
    """As on a server, the URI tells where it is."""
    fake.flow("company.team", "etl", lambda _: {"pdf": b"%PDF"})
    uri = run(flow).outputs["pdf"]
    run(flow)
    assert flow.download("execution2", uri, tmp_path / "a").read_bytes() == b"%PDF"


def test_an_execution_can_start_others(fake, flow):
    """A function may use `Flow` itself; the time that it waits is its own."""

    def outer(inputs):
        return {"inner": flow.execute("company.team", "inner").status}

    fake.flow("company.team", "inner", states=[("RUNNING", 30)])
    fake.flow("company.team", "etl", outer)
    result = run(flow)
    assert result.outputs == {"inner": "SUCCESS"}
    assert result.duration > 30


def test_executions_of_many_threads(fake, flow):
    """Each thread gets the result of its own execution."""
    fake.flow("company.team", "etl", lambda inputs: {"n": inputs["n"]}, inputs={"n": "INT"})
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: run(flow, inputs={"n": n}, timeout=600), range(40)))
    assert [each.outputs["n"] for each in results] == list(range(40))


def test_many_at_once(any_fake, flow):
    """The searches of `execute_all` work; one that never ends does not hold up the rest."""
    any_fake.flow("company.team", "etl", lambda inputs: inputs, states=[("RUNNING", 20)])
    any_fake.state(("RUNNING", math.inf))
    wanted = [("company.team", "etl", {"n": n}) for n in range(40)]
    outcomes = list(flow.execute_all(wanted, max_concurrent=20, timeout=300, kill_on_timeout=True))
    late = [each.error for each in outcomes if not each.ok]
    assert len(outcomes) == 40
    assert [type(error) for error in late] == [ExecutionTimeout]
    assert sorted(int(each.inputs["n"]) for each in any_fake.executions) == list(range(40))


# --- inputs ---


def test_inputs_without_a_declaration_arrive_as_they_were_sent(any_fake, flow):
    """Text is text, a file is bytes with a name."""
    seen = []
    any_fake.flow("company.team", "etl", seen.append)
    run(flow, inputs={"day": date(2026, 1, 31), "rows": 3, "orders": b"\r\nid\n\r\n"})
    (execution,) = any_fake.executions
    assert seen == [execution.inputs]
    assert execution.inputs == {"day": "2026-01-31", "rows": "3", "orders": b"\r\nid\n\r\n"}
    assert execution.inputs["orders"].name == "orders"


def test_declared_inputs_are_parsed(any_fake, flow):
    """Each arrives as the value that was sent, with defaults, and without what is not declared."""
    sent = {
        "day": date(2026, 1, 31),
        "at": datetime(2026, 1, 31, 8, 30, tzinfo=timezone.utc),
        "clock": clock_time(8, 30),
        "wait": timedelta(minutes=90),
        "rows": 3,
        "ratio": 0.5,
        "full": True,
        "plan": {"a": [1, None]},
        "ids": [1, 2],
        "who": "jane@example.com",
    }
    kinds = [
        "DATE",
        "DATETIME",
        "TIME",
        "DURATION",
        "INT",
        "FLOAT",
        "BOOL",
        "JSON",
        "ARRAY",
        "EMAIL",
    ]
    inputs = dict(zip(sent, kinds, strict=True))
    optional = {
        "more": {"type": "STRING", "required": False},
        "size": {"type": "INT", "defaults": 5},
    }
    any_fake.flow("company.team", "etl", inputs=inputs | optional)
    run(flow, inputs={**sent, "unknown": 1})
    assert any_fake.executions[0].inputs == {**sent, "more": None, "size": 5}


@pytest.mark.parametrize("version", VERSIONS)
def test_an_input_that_the_server_refuses(version, flow):
    """It is a 422 with the engine's message, and nothing was created."""
    with FakeKestra(version=version) as fake:
        fake.flow("company.team", "etl", inputs={"rows": "INT"})
        for inputs in ({}, {"rows": "3.0"}, {"rows": 2**31}):
            with pytest.raises(InvalidInput, match="rows"):
                run(flow, inputs=inputs)
        assert fake.executions == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("DATE", "2026-02-30"),
        ("DATE", "31.1.2026"),
        ("DATE", "2026-01-31T00:00"),
        ("DATE", ""),
        ("FLOAT", "1,5"),
        ("MULTISELECT", '["C"]'),
        ("MULTISELECT", "A"),
        ("JSON", '{"a": NaN}'),
        ("ARRAY", "[Infinity]"),
        ("DURATION", "P1DT"),
        ("DURATION", "P99999999999D"),
        ("EMAIL", "jane"),
        ("URI", "a b"),
    ],
)
def test_values_that_cannot_be_read(any_fake, flow, kind, text):
    """They are refused."""
    any_fake.flow("company.team", "etl", inputs={"x": {"type": kind, "values": ["A", "B"]}})
    with pytest.raises(InvalidInput):
        run(flow, inputs={"x": text})


def test_choices(fake, flow):
    """Those that are declared are read."""
    fake.flow("company.team", "etl", inputs={"x": {"type": "MULTISELECT", "values": ["A", "B"]}})
    run(flow, inputs={"x": ["A", "B"]})
    assert fake.executions[0].inputs == {"x": ["A", "B"]}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"day": "DAY"}, "must have a type, one of STRING"),
        ({"day": date}, "must have a type, one of STRING"),
        ({"day": {"type": "DATE", "default": "x"}}, "has 'default', which is not imitated"),
    ],
)
def test_a_declaration_that_makes_no_sense(fake, inputs, message):
    """It is refused at once, and says which input it is."""
    with pytest.raises(ValueError, match=rf"inputs\['day'\] {message}"):
        fake.flow("company.team", "etl", inputs=inputs)


def test_declared_inputs_are_a_mapping(fake):
    """The list that a flow in YAML has is refused in words."""
    with pytest.raises(TypeError, match="inputs must be a mapping by input id, not list"):
        fake.flow("company.team", "etl", inputs=[{"id": "day", "type": "DATE"}])


# --- time ---


def test_no_time_passes(fake, flow, monkeypatch):
    """An hour on the fake's clock is nothing to the test's, which nobody has touched."""
    sleep, monotonic = time.sleep, time.monotonic
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("slept"))
    fake.state(("RUNNING", 3600))
    fake.flow("company.team", "etl")
    result = Flow(poll_interval=60).execute("company.team", "etl")
    assert result.duration == pytest.approx(3600.1)
    monkeypatch.undo()
    assert (time.sleep, time.monotonic) == (sleep, monotonic)


def test_new_calls_take_the_clock_of_the_fake():
    """While it is active, and of the outer one where two are; afterwards nothing is left."""
    send = requests.adapters.HTTPAdapter.send
    with FakeKestra() as fake:
        assert clock() is fake._engine.clock
        with FakeKestra() as inner:
            assert inner._engine.clock is fake._engine.clock
        assert clock() is fake._engine.clock
    assert not isinstance(clock(), VirtualClock)
    assert requests.adapters.HTTPAdapter.send is send


def test_dates_follow_the_clock(fake, flow):
    """Those of the server, and those that the client reads."""
    fake.flow("company.team", "etl")
    before = clock().utcnow()
    fake.sleep(3600)
    late = requests.get(f"{HOST}/api/v1/configs", timeout=1).headers["Date"]
    assert clock().utcnow() - before >= timedelta(hours=1)
    assert parsedate_to_datetime(late) - before > timedelta(minutes=59)


def test_code_that_waits_itself(fake, flow):
    """`fake.sleep` takes the place of `time.sleep` in a loop of the user's."""
    fake.flow("company.team", "etl", states=[("RUNNING", 30)])
    run_id = Flow(wait_for_completion=False).execute("company.team", "etl").execution_id
    looks = 0
    while flow.get_execution(run_id).status != "SUCCESS":
        looks += 1
        fake.sleep(10)
    assert looks in {3, 4}


def test_a_schedule(fake, flow):
    """It is created at once, and runs when its time has come."""
    fake.flow("company.team", "etl")
    when = datetime.now(timezone.utc) + timedelta(hours=1)
    result = Flow(poll_interval=60).execute("company.team", "etl", schedule_date=when)
    assert result.duration > 3500
    assert fake.executions[0].schedule_date == when


# --- states ---


def test_a_paused_execution_waits_for_somebody(any_fake, flow):
    """It runs once it is resumed, with what it asks for."""
    called = []
    any_fake.flow("company.team", "etl", called.append, on_resume={"reason": "STRING"})
    any_fake.state("PAUSED")
    with pytest.raises(ExecutionTimeout, match="PAUSED"):
        run(flow, timeout=20)
    assert called == []
    with pytest.raises(RequestTimeout if any_fake._version == "0.21" else InvalidInput):
        flow.resume("execution1")  # 0.21 never answers that
    flow.resume("execution1", {"reason": "looks good"})
    assert flow.wait("execution1").status == "SUCCESS"
    assert any_fake.executions[0].resumed == {"reason": "looks good"}
    assert called == [{}]
    with pytest.raises(Conflict, match="not paused"):
        flow.resume("execution1")


def test_an_execution_that_takes_too_long_is_killed(any_fake, flow):
    """It is KILLING, then KILLED, without outputs; to kill it again does nothing."""
    any_fake.flow("company.team", "etl", lambda _: {"rows": 3})
    any_fake.state(("RUNNING", math.inf))
    with pytest.raises(ExecutionTimeout) as error:
        run(flow, timeout=30, kill_on_timeout=True)
    assert error.value.killed
    result = flow.wait("execution1")
    assert result.status == "KILLED"
    assert [each.state for each in result.state.history][-2:] == ["KILLING", "KILLED"]
    assert flow.get_outputs("execution1") == {}
    flow.kill("execution1")
    assert flow.wait("execution1").status == "KILLED"


def test_states_that_are_said_to_come(fake, flow):
    """They come in that order, for that long, and only for one execution."""
    fake.flow("company.team", "etl", emit)
    fake.state(("QUEUED", 5), "WARNING")
    result = run(flow)
    assert [each.state for each in result.state.history] == [
        "CREATED",
        "QUEUED",
        "RUNNING",
        "WARNING",
    ]
    assert result.outputs["rows"] == 3
    assert result.duration == pytest.approx(5.2)
    assert run(flow).status == "SUCCESS"


def test_a_pause_between_two_spells_of_running(fake, flow):
    """The function is called in the last one, once."""
    called = []
    fake.flow("company.team", "etl", called.append, states=["RUNNING", ("PAUSED", 9), "RUNNING"])
    states = [each.state for each in run(flow).state.history]
    assert states == ["CREATED", "RUNNING", "PAUSED", "RUNNING", "SUCCESS"]
    assert len(called) == 1


@pytest.mark.parametrize(
    ("states", "message"),
    [
        (["RUNING"], "no state 'RUNING'"),
        (["FAILED", "RUNNING"], "FAILED must be the last"),
        ([("RUNNING", -1)], "must last 0 or more seconds"),
    ],
)
def test_states_that_make_no_sense(fake, states, message):
    """They are refused at once."""
    with pytest.raises(ValueError, match=message):
        fake.state(*states)


def test_pause_and_go_on(any_fake, flow):
    """What runs stands still, and goes on; what does not run cannot be paused."""
    any_fake.flow("company.team", "etl", states=[("RUNNING", 60)])
    starter = Flow(wait_for_completion=False)
    starter.execute("company.team", "etl")
    any_fake.sleep(20)
    flow.pause("execution1")
    with pytest.raises((InvalidInput, Conflict)):
        flow.pause("execution1")
    any_fake.sleep(500)
    assert flow.get_execution("execution1").status == "PAUSED"
    flow.resume("execution1")
    assert flow.wait("execution1").duration > 560


def test_restart(any_fake, flow):
    """A failed execution runs again, under its id or, until 1.x, with a revision as a new one."""
    answers = [RuntimeError("once"), RuntimeError("twice")]

    def sometimes(inputs):
        if answers:
            raise answers.pop()
        return {"rows": 3}

    any_fake.flow("company.team", "etl", sometimes, revisions=[1, 2])
    with pytest.raises(NotFound):
        flow.restart("nope")
    run(flow)
    assert flow.restart("execution1") == "execution1"
    with pytest.raises(Conflict, match="terminated"):
        flow.restart("execution1")
    assert flow.wait("execution1").status == "FAILED"
    with pytest.raises(NotFound):
        flow.restart("execution1", revision=9)
    new = flow.restart("execution1", revision=1)
    assert flow.wait(new).status == "SUCCESS"
    last = any_fake.executions[-1]
    assert (last.id, last.revision) == (new, 1)
    if any_fake._version == "2.0":
        assert (new, last.parent) == ("execution1", None)
    else:
        assert (new, last.parent) == ("execution2", "execution1")
    with pytest.raises((InvalidInput, Conflict)):
        flow.restart(new)


def test_attempts(any_fake, flow):
    """A restart begins another attempt, of the task that failed only, once it runs."""

    def talk(inputs):
        Kestra.logger().info("again")
        raise RuntimeError

    any_fake.flow("company.team", "etl", talk, tasks=["prepare", "load"])
    run(flow)
    flow.restart("execution1")
    restarted = flow.get_execution("execution1")
    assert [each.attempts for each in restarted.task_runs] == [1, 1]
    flow.wait("execution1")
    result = flow.wait(flow.replay("execution1"))
    ended = flow.get_execution("execution1")
    assert [(each.state.current, each.attempts) for each in ended.task_runs] == [
        ("SUCCESS", 1),
        ("FAILED", 2),
    ]
    assert [each.attempt for each in flow.iter_logs("execution1")] == [0, 0, 1, 1]
    assert [each.attempts for each in result.task_runs] == [1, 1]


def test_replay(any_fake, flow):
    """It is a new execution with the same inputs."""
    any_fake.flow("company.team", "etl", emit, revisions=[1, 2])
    result = run(flow, inputs={"a": 1})
    new = flow.replay("execution1", task_run_id=result.task_runs[0].id, revision=1)
    assert flow.wait(new).status == "SUCCESS"
    first, second = any_fake.executions
    assert (second.inputs, second.revision, second.parent) == ({"a": "1"}, 1, "execution1")
    assert second.labels["system.replay"] == "true"
    assert "system.replay" not in first.labels
    with pytest.raises((InvalidInput, Conflict)):
        flow.replay("execution1", task_run_id="nope")


def test_labels(any_fake, flow):
    """Labels of the flow, of the request and of the system are there, and can be added to."""
    any_fake.flow("company.team", "etl", labels={"team": "core"}, states=[("RUNNING", 9)])
    starter = Flow(wait_for_completion=False)
    starter.execute("company.team", "etl", labels={"day": "2026-01-31"})
    labels = any_fake.executions[0].labels
    assert (labels["team"], labels["day"]) == ("core", "2026-01-31")
    assert "system.correlationId" in labels
    with pytest.raises(InvalidInput):
        starter.set_labels("execution1", {"a": "1"})
    flow.wait("execution1")
    flow.set_labels("execution1", {"a": "1"})
    assert any_fake.executions[0].labels["a"] == "1"


# --- flows ---


def test_a_disabled_flow(any_fake, flow):
    """It is a conflict."""
    any_fake.flow("company.team", "etl", disabled=True)
    with pytest.raises(Conflict, match="disabled"):
        run(flow)


def test_a_revision(any_fake, flow):
    """The latest is the default, one that is not there is not found."""
    any_fake.flow("company.team", "etl", revisions=[1, 2])
    run(flow)
    run(flow, revision=1)
    assert [each.revision for each in any_fake.executions] == [2, 1]
    with pytest.raises(NotFound, match="Requested Flow is not found"):
        run(flow, revision=3)


def test_a_flow_that_the_server_does_not_have(any_fake, flow):
    """Said to be missing, it is a 404."""
    any_fake.missing("company.team", "etl")
    with pytest.raises(NotFound):
        run(flow)


# --- mistakes ---


def used(fake, *calls):
    """A test that does these things, and ends."""
    with fake:
        fake.flow("company.team", "etl")
        for call in calls:
            call()


def swallowed(flow, error=None):
    """What code under test may do where it fails."""

    def call():
        with suppress(AssertionError):
            flow.execute("company.team", "nope")
        if error:
            raise error

    return call


def test_a_flow_that_nobody_registered(flow):
    """The error names the flows that are there, and the ways out."""
    text = r"no flow company\.team\.nope is registered, only: company\.team\.etl\. Register"
    with pytest.raises(AssertionError, match=text) as error:
        used(FakeKestra(), lambda: flow.execute("company.team", "nope"))
    assert not getattr(error.value, "__notes__", [])
    with pytest.raises(AssertionError, match="only: none"), FakeKestra():
        run(flow)


def test_a_mistake_that_the_code_under_test_swallows(flow):
    """It is raised again at the end."""
    with pytest.raises(AssertionError, match="no flow"):
        used(FakeKestra(), swallowed(flow))


def test_an_error_of_the_test_is_not_hidden(flow):
    """What else goes wrong goes before what was swallowed."""
    with pytest.raises(KeyError):
        used(FakeKestra(), swallowed(flow, KeyError()))


@pytest.mark.parametrize("path", ["/api/v1/main/triggers/a/b", "/api/v1/nope", "/ui/", "/api/v1/"])
def test_a_request_that_is_not_imitated(path):
    """It is an error, and no 404."""
    with pytest.raises(AssertionError, match="is not"), FakeKestra():
        requests.get(HOST + path, timeout=1)


@pytest.mark.parametrize("version", VERSIONS[1:])
@pytest.mark.parametrize(
    "line",
    [
        "GET executions/namespaces",
        "POST executions/kill/by-ids",
        "GET flows/search",
        "GET flows/source",
        "DELETE flows/delete/by-query",
        "GET namespaces/n/kv/inheritance",
        "GET namespaces/n/files?path=/a&revision=2",
    ],
)
def test_a_path_that_could_be_that_of_a_name(version, line):
    """The servers have something else there than an execution, a namespace, a flow or a key."""
    method, path = line.split()
    with pytest.raises(AssertionError, match="imitated"), FakeKestra(version=version):
        requests.request(method, f"{HOST}/api/v1/main/{path}", timeout=1)


@pytest.mark.parametrize(
    ("version", "query"),
    [
        ("1.3", "executions/search?timeRange=PT1H"),
        ("1.3", "executions/search?filters[timeRange][EQUALS]=PT1H"),
        ("1.3", "logs/search?minLevel=WARN"),
        ("2.0", "executions/search?filters[labels][NOT_CONTAINS]=x"),
    ],
)
def test_a_search_that_is_not_imitated(version, query):
    """It is an error, and finds nothing by chance."""
    with pytest.raises(AssertionError), FakeKestra(version=version):
        requests.get(f"{HOST}/api/v1/main/{query}", timeout=1)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("filters[namespace][ENDS_WITH]=team", 1),
        ("filters[namespace][ENDS_WITH]=company", 0),
        ("filters[q][EQUALS]=etl", 1),
        ("filters[q][NOT_EQUALS]=etl", 0),
        ("filters[q][NOT_EQUALS]=nope", 1),
        ("filters[startDate][NOT_EQUALS]=2001-01-01T00:00:00Z", 1),
        ("filters[labels][EQUALS][a]=1&filters[labels][NOT_EQUALS][b]=2", 1),
        ("filters[flowId][NOT_IN]=etl,x", 0),
    ],
)
def test_operations_of_a_search(fake, flow, query, found):
    """Each does what it says."""
    fake.flow("company.team", "etl", labels={"a": "1"})
    run(flow)
    assert got(f"executions/search?{query}")[1]["total"] == found


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_a_level_that_there_is_not(version):
    """It is refused, as a state is."""
    with FakeKestra(version=version):
        operation = "EQUALS" if version == "1.3" else "GREATER_THAN_OR_EQUAL_TO"
        url = f"{HOST}/api/v1/main/logs/search?filters[level][{operation}]=warn"
        assert requests.get(url, timeout=1).status_code == 422


NOT_UTF8 = b"--B\r\nContent-Disposition: form-data; name=s\r\n\r\n\xff\r\n--B--"


@pytest.mark.parametrize("version", VERSIONS[1:])
@pytest.mark.parametrize(
    ("line", "body", "kind", "status"),
    [
        ("POST executions/execution1{}/labels", b"nope", "application/json", None),
        ("POST executions/execution1{}/labels", b'[{"key": 1, "value": true}]', "", 200),
        ("POST executions/execution1{}/labels", b"[]", "text/plain", 415),
        ("POST executions/execution1{}/resume", b"{}", "application/json", 415),
        ("POST executions/execution1{}/replay-with-inputs", b"{}", "application/json", 415),
        ("DELETE namespaces/n/kv", b"nope", "application/json", None),
        ("DELETE namespaces/n/kv", b"[]", "application/json", 200),
        ("POST flows/disable/by-ids", b"nope", "application/json", None),
        ("POST flows/disable/by-ids", b"[{}]", "application/json", 200),
        ("POST flows", b"\xff", "application/x-yaml", 422),
        ("POST flows", b"{id: a, namespace: b, tasks: 3}", "application/x-yaml", 422),
        ("POST flows", b"{id: a, namespace: b, tasks: [c]}", "application/x-yaml", 422),
        ("POST executions/company.team/etl", NOT_UTF8, "multipart/form-data; boundary=B", 200),
    ],
)
def test_a_malformed_body(version, line, body, kind, status):
    """It gets the response of a server, or is a mistake of the test; never an error of Python."""
    method, path = line.format("/actions" if version == "2.0" else "").split()
    headers = {"Content-Type": kind} if kind else {}
    with FakeKestra(version=version) as fake, Flow() as flow:
        fake.flow("company.team", "etl")
        run(flow)
        url = f"{HOST}/api/v1/main/{path}"
        send = partial(requests.request, method, url, data=body, headers=headers, timeout=9)
        if status is None:
            with pytest.raises(AssertionError, match="not JSON"):
                send()
            fake.mistakes.clear()
        else:
            assert send().status_code == status


@pytest.mark.parametrize("version", VERSIONS)
def test_a_paused_execution_is_restarted(version):
    """It begins again, and nobody has to resume it; what runs is left alone."""
    with FakeKestra(version=version) as fake, Flow() as flow:
        fake.flow("company.team", "etl", states=["PAUSED"])
        run(Flow(wait_for_completion=False))
        with pytest.raises(Conflict, match="terminated"):
            flow.restart("execution1")
        fake.sleep(9)
        assert flow.get_execution("execution1").status == "PAUSED"
        assert flow.restart("execution1") == "execution1"
        assert flow.wait("execution1", timeout=60).status == "SUCCESS"


def test_strict_about_executions(flow):
    """One whose end nothing waited for is named."""
    starter = Flow(wait_for_completion=False)
    with pytest.raises(AssertionError, match=r"execution2 of company\.team\.etl"):
        used(FakeKestra(strict=True), lambda: run(flow), lambda: run(starter))
    used(FakeKestra(), lambda: run(starter))


def test_strict_about_faults(flow):
    """One that has not come about is an error; otherwise all is well."""
    fake = FakeKestra(strict=True)
    with pytest.raises(AssertionError, match="no request met: 1"):
        used(fake, lambda: fake.fail(2, after_create=True), lambda: run(flow))
    used(FakeKestra(strict=True), lambda: run(flow))


def test_nobody_resumes(fake, monkeypatch):
    """A wait that would never end, does."""
    monkeypatch.setattr("kestra._testing.fake.server._POLLS", 50)
    fake.flow("company.team", "etl", states=["PAUSED"])
    with pytest.raises(AssertionError, match="execution1 is PAUSED, and nobody"):
        run(Flow())
    fake.mistakes.clear()


@pytest.mark.parametrize(
    "arguments", [{"version": "1.4"}, {"user": "jane"}, {"password": "s3cret"}]
)
def test_arguments_that_make_no_sense(arguments):
    """They are refused, and what they are is not shown."""
    with pytest.raises(ValueError, match=r"version|together") as error:
        FakeKestra(**arguments)
    assert "s3cret" not in str(error.value)


# --- faults ---


def test_requests_that_fail(fake, flow, caplog):
    """They are repeated after the usual pauses, or those that the server asks for."""
    fake.flow("company.team", "etl")
    fake.fail(2, on="POST")
    fake.fail(status=429, retry_after=7, on="POST")
    with caplog.at_level(logging.WARNING, "kestra"):
        assert run(flow).status == "SUCCESS"
    pauses = [record.message.split("continuing in ")[1] for record in caplog.records]
    assert pauses == ["1 s", "2 s", "7 s"]
    assert len(fake.executions) == 1


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": None}, "hang"])
def test_an_answer_that_is_lost(any_fake, flow, fault):
    """The execution exists, is found by its label, and is not created twice."""
    any_fake.flow("company.team", "etl")
    if fault == "hang":
        any_fake.hang(after_create=True)
    else:
        any_fake.fail(after_create=True, **fault)
    assert run(flow).execution_id == "execution1"
    assert len(any_fake.executions) == 1


def test_a_creation_that_is_refused_loses_no_answer(fake, flow):
    """The fault is for the next one that is carried out."""
    fake.flow("company.team", "etl", disabled=True)
    fake.fail(after_create=True)
    with pytest.raises(Conflict):
        run(flow)
    fake.flow("company.team", "etl")
    assert run(flow).status == "SUCCESS"
    assert not any(each.times for each in fake._faults)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (lambda fake: fake.fail(9), FailedExponentialBackoff),
        (lambda fake: fake.fail(9, status=None, on="POST"), ConnectionFailed),
        (lambda fake: fake.hang(9), RequestTimeout),
    ],
)
def test_faults_that_do_not_end(fake, flow, fault, error):
    """The client gives up, as it would on a server."""
    fake.flow("company.team", "etl")
    fault(fake)
    with pytest.raises(error):
        run(flow)


def test_only_some_requests_fail(fake, flow):
    """A fault may be for requests that begin in a certain way."""
    fake.flow("company.team", "etl")
    fake.fail(999, status=404, on="GET /api/v1/logs/")  # of any tenant
    result = run(flow)
    assert (result.status, result.log) == ("SUCCESS", None)


@pytest.mark.parametrize(
    ("fault", "name"),
    [({"times": 0}, "times"), ({"on": "GET /executions/"}, "on"), ({"on": "/api/v1/"}, "on")],
)
def test_a_fault_that_could_not_come_about(fake, fault, name):
    """It is a mistake in the test."""
    for plan in (fake.fail, fake.hang):
        with pytest.raises(ValueError, match=f"^{name} must "):
            plan(**fault)


def test_a_request_that_would_wait_for_ever(fake):
    """Without a timeout nothing could end it: that is an error."""
    fake.hang()
    with pytest.raises(AssertionError, match="no timeout"):
        requests.get(f"{HOST}/api/v1/configs")
    fake.mistakes.clear()


def test_a_creation_that_waits(fake):
    """`wait=true` gets its response at the end, or never."""
    fake.flow("company.team", "etl", lambda _: {"rows": 3})
    url = f"{HOST}/api/v1/main/executions/company.team/etl?wait=true"
    assert requests.post(url, timeout=1).json()["state"]["current"] == "SUCCESS"
    fake.state("PAUSED")
    fake.state(("QUEUED", 6), ("RUNNING", 6))
    for seconds in (1, 9):
        with pytest.raises(requests.ReadTimeout):
            requests.post(url, timeout=seconds)


# --- reading ---


def test_levels_of_the_log(any_fake, flow):
    """Each entry has its level, and less than asked for is left out."""

    def talk(inputs):
        for level in (logging.DEBUG, logging.INFO, logging.ERROR):
            Kestra.logger().log(level, "said")

    any_fake.flow("company.team", "etl", talk)
    run(flow)
    assert [each.level for each in flow.iter_logs("execution1")] == ["DEBUG", "INFO", "ERROR"]
    assert [each.level for each in flow.iter_logs("execution1", min_level="INFO")] == [
        "INFO",
        "ERROR",
    ]


def test_pages_of_metrics(fake, flow):
    """All pages are there."""
    fake.flow(
        "company.team", "etl", lambda _: [Kestra.gauge(f"g{n}", n) for n in range(250)] and {}
    )
    run(flow)
    assert [each.value for each in flow.get_metrics("execution1")] == list(range(250))


@pytest.mark.parametrize(
    ("version", "query", "ids"),
    [
        ("1.3", "namespace=company&flowId=etl", [3, 1]),
        ("1.3", "state=FAILED&state=KILLED", [2]),
        ("1.3", "labels=n:1", [1]),
        ("1.3", "filters[flowId][EQUALS]=etl&filters[namespace][PREFIX]=company", [3, 1]),
        ("1.3", "filters[state][IN]=FAILED,KILLED", [2]),
        ("1.3", "filters[labels][EQUALS][n]=1", [1]),
        ("1.3", "filters[labels][NOT_EQUALS][n]=1", [3, 2]),
        ("1.3", "endDate=2000-01-01T00:00:00Z", []),
        ("1.3", "filters[startDate][GREATER_THAN]=2000-01-01T00:00:00.000%2B02:00", [3, 2, 1]),
        ("1.3", "sort=state.startDate:asc&page=2&size=2", [3]),
        ("0.21", "filters[flowId][EQUALS]=nope", [3, 2, 1]),
        ("0.21", "flowId=etl", [3, 1]),
        ("0.21", "childFilter=MAIN", [3, 2, 1]),
        ("0.21", "triggerExecutionId=execution1", []),
        ("2.0", "flowId=nope", [3, 2, 1]),
        ("2.0", "filters[flowId][STARTS_WITH]=et&filters[namespace][CONTAINS]=team", [3, 1]),
    ],
)
def test_searches(version, query, ids):
    """What a version knows is found, and what it does not know is ignored."""
    root = "/api/v1" if version == "0.21" else "/api/v1/main"
    with FakeKestra(version=version) as fake, Flow() as flow:
        fake.flow("company.team", "etl")
        fake.flow("company.team", "other", fail)
        run(flow, labels={"n": 1})
        flow.execute("company.team", "other")
        run(flow)
        answer = requests.get(f"{HOST}{root}/executions/search?{query}", timeout=1).json()
    assert [each["id"] for each in answer["results"]] == [f"execution{n}" for n in ids]
    assert answer["total"] >= len(ids)


@pytest.mark.parametrize(
    ("version", "query", "status", "message"),
    [
        ("2.0", "size=abc", 422, "Failed to convert argument [size] for value [abc]"),
        ("2.0", "filters[flowId][REGEX]=[", 500, "Internal server error"),
        ("2.0", "filters[created][EQUALS]=x", 400, "Field CREATED is not supported for resource"),
        ("2.0", "filters[triggerId][EQUALS]=x", 400, "Field TRIGGER_ID is not supported"),
        (
            "2.0",
            "filters[flowId][GREATER_THAN]=x",
            400,
            "GREATER_THAN is not supported for field FLOW_ID",
        ),
        (
            "2.0",
            "filters[email][EQUALS]=x",
            400,
            "Field EMAIL is not supported for resource EXECUTION",
        ),
        ("1.3", "filters[email][EQUALS]=x", 422, "Unsupported field 'email'"),
        ("1.3", "filters[taskId][EQUALS]=x", 400, "Field TASK_ID is not supported"),
        ("0.21", "labels=a:b&labels=c:d", 422, "Invalid queryString parameter"),
    ],
)
def test_searches_that_a_server_refuses(version, query, status, message):
    """Each with its own words, whether anything is there to be found."""
    root = "/api/v1" if version == "0.21" else "/api/v1/main"
    with FakeKestra(version=version):
        answer = requests.get(f"{HOST}{root}/executions/search?{query}", timeout=1)
    assert answer.status_code == status
    assert message in answer.json()["message"]


def test_no_representation_shows_values(fake, flow):
    """It names the execution, and its states."""
    fake.flow("company.team", "etl", lambda inputs: inputs, inputs={"x": "STRING"}, webhook="k3y")
    run(flow, inputs={"x": "s3cret"})
    (execution,) = fake.executions
    states = "CREATED, RUNNING, SUCCESS"
    assert repr(execution) == f"<Execution execution1 of company.team.etl: {states}>"
    assert "k3y" not in repr(execution.definition)


# --- following ---


def events(url):
    """The kinds of a stream's events, and what each says."""
    text = requests.get(HOST + url, timeout=9).text
    return [
        (event.split("\n")[0].removeprefix("id: "), event.split("data: ")[1])
        for event in text.strip().split("\n\n")
    ]


def test_the_stream_of_states(any_fake):
    """It tells each state up to the end, in the shape of the version."""
    root = "/api/v1" if any_fake._version == "0.21" else "/api/v1/main"
    any_fake.flow("company.team", "etl")
    run(Flow(wait_for_completion=False))
    told = events(f"{root}/executions/execution1/follow")
    kinds = [kind for kind, _ in told]
    assert kinds[-4:] == ["progress", "progress", "progress", "end"]
    assert (kinds[0] == "start") == (any_fake._version != "0.21")
    assert '"current": "SUCCESS"' in told[-1][1]


def test_a_stream_that_would_be_silent_is_closed(fake):
    """What takes long is for the client to wait for."""
    fake.flow("company.team", "etl", states=[("RUNNING", 30)])
    run(Flow(wait_for_completion=False))
    told = events("/api/v1/executions/execution1/follow")
    assert [kind for kind, _ in told] == ["start", "progress", "progress"]


@pytest.mark.parametrize("version", VERSIONS)
def test_streams_of_what_is_not_there(version):
    """They say nothing of it; 0.21 responds with 404 for an execution."""
    root = "/api/v1" if version == "0.21" else "/api/v1/main"
    with FakeKestra(version=version):
        assert [kind for kind, _ in events(f"{root}/logs/nope/follow")] == ["start"]
        answer = requests.get(f"{HOST}{root}/executions/nope/follow", timeout=9)
    assert answer.status_code == (404 if version == "0.21" else 200)
    assert "state" not in answer.text


def test_the_stream_of_the_log(any_fake):
    """It begins with an event that is no entry, and until 1.x has the entries of the level."""
    any_fake.flow("company.team", "etl", emit)
    run(Flow(wait_for_completion=False))
    (_, entry) = events("/api/v1/logs/execution1/follow")
    assert '"message": "' in entry[1]
    errors = events("/api/v1/logs/execution1/follow?minLevel=ERROR")
    assert len(errors) == (2 if any_fake._version == "2.0" else 1)


def test_what_is_followed_is_told_once_and_to_the_end(any_fake, flow):
    """By callbacks, and by an iterator afterwards."""
    any_fake.flow("company.team", "etl", emit, states=[("QUEUED", 90)])
    told = []
    result = run(flow, on_log=told.append, on_state=told.append)
    texts = [getattr(each, "message", str(each))[-7:] for each in told]
    assert sorted(texts[:-1]) == ["CREATED", "QUEUED", "RUNNING", "no logo"]
    assert texts[-1] == "SUCCESS"
    assert (result.status, round(result.duration)) == ("SUCCESS", 90)
    assert set(map(str, flow.follow("execution1"))) == set(map(str, told))


def test_following_sees_the_end_of_what_is_killed(any_fake, flow):
    """The streams are closed in between; a timeout is one on the clock of the fake."""
    any_fake.flow("company.team", "etl")
    any_fake.state(("RUNNING", math.inf))
    with pytest.raises(ExecutionTimeout):
        run(flow, follow=True, timeout=60, kill_on_timeout=True)
    assert flow.wait("execution1", follow=True).status == "KILLED"


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": None}])
def test_following_goes_on_where_requests_fail(any_fake, flow, fault):
    """Streams that cannot be opened, and polls that fail, are tried again."""
    any_fake.flow("company.team", "etl", emit)
    any_fake.fail(4, on="GET", **fault)
    told = []
    assert run(flow, on_log=told.append).status == "SUCCESS"
    assert [each.level for each in told] == ["WARN"]


def test_another_server_is_followed_as_ever(server):
    """Although nobody's clock but the fake's goes on, and its log is a stream without an end."""
    running, failed = ({"state": {"current": state}} for state in ("RUNNING", "FAILED"))
    server.engine = Routes({"GET /api/v1/executions/id1": as_json(running)})
    server.upset("GET /api/v1/executions/id1/follow", stream(event(failed)))
    server.upset("GET /api/v1/logs/id1/follow", stream(event({}, "start"), then=hang))
    told = []
    with FakeKestra(), Flow(hostname=server.url) as flow:
        thread = threading.Thread(target=lambda: told.extend(flow.follow("id1")), daemon=True)
        thread.start()
        thread.join(10)
    assert list(map(str, told)) == ["RUNNING", "FAILED"]


# --- 2.0 ---


def got(path, version="2.0"):
    """The status and the JSON of a response."""
    root = "/api/v1" if version == "0.21" else "/api/v1/main"
    answer = requests.get(f"{HOST}{root}/{path}", timeout=9)
    return answer.status_code, answer.json()


def test_where_2_0_has_outputs(fake, flow):
    """They are not in the execution; where there are none, there is nothing."""
    fake.flow("company.team", "etl", lambda _: {"rows": 3}, tasks=["prepare", "load"])
    fake.flow("company.team", "empty")
    run(flow)
    flow.execute("company.team", "empty")
    status, shown = got("executions/execution1")
    assert (status, "outputs" in shown) == (200, False)
    hidden = {"executionId", "namespace", "flowId", "outputs"}
    assert [hidden & each.keys() for each in shown["taskRunList"]] == [set(), set()]
    assert got("outputs/executions/execution1") == (200, {"rows": 3})
    inline = {"vars": {"rows": 3}, "exitCode": 0}
    listed = {"taskId": "load", "taskRunId": "execution1-load", "inline": inline}
    assert got("outputs/tasks/execution1") == (200, [listed])
    assert got("outputs/tasks/execution1/execution1-load") == (200, inline)
    assert got("outputs/tasks/execution1/execution1-prepare") == (200, {})
    for path in ("executions/execution2", "executions/nope", "execution1", "tasks/nope"):
        assert got(f"outputs/{path}")[0] == 404


@pytest.mark.parametrize("version", VERSIONS)
def test_nulls_in_outputs(version):
    """Servers drop them from 1.x on, nested ones too."""
    with FakeKestra(version=version) as fake, Flow() as flow:
        fake.flow("company.team", "etl", lambda _: {"a": None, "b": [{"c": None}, None], "d": 1})
        run(flow)
        kept = {"a": None, "b": [{"c": None}, None], "d": 1}
        dropped = {"b": [{}, None], "d": 1}
        assert fake.executions[0].outputs == (kept if version == "0.21" else dropped)


def test_a_loop(fake, flow):
    """Each iteration is an execution of its own, which only a search for its kind shows."""

    def load(value):
        Kestra.logger().info("loads %s", value)
        return {"name": value}

    loops = {"each": (["a", {"b": 1}], "load", load)}
    fake.flow("company.team", "etl", tasks=["each", "report"], loops=loops)
    run(flow, labels={"day": "monday"})
    assert [each.id for each in fake.executions] == ["execution1"]
    assert got("executions/search")[1]["total"] == 1
    assert got("logs/execution1") == (200, [])
    asked = "filters[parentId][EQUALS]=execution1&filters[kind][EQUALS]=LOOP"
    children = got(f"executions/search?{asked}&sort=id:asc")[1]["results"]
    assert [each["kind"] for each in children] == ["LOOP", "LOOP"]
    assert [each["parentId"] for each in children] == ["execution1"] * 2
    assert [each["loopRun"]["value"] for each in children] == ["a", '{"b": 1}']
    assert [each["loopRun"]["index"] for each in children] == [0, 1]
    assert {"key": "day", "value": "monday"} in children[0]["labels"]
    (first, second) = (each["id"] for each in children)
    assert got(f"outputs/tasks/{first}")[1][0]["inline"]["vars"] == {"name": "a"}
    assert got(f"logs/search?filters[executionId][IN]={first},{second}")[1]["total"] == 2
    assert run(flow).execution_id == "execution2"


@pytest.mark.parametrize(
    ("version", "tasks", "message"),
    [
        ("2.0", ["each"], "loops: 'each' must be one of tasks, before the last one"),
        ("1.3", ["each", "main"], "loops: 1.3 has no Loop, only 2.0 has"),
    ],
)
def test_a_loop_that_cannot_be(version, tasks, message):
    """It is refused at once."""
    loops = {"each": ([1], "load", lambda _: None)}
    with FakeKestra(version=version) as fake, pytest.raises(ValueError, match=message):
        fake.flow("company.team", "etl", tasks=tasks, loops=loops)


@pytest.mark.parametrize(
    ("version", "declared", "sent", "read"),
    [
        ("2.0", {"type": "SELECT", "values": ["A"]}, "Z", None),
        ("1.3", {"type": "SELECT", "values": ["A"]}, "Z", "Z"),
        ("2.0", {"type": "ARRAY", "itemType": "INT"}, ["x"], None),
        ("2.0", {"type": "ARRAY", "itemType": "INT"}, [1, "2"], [1, "2"]),
        ("2.0", {"type": "FILE"}, b"", None),
        ("2.0", "FLOAT", "16777217", 16777216.0),
        ("2.0", "FLOAT", "0.1", 0.1),
        ("2.0", "FLOAT", "-1e39", -math.inf),
        ("2.0", "FLOAT", "1f", 1.0),
        ("2.0", "DURATION", "-PT5.5S", timedelta(seconds=-5.5)),
        ("2.0", "DURATION", "p1dt-5s", timedelta(days=1, seconds=-5)),
        ("2.0", {"type": "DATE", "defaults": date(2026, 1, 31)}, "", date(2026, 1, 31)),
        ("2.0", {"type": "JSON", "defaults": {"a": 1}}, "", {"a": 1}),
    ],
)
def test_what_servers_make_of_values(version, declared, sent, read):
    """Without a value to read, they refuse."""
    if isinstance(sent, bytes):
        part = ("x", sent)
    else:
        part = (None, sent if isinstance(sent, str) else json.dumps(sent))
    with FakeKestra(version=version) as fake:
        fake.flow("company.team", "etl", inputs={"x": declared})
        url = f"{HOST}/api/v1/main/executions/company.team/etl"
        status = requests.post(url, files={"x": part}, timeout=9).status_code
        if read is None:
            assert (status, fake.executions) == (422, [])
        else:
            assert fake.executions[0].inputs == {"x": read}


def test_a_type_that_2_0_has_no_more(fake):
    """The error says what there is."""
    with pytest.raises(ValueError, match=r"inputs\['x'\] must be a BOOL: 2\.0 has no BOOLEAN"):
        fake.flow("company.team", "etl", inputs={"x": "BOOLEAN"})


@pytest.mark.parametrize(("version", "status"), [("1.3", 200), ("2.0", 500)])
def test_inputs_that_are_too_large(version, status):
    """2.0 cannot pass on more than a mebibyte; files do not count."""
    url = f"{HOST}/api/v1/main/executions/company.team/etl"
    with FakeKestra(version=version) as fake:
        fake.flow("company.team", "etl")
        large = {"a": (None, "x" * 600_000), "b": (None, "x" * 600_000)}
        answer = requests.post(url, files=large, timeout=9)
        assert answer.status_code == status
        assert ("MessageTooBigException" in answer.text) == (status == 500)
        file = {"a": ("a", b"x" * 1_200_000)}
        assert requests.post(url, files=file, timeout=9).status_code == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_a_log_that_comes_late(version):
    """In steps of 100 entries, to the search, the log and the stream alike."""
    with FakeKestra(version=version) as fake:

        def talk(inputs):
            for number in range(250):
                Kestra.logger().info("line %d", number)

        fake.log_delay = 30
        fake.flow("company.team", "etl", talk)
        run(Flow(wait_for_completion=False))
        fake.sleep(1)
        asked = "logs/search?filters[executionId][EQUALS]=execution1&size=1&sort=timestamp:desc"
        totals = []
        for _ in range(4):
            totals.append(
                (got(asked, version)[1]["total"], len(got("logs/execution1", version)[1]))
            )
            fake.sleep(10)
        assert totals == [(0, 0), (100, 100), (200, 200), (250, 250)]
        assert fake.log_delay == 30


def test_the_last_entry_lies_at_the_end_of_its_task(fake, flow):
    """So it is in scripts; entries are in order, and none comes before its time."""

    def talk(inputs):
        for number in range(50):
            Kestra.logger().info("line %d", number)

    fake.flow("company.team", "etl", talk, states=[("RUNNING", 100)])
    run(Flow(wait_for_completion=False))
    fake.sleep(50)
    assert len(got("logs/execution1")[1]) in range(23, 27)
    fake.sleep(60)
    times = [each["timestamp"] for each in got("logs/execution1")[1]]
    assert times == sorted(times)
    assert len(set(times)) == 50
    ended = flow.get_execution("execution1")
    last = datetime.fromisoformat(times[-1].replace("Z", "+00:00"))
    assert timedelta() < ended.task_runs[0].state.end - last < timedelta(milliseconds=20)


def test_what_is_killed_logs_no_more(fake, flow):
    """What it would have logged later never comes."""
    fake.flow("company.team", "etl", emit, states=[("RUNNING", 100)])
    run(Flow(wait_for_completion=False))
    fake.sleep(50)
    requests.delete(f"{HOST}/api/v1/main/executions/execution1/actions/kill", timeout=1)
    fake.sleep(100)
    assert got("logs/execution1") == (200, [])


@pytest.mark.parametrize(
    ("line", "arguments", "status"),
    [
        ("POST execution1/pause", {}, 404),
        ("POST execution1/labels", {"json": []}, 415),
        ("DELETE execution1/kill", {}, 405),
        ("POST execution1/actions/kill", {}, 405),
        ("DELETE execution1/actions/kill", {}, 200),
        ("POST execution1/actions/pause", {}, 409),
        ("POST execution1/actions/resume", {}, 409),
        ("POST execution1/actions/restart", {}, 409),
        ("POST execution1/actions/replay?revision=99", {}, 404),
        ("POST execution1/actions/replay?taskRunId=nope", {}, 422),
        ("POST execution1/actions/replay-with-inputs", {"files": {"a": (None, "b")}}, 200),
        ("POST nope/actions/replay", {}, 404),
    ],
)
def test_the_places_of_actions(fake, flow, line, arguments, status):
    """The old ones are creations, of a flow that is not there."""
    method, path = line.split()
    fake.flow("company.team", "etl")
    run(flow)
    for root in ("/api/v1/main", "/api/v1"):
        url = f"{HOST}{root}/executions/{path}"
        assert requests.request(method, url, timeout=9, **arguments).status_code == status


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_elsewhere(version):
    """A URI that belongs to no execution is refused."""
    with FakeKestra(version=version) as fake, Flow() as flow:
        fake.flow("company.team", "etl")
        run(flow)
        for uri in ("kestra:///company/team/_files/a.txt", "s3://bucket/a.txt"):
            status, _ = got(f"executions/execution1/file?path={uri}", version)
            assert status == 422


# --- who may ask, and where ---


@pytest.mark.parametrize("version", VERSIONS)
def test_credentials(version):
    """Those of the fake are let in, others are not."""
    with FakeKestra(version=version, user="jané", password="s3cret", api_token="t0ken") as fake:
        fake.flow("company.team", "etl")
        for wrong in ({}, {"user": "jané", "password": "wrong"}, {"api_token": "wrong"}):
            with pytest.raises(AuthenticationError):
                run(Flow(**wrong))
        run(Flow(user="jané", password="s3cret"))
        run(Flow(api_token="t0ken"))
        assert len(fake.executions) == 2


@pytest.mark.parametrize(
    ("version", "tenant", "error"),
    [("1.3", "main", None), ("1.3", "acme", InvalidInput), ("2.0", None, None),
     ("2.0", "acme", InvalidInput), ("0.21", "main", NotFound)],
)  # fmt: skip
def test_tenants(version, tenant, error):
    """There is one; before 1.0 there is none."""
    with FakeKestra(version=version) as fake:
        fake.flow("company.team", "etl")
        if error is None:
            assert run(Flow(tenant=tenant)).status == "SUCCESS"
        else:
            with pytest.raises(error):
                run(Flow(tenant=tenant))


@pytest.mark.parametrize("version", ["0.21", "1.3", "2.0"])
def test_the_address_in_the_user_interface(version):
    """It is the same for everybody who reads the execution, and has no tenant before 1.0."""
    with FakeKestra(version=version) as fake:
        fake.flow("company.team", "etl")
        done = run(Flow())
        assert Flow().get_execution(done.execution_id).url == done.url
        assert Flow().wait(done.execution_id).url == done.url
        assert ("/ui/main/" in done.url) is (version != "0.21")


def test_the_environment_says_which_server_it_is(monkeypatch, fake, flow):
    """The fake stands for the server that `Flow()` talks to, whenever that was said."""
    monkeypatch.setenv("KESTRA_HOSTNAME", "https://kestra.example.com/base")
    monkeypatch.setenv("KESTRA_TENANT", "acme")
    fake.flow("company.team", "etl")
    assert run(Flow()).url.startswith("https://kestra.example.com/base/ui/acme/")


def test_a_hostname(monkeypatch):
    """One that is given counts; the environment and other servers do not."""
    monkeypatch.setenv("KESTRA_HOSTNAME", "https://kestra.example.com")
    with (
        FakeKestra(hostname="https://one.example.com") as one,
        FakeKestra(hostname="https://two.example.com") as two,
    ):
        one.flow("company.team", "etl")
        two.flow("company.team", "etl")
        run(Flow(hostname="https://two.example.com/"))
    assert (len(one.executions), len(two.executions)) == (0, 1)


def test_a_session_of_the_users(fake):
    """It is served like any other."""
    fake.flow("company.team", "etl")
    fake.fail(after_create=True)
    with requests.Session() as session:
        assert run(Flow(session=session)).status == "SUCCESS"
    assert len(fake.executions) == 1


def test_mocks_of_the_users_go_on(fake, flow):
    """Those for other servers are used, whether they were there before or come later."""
    fake.flow("company.team", "etl")
    other = "https://prices.example.com/"
    with responses.RequestsMock() as mock:
        mock.get(other, json={"eur": 3})
        assert requests.get(other, timeout=1).json() == {"eur": 3}
        assert run(flow).status == "SUCCESS"
        with FakeKestra(hostname="https://kestra.example.com"):
            assert requests.get(other, timeout=1).json() == {"eur": 3}
            with pytest.raises(requests.ConnectionError, match="refused by Responses"):
                Flow(hostname="https://unknown.example.com").get_execution("x")


def test_a_flow_of_another_machine(fake):
    """`Flow` does not go to one that nobody meant; on this one there may be other servers."""
    other = Flow(hostname="https://kestra.invalid")
    with pytest.raises(
        AssertionError,
        match=r"FakeKestra: Flow would ask kestra\.invalid, but this stands for http://localhost:8080",
    ) as error:
        run(other, labels={"team": "s3cret"})
    assert "s3cret" not in str(error.value)
    fake.mistakes.clear()
    with pytest.raises(ConnectionFailed):
        Flow(hostname="http://127.0.0.1:9").get_execution("x")


def test_mocks_of_requests_mock(fake, flow):
    """One that is told to lets through what it does not know."""
    fake.flow("company.team", "etl")
    with requests_mock.Mocker(real_http=True) as mock:
        mock.get("https://prices.example.com/", json={"eur": 3})
        assert requests.get("https://prices.example.com/", timeout=1).json() == {"eur": 3}
        assert run(flow).status == "SUCCESS"


# --- imports ---


def test_the_import_is_cheap():
    """`kestra.testing` loads neither requests nor responses; `FakeKestra` does."""
    code = (
        "import sys; import kestra.testing; "
        "assert not {'requests', 'responses', 'kestra._testing.fake'} & set(sys.modules); "
        "from kestra.testing import FakeKestra; assert 'responses' in sys.modules; "
        "assert FakeKestra in [getattr(kestra.testing, n) for n in kestra.testing.__all__]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=180)


def test_without_the_extra(monkeypatch):
    """It says what to install."""
    monkeypatch.setitem(sys.modules, "responses", None)
    testing = import_module("kestra.testing")
    with pytest.raises(ImportError, match=r"pip install 'kestra\[testing\]'"):
        getattr(testing, "FakeKestra")  # noqa: B009  # a mere attribute is no statement
    with pytest.raises(AttributeError, match="nope"):
        getattr(testing, "nope")  # noqa: B009  # likewise
