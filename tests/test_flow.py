"""`Flow`: starting executions and waiting for them."""

import copy
import io
import json
import logging
import math
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from functools import partial
from types import SimpleNamespace
from unittest.mock import Mock, call, patch
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import requests_mock
import responses
import urllib3
from loopback import (
    Engine,
    Loopback,
    Reply,
    answer,
    as_json,
    carried_out,
    close,
    drip,
    drip_body,
    fine,
    garbage,
    hang,
    reset,
    truncate,
)
from rest import exchanges

import kestra._rules.log
import kestra._rules.waiting
from kestra import Flow, FlowExecution
from kestra._api.models import CORRELATION
from kestra.exceptions import (
    AuthenticationError,
    Conflict,
    ConnectionFailed,
    ExecutionTimeout,
    FailedExponentialBackoff,
    KestraError,
    MalformedResponse,
    NotFound,
    RequestTimeout,
    ServerError,
)

HOST = "http://localhost:8080"
CREATE = f"{HOST}/api/v1/executions/company.team/my_flow"
STATUS = f"{HOST}/api/v1/executions/id1"
LOG = f"{HOST}/api/v1/logs/id1/download"


pytestmark = pytest.mark.usefixtures("environment")


def run(flow, *args, **kwargs):
    return flow.execute("company.team", "my_flow", *args, **kwargs)


def state(current):
    return {"id": "id1", "state": {"current": current}}


# --- as published: mocks of users keep working ---


@pytest.fixture
def mocked():
    """What a user's test registers: create, status and log, and nothing else."""
    with requests_mock.Mocker() as mocker:
        mocker.post(CREATE, json={"id": "id1"})
        mocker.get(STATUS, json=state("SUCCESS"))
        mocker.get(LOG, text="a log\n")
        yield mocker


def methods(mocker):
    return Counter(request.method for request in mocker.request_history)


def test_an_execution_with_requests_mock(mocked):
    """Create, look, download: three requests with `poll_interval=0`."""
    result = run(Flow(poll_interval=0), {"a": 1})
    assert result == FlowExecution("id1", "SUCCESS", "a log\n", None)
    assert methods(mocked) == {"POST": 1, "GET": 2}


@responses.activate
def test_an_execution_with_responses():
    """The other mocking library works the same way."""
    responses.post(CREATE, json={"id": "id1"})
    responses.get(STATUS, json=state("WARNING"))
    responses.get(LOG, body="a log\n")
    assert run(Flow(poll_interval=0)) == FlowExecution("id1", "WARNING", "a log\n", None)
    assert len(responses.calls) == 3


def test_a_failing_post_is_repeated_with_requests_mock(mocked, slept):
    """500, then 200: two POSTs and one pause, though the mock knows no search."""
    mocked.post(CREATE, [{"status_code": 500}, {"json": {"id": "id1"}}])
    assert run(Flow(poll_interval=0)).status == "SUCCESS"
    assert methods(mocked)["POST"] == 2
    assert slept[0] == 1


@responses.activate
def test_a_failing_post_is_repeated_with_responses(slept):
    """500, then 200: two POSTs with the other library too."""
    responses.post(CREATE, status=500)
    responses.post(CREATE, json={"id": "id1"})
    assert run(Flow(wait_for_completion=False)).execution_id == "id1"
    assert [each.request.method for each in responses.calls].count("POST") == 2
    assert slept == [1]


def test_five_failing_posts_are_the_end_with_requests_mock(mocked):
    """Five 500s: five POSTs, five pauses, and the published error."""
    mocked.post(CREATE, status_code=500)
    with patch("time.sleep") as sleep, pytest.raises(FailedExponentialBackoff):
        run(Flow(poll_interval=0), {"a": 1})
    assert methods(mocked)["POST"] == 5
    assert sleep.mock_calls == [call(1), call(2), call(4), call(8), call(16)]


@responses.activate
def test_five_failing_posts_are_the_end_with_responses():
    """The same with the other library, and `kestra.time` patched."""
    responses.post(CREATE, status=503)
    with patch("kestra.time.sleep") as sleep, pytest.raises(FailedExponentialBackoff):
        run(Flow(poll_interval=0))
    assert [each.request.method for each in responses.calls].count("POST") == 5
    assert sleep.mock_calls == [call(1), call(2), call(4), call(8), call(16)]


def test_a_mock_that_insists_on_the_published_query_gets_it():
    """requests_mock with a complete query: the POST is repeated without our label."""
    with requests_mock.Mocker() as strict:
        strict.post(CREATE + "?labels=a:1", json={"id": "id1"}, complete_qs=True)
        result = run(Flow(wait_for_completion=False, labels_from_inputs=True), {"a": 1})
        assert result.execution_id == "id1"
        assert parse_qs(strict.request_history[0].query)["labels"][0].startswith(
            CORRELATION.lower()
        )
        assert strict.last_request.qs == {"labels": ["a:1"]}


def test_a_pipe_is_not_sent_again_for_a_mock():
    """What the mock refused used up the file."""

    class Once(io.BytesIO):
        def seekable(self):
            return False

        def tell(self):
            raise io.UnsupportedOperation

    with requests_mock.Mocker() as mocker, pytest.raises(requests_mock.NoMockAddress):
        run(Flow(), {"f": Once(b"x")})
    assert len(mocker.request_history) == 1


@responses.activate
def test_a_mock_of_responses_that_insists_on_the_published_query_gets_it():
    """responses with a query in the URL: likewise."""
    responses.post(CREATE + "?labels=a:1", json={"id": "id1"})
    result = run(Flow(wait_for_completion=False, labels_from_inputs=True), {"a": 1})
    assert result.execution_id == "id1"
    assert len(responses.calls) == 2


def test_a_mock_that_knows_nothing_raises_its_own_error():
    """The mocking library's error reaches the test."""
    with requests_mock.Mocker(), pytest.raises(requests_mock.NoMockAddress):
        run(Flow())
    with responses.RequestsMock(), pytest.raises(requests.ConnectionError, match="by Responses"):
        run(Flow())


@pytest.mark.parametrize("error", [requests.ConnectTimeout, requests.ReadTimeout])
def test_a_mock_may_raise_what_the_network_raises(mocked, slept, error):
    """A timeout that a test raises is followed by a pause and another POST."""
    mocked.post(CREATE, [{"exc": error}, {"json": {"id": "id1"}}])
    assert run(Flow(poll_interval=0)).status == "SUCCESS"
    assert methods(mocked)["POST"] == 2
    assert slept[0] == 1


def test_a_mock_may_raise_while_reading(mocked, slept):
    """A status and a log that fail once are read again."""
    mocked.get(STATUS, [{"exc": requests.ConnectionError}, {"json": state("SUCCESS")}])
    mocked.get(LOG, [{"exc": requests.ReadTimeout}, {"text": "a log"}])
    assert run(Flow(poll_interval=0)) == FlowExecution("id1", "SUCCESS", "a log", None)


@pytest.mark.parametrize("target", ["kestra.requests.request", "requests.request"])
def test_a_replaced_request_function_is_what_gets_called(slept, target):
    """It gets what it has always been given, and no search comes in between."""
    with patch(target) as request:
        request.side_effect = [
            Mock(status_code=500),
            Mock(status_code=200, json=lambda: {"id": "id1"}),
            SimpleNamespace(
                status_code=200, json=lambda: state("SUCCESS"), raise_for_status=Mock()
            ),
            Mock(text="a log"),
        ]
        flow = Flow(idempotent=False, poll_interval=0)
        flow.api_token = "t0ken"
        result = run(flow, {"a": 1, "f": ("f", io.BytesIO(b"x"))})
    assert result == FlowExecution("id1", "SUCCESS", "a log", None)
    headers = {"Authorization": "Bearer t0ken"}
    assert request.mock_calls[2:] == [
        call("get", STATUS, headers=headers),
        call("get", LOG, headers=headers),
    ]
    (method, url), sent = request.call_args_list[1]
    assert (method, url, sent["headers"]) == ("post", CREATE, headers)
    assert sent["files"]["a"] == (None, "1")
    assert sent["files"]["f"][1].read() == b"x"


def test_a_replaced_request_function_gets_user_and_password_as_a_pair():
    """Basic credentials go as `auth`."""
    with patch("requests.request") as request:
        request.return_value = Mock(status_code=200, json=lambda: {"id": "id1"})
        run(Flow(wait_for_completion=False, idempotent=False, user="u", password="p"))
    assert request.call_args_list == [call("post", CREATE, auth=("u", "p"))]


def test_a_replaced_request_function_decides_by_its_status():
    """Its answers are judged like the server's, and once only."""
    with patch("requests.request") as request:
        request.return_value = Mock(status_code=404, text='{"message": "no such flow"}')
        with pytest.raises(NotFound, match="no such flow"):
            run(Flow())
        assert request.call_count == 1
        request.return_value = Mock(status_code="?")
        request.return_value.raise_for_status.side_effect = requests.HTTPError("own")
        with pytest.raises(requests.HTTPError, match="own"):
            run(Flow())


class Replaced(Flow):
    """What users override: each fake offers only what `execute` has always read."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.calls = []

    def _make_request(self, method, url, **kwargs):
        self.calls.append((method, url, kwargs))
        return SimpleNamespace(json=lambda: {"id": "id1"})

    def check_status(self, execution_id):
        return SimpleNamespace(json=lambda: state("FAILED"))

    def get_logs(self, execution_id):
        return SimpleNamespace(text=f"log of {execution_id}")


def test_execute_goes_through_overridden_methods():
    """Only `json` and `text` are read of what they return."""
    flow = Replaced(poll_interval=0, idempotent=False)
    assert run(flow, {"a": 1}) == FlowExecution("id1", "FAILED", "log of id1", None)
    run(flow)
    assert flow.calls == [("post", CREATE, {"files": {"a": (None, "1")}}), ("post", CREATE, {})]


@pytest.mark.parametrize("of_class", [True, False])
def test_execute_goes_through_patched_methods(monkeypatch, of_class):
    """A test may put others in the place of the three, on the class or on one object."""
    flow = Flow(poll_interval=0)
    for name, fake in {
        "_make_request": lambda *_, **__: SimpleNamespace(json=lambda: {"id": "id1"}),
        "check_status": lambda *_: SimpleNamespace(json=lambda: state("FAILED")),
        "get_logs": lambda *_: SimpleNamespace(text="a log"),
    }.items():
        monkeypatch.setattr(Flow if of_class else flow, name, fake)
    assert run(flow) == FlowExecution("id1", "FAILED", "a log", None)


def test_an_overridden_request_may_call_the_original(mocked):
    """A subclass that adds something keeps what it wraps."""

    class Traced(Flow):
        seen = ()

        def _make_request(self, method, url, **kwargs):
            self.seen += (method,)
            return super()._make_request(method, url, headers={"X-Trace": "1"}, **kwargs)

    flow = Traced(poll_interval=0)
    assert run(flow).status == "SUCCESS"
    assert flow.seen == ("post", "get", "get")
    assert mocked.last_request.headers["X-Trace"] == "1"


def test_keywords_of_a_request_go_to_requests(mocked):
    """`_make_request` passes on what it is given."""
    mocked.get(f"{HOST}/api/v1/flows/search", json=[])
    Flow()._make_request("get", f"{HOST}/api/v1/flows/search", params={"q": "x"}, timeout=3)
    assert mocked.last_request.qs == {"q": ["x"]}
    assert mocked.last_request.timeout == 3


@pytest.mark.parametrize(("module", "name"), [("kestra", "time"), ("kestra", "requests")])
def test_modules_that_tests_patch_are_there(module, name):
    """`kestra.time` and `kestra.requests` are the modules of these names."""
    assert getattr(sys.modules[module], name) is sys.modules[name]


def test_attributes_are_read_late(mocked):
    """What is assigned after construction counts."""
    flow = Flow()
    flow.hostname = "http://elsewhere"
    flow.user, flow.password = "u", "p"
    flow.wait_for_completion = False
    flow.labels_from_inputs = True
    flow.API_ENDPOINT_EXECUTION_CREATE = "/own/{namespace}/executions/{flow_id}"
    mocked.post("http://elsewhere/own/company.team/executions/my_flow", json={"id": "id2"})
    assert run(flow, {"a": 1}) == FlowExecution("id2", "STARTED", None, None)
    assert mocked.last_request.headers["Authorization"].startswith("Basic ")
    assert "a:1" in parse_qs(mocked.last_request.query)["labels"]


def test_flow_pickles_and_copies(mocked):
    """A copy works by itself, connections stay behind."""
    flow = Flow(poll_interval=0, tenant=None, api_token="t0ken")
    run(flow)
    for again in (pickle.loads(pickle.dumps(flow)), copy.deepcopy(flow), copy.copy(flow)):
        assert run(again).status == "SUCCESS"
        assert again.api_token == "t0ken"


def test_the_result_is_a_slotted_dataclass():
    """`FlowExecution(execution_id, status, log, error)`."""
    result = FlowExecution("i", "s", "l", "e")
    assert (result.execution_id, result.status, result.log, result.error) == ("i", "s", "l", "e")
    assert not hasattr(result, "__dict__")
    assert result == FlowExecution("i", "s", "l", "e")


# --- where and who ---


def test_the_environment_says_where_and_who(monkeypatch, server):
    """`KESTRA_HOSTNAME`, `KESTRA_USER` and `KESTRA_PASSWORD` are read."""
    monkeypatch.setenv("KESTRA_HOSTNAME", server.url)
    monkeypatch.setenv("KESTRA_USER", "u")
    monkeypatch.setenv("KESTRA_PASSWORD", "€")
    with Flow(poll_interval=0) as flow:
        assert run(flow).status == "SUCCESS"
    assert server.requests[0].headers["authorization"] == "Basic dTrigqw="


def test_the_token_goes_before_user_and_password(monkeypatch, server):
    """`KESTRA_API_TOKEN` wins."""
    monkeypatch.setenv("KESTRA_API_TOKEN", "t0ken")
    with Flow(hostname=server.url, user="u", password="p", wait_for_completion=False) as flow:
        run(flow)
    assert server.requests[0].headers["authorization"] == "Bearer t0ken"


def test_user_and_password_of_the_hostname_are_sent_and_never_shown(server, caplog):
    """They are credentials, and not part of any URL that is shown."""
    caplog.set_level(logging.DEBUG)
    hostname = server.url.replace("//", "//us%40r:t0psecret@")
    with Flow(hostname=hostname, poll_interval=0) as flow:
        run(flow)
        server.upset("POST", answer(403))
        with pytest.raises(KestraError) as caught:
            run(flow)
        assert server.requests[0].headers["authorization"] == "Basic dXNAcjp0MHBzZWNyZXQ="
        shown = caplog.text + repr(flow) + repr(caught.value)
        assert "t0psecret" not in shown
        flow._make_request("get", f"{hostname}/api/v1/executions/search?labels=a:b")
    assert server.requests[-1].headers["authorization"] == "Basic dXNAcjp0MHBzZWNyZXQ="


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"user": "u"}, "^password: "),
        ({"password": "secret"}, "^user: "),
        ({"api_token": "secret\n"}, r"^api_token: "),
        ({"hostname": "localhost:8080"}, "^hostname must "),
        ({"request_timeout": 0}, r"^request_timeout must "),
        ({"request_timeout": math.inf}, r"^request_timeout must "),
        ({"request_timeout": (1, 0)}, r"^request_timeout must "),
    ],
)
def test_what_cannot_work_is_refused_before_a_request(mocked, arguments, message):
    """The error names the argument, and shows no secret."""
    with pytest.raises(ValueError, match=message) as caught:
        run(Flow(**arguments))
    assert "secret" not in str(caught.value)
    assert mocked.request_history == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("request_timeout", None),
        ("request_timeout", "10"),
        ("request_timeout", (1, None)),
        ("request_timeout", (1, 2, 3)),
        ("request_timeout", True),
        ("poll_interval", None),
        ("log_settle", None),
    ],
)
def test_a_time_that_is_none_is_refused_before_a_request(mocked, name, value):
    """The error names the argument, not what Python does with it later."""
    with pytest.raises(TypeError, match=f"^{name} must be a number of seconds"):
        run(Flow(**{name: value}))
    assert mocked.request_history == []


def chain(error):
    """Return what an exception and those behind it show."""
    shown = ""
    while error is not None:
        shown += f"{error} {error!r} {vars(error)}"
        error = error.__cause__ or error.__context__
    return shown


RAW = "http://user:s3cr3t/x@127.0.0.1:1"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"hostname": RAW}, ValueError, "^hostname must have .* encoded"),
        ({"hostname": RAW + "00000"}, ValueError, "^hostname must have .* encoded"),
        ({"hostname": "http://user:s3cr3t?@h"}, ValueError, "^hostname must "),
        ({"hostname": "http://u:s3cr3t@h:80800"}, ValueError, "^hostname must .* port .*'h:80800'"),
        ({"hostname": "http://h:s"}, ValueError, "^hostname must .* port"),
        ({"user": "u", "password": "s3cr3t\ud800"}, ValueError, "^password: it has a lone surr"),
        ({"hostname": "http://*b"}, requests.exceptions.InvalidURL, "URL has an invalid label;"),
        ({"proxies": {"http": RAW}}, requests.exceptions.InvalidURL, "check the .* proxies"),
        ({"proxies": {"http": "socks9://u:s3cr3t@h"}}, ValueError, "SOCKS version .* proxies"),
    ],
)
def test_no_argument_that_is_refused_shows_a_secret(slept, arguments, error, message):
    """Neither the exception nor what is behind it, nor the `repr` of the client."""
    with Flow(**{"hostname": "http://127.0.0.1:1", "labels_from_inputs": True} | arguments) as flow:
        with pytest.raises(error, match=message) as caught:
            flow.execute("company.team", "my_flow", {"day": "s3cr3t"})
        assert "s3cr3t" not in chain(caught.value) + repr(flow)
    assert not getattr(caught.value, "__notes__", None)


@pytest.mark.parametrize("name", ["X-Secret", "X\nSecret", "", 7])
@pytest.mark.parametrize("value", ["s3cr3t\n", " s3cr3t", "s3cr3t€", b"s3cr3t\x00", ["s3cr3t"]])
def test_a_header_that_cannot_be_sent_is_refused_unseen(server, name, value):
    """At construction, and where it is assigned later before a request; the error names it."""
    headers = {name: value}
    with pytest.raises((TypeError, ValueError), match=r"^headers") as caught:
        Flow(headers=headers)
    assert repr(name) in str(caught.value)
    assert "s3cr3t" not in chain(caught.value)
    flow = Flow(hostname=server.url)
    flow.headers = headers
    with pytest.raises((TypeError, ValueError), match=r"^headers"):
        run(flow)
    assert not server.requests


def test_headers_that_can_be_sent_are():
    """Text of Latin-1, bytes, nothing at all; `None` leaves a header out."""
    headers = {"X-A": "a \xa3\tb", "X-B": b"\xff", "X-C": "", "X-D": None}
    with Flow(headers=headers) as flow, requests_mock.Mocker() as mocker:
        mocker.get(STATUS)
        flow.check_status("id1")
    sent = mocker.last_request.headers
    assert [sent.get(name) for name in headers] == [*headers.values()]


def test_a_password_outside_latin_1_is_sent(server, monkeypatch):
    """Also by `requests` itself, where it is wrapped; 2.0.0 showed it in an error."""
    original = requests.request
    for request in (original, partial(original)):
        monkeypatch.setattr(requests, "request", request)
        with Flow(hostname=server.url, user="u", password="s3cr€t", poll_interval=0) as flow:
            run(flow)
    assert {each.headers["authorization"] for each in server.requests} == {"Basic dTpzM2Ny4oKsdA=="}


@pytest.mark.parametrize("ending", ["", "/"])
@pytest.mark.parametrize("path", ["", "/kestra"])
def test_a_hostname_may_have_a_path_and_a_slash(server, ending, path):
    """The server's address is taken as people write it."""
    server.engine.root = f"{path}/api/v1"
    with Flow(hostname=server.url + path + ending, poll_interval=0) as flow:
        assert run(flow).status == "SUCCESS"


@pytest.mark.parametrize("name", ["..", "../..", "a/../b", "", "."])
def test_no_name_leaves_the_path_of_the_api(mocked, name):
    """Namespace, flow and id are refused if they would; nothing is sent."""
    flow = Flow()
    for attempt in (
        lambda: flow.execute(name, "f"),
        lambda: flow.execute("n", name),
        lambda: flow.check_status(name),
        lambda: flow.get_logs(name),
    ):
        with pytest.raises(ValueError, match=r"^(namespace|flow|execution_id) must "):
            attempt()
    assert mocked.request_history == []


def test_names_are_quoted(server):
    """Odd characters in names stay in their segment."""
    with Flow(hostname=server.url, wait_for_completion=False) as flow:
        flow.execute("a b", "c?d#e", revision=2)
    assert server.requests[0].path == "/api/v1/executions/a%20b/c%3Fd%23e"
    assert server.requests[0].query["revision"] == ["2"]


def test_a_tenant_is_part_of_every_path(server, monkeypatch):
    """By argument or by `KESTRA_TENANT`."""
    server.engine.root = "/api/v1/acme"
    with Flow(tenant="acme", hostname=server.url, poll_interval=0) as flow:
        assert run(flow).status == "SUCCESS"
    monkeypatch.setenv("KESTRA_TENANT", "acme")
    with Flow(hostname=server.url, poll_interval=0) as flow:
        assert run(flow).status == "SUCCESS"
    assert {each.path.split("/")[3] for each in server.requests} == {"acme"}


def test_without_a_tenant_main_is_tried_and_remembered(server, flow):
    """A server that knows no path without a tenant is met once with one."""
    server.engine.root = "/api/v1/main"
    assert run(flow).status == "SUCCESS"
    assert run(flow).status == "SUCCESS"
    paths = [each.path for each in server.requests]
    assert [path.startswith("/api/v1/main/") for path in paths].count(False) == 1


def test_another_server_may_do_without_main(server, flow):
    """What one server needs is not said to the next one."""
    server.engine.root = "/api/v1/main"
    assert run(flow).status == "SUCCESS"
    with Loopback(Engine("0.21")) as other:
        flow.hostname = other.url
        assert run(flow).status == "SUCCESS"
        assert not any("/main/" in each.path for each in other.requests)


def test_an_execution_that_disappeared_is_not_created_under_main_too(server, flow):
    """The server that says so has created it: it was the right place."""
    server.upset("POST", answer(404, b'{"message": "Execution disappeared after create: id1"}'))
    server.engine.searchable = False
    with pytest.raises(NotFound, match=r"disappeared after create: id1.*The execution may exist"):
        run(flow)
    assert server.count("POST") == 1


def test_an_execution_that_disappeared_is_searched_for_until_it_shows(server, flow):
    """A search that lags behind proves as little as one after a response that was lost."""
    gone = b'{"message": "Execution disappeared after create: execution0"}'
    server.upset("POST", carried_out(answer(404, gone)))
    server.upset("/search", *[answer(200, b'{"results": [], "total": 0}')] * 2)
    assert run(flow).execution_id == "execution0"
    assert server.count("POST") == 1


@pytest.mark.parametrize("error", [requests.ConnectionError("boom"), ValueError("boom")])
def test_a_mock_with_a_single_error_raises_that(slept, error):
    """As with 2.0.0: that it has nothing for another attempt is not what the test is about."""
    with patch("requests.request", side_effect=[error]), pytest.raises(type(error), match=r"^boom"):
        run(Flow())


def test_the_page_of_a_proxy_is_no_log(server, flow, caplog):
    """It is refused by its type and its looks: some users' stubs send every text as HTML."""
    page, kind = b"<html>Please log in</html>", {"Content_Type": "text/html; charset=utf-8"}
    pages = [answer(200, page, **kind)] * 3
    server.upset("/download", *pages, answer(200, b"a log", **kind))
    result = run(flow)
    assert (result.status, result.log, result.log_complete) == ("SUCCESS", None, False)
    assert "the response is a page, and not a log" in caplog.text
    assert run(flow).log == "a log"


def test_the_page_of_a_proxy_is_not_the_last_word_on_a_log(server, flow):
    """It is fetched again, as after a response that says that it is a failure."""
    kind = {"Content_Type": "text/html"}
    server.upset("/download", *[answer(200, b"<html>Just a moment</html>", **kind)] * 2)
    result = run(flow)
    assert (result.log, result.log_complete) == (server.engine.logs[0], None)


def test_a_path_of_the_callers_own_stays(server, flow):
    """Only paths that nobody has touched move."""
    server.engine.root = "/api/v1/main"
    flow.API_ENDPOINT_EXECUTION_LOG = "/api/v1/main/logs/{execution_id}/download?minLevel=INFO"
    assert run(flow).log
    assert server.requests[-1].query == {"minLevel": ["INFO"]}


def test_what_is_nowhere_is_not_found(server, flow):
    """If `main` fails too, the first error is raised, and nothing is remembered."""
    server.upset(
        "POST", answer(404, b'{"message": "first"}'), answer(404, b'{"message": "second"}')
    )
    with pytest.raises(NotFound, match=r"/api/v1/executions/company.team/my_flow: 404 .*first"):
        run(flow)
    assert run(flow).status == "SUCCESS"


def test_where_paths_without_a_tenant_work_main_is_not_tried(server, flow):
    """Once one of them has worked, a 404 is a 404."""
    run(flow)
    server.upset("POST", answer(404))
    with pytest.raises(NotFound):
        run(flow)
    assert not any("/main/" in each.path for each in server.requests)


# --- inputs and labels ---


def test_inputs_arrive_as_the_engine_reads_them(server, flow, tmp_path):
    """Fields, and files under the input's id, sent as multipart."""
    path = tmp_path / "a b.txt"
    path.write_bytes(b"from a path")
    inputs = {"flag": True, "none": None, "json": {"a": [1]}, "p": path, "b": b"bytes",
              "file": io.BytesIO(b"opened"), "old": ("id", b"tuple", "text/plain")}  # fmt: skip
    run(flow, inputs)
    contents, filenames = server.requests[0].parts
    assert contents == {"flag": b"true", "json": b'{"a": [1]}', "p": b"from a path", "b": b"bytes",
                        "file": b"opened", "old": b"tuple"}  # fmt: skip
    assert filenames == {
        "flag": None,
        "json": None,
        "p": "p",
        "b": "b",
        "file": "file",
        "old": "id",
    }


def test_without_inputs_there_is_no_body(server, flow):
    """No inputs, or none that is not `None`: no body and no content type."""
    for inputs in (None, {}, {"a": None}):
        run(flow, inputs)
        request = server.requests[-3]
        assert (request.method, request.body) == ("POST", b"")
        assert "content-type" not in request.headers


def test_a_file_is_closed_again(server, flow, tmp_path, monkeypatch):
    """What was opened for a path is closed, also after a failure."""
    path = tmp_path / "f"
    path.write_bytes(b"x")
    server.upset("POST", answer(422))
    with pytest.raises(KestraError):
        run(flow, {"f": path})


def test_labels_come_from_inputs_and_from_labels(server, flow):
    """Explicit labels go before those of inputs, and all are encoded."""
    flow.labels_from_inputs = True
    run(flow, {"day": "a&b=c#d", "team": "x", "empty": ""}, labels={"team": "y", "é": 1})
    labels = server.requests[0].query["labels"]
    assert labels[0].startswith(f"{CORRELATION}:")
    assert labels[1:] == ["day:a&b=c#d", "team:y", "é:1"]


def test_a_label_that_would_be_refused_is_refused_here(mocked):
    """Nothing is sent."""
    with pytest.raises(ValueError, match=r"labels\['system.x'\]"):
        run(Flow(), labels={"system.x": "1"})
    assert mocked.request_history == []


def test_every_execution_has_a_correlation_id_of_its_own(server, flow):
    """Each gets a new one; the caller's own takes its place; `idempotent=False` leaves it out."""
    run(flow)
    run(flow)
    run(flow, labels={CORRELATION: "mine"})
    flow.idempotent = False
    run(flow)
    posts = [each for each in server.requests if each.method == "POST"]
    first, second, third, fourth = [each.query.get("labels", []) for each in posts]
    assert first[0].startswith(f"{CORRELATION}:")
    assert first != second
    assert (third, fourth) == ([f"{CORRELATION}:mine"], [])


def test_every_attempt_carries_the_same_correlation_id(server, flow):
    """By it the execution is recognised."""
    server.upset("POST", answer(503), answer(503))
    run(flow)
    posts = [each.target for each in server.requests if each.method == "POST"]
    assert len(posts) == 3
    assert len(set(posts)) == 1


def test_revision_and_date_are_sent(server, flow):
    """The `+` of an offset does not get lost."""
    run(flow, revision=3, schedule_date="2030-01-01T00:00:00+02:00")
    query = server.requests[0].query
    assert query["revision"] == ["3"]
    assert query["scheduleDate"] == ["2030-01-01T00:00:00+02:00"]


# --- created once ---


@pytest.mark.parametrize(
    "fault",
    [*map(carried_out, (reset, close, garbage, hang, answer(503), answer(504))),
     truncate, drip, drip_body],
)  # fmt: skip
def test_a_lost_answer_does_not_start_a_second_execution(server, hasty, fault):
    """Whatever happens after the server has created it, there is one, and it is waited for."""
    server.upset("POST", fault)
    assert run(hasty, {"f": io.BytesIO(b"x")}).execution_id == "execution0"
    assert len(server.engine.executions) == 1


def test_a_post_that_left_nothing_is_repeated_with_its_file(server, flow):
    """503 before creating: one execution, and the whole file."""
    server.upset("POST", answer(503))
    assert run(flow, {"f": io.BytesIO(b"content")}).status == "SUCCESS"
    assert len(server.engine.executions) == 1
    posts = [each for each in server.requests if each.method == "POST"]
    assert [each.parts[0]["f"] for each in posts] == [b"content"] * 2


def test_an_execution_that_may_exist_is_an_error_that_says_so(server, flow):
    """Reset after sending, and nothing found: an error, and no second POST."""
    server.upset("POST", reset)
    with pytest.raises(ConnectionFailed, match=f"may exist: .*{CORRELATION}") as caught:
        run(flow)
    assert caught.value.correlation_id
    assert server.count("POST") == 1
    assert isinstance(caught.value, requests.ConnectionError)


def test_without_a_label_a_status_is_retried_as_published(server, flow):
    """`idempotent=False`: nothing is searched for."""
    flow.idempotent = False
    server.upset("POST", answer(503))
    run(flow)
    assert (server.count("POST"), server.count("/search")) == (2, 0)


def test_a_redirect_does_not_turn_a_post_into_a_get(server, flow):
    """302 is an error that names the location."""
    server.upset("POST", answer(302, Location="http://elsewhere/login"))
    with pytest.raises(requests.HTTPError, match="http://elsewhere/login"):
        run(flow)
    assert server.methods() == {"POST": 1}


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        (answer(200, b"<html>welcome</html>", Content_Type="text/html"), "is not a JSON object"),
        (answer(200, b'{"id": "x'), "is not a JSON object"),
        (answer(204), "is not a JSON object"),
        (answer(200, b"[]"), "is not a JSON object"),
        (answer(200, b"{}"), "lacks the id"),
        (answer(200, b'{"id": ""}'), "lacks the id"),
    ],
)
def test_a_creation_that_makes_no_sense_is_an_error(server, flow, reply, what):
    """A proxy's page is not an execution; the error says what is missing."""
    server.upset("POST", reply)
    with pytest.raises(
        MalformedResponse, match=f"POST {urlsplit(CREATE).path}: .*{what}"
    ) as caught:
        run(flow)
    assert caught.value.status in {200, 204}
    assert isinstance(caught.value, requests.HTTPError)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
def test_what_the_server_says_is_not_dropped(server, flow, status):
    """The message of a refusal is in the error, which is a `requests.HTTPError` as before."""
    reply = answer(status, b'{"message": "Requested Flow is disabled."}')
    server.upset("POST", reply, reply)
    with pytest.raises(requests.HTTPError, match="Requested Flow is disabled") as caught:
        run(flow)
    assert caught.value.response.status_code == status
    assert caught.value.message == "Requested Flow is disabled."


def test_a_wrong_token_is_told_from_none(server, flow):
    """401 says what was sent."""
    server.upset("POST", answer(401), answer(401))
    with pytest.raises(AuthenticationError, match="sent: no credentials"):
        run(flow)
    flow.api_token = "wr0ng"
    with pytest.raises(AuthenticationError, match="sent: an API token") as caught:
        run(flow)
    assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "header"),
    [
        ({"api_token": 5}, "Bearer 5"),
        ({"user": 5, "password": 6}, "Basic NTo2"),
        ({"tenant": 5}, None),
    ],
)
def test_numbers_are_credentials_and_tenants_too(server, slept, environment, arguments, header):
    """2.0.0 took them as their text."""
    server.engine.root = f"/api/v1/{arguments.get('tenant', 'main')}"
    with Flow(hostname=server.url, **{"tenant": "main"} | arguments) as flow:
        assert run(flow).status == "SUCCESS"
    assert server.requests[0].headers.get("authorization") == header


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"api_token": b"x"}, TypeError, r"^api_token must be a string, not bytes$"),
        ({"headers": [("a", "b")]}, TypeError, r"^headers must be a mapping by name, not list$"),
        ({"proxies": "x"}, TypeError, r"^proxies must be a mapping by scheme, not str$"),
        ({"session": 5}, TypeError, r"^session must be a requests.Session, not int$"),
        ({"poll_interval": math.inf}, ValueError, r"^poll_interval must be at most"),
        ({"request_timeout": 1e300}, ValueError, r"^request_timeout must be more than 0 and at"),
    ],
)
def test_errors_name_the_argument_of_a_client(server, environment, arguments, error, words):
    """Before anything is sent."""
    with pytest.raises(error, match=words):
        run(Flow(hostname=server.url, **arguments))
    assert server.requests == []


# --- waiting ---


@pytest.mark.parametrize(
    "terminal", ["SUCCESS", "WARNING", "FAILED", "KILLED", "CANCELLED", "RETRIED", "SKIPPED"]
)
def test_every_terminal_state_ends_a_wait(server, flow, terminal, caplog):
    """All seven; a failure is a result, no error."""
    caplog.set_level(logging.INFO, logger="kestra")
    server.engine.states = ["CREATED", "RUNNING", "KILLING", terminal]
    assert run(flow).status == terminal
    assert caplog.messages[-1] == f"Execution execution0 of company.team.my_flow ended: {terminal}"


def test_states_that_need_someone_are_logged_once(server, flow, caplog):
    """PAUSED, and a state that this package does not know, are waited on and told of once."""
    server.engine.states = ["PAUSED", "PAUSED", "NEW_STATE", "PAUSED", "NEW_STATE", "SUCCESS"]
    assert run(flow).status == "SUCCESS"
    told = [message for message in caplog.messages if "paused" in message or "NEW_STATE" in message]
    assert len(told) == 2


def test_no_wait_means_no_look(server, flow):
    """Fire and forget is one request."""
    flow.wait_for_completion = False
    assert run(flow) == FlowExecution("execution0", "STARTED", None, None)
    assert len(server.requests) == 1


def test_no_log_is_downloaded_while_an_execution_runs(server, flow):
    """The log is fetched at the end, once."""
    server.engine.states = ["RUNNING"] * 5 + ["SUCCESS"]
    run(flow)
    assert (server.count("GET /api/v1/executions"), server.count("/download")) == (6, 1)
    assert server.connections == 1


def test_the_pauses_grow_up_to_the_poll_interval(server, flow, slept):
    """The first looks come soon, the later ones every `poll_interval`."""
    server.engine.states = ["RUNNING"] * 40 + ["SUCCESS"]
    flow.poll_interval = 2
    run(flow)
    pauses = slept[:-1]
    assert pauses[0] == 0.1
    assert pauses == sorted(pauses)
    assert pauses[-1] == 2


def test_a_poll_interval_of_zero_does_not_spin(server, flow, slept):
    """Never more than fifty looks a second."""
    server.engine.states = ["RUNNING"] * 20 + ["SUCCESS"]
    flow.poll_interval = 0
    run(flow)
    assert slept == [0.02] * 21


@pytest.mark.parametrize("fault", [reset, close, garbage, hang, drip, truncate, answer(503)])
def test_a_look_that_fails_is_repeated(server, hasty, fault):
    """One fault while waiting does not end the wait."""
    server.upset("GET /api/v1/executions/execution0", fault)
    assert run(hasty).status == "SUCCESS"


def test_a_wait_that_cannot_go_on_tells_the_execution(server, flow, caplog):
    """The error has the id, and a note with its address."""
    server.upset("GET /api/v1/executions", *[reset] * 5)
    with pytest.raises(ConnectionFailed) as caught:
        run(flow)
    assert caught.value.execution_id == "execution0"
    notes = getattr(caught.value, "__notes__", caplog.messages)
    address = "/executions/company.team/my_flow/execution0"
    assert any(f"Execution execution0: {server.url}/ui" in x and address in x for x in notes)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"<html>", "is not a JSON object"),
        (b'{"id": "x"}', "lacks the state"),
        (b'{"state": {"current": 1}}', "lacks the state"),
        (b'{"state": {"curr', "is not a JSON object"),
    ],
)
def test_a_status_that_makes_no_sense_is_an_error(server, flow, body, what):
    """It names what is wrong, and which execution it was."""
    server.upset("GET /api/v1/executions", *[answer(200, body)] * 5)
    with pytest.raises(MalformedResponse, match=what) as caught:
        run(flow)
    assert caught.value.execution_id == "execution0"
    assert caught.value.path == "/api/v1/executions/execution0"


@pytest.mark.parametrize("pages", [1, 4])
def test_a_page_among_the_polls_does_not_end_a_wait(server, flow, slept, pages):
    """A proxy shows one while its server restarts, with the status 200 as well as with 504."""
    server.upset("GET /api/v1/executions", *[answer(200, b"<html>")] * pages)
    assert run(flow).status == "SUCCESS"
    assert {1.0, 2.0, 4.0, 8.0} & set(slept) == set([1.0, 2.0, 4.0, 8.0][:pages])


def test_a_page_in_the_place_of_the_server_is_an_error_at_once(server, flow, slept):
    """Where nothing was ever heard of a server of Kestra's, there is none to wait for."""
    server.upset("GET /api/v1/executions", answer(200, b"<html>"))
    with pytest.raises(MalformedResponse, match="is not a JSON object"):
        flow.wait("execution0")
    assert server.count("GET") == 1


def test_an_execution_may_take_a_moment_to_be_seen(server, flow):
    """A 404 before the first look of the published package is not the end; a later one is."""
    server.upset("GET /api/v1/", answer(404), answer(404))
    assert run(flow).status == "SUCCESS"
    server.upset("GET /api/v1/", *[answer(404)] * 60)
    with pytest.raises(NotFound):
        run(flow)


@pytest.mark.parametrize("watched", [{}, {"follow": True}])
def test_a_short_poll_interval_leaves_a_new_execution_its_moment(server, flow, watched):
    """A server with several parts may take a second, however often it is asked."""
    flow.poll_interval = 0.01
    if watched:
        server.upset("/follow", answer(404), answer(404))
    server.upset("GET /api/v1/executions/", answer(404), answer(404))
    assert run(flow, **watched).status == "SUCCESS"


def test_a_short_poll_interval_leaves_many_their_moment(server, flow):
    """Those of `execute_all` too."""
    flow.poll_interval = 0.01
    server.upset("GET /api/v1/", answer(404), answer(404))
    (outcome,) = flow.execute_all([("company.team", "my_flow")])
    assert outcome.ok


def test_the_address_of_the_server_is_preferred(server, flow, caplog):
    """It knows under which address people reach it."""
    caplog.set_level(logging.INFO, logger="kestra")
    server.upset("POST", answer(200, b'{"id": "x", "url": "https://u:p@public/ui/x"}'))
    flow.wait_for_completion = False
    run(flow)
    assert caplog.messages == ["Execution x of company.team.my_flow created: https://public/ui/x"]


def test_a_timeout_ends_a_wait(server, flow, slept):
    """The error has the id, the last state and the time, and is a `TimeoutError`."""
    server.engine.states = ["RUNNING"]
    with pytest.raises(
        ExecutionTimeout, match=r"execution0 .* 7 s; its last state is RUNNING"
    ) as got:
        run(flow, timeout=7)
    assert isinstance(got.value, TimeoutError)
    error = got.value
    assert (error.execution_id, error.state, error.timeout) == ("execution0", "RUNNING", 7)
    assert not error.killed
    assert sum(slept) == pytest.approx(7, abs=0.5)
    assert server.engine.killed == []


@pytest.mark.parametrize("timeout", ["7", Decimal(7), timedelta(seconds=7)])
def test_a_timeout_that_is_no_number_is_refused(server, flow, timeout):
    """The error names it, and nothing is created."""
    with pytest.raises(TypeError, match=f"timeout must be .*, not {type(timeout).__name__}"):
        run(flow, timeout=timeout)
    assert not server.requests


@pytest.mark.parametrize("name", ["poll_interval", "log_settle"])
@pytest.mark.parametrize(
    ("value", "words"), [("5", "a number of seconds, not str"), (-1, "0 or more seconds")]
)
@pytest.mark.parametrize(
    "begin",
    [
        lambda flow: flow.execute("company.team", "my_flow"),
        lambda flow: flow.execute_all([("company.team", "my_flow")]),
        lambda flow: flow.wait("id1"),
        lambda flow: flow.follow("id1"),
    ],
    ids=["execute", "execute_all", "wait", "follow"],
)
def test_a_time_that_is_none_is_refused(flow, begin, name, value, words):
    """The error names the attribute, and nothing is created."""
    setattr(flow, name, value)
    flow._make_request = Mock(side_effect=AssertionError)
    with pytest.raises((TypeError, ValueError), match=f"{name} must be {words}"):
        begin(flow)


def test_without_a_wait_its_pauses_do_not_matter(server, flow):
    """As in 2.0.0, `poll_interval` is read only where there is a wait."""
    flow.wait_for_completion, flow.poll_interval = False, None
    assert run(flow).status == "STARTED"
    (outcome,) = flow.execute_all([("company.team", "my_flow")])
    assert outcome.result.status == "STARTED"


def test_a_timeout_that_has_passed_still_looks_once(server, flow):
    """What has ended in time has ended."""
    assert run(flow, timeout=0).status == "SUCCESS"


@pytest.mark.parametrize(("path", "version"), [("/kill", "1.3.31"), ("/actions/kill", "2.0.0")])
def test_a_timeout_may_kill(server, flow, path, version):
    """`kill_on_timeout=True` kills it, on every version."""
    server.engine.states = ["RUNNING"]
    server.upset("/configs", answer(200, json.dumps({"version": version}).encode()))
    server.upset("DELETE", answer(200, b"{}"))
    with pytest.raises(ExecutionTimeout, match="it is being killed") as caught:
        run(flow, timeout=1, kill_on_timeout=True)
    assert caught.value.killed
    assert server.requests[-1].path.endswith(f"/execution0{path}")


@pytest.mark.parametrize(
    "faults", [[answer(409)], [answer(403)] * 2, [reset] * 5, [answer(405)] * 2]
)
def test_a_kill_that_fails_does_not_hide_the_timeout(server, flow, faults):
    """The timeout is what is raised."""
    server.engine.states = ["RUNNING"]
    server.upset("DELETE", *faults)
    with pytest.raises(ExecutionTimeout, match="could not be killed") as caught:
        run(flow, timeout=1, kill_on_timeout=True)
    assert not caught.value.killed


def test_a_timeout_holds_while_the_server_does_not_answer(server, flow, monkeypatch):
    """A look that hangs is cut short; the timeout is what is raised."""
    flow.request_timeout = 60
    server.upset("GET /api/v1/executions", *[hang] * 20)
    monkeypatch.setattr(kestra._rules.waiting, "LAST_POLL", 0.2)
    with pytest.raises(ExecutionTimeout, match=r"not ended after 0.1 s\b") as caught:
        run(flow, timeout=0.1)
    assert caught.value.state is None


def test_a_replaced_sleep_cannot_keep_a_wait_from_ending(server, slept):
    """With a timeout the wait ends though no time passes."""
    server.engine.states = ["RUNNING"]
    with Flow(hostname=server.url, poll_interval=0) as flow, pytest.raises(ExecutionTimeout):
        run(flow, timeout=1)
    assert len(slept) <= 52


def test_ctrl_c_tells_the_execution(server, flow, monkeypatch, caplog):
    """An interruption carries the id and the address: in a note, or in the log of Python 3.10."""

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        run(flow)
    notes = getattr(caught.value, "__notes__", caplog.messages)
    (note,) = [note for note in notes if f"Execution execution0: {server.url}/ui/" in note]
    assert note.endswith("/executions/company.team/my_flow/execution0")


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_ctrl_c_in_a_terminal_shows_the_execution(server):
    """Whoever stops a script sees what goes on running."""
    server.engine.states = ["RUNNING"]
    code = (  # a job in the background ignores SIGINT, and hands that on
        "import signal\n"
        "from kestra import Flow\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"Flow(hostname={server.url!r}, poll_interval=0.05).execute('n', 'f')\n"
    )
    looked = threading.Event()

    def see(exchange):
        looked.set()
        return fine(exchange)

    server.upset("GET /api/v1/executions/execution0", see)
    with subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert looked.wait(30)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode != 0
    assert f"Execution execution0: {server.url}/ui/" in errors
    assert "/executions/n/f/execution0" in errors


@pytest.mark.parametrize("index", [0, 1], ids=["0.21", "1.3"])
def test_what_engines_answered_is_understood(index, slept):
    """The recorded creation, status and log of an engine make a result."""
    (engine, _, created) = exchanges("labels_system_correlation")[index]
    (_, _, status) = exchanges("exec_get")[index]
    (_, _, log) = exchanges("logs_download")[index]

    def replay(request):
        if request.method == "POST":
            return as_json(created["body"])
        if request.path.endswith("/download"):
            return Reply(200, log["body"].encode(), {"Content-Type": "text/plain"})
        return as_json(status["body"])

    tenant = None if engine == "0.21" else "main"
    with Loopback(replay) as server, Flow(hostname=server.url, tenant=tenant) as flow:
        result = run(flow)
    assert result.execution_id == created["body"]["id"]
    assert result.status == status["body"]["state"]["current"]
    assert result.log == log["body"]


# --- the log ---


def lines(count):
    return "2026-01-01T00:00:00.000Z INFO a line\n" * count


@pytest.mark.parametrize("log", ["", lines(1), lines(200)])
def test_the_log_is_fetched_once_where_nothing_tells_that_it_is_complete(server, flow, slept, log):
    """As of a mock, whose response has no task runs: no count is asked for, and nothing warns."""
    server.engine.logs = [log]
    result = run(flow)
    assert (result.log, result.log_complete) == (log, None)
    assert (server.count("/download"), server.count("logs/search")) == (1, 0)


def test_without_the_log_nothing_is_downloaded(server, flow):
    """`fetch_log=False` is for those who do not need it."""
    assert run(flow, fetch_log=False).log is None
    assert server.count("/download") == 0


@pytest.mark.parametrize("faults", [[answer(403)], [reset] * 5, [hang] * 5, [answer(503)] * 5])
def test_a_log_that_cannot_be_had_does_not_cost_the_result(server, flow, caplog, faults):
    """The state is known, the log is `None`, and a warning says why."""
    flow.request_timeout = 0.05
    server.upset("/download", *faults)
    assert run(flow) == FlowExecution("execution0", "SUCCESS", None, None)
    assert "The log of execution execution0 could not be fetched: GET /api/v1" in caplog.text


def test_a_log_that_does_not_come_is_given_up(server, flow, monkeypatch):
    """The result comes soon after `log_settle`, whatever the timeout of a request is."""
    monkeypatch.setattr(kestra._rules.log, "_FETCH", 0.2)
    flow.log_settle = 0.1
    server.upset("/download", hang)
    assert run(flow) == FlowExecution("execution0", "SUCCESS", None, None)
    assert server.count("/download") == 1


def test_an_error_of_the_callers_own_does_not_cost_the_result(flow, caplog):
    """Its kind is reported, its text might hold anything."""
    flow.get_logs = Mock(side_effect=RuntimeError("t0psecret"))
    assert run(flow).log is None
    assert "RuntimeError" in caplog.text
    assert "t0psecret" not in caplog.text


def test_the_log_is_utf8(server, flow):
    """It comes without a charset."""
    server.engine.logs = ["é日😀\n"]
    assert run(flow).log == "é日😀\n"


# --- what is shown ---


def test_nothing_that_is_logged_holds_an_input_or_credentials(server, flow, caplog):
    """Of our own accord, at every level; and nothing goes to the root logger itself."""
    caplog.set_level(logging.DEBUG)
    flow.api_token = "t0psecret"
    server.upset("POST", answer(503, b"t0psecret"))
    server.engine.states = ["PAUSED", "FAILED"]
    run(flow, {"i": "inputvalue"})
    server.upset("POST", answer(422, b"t0psecret"))
    with pytest.raises(KestraError) as caught:
        run(flow, {"i": "inputvalue"})
    shown = (
        caplog.text + repr(flow) + repr(caught.value) + str(getattr(caught.value, "__notes__", ""))
    )
    assert "inputvalue" not in shown
    assert "t0psecret" not in shown
    assert {record.name.partition(".")[0] for record in caplog.records} == {"kestra", "urllib3"}


def test_the_repr_shows_where_and_not_who():
    """No user, password or token."""
    flow = Flow(hostname="http://us3r:passw0rd@h", user="us3r", password="passw0rd", tenant="t")
    assert repr(flow) == "Flow(hostname='http://h', tenant='t')"


# --- at scale ---


def test_a_hundred_threads_execute_at_once(server):
    """One object, no error, a hundred executions, at most a hundred connections."""
    server.engine.states = ["SUCCESS"]
    with Flow(hostname=server.url, poll_interval=0) as flow:
        results = []
        threads = [threading.Thread(target=lambda: results.append(run(flow))) for _ in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert {result.status for result in results} == {"SUCCESS"}
    assert len({result.execution_id for result in results}) == 100
    assert server.connections <= 100


def test_with_closes_the_connections(server):
    """After the block they are gone; the next request makes new ones."""
    with Flow(hostname=server.url, wait_for_completion=False) as flow:
        run(flow)
        run(flow)
    assert server.connections == 1
    run(flow)
    assert server.connections == 2
    flow.close()
    flow.close()


def test_a_session_policy_and_headers_of_the_caller(server, slept):
    """`session`, `retries`, `headers`, `verify` and `proxies` are taken up."""
    with requests.Session() as session:
        session.headers["X-Session"] = "1"
        flow = Flow(
            hostname="http://kestra.invalid",
            session=session,
            headers={"X-Own": "1"},
            proxies={"http": server.url},
            verify=False,
            retries=urllib3.Retry(total=1, backoff_factor=0),
        )
        server.upset("POST", answer(503), answer(503))
        with pytest.raises(FailedExponentialBackoff, match="after 2 attempts"):
            run(flow)
    assert server.requests[0].headers["x-own"] == "1"
    assert server.requests[0].headers["x-session"] == "1"
    assert slept == []


def test_every_request_has_a_timeout():
    """Ten seconds to connect and sixty to read, or what the caller says."""
    with requests_mock.Mocker() as mocker:
        mocker.post(CREATE, json={"id": "id1"})
        for request_timeout, sent in ((None, (10, 60)), (5, (5, 5)), ((1, 2), (1, 2))):
            flow = Flow(wait_for_completion=False)
            if request_timeout is not None:
                flow.request_timeout = request_timeout
            run(flow)
            assert mocker.last_request.timeout == sent


@pytest.mark.parametrize(
    "words",
    [
        "MessageTooBigException",
        "size 4000307: increase the limit by 'kestra.queue.message-protection.limit'.",
    ],
)
def test_inputs_that_are_too_large_for_the_server(server, flow, slept, words):
    """It is said once, with the limit and the remedy: nothing is gained by another attempt."""
    body = json.dumps({"message": f"Internal server error: {words}"}).encode()
    server.upset("POST", answer(500, body, content_type="application/json"))
    with pytest.raises(ServerError, match=r"inputs together are larger .* \(1 MiB.* as a file"):
        flow.execute("ns", "flow", {"text": "x"})
    assert not slept
    assert server.methods() == {"POST": 1}


def test_a_disabled_flow_is_a_conflict(server, flow):
    """409 has a class of its own."""
    server.upset("POST", answer(409))
    with pytest.raises(Conflict):
        run(flow)


def test_a_hanging_creation_ends(server, hasty):
    """A POST that is never answered ends in a timeout that `requests` knows too."""
    server.upset("POST", hang)
    with pytest.raises(RequestTimeout, match="may exist") as caught:
        run(hasty)
    assert isinstance(caught.value, requests.Timeout)


def test_a_tenant_can_be_assigned(server, flow):
    """The paths follow, there and back."""
    server.engine.root = "/api/v1/acme"
    flow.tenant = "acme"
    assert run(flow).status == "SUCCESS"
    flow.tenant = None
    assert flow.API_ENDPOINT_EXECUTION_STATUS == "/api/v1/executions/{execution_id}"


def test_a_number_of_retries_is_the_number_of_attempts(server, flow, slept):
    """With the pauses of the default policy."""
    flow.retries = 3
    server.upset("GET /api/v1/executions", *[answer(503)] * 3)
    with pytest.raises(FailedExponentialBackoff) as caught:
        flow.get_execution("execution0")
    assert (caught.value.attempts, slept) == (3, [1, 2, 4])


@pytest.mark.parametrize(
    ("retries", "error", "words"),
    [
        (True, TypeError, "the number of attempts or a urllib3.Retry, not bool"),
        (False, TypeError, "the number of attempts or a urllib3.Retry, not bool"),
        ("3", TypeError, "the number of attempts or a urllib3.Retry, not str"),
        (0, ValueError, "1 or more"),
        (-1, ValueError, "1 or more"),
    ],
)
def test_retries_that_cannot_be_are_refused(mocked, retries, error, words):
    """Before anything is sent."""
    with pytest.raises(error, match=f"^retries must be {words}"):
        run(Flow(retries=retries))
    assert mocked.request_history == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [("host", "hostname"), ("token", "api_token"), ("time_out", "request_timeout"),
     ("pol_interval", "poll_interval"), ("retry", "retries")],
)  # fmt: skip
def test_an_unknown_argument_is_refused_with_what_may_be_meant(name, meant):
    """By the name of the class that was called."""
    with pytest.raises(TypeError, match=rf"^Flow\(\) has no argument '{name}'.*\b{meant}\b"):
        Flow(**{name: "x"})


def test_an_address_under_main_is_shown_with_it(server, flow, caplog):
    """Once the server is known to need the tenant, the address has it too."""
    caplog.set_level(logging.INFO, logger="kestra")
    server.engine.root = "/api/v1/main"
    flow.wait_for_completion = False
    run(flow)
    assert caplog.messages[-1].endswith("/ui/main/executions/company.team/my_flow/execution0")
