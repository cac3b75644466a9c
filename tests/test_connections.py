"""Connections: encrypted, through proxies, kept, lost, and how many of them there are."""

import os
import select
import socket
import ssl
import threading
import time
import traceback
from dataclasses import replace
from queue import Queue
from types import MappingProxyType, SimpleNamespace

import pytest
import requests
import urllib3
from loopback import (
    DEADLINE,
    Loopback,
    Proxy,
    answer,
    as_json,
    drip_body,
    event,
    fine,
    hang,
    pass_on,
    stream,
)

from kestra import Flow
from kestra._api.credentials import credentials
from kestra._api.models import CORRELATION
from kestra._api.servers import Server
from kestra._http.blocking import BlockingIO, run
from kestra._http.multipart import Upload
from kestra._http.sessions import Sessions
from kestra._http.threads import Stream
from kestra._rules import attempts
from kestra._rules.io import Request, Settings
from kestra.exceptions import ConnectionFailed, ConnectTimeout, RequestTimeout

pytestmark = pytest.mark.usefixtures("environment", "no_proxy", "slept", "patience")

SEARCH = "/api/v1/executions/search?labels=a:b"
CREATE = f"/api/v1/executions/n/f?labels={CORRELATION}:c"
TOKEN = credentials("t0ken", None, None)


@pytest.fixture
def no_proxy(monkeypatch):
    """No proxy or bundle of the machine gets into a test."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def sessions():
    sessions = Sessions()
    yield sessions
    sessions.close()


@pytest.fixture(params=["http", "https"])
def proxy(request, tls):
    """A proxy that is spoken to in clear, and one that is spoken to over TLS."""
    with Proxy(tls=tls if request.param == "https" else None) as proxy:
        yield proxy


@pytest.fixture(params=["http", "https"])
def either(request, tls):
    """A server that is spoken to in clear, and one that is spoken to over TLS."""
    with Loopback(tls=tls if request.param == "https" else None) as server:
        yield server


@pytest.fixture
def settings(certificate):
    """How to reach a server over TLS."""
    return Settings(credentials=TOKEN, verify=str(certificate), timeout=(5, 5))


@pytest.fixture
def through_proxy(certificate, proxy):
    """The same through a proxy."""
    proxies = {"https": proxy.url, "http": proxy.url}
    return Settings(credentials=TOKEN, verify=str(certificate), proxies=proxies, timeout=(5, 5))


def request(sessions, method, url, settings, arguments):
    """Send a request with all its attempts."""
    io = BlockingIO(
        SimpleNamespace(_server=Server.at(url.partition("/api")[0], None), _sessions=sessions)
    )
    upload = Upload(arguments["files"]) if "files" in arguments else None
    return run(attempts.send(io, Request(method, url, settings, arguments, upload)))


def search(sessions, server, settings):
    return request(sessions, "GET", server.url + SEARCH, settings, {})


# --- how many ---


def test_encrypted_requests_share_one_connection(tls_server, sessions, settings):
    """It is made once, and kept."""
    for _ in range(3):
        assert search(sessions, tls_server, settings).json()["total"] == 0
    assert tls_server.connections == 1


def test_requests_through_a_tunnel_share_one_connection(tls_server, sessions, through_proxy, proxy):
    """The proxy is asked for one tunnel, and sees nothing of what goes through it."""
    for _ in range(3):
        assert search(sessions, tls_server, through_proxy).json()["total"] == 0
    (connect,) = proxy.requests
    assert (connect.method, connect.target) == ("CONNECT", f"127.0.0.1:{tls_server.port}")
    assert not {"authorization", "accept", "user-agent"} & set(connect.headers)
    assert [each.headers["authorization"] for each in tls_server.requests] == ["Bearer t0ken"] * 3
    assert (proxy.connections, tls_server.connections) == (1, 1)


IDLE = ((0, 1), (29, 1), (31, 2), (1, 2))


def test_an_encrypted_connection_that_was_idle_for_long_is_not_used_again(
    tls_server, sessions, settings, monkeypatch
):
    """After half a minute there is a new one, and only one."""
    for pause, connections in IDLE:
        later = time.monotonic() + pause
        monkeypatch.setattr(time, "monotonic", lambda later=later: later)
        search(sessions, tls_server, settings)
        assert tls_server.connections == connections


def test_a_tunnel_that_was_idle_for_long_is_not_used_again(
    tls_server, sessions, through_proxy, proxy, monkeypatch
):
    """The proxy is asked for another one."""
    for pause, connections in IDLE:
        later = time.monotonic() + pause
        monkeypatch.setattr(time, "monotonic", lambda later=later: later)
        search(sessions, tls_server, through_proxy)
        assert (proxy.count("CONNECT"), tls_server.connections) == (connections, connections)


def test_a_connection_that_the_server_has_closed_is_not_used_again(
    either, sessions, settings, slept
):
    """There is a new one, and no attempt is lost with the old one."""
    closed = threading.Event()

    def last(exchange):
        fine(exchange)
        exchange.connection.shutdown(socket.SHUT_RDWR)
        closed.set()
        return True

    either.upset("GET", last)
    search(sessions, either, settings)
    assert closed.wait(10)
    request(sessions, "POST", either.url + CREATE, settings, {})
    assert either.connections == 2
    assert slept == []


# --- proxies ---


def test_a_proxy_gets_its_own_credentials_and_the_server_its_own(
    tls_server, sessions, certificate, proxy
):
    """Neither sees those of the other."""
    url = proxy.url.replace("://", "://jane:hunter2@")
    settings = Settings(credentials=TOKEN, verify=str(certificate), proxies={"https": url})
    search(sessions, tls_server, settings)
    assert proxy.requests[0].headers["proxy-authorization"] == "Basic amFuZTpodW50ZXIy"
    assert "authorization" not in proxy.requests[0].headers
    assert "proxy-authorization" not in tls_server.requests[0].headers


def test_a_proxy_is_asked_in_clear_for_what_is_in_clear(sessions):
    """For a whole URL, over one connection, with the credentials of the proxy."""
    url = "http://kestra.invalid" + SEARCH
    with Proxy() as proxy:
        proxies = {"http": proxy.url.replace("://", "://jane:hunter2@")}
        for _ in range(2):
            request(sessions, "GET", url, Settings(credentials=TOKEN, proxies=proxies), {})
        assert [each.target for each in proxy.requests] == [url] * 2
        assert proxy.requests[0].headers["proxy-authorization"] == "Basic amFuZTpodW50ZXIy"
        assert proxy.requests[0].headers["authorization"] == "Bearer t0ken"
        assert proxy.connections == 1


@pytest.mark.parametrize("url", ["jane:hunter2@localhost:3128", "http://jane:hunter2@[bad"])
def test_a_proxy_that_cannot_be_one_is_not_shown(sessions, url):
    """Libraries quote it, and with it the password."""
    settings = Settings(credentials=TOKEN, proxies={"http": url})
    with pytest.raises(requests.exceptions.InvalidURL, match=r"proxies$") as caught:
        request(sessions, "GET", "http://kestra.invalid" + SEARCH, settings, {})
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_the_environment_names_the_proxy(tls_server, sessions, settings, proxy, monkeypatch):
    """`NO_PROXY` leaves servers out."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    search(sessions, tls_server, settings)
    assert proxy.count("CONNECT") == 1
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    search(sessions, tls_server, settings)
    assert proxy.count("CONNECT") == 1
    assert tls_server.count("GET") == 2


def test_the_environment_does_not_change_the_callers_proxies(
    tls_server, sessions, settings, proxy, monkeypatch
):
    """What it adds counts for one request: later ones go by the environment as it is then."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    settings = replace(settings, proxies=MappingProxyType({"ftp": "http://127.0.0.1:1"}))
    search(sessions, tls_server, settings)
    assert proxy.count("CONNECT") == 1
    monkeypatch.delenv("HTTPS_PROXY")
    search(sessions, tls_server, settings)
    assert proxy.count("CONNECT") == 1
    assert tls_server.count("GET") == 2


def test_a_proxy_that_refuses_a_tunnel_leaves_no_doubt(tls_server, sessions, through_proxy, proxy):
    """Nothing was sent, so no execution can have been created."""
    proxy.upset("CONNECT", *[answer(407)] * 5)
    with pytest.raises(ConnectionFailed, match=r"no connection through the proxy: .*407") as caught:
        request(sessions, "POST", tls_server.url + CREATE, through_proxy, {})
    assert caught.value.correlation_id is None
    assert tls_server.connections == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_told_from_a_server(sessions, scheme):
    """The error says that it is the proxy, and shows nothing of its credentials."""
    proxies = {"https": f"{scheme}://jane:hunter2@127.0.0.1:1"}
    with pytest.raises(
        ConnectionFailed, match=r"no connection through the proxy: .*refused"
    ) as got:
        request(sessions, "GET", "https://kestra.invalid" + SEARCH, Settings(proxies=proxies), {})
    assert not isinstance(got.value, ConnectTimeout)
    assert "hunter2" not in "".join(traceback.format_exception(got.value))


def test_a_tunnel_that_leads_nowhere_leaves_no_doubt(sessions, through_proxy, proxy, slept):
    """What breaks before the server is spoken to has sent it nothing: the request is repeated."""

    def breaks(exchange):
        exchange.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return True

    proxy.upset("CONNECT", *[breaks] * 5)
    with pytest.raises(ConnectionFailed, match="after 5 attempts: no connection") as caught:
        request(sessions, "POST", "https://kestra.invalid" + CREATE, through_proxy, {})
    assert caught.value.correlation_id is None
    assert slept == [1, 2, 4, 8, 16]


def test_a_proxy_cannot_hold_a_request(sessions, through_proxy, proxy):
    """The time to open a tunnel is that for a connection."""

    def refuse_late(exchange):
        if not select.select([exchange.connection], [], [], DEADLINE)[0]:
            exchange.send(b"HTTP/1.1 503 Busy\r\n\r\n")
        return True

    proxy.upset("CONNECT", refuse_late)
    settings = replace(through_proxy, timeout=(0.1, 30), policy=urllib3.Retry(0))
    with pytest.raises(ConnectionFailed, match="no connection within the timeout"):
        request(sessions, "GET", "https://kestra.invalid" + SEARCH, settings, {})


def test_answers_through_a_tunnel_are_bounded(tls_server, sessions, through_proxy):
    """A server that drips its response is given up there, too."""
    tls_server.upset("GET", drip_body)
    settings = replace(through_proxy, timeout=(5, 0.1), policy=urllib3.Retry(0))
    with pytest.raises(RequestTimeout):
        search(sessions, tls_server, settings)
    assert tls_server.count("GET") == 1


def test_a_large_file_goes_through_a_tunnel(tls_server, through_proxy, certificate, tmp_path):
    """Both ways: sent as an input, and downloaded."""
    content = os.urandom(3_000_000)
    tls_server.engine.file = content
    path = tmp_path / "file"
    path.write_bytes(content)
    with Flow(
        hostname=tls_server.url,
        verify=str(certificate),
        proxies=through_proxy.proxies,
        wait_for_completion=False,
    ) as flow:
        started = flow.execute("company.team", "report", {"file": path})
        down = flow.download(started.execution_id, "kestra:///file", tmp_path / "down")
    assert tls_server.requests[0].parts[0]["file"] == content
    assert down.read_bytes() == content
    assert tls_server.connections == 1


def test_a_stream_of_events_comes_through_a_tunnel(tls_server, sessions, through_proxy):
    """Each event as it is sent, and closing ends it at once."""
    inbox = Queue()
    tls_server.upset("GET", stream(event({"n": 1}), event({"n": 2}), then=hang))
    url = tls_server.url + "/api/v1/executions/x/follow"
    response = request(sessions, "GET", url, through_proxy, {"stream": True})
    read = Stream(response, inbox)
    assert [inbox.get(timeout=10)[1].data for _ in range(2)] == ['{"n": 1}', '{"n": 2}']
    read.close()
    assert inbox.get(timeout=10)[1] is None


class Socks(Loopback):
    """A proxy of another kind, which leads to one port."""

    def __init__(self, port):
        super().__init__()
        self.url = f"socks5://127.0.0.1:{self.port}"
        self._leads_to = port

    def _serve(self, connection, number):
        connection.settimeout(10)
        with connection:
            if connection.recv(100)[:1] != b"\x05":  # the test is over
                return
            connection.sendall(b"\x05\x00")
            asked = b"\x05\x01\x00\x01\x7f\x00\x00\x01" + self._leads_to.to_bytes(2, "big")
            assert connection.recv(100) == asked
            connection.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
            with socket.create_connection(("127.0.0.1", self._leads_to), timeout=10) as server:
                pass_on(connection, server, self.stopped)


def test_a_socks_proxy_is_used(either, sessions, settings):
    """As `requests` has it, where PySocks is installed; answers are bounded there, too."""
    pytest.importorskip("socks")
    with Socks(either.port) as socks:
        settings = replace(settings, proxies={"http": socks.url, "https": socks.url})
        for _ in range(2):
            assert search(sessions, either, settings).json()["total"] == 0
        assert (socks.connections, either.connections) == (1, 1)
        either.upset("GET", drip_body)
        search(sessions, either, replace(settings, timeout=(5, 0.1)))
        assert either.count("GET") == 4


# --- servers ---


def test_a_server_may_have_an_address_of_ipv6(tls, sessions, settings):
    """With its brackets."""
    try:
        server = Loopback(tls=tls, host="::1")
    except OSError:
        pytest.skip("needs IPv6")
    with server:
        assert server.url.startswith("https://[::1]:")
        assert search(sessions, server, settings).json()["total"] == 0


def test_a_certificate_may_go_unchecked(tls_server):
    """`verify=False` is for tests; urllib3 warns."""
    with (
        Flow(hostname=tls_server.url, verify=False, wait_for_completion=False) as flow,
        pytest.warns(urllib3.exceptions.InsecureRequestWarning),
    ):
        assert flow.execute("company.team", "report").execution_id == "execution0"
    assert tls_server.connections == 1


def test_a_session_of_the_callers_own_may_have_a_client_certificate(certificate, proxy):
    """And proxies, and adapters."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(certificate)
    with Loopback(tls=tls) as server, requests.Session() as own:
        own.cert = own.verify = str(certificate)
        own.proxies = {"https": proxy.url}
        with Flow(hostname=server.url, session=own, wait_for_completion=False) as flow:
            assert flow.execute("company.team", "report").execution_id == "execution0"
        assert (proxy.count("CONNECT"), server.connections) == (1, 1)


def of_http_1_0(exchange):
    """Respond as servers of HTTP/1.0 do: the end of the connection is the end of the response."""
    body = as_json({"results": [], "total": 7}).body
    exchange.send(b"HTTP/1.0 200 OK\r\n\r\n" + body)
    return True


def test_an_answer_may_end_with_its_connection(either, sessions, settings):
    """The next request has a connection of its own."""
    either.upset("GET", of_http_1_0)
    assert search(sessions, either, settings).json()["total"] == 7
    assert search(sessions, either, settings).json()["total"] == 0
    assert either.connections == 2


def test_an_answer_without_a_length_is_bounded(either, sessions, settings):
    """It has to end in time."""

    def endless(exchange):
        exchange.send(b"HTTP/1.0 200 OK\r\n\r\n")
        while not exchange.server.stopped.wait(0.01):
            exchange.send(b" ")
        return True

    endless.is_silent = True
    either.upset("GET", endless)
    settings = replace(settings, timeout=(5, 0.1))
    assert search(sessions, either, settings).json()["total"] == 0
    assert either.count("GET") == 2


# --- bodies that are taken slowly ---


class Busy(Loopback):
    """A server that takes its time before it reads a request."""

    def _receive(self, connection, stream, number):
        if not any(each.connection == number for each in self.requests):
            self.stopped.wait(0.2)
        return super()._receive(connection, stream, number)


def test_a_server_may_pause_while_it_takes_a_body(sessions):
    """Longer than it may take to connect; as long as it may take to respond."""
    content = bytes(1 << 24)  # more than fits into the buffers of both ends
    with Busy() as server:
        settings = Settings(timeout=(0.1, 10))
        files = {"files": {"orders": ("orders.csv", content)}}
        request(sessions, "POST", server.url + CREATE, settings, files)
        assert server.requests[0].parts[0] == {"orders": content}
    assert len(server.requests) == 1


def test_a_server_that_stops_taking_a_body_is_given_up(sessions):
    """A pause beyond the read timeout is a timeout; the request may have been carried out."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}{CREATE}"
        settings = Settings(timeout=(5, 0.1), policy=urllib3.Retry(0))
        files = {"files": {"orders": ("orders.csv", bytes(1 << 24))}}
        with pytest.raises(RequestTimeout, match="may exist"):
            request(sessions, "POST", url, settings, files)


# --- caches ---


def test_every_request_asks_past_caches(server, sessions):
    """A poll that a cache answers would never see the end; a header of the caller's goes before."""
    url = server.url + SEARCH
    request(sessions, "GET", url, Settings(), {})
    request(sessions, "GET", url, Settings(headers={"cache-control": "max-age=60"}), {})
    sent = [each.headers["cache-control"] for each in server.requests]
    assert sent == ["no-cache", "max-age=60"]


def test_a_caching_session_does_not_keep_a_poll(server):
    """Nor does a cache that is installed for the whole program."""
    cached = pytest.importorskip("requests_cache").CachedSession(backend="memory")
    server.engine.states = ["CREATED", "RUNNING", "SUCCESS"]
    with cached, Flow(hostname=server.url, session=cached) as flow:
        assert flow.execute("company.team", "report").status == "SUCCESS"
