"""Reading executions: results, outputs, metrics, logs and files."""

import re
import stat
from unittest.mock import Mock, patch

import pytest
import requests
import requests_mock
import responses
from loopback import (
    Loopback,
    Reply,
    Routes,
    answer,
    as_json,
    close,
    drip_body,
    hang,
    reset,
    truncate,
)
from rest import exchanges

from kestra import Flow, FlowExecution, LogEntry, Metric
from kestra._rules import pages
from kestra.exceptions import (
    ConnectionFailed,
    ExecutionFailed,
    ExecutionTimeout,
    InvalidInput,
    KestraError,
    MalformedResponse,
    NotFound,
    PermissionDenied,
    RequestTimeout,
    ServerError,
)

pytestmark = pytest.mark.usefixtures("environment")

HOST = "http://localhost:8080"
CREATE = f"{HOST}/api/v1/executions/company.team/my_flow"
STATUS = f"{HOST}/api/v1/executions/id1"
LOG = f"{HOST}/api/v1/logs/id1"
API = "/api/v1"
FAILED_RUN = {"id": "run1", "taskId": "load", "state": {"current": "FAILED"}}
BOOM = {"level": "ERROR", "message": "boom", "taskRunId": "run1", "taskId": "load"}


def execution(state, **more):
    return {"id": "id1", "namespace": "n", "flowId": "f", "state": {"current": state}, **more}


def run(flow, **kwargs):
    return flow.execute("company.team", "my_flow", **kwargs)


@pytest.fixture
def routes(server):
    """What the server responds, by method and path."""
    server.engine = Routes()
    return server.engine.replies


@pytest.fixture(params=[0, 1], ids=["0.21", "1.3"])
def engine(request, slept):
    """A client of a server that answers as one engine did.

    `engine(case)` adds a recording, and returns the execution's id and the body of the answer.
    """
    replies = Routes()
    with Loopback(replies) as server:
        tenant = None if request.param == 0 else "main"

        class Recorded:
            flow = Flow(hostname=server.url, tenant=tenant)
            requests = server.requests

            def __call__(self, case):
                _, sent, response = exchanges(case)[request.param]
                path = sent["path"].partition("?")[0]
                body = response["body"]
                headers = {"Location": response["headers"].get("location", "")}
                if isinstance(body, str):
                    reply = Reply(response["status"], body.encode(), headers)
                else:
                    reply = as_json(body, response["status"])
                replies.replies[f"{sent['method']} {path}"] = reply
                execution_id = re.search(r"/(?:executions|logs|metrics)/([^/]+)", path)[1]
                return execution_id, body

        yield Recorded()


# --- the result of execute ---


def test_a_success_costs_three_requests_and_tells_what_the_last_look_showed(server, flow, routes):
    """Outputs, address, history, duration and task runs come with the state."""
    histories = [
        {"state": "CREATED", "date": "2026-01-31T12:00:00Z"},
        {"state": "SUCCESS", "date": "2026-01-31T12:00:01.5Z"},
    ]
    shown = execution("SUCCESS", outputs={"rows": 3}, taskRunList=[FAILED_RUN])
    shown["state"]["histories"] = histories
    routes["POST /api/v1/executions/company.team/my_flow"] = as_json(
        {"id": "id1", "url": "http://u@x/1"}
    )
    routes["GET /api/v1/executions/id1"] = as_json(shown)
    routes["GET /api/v1/logs/id1/download"] = Reply(200, b"a log\n")
    flow.poll_interval = 0
    result = run(flow)
    assert result == FlowExecution("id1", "SUCCESS", "a log\n", None)
    assert (result.outputs, result.duration, result.url) == ({"rows": 3}, 1.5, "http://x/1")
    assert [change.state for change in result.state.history] == ["CREATED", "SUCCESS"]
    assert [task_run.task for task_run in result.task_runs] == ["load"]
    assert result.ok
    assert len(server.requests) == 3


def test_a_failure_tells_which_task_failed_and_why(server, flow, routes):
    """One more request, for what was logged as ERROR."""
    routes["GET /api/v1/executions/id1"] = as_json(execution("FAILED", taskRunList=[FAILED_RUN]))
    routes["GET /api/v1/logs/id1/download"] = Reply(200, b"a log\n")
    routes["GET /api/v1/logs/id1"] = as_json([BOOM])
    result = flow.wait("id1")
    assert result.error == "task load ended in the state FAILED: boom"
    assert {"filters[level][GREATER_THAN_OR_EQUAL_TO]": ["ERROR"]} in [
        request.query for request in server.requests
    ]
    with pytest.raises(ExecutionFailed, match="boom"):
        result.raise_for_status()


def test_without_the_log_the_error_is_waited_for(server, flow, routes, slept):
    """The server stores it a moment after the end."""
    entries = [as_json([]), as_json([]), as_json([BOOM])]
    routes["GET /api/v1/executions/id1"] = as_json(execution("FAILED", taskRunList=[FAILED_RUN]))
    routes["GET /api/v1/logs/id1"] = lambda _: entries.pop(0)
    result = flow.wait("id1", fetch_log=False)
    assert result.error.endswith("FAILED: boom")
    assert slept[-2:] == [0.5, 0.5]


def test_an_error_that_is_never_logged_is_given_up(server, flow, routes, slept):
    """After two seconds; what the status response says is reported all the same."""
    routes["GET /api/v1/executions/id1"] = as_json(execution("FAILED", taskRunList=[FAILED_RUN]))
    routes["GET /api/v1/logs/id1"] = as_json([])
    assert flow.wait("id1", fetch_log=False).error == "task load ended in the state FAILED"
    assert sum(slept) <= 2.1


@pytest.mark.parametrize("fault", [answer(500), answer(503), answer(200, b"<html>"), reset, close])
def test_an_explanation_that_cannot_be_had_does_not_cost_the_result(server, flow, routes, fault):
    """It is asked for once, without a pause."""
    routes["GET /api/v1/executions/id1"] = as_json(execution("KILLED", taskRunList=[]))
    server.upset("GET /api/v1/logs", fault)
    result = flow.wait("id1", fetch_log=False)
    assert (result.status, result.error) == ("KILLED", None)
    assert len(server.requests) == 2


@pytest.mark.parametrize("more", [{}, {"taskRunList": [FAILED_RUN]}])
def test_a_mock_of_requests_mock_without_error_entries(slept, more):
    """Create, status and log are enough; a status without task runs leads to no other call."""
    with requests_mock.Mocker() as mocker:
        mocker.post(CREATE, json={"id": "id1"})
        mocker.get(STATUS, json=execution("FAILED", **more))
        mocker.get(f"{LOG}/download", text="a log\n")
        result = run(Flow(poll_interval=0))
    assert (result.status, result.log) == ("FAILED", "a log\n")
    assert result.error == ("task load ended in the state FAILED" if more else None)
    assert mocker.call_count == 3 + 2 * bool(more)  # what was logged as ERROR, and the outputs
    assert sum(slept) < 1


@pytest.mark.parametrize("more", [{}, {"taskRunList": [FAILED_RUN]}])
@responses.activate
def test_a_mock_of_responses_without_error_entries(slept, more):
    """The other library, likewise."""
    responses.post(CREATE, json={"id": "id1"})
    responses.get(STATUS, json=execution("FAILED", **more))
    responses.get(f"{LOG}/download", body="a log\n")
    result = run(Flow(poll_interval=0))
    assert (result.status, result.log) == ("FAILED", "a log\n")
    assert len(responses.calls) == 3 + 2 * bool(more)
    assert sum(slept) < 1


def test_an_explanation_that_hangs_is_not_waited_for(server, flow, routes, monkeypatch):
    """The result is there after ten seconds at the latest, whatever `request_timeout` is."""
    monkeypatch.setitem(pages.BRIEFLY, "within", 0.2)
    flow.request_timeout = 60
    routes["GET /api/v1/executions/id1"] = as_json(execution("FAILED", taskRunList=[FAILED_RUN]))
    server.upset("GET /api/v1/logs", hang)
    assert flow.get_execution("id1").error == "task load ended in the state FAILED"


def test_a_replaced_request_function_may_fail_at_the_explanation(slept):
    """A fake that has responses for create, status and log only brings the result."""
    bodies = [{"id": "id1"}, execution("FAILED", taskRunList=[FAILED_RUN]), {}]
    answers = [Mock(status_code=200, json=Mock(return_value=body), text="a log") for body in bodies]
    with patch("requests.request", side_effect=answers):
        result = run(Flow(poll_interval=0))
    assert (result.status, result.log) == ("FAILED", "a log")
    assert result.error == "task load ended in the state FAILED"


def test_nobody_waited_and_the_address_is_there(server, flow):
    """A result that says STARTED says where to find it."""
    flow.wait_for_completion = False
    result = run(flow)
    assert result.url.startswith(f"{server.url}/ui/")
    assert result.url.endswith("/executions/company.team/my_flow/execution0")
    assert result.state is None


# --- wait and get_execution ---


def test_wait_ends_with_the_execution(server, flow, caplog):
    """It polls until the state is terminal, and brings the log."""
    flow.wait_for_completion = False
    started = run(flow)
    server.engine.states = ["RUNNING", "RUNNING", "SUCCESS"]
    result = flow.wait(started.execution_id)
    assert (result.status, result.url) == ("SUCCESS", started.url)
    assert result.log == server.engine.logs[0]


def test_wait_has_a_timeout(server, flow):
    """The error has the id and the state; the execution is killed if that was asked for."""
    flow.wait_for_completion = False
    started = run(flow)
    server.engine.states = ["RUNNING"]
    with pytest.raises(ExecutionTimeout) as caught:
        flow.wait(started.execution_id, timeout=3, kill_on_timeout=True)
    assert (caught.value.execution_id, caught.value.state) == ("execution0", "RUNNING")
    assert server.engine.killed == ["execution0"]


def test_wait_for_nothing_is_not_found(server, flow):
    """The error names the execution."""
    with pytest.raises(NotFound) as caught:
        flow.wait("nope")
    assert caught.value.execution_id == "nope"


@pytest.mark.parametrize(("timeout", "error"), [(-1, ValueError), (float("nan"), ValueError),
                                                ("3", TypeError)])  # fmt: skip
def test_a_bad_timeout_is_refused_before_a_request(server, flow, timeout, error):
    """Nothing is started that nobody could wait for."""
    with pytest.raises(error):
        flow.wait("id1", timeout=timeout)
    with pytest.raises(error):
        run(flow, timeout=timeout)
    assert server.requests == []


def test_a_recorded_execution_is_read(engine):
    """State, task runs and outputs of a task, on either engine, for one request each."""
    execution_id, body = engine("exec_get")
    result = engine.flow.get_execution(execution_id)
    assert (result.execution_id, result.status) == (execution_id, body["state"]["current"])
    assert (result.log, result.error, result.outputs) == (None, None, {})
    assert result.url.endswith(f"/executions/lab/filer/{execution_id}")
    assert result.duration > 0
    assert engine.flow.get_outputs(execution_id, task_id="w")["vars"] == {"a": 1}
    assert engine.flow.get_outputs(execution_id) == {}
    assert len(engine.requests) == 3


def test_a_running_execution_is_seen_as_it_is(server, flow, routes):
    """No log, no error, no duration."""
    routes["GET /api/v1/executions/id1"] = as_json(execution("RUNNING"))
    result = flow.get_execution("id1")
    assert (result.status, result.log, result.error, result.duration) == ("RUNNING", *[None] * 3)


def test_an_answer_without_namespace_has_no_address(server, flow, routes):
    """The address is not made up."""
    routes["GET /api/v1/executions/id1"] = as_json({"state": {"current": "RUNNING"}})
    assert flow.get_execution("id1").url is None


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"id": "id1"}'])
def test_an_execution_that_makes_no_sense_is_an_error(server, flow, body):
    """A page, a list, or an object without a state."""
    server.upset("GET", answer(200, body))
    with pytest.raises(MalformedResponse) as caught:
        flow.get_execution("id1")
    assert caught.value.execution_id == "id1"


@pytest.mark.parametrize(
    "call",
    [
        lambda flow, name: flow.get_execution(name),
        lambda flow, name: flow.wait(name),
        lambda flow, name: flow.get_outputs(name),
        lambda flow, name: flow.get_metrics(name),
        lambda flow, name: flow.iter_logs(name),
        lambda flow, name: flow.download(name, "kestra:///x", "x"),
    ],
)
def test_no_id_leaves_the_path_of_the_api(server, flow, call):
    """An id that cannot be one is refused before a request."""
    with pytest.raises(ValueError, match=r"^execution_id must "):
        call(flow, "../x")
    assert server.requests == []


# --- outputs ---


def test_outputs_of_the_flow(server, flow, routes):
    """Up to 1.x they are part of the execution."""
    routes["GET /api/v1/executions/id1"] = as_json(execution("SUCCESS", outputs={"rows": 3}))
    assert flow.get_outputs("id1") == {"rows": 3}
    assert len(server.requests) == 1


def test_outputs_of_the_flow_on_2_0(server, flow, routes):
    """They have a place of their own, and the first thing that is asked is that."""
    routes["GET /api/v1/executions/id1"] = as_json(execution("SUCCESS", taskRunList=[FAILED_RUN]))
    routes[f"GET {API}/outputs/executions/id1"] = as_json({"rows": 3})
    assert flow.get_outputs("id1") == {"rows": 3}
    assert flow.get_execution("id1").outputs == {"rows": 3}
    assert len(server.requests) == 4


def test_outputs_of_a_task_on_2_0(server, flow, routes):
    """They are asked for by the id of the task run."""
    routes["GET /api/v1/executions/id1"] = as_json(execution("SUCCESS", taskRunList=[FAILED_RUN]))
    routes[f"GET {API}/outputs/tasks/id1/run1"] = as_json({"vars": {"rows": 3}})
    assert flow.get_outputs("id1", task_id="load") == {"vars": {"rows": 3}}


def test_outputs_of_a_task_in_a_loop_of_2_0_are_by_value(server, flow, routes):
    """Each iteration is an execution of its own; where there is no value, the index is it."""
    routes["GET /api/v1/executions/id1"] = as_json(
        execution("SUCCESS", taskRunList=[{"id": "run0", "taskId": "each", "state": {}}])
    )
    children = []
    for index, loop in enumerate([{"value": "a"}, {}, {"value": None}]):
        loop["index"] = index
        run_ = {"id": f"run{index}", "taskId": "inner", "state": {"current": "SUCCESS"}}
        child = {"id": f"child{index}", "parentId": "id1", "kind": "LOOP", "loopRun": loop}
        children.append(child)
        shown = execution("SUCCESS", taskRunList=[run_]) | child
        routes[f"GET /api/v1/executions/child{index}"] = as_json(shown)
        place = f"outputs/tasks/child{index}/run{index}"
        routes[f"GET {API}/{place}"] = as_json({"n": index})
    routes[f"GET {API}/executions/search"] = as_json({"results": children, "total": 3})
    outputs = flow.get_outputs("id1", task_id="inner")
    assert outputs == {"a": {"n": 0}, "1": {"n": 1}, "2": {"n": 2}}
    (search,) = [request for request in server.requests if request.path.endswith("/search")]
    assert search.query["filters[parentId][EQUALS]"] == ["id1"]
    assert search.query["filters[kind][EQUALS]"] == ["LOOP"]


def test_outputs_that_cannot_be_had_do_not_cost_the_result(server, flow, routes, caplog):
    """They are `None`, and the log says why."""
    routes["GET /api/v1/executions/id1"] = as_json(execution("SUCCESS", taskRunList=[FAILED_RUN]))
    routes[f"GET {API}/outputs/executions/id1"] = Reply(403)
    assert flow.get_execution("id1").outputs is None
    assert "The outputs of execution id1 could not be fetched: GET" in caplog.text


@pytest.mark.parametrize("fault", [answer(503), answer(500), reset])
def test_outputs_are_asked_for_again(server, flow, routes, fault):
    """A failure that another attempt makes good does not cost them."""
    routes["GET /api/v1/executions/id1"] = as_json(execution("SUCCESS", taskRunList=[FAILED_RUN]))
    routes[f"GET {API}/outputs/executions/id1"] = as_json({"rows": 3})
    server.upset("GET /api/v1/outputs/", fault)
    assert flow.get_execution("id1").outputs == {"rows": 3}


def test_a_page_of_a_proxy_does_not_say_that_there_are_no_outputs(server, flow, routes, caplog):
    """Only the server itself knows that, and says it in JSON."""
    routes["GET /api/v1/executions/id1"] = as_json(execution("SUCCESS", taskRunList=[FAILED_RUN]))
    routes[f"GET {API}/outputs/executions/id1"] = Reply(
        404, b"<html>", {"Content-Type": "text/html"}
    )
    assert flow.get_execution("id1").outputs is None
    assert "The outputs of execution id1 could not be fetched: GET" in caplog.text
    with pytest.raises(NotFound):
        flow.get_outputs("id1")


def test_no_outputs_anywhere_are_none(server, flow, routes):
    """An execution that has produced nothing is no error."""
    routes["GET /api/v1/executions/id1"] = as_json(execution("SUCCESS", taskRunList=[FAILED_RUN]))
    assert flow.get_outputs("id1") == {}
    assert flow.get_outputs("id1", task_id="load") == {}


def test_outputs_of_a_task_in_a_loop_are_by_value(server, flow, routes):
    """As in a flow; a later run for the same value counts."""
    runs = [
        {"id": str(i), "taskId": "each", "value": value, "outputs": {"n": i}}
        for i, value in enumerate(["a", "b", "a"])
    ]
    routes["GET /api/v1/executions/id1"] = as_json(execution("SUCCESS", taskRunList=runs))
    assert flow.get_outputs("id1", task_id="each") == {"a": {"n": 2}, "b": {"n": 1}}


def test_outputs_of_a_task_that_has_not_run(server, flow, routes):
    """The error says which have."""
    routes["GET /api/v1/executions/id1"] = as_json(execution("SUCCESS", taskRunList=[FAILED_RUN]))
    with pytest.raises(NotFound, match=r"no task 'laod' has run; those that have: load"):
        flow.get_outputs("id1", task_id="laod")


def test_outputs_that_may_not_be_seen_are_an_error(server, flow, routes):
    """If nothing else is asked for, the error says why there are none."""
    routes["GET /api/v1/executions/id1"] = as_json(execution("SUCCESS", taskRunList=[FAILED_RUN]))
    routes["GET /api/v1/outputs/executions/id1"] = Reply(403)
    with pytest.raises(PermissionDenied) as caught:
        flow.get_outputs("id1")
    assert caught.value.execution_id == "id1"


# --- metrics ---


def test_recorded_metrics_are_read(engine):
    """Name, type, value, tags and task."""
    execution_id, _ = engine("metrics")
    (metric,) = engine.flow.get_metrics(execution_id)
    assert (metric.name, metric.type, metric.value) == ("c", "counter", 1.0)
    assert (metric.tags, metric.task) == ({"x": "y"}, "w")


def test_metrics_of_every_page(server, flow, routes):
    """Pages are asked for until all are there."""

    def page(request):
        first = (int(request.query["page"][0]) - 1) * 100
        numbers = range(first, min(first + 100, 250))
        found = [{"name": f"m{n}", "type": "counter", "value": n} for n in numbers]
        return as_json({"results": found, "total": 250})

    routes["GET /api/v1/metrics/id1"] = page
    metrics = flow.get_metrics("id1")
    assert metrics == [Metric(f"m{n}", "counter", float(n), {}) for n in range(250)]
    assert len(server.requests) == 3


@pytest.mark.parametrize("total", [None, 7, 10**9])
def test_metrics_end_where_the_pages_do(server, flow, routes, total):
    """A total that is wrong or missing is no endless loop."""
    routes["GET /api/v1/metrics/id1"] = as_json({"results": [], "total": total})
    assert flow.get_metrics("id1") == []


@pytest.mark.parametrize("body", [b"[]", b"{}", b"<html>"])
def test_metrics_that_make_no_sense_are_an_error(server, flow, body):
    """A list, an object without results, a page."""
    server.upset("GET", answer(200, body))
    with pytest.raises(MalformedResponse):
        flow.get_metrics("id1")


# --- log entries ---


def test_recorded_log_entries_are_read(engine):
    """The level is asked for, and looked at here too."""
    execution_id, _ = engine("logs_json_minlevel")
    entries = list(engine.flow.iter_logs(execution_id, min_level="WARN"))
    assert [(entry.level, entry.message) for entry in entries] == [("ERROR", "to stderr")]
    assert isinstance(entries[0], LogEntry)
    assert engine.requests[-1].query == {"minLevel": ["WARN"]}


@pytest.mark.parametrize(("level", "error"), [("WARNING", ValueError), ("info", ValueError),
                                              ("", ValueError), (30, TypeError)])  # fmt: skip
def test_a_level_that_is_none_is_refused_before_a_request(server, flow, level, error):
    """At once, not when the first entry is read; the error lists the levels."""
    with pytest.raises(error, match="TRACE, DEBUG, INFO, WARN, ERROR"):
        flow.iter_logs("id1", min_level=level)
    assert server.requests == []


def test_log_entries_that_make_no_sense_are_an_error(server, flow):
    """An object is no list of entries."""
    server.upset("GET", answer(200, b"{}"))
    with pytest.raises(MalformedResponse):
        flow.iter_logs("id1")


# --- files ---

URI = "kestra:///lab/f/executions/id1/a b.bin"
FILE = "GET /api/v1/executions/id1/file"
CONTENT = bytes(range(256)) * 10_000


def names(folder):
    return [each.name for each in folder.iterdir()]


@pytest.fixture
def stored(routes):
    """A server that has a file."""
    routes[FILE] = Reply(200, CONTENT, {"Content-Type": "application/octet-stream"})


def test_a_file_is_downloaded(server, flow, stored, tmp_path):
    """Byte by byte, with the permissions of any new file, and nothing beside it."""
    to = tmp_path / "a.bin"
    assert flow.download("id1", URI, str(to)) == to
    assert to.read_bytes() == CONTENT
    assert names(tmp_path) == ["a.bin"]
    assert server.requests[-1].query == {"path": [URI]}
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(to.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_a_download_replaces_the_file_that_is_there(flow, stored, tmp_path):
    """On Windows too, where a plain renaming would be refused."""
    to = tmp_path / "a.bin"
    to.write_text("before")
    assert flow.download("id1", URI, to) == to
    assert to.read_bytes() == CONTENT
    assert names(tmp_path) == ["a.bin"]


def test_a_recorded_file_is_downloaded(engine, tmp_path):
    """As either engine sends it."""
    execution_id, body = engine("file_get_rawpath")
    flow = engine.flow
    assert flow.download(execution_id, URI, tmp_path / "out").read_bytes() == body.encode()


@pytest.mark.parametrize(("case", "error"), [("file_not_found", NotFound),
                                             ("file_not_uri", InvalidInput)])  # fmt: skip
def test_a_recorded_refusal_leaves_nothing_behind(engine, tmp_path, case, error):
    """The error has the server's words; a file that was there stays as it was."""
    execution_id, body = engine(case)
    to = tmp_path / "out"
    to.write_text("before")
    with pytest.raises(error) as caught:
        engine.flow.download(execution_id, URI, to)
    assert caught.value.message == body["message"]
    assert names(tmp_path) == ["out"]
    assert to.read_text() == "before"


def test_a_file_of_another_execution_is_where_the_server_says(engine, tmp_path):
    """The redirect is followed: the response is 404 here, for the execution it leads to."""
    execution_id, _ = engine("file_outside")
    with pytest.raises(NotFound):
        engine.flow.download(execution_id, URI, tmp_path / "out")
    assert any(request.path.endswith("/executions/x/file") for request in engine.requests)
    assert names(tmp_path) == []


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("fault", [truncate, reset, answer(503)])
def test_a_download_that_breaks_off_begins_again(server, flow, tmp_path, slept, fault):
    """The file is whole, once."""
    server.upset(FILE, fault)
    to = flow.download("id1", URI, tmp_path / "out")
    assert to.read_bytes() == CONTENT
    assert slept == [1]


@pytest.mark.usefixtures("stored")
def test_a_download_that_begins_again_says_why(server, flow, tmp_path, caplog):
    """As any other request does, in the log."""
    server.upset(FILE, truncate)
    flow.download("id1", URI, tmp_path / "out")
    (message,) = caplog.messages
    assert re.fullmatch(r"GET /api/v1/executions/id1/file: .*; continuing in 1 s", message)


@pytest.fixture
def impatient(monkeypatch):
    """Downloads have to be fast, so that a slow one is given up soon."""
    monkeypatch.setattr("kestra._http.adapter._SLOWEST", 1_000_000)
    monkeypatch.setattr("kestra._http.adapter._WINDOW", 0.05)


@pytest.mark.usefixtures("stored", "impatient")
@pytest.mark.parametrize(
    ("fault", "error"), [(truncate, ConnectionFailed), (drip_body, RequestTimeout)]
)
def test_a_download_that_never_succeeds_leaves_nothing(server, flow, tmp_path, fault, error):
    """The error is one of the package, and the folder is as it was."""
    server.upset(FILE, *[fault] * 5)
    with pytest.raises(error, match="after 5 attempts") as caught:
        flow.download("id1", URI, tmp_path / "out")
    assert caught.value.execution_id == "id1"
    assert names(tmp_path) == []


def test_an_interrupted_download_leaves_nothing(server, flow, stored, tmp_path):
    """Ctrl-C too."""
    with (
        patch.object(requests.Response, "iter_content", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        flow.download("id1", URI, tmp_path / "out")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("uri", "to", "error"),
    [
        ("out.txt", "out", ValueError),
        ("", "out", ValueError),
        (None, "out", TypeError),
        (URI, "", ValueError),
        (URI, ".", ValueError),
        (URI, None, TypeError),
    ],
)
def test_what_cannot_be_downloaded_is_refused_before_a_request(server, flow, uri, to, error):
    """A URI that is none of the storage, or a target that is no file."""
    with pytest.raises(error):
        flow.download("id1", uri, to)
    assert server.requests == []


def test_a_missing_folder_is_an_error_before_a_request(server, flow, tmp_path):
    """Nothing is downloaded that cannot be stored."""
    with pytest.raises(
        FileNotFoundError, match=r"to must be in a folder that exists: '.*nope.*out'"
    ):
        flow.download("id1", URI, tmp_path / "nope" / "out")
    assert server.requests == []


def test_a_download_with_requests_mock(tmp_path):
    """The mocking libraries see it as any request."""
    with requests_mock.Mocker() as mocker:
        mocker.get(f"{STATUS}/file", content=b"abc")
        assert Flow().download("id1", URI, tmp_path / "out").read_bytes() == b"abc"


@responses.activate
def test_reading_with_responses(tmp_path):
    """Likewise with the other one; execution, metrics and log too."""
    responses.get(STATUS, json=execution("SUCCESS", outputs={"a": 1}))
    responses.get(f"{HOST}/api/v1/metrics/id1", json={"results": [], "total": 0})
    responses.get(LOG, json=[BOOM])
    responses.get(f"{STATUS}/file", body=b"abc")
    flow = Flow()
    assert flow.get_outputs("id1") == {"a": 1}
    assert flow.get_metrics("id1") == []
    assert [entry.message for entry in flow.iter_logs("id1")] == ["boom"]
    assert flow.download("id1", URI, tmp_path / "out").read_bytes() == b"abc"


# --- tenants ---


def test_without_a_tenant_main_is_found_for_every_path(server, flow, routes):
    """Where the paths without a tenant are gone, those of `main` are used from then on."""
    routes["GET /api/v1/main/metrics/id1"] = as_json({"results": [], "total": 0})
    routes["GET /api/v1/main/logs/id1"] = as_json([])
    assert flow.get_metrics("id1") == []
    assert list(flow.iter_logs("id1")) == []
    assert [request.path for request in server.requests] == [
        "/api/v1/metrics/id1",
        "/api/v1/main/metrics/id1",
        "/api/v1/main/executions/id1",
        "/api/v1/main/logs/id1",
    ]


def test_a_server_that_fails_is_an_error_that_names_the_execution(server, flow):
    """Every method of these says which execution it was about."""
    server.upset("GET", *[answer(501)] * 3)
    for call in (flow.get_execution, flow.get_metrics, flow.iter_logs):
        with pytest.raises(ServerError) as caught:
            call("id1")
        assert isinstance(caught.value, KestraError)
        assert caught.value.execution_id == "id1"
