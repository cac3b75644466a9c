"""The tests of test_connections.py that send requests, as `AsyncFlow` sends them."""

import pytest
import test_connections
from faces import shared

globals().update(
    shared(
        test_connections,
        "test_requests_through_a_tunnel_share_one_connection",  # httpx2 sends `Accept` to a proxy
        "test_a_stream_of_events_comes_through_a_tunnel",  # read by a thread
    )
)


@pytest.fixture(autouse=True)
def _asynchronous(monkeypatch):
    """What sends a request is that of `AsyncFlow`."""
    monkeypatch.setattr(test_connections, "request", lambda to, *args: to.request(*args)[0])
