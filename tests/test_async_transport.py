"""The tests of test_transport.py that send requests, as `AsyncFlow` sends them."""

import pytest
import test_transport
from faces import shared

globals().update(
    shared(
        test_transport,
        "test_a_connection_that_takes_too_long_is_a_timeout",  # patches urllib3
        "test_a_location_that_is_none_is_an_error_that_does_not_show_it",  # `requests` parses it
        "test_redirects_can_be_left_to_the_caller",  # an argument of `Flow._make_request`
        "test_netrc_never_overrides_what_was_given",  # it is never read; see test_async_flow.py
        "test_a_hundred_threads_share_a_session",  # a loop has one thread
        "test_answers_can_be_streamed",  # of `Flow._make_request` too
    )
)


@pytest.fixture(autouse=True)
def _asynchronous(monkeypatch):
    """What sends a request is that of `AsyncFlow`."""
    monkeypatch.setattr(test_transport, "request", lambda to, *args, **kw: to.request(*args, **kw))
