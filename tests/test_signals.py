"""What a signal handler raises, such as a deadline, ends the call that it interrupts."""

import signal
import sys
import threading

import pytest
from loopback import DEADLINE, answer, carried_out, reset

from kestra import Kestra
from kestra._task import frames
from kestra._values import text
from kestra.exceptions import KestraError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture
def strike():
    """A fault: the client gets a signal, whose handler raises what the test says."""
    struck = threading.Event()

    def handler(*_):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # as one does that is to strike once
        struck.set()
        raise strike.error

    def strike(exchange, begun=b""):
        exchange.send(begun)
        for _ in range(int(100 * DEADLINE)):  # one right before a system call does not interrupt it
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            if struck.wait(0.01):
                return True
        raise AssertionError("the client goes on")

    before = signal.signal(signal.SIGUSR1, handler)
    yield strike
    signal.signal(signal.SIGUSR1, before)


def half_sent(strike):
    """A fault: it strikes in the middle of a response."""
    return lambda exchange: strike(exchange, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")


ERRORS = [TimeoutError, ConnectionError, OSError, ValueError]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("kind", ["before", "amid"])
def test_a_deadline_ends_a_poll(flow, server, strike, error, kind):
    """A library takes it for an error of the network, which would be tried again."""
    strike.error = error("my deadline")
    server.engine.add("id1")
    server.upset("GET /api/v1/executions/id1", strike if kind == "before" else half_sent(strike))
    with pytest.raises(error) as caught:
        flow.wait("id1")
    assert caught.value is strike.error
    assert server.count("GET /api/v1/executions/id1") == 1


def test_a_deadline_ends_a_creation(flow, server, strike, caplog):
    """It says where to look for the execution, as every other exception does."""
    strike.error = TimeoutError("my deadline")
    server.upset("POST", carried_out(strike))
    with pytest.raises(TimeoutError) as caught:
        flow.execute("company.team", "my_flow")
    assert caught.value is strike.error
    assert server.methods()["POST"] == 1
    (note,) = getattr(caught.value, "__notes__", caplog.messages)
    assert "look in company.team.my_flow for the label system.correlationId:" in note


@pytest.mark.parametrize("place", ["/logs/", "/outputs/"])
def test_a_deadline_ends_what_costs_no_result(flow, server, strike, place):
    """Failures to fetch the log, or the outputs, are warnings; a deadline is none."""
    server.engine.shown = {"taskRunList": [{"id": "r", "state": {"current": "SUCCESS"}}]}
    server.engine.store.version = "2.0"
    strike.error = TimeoutError("my deadline")
    server.upset(place, strike)
    with pytest.raises(TimeoutError, match=r"^my deadline"):
        flow.execute("company.team", "my_flow")


def test_a_deadline_ends_the_opening_of_an_input(flow, strike):
    """What opens a pipe waits for somebody who writes to it."""

    class Fifo:
        def __fspath__(self):
            signal.raise_signal(signal.SIGUSR1)
            return "never opened"

    strike.error = TimeoutError("my deadline")
    with pytest.raises(TimeoutError, match=r"^my deadline"):
        flow.execute("company.team", "my_flow", {"file": Fifo()})


def test_a_deadline_that_was_handled_before_is_over(flow, server, strike):
    """What is done in its place meets failures of its own."""
    strike.error = TimeoutError("my deadline")
    server.engine.add("id1")
    server.upset("GET /api/v1/executions/id1", strike, reset, *[answer(500)] * 9)
    try:
        flow.wait("id1")
    except TimeoutError:
        with pytest.raises(KestraError, match="500"):
            flow.wait("id1")


def test_a_deadline_ends_the_reading_of_requests(flow, server):
    """It is no error of the caller's own iterable, which ends it when all others have ended."""

    def handler(number, frame):
        raise TimeoutError("my deadline")

    def requests():
        handler(signal.SIGALRM, sys._getframe())
        yield ("company.team", "report")

    with pytest.raises(TimeoutError, match="my deadline"):
        list(flow.execute_all(requests()))
    assert server.requests == []


@pytest.mark.parametrize("outputs", [{"a": 1}, {"a": [1]}], ids=["small", "encoded"])
def test_a_deadline_ends_the_encoding_of_a_message(strike, monkeypatch, capsys, outputs):
    """A `ValueError` of a handler, as of text that it cannot print, is none of a value."""
    strike.error = ValueError("my deadline")

    def struck(*_):
        signal.raise_signal(signal.SIGUSR1)
        return ()

    monkeypatch.setattr(frames, "quote", struck)
    monkeypatch.setattr(text, "_encode", struck)
    monkeypatch.setattr(text, "_encoder", lambda _: struck)
    with pytest.raises(ValueError, match="my deadline") as caught:
        Kestra.outputs(outputs)
    assert caught.value is strike.error
    assert capsys.readouterr().out == ""
