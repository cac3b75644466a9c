"""The limits of whole responses."""

import socket
import time

import pytest
import requests
import urllib3
from loopback import Loopback, Reply, drip, drip_body, fine, hang

from kestra._http import adapter
from kestra._http.adapter import Deadline, IdleLimit, LimitedAdapter, MinimumRate, limit_of, wire


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until a test moves it."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def server():
    with Loopback(lambda request: Reply(200, b"x" * 50, {"Content-Type": "text/plain"})) as server:
        yield server


@pytest.fixture
def session():
    with requests.Session() as session:
        session.mount("http://", LimitedAdapter())
        yield session


@pytest.mark.parametrize(
    ("method", "url", "limit"),
    [
        ("GET", "http://h/api/v1/executions/x", Deadline),
        ("GET", "/api/v1/logs/x/download?minLevel=INFO", MinimumRate),
        ("get", "http://h/api/v1/executions/x/file?path=a/follow", MinimumRate),
        ("GET", "/api/v1/logs/x/follow", IdleLimit),
        ("GET", "/", Deadline),
        ("POST", "/api/v1/executions/company.team/follow?labels=a:b", Deadline),
        ("POST", "/api/v1/executions/company.team/download", Deadline),
        ("POST", "/api/v1/executions/company.team/file", Deadline),
    ],
)
def test_method_and_path_decide_the_limit(method, url, limit):
    """Logs and files are downloads; streams of events go on; everything else has a deadline."""
    assert limit_of(method, url) is limit


def test_the_name_of_a_flow_does_not_decide_the_limit(server, session, monkeypatch):
    """A creation may take its time, though the flow is called as the path of a stream is."""
    monkeypatch.setattr(adapter, "_BEGINNING", 0.0)
    assert session.post(f"{server.url}/executions/company.team/follow", timeout=5).ok


def test_a_deadline_does_not_move(clock):
    """However much comes, the response has to be complete in time."""
    limit = Deadline(60)
    clock[0] += 50
    limit.received(1_000_000)
    assert limit.remaining() == 10
    clock[0] += 50
    assert limit.remaining() <= 0


def test_a_download_has_a_minimum_rate(clock):
    """60 kB a minute are enough to go on forever, less is not."""
    limit = MinimumRate(20)
    for _ in range(10):
        assert limit.remaining() == 20
        clock[0] += 50
        limit.received(60_000)
        assert limit.remaining() == 20
        clock[0] += 11
        assert limit.remaining() == 20  # and with this a new minute begins
    clock[0] += 45
    limit.received(59_999)
    assert limit.remaining() == 15
    clock[0] += 15
    assert limit.remaining() <= 0


def test_a_stream_of_events_may_last(clock):
    """Only its silence is limited."""
    limit = IdleLimit(60)
    clock[0] += 1e6
    limit.received(1)
    assert limit.remaining() == 60


def test_time_that_ran_out_between_two_reads_is_over(clock):
    """Nothing more is read, though it may be there."""
    here, there = socket.socketpair()
    with here, there, here.makefile("rb", buffering=0) as stream:
        reads = adapter._LimitedReads(stream, here, Deadline(1))
        there.sendall(b"xy")
        assert reads.read(1) == b"x"
        clock[0] += 2
        with pytest.raises(TimeoutError):
            reads.read(1)


@pytest.mark.parametrize("fault", [hang, drip, drip_body])
@pytest.mark.parametrize("path", ["/answer", "/download"])
def test_a_server_cannot_hold_a_request(server, session, monkeypatch, fault, path):
    """Whether it says nothing, or drips its headers or its body: there is an end."""
    monkeypatch.setattr(adapter, "_WINDOW", 0.05)
    server.upset("GET", fault)
    with pytest.raises((requests.ReadTimeout, requests.ConnectionError), match="timed out"):
        session.get(server.url + path, timeout=0.05)


def test_bytes_that_come_in_time_are_an_answer(server, session):
    """Headers and body arrive as they were sent, on one connection."""
    for path in ("/answer", "/download", "/follow"):
        response = session.get(server.url + path, timeout=5)
        assert (response.status_code, response.content) == (200, b"x" * 50)
    assert server.connections == 1


def test_a_connection_that_was_idle_for_long_is_not_used_again(server, session, monkeypatch):
    """What is sent over a forgotten connection is lost; after half a minute there is a new one."""
    for pause, connections in ((0, 1), (29, 1), (31, 2), (1, 2)):
        later = time.monotonic() + pause
        monkeypatch.setattr(time, "monotonic", lambda later=later: later)
        session.get(server.url, timeout=5)
        assert server.connections == connections


def test_a_slow_stream_of_events_is_read(server, session):
    """Bytes that come one by one, without an end, can be read as they come."""
    server.upset("GET", drip_body)
    with session.get(server.url + "/follow", timeout=5, stream=True) as response:
        assert response.raw.read(3) == b"xxx"


def test_no_timeout_means_no_bound(server, session):
    """Who asks for no timeout gets none."""
    assert session.get(server.url, timeout=None).ok


def test_a_timeout_may_be_one_of_urllib3(server, session):
    """As `requests` takes it."""
    assert session.post(server.url, data=b"x", timeout=urllib3.Timeout(connect=5, read=5)).ok


def test_proxied_requests_are_limited_too(server, session):
    """A proxy does not get around the deadline."""
    server.upset("GET", drip)
    with pytest.raises(requests.ReadTimeout):
        session.get("http://nowhere.invalid/", proxies={"http": server.url}, timeout=0.05)


def test_the_wire_tells_whether_something_was_sent(server, session):
    """What fails before there is a connection was not sent; of others nothing is known."""
    wire.used = None
    with requests.Session() as other:
        other.get(server.url, timeout=5)
    assert wire.used is None
    with pytest.raises(requests.ConnectionError):
        session.get("http://127.0.0.1:1/", timeout=5)
    assert wire.used is False
    server.upset("GET", fine)
    session.get(server.url, timeout=5)
    assert wire.used


def test_the_file_number_is_that_of_the_connection(server, session):
    """Whoever waits for several responses at once can."""
    with session.get(server.url, timeout=5, stream=True) as response:
        assert response.raw.fileno() > 0
