"""When a log is complete: on servers that store late, out of order and behind a backlog.

Time is virtual: a server is a list of entries, each with the seconds after the end of the execution
at which it is stored, and at which the stream of the log brings it.
"""

import json
import logging
import math
import random
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cached_property
from types import SimpleNamespace

import pytest
from loopback import Loopback, Reply, as_json

from kestra import Flow, LogEntry, StateChange
from kestra._api.servers import Server
from kestra._http.blocking import iterate, run
from kestra._http.stand_ins import use_clock
from kestra._rules import executing, following, log
from kestra._rules.waiting import Options
from kestra.exceptions import APIError, NotFound, PermissionDenied

END = datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=timezone.utc)


def instant(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass
class Line:
    """An entry of the log.

    Attributes:
        before: Seconds before the end of the execution at which it is logged.
        message: Its text.
        stored: Seconds after the end at which it is stored.
        streamed: Seconds after the end at which the stream brings it; never, if it is lost.
        run: Its task run.
        level: Its level.
    """

    before: float
    message: str
    stored: float = 0.1
    streamed: float = 0.05
    run: str = "run1"
    level: str = "INFO"

    @cached_property
    def time(self):
        return END - timedelta(seconds=self.before)

    @cached_property
    def millisecond(self):
        return instant(self.time)[:-4]

    @cached_property
    def body(self):
        return {
            "executionId": "id1", "taskId": "load", "taskRunId": self.run, "level": self.level,
            "timestamp": instant(self.time), "message": self.message,
        }  # fmt: skip

    def __str__(self):
        return f"{instant(self.time)} {self.level} {self.message}\n"


@dataclass
class Stored:
    """A server with the log of one execution that has ended, as the rules are given it.

    Attributes:
        lines: The log.
        age: How long ago the execution had ended when the server is first asked.
        others: When entries of other executions are stored, in seconds after the end.
        search: How it answers `logs/search`: by the filters, or by something else.
        run_end: Whether the status has the end of the task run.
        edition: What `configs` says.
        may_be_enterprise: Whether the client is set to use what only that edition has.
        limited: The most entries that it sends.
        fails: Whether the log cannot be fetched.
        has_own_log: Whether a test or a subclass has replaced what fetches it.
        runs: How many polls show the execution as running.
    """

    lines: list = field(default_factory=list)
    age: float = 0.0
    others: list = field(default_factory=list)
    search: object = "filters"
    run_end: bool = True
    edition: str = "OSS"
    may_be_enterprise: bool = False
    limited: float = math.inf
    fails: bool = False
    has_own_log: bool = False
    runs: int = 0
    time: float = 0.0
    asked: list = field(default_factory=list)
    server: object = field(default_factory=lambda: Server("http://x"))
    shown: dict = field(default_factory=dict)
    streams: dict = field(default_factory=dict)

    def __post_init__(self):
        self.time = self.age
        self.clock = SimpleNamespace(now=lambda: self.time, utcnow=self.utcnow)

    def utcnow(self):
        """Our clock is an hour behind the server's."""
        return END + timedelta(seconds=self.time) - timedelta(hours=1)

    @property
    def flow(self):
        return SimpleNamespace(api_token=None, tenant="acme" if self.may_be_enterprise else None)

    # --- what the server has ---

    @property
    def execution(self):
        histories = [
            {"state": "RUNNING", "date": instant(END - timedelta(seconds=60))},
            {"state": "SUCCESS", "date": instant(END)},
        ]
        state = {
            "current": "SUCCESS",
            "histories": histories,
            "startDate": histories[0]["date"],
            "endDate": histories[-1]["date"],
        }
        task = {"id": "run1", "taskId": "load", "state": state if self.run_end else {}}
        return {"id": "id1", "state": state, "taskRunList": [task]}

    def now_stored(self):
        """Return what is stored, in the order of storing, which is not that of logging."""
        stored = [line for line in self.lines if line.stored <= self.time]
        return sorted(stored, key=lambda line: (line.millisecond, line.stored))

    def count(self, what):
        return sum(what in each for each in self.asked)

    # --- input and output ---

    async def poll(self, execution_id, *, within=math.inf, once=False):
        self.asked.append("poll")
        if self.runs:
            self.runs -= 1
            return self.respond({**self.execution, "state": {"current": "RUNNING"}})
        date = END + timedelta(seconds=self.time)
        headers = {"Date": date.strftime("%a, %d %b %Y %H:%M:%S GMT")}
        return self.respond(self.execution, headers)

    async def request(self, method, url, *, params=None, within=math.inf, once=False, **_):
        path = url.removeprefix("http://x/api/v1/")
        self.asked.append(f"{path} {params}" if params else path)
        self.time += 0.01
        if path == "configs":
            return self.respond({"version": "2.0.0", "edition": self.edition})
        if path == "logs/search":
            return self.respond(self.searched(params))
        if path == "logs/id1":
            if self.fails:
                raise PermissionDenied("403", status=403)
            return self.respond([line.body for line in self.now_stored()[: self.size]])
        raise NotFound("404", status=404)

    @property
    def size(self):
        return None if self.limited == math.inf else self.limited

    def searched(self, params):
        if isinstance(self.search, int):
            raise APIError(str(self.search), status=self.search)
        if self.search in {"page", "nothing"}:
            return {"page": "<html>", "nothing": {}}[self.search]
        if "filters[executionId][EQUALS]" in params and self.search == "filters":
            stored = sorted(self.now_stored(), key=lambda line: line.time, reverse=True)
            return {"results": [each.body for each in stored[:4]], "total": len(stored)}
        found = [{"executionId": "other"} for each in self.others if each <= self.time]
        found += [line.body for line in self.now_stored()]
        return {"results": found[: params["size"]], "total": len(found)}

    async def fetch_log(self, execution_id, *, within=math.inf):
        self.asked.append("download")
        if self.fails:
            raise PermissionDenied("403", status=403)
        text = "".join(map(str, self.now_stored()[: self.size]))
        return SimpleNamespace(status_code=200, text=text)

    def respond(self, body, headers=None):
        return SimpleNamespace(
            status_code=200, headers=headers or {}, text=str(body), json=lambda: body
        )

    async def call(self, function, *arguments):
        return function(*arguments)

    async def sleep(self, seconds):
        self.time += max(seconds, 0)

    async def listen(self, url, *, within, **_):
        if "/logs/" not in url:
            raise NotFound("404", status=404)
        told = sorted((line.streamed, i) for i, line in enumerate(self.lines))
        self.streams["log"] = [each for each in told if each[0] < math.inf]
        return "log"

    async def next_event(self, timeout):
        coming = self.streams.get("log", [])
        if not coming or coming[0][0] > self.time + timeout:
            self.time += timeout
            return None
        streamed, index = coming.pop(0)
        self.time = max(self.time, streamed)
        return "log", SimpleNamespace(id="progress", data=json.dumps(self.lines[index].body))

    async def close(self, stream):
        self.streams.pop(stream, None)


def script(number, *, stored=0.1, **more):
    """Return the log of a Script task, whose closing entry is logged just before the end."""
    lines = [Line(30 - 29.0 * i / number, f"line {i}", stored, **more) for i in range(number - 1)]
    return [*lines, Line(0.005, "Captured 0 output file(s).", stored, level="TRACE", **more)]


def options(**more):
    return Options(**{"poll_interval": 1, "log_settle": 60, **more})


def waited(io, **more):
    return run(executing.wait(io, "id1", options(**more)))


def written(lines):
    """Return a log in the order of logging."""
    return "".join(map(str, sorted(lines, key=lambda line: line.time)))


@pytest.fixture
def warnings(caplog):
    """The warnings of the logger `kestra`."""
    return lambda: [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


# --- result.log ---


def test_a_short_log_on_a_quiet_server_takes_less_than_a_second(warnings):
    """It is stored soon, and half a second of rest is enough."""
    io = Stored(script(20, stored=0.2))
    result = waited(io)
    assert result.log == written(io.lines)
    assert result.log_complete is True
    assert io.time <= 0.9
    assert io.count("download") == 1
    assert warnings() == []


def busy(seed, number=1500):
    """A log in batches that overtake each other, some of them late, behind a backlog."""
    chance = random.Random(seed)
    lines = script(number)
    backlog = chance.uniform(0, 15)
    batches = [lines[i : i + 100] for i in range(0, number, 100)]
    order = sorted(range(len(batches)), key=lambda i: i + chance.uniform(0, 3))
    time = backlog
    for i in order:
        time += chance.uniform(0.02, 0.15 * max(time, 2))
        for line in batches[i]:
            line.stored = time
            line.streamed = math.inf if chance.random() < 0.003 else time + chance.uniform(-0.5, 1)
    others = [backlog * i / 100 for i in range(100)]
    return lines, others


@pytest.mark.parametrize("seed", range(20))
def test_a_busy_server_is_waited_for(seed, warnings):
    """Until it has stored all, however late and in what order; the log is in that of logging."""
    lines, others = busy(seed)
    io = Stored(lines, others=others)
    result = waited(io)
    assert result.log == written(lines)
    assert result.log_complete is True
    assert warnings() == []
    assert io.count("download") == 1  # polled is the count
    assert io.count("logs/id1") == 0


def test_counts_become_rarer():
    """Every quarter of a second at first, every tenth of the time that has passed later on."""
    io = Stored(script(100, stored=40), others=[0.1 * i for i in range(400)])
    assert waited(io).log_complete is True
    assert io.count("filters[executionId]") <= 60
    assert io.count("filters[endDate]") <= io.time + 1


def test_a_log_without_an_end_rests_for_five_seconds(warnings):
    """A Subflow or a Sleep at the end marks none: nothing more can be known."""
    io = Stored([Line(10, "a"), Line(9, "b", stored=2)])
    result = waited(io)
    assert result.log == written(io.lines)
    assert result.log_complete is None
    assert 7 <= io.time <= 9
    assert warnings() == []


@pytest.mark.parametrize("age", [70, 110])
def test_a_log_that_rested_up_to_the_limit_is_not_called_growing(age, warnings):
    """Half of the time since the end would be longer than what is waited for at most."""
    io = Stored([Line(10, "a"), Line(9, "b")], age=age)
    assert waited(io).log_complete is None
    assert io.time <= age + 61
    assert warnings() == []


def test_an_empty_log_is_waited_for_behind_those_of_others(warnings):
    """As long as the server stores what was logged before, this one's may be to come."""
    io = Stored([Line(10, "a", stored=19.5)], others=[0.5 * i for i in range(40)])
    result = waited(io)
    assert result.log == written(io.lines)
    assert result.log_complete is None
    io = Stored()
    assert (waited(io).log, io.time < 6) == ("", True)
    assert warnings() == []


def test_waits_at_once_share_the_count_of_all_logs():
    """One a second for all of them, and none waits for its turn for long."""
    ios = [Stored([Line(10, "a")], server=Server("http://x")) for _ in range(20)]
    for io in ios:
        io.server = ios[0].server
        io.settling = executing.Settling(io, "id1", io.execution, 60)
    time = 0.0
    while any(io.settling.pending for io in ios):
        time += 0.25
        for io in ios:
            io.time = time
            if io.settling.pending:
                run(io.settling.poll())
    assert time <= 7
    assert sum(io.count("filters[endDate]") for io in ios) <= time + 1


def test_a_log_that_never_rests_may_be_incomplete(warnings):
    """The limit is `log_settle`; what there is is the result."""
    io = Stored([Line(20 - 0.001 * i, f"line {i}", stored=0.2 * i) for i in range(1000)])
    result = waited(io, log_settle=20)
    assert result.log_complete is False
    assert result.log.startswith(str(io.lines[0]))
    assert 20 <= io.time <= 22
    assert warnings() == ["The log of execution id1 may be incomplete: it was still growing"]


def test_a_server_that_sends_less_than_it_counts(warnings):
    """A cache on the way: the log is fetched a few times, and may be incomplete."""
    io = Stored(script(20), limited=15)
    result = waited(io)
    assert result.log_complete is False
    assert io.count("download") == 3
    assert io.time < 5
    (warning,) = warnings()
    assert "the server has stored more than it sent" in warning


def test_a_log_that_cannot_be_fetched_costs_nothing_else(warnings):
    """One warning, and the result."""
    io = Stored(script(20), fails=True)
    result = waited(io)
    assert (result.status, result.log, result.log_complete) == ("SUCCESS", None, False)
    assert warnings() == ["The log of execution id1 could not be fetched: 403"]


def test_an_execution_that_ended_long_ago_is_fetched_once():
    """By the server's clock; nothing is counted."""
    io = Stored(script(20), age=121)
    result = waited(io)
    assert result.log == written(io.lines)
    assert result.log_complete is None
    assert io.count("search") == 0
    assert io.count("download") == 1
    io = Stored(script(20, stored=119.5), age=118)
    assert waited(io).log == written(io.lines)


@pytest.mark.parametrize("why", ["no end of a task run", "get_logs is replaced", "log_settle=0"])
@pytest.mark.parametrize("lines", [[], [Line(1, "a", stored=0)]], ids=["empty", "a line"])
def test_a_mock_is_asked_for_its_log_once(why, lines, warnings):
    """Also for an empty one; `logs/search` is never asked for."""
    io = Stored(
        lines, run_end=why != "no end of a task run", has_own_log=why == "get_logs is replaced"
    )
    result = waited(io, log_settle=0 if why == "log_settle=0" else 60)
    assert (result.log, result.log_complete) == (written(lines), None)
    assert io.count("search") == io.count("configs") == 0
    assert io.count("download") == 1
    assert io.time < 0.1
    assert warnings() == []


def test_no_log_is_waited_for_where_none_is_wanted():
    """Nothing is counted either."""
    io = Stored(script(20))
    result = waited(io, fetch_log=False)
    assert (result.log, result.log_complete) == (None, None)
    assert io.count("log") == 0


def test_an_enterprise_server_is_given_more_time():
    """On Elasticsearch new entries may show once a second."""
    io = Stored(script(20), edition="EE", may_be_enterprise=True)
    for line in io.lines[:10]:
        line.stored = 1.5
    result = waited(io)
    assert (result.log, result.log_complete) == (written(io.lines), True)


# --- servers without a search ---


@pytest.mark.parametrize("search", [404, 403, 405, 422, 500, "page", "nothing", "ignored"])
def test_where_logs_cannot_be_searched_the_log_itself_is_counted(search, warnings):
    """No such search, one that fails, and one that ignores what it is asked, are no errors."""
    io = Stored(script(20), search=search, others=[0] * 100)
    result = waited(io)
    assert (result.log, result.log_complete) == (written(io.lines), True)
    assert io.count("logs/search") <= 3
    assert io.time < 3
    assert warnings() == []


def test_a_mock_that_knows_no_search_is_asked_for_its_log_once():
    """Mocking libraries raise what they like."""
    io = Stored(script(20, stored=0))

    def unknown(params):
        raise KeyError("no such route")

    io.searched = unknown
    result = waited(io)
    assert (result.log, result.log_complete) == (written(io.lines), None)
    assert io.count("download") == io.count("logs/search") == 1
    assert io.time < 0.1


@pytest.mark.parametrize("search", ["filters", 403])
def test_who_may_not_see_logs_does_not_wait_for_them(search, warnings):
    """The result comes as soon as it is known; there is one warning."""
    io = Stored([Line(10, "a")], search=search, fails=True)
    result = waited(io)
    assert (result.status, result.log, result.log_complete) == ("SUCCESS", None, False)
    assert search == "filters" or io.time < 1
    assert len(warnings()) == 1


def test_a_server_that_counts_one_log_only():
    """The count of all logs is refused: its own is what counts."""
    io = Stored([Line(10, "a"), Line(9, "b", stored=2)])
    search = io.searched

    def searched(params):
        if "filters[endDate][LESS_THAN_OR_EQUAL_TO]" in params:
            raise APIError("400", status=400)
        return search(params)

    io.searched = searched
    result = waited(io)
    assert (result.log, result.log_complete) == (written(io.lines), None)
    assert io.count("filters[endDate]") == 1
    assert io.time < 9


def test_021_is_never_searched():
    """It answers for all executions, and is known by its milliseconds."""
    io = Stored(script(20), search="ignored")
    whole = io.execution
    for change in whole["state"]["histories"]:
        change["date"] = change["date"][:-4] + "Z"
    settling = executing.Settling(io, "id1", whole, 60)
    run(settling.wait())
    assert settling.complete is True
    assert io.count("search") == 0


def test_a_search_that_fails_now_and_then_proves_nothing():
    """What rests is what was counted twice, not what could not be counted since."""
    io = Stored(script(20))
    for line in io.lines[:10]:
        line.stored = 0.9
    search = io.searched

    def failing(params):
        if 0.3 < io.time < 0.95:
            raise APIError("503", status=503)
        return search(params)

    io.searched = failing
    assert waited(io).log == written(io.lines)


# --- on_log, follow, iter_logs ---


@pytest.mark.parametrize("seed", range(10))
def test_on_log_is_given_every_entry_once(seed, warnings):
    """The stream loses three in a thousand, and brings others late; `result.log` has them all."""
    lines, others = busy(seed)
    io = Stored(lines, others=others)
    told = []
    result = waited(io, on_log=told.append)
    assert sorted(entry.message for entry in told) == sorted(line.message for line in lines)
    assert result.log == written(lines)
    assert result.log_complete is True
    assert warnings() == []


@pytest.mark.parametrize("seed", range(5))
def test_follow_tells_every_entry_once_and_the_end_last(seed, warnings):
    """Late entries come before the terminal state."""
    lines, others = busy(seed)
    io = Stored(lines, others=others)
    told = list(iterate(following.events(io, "id1", options(fetch_log=False), "TRACE")))
    messages = [each.message for each in told if isinstance(each, LogEntry)]
    assert sorted(messages) == sorted(line.message for line in lines)
    assert isinstance(told[-1], StateChange)
    assert warnings() == []


def test_entries_are_told_as_they_arrive():
    """Nothing is held back for order."""
    lines = script(10, stored=3)
    lines[2].streamed, lines[5].streamed = 2, math.inf
    io = Stored(lines)
    io.runs = 2
    told = []
    waited(io, on_log=told.append)
    last = [entry.message for entry in told][-2:]
    assert last == ["line 2", "line 5"]


@pytest.mark.parametrize("settle", [60, 0])
def test_the_log_holds_what_was_told_even_if_it_was_never_stored(settle, warnings):
    """A worker of 2.0 may drop what its controller does not take."""
    io = Stored(script(20))
    io.lines[3].stored = io.lines[4].stored = math.inf
    io.runs = 2
    told = []
    result = waited(io, on_log=told.append, log_settle=settle)
    assert len(told) == 20
    assert result.log == written(io.lines)
    assert result.log_complete is (False if settle else None)
    assert len(warnings()) == bool(settle)
    assert all("entries that were reported have not been stored" in each for each in warnings())
    assert io.count("logs/id1 ") <= 6
    assert io.time < 12


@pytest.mark.parametrize("seed", range(5))
def test_iter_logs_of_what_has_just_ended_is_whole_and_in_order(seed, warnings):
    """In the order of the timestamps."""
    lines, others = busy(seed)
    io = Stored(lines, others=others)
    entries = run(log.get_log(io, "id1", options(), "INFO"))
    wanted = sorted((each for each in lines if each.level == "INFO"), key=lambda each: each.time)
    assert [entry.message for entry in entries] == [line.message for line in wanted]
    assert warnings() == []


def test_iter_logs_warns_once(warnings):
    """Where the limit was reached."""
    io = Stored([Line(20 - 0.001 * i, f"line {i}", stored=0.2 * i) for i in range(1000)])
    assert run(log.get_log(io, "id1", options(log_settle=5), "TRACE"))
    assert len(warnings()) == 1


def test_follow_warns_once(warnings):
    """Where what is stored could not be read."""
    io = Stored(script(20), fails=True)
    list(iterate(following.events(io, "id1", options(fetch_log=False), "TRACE")))
    assert warnings() == ["The log of execution id1 may be incomplete: it could not be fetched"]


# --- through `Flow`, over a connection ---


class Served:
    """The same server behind a socket; its clock is the client's."""

    def __init__(self, stored):
        self.stored = stored
        self.now = stored.clock.now
        self.utcnow = stored.utcnow

    def sleep(self, seconds):
        self.stored.time += max(seconds, 0)

    def __call__(self, request):
        stored = self.stored
        path = request.path.removeprefix("/api/v1/")
        params = {key: values[0] for key, values in request.query.items()}
        stored.asked.append(f"{path} {params}")
        stored.time += 0.01
        date = (END + timedelta(seconds=stored.time)).strftime("%a, %d %b %Y %H:%M:%S GMT")
        if path.startswith("executions/"):
            return as_json(stored.execution if path.endswith(ID) else {}, Date=date)
        if path == "logs/search":
            return as_json(stored.searched({**params, "size": int(params["size"])}))
        if path == f"logs/{ID}/download":
            return Reply(200, "".join(map(str, stored.now_stored())).encode())
        if path == f"logs/{ID}":
            return as_json([line.body for line in stored.now_stored()])
        return as_json({}, 404)


ID = "id1"


@pytest.fixture
def served(environment):
    """Return a function that serves a log, and returns a client."""
    opened = ExitStack()

    def serve(stored, **more):
        handler = Served(stored)
        server = opened.enter_context(Loopback(handler))
        opened.callback(use_clock(handler))
        return opened.enter_context(Flow(hostname=server.url, request_timeout=30, **more))

    with opened:
        yield serve


def test_wait_and_iter_logs_of_a_busy_server(served, warnings):
    """What they bring is whole, and in the order of logging."""
    lines, others = busy(1, 300)
    stored = Stored(lines, others=others)
    flow = served(stored)
    assert flow.wait(ID).log == written(lines)
    stored.time = 0
    again = [entry.message for entry in flow.iter_logs(ID)]
    assert again == [line.message for line in sorted(lines, key=lambda line: line.time)]
    assert warnings() == []


def test_a_limit_of_zero_fetches_at_once(served):
    """What there is."""
    stored = Stored(script(20, stored=5))
    result = served(stored, log_settle=0).wait(ID)
    assert (result.log, result.log_complete) == ("", None)
    assert stored.count("search") == 0


@pytest.mark.parametrize("how", ["on the object", "in a subclass"])
def test_a_replaced_get_logs_is_called_once(served, how, monkeypatch):
    """`logs/search` is not asked for: a test's server knows no such path."""
    stored = Stored(script(20, stored=5))
    flow = served(stored)
    calls = []

    def get_logs(*args):
        calls.append(args[-1])
        return SimpleNamespace(text="")

    if how == "on the object":
        flow.get_logs = get_logs
    else:
        monkeypatch.setattr(flow, "__class__", type("Own", (Flow,), {"get_logs": get_logs}))
    result = flow.wait(ID)
    assert (result.log, calls) == ("", [ID])
    assert stored.count("search") == stored.count("configs") == 0
    assert list(flow.iter_logs(ID)) == []
