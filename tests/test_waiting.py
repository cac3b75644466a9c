"""When to poll again, and what ends a wait."""

import math
import random
from datetime import datetime, timezone
from fractions import Fraction
from types import SimpleNamespace

import pytest

from kestra._api.servers import Server
from kestra._http.blocking import run
from kestra._rules.waiting import Options, Wait, next_pause, until_ended
from kestra.exceptions import (
    ExecutionTimeout,
    FailedExponentialBackoff,
    MalformedResponse,
    NotFound,
    PermissionDenied,
)

LATENCY = 0.002


def looks(poll_interval, duration):
    """Return how late the end of an execution is known, and after how many polls."""
    elapsed, count = 0.0, 0
    while elapsed < duration or not count:
        elapsed += next_pause(poll_interval, elapsed) + LATENCY
        count += 1
    return elapsed - duration, count


def published(poll_interval, duration):
    """Return how many requests the published package makes: two a poll, and the creation."""
    return 1 + 2 * max(1, -(-duration // poll_interval))


def test_short_executions_are_seen_soon_and_cheaply():
    """Of random durations up to 4 s: at most 0.2 s late, at most 4 times the published requests."""
    chance = random.Random(7)
    durations = [chance.uniform(0, 4) for _ in range(5_000)]
    late, counts = zip(*(looks(1, duration) for duration in durations), strict=True)
    assert sum(late) / len(late) <= 0.2
    assert sum(counts) + 3 * len(counts) <= 4 * sum(published(1, d) for d in durations)


@pytest.mark.parametrize("duration", [60, 90, 600, 3600])
@pytest.mark.parametrize("poll_interval", [0.5, 1, 2, 5, 10])
def test_long_executions_cost_fewer_requests_than_published(poll_interval, duration):
    """From a minute on; the creation and two downloads of the log are counted in."""
    _, count = looks(poll_interval, duration)
    assert 1 + count + 2 < published(poll_interval, duration)


@pytest.mark.parametrize("poll_interval", [0, 0.001, 0.1, 1, 30])
def test_pauses_grow_up_to_the_poll_interval(poll_interval):
    """No pause is longer than the interval, nor shorter than a fiftieth of a second."""
    pauses = [next_pause(poll_interval, elapsed / 10) for elapsed in range(1_000)]
    assert pauses == sorted(pauses)
    assert min(pauses) >= 0.02
    assert max(pauses) == max(poll_interval, 0.02)


class Answers:
    """Input and output that responds from a list; the last response stays."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.slept = []
        self.sent = []
        self.server = Server("http://x")
        now = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
        self.clock = SimpleNamespace(now=lambda: sum(self.slept), utcnow=lambda: now)

    async def poll(self, execution_id, *, within=math.inf, once=False):
        self.sent.append(within)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        body = {"state": {"current": answer}} if isinstance(answer, str) else answer
        return SimpleNamespace(status_code=200, headers={}, text="<html>", json=lambda: body)

    async def request(self, method, url, **_):
        self.sent.append(f"{method} {url}")
        return SimpleNamespace(status_code=200, headers={}, text="", json=dict)

    async def sleep(self, seconds):
        self.slept.append(seconds)


def wait(io, *, exists=True, poll_interval=1, **options):
    options = Options(poll_interval=poll_interval, log_settle=0, **options)
    url = "http://x/ui/executions/id1" if exists else None
    return run(until_ended(io, Wait("id1", options, 0, url=url)))["state"]["current"]


def test_a_wait_ends_with_the_execution():
    """After as many polls as it takes."""
    io = Answers("CREATED", "RUNNING", "RUNNING", "FAILED")
    assert wait(io) == "FAILED"
    assert len(io.sent) == len(io.slept) == 4


def test_a_wait_without_a_timeout_has_no_limit():
    """Not for a single poll either."""
    io = Answers("RUNNING", "SUCCESS")
    wait(io)
    assert io.sent == [math.inf, math.inf]


def test_times_are_floats_whatever_number_they_are_given_as():
    """Sockets, locks and formats take these only."""
    options = Options(Fraction(1, 2), 60, Fraction(5)).checked()
    times = (options.poll_interval, options.log_settle, options.timeout)
    assert times == (0.5, 60, 5)
    assert {type(each) for each in times} == {float}
    assert Options(None, None).checked(waits=False) == Options(None, None)


def test_a_timeout_ends_a_wait_with_a_last_poll():
    """Which may take a second; the last pause ends with the timeout."""
    io = Answers("RUNNING")
    with pytest.raises(ExecutionTimeout, match=r"id1 has not ended after 10 s; .* RUNNING") as got:
        wait(io, timeout=10)
    assert (got.value.state, got.value.timeout, got.value.killed) == ("RUNNING", 10, False)
    assert sum(io.slept) == pytest.approx(10)
    assert io.sent[-1] == 1


def test_what_has_ended_by_the_last_poll_is_no_timeout():
    """However long ago the poll before was."""
    assert wait(Answers("RUNNING", "SUCCESS"), timeout=0.06) == "SUCCESS"


def test_a_new_execution_may_be_unknown_for_a_second():
    """Or for `poll_interval`, if that is longer; then it is an error."""
    missing = NotFound("404", status=404)
    assert wait(Answers(missing, missing, missing, "SUCCESS")) == "SUCCESS"
    io = Answers(missing)
    with pytest.raises(NotFound):
        wait(io)
    assert 1 <= sum(io.slept) <= 2


def test_a_page_among_the_polls_is_waited_out():
    """A proxy may stand in the server's place for a moment; four in a row are none, five are."""
    page = MalformedResponse("a page", status=200)
    assert wait(Answers("RUNNING", *[page] * 4, "RUNNING", *[page] * 4, "SUCCESS")) == "SUCCESS"
    with pytest.raises(MalformedResponse):
        wait(Answers("RUNNING", *[page] * 5, "SUCCESS"))


def test_a_page_at_the_first_poll_is_an_error_where_nothing_else_is_known():
    """It may be no Kestra server at all."""
    with pytest.raises(MalformedResponse):
        wait(Answers(MalformedResponse("a page", status=200), "SUCCESS"), exists=False)


@pytest.mark.parametrize("error", [PermissionDenied("403", status=403), KeyError("a mock")])
def test_what_the_server_refuses_ends_a_wait(error):
    """At once."""
    with pytest.raises(type(error)):
        wait(Answers("RUNNING", error, "SUCCESS"))


def test_a_server_that_does_not_respond_is_no_error_once_the_time_is_over():
    """It is a timeout then."""
    lost = FailedExponentialBackoff("lost")
    with pytest.raises(FailedExponentialBackoff):
        wait(Answers(lost), timeout=10)
    with pytest.raises(ExecutionTimeout) as caught:
        wait(Answers(lost), timeout=0)
    assert caught.value.state is None


def test_what_outlasts_its_timeout_is_killed_on_demand():
    """At the place where this server has that."""
    io = Answers("RUNNING")
    io.server.learn_from({"taskRunList": [{"id": "a"}]})
    with pytest.raises(ExecutionTimeout, match="it is being killed") as caught:
        wait(io, timeout=0, kill_on_timeout=True)
    assert caught.value.killed
    assert io.sent[-1] == "delete http://x/api/v1/executions/id1/actions/kill"


class Hanging(Answers):
    """A server that takes all the time it is given."""

    async def request(self, method, url, *, within, **_):
        self.sent.append(url)
        self.slept.append(within)
        raise FailedExponentialBackoff("lost")


def test_a_server_that_hangs_is_not_asked_for_its_version_instead_of_to_kill():
    """Both together make a timeout at most ten seconds longer, and each has its part of them."""
    io = Hanging("RUNNING")
    with pytest.raises(ExecutionTimeout, match="it could not be killed"):
        wait(io, timeout=1, kill_on_timeout=True)
    assert [url.rpartition("/")[2] for url in io.sent[-2:]] == ["configs", "kill"]
    assert sum(io.slept) == pytest.approx(11)


def test_states_that_need_someone_are_logged_once(caplog):
    """PAUSED, and those that are not known here."""
    wait(Answers("PAUSED", "PAUSED", "STUCK", "PAUSED", "STUCK", "SUCCESS"))
    assert [each.partition(" is ")[2] for each in caplog.messages] == [
        "paused, until someone resumes it",
        "in an unknown state: STUCK",
    ]
