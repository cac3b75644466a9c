"""Requests with all their attempts, on real sockets."""

import io
import json
import logging
import math
import os
import pickle
import socket
import ssl
import threading
import time
from contextlib import contextmanager

import pytest
import requests
import urllib3
from loopback import (
    Loopback,
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
from sending import request

from kestra import Flow
from kestra._api.credentials import credentials
from kestra._api.models import CORRELATION
from kestra._http.sessions import Sessions
from kestra._rules.attempts import annotate
from kestra._rules.io import Settings
from kestra.exceptions import (
    APIError,
    AuthenticationError,
    Conflict,
    ConnectionFailed,
    ConnectTimeout,
    FailedExponentialBackoff,
    InvalidInput,
    MalformedResponse,
    NotFound,
    PermissionDenied,
    RequestTimeout,
    ServerError,
)

HASTY = Settings(timeout=(5, 0.1))
PATIENT = Settings(timeout=(30, 30))
CREATE = f"/api/v1/executions/n/f?labels={CORRELATION}:c"


pytestmark = pytest.mark.usefixtures("slept", "patience")


@pytest.fixture
def sessions():
    sessions = Sessions()
    yield sessions
    sessions.close()


@pytest.fixture
def send(server, sessions):
    """Send a request to the server and return the response."""

    def send(
        method="GET",
        path="/api/v1/executions/search?labels=a:b",
        access=HASTY,
        within=math.inf,
        **arguments,
    ):
        return request(sessions, method, server.url + path, access, arguments, within=within)[0]

    return send


@contextmanager
def handler(function):
    with Loopback(function) as server:
        yield server


# --- reading ---


@pytest.mark.parametrize("fault", [reset, close, garbage, truncate, hang, drip, drip_body])
def test_reading_is_repeated_after_any_failure(server, send, slept, fault):
    """A reset, a closed connection, garbage, half a response, silence, dripping: once more."""
    server.upset("GET", fault)
    assert send().json() == {"results": [], "total": 0}
    assert slept == [1]
    assert server.count("GET") == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (reset, ConnectionFailed),
        (close, ConnectionFailed),
        (garbage, ConnectionFailed),
        (truncate, ConnectionFailed),
        (hang, RequestTimeout),
        (drip, RequestTimeout),
        (drip_body, RequestTimeout),
    ],
)
def test_reading_that_keeps_failing_ends_in_an_error(server, send, slept, fault, error):
    """After five attempts the error says how often, and why; `requests` has the same kind."""
    server.upset("GET", *[fault] * 5)
    with pytest.raises(error, match="GET /api/v1/executions/search failed after 5 attempts") as got:
        send(access=Settings(timeout=(5, 0.05)))
    assert slept == [1, 2, 4, 8, 16]
    assert (got.value.attempts, got.value.status, got.value.correlation_id) == (5, None, None)
    assert got.value.cause is not None
    assert not isinstance(got.value.cause, requests.RequestException)  # its text holds the URL


def test_a_server_that_is_not_there_ends_in_an_error(sessions, slept):
    """A refused connection is tried again; the error names the server, without what is secret.

    It is a `requests.ConnectionError`.
    """
    with pytest.raises(ConnectionFailed, match="Connection refused") as caught:
        request(sessions, "GET", "http://jane:hunter2@127.0.0.1:1/api/v1/x?day=2026", PATIENT, {})
    assert str(caught.value).startswith("GET /api/v1/x failed after 5 attempts: no connection")
    assert str(caught.value).endswith(" (server: http://127.0.0.1:1)")
    assert slept == [1, 2, 4, 8, 16]
    assert isinstance(caught.value, requests.ConnectionError)


def test_a_connection_that_takes_too_long_is_a_timeout(sessions, monkeypatch):
    """A host that does not respond is both a connection error and a timeout."""

    def too_late(*_, **__):
        raise TimeoutError("timed out")

    monkeypatch.setattr(urllib3.util.connection, "create_connection", too_late)
    with pytest.raises(ConnectTimeout, match="no connection within the timeout"):
        request(sessions, "GET", "http://127.0.0.1:1/", PATIENT, {})


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_statuses_that_pass_are_waited_for(server, send, slept, status):
    """Five attempts with pauses of 1, 2, 4, 8 and 16 s, then `FailedExponentialBackoff`."""
    server.upset("GET", *[answer(status, b'{"message": "busy"}')] * 5)
    with pytest.raises(FailedExponentialBackoff, match=f"5 attempts: {status} .*: busy") as caught:
        send()
    assert slept == [1, 2, 4, 8, 16]
    assert server.count("GET") == 5
    assert (caught.value.attempts, caught.value.status, caught.value.message) == (5, status, "busy")
    assert caught.value.cause is None
    assert type(caught.value) is FailedExponentialBackoff


def test_retry_after_takes_the_place_of_the_pause(server, send, slept):
    """What the server asks for is granted, up to a minute."""
    server.upset("GET", answer(503, Retry_After="7"), answer(429, Retry_After="3600"), answer(503))
    send()
    assert slept == [7, 60, 4]


def test_a_policy_of_the_caller_is_followed(server, send, slept):
    """Attempts, backoff and statuses are those of the `urllib3.Retry` that was given."""
    policy = urllib3.Retry(total=2, backoff_factor=3, status_forcelist=[418])
    server.upset("GET", *[answer(418)] * 3)
    with pytest.raises(FailedExponentialBackoff):
        send(access=Settings(policy=policy))
    assert slept == [6]
    assert server.count("GET") == 3
    server.upset("GET", answer(503))
    with pytest.raises(ServerError):
        send(access=Settings(policy=policy))


def test_a_status_without_a_name_is_shown_as_its_number(send, server):
    """Proxies have statuses of their own."""
    server.upset("GET", answer(599))
    with pytest.raises(ServerError, match=r"search: 599$"):
        send()


def test_no_request_goes_on_past_its_end(server, send, slept):
    """With a limit, attempts and pauses are cut to what is left of the time."""
    server.upset("GET", *[hang] * 5)
    with pytest.raises(RequestTimeout):
        send(access=Settings(timeout=(10, 60)), within=0.3)
    assert server.count("GET") == 1
    assert all(pause <= 0.3 for pause in slept)


# --- creating ---


# These three carry out what they then tell badly; the others need to be told to.
BADLY_TOLD = [truncate, drip, drip_body]
UNTOLD = [reset, close, garbage, hang, *map(answer, (408, 429, 500, 502, 503, 504, 501, 524, 204)),
          *(answer(200, body) for body in (b"<html>welcome</html>", b"[]", b"{}"))]  # fmt: skip


@pytest.mark.parametrize("fault", [*BADLY_TOLD, *map(carried_out, UNTOLD)])
def test_an_execution_that_was_created_is_found_and_not_created_again(server, send, fault):
    """Whatever happens to the response: one POST, one execution, and its id."""
    server.upset("POST", fault)
    assert send("POST", CREATE).json()["id"] == "execution0"
    assert len(server.engine.executions) == server.count("POST") == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_post_that_was_answered_and_left_nothing_is_sent_again(server, send, slept, status):
    """A failure, and no execution: the POST is repeated, as published."""
    server.upset("POST", answer(status))
    assert send("POST", CREATE).json()["id"] == "execution0"
    assert slept == [1]
    assert (server.count("POST"), server.count("/search"), len(server.engine.executions)) == (
        2,
        1,
        1,
    )


@pytest.mark.parametrize("fault", [reset, close, garbage, hang])
def test_a_post_that_was_not_answered_is_never_sent_again(server, send, slept, fault):
    """Nothing found proves nothing: it is searched for throughout, and the error says where."""
    server.upset("POST", fault)
    with pytest.raises(
        FailedExponentialBackoff, match=f"may exist: .*n.f .*{CORRELATION}:c"
    ) as got:
        send("POST", CREATE)
    assert got.value.correlation_id == "c"
    assert got.value.attempts == 1
    assert slept == [1, 2, 4, 8, 16]
    assert (server.count("POST"), server.count("/search")) == (1, 5)


def test_a_post_that_arrives_late_is_found(server, send):
    """An execution that comes to light during the backoff is adopted."""
    late = []

    def slow(exchange):
        late.append(exchange)
        return reset(exchange)

    def carried_out_now(exchange):
        if server.count("/search") == 3:
            late[0].carry_out()
        return fine(exchange)

    server.upset("POST", slow)
    server.upset("/search", fine, fine, carried_out_now)
    assert send("POST", CREATE).json()["id"] == "execution0"
    assert server.count("POST") == 1


def test_a_connection_that_was_never_made_is_tried_again_without_a_search(sessions, slept):
    """What was never sent was not carried out."""
    with pytest.raises(ConnectionFailed) as caught:
        request(sessions, "POST", "http://127.0.0.1:1" + CREATE, PATIENT, {})
    assert (caught.value.attempts, caught.value.correlation_id) == (5, None)
    assert slept == [1, 2, 4, 8, 16]


def test_a_search_that_fails_proves_nothing(server, send, slept):
    """While the search fails the POST is not repeated; once it responds, it is."""
    server.upset("POST", answer(503))
    server.upset("/search", answer(503), reset, answer(200, b"no json"))
    assert send("POST", CREATE).json()["id"] == "execution0"
    assert slept == [1, 2, 4, 8]
    assert (server.count("POST"), server.count("/search")) == (2, 4)


def test_a_search_that_never_answers_leaves_the_question_open(server, send):
    """The execution may exist, and the error says so."""
    server.upset("POST", answer(503))
    server.upset("/search", *[answer(500)] * 5)
    with pytest.raises(FailedExponentialBackoff, match="may exist") as caught:
        send("POST", CREATE)
    assert caught.value.status == 503
    assert caught.value.correlation_id == "c"
    assert server.count("POST") == 1


@pytest.mark.parametrize("status", [404, 405])
def test_without_a_search_a_post_that_was_answered_is_sent_again(server, send, slept, status):
    """Where there is nothing to ask, it goes on as published; it is asked once only."""
    server.upset("/search", answer(status))
    server.upset("POST", *[answer(503)] * 4)
    assert send("POST", CREATE).json()["id"] == "execution0"
    assert slept == [1, 2, 4, 8]
    assert (server.count("POST"), server.count("/search")) == (5, 1)


def test_without_a_search_a_post_that_was_not_answered_ends_in_an_error(server, send):
    """A second POST could be a second execution."""
    server.engine.searchable = False
    server.upset("POST", carried_out(reset))
    with pytest.raises(ConnectionFailed, match="may exist"):
        send("POST", CREATE)
    assert len(server.engine.executions) == server.count("POST") == 1


def test_a_server_that_ignores_the_question_is_asked_in_its_own_words(server, send):
    """A version that does not know `filters` shows everything; then `labels` is tried."""
    everything = as_json({"results": [{"id": "x", "labels": []}], "total": 1})

    def of_0_21(exchange):
        exchange.carry_out = lambda: everything
        return fine(exchange)

    server.upset("POST", carried_out(answer(504)))
    server.upset("/search", of_0_21)
    assert send("POST", CREATE).json()["id"] == "execution0"
    assert "filters%5B" in server.requests[-2].target
    assert server.requests[-1].query["labels"] == [f"{CORRELATION}:c"]
    assert len(server.engine.executions) == 1


EVERYTHING = json.dumps({"results": [{"id": "x", "labels": []}]}).encode()


@pytest.mark.parametrize("replies", [[answer(200, EVERYTHING)] * 2, [answer(400), answer(422)]])
def test_a_server_that_answers_no_form_of_the_question_cannot_be_asked(server, send, replies):
    """Where everything comes back, or a refusal, a failing response is followed by another POST."""
    server.upset("POST", answer(503))
    server.upset("/search", *replies)
    assert send("POST", CREATE).json()["id"] == "execution0"
    assert (server.count("POST"), server.count("/search")) == (2, 2)


def test_a_failure_that_is_not_retried_is_looked_into_too(server, send):
    """After an unusual 5xx the execution is searched for once, and the error is the server's."""
    server.upset("POST", answer(501, b'{"message": "what?"}'))
    with pytest.raises(ServerError, match=r"501 Not Implemented: what?"):
        send("POST", CREATE)
    assert (server.count("POST"), server.count("/search")) == (1, 1)


@pytest.mark.parametrize("reply", [answer(501), answer(200, b"<html>")])
def test_an_unusual_answer_is_looked_into_until_the_search_answers(server, send, slept, reply):
    """A search that fails is repeated; the execution that it finds at last is adopted."""
    server.upset("POST", carried_out(reply))
    server.upset("/search", answer(503), reset)
    assert send("POST", CREATE).json()["id"] == "execution0"
    assert slept == [1, 2]
    assert server.count("POST") == 1


@pytest.mark.parametrize("reply", [answer(501), answer(200, b"<html>")])
def test_an_unusual_answer_that_stays_unexplained_is_an_error_that_says_so(server, send, reply):
    """If the search fails throughout, the execution may exist."""
    server.upset("POST", carried_out(reply))
    server.upset("/search", *[answer(503)] * 9)
    with pytest.raises(FailedExponentialBackoff, match="may exist") as caught:
        send("POST", CREATE)
    assert caught.value.correlation_id == "c"
    assert (server.count("POST"), server.count("/search")) == (1, 6)


def test_a_page_in_answer_to_everything_is_told_at_once(sessions, slept):
    """That is how a proxy asks for a login; whether it did anything before, nobody knows."""
    page = answer(200, b"<html>", Content_Type="text/html")
    with Loopback() as server:
        server.upset(" /", *[page] * 9)
        with pytest.raises(MalformedResponse, match=r"Kestra server\? The execution may") as caught:
            request(sessions, "POST", server.url + CREATE, PATIENT, {})
        assert server.methods() == {"POST": 1, "GET": 1}
    assert not slept
    assert pickle.loads(pickle.dumps(caught.value)).correlation_id == "c"


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (answer(501, b'{"message": "What?"}'), ServerError, r"501 .*: What\? The execution may"),
        (answer(501), ServerError, r"501 Not Implemented\. The execution may exist"),
        (answer(200, b"{}"), MalformedResponse, r"lacks the id .*The execution may exist"),
    ],
)
def test_an_unusual_answer_without_a_search_is_an_error_that_says_so(
    server, send, reply, error, words
):
    """Nothing says that there is no execution."""
    server.engine.searchable = False
    server.upset("POST", carried_out(reply))
    with pytest.raises(error, match=words) as caught:
        send("POST", CREATE)
    assert caught.value.correlation_id == "c"
    assert server.count("POST") == 1


def test_where_nothing_was_proven_the_error_says_so(server, send):
    """Five failing responses and no search: one of the POSTs may have been carried out."""
    server.engine.searchable = False
    server.upset("POST", *[carried_out(answer(503))] * 5)
    with pytest.raises(FailedExponentialBackoff, match=r"after 5 attempts: 503 .*may exist"):
        send("POST", CREATE)


def test_an_answer_without_an_id_is_handed_out_if_nothing_was_created(server, send):
    """Whoever asked has to judge it."""
    server.upset("POST", answer(200, b"<html>"))
    assert send("POST", CREATE).text == "<html>"


def test_other_posts_are_repeated_after_an_answer_only(server, send, slept):
    """A POST that cannot be found again is sent again after a status, as published, only."""
    path = "/api/v1/executions/n/f"
    server.upset("POST", answer(503))
    send("POST", path)
    assert slept == [1]
    server.upset("POST", reset)
    with pytest.raises(ConnectionFailed, match=r"after 1 attempt: .*may have been carried out"):
        send("POST", path)
    assert server.count("POST") == 3


def test_an_adopted_execution_is_a_response_like_any(server, send):
    """`json`, `text` and the status are there."""
    server.upset("POST", carried_out(answer(503)))
    response = send("POST", CREATE)
    assert response.status_code == 200
    assert json.loads(response.text) == response.json()
    assert str(response.url) == server.url + CREATE


def test_an_interruption_says_what_may_have_been_created(server, send, monkeypatch, caplog):
    """Ctrl-C between a POST and its response leaves a trace."""

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    server.upset("POST", carried_out(answer(503)))
    with pytest.raises(KeyboardInterrupt) as caught:
        send("POST", CREATE)
    notes = getattr(caught.value, "__notes__", caplog.messages)
    assert any(f"{CORRELATION}:c" in note for note in notes)


def test_an_interruption_of_anything_else_leaves_no_trace(server, send, monkeypatch):
    """Reading leaves nothing behind."""

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    server.upset("GET", answer(503))
    with pytest.raises(KeyboardInterrupt) as caught:
        send()
    assert not getattr(caught.value, "__notes__", [])


def test_an_exception_after_sending_says_what_may_have_been_created(server, caplog):
    """A hook of the caller's session raises what it likes; the POST is not repeated for it."""

    def hook(response, **_):
        response.close()
        raise KeyError("own")

    with requests.Session() as own:
        own.hooks["response"].append(hook)
        with pytest.raises(KeyError) as caught:
            request(Sessions(own), "POST", server.url + CREATE, PATIENT, {})
    notes = getattr(caught.value, "__notes__", caplog.messages)
    assert any(f"{CORRELATION}:c" in note for note in notes)
    assert len(server.requests) == 1


# --- files ---


def files(content, name="f"):
    return {"t": (None, "text"), name: (name, content)}


@pytest.mark.parametrize(
    "content", [lambda: b"content", lambda: io.BytesIO(b"content"), lambda: io.StringIO("content")]
)
def test_every_attempt_sends_the_whole_file(server, send, content):
    """After a 503 the file is sent again, not an empty one."""
    server.upset("POST", answer(503))
    send("POST", CREATE, files=files(content()))
    posts = [each for each in server.requests if each.method == "POST"]
    assert [each.parts for each in posts] == [
        ({"t": b"text", "f": b"content"}, {"t": None, "f": "f"})
    ] * 2


def test_a_large_file_arrives(server, send, tmp_path):
    """A file that does not go into memory is sent from the disk, and again."""
    path = tmp_path / "large"
    path.write_bytes(os.urandom(3_000_000))
    server.upset("POST", answer(503))
    with path.open("rb") as file:
        send("POST", CREATE, PATIENT, files=files(file))
    posts = [each for each in server.requests if each.method == "POST"]
    assert [each.parts[0]["f"] == path.read_bytes() for each in posts] == [True, True]


def unseekable(data):
    read, write = os.pipe()
    with os.fdopen(write, "wb") as end:
        end.write(data)
    return os.fdopen(read, "rb")


@pytest.mark.parametrize("path", [CREATE, "/api/v1/executions/n/f"])
def test_a_file_that_cannot_be_rewound_is_never_sent_twice(server, send, path):
    """After a 503 there is an error that says why nothing was sent again."""
    server.upset("POST", answer(503))
    with (
        unseekable(b"content") as pipe,
        pytest.raises(
            FailedExponentialBackoff, match=r"after 1 attempt: 503 .* cannot be read twice"
        ),
    ):
        send("POST", path, files=files(pipe))
    assert server.count("POST") == 1
    assert server.requests[0].parts[0]["f"] == b"content"


def test_a_file_that_cannot_be_rewound_is_sent_once_without_a_fault(server, send):
    """A pipe will do where everything goes well."""
    with unseekable(b"content") as pipe:
        assert send("POST", CREATE, files=files(pipe)).json()["id"] == "execution0"


def test_bodies_of_other_kinds_are_left_to_requests(server, send):
    """`json`, and `data` together with `files`, go as they are."""
    server.upset("POST", answer(200, b'{"id": "x"}'))  # no real server takes JSON there
    send("POST", CREATE, json={"a": 1})
    assert json.loads(server.requests[-1].body) == {"a": 1}
    send("POST", CREATE, data={"a": "1"}, files={"f": ("f", b"x")})
    assert server.requests[-1].parts[0] == {"a": b"1", "f": b"x"}


# --- redirects ---


@pytest.mark.parametrize("status", [307, 308])
def test_a_post_follows_a_redirect_that_keeps_it_a_post(server, send, status):
    """307 and 308 are followed, with the same body."""
    server.upset("POST", answer(status, Location="/api/v1/executions/n/g?labels=a:b"))
    response = send("POST", CREATE, files=files(io.BytesIO(b"content")))
    assert response.json()["flowId"] == "g"
    assert server.requests[-1].parts[0]["f"] == b"content"
    assert server.connections == 1


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_post_never_becomes_a_get(server, send, status):
    """Other redirects are an error that names the location, and shows no secret in it."""
    location = "http://u:secret@elsewhere/login?next=secret"
    server.upset("POST", answer(status, Location=location))
    with pytest.raises(
        APIError, match=f"{status} .*redirected to http://elsewhere/login"
    ) as caught:
        send("POST", CREATE)
    assert "secret" not in str(caught.value)
    assert caught.value.status == status
    assert server.methods() == {"POST": 1}


def test_a_location_that_is_none_is_an_error_that_does_not_show_it(server, send):
    """A POST that is sent to nowhere ends there."""
    server.upset("POST", answer(302, Location="http://u:secret@[oops"))
    with pytest.raises(ValueError, match=r"IPv6|URL|Invalid") as caught:
        send("POST", CREATE)
    assert "secret" not in str(caught.value)
    assert server.methods() == {"POST": 1}


def test_a_redirect_is_not_followed_with_a_file_that_is_used_up(server, send):
    """A pipe cannot be sent to the second address."""
    server.upset("POST", answer(307, Location="/elsewhere"))
    with (
        unseekable(b"content") as pipe,
        pytest.raises(
            APIError, match=r"redirected to /elsewhere, .*one of its files cannot be read twice"
        ),
    ):
        send("POST", CREATE, files=files(pipe))
    assert server.count("POST") == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_reading_follows_redirects(server, send, status):
    """A GET goes where it is sent."""
    server.upset("GET", answer(status, b"moved", Location="/api/v1/executions/search?labels=x:y"))
    assert send().json()["total"] == 0
    assert server.connections == 1


def test_a_redirected_request_has_the_query_of_its_target(server, send):
    """Parameters are sent once: where a server keeps them, they are in the location."""
    server.upset("GET", answer(301, Location="/api/v1/logs/x?minLevel=INFO"))
    send(path="/logs/x", params={"minLevel": "INFO"})
    assert [each.target for each in server.requests] == [
        "/logs/x?minLevel=INFO",
        "/api/v1/logs/x?minLevel=INFO",
    ]


def test_redirects_in_a_circle_end(server, send):
    """Ten are enough; the error says where the last one leads, and what to check."""
    server.upset("GET", *[answer(302, Location="/again?key=secret")] * 20)
    with pytest.raises(
        APIError, match=r"/search: 302 Found: redirected to /again, .*10 redirects: check the host"
    ) as caught:
        send()
    assert caught.value.status == 302
    assert server.count("GET") == 10


def test_a_creation_that_is_sent_in_a_circle_left_nothing(server, send):
    """A server that redirects a POST has not carried it out: nothing is searched for."""
    server.upset("POST", *[answer(307, Location=CREATE)] * 20)
    with pytest.raises(APIError, match="after 10 redirects"):
        send("POST", CREATE)
    assert server.methods() == {"POST": 10}


def test_a_streamed_answer_that_is_sent_in_a_circle_is_an_error(server, send):
    """As any other."""
    server.upset("GET", *[answer(302, Location="/again")] * 20)
    with pytest.raises(APIError, match="after 10 redirects"):
        send(stream=True)


def test_a_redirect_that_leads_nowhere_is_an_error(server, send):
    """A 304, or a redirect without a location, is not what was asked for."""
    server.upset("GET", answer(304))
    with pytest.raises(APIError, match="304 Not Modified"):
        send()


def test_redirects_can_be_left_to_the_caller(server, send):
    """`allow_redirects=False` hands the redirect out."""
    server.upset("GET", answer(302, Location="/x"))
    assert send(allow_redirects=False).status_code == 302


def test_another_host_gets_no_credentials(server, sessions):
    """Neither token nor configured headers, nor what is in the session, go to another host."""
    with Loopback() as other:
        server.upset(
            "GET", answer(302, Location=f"{other.url}/api/v1/executions/search?labels=a:b")
        )
        access = Settings(credentials=credentials("t0ken", None, None), headers={"X-Own": "key"})
        url = f"{server.url}/api/v1/x"
        request(sessions, "GET", url, access, {"headers": {"Authorization": "given"}})
        assert server.requests[0].headers["authorization"] == "Bearer t0ken"
        assert server.requests[0].headers["x-own"] == "key"
        assert "authorization" not in other.requests[0].headers
        assert "x-own" not in other.requests[0].headers


def test_the_same_host_gets_the_credentials_again(server, send):
    """A redirect on the same host keeps them."""
    server.upset("GET", answer(302, Location="/api/v1/executions/search?labels=a:b"))
    send(access=Settings(credentials=credentials("t0ken", None, None)))
    assert [each.headers["authorization"] for each in server.requests] == ["Bearer t0ken"] * 2


# --- credentials ---


@pytest.fixture
def netrc(tmp_path, monkeypatch):
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login netrc password netrc\n")
    monkeypatch.setenv("NETRC", str(path))


@pytest.mark.usefixtures("netrc")
@pytest.mark.parametrize(
    ("access", "arguments", "sent"),
    [
        (Settings(credentials=credentials("t", None, None)), {}, "Bearer t"),
        (Settings(credentials=credentials(None, "u", "€")), {}, "Basic dTrigqw="),
        (Settings(headers={"authorization": "Own x"}), {}, "Own x"),
        (Settings(), {"headers": {"Authorization": "Own y"}}, "Own y"),
        (Settings(), {"auth": ("a", "b")}, "Basic YTpi"),
        (Settings(), {}, "Basic bmV0cmM6bmV0cmM="),
    ],
)  # fmt: skip
def test_netrc_never_overrides_what_was_given(send, server, access, arguments, sent):
    """`.netrc` counts where nothing else is there, also after a redirect on the same host."""
    server.upset("GET", answer(307, Location="/api/v1/executions/search?labels=a:b"))
    send(access=access, **arguments)
    assert [each.headers["authorization"] for each in server.requests] == [sent] * 2


def test_headers_of_the_caller_are_sent(send, server):
    """Headers for every request, and those of one request, go together."""
    send(access=Settings(headers={"X-A": "1", "X-B": "1"}), headers={"X-B": "2"})
    headers = server.requests[0].headers
    assert (headers["x-a"], headers["x-b"]) == ("1", "2")


def test_proxies_and_verification_are_those_of_the_caller(server, sessions):
    """`proxies` and `verify` go to `requests`; an argument goes before them."""
    access = Settings(proxies={"http": server.url}, verify=False)
    url = "http://kestra.invalid/api/v1/executions/search?labels=a:b"
    request(sessions, "GET", url, access, {})
    assert server.requests[0].target == url


# --- refusals ---


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("exec_unknown_flow", NotFound),
        ("rev_99", NotFound),
        ("exec_disabled", Conflict),
        ("exec_missing_required", InvalidInput),
        ("labels_empty_value", InvalidInput),
        ("in_urlencoded", InvalidInput),
        ("auth_other_tenant", InvalidInput),
        ("exec_method_not_allowed", APIError),
        ("auth_post_none", AuthenticationError),
    ],
)
def test_recorded_refusals_are_told_in_the_servers_words(sessions, case, error):
    """The error has the status, the message, method and path, of every engine."""
    for _, sent, response in exchanges(case):
        body = response["body"]
        reply = as_json(body, response["status"])
        with handler(lambda _, reply=reply: reply) as server:
            with pytest.raises(error) as caught:
                request(sessions, sent["method"], server.url + sent["path"], PATIENT, {})
            path = sent["path"].partition("?")[0]
            said = body["message"] if body else None
            assert (caught.value.status, caught.value.message) == (response["status"], said)
            assert (caught.value.method, caught.value.path) == (sent["method"], path)
            assert str(caught.value).startswith(f"{sent['method']} {path}: {response['status']} ")
            assert said is None or said in str(caught.value)
            assert caught.value.response.status_code == response["status"]
            assert type(caught.value) is error
            assert len(server.requests) == 1


def test_single_problems_are_listed(sessions):
    """`_embedded.errors` names the input."""
    (_, sent, response), *_ = exchanges("exec_missing_required")
    reply = as_json(response["body"], 422)
    with handler(lambda _: reply) as server, pytest.raises(InvalidInput) as caught:
        request(sessions, "POST", server.url + sent["path"], PATIENT, {})
    assert caught.value.errors == (
        ("s", "Invalid input for `s`, missing required input, but received `null`"),
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"message": "no", "_embedded": {"errors": ["odd"]}}', "no"),
        (b'{"message": null, "_embedded": null}', None),
        (b'"The execution is not terminated"', "The execution is not terminated"),
        (b"plain text", "plain text"),
        (b"<html>a page</html>", None),
        (b"[1]", None),
        (b"", None),
    ],
)
def test_a_message_is_taken_from_what_is_one(server, send, body, message):
    """Text and JSON are messages, pages are not."""
    server.upset("GET", answer(403, body))
    with pytest.raises(PermissionDenied) as caught:
        send()
    assert caught.value.message == message
    assert caught.value.errors == ()


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (credentials("t0psecret", None, None), "an API token"),
        (credentials(None, "u", "t0psecret"), "user and password"),
        (credentials(None, None, None, ("u", "t0psecret")), "user and password of the hostname"),
        (credentials(None, None, None), "no credentials; set api_token, or user and password"),
    ],
)
def test_a_401_says_what_was_sent(server, send, given, kind):
    """The kind of credentials is named, their value never shown, though the server repeats it."""
    server.upset("GET", answer(401, b"unknown: t0psecret"))
    with pytest.raises(AuthenticationError, match=rf"\(sent: {kind}; server: http://127") as caught:
        send(access=Settings(credentials=given))
    assert given.secrets == () or "t0psecret" not in repr(caught.value)


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key"])
@pytest.mark.parametrize("status", [401, 503])
def test_headers_of_the_callers_are_masked(server, send, caplog, name, status):
    """They may hold credentials, and a server repeats them with their scheme or without."""
    body = {"message": "bad: t0psecret", "_embedded": {"errors": [{"message": "Bearer t0psecret"}]}}
    server.upset("GET", answer(status, json.dumps(body).encode()), answer(404))
    settings = Settings(
        credentials=credentials(None, None, None), headers={name: "Bearer t0psecret"}
    )
    with pytest.raises(APIError) as caught:
        send(access=settings)
    assert "t0psecret" not in repr(caught.value) + repr(vars(caught.value)) + caplog.text
    assert "bad: ***" in f"{caught.value}{caplog.text}"


@pytest.mark.parametrize(
    "given", [{"headers": {"Authorization": "x"}}, {"auth": ("jane", "x")}, {"session": {}}]
)
def test_a_401_knows_what_the_caller_has_sent(server, environment, given):
    """Credentials of headers, or of a session, are some too."""
    session = requests.Session()
    session.auth = given.get("auth")
    if "session" in given:
        session.headers["Authorization"] = "x"
    server.upset("GET", answer(401))
    flow = Flow(hostname=server.url, session=session, headers=given.get("headers"))
    flow.tenant = "main"
    with flow, pytest.raises(AuthenticationError, match="sent: the header Authorization of your"):
        flow.get_execution("id1")


def test_the_servers_sentence_is_shown_as_it_is(server, send):
    """What it says of a value helps whoever sent it; only credentials are masked."""
    for _, _, response in exchanges("exec_int_bad"):
        server.upset("POST", answer(422, json.dumps(response["body"]).encode()))
        with pytest.raises(InvalidInput) as caught:
            send("POST", CREATE, files={"i": (None, "abc")})
        assert response["body"]["message"] in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(credentials=credentials("t0ken", None, None)),
        Settings(headers={"Authorization": "Bearer t0ken"}),
    ],
    ids=["token", "headers"],
)
@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("action", ["", "/actions"])
def test_a_refusal_after_a_redirect_names_it(server, sessions, action, status, settings):
    """Another origin gets no credentials: that is why it refuses, and hostname is the remedy."""
    with Loopback() as elsewhere:
        server.upset("GET", answer(307, Location=f"{elsewhere.url}/api/v1/x{action}"))
        elsewhere.upset("GET", answer(status))
        with pytest.raises((AuthenticationError, PermissionDenied)) as caught:
            request(sessions, "GET", f"{server.url}/api/v1/x", settings, {})
    told = f"redirected to {elsewhere.url}, which gets no credentials"
    assert told in str(caught.value)
    assert "set hostname to it" in str(caught.value)


def test_what_is_not_found_names_the_server(send, server):
    """The most frequent cause is another server."""
    server.upset("GET", answer(404))
    with pytest.raises(NotFound, match=rf"\(server: {server.url}\)"):
        send()


def test_a_server_that_speaks_no_tls_is_asked_about(server, sessions):
    """https:// for http:// is a mistake of everybody's."""
    url = server.url.replace("http://", "https://")
    with pytest.raises(ConnectionFailed, match="is it http://, and not https"):
        request(sessions, "GET", f"{url}/api/v1/x", PATIENT, {})


def test_a_host_that_does_not_resolve_logs_a_line_at_once(sessions, slept, caplog, monkeypatch):
    """Before the first pause, with the name of the host."""

    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ConnectionFailed, match=r"nowhere\.invalid"):
        request(sessions, "GET", "http://nowhere.invalid/api/v1/x", PATIENT, {})
    assert "nowhere.invalid" in caplog.messages[0]
    assert caplog.messages[0].endswith("continuing in 1 s")


@pytest.mark.parametrize(("status", "again"), [(503, True), (404, False)])
def test_a_hook_that_raises_for_the_status_changes_nothing(server, slept, status, again):
    """The response is in its error: repeated, or refused in the words of the server."""
    with requests.Session() as own:
        own.hooks["response"].append(lambda response, *_, **__: response.raise_for_status())
        server.upset("GET", answer(status, b'{"message": "not now"}'))
        url = f"{server.url}/api/v1/executions/search?labels=a:b"
        if again:
            assert request(Sessions(own), "GET", url, PATIENT, {})[0].status_code == 200
        else:
            with pytest.raises(NotFound, match="not now"):
                request(Sessions(own), "GET", url, PATIENT, {})
    assert slept == [1] * again


def test_nothing_that_is_logged_or_chained_shows_a_secret(server, sessions, caplog):
    """Neither log lines nor the causes of an error hold credentials, nor an input of our own."""
    caplog.set_level(logging.DEBUG, logger="kestra")
    access = Settings(credentials=credentials("t0psecret", None, None), timeout=(5, 0.1))
    arguments = {"files": {"i": (None, "inputvalue")}}
    url = f"{server.url}{CREATE}&labels=i:inputvalue"
    server.upset("POST", answer(503, b'"got it with t0psecret"'), hang)
    with pytest.raises(RequestTimeout) as caught:
        request(sessions, "POST", url, access, arguments)
    shown, error = [], caught.value
    while error is not None:
        shown.append(repr(error) + str(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    text = "".join(shown) + "".join(r.getMessage() for r in caplog.records if r.name == "kestra")
    assert "inputvalue" not in text
    assert "t0psecret" not in text
    assert len(shown) > 1


# --- another place to try ---


def other(server, sessions, method="GET", path="/api/v1/main/executions/x", **arguments):
    first = server.url + path.replace("/main", "")
    return request(sessions, method, first, PATIENT, arguments, otherwise=server.url + path)


def test_where_nothing_is_found_the_other_address_is_tried(server, sessions):
    """A 404 leads there, and the caller learns which one it was."""
    server.engine.root = "/api/v1/main"
    server.engine.add("x")
    response, moved = other(server, sessions)
    assert (response.json()["id"], moved) == ("x", True)


def test_if_both_fail_the_first_error_counts(server, sessions):
    """The second address was only a guess."""
    server.upset("GET", answer(404, b"first"), answer(400, b"second"))
    with pytest.raises(NotFound, match="first"):
        other(server, sessions)
    server.upset("GET", answer(404, b"first"), *[reset] * 5)
    with pytest.raises(NotFound, match="first"):
        other(server, sessions)


@pytest.mark.parametrize("status", [409, 422])
def test_if_the_other_address_understands_its_error_counts(server, sessions, status):
    """A disabled flow, or a wrong input, is no missing one."""
    server.upset("GET", answer(404, b"first"), answer(status, b"second"))
    with pytest.raises(APIError, match="second"):
        other(server, sessions)


def test_an_execution_that_may_exist_there_is_not_kept_back(server, sessions):
    """If the POST to the other address is lost, that is what counts."""
    server.upset("POST", answer(404), reset)
    path = f"/api/v1/main/executions/n/f?labels={CORRELATION}:c"
    with pytest.raises(ConnectionFailed, match="may exist"):
        other(server, sessions, "POST", path)


def test_a_file_that_is_used_up_is_not_sent_to_the_other_address(server, sessions):
    """The first error counts."""
    server.engine.root = "/api/v1/main"
    with unseekable(b"content") as pipe, pytest.raises(NotFound):
        other(server, sessions, "POST", "/api/v1/main/executions/n/f", files=files(pipe))
    assert server.count("POST") == 1


def test_a_file_is_rewound_for_the_other_address(server, sessions):
    """What is sent there is what was sent first."""
    server.engine.root = "/api/v1/main"
    other(server, sessions, "POST", "/api/v1/main/executions/n/f", files=files(io.BytesIO(b"x")))
    assert [each.parts[0]["f"] for each in server.requests] == [b"x", b"x"]


# --- TLS ---


def test_tls_answers_are_read_and_bounded(tls_server, sessions, certificate):
    """With the certificate that `verify` names; dripping ends here too."""
    access = Settings(verify=str(certificate), timeout=(5, 0.1))
    tls_server.upset("GET", drip)
    url = f"{tls_server.url}/api/v1/executions/search?labels=a:b"
    assert request(sessions, "GET", url, access, {})[0].json()["total"] == 0
    assert tls_server.count("GET") == 2


def test_a_certificate_that_is_not_trusted_is_refused_at_once(tls_server, sessions, slept):
    """It is not tried again, and nothing was sent."""
    with pytest.raises(ConnectionFailed, match=r"after 1 attempt: no connection: .*CERTIFICATE"):
        request(sessions, "POST", tls_server.url + CREATE, Settings(), {})
    assert slept == []
    assert tls_server.requests == []


def test_a_handshake_that_fails_leaves_no_doubt(server, sessions):
    """TLS spoken to a server without it: nothing was sent, so no execution may exist."""
    url = server.url.replace("http:", "https:") + CREATE
    with pytest.raises(ConnectionFailed, match="after 5 attempts: no connection") as caught:
        request(sessions, "POST", url, PATIENT, {})
    assert caught.value.correlation_id is None


# --- sessions ---


def test_all_requests_share_one_connection(send, server):
    """Responses are read whole, so that their connection is used again."""
    for _ in range(5):
        send()
    assert server.connections == 1


def test_cookies_are_not_kept(send, server):
    """One thread's response does not change another thread's request."""
    server.upset("GET", answer(200, b"{}", Set_Cookie="a=b"))
    send()
    send()
    assert "cookie" not in server.requests[1].headers


def test_a_hundred_threads_share_a_session(server, sessions):
    """No error, and no more connections than threads."""
    start = threading.Barrier(100)
    results = []

    def look():
        start.wait(30)
        url = f"{server.url}/api/v1/executions/search?labels=a:b"
        results.append(request(sessions, "GET", url, Settings(), {})[0].json()["total"])

    threads = [threading.Thread(target=look) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [0] * 100
    assert server.connections <= 100


class WithContext(requests.adapters.HTTPAdapter):
    """An adapter as the documentation of `requests` shows it, which cannot be copied."""

    def __init__(self):
        self.ssl_context = ssl.create_default_context()
        super().__init__()

    def init_poolmanager(self, *args, **kwargs):
        super().init_poolmanager(*args, **kwargs, ssl_context=self.ssl_context)


def session_with_context():
    session = requests.Session()
    session.mount("http://", WithContext())
    return session


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("given", [lambda: None, requests.Session, session_with_context])
def test_a_forked_process_has_connections_of_its_own(server, given):
    """Parent and child do not read each other's responses."""
    own = given()
    sessions = Sessions(own)
    url = f"{server.url}/api/v1/executions/search?labels=a:b"
    request(sessions, "GET", url, Settings(), {})
    child = os.fork()
    if child == 0:
        ok = False
        try:
            ok = request(sessions, "GET", url, Settings(), {})[0].ok
        finally:
            os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert request(sessions, "GET", url, Settings(), {})[0].ok
    assert server.connections == 2
    assert [each.connection for each in server.requests] == [1, 2, 1]
    sessions.close()
    if own is not None:
        own.close()


def test_a_session_that_was_given_is_used_and_left_open(server):
    """Its headers and hooks apply, and closing is its owner's."""
    with requests.Session() as own:
        own.headers["X-Own"] = "1"
        sessions = Sessions(own)
        url = f"{server.url}/api/v1/executions/search?labels=a:b"
        request(sessions, "GET", url, Settings(), {})
        sessions.close()
        request(sessions, "GET", url, Settings(), {})
    assert [each.headers["x-own"] for each in server.requests] == ["1", "1"]
    assert server.connections == 1


def test_sessions_are_pickled_without_their_connections(server):
    """What arrives elsewhere makes its own, and keeps the one that was given."""
    sessions = Sessions()
    sessions.current()
    assert pickle.loads(pickle.dumps(sessions)).given is None
    own = requests.Session()
    own.headers["X-Own"] = "1"
    again = pickle.loads(pickle.dumps(Sessions(own)))
    assert again.current().headers["X-Own"] == "1"
    sessions.close()


def test_answers_can_be_streamed(send, server):
    """With `stream` the body is the caller's to read."""
    with send(stream=True) as response:
        assert json.loads(b"".join(response.iter_content(7))) == {"results": [], "total": 0}


def test_text_without_a_charset_is_utf8(send, server):
    """Logs come without a charset, and in UTF-8; one that is named is respected."""
    server.upset("GET", answer(200, "é".encode(), Content_Type="text/plain"))
    assert send().text == "é"
    server.upset("GET", answer(200, "é".encode(), Content_Type="application/octet-stream"))
    assert send().text == "é"
    server.upset(
        "GET", answer(200, "é".encode("latin-1"), Content_Type="text/plain; charset=latin-1")
    )
    assert send().text == "é"


def test_without_notes_there_is_a_line_in_the_log(caplog):
    """Python 3.10 has no notes."""
    annotate(object(), "where it is")
    assert caplog.messages == ["object: where it is"]
