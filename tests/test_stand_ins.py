"""`Flow` where something stands between it and the network, as it does in users' tests."""

import io
import json
from unittest.mock import Mock, patch

import pytest
import requests
import requests_mock
import responses
import vcr
import yaml
from loopback import Proxy, carried_out, reset

from kestra import Flow
from kestra.exceptions import ConnectionFailed, NotFound

HOST = "http://localhost:8080"
ENDED = {"id": "id1", "state": {"current": "SUCCESS"}}

pytestmark = pytest.mark.usefixtures("environment", "slept")


@pytest.fixture
def cassette(tmp_path):
    """Return a function that opens a cassette."""
    tape = vcr.VCR(cassette_library_dir=str(tmp_path), match_on=("method", "path"))
    return lambda mode, **options: tape.use_cassette("tape.yaml", record_mode=mode, **options)


@pytest.fixture
def wrapped(monkeypatch):
    """What `requests.request` is called with, where a test has wrapped it."""
    original, seen = requests.request, []

    def wrapper(method, url, **arguments):
        seen.append(arguments)
        return original(method, url, **arguments)

    monkeypatch.setattr(requests, "request", wrapper)
    return seen


# --- VCR.py ---


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # VCR.py drops the open connection
def test_what_vcr_records_it_replays(server, flow, cassette):
    """Nothing is sent to the server again, also not over a connection that is still open."""
    with cassette("once"):
        recorded = flow.execute("company.team", "report", {"day": "today"})
    with Flow(hostname=server.url) as other:
        other.execute("company.team", "report")  # opens a connection of ours
        before = len(server.requests)
        with cassette("none") as replayed:
            assert other.execute("company.team", "report", {"day": "today"}) == recorded
            assert replayed.all_played
        assert len(server.requests) == before
        other.execute("company.team", "report")  # and goes on without the cassette
    assert len(server.engine.executions) == 3


def test_a_cassette_of_2_0_0_is_replayed(tmp_path, cassette):
    """Its POST has no label in the query."""
    answers = [
        ("POST", "executions/company.team/my_flow", '{"id": "id1"}'),
        ("GET", "executions/id1", '{"id": "id1", "state": {"current": "SUCCESS"}}'),
        ("GET", "logs/id1/download", "a log\n"),
    ]
    taped = [
        {
            "request": {
                "method": method,
                "uri": f"{HOST}/api/v1/{path}",
                "body": "",
                "headers": {},
            },
            "response": {
                "status": {"code": 200, "message": "OK"},
                "headers": {"Content-Type": ["application/json"]},
                "body": {"string": body},
            },
        }
        for method, path, body in answers
    ]
    (tmp_path / "tape.yaml").write_text(yaml.safe_dump({"interactions": taped, "version": 1}))
    with cassette("none", match_on=("method", "uri")) as replayed:
        result = Flow().execute("company.team", "my_flow")
    assert (result.execution_id, result.status, result.log) == ("id1", "SUCCESS", "a log\n")
    assert replayed.all_played


def test_a_lost_answer_starts_one_execution_while_vcr_records(server, flow, cassette):
    """What VCR.py sends is not known to us: it may have been carried out, and a search follows."""
    server.upset("POST", carried_out(reset))
    with cassette("once"):
        assert flow.execute("company.team", "report").execution_id == "execution0"
    assert len(server.engine.executions) == server.count("POST") == 1


# --- requests.request, wrapped ---


def test_a_wrapped_request_is_sent_once_if_its_answer_is_lost(server, flow, wrapped):
    """Whether it was carried out is not known, and there is nothing to search with."""
    server.upset("POST", carried_out(reset))
    with pytest.raises(ConnectionFailed, match="may exist") as caught:
        flow.execute("company.team", "report")
    assert caught.value.correlation_id
    assert len(server.engine.executions) == server.count("POST") == len(wrapped) == 1


def test_a_wrapped_request_that_never_connects_is_repeated(flow, wrapped):
    """A refused connection leaves no doubt, whoever made it."""
    flow.hostname = "http://127.0.0.1:1"
    with pytest.raises(ConnectionFailed):
        flow.execute("company.team", "report")
    assert len(wrapped) == 5


def test_a_wrapped_request_gets_proxies_and_verification(server, flow, wrapped):
    """It goes where it went without the wrapper."""
    with Proxy(server.engine) as proxy:
        flow.proxies, flow.verify = {"http": proxy.url}, False
        assert flow.execute("company.team", "report").status == "SUCCESS"
        assert proxy.count("POST") == 1
    assert not server.requests
    assert {each["verify"] for each in wrapped} == {False}


# --- mocks ---


def test_a_404_of_requests_mock_is_not_found():
    """That the mock knows no path with a tenant does not hide it."""
    with requests_mock.Mocker() as mocker:
        mocker.post(f"{HOST}/api/v1/executions/a/b", status_code=404)
        with pytest.raises(NotFound) as caught:
            Flow().execute("a", "b")
    assert caught.value.response.status_code == 404


@pytest.mark.parametrize("error", [KeyError, AssertionError, requests.ConnectionError])
def test_a_404_of_a_session_is_not_found(error):
    """Whatever a stand-in raises at the second path, the first response counts."""
    found = requests.Response()
    found.status_code = 404
    answers = patch("requests.Session.send", side_effect=[found, error("no such path")])
    with answers, pytest.raises(NotFound):
        Flow().check_status("id1")


@responses.activate
def test_a_404_of_responses_is_not_found():
    """The same with `responses`."""
    responses.post(f"{HOST}/api/v1/executions/a/b", status=404)
    with pytest.raises(NotFound):
        Flow().execute("a", "b")


@pytest.mark.parametrize("name", ["requests.Session.request", "requests.Session.send"])
def test_a_session_may_answer_with_a_mock(name):
    """A mock is no redirect."""
    answer = Mock(status_code=200, text="a log\n", **{"json.return_value": ENDED})
    with patch(name, return_value=answer) as send:
        result = Flow().execute("a", "b")
    assert (result.status, result.log) == ("SUCCESS", "a log\n")
    assert send.call_count == 3


# --- sockets that are none, as those of Mocket ---


CANNED = {
    b"POST /api/v1/executions/company.team/my_flow HTTP/1.1": json.dumps(ENDED).encode(),
    b"GET /api/v1/executions/id1 HTTP/1.1": json.dumps(ENDED).encode(),
    b"GET /api/v1/logs/id1/download HTTP/1.1": b"a log",
}


class CannedSocket:
    """A socket that has a response for each request that is known to the letter."""

    __module__ = "mocket.socket"

    def __init__(self):
        self.stream = io.BytesIO()

    def sendall(self, data):
        first = bytes(data).partition(b"\r\n")[0]
        body = CANNED.get(first)
        head = b"" if body is None else b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.stream = io.BytesIO(head + (body or b""))

    def makefile(self, *_, **__):
        return self.stream

    def gettimeout(self):
        return 1.0

    def settimeout(self, timeout): ...

    def close(self): ...


def test_a_mock_of_sockets_that_does_not_know_the_label(monkeypatch, slept):
    """It gets what 2.0.0 sent, at once, and its stream is taken as it is."""
    monkeypatch.setattr(
        "urllib3.util.connection.create_connection", lambda *_, **__: CannedSocket()
    )
    monkeypatch.setattr(
        "urllib3.util.connection.wait_for_read", lambda *_, **__: False, raising=False
    )
    monkeypatch.setattr("urllib3.connection.wait_for_read", lambda *_, **__: False, raising=False)
    result = Flow(poll_interval=0).execute("company.team", "my_flow")
    assert (result.status, result.log) == ("SUCCESS", "a log")
    assert sum(slept) < 1
