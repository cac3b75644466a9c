"""Acting on executions."""

import io
import json

import pytest
import requests_mock
import responses
from loopback import Loopback, Reply, Routes, answer, as_json, carried_out, close, reset
from rest import exchanges

from kestra import Flow
from kestra.exceptions import (
    APIError,
    Conflict,
    ConnectionFailed,
    InvalidInput,
    MalformedResponse,
    NotFound,
    ServerError,
)

pytestmark = pytest.mark.usefixtures("environment")

API = "/api/v1/executions/id1"
ACTIONS = {
    "kill": lambda flow, of: flow.kill(of),
    "pause": lambda flow, of: flow.pause(of),
    "resume": lambda flow, of: flow.resume(of),
    "restart": lambda flow, of: flow.restart(of),
    "replay": lambda flow, of: flow.replay(of),
    "labels": lambda flow, of: flow.set_labels(of, {"team": "sales"}),
}
each_action = pytest.mark.parametrize("action", ACTIONS)
once_only = pytest.mark.parametrize("action", ["restart", "replay"])


def method_of(action):
    return "DELETE" if action == "kill" else "POST"


@pytest.fixture
def routes(server):
    """What the server responds, by method and path."""
    server.engine = Routes()
    return server.engine.replies


@pytest.fixture
def accepting(routes):
    """A server of 0.21 to 1.x that does everything."""
    for action in ACTIONS:
        routes[f"{method_of(action)} {API}/{action}"] = as_json({"id": "id2"})


# --- where, on every version ---


@each_action
@pytest.mark.parametrize("place", ["", "/actions"])
def test_every_action_is_found_on_every_version(server, flow, routes, action, place):
    """From 2.0 on the paths are others; which, is remembered."""
    path = f"{API}{place}/{action}"
    routes[f"{method_of(action)} {path}"] = as_json({"id": "id2"})
    ACTIONS[action](flow, "id1")
    assert server.requests[-1].path == path
    before = len(server.requests)
    ACTIONS[action](flow, "id1")
    assert [request.path for request in server.requests[before:]] == [path]


@each_action
def test_what_is_nowhere_is_not_found(server, flow, routes, action):
    """The error names the execution."""
    with pytest.raises(NotFound) as caught:
        ACTIONS[action](flow, "nope")
    assert caught.value.execution_id == "nope"


@each_action
def test_a_method_that_is_not_allowed_leads_to_the_other_path(server, flow, routes, action):
    """405 says as much as 404."""
    routes[f"{method_of(action)} {API}/{action}"] = Reply(405)
    routes[f"{method_of(action)} {API}/actions/{action}"] = as_json({"id": "id2"})
    ACTIONS[action](flow, "id1")
    assert len(server.requests) == 2


@each_action
def test_a_refusal_of_the_newest_servers_is_in_their_words(server, flow, routes, action):
    """409 is what is not possible now."""
    refusal = as_json({"message": "Illegal state: not now"}, 409)
    routes[f"{method_of(action)} {API}/actions/{action}"] = refusal
    with pytest.raises(Conflict) as caught:
        ACTIONS[action](flow, "id1")
    assert caught.value.message == "Illegal state: not now"


@each_action
def test_no_id_leaves_the_path_of_the_api(server, flow, action):
    """An id that cannot be one is refused before a request."""
    with pytest.raises(ValueError, match=r"^execution_id must "):
        ACTIONS[action](flow, "../x")
    assert server.requests == []


# --- as recorded ---


def replayed(case, call):
    """Carry out a call against what each engine answered, and yield what came of it."""
    for engine, request, response in exchanges(case):
        path = request["path"].partition("?")[0]
        body, status = response["body"], response["status"]
        reply = as_json(body, status) if body else Reply(status)
        configs = as_json({"version": f"{engine}.0", "edition": "OSS"})
        routes = {f"{request['method']} {path}": reply, "GET /api/v1/configs": configs}
        with Loopback(Routes(routes)) as server:
            tenant = None if engine == "0.21" else "main"
            execution_id = path.partition("executions/")[2].partition("/")[0]
            with Flow(hostname=server.url, tenant=tenant) as flow:
                try:
                    outcome = call(flow, execution_id)
                except APIError as error:
                    outcome = error
            yield outcome, server.requests, request, body


@pytest.mark.parametrize("case", ["kill_running", "kill_finished"])
def test_a_recorded_kill(case):
    """202 without a body, also where it has ended."""
    for outcome, sent, request, _ in replayed(case, lambda flow, of: flow.kill(of)):
        assert outcome is None
        assert sent[-1].target == request["path"]


def test_a_recorded_resume_with_inputs():
    """They arrive as those of an execution do; 204 is enough."""
    call = lambda flow, of: flow.resume(of, {"reason": "ok é"})  # noqa: E731
    for outcome, sent, request, _ in replayed("resume_ok", call):
        assert outcome is None
        assert sent[-1].target == request["path"]
        assert sent[-1].parts[0] == {"reason": "ok é".encode()}


@pytest.mark.parametrize(
    ("case", "call", "error"),
    [
        ("kill_unknown", lambda flow, of: flow.kill(of), NotFound),
        ("pause_finished", lambda flow, of: flow.pause(of), InvalidInput),
        ("resume_again", lambda flow, of: flow.resume(of, {"reason": "x"}), Conflict),
        ("resume_nobody", lambda flow, of: flow.resume(of), InvalidInput),
        ("resume_unknown", lambda flow, of: flow.resume(of), NotFound),
        ("restart_unknown", lambda flow, of: flow.restart(of), NotFound),
        ("replay_bad_taskrun", lambda flow, of: flow.replay(of, task_run_id="z"), InvalidInput),
        ("labels_set_running", lambda flow, of: flow.set_labels(of, {"a": 1}), InvalidInput),
    ],
)
def test_a_recorded_refusal_is_in_the_servers_words(case, call, error):
    """What is not possible now is an error that says why."""
    for outcome, _, _, body in replayed(case, call):
        assert isinstance(outcome, error)
        assert outcome.message == (body if isinstance(body, str) else body["message"])
        assert outcome.execution_id


def test_a_recorded_replay_returns_the_new_id():
    """It is another execution."""
    for outcome, sent, _, body in replayed("replay_success", lambda flow, of: flow.replay(of)):
        assert outcome == body["id"]
        assert outcome not in sent[-1].path


@pytest.mark.parametrize(("case", "revision"), [("restart_failed", None), ("restart_rev", 1)])
def test_a_recorded_restart_returns_the_id_of_what_runs(case, revision):
    """The same without a revision, a new one with one."""
    for outcome, sent, request, body in replayed(
        case, lambda flow, of: flow.restart(of, revision=revision)
    ):
        assert outcome == body["id"]
        assert (outcome in sent[-1].path) is (revision is None)
        assert sent[-1].target == request["path"]


def test_recorded_labels_are_sent_as_pairs():
    """As the engines take them."""
    call = lambda flow, of: flow.set_labels(of, {"a": 1, "é": "日"})  # noqa: E731
    for outcome, sent, request, _ in replayed("labels_set", call):
        assert outcome is None
        assert json.loads(sent[-1].body) == json.loads(request["body"])


# --- arguments ---


def test_where_a_replay_begins(server, flow, accepting):
    """The task run and the revision are part of the query."""
    assert flow.replay("id1", task_run_id="run1", revision=3) == "id2"
    assert server.requests[-1].query == {"revision": ["3"], "taskRunId": ["run1"]}


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda flow: flow.replay("id1", revision="3"), TypeError),
        (lambda flow: flow.replay("id1", revision=0), ValueError),
        (lambda flow: flow.replay("id1", task_run_id=""), ValueError),
        (lambda flow: flow.replay("id1", task_run_id=7), TypeError),
        (lambda flow: flow.restart("id1", revision=True), TypeError),
        (lambda flow: flow.resume("id1", ["a"]), TypeError),
        (lambda flow: flow.set_labels("id1", ["a"]), TypeError),
        (lambda flow: flow.set_labels("id1", {"a b": "c"}), ValueError),
        (lambda flow: flow.set_labels("id1", {"system.x": "c"}), ValueError),
        (lambda flow: flow.set_labels("id1", {"a": ""}), ValueError),
    ],
)
def test_bad_arguments_are_refused_before_a_request(server, flow, call, error):
    """The server would ignore them, or refuse them in other words."""
    with pytest.raises(error):
        call(flow)
    assert server.requests == []


def test_files_arrive_whole_where_the_first_path_was_the_wrong_one(server, flow, routes):
    """An open file is read again from where it was."""
    routes[f"POST {API}/resume"] = Reply(200)
    file = io.BytesIO(b"skipped, sent")
    file.seek(9)
    flow.resume("id1", {"f": file})
    assert server.requests[-1].parts[0] == {"f": b"sent"}


def test_a_pipe_is_not_sent_to_the_other_path(server, flow, routes):
    """What cannot be read again would arrive empty."""

    class Pipe(io.BytesIO):
        def seek(self, *_):
            raise OSError

    routes[f"POST {API}/resume"] = Reply(200)
    with pytest.raises(NotFound):
        flow.resume("id1", {"f": Pipe(b"sent")})
    assert server.count(f"{API}/resume") == 0


# --- once ---


@pytest.mark.usefixtures("accepting")
@once_only
@pytest.mark.parametrize("fault", [answer(503), answer(500), answer(429)])
def test_what_would_start_two_is_not_repeated(server, flow, slept, action, fault):
    """A status that may come after the deed is an error, at once."""
    server.upset("POST", fault)
    with pytest.raises(APIError, match="may have been carried out"):
        ACTIONS[action](flow, "id1")
    assert server.count("POST") == 1
    assert slept == []


@once_only
@pytest.mark.parametrize("fault", [carried_out(close), carried_out(reset)])
def test_a_lost_answer_is_an_error_that_says_so(server, flow, accepting, action, fault):
    """The execution may exist."""
    server.upset("POST", fault)
    with pytest.raises(ConnectionFailed, match="may have been carried out") as caught:
        ACTIONS[action](flow, "id1")
    assert server.count("POST") == 1
    assert caught.value.execution_id == "id1"


@pytest.mark.parametrize("action", ["kill", "pause", "resume", "labels"])
def test_what_does_no_harm_twice_is_repeated(server, flow, accepting, slept, action):
    """A server that is restarting is waited for."""
    server.upset(method_of(action), answer(503))
    ACTIONS[action](flow, "id1")
    assert slept == [1]


@pytest.fixture(params=[("2.0.0", "/actions", 409), ("1.3.31", "", 409), ("1.3.31", "", 422)])
def refusing(request, routes):
    """A server that refuses to pause and to resume, as one that has done so already."""
    version, place, status = request.param
    routes["GET /api/v1/configs"] = as_json({"version": version})
    for action in ("pause", "resume"):
        routes[f"POST {API}{place}/{action}"] = as_json({"message": "not now"}, status)
    return routes


@pytest.mark.parametrize(
    ("action", "state"),
    [("pause", "PAUSED"), ("resume", "RESTARTED"), ("resume", "SUCCESS")],
)
def test_a_refusal_after_a_504_may_mean_that_it_was_done(server, flow, refusing, action, state):
    """The state of the execution tells."""
    server.upset("POST", answer(504))
    refusing[f"GET {API}"] = as_json({"id": "id1", "state": {"current": state}})
    ACTIONS[action](flow, "id1")
    assert server.count("POST") == 2


@pytest.mark.parametrize(("action", "state"), [("pause", "RUNNING"), ("resume", "PAUSED")])
def test_a_refusal_after_a_504_is_one_in_another_state(server, flow, refusing, action, state):
    """Nothing was done."""
    server.upset("POST", answer(504))
    refusing[f"GET {API}"] = as_json({"id": "id1", "state": {"current": state}})
    with pytest.raises((Conflict, InvalidInput), match="not now"):
        ACTIONS[action](flow, "id1")
    assert server.count("POST") == 2


def test_a_refusal_at_once_is_one(server, flow, refusing):
    """Nobody has asked for it before, whatever the state."""
    refusing[f"GET {API}"] = as_json({"id": "id1", "state": {"current": "PAUSED"}})
    with pytest.raises((Conflict, InvalidInput), match="not now"):
        flow.pause("id1")
    assert server.count(f"GET {API}") == 0


def test_an_answer_to_a_replay_without_an_id_is_an_error(server, flow, routes):
    """There is nothing to return."""
    routes[f"POST {API}/replay"] = as_json({})
    with pytest.raises(MalformedResponse) as caught:
        flow.replay("id1")
    assert caught.value.execution_id == "id1"


def test_an_answer_to_a_restart_without_an_id(server, flow, routes):
    """It is the same execution, but with a revision."""
    routes[f"POST {API}/restart"] = Reply(204)
    assert flow.restart("id1") == "id1"
    with pytest.raises(MalformedResponse):
        flow.restart("id1", revision=2)


def test_a_server_error_is_one(server, flow, accepting):
    """Its words are kept."""
    server.upset("POST", answer(501, b'{"message": "no such thing"}'))
    with pytest.raises(ServerError) as caught:
        flow.pause("id1")
    assert caught.value.message == "no such thing"


# --- mocking libraries ---


def test_actions_with_requests_mock():
    """A mock needs to know nothing but the action, at either place."""
    url = f"http://localhost:8080{API}"
    with requests_mock.Mocker() as mocker:
        for action, act in ACTIONS.items():
            mocker.register_uri(method_of(action), f"{url}/{action}", json={"id": "id2"})
            act(Flow(), "id1")
            assert mocker.last_request.path == f"{API}/{action}"


@responses.activate
def test_actions_with_responses():
    """A mock of `responses` too needs to know nothing but the action."""
    url = f"http://localhost:8080{API}"
    for action, act in ACTIONS.items():
        responses.add(method_of(action), f"{url}/{action}", json={"id": "id2"})
        act(Flow(), "id1")
        assert responses.calls[-1].request.url == f"{url}/{action}"
