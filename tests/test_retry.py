"""The rules of what to do after an attempt."""

import email.utils
import time

import pytest
import requests
import urllib3
from requests_mock import NoMockAddress
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from kestra._api.parsing import header_of
from kestra._http.failures import failure
from kestra._rules.creation import Doubt, Finding, Step, after_search, doubt_after
from kestra._rules.io import Failure, Request, Settings
from kestra._rules.policy import default_policy, is_retried, next_attempt
from kestra._rules.problems import status_of

POOL = urllib3.HTTPConnectionPool("host")


def answer(status, **headers):
    response = requests.Response()
    response.status_code = status
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


def doubt(method, outcome):
    return doubt_after(Request(method, "http://x", Settings(), {}), outcome)


def pauses(policy, outcome):
    """Return the pauses that a policy makes when every attempt brings the same."""
    made = []
    while policy is not None and len(made) < 50:
        policy, pause = next_attempt(policy, outcome)
        made.append(pause)
    return made


# --- what follows from a doubt and a search ---


@pytest.mark.parametrize("doubt", Doubt)
def test_an_execution_that_was_found_is_adopted(doubt):
    """Whatever was in doubt, an execution that is there is not created again."""
    assert after_search(doubt, Finding.FOUND) is Step.ADOPT


@pytest.mark.parametrize(
    ("doubt", "finding", "step"),
    [
        (Doubt.NONE, Finding.IMPOSSIBLE, Step.SEND),
        (Doubt.RESPONDED, Finding.MISSING, Step.SEND),
        (Doubt.RESPONDED, Finding.IMPOSSIBLE, Step.SEND),
        (Doubt.RESPONDED, Finding.UNKNOWN, Step.SEARCH),
        (Doubt.NO_RESPONSE, Finding.MISSING, Step.SEARCH),
        (Doubt.NO_RESPONSE, Finding.UNKNOWN, Step.SEARCH),
        (Doubt.NO_RESPONSE, Finding.IMPOSSIBLE, Step.GIVE_UP),
    ],
)
def test_a_request_is_sent_again_only_where_that_is_known_to_be_right(doubt, finding, step):
    """Not found proves something after a response only; a search that fails proves nothing."""
    assert after_search(doubt, finding) is step


def test_what_a_stand_in_for_the_network_lost_is_sent_again():
    """Where a mock raised in place of a response, and has no search, nothing can exist twice."""
    assert after_search(Doubt.NO_RESPONSE, Finding.IMPOSSIBLE, stand_in=True) is Step.SEND


@pytest.mark.parametrize("doubt", Doubt)
@pytest.mark.parametrize("finding", [it for it in Finding if it is not Finding.FOUND])
@pytest.mark.parametrize("mocked", [True, False])
def test_what_cannot_be_read_twice_is_not_sent_twice(doubt, finding, mocked):
    """A request whose file is used up is never sent again, whatever is known."""
    step = after_search(doubt, finding, stand_in=mocked, repeatable=False)
    assert step in {Step.SEARCH, Step.GIVE_UP}


# --- what an outcome leaves open ---


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 501, 520])
def test_a_failing_server_may_have_carried_out_a_post(status):
    """After 408, 429 and any 5xx the execution may exist."""
    assert doubt("post", answer(status)) is Doubt.RESPONDED


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 409, 422])
def test_a_refused_post_was_not_carried_out(status):
    """A refusal leaves no doubt."""
    assert doubt("POST", answer(status)) is Doubt.NONE


@pytest.mark.parametrize("method", ["get", "GET", "delete", "PUT", "head"])
def test_what_may_be_repeated_leaves_no_doubt(method):
    """Reading twice, and killing twice, does no harm."""
    lost = failure(requests.ReadTimeout(ReadTimeoutError(POOL, "/", "late")))
    assert doubt(method, lost) is Doubt.NONE
    assert doubt(method, answer(503)) is Doubt.NONE


def test_a_post_without_an_answer_is_in_doubt_unless_it_was_never_sent():
    """A reset after sending leaves everything open, a connection that was never made nothing."""
    lost = failure(requests.ConnectionError(ProtocolError("aborted", ConnectionResetError())))
    never = failure(
        requests.ConnectionError(MaxRetryError(POOL, "/", NewConnectionError(POOL, "")))
    )
    assert doubt("POST", lost) is Doubt.NO_RESPONSE
    assert doubt("POST", never) is Doubt.NONE


# --- what an exception says ---


def connection_error(reason):
    return requests.ConnectionError(MaxRetryError(POOL, "/secret", reason))


def caused_by_refusal():
    """What urllib3 makes of a connection that is refused: of the kind of its timeouts."""
    error = NewConnectionError(POOL, "not made")
    error.__cause__ = ConnectionRefusedError("refused")
    return error


@pytest.mark.parametrize(
    ("error", "unsent", "timed_out", "words"),
    [
        (
            connection_error(NewConnectionError(POOL, "no route")),
            True,
            False,
            "no connection",
        ),
        (
            requests.ConnectTimeout(MaxRetryError(POOL, "/", ConnectTimeoutError(POOL, "late"))),
            True,
            True,
            "no connection within the timeout",
        ),
        (
            requests.exceptions.ProxyError(
                MaxRetryError(POOL, "/", ProxyError("proxy", ConnectionRefusedError("no")))
            ),
            True,
            False,
            "no connection through the proxy: no",
        ),
        (
            requests.exceptions.ProxyError(
                MaxRetryError(POOL, "/", ProxyError("proxy", caused_by_refusal()))
            ),
            True,
            False,
            "no connection through the proxy: refused",
        ),
        (
            requests.ReadTimeout(ReadTimeoutError(POOL, "/", "late")),
            False,
            True,
            "no complete response within the timeout",
        ),
        (
            requests.ConnectionError(ProtocolError("aborted", ConnectionResetError(104, "reset"))),
            False,
            False,
            "the connection broke: [Errno 104] reset",
        ),
        (
            requests.ConnectionError(ProtocolError("aborted", TimeoutError("sending"))),
            False,
            True,
            "no complete response within the timeout",
        ),
        (
            requests.exceptions.ChunkedEncodingError(ProtocolError("half")),
            False,
            False,
            "the connection broke: ",
        ),
        (requests.ConnectionError(OSError(5, "io")), False, False, "the connection broke: "),
    ],
)
def test_a_failure_of_the_network_says_what_the_server_can_know(error, unsent, timed_out, words):
    """Whether the request got out, and whether time was short, is read from the cause."""
    found = failure(error)
    assert (found.unsent, found.timed_out, found.stand_in, found.final) == (
        unsent,
        timed_out,
        False,
        False,
    )
    assert found.text.startswith(words)
    assert "/secret" not in found.text


def test_a_failure_before_anything_was_sent_leaves_no_doubt():
    """A broken handshake appears as a broken response; what counts is that nothing was sent."""
    broken = requests.exceptions.SSLError(MaxRetryError(POOL, "/", SSLError("EOF")))
    assert failure(broken, sent=False).unsent
    assert not failure(broken, sent=True).unsent


def test_a_certificate_that_is_not_trusted_is_not_tried_again():
    """Waiting does not make a certificate valid."""
    refused = SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")
    assert failure(requests.exceptions.SSLError(MaxRetryError(POOL, "/", refused))).final


@pytest.mark.parametrize(
    "error", [requests.exceptions.InvalidURL("what?"), requests.TooManyRedirects("many")]
)
def test_what_is_no_fault_of_the_network_is_not_tried_again(error):
    """A request that makes no sense makes none the second time."""
    assert failure(error, sent=True).final


@pytest.mark.parametrize(
    ("error", "final", "refused"),
    [
        (NoMockAddress(requests.Request("GET", "http://x").prepare()), True, True),
        (requests.ConnectionError("Connection refused by Responses - no match"), True, True),
        (requests.ConnectionError("as told by a test"), False, True),
        (requests.ReadTimeout("as told by a test"), False, False),
        (KeyError("unknown route"), True, True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_mocking_library_is_recognised(error, final, refused):
    """An exception with no network behind it comes from a stand-in for the network."""
    found = failure(error, stand_in=True)
    assert found.stand_in
    assert (found.final, found.unknown_to_mock) == (final, refused)


def test_an_exception_after_sending_is_no_mock():
    """A hook of the caller's that raises after the response does not make the network a mock."""
    assert not failure(KeyError("a hook"), sent=True).stand_in
    assert not failure(KeyError("a hook")).stand_in


def test_a_mock_that_lost_an_answer_is_told_by_its_type():
    """`ConnectTimeout` was never sent, `ReadTimeout` was, also when a test raises them."""
    assert failure(requests.ConnectTimeout("t")).unsent
    assert not failure(requests.ReadTimeout("t")).unsent
    assert "ReadTimeout" not in failure(requests.ReadTimeout("t")).text
    assert failure(requests.ConnectionError("t")).text == "ConnectionError: t"


def test_stand_ins_for_responses_need_no_status_and_no_headers():
    """A test's response that has no number as its status is a success, as it used to be."""

    class Response:
        status_code = object()

    assert status_of(Response()) == 200
    assert header_of(Response(), "Retry-After") is None


# --- how often, and when ---


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_the_default_policy_makes_the_published_pauses(status):
    """Five attempts, with pauses of 1, 2, 4, 8 and 16 seconds."""
    assert pauses(default_policy(), answer(status)) == [1, 2, 4, 8, 16]


def test_failures_of_the_network_are_paused_after_like_statuses():
    """A connection that fails, and a timeout, follow the same timing."""
    lost = failure(requests.ReadTimeout(ReadTimeoutError(POOL, "/", "late")))
    mocked = failure(requests.ReadTimeout("late"))
    assert pauses(default_policy(), lost) == [1, 2, 4, 8, 16]
    assert pauses(default_policy(), mocked) == [1, 2, 4, 8, 16]


def test_a_policy_of_the_caller_decides_attempts_and_backoff():
    """`Retry(total=3, backoff_factor=0.5)` is three more attempts, as urllib3 paces them."""
    policy = urllib3.Retry(total=3, backoff_factor=0.5)
    assert pauses(policy, answer(503)) == [0, 1, 2, 0]


def test_a_policy_of_the_caller_decides_the_ceiling():
    """`backoff_max` bounds every pause."""
    policy = urllib3.Retry(total=5, backoff_factor=10, backoff_max=15)
    assert pauses(policy, answer(503)) == [0, 15, 15, 15, 15, 0]


def test_a_policy_of_the_caller_decides_the_jitter():
    """`backoff_jitter` spreads the pauses."""
    policy = urllib3.Retry(total=4, backoff_factor=1, backoff_jitter=0.5)
    made = pauses(policy, answer(503))
    assert all(base <= pause <= base + 0.5 for base, pause in zip((0, 2, 4, 8), made, strict=False))


@pytest.mark.parametrize(
    "policy", [urllib3.Retry(0), urllib3.Retry(False), urllib3.Retry(status=0)]
)
def test_a_policy_without_retries_means_one_attempt(policy):
    """Nothing is left after the first failing attempt."""
    assert next_attempt(policy, answer(503)) == (None, 0)


def test_connection_failures_count_by_the_callers_policy():
    """`connect=1` is one more attempt to connect, however many there are in total."""
    policy = urllib3.Retry(total=10, connect=1)
    late = failure(requests.ConnectTimeout(MaxRetryError(POOL, "/", ConnectTimeoutError(POOL, ""))))
    assert pauses(policy, late) == [0, 0]


@pytest.mark.parametrize(
    ("policy", "method", "status", "retried"),
    [
        (urllib3.Retry(3), "POST", 503, True),
        (urllib3.Retry(3), "POST", 501, False),
        (urllib3.Retry(3, status_forcelist=[501]), "GET", 501, True),
        (urllib3.Retry(3, status_forcelist=[501]), "GET", 503, False),
        (urllib3.Retry(3, allowed_methods={"GET"}), "post", 503, False),
        (urllib3.Retry(3, allowed_methods={"GET"}), "get", 503, True),
        (urllib3.Retry(3, allowed_methods=None), "post", 503, True),
    ],
)
def test_statuses_and_methods_are_the_policys_where_it_names_them(policy, method, status, retried):
    """What a policy does not name is as published: six statuses, every method."""
    assert is_retried(policy, method, status) is retried


def test_a_policy_keeps_its_methods_from_attempt_to_attempt():
    """What the caller allowed holds for the later attempts too."""
    policy, _ = next_attempt(urllib3.Retry(3, allowed_methods={"GET"}), answer(503))
    assert policy.allowed_methods == {"GET"}


@pytest.mark.parametrize(
    ("wish", "pause"),
    [("7", 7), ("0", 1), ("3600", 60), ("soon", 1), ("-5", 1), ("9" * 400, 60)],
)
def test_retry_after_is_honoured_up_to_a_minute(wish, pause):
    """Seconds are taken, up to sixty; what is no time is ignored."""
    assert next_attempt(default_policy(), answer(503, Retry_After=wish))[1] == pause


def test_retry_after_may_be_a_date(monkeypatch):
    """A date in the future is waited for, one in the past is not."""
    now = 1_800_000_000
    monkeypatch.setattr(time, "time", lambda: now)
    for offset, pause in ((30, 30), (7200, 60), (-30, 1)):
        date = email.utils.formatdate(now + offset, usegmt=True)
        assert next_attempt(default_policy(), answer(429, Retry_After=date))[1] == pause


def test_retry_after_can_be_switched_off():
    """`respect_retry_after_header=False` is respected."""
    policy = urllib3.Retry(3, respect_retry_after_header=False)
    assert next_attempt(policy, answer(503, Retry_After="7"))[1] == 0


@pytest.mark.skipif(
    not hasattr(urllib3.Retry, "DEFAULT_RETRY_AFTER_MAX"), reason="older urllib3 has no such option"
)
def test_the_callers_own_ceiling_for_retry_after_counts():
    """`retry_after_max` takes the place of sixty seconds."""
    policy = urllib3.Retry(3, retry_after_max=5)
    assert next_attempt(policy, answer(503, Retry_After="3600"))[1] == 5


def test_a_mocks_headers_ask_for_nothing():
    """A header that is no text, as a mock has it, is no wish."""
    from unittest.mock import Mock

    assert next_attempt(default_policy(), Mock(status_code=503))[1] == 1


def test_failures_are_told_apart_by_the_error_behind_the_error():
    """The urllib3 error is found as an argument, and as a cause."""
    outer = requests.ConnectionError("text")
    outer.__cause__ = ReadTimeoutError(POOL, "/", "late")
    assert failure(outer).timed_out
    assert isinstance(failure(ProtocolError("raw")), Failure)
    assert not failure(ProtocolError("raw")).stand_in


def test_an_error_of_requests_is_not_what_is_behind_another():
    """Its text holds the URL: it is never shown as the reason."""
    outer = requests.ConnectionError("outer")
    outer.__context__ = requests.ConnectionError("inner")
    assert failure(outer).reason is outer
