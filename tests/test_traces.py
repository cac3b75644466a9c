"""Requests carry the current span of OpenTelemetry, where that is loaded."""

import subprocess
import sys
from types import ModuleType, SimpleNamespace

import optional
import pytest
import responses

from kestra import Flow

URL = "http://localhost:8080/api/v1/main/executions/x1"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"


@pytest.fixture
def trace(monkeypatch):
    """What the API of OpenTelemetry answers: `trace.span`."""
    module = ModuleType("opentelemetry.trace")
    module.span = SimpleNamespace(
        is_valid=True,
        trace_id=0x0AF7651916CD43DD8448EB211C80319C,
        span_id=0x00F067AA0BA902B7,
        trace_flags=1,
    )
    module.get_current_span = lambda: SimpleNamespace(get_span_context=lambda: module.span)
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", module)
    return module


def sent(**arguments):
    """The header of a request."""
    headers = arguments.pop("headers_of_request", {})
    with responses.RequestsMock() as server:
        server.get(URL, json={})
        with Flow(tenant="main", **arguments) as flow:
            flow._make_request("get", URL, headers=headers)
        return server.calls[0].request.headers.get("traceparent")


def test_the_current_span_is_sent(trace):
    """The trace of the server hangs under it."""
    assert sent() == PARENT
    assert sent(headers={"X-Other": "a"}) == PARENT


def test_without_a_span_nothing_is_sent(trace):
    """An invalid one stands for none."""
    trace.span.is_valid = False
    assert sent() is None


def test_a_header_that_was_set_is_kept(trace):
    """However it is spelled, and wherever it was set."""
    assert sent(headers={"Traceparent": "00-a"}) == "00-a"
    assert sent(headers_of_request={"TRACEPARENT": "00-b"}) == "00-b"


def test_real_spans():
    """What is sent is what the library itself sends."""
    optional.require("opentelemetry")
    from opentelemetry import propagate, trace

    context = trace.SpanContext(1 << 100, 1 << 50, is_remote=False, trace_flags=trace.TraceFlags(1))
    carrier = {}
    with trace.use_span(trace.NonRecordingSpan(context)):
        propagate.inject(carrier)
        assert sent() == carrier["traceparent"]
    assert sent() is None


def test_nothing_is_loaded_for_it():
    """A program without OpenTelemetry does not import it."""
    code = "import sys; from kestra import Flow; Flow()._request('get', 'http://a', {})\n"
    code += "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
