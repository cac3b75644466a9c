"""Following executions: streams that work, that break, and that are not there."""

import json
import math
import threading
import time
from contextlib import closing
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest
import requests
import requests_mock
import responses
from loopback import (
    Gate,
    Gone,
    Reply,
    Routes,
    answer,
    as_json,
    close,
    event,
    hang,
    reset,
    stream,
)
from rest import exchanges

from kestra import Flow, LogEntry
from kestra._api.parsing import log_entries
from kestra._api.servers import Server
from kestra._http import threads as threads_module
from kestra._http.blocking import run
from kestra._http.sse import Event, events
from kestra._rules import channels, following, waiting
from kestra._rules.waiting import Options, Wait
from kestra.exceptions import (
    ExecutionTimeout,
    FailedExponentialBackoff,
    MalformedResponse,
    NotFound,
    PermissionDenied,
)

pytestmark = pytest.mark.usefixtures("environment", "brief")

LOOK = "GET /api/v1/executions/id1"
STORED = "GET /api/v1/logs/id1"
STATES = f"{LOOK}/follow"
LOG = f"{STORED}/follow"
DOWNLOAD = f"{STORED}/download"
CREATE = "POST /api/v1/executions/company.team/my_flow"
NAMES = {
    LOOK: "look", STORED: "stored", STATES: "states", LOG: "log", DOWNLOAD: "download",
    CREATE: "create",
}  # fmt: skip
START = event({"attemptNumber": None}, "start")
MOST_LOOKS = 200
ENDS = ("CREATED", "RUNNING", "SUCCESS")
NOON = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
HTML = answer(200, b"<html>log in</html>", Content_Type="text/html")


def shown(*states, **more):
    """An execution that went through these states, second by second."""
    dates = (f"2026-01-31T12:00:{second:02}Z" for second in range(60))
    histories = [{"state": s, "date": date} for s, date in zip(states, dates, strict=False)]
    return {"id": "id1", "state": {"current": states[-1], "histories": histories}, **more}


def entry(message, level="INFO", *, second=1):
    return {
        "level": level,
        "message": message,
        "timestamp": f"2026-01-31T12:00:{second:02}.500Z",
        "taskId": "load",
    }


def texts(told):
    """Messages and states, in order."""
    return [each.message if isinstance(each, LogEntry) else each.state for each in told]


def read(told, **gates):
    """Read to the end, and open the gate of a text when the client reports it; return all texts."""
    read = []
    for each in told:
        read += texts([each])
        if read[-1] in gates:
            gates[read[-1]].open()
    return read


class Scripted:
    """Input and output that responds from a function, by a clock that stands still."""

    def __init__(self, answer):
        self.answer = answer
        self.time = 0.0
        self.limits = []
        self.clock = SimpleNamespace(now=lambda: self.time, utcnow=lambda: NOON)
        self.server = Server("http://x")

    async def call(self, function, *arguments):
        return function(*arguments)

    async def poll(self, execution_id, *, within=math.inf, once=False):
        return await self.request("get", execution_id, within=within)

    async def request(self, method, url, *, within=math.inf, **_):
        self.limits.append(within)
        return SimpleNamespace(status_code=200, json=lambda: self.answer(url))

    async def listen(self, url, **_):
        raise FailedExponentialBackoff(url)


def followed_by(io, *, poll_interval=1, timeout=None):
    """An execution that is followed in this way."""
    options = Options(poll_interval=poll_interval, log_settle=0, timeout=timeout)
    return io, Wait("id1", options, 0.0)


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "kestra-follow"]


class Story:
    """What a server tells of an execution, by way of its looks, its stored log and its streams.

    Attributes:
        looks: What the looks see, one after the other; the last one stays.
        stored: What the log has, likewise.
    """

    def __init__(self, server):
        self.server = server
        self.looks = [shown("CREATED")]
        self.stored = [[]]
        server.engine = Routes(
            {
                LOOK: self._look,
                STORED: lambda _: as_json(self._next(self.stored)),
                DOWNLOAD: Reply(200, b"a log\n"),
                CREATE: as_json({"id": "id1"}),
            }
        )

    def states(self, *faults):
        self.server.upset(STATES, *faults)

    def log(self, *faults):
        self.server.upset(LOG, *faults)

    @property
    def asked(self):
        requests = [f"{each.method} {each.path}" for each in self.server.requests]
        return [NAMES.get(each, each) for each in requests]

    def _look(self, _):
        # So that a test that goes wrong ends.
        fine = self.asked.count("look") < MOST_LOOKS
        return as_json(self._next(self.looks)) if fine else as_json({}, 404)

    @staticmethod
    def _next(replies):
        return replies.pop(0) if len(replies) > 1 else replies[0]


@pytest.fixture
def brief(monkeypatch):
    """The log is quiet soon: what is reported before the end is there by then."""
    monkeypatch.setattr(following, "_LAST_WORDS", 0.05)


@pytest.fixture
def passed(monkeypatch):
    """The seconds by which it is later than it would be."""
    monotonic, passed = time.monotonic, [0]
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + passed[0])
    return passed


@pytest.fixture
def story(server):
    return Story(server)


@pytest.fixture
def flow(server, slept):
    with Flow(hostname=server.url, request_timeout=5) as flow:
        yield flow
    assert not threads()


# --- streams that work ---


def test_states_and_entries_are_told_as_they_happen(flow, story):
    """Each is reported before the server sends the next; the terminal state is the last."""
    gates = [Gate() for _ in range(4)]
    story.states(
        stream(
            event({"id": "id1", "labels": []}, "start"),
            event(shown("CREATED")),
            gates[1],
            event(shown("CREATED", "RUNNING")),
            gates[3],
            event(shown(*ENDS)),
            event(shown(*ENDS), "end"),
        )
    )
    story.log(stream(START, gates[0], event(entry("a")), gates[2], event(entry("b")), then=hang))
    told = flow.follow("id1")
    assert str(next(told)) == "CREATED"
    for gate, text in zip(gates, ["a", "RUNNING", "b", "SUCCESS"], strict=True):
        gate.open()
        assert texts([next(told)]) == [text]
    assert list(told) == []
    # An event of 2.0 shows less of an execution than a look.
    assert story.asked == ["look", "log", "states", "look", "stored"]


def test_entries_after_the_end_come_before_the_terminal_state(flow, story, monkeypatch):
    """Nobody who stops at the terminal state loses an entry."""
    monkeypatch.setattr(following, "_LAST_WORDS", 5)
    ended = Gate()
    story.states(stream(event(shown("CREATED")), event(shown("CREATED", "SUCCESS")), ended.open))
    story.log(stream(START, ended, event(entry("late"))))
    story.stored = [[entry("late")]]
    assert texts(flow.follow("id1")) == ["CREATED", "late", "SUCCESS"]


def test_the_log_is_read_until_it_is_quiet(server, story, slept, monkeypatch, passed):
    """Each entry after the end may be followed by another."""
    monkeypatch.setattr(following, "_LAST_WORDS", 5)
    ended = Gate()
    story.states(stream(event(shown("CREATED")), event(shown("CREATED", "SUCCESS")), ended.open))
    story.log(stream(START, ended, *(event(entry(text)) for text in "abcd"), then=hang))
    told = []
    with Flow(hostname=server.url, log_settle=1000, request_timeout=1000) as flow:
        for each in flow.follow("id1"):
            told += texts([each])
            passed[0] += {"a": 4, "b": 4, "c": 4, "d": 100}.get(told[-1], 0)
    assert told == ["CREATED", "a", "b", "c", "d", "SUCCESS"]
    assert story.asked.count("stored") == 1


def test_the_streams_are_asked_for_as_events_with_credentials_and_tenant(server, story, slept):
    """Both requests bear what every request does; the level goes to the one for the log."""
    server.engine = Routes({"GET /api/v1/team/executions/id1": as_json(shown("CREATED"))})
    gate = Gate()
    server.upset(
        "/executions/id1/follow", stream(event(shown("CREATED")), gate, event(shown(*ENDS)))
    )
    server.upset("/logs/id1/follow", stream(START, event(entry("a", "WARN")), then=hang))
    with Flow(hostname=server.url, tenant="team", api_token="t0ken") as flow:
        told = read(flow.follow("id1", min_level="WARN"), a=gate)
    assert told == ["CREATED", "a", "RUNNING", "SUCCESS"]
    _, log, states, _, _ = server.requests
    assert log.target == "/api/v1/team/logs/id1/follow?minLevel=WARN"
    assert states.target == "/api/v1/team/executions/id1/follow"
    for request in (log, states):
        assert request.headers["accept"] == "text/event-stream"
        assert request.headers["authorization"] == "Bearer t0ken"


def test_entries_below_the_level_are_left_out_on_this_side_too(flow, story):
    """2.0 sends them all the same."""
    gate = Gate()
    story.states(stream(event(shown("CREATED")), gate, event(shown("CREATED", "SUCCESS"))))
    entries = [event(entry(level, level)) for level in ("DEBUG", "INFO", "WARN", "ERROR")]
    story.log(stream(START, *entries, then=hang))
    told = read(flow.follow("id1", min_level="WARN"), ERROR=gate)
    assert told == ["CREATED", "WARN", "ERROR", "SUCCESS"]


def test_a_terminal_state_that_was_not_the_end_is_told_in_its_place(flow, story):
    """What failed and was restarted goes on."""
    restarted = ("CREATED", "RUNNING", "FAILED", "RESTARTED", "RUNNING", "SUCCESS")
    story.states(stream(event(shown(*restarted[:4])), event(shown(*restarted))))
    assert texts(flow.follow("id1")) == list(restarted)


def test_a_history_that_is_ahead_of_the_state_ends_it_once(flow, story):
    """The terminal state is not reported a second time."""
    ahead = shown(*ENDS)
    ahead["state"]["current"] = "RUNNING"
    story.states(stream(event(ahead), event(shown(*ENDS))))
    assert texts(flow.follow("id1")) == list(ENDS)


@pytest.mark.parametrize("chunked", [True, False])
def test_bytes_are_not_waited_for(flow, story, chunked):
    """An event counts as soon as it is there, in the middle of a chunk or of a whole response."""
    gate = Gate()
    ended = event(shown(*ENDS))
    story.states(stream(event(shown("CREATED")), gate, ended, then=hang, chunked=chunked))
    story.log(stream(START, event(entry("a")), then=hang, chunked=chunked))
    assert read(flow.follow("id1"), a=gate) == ["CREATED", "a", "RUNNING", "SUCCESS"]


def test_what_is_no_event_of_ours_is_passed_over(flow, story):
    """Comments, other JSON, text that is not JSON, and entries that say nothing."""
    other = b"".join([b": hello\n\ndata: {\n\n", event([1]), event(None), event({}), event("x")])
    gate = Gate()
    story.states(stream(other, event(shown("CREATED")), other, gate, event(shown(*ENDS)), other))
    story.log(stream(other, START, other, event(entry("a")), then=hang))
    assert read(flow.follow("id1"), a=gate) == ["CREATED", "a", "RUNNING", "SUCCESS"]


@pytest.mark.parametrize("engine", [0, 1], ids=["0.21", "1.3"])
def test_recorded_streams(server, slept, monkeypatch, engine):
    """What servers sent: the entries are those that were stored, reported once."""
    monkeypatch.setattr(following, "_LAST_WORDS", 0.05)
    (_, look, execution), (_, log, entries), (_, stored, kept) = (
        exchanges(case)[engine] for case in ("exec_get", "follow_logs_finished", "logs_json")
    )
    ended = execution["body"]
    created = {**ended, "state": {"current": "CREATED", "histories": []}}
    created["state"]["histories"] = ended["state"]["histories"][:1]
    _, _, unknown = exchanges("follow_exec_unknown")[1]  # of 1.3; it begins every stream there
    server.engine = Routes(
        {f"GET {look['path']}": as_json(created), f"GET {stored['path']}": as_json(kept["body"])}
    )
    gate = Gate()
    server.upset(
        f"{look['path']}/follow",
        stream(unknown["body"].encode(), event(created), gate, event(ended), event(ended, "end")),
    )
    server.upset(log["path"], stream(entries["body"].encode(), then=hang))
    with Flow(hostname=server.url, tenant=[None, "main"][engine]) as flow:
        told = read(flow.follow(ended["id"]), **{kept["body"][-1]["message"]: gate})
    messages = [each["message"] for each in kept["body"]]
    states = [each["state"] for each in ended["state"]["histories"]]
    assert told == [states[0], *messages, *states[1:]]


# --- streams that break ---


@pytest.mark.parametrize("broken", [close, reset, None], ids=["closed", "reset", "ended"])
def test_a_log_that_breaks_off_is_opened_again_and_told_once(flow, story, broken):
    """The new stream begins with what is stored; what that lacks is fetched."""
    gate = Gate()
    story.states(stream(event(shown("CREATED")), gate, event(shown(*ENDS))))
    story.log(
        stream(START, event(entry("a")), event(entry("b"))[:-1], then=broken),
        stream(START, event(entry("a")), event(entry("d")), then=hang),
    )
    story.stored = [[entry(text) for text in text] for text in ("ab", "abc", "abcd")]
    told = read(flow.follow("id1"), d=gate)
    assert told == ["CREATED", "a", "b", "d", "RUNNING", "c", "SUCCESS"]


def test_a_gap_is_filled_before_the_log_goes_on(flow, story):
    """The entries stay in their order."""
    gates = [Gate(), Gate(), Gate()]
    story.states(stream(event(shown("CREATED")), gates[2], event(shown("CREATED", "SUCCESS"))))
    story.log(
        stream(START, event(entry("a")), gates[0], then=reset),
        stream(START, gates[1], event(entry("c")), then=hang),
    )
    story.stored = [[entry("a"), entry("b")], [entry("a"), entry("b"), entry("c")]]
    told = read(flow.follow("id1"), a=gates[0], b=gates[1], c=gates[2])
    assert told == ["CREATED", "a", "b", "c", "SUCCESS"]


@pytest.mark.parametrize("broken", [close, reset, None], ids=["closed", "reset", "ended"])
def test_states_that_break_off_are_opened_again_and_told_once(flow, story, broken):
    """Also in the middle of an event."""
    half = event(shown(*ENDS))[:-30]
    story.states(
        stream(event(shown("CREATED")), event(shown("CREATED", "RUNNING")), half, then=broken),
        stream(event(shown("CREATED", "RUNNING")), event(shown(*ENDS))),
    )
    assert flow.wait("id1", follow=True).status == "SUCCESS"
    assert story.asked.count("states") == 2


def test_a_stream_that_is_quiet_for_longer_than_the_read_timeout_is_opened_again(
    server, story, slept, patience
):
    """It is no error: nothing may have happened for so long."""
    story.states(
        stream(event(shown("CREATED", "RUNNING")), then=hang),
        stream(event(shown("CREATED", "RUNNING")), event(shown(*ENDS))),
    )
    told = []
    with Flow(hostname=server.url, request_timeout=0.1) as flow:
        assert flow.wait("id1", follow=True, on_state=told.append).status == "SUCCESS"
    assert texts(told) == list(ENDS)


def test_between_two_streams_the_server_is_asked(flow, story):
    """The end is known although no stream opens again."""
    story.looks = [shown("CREATED"), shown(*ENDS)]
    story.states(stream(event(shown("CREATED")), then=reset), answer(503))
    assert texts(flow.follow("id1")) == list(ENDS)


def test_when_a_stream_has_broken_looks_are_frequent_again():
    """They are seldom only while it works."""
    io = Scripted(lambda _: shown("CREATED"))
    states = channels.States(*followed_by(io))
    run(states.take(Event("", json.dumps(shown("CREATED")))))
    assert states.polls_at == 60
    io.time = 30.0
    run(states.take(None))
    for _ in range(3):
        io.time = states.polls_at
        states._opens_at = io.time + 10
        run(states.tend())
    assert io.time == 33


def test_a_stream_that_always_breaks_is_opened_ever_less_often():
    """The pauses double up to ten seconds, and begin anew once it has told something."""
    io = Scripted(lambda _: shown("CREATED"))
    states = channels.States(*followed_by(io, poll_interval=1e6))
    pauses = []
    for _ in range(2000):
        run(states.tend())
        pauses.append(states.due - io.time)
        io.time = states.due
    assert pauses[:9] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10])
    assert max(pauses) == pytest.approx(10)
    run(states.take(Event("", json.dumps(shown("CREATED")))))
    run(states.take(None))
    assert states.due - io.time == pytest.approx(0.1)


def test_a_poll_of_the_log_does_not_outlast_the_timeout():
    """After the end, it may."""
    io = Scripted(lambda _: [])
    log = channels.Log(*followed_by(io, timeout=5), "TRACE")
    run(log.poll())
    run(log.stored())
    assert io.limits[0] <= 5 < io.limits[1]


def test_a_stream_that_has_worked_is_opened_again_whatever_comes(flow, story):
    """A server that starts anew, or the proxy before it, may respond with anything for a while."""
    story.states(
        stream(event(shown("CREATED")), then=close),
        answer(404),
        HTML,
        stream(event(shown("CREATED")), event(shown(*ENDS))),
    )
    assert flow.execute("company.team", "my_flow", follow=True).status == "SUCCESS"
    assert story.asked.count("states") == 4


# --- no streams ---


@pytest.mark.parametrize(
    "missing",
    [*(answer(status) for status in (400, 403, 404, 405, 406, 501)), HTML, answer(200, b"")],
    ids=["400", "403", "404", "405", "406", "501", "HTML", "nothing"],
)
def test_where_there_is_no_stream_the_server_is_asked(flow, story, missing):
    """No second attempt is made at the streams."""
    story.states(missing)
    story.log(missing)
    story.looks = [shown("CREATED"), shown("CREATED", "RUNNING"), shown(*ENDS)]
    story.stored = [[entry("a")], [entry("a"), entry("b")]]
    told = texts(flow.follow("id1"))
    assert [text for text in told if text.isupper()] == list(ENDS)
    assert told[-1] == "SUCCESS"
    assert [text for text in told if text.islower()] in (["a"], ["a", "b"])
    assert story.asked.count("states") == story.asked.count("log") == 1


def test_the_log_is_asked_for_while_the_execution_runs(flow, story, monkeypatch):
    """Where there is no stream of it, what is stored already is reported before the end."""
    monkeypatch.setattr(channels.Log, "_shortest_pause", 0.05)
    gate = Gate()
    story.states(stream(event(shown("CREATED")), gate, event(shown("CREATED", "SUCCESS"))))
    story.stored = [[], [entry("a")]]
    assert read(flow.follow("id1"), a=gate) == ["CREATED", "a", "SUCCESS"]


def test_a_stream_that_cannot_be_opened_now_is_opened_later(flow, story):
    """A failure of the server passes."""
    story.states(
        answer(503),
        close,
        answer(429),
        stream(event(shown("CREATED")), event(shown(*ENDS))),
    )
    assert flow.execute("company.team", "my_flow", follow=True).status == "SUCCESS"
    assert story.asked.count("states") == 4


@pytest.mark.parametrize("held", [hang, stream(then=hang)], ids=["headers", "events"])
def test_a_proxy_that_delivers_nothing_is_worked_around(server, story, slept, monkeypatch, held):
    """Where a stream says nothing, the server is asked."""
    monkeypatch.setattr("kestra._http.adapter._BEGINNING", 0.1)
    monkeypatch.setattr(channels, "_SILENT", 0.1)
    story.states(held)
    story.log(held)
    story.looks = [shown("CREATED"), shown(*ENDS)]
    story.stored = [[entry("a")]]
    with Flow(hostname=server.url, poll_interval=0.1) as flow:
        told = texts(flow.follow("id1"))
    assert told in (["CREATED", "RUNNING", "a", "SUCCESS"], ["CREATED", "a", "RUNNING", "SUCCESS"])
    assert story.asked.count("states") == story.asked.count("log") == 1


def test_a_stream_of_nothing_but_comments_is_not_trusted_for_ever(flow, story, monkeypatch):
    """Something on the way may keep it alive while its other end is gone."""
    monkeypatch.setattr(channels, "_TRUSTED", 0.1)
    monkeypatch.setattr(channels.States, "_trusted", 0.1)

    def comments(exchange):
        while not exchange.server.stopped.wait(0.02):
            exchange.send(b"2\r\n:\n\r\n")

    story.states(stream(event(shown("CREATED")), comments))
    story.looks = [shown("CREATED"), shown(*ENDS)]
    assert flow.wait("id1", follow=True).status == "SUCCESS"
    assert story.asked.count("states") == 1


def test_of_an_execution_that_has_ended_no_stream_is_opened(flow, story, slept):
    """One poll, and what is stored."""
    story.looks = [shown(*ENDS)]
    story.stored = [[entry("a")]]
    assert texts(flow.follow("id1")) == ["CREATED", "RUNNING", "a", "SUCCESS"]
    assert (story.asked, slept) == (["look", "stored"], [])


# --- the stored log ---


def test_a_stream_of_the_log_that_is_stuck_is_noticed(flow, story, slept):
    """Its connection holds, and nothing comes: what it lacks is stored."""
    gate = Gate()
    story.states(stream(event(shown("CREATED")), gate, event(shown("CREATED", "SUCCESS"))))
    story.log(stream(START, event(entry("a")), then=hang))
    story.stored = [[entry("a"), entry("b"), entry("c")]]
    assert read(flow.follow("id1"), a=gate) == ["CREATED", "a", "b", "c", "SUCCESS"]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_what_is_held_back_in_the_middle_of_an_event_is_looked_up(flow, story, line_end):
    """A proxy that waits until its buffer is full cuts the log anywhere; whole events are fine."""
    gate = Gate()
    begins, cut = START + event(entry("a")), event(entry("b"))[:-1]
    story.states(stream(event(shown("CREATED")), gate, event(shown("CREATED", "SUCCESS"))))
    story.log(stream((begins + cut).replace(b"\n", line_end), then=hang))
    story.stored = [[entry("a"), entry("b")]]
    assert read(flow.follow("id1"), a=gate) == ["CREATED", "a", "b", "SUCCESS"]


def test_the_stored_log_is_not_waited_for_where_the_stream_was_whole(flow, story, slept):
    """That it is not there yet says nothing, nor that it cannot be had."""
    for reply in (as_json([]), as_json({}, 500)):
        gate = Gate()
        story.states(stream(event(shown("CREATED")), gate, event(shown("CREATED", "SUCCESS"))))
        story.log(stream(START, event(entry("a")), then=hang))
        story.server.engine.replies[STORED] = reply
        assert read(flow.follow("id1"), a=gate) == ["CREATED", "a", "SUCCESS"]
    assert story.asked.count("stored") == 2
    assert slept == []


def test_a_stream_of_the_log_that_said_nothing_is_not_relied_on(flow, story):
    """The execution was over before it came out that the stream is held back."""
    story.states(stream(event(shown("CREATED")), event(shown("CREATED", "SUCCESS"))))
    story.log(stream(then=hang))
    story.stored = [[entry("a")]]
    assert texts(flow.follow("id1")) == ["CREATED", "a", "SUCCESS"]


def test_a_log_that_goes_on_for_long_after_the_end_is_looked_up(server, story, monkeypatch, passed):
    """The stream is left when `log_settle` is over."""
    monkeypatch.setattr(following, "_LAST_WORDS", 60)

    def more(exchange):
        for number in range(1000):
            data = event(entry(f"line {number}"))
            exchange.send(b"%x\r\n%s\r\n" % (len(data), data))
            if exchange.server.stopped.wait(0.01):
                break

    story.states(stream(event(shown("CREATED")), event(shown("CREATED", "SUCCESS"))))
    story.log(stream(START, more))
    told = []
    with Flow(hostname=server.url, log_settle=0) as flow:
        for each in flow.follow("id1"):
            told += texts([each])
            passed[0] += 40 if told[-1].startswith("line") else 0
    assert 3 < len(told) < 1000
    assert story.asked[-1] == "stored"


@pytest.mark.parametrize("times", [1, 2])
def test_entries_that_are_the_same_are_told_as_often_as_they_are_stored(flow, story, times):
    """What a stream repeats may be a repetition, or another entry of the same millisecond."""
    gate = Gate()
    story.states(stream(event(shown("CREATED")), gate, event(shown("CREATED", "SUCCESS"))))
    story.log(stream(START, event(entry("a")), event(entry("a")), event(entry("b")), then=hang))
    story.stored = [[*(times * [entry("a")]), entry("b")]]
    told = read(flow.follow("id1"), b=gate)
    assert told == ["CREATED", "a", "b", *((times - 1) * ["a"]), "SUCCESS"]


def test_a_stored_log_that_cannot_be_read_costs_nothing_else(flow, story, caplog):
    """There is a warning, and the states are reported."""
    story.looks = [shown(*ENDS)]
    del story.server.engine.replies[STORED]
    assert texts(flow.follow("id1")) == list(ENDS)
    assert "The log of execution id1 may be incomplete: it could not be fetched" in caplog.text


# --- what goes wrong ---


def test_an_execution_that_there_is_not_is_not_waited_for(flow, story):
    """It is polled before a stream is opened, which would take ten seconds to report it."""
    del story.server.engine.replies[LOOK]
    with pytest.raises(NotFound) as caught:
        next(flow.follow("id1"))
    assert caught.value.execution_id == "id1"
    assert not story.server.count("follow")


def test_an_execution_that_is_about_to_be_is_waited_for(flow, story):
    """As `wait` does it, for `poll_interval`."""
    replies = [as_json({}, 404)] * 3 + [as_json(shown(*ENDS))]
    story.server.engine.replies[LOOK] = lambda _: replies.pop(0)
    assert flow.wait("id1", follow=True).status == "SUCCESS"


def test_an_execution_that_vanishes_is_an_error(flow, story):
    """Nothing more can be said about it."""
    story.states(stream(event(shown("CREATED")), then=reset))
    replies = [as_json(shown("CREATED")), as_json({}, 404)]
    story.server.engine.replies[LOOK] = lambda _: replies.pop(0)
    with pytest.raises(NotFound):
        list(flow.follow("id1"))


def test_what_the_server_refuses_is_an_error(flow, story):
    """As it is for a poll."""
    story.server.engine.replies[LOOK] = as_json({}, 403)
    with pytest.raises(PermissionDenied):
        next(flow.follow("id1"))


def test_a_server_that_fails_for_long_is_an_error(flow, story):
    """As it is for a poll."""
    story.server.engine.replies[LOOK] = as_json({}, 503)
    with pytest.raises(FailedExponentialBackoff):
        next(flow.follow("id1"))


def test_an_answer_that_makes_no_sense_is_an_error(flow, story):
    """Where the streams are missing as well, this is no Kestra server."""
    story.server.engine.replies[LOOK] = Reply(200, b"<html>")
    with pytest.raises(MalformedResponse):
        flow.execute("company.team", "my_flow", follow=True)


def test_a_timeout_ends_the_following(flow, story, passed):
    """The error says where the execution was, and the connections are closed."""
    gone = Gone(), Gone()
    story.looks = [shown("CREATED"), shown("CREATED", "RUNNING")]
    story.states(stream(event(shown("CREATED", "RUNNING")), then=gone[0]))
    story.log(stream(START, then=gone[1]))
    told = flow.follow("id1", timeout=60)
    assert texts([next(told), next(told)]) == ["CREATED", "RUNNING"]
    passed[0] += 100  # both streams are open by now
    with pytest.raises(ExecutionTimeout, match=r"id1 has not ended after 60 s.* RUNNING") as caught:
        next(told)
    assert caught.value.execution_id == "id1"
    assert all(each.wait() for each in gone)


def test_without_streams_a_timeout_ends_the_following_too(flow, story):
    """The pauses between polls count."""
    with pytest.raises(ExecutionTimeout):
        list(flow.follow("id1", timeout=5))


def test_the_end_is_looked_for_once_more_when_the_time_is_over(flow, story):
    """A stream may have kept it back."""
    story.looks = [shown("CREATED"), shown(*ENDS)]
    story.states(stream(event(shown("CREATED")), then=hang))
    assert texts(flow.follow("id1", timeout=0.1))[-1] == "SUCCESS"
    assert flow.wait("id1", timeout=0, follow=True).status == "SUCCESS"


def test_a_server_that_does_not_answer_when_the_time_is_over_is_a_timeout(flow, story, monkeypatch):
    """And no failure of a request that nobody waits for now."""
    monkeypatch.setattr(waiting, "LAST_POLL", 0.1)
    story.states(stream(event(shown("CREATED")), then=hang))
    story.server.upset(LOOK, hang)
    with pytest.raises(ExecutionTimeout):
        flow.execute("company.team", "my_flow", timeout=0.1, follow=True)


def test_an_execution_that_outlasts_its_timeout_is_killed_on_demand(flow, story):
    """As without following."""
    story.server.engine.replies["DELETE /api/v1/executions/id1/kill"] = Reply(202)
    story.states(stream(event(shown("CREATED")), then=hang))
    with pytest.raises(ExecutionTimeout) as caught:
        flow.execute("company.team", "my_flow", timeout=0.1, kill_on_timeout=True, follow=True)
    assert caught.value.killed


def test_closing_closes_the_connections(flow, story):
    """Streams that are quiet are left at once."""
    gone = Gone(), Gone()
    story.states(stream(event(shown("CREATED")), then=gone[0]))
    story.log(stream(START, event(entry("a")), then=gone[1]))
    with closing(flow.follow("id1")) as told:
        assert texts([next(told), next(told)]) == ["CREATED", "a"]
    assert not threads()
    assert all(each.wait() for each in gone)


def test_closing_closes_encrypted_connections(tls_server, certificate):
    """The connection is shut below the encryption."""
    story, gone = Story(tls_server), Gone()
    story.states(stream(event(shown("CREATED", "RUNNING")), then=gone))
    with Flow(hostname=tls_server.url, verify=str(certificate)) as flow:
        with closing(flow.follow("id1")) as told:
            assert texts([next(told), next(told)]) == ["CREATED", "RUNNING"]
        assert not threads()
        assert gone.wait()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"min_level": "WARNING"}, "min_level must be one of .*, not 'WARNING'"),
        ({"min_level": None}, "min_level must be one of .*, not NoneType"),
        ({"timeout": -1}, "timeout must be 0 or more"),
        ({"timeout": "1"}, "timeout must be a number of seconds, not str"),
        ({"execution_id": "../id1"}, "execution_id must not contain a slash .*'../id1'"),
    ],
)
def test_bad_arguments_are_refused_at_once(flow, server, arguments, error):
    """Before the first event is asked for."""
    with pytest.raises((TypeError, ValueError), match=error):
        flow.follow(**{"execution_id": "id1", **arguments})
    assert not server.requests


# --- execute and wait ---


def test_following_costs_four_requests_and_no_pause(flow, story, slept):
    """To create, to follow, for what events leave out, and for the log."""
    ended = shown(*ENDS, outputs={"rows": 3})
    story.looks = [ended]
    story.states(stream(event(shown("CREATED")), event(ended), event(ended, "end")))
    result = flow.execute("company.team", "my_flow", follow=True)
    assert story.asked == ["create", "states", "look", "download"]
    assert (result.status, result.log, result.outputs) == ("SUCCESS", "a log\n", {"rows": 3})
    assert (result.duration, slept) == (2, [])


@pytest.mark.parametrize("call", ["execute", "wait"])
def test_callbacks_are_told_in_the_thread_of_the_caller(flow, story, call):
    """Entries and states, in order."""
    created, logged = Gate(), Gate()
    story.states(stream(event(shown("CREATED")), logged, event(shown(*ENDS))))
    story.log(stream(START, created, event(entry("a")), then=hang))
    told = []

    def on_log(entry):
        told.append((str(entry), threading.current_thread()))
        logged.open()

    def on_state(change):
        told.append((change, threading.current_thread()))
        created.open()

    arguments = ("company.team", "my_flow") if call == "execute" else ("id1",)
    result = getattr(flow, call)(*arguments, on_log=on_log, on_state=on_state)
    assert result.status == "SUCCESS"
    history = result.state.history
    line = "2026-01-31T12:00:01.500Z INFO  load: a"
    assert [what for what, _ in told] == [history[0], line, *history[1:]]
    assert {thread for _, thread in told} == {threading.current_thread()}


def test_print_will_do(flow, story, capsys):
    """A line an entry, and a line a state."""
    story.states(stream(event(shown("CREATED")), event(shown("CREATED", "SUCCESS"))))
    story.stored = [[entry("a", "WARN"), {"level": "INFO", "message": "b"}]]
    flow.execute("company.team", "my_flow", on_log=print, on_state=print)
    assert capsys.readouterr().out.splitlines() == [
        "CREATED",
        "2026-01-31T12:00:01.500Z WARN  load: a",
        "INFO  b",
        "SUCCESS",
    ]


@pytest.mark.parametrize("callback", ["on_log", "on_state"])
def test_what_a_callback_raises_reaches_the_caller_with_the_execution(
    flow, story, caplog, callback
):
    """The streams are closed; the execution goes on."""
    gone = Gone(), Gone()
    story.states(stream(event(shown("CREATED")), then=gone[0]))
    story.log(stream(START, event(entry("a")), then=gone[1]))

    def fail(_):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine") as caught:
        flow.execute("company.team", "my_flow", **{"on_log": print, callback: fail})
    notes = getattr(caught.value, "__notes__", caplog.messages)
    assert any("Execution id1" in note for note in notes)
    assert all(each.wait() for each in gone)
    assert story.server.methods()["DELETE"] == 0


@pytest.mark.parametrize("callback", ["on_log", "on_state"])
def test_a_callback_that_cannot_be_called_is_refused(flow, server, callback):
    """Before anything is created."""
    with pytest.raises(TypeError, match=f"{callback} must be callable, not str"):
        flow.execute("company.team", "my_flow", **{callback: "print"})
    with pytest.raises(TypeError, match=f"{callback} must be callable, not str"):
        flow.wait("id1", **{callback: "print"})
    assert not server.requests


def test_a_state_that_needs_someone_is_logged(flow, story, caplog):
    """As without following, once, and only while the execution is in it."""
    story.states(
        stream(
            event(shown("CREATED", "PAUSED", "RUNNING")),
            event(shown("CREATED", "PAUSED", "RUNNING", "PAUSED")),
            event(shown("CREATED", "PAUSED", "RUNNING", "PAUSED", "RUNNING", "SUCCESS")),
        )
    )
    flow.execute("company.team", "my_flow", follow=True)
    assert caplog.text.count("is paused, until someone resumes it") == 1
    assert "not known" not in caplog.text


def test_what_was_executed_without_waiting_is_not_followed(flow, story):
    """`wait_for_completion` counts."""
    flow.wait_for_completion = False
    result = flow.execute("company.team", "my_flow", follow=True, on_log=print)
    assert (result.status, story.asked) == ("STARTED", ["create"])


# --- sessions and mocks ---


@pytest.mark.parametrize("adapter", [requests.adapters.HTTPAdapter, None])
def test_a_session_of_the_callers_own(server, story, slept, adapter):
    """Its streams are closed, it is not."""
    gone = Gone()
    gate = Gate()
    story.states(stream(event(shown("CREATED")), gate, event(shown("CREATED", "SUCCESS"))))
    story.log(stream(START, event(entry("a")), then=gone))
    with requests.Session() as session:
        with Flow(hostname=server.url, session=session) as flow:
            assert read(flow.follow("id1"), a=gate) == ["CREATED", "a", "SUCCESS"]
        assert gone.wait()
        assert session.get(f"{server.url}/api/v1/executions/id1").ok


STATES_BODY = event(shown("CREATED")) + event(shown(*ENDS))
SSE = {"Content-Type": "text/event-stream;charset=UTF-8"}
HOST = "http://localhost:8080"


def test_requests_mock_can_stream(slept):
    """The body of its response is the stream."""
    with requests_mock.Mocker() as mock:
        mock.get(f"{HOST}/api/v1/executions/id1/follow", content=STATES_BODY, headers=SSE)
        mock.get(f"{HOST}/api/v1/executions/id1", json=shown("CREATED"))
        mock.get(f"{HOST}/api/v1/logs/id1/follow", content=event(entry("a")), headers=SSE)
        mock.get(f"{HOST}/api/v1/logs/id1", json=[entry("a")])
        assert texts(Flow().follow("id1")) == ["CREATED", "a", "RUNNING", "SUCCESS"]


def test_responses_can_stream(slept):
    """The body of its response is the stream."""
    with responses.RequestsMock() as mock:
        kind = {"content_type": "text/event-stream"}
        mock.get(f"{HOST}/api/v1/executions/id1", json=shown("CREATED"))
        mock.get(f"{HOST}/api/v1/executions/id1/follow", STATES_BODY, **kind)
        assert Flow().wait("id1", follow=True, fetch_log=False).status == "SUCCESS"


def test_mocks_that_know_of_no_stream_are_asked(slept):
    """As before there was following."""
    with requests_mock.Mocker() as mock:
        mock.get(f"{HOST}/api/v1/executions/id1", json=shown(*ENDS))
        mock.get(f"{HOST}/api/v1/logs/id1/download", text="a log")
        assert Flow().wait("id1", follow=True).log == "a log"


def test_a_function_in_the_place_of_requests_is_asked(monkeypatch, slept):
    """Also one that takes no more arguments than the published package gave."""

    def fake(method, url, headers=None):
        return SimpleNamespace(
            status_code=200, text="a log", json=lambda: shown(*ENDS), raise_for_status=lambda: None
        )

    monkeypatch.setattr(requests, "request", fake)
    assert Flow().wait("id1", follow=True, on_state=print).status == "SUCCESS"


def test_an_older_urllib3_can_stream(monkeypatch):
    """Where a response cannot be read by what is there, it is read byte by byte."""
    response = SimpleNamespace(raw=None, iter_content=lambda size: iter([b"x"] * size))
    assert list(threads_module._pieces(response)) == [b"x"]


# --- what was told ---


@pytest.mark.parametrize(("engine", "request_", "response"), exchanges("logs_json"))
def test_recorded_entries_are_the_same_in_the_stream_and_in_the_log(engine, request_, response):
    """Two entries are the same only if all their fields are."""
    ((_, _, streamed),) = (each for each in exchanges("follow_logs_finished") if each[0] == engine)
    entries = [json.loads(each.data) for each in events([streamed["body"].encode()])][1:]
    seen = channels.ReportedEntries()
    assert all(seen.is_new(each) for each in log_entries(entries))
    assert not any(seen.is_new(each) for each in log_entries(entries))
    assert len(seen.not_stored) == len(entries)
    assert seen.new_in(log_entries(response["body"][1:])) == []
    assert seen.not_stored == log_entries(response["body"][:1])
    assert seen.new_in(log_entries(response["body"])) == []
    assert seen.not_stored == []


def states_of(*executions):
    states = channels.States(*followed_by(Scripted(None)))
    return [[change.state for change in states.read(each)] for each in executions]


def bare(state):
    return {"state": {"current": state}}


@pytest.mark.parametrize(
    ("executions", "told"),
    [
        ([shown("A"), shown("A", "B"), shown("A", "B")], [["A"], ["B"], []]),
        ([shown("A", "B"), shown("A"), shown("A", "B", "C")], [["A", "B"], [], ["C"]]),
        ([shown("A", "A"), shown("A", "A", "A")], [["A", "A"], ["A"]]),
        ([bare("A"), bare("A"), bare("B"), bare("A")], [["A"], [], ["B"], ["A"]]),
        ([bare("A"), shown("A", "B")], [["A"], ["B"]]),
        ([bare("B"), shown("A", "B", "C")], [["B"], ["C"]]),
        ([bare("A"), shown("B", "C")], [["A"], ["B", "C"]]),
        ([shown("A", "B"), bare("A"), bare("SUCCESS")], [["A", "B"], [], ["SUCCESS"]]),
        ([{"state": {**shown("A")["state"], "current": "SUCCESS"}}], [["A", "SUCCESS"]]),
    ],
)
def test_every_state_of_a_history_is_told_once(executions, told):
    """Responses may be older than the one before, and may have no history."""
    assert states_of(*executions) == told
