"""Executing many: few connections, one poll for all, and no error that disturbs another."""

import asyncio
import gc
import itertools
import logging
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
import requests_mock
import responses
from loopback import (
    Engine,
    Loopback,
    answer,
    as_json,
    carried_out,
    close,
    fine,
    garbage,
    hang,
    reset,
)
from rest import exchanges

import kestra._rules.many
import kestra._rules.waiting
from kestra import ExecutionOutcome, ExecutionRequest, Flow
from kestra._api.dialects import search_queries
from kestra._api.requests import request_of
from kestra._api.servers import Server
from kestra._http import stand_ins
from kestra._rules import polling
from kestra._rules.many import Running
from kestra._rules.polling import Batch, Search
from kestra._rules.waiting import Options, Wait
from kestra.exceptions import (
    Conflict,
    ExecutionFailed,
    ExecutionTimeout,
    FailedExponentialBackoff,
    InvalidInput,
    MalformedResponse,
    NotFound,
    PermissionDenied,
)

pytestmark = pytest.mark.usefixtures("environment", "lasting_connections")

START = datetime(2026, 1, 1, 12, 0, 0, 500_000, tzinfo=timezone.utc)
RUN = {"id": "run1", "executionId": "execution0", "taskId": "load", "state": {"current": "SUCCESS"}}


# --- what a request may be ---


@pytest.mark.parametrize(
    "given",
    [
        ("company.team", "report", {"day": 1}),
        {"namespace": "company.team", "flow": "report", "inputs": {"day": 1}},
        ExecutionRequest("company.team", "report", {"day": 1}),
    ],
)
def test_a_request_is_given_as_one_as_a_tuple_or_as_a_mapping(given):
    """The three say the same."""
    assert request_of(given) == ExecutionRequest("company.team", "report", {"day": 1})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("company.team", "not str"),
        (("company.team",), "not tuple"),
        (("company.team", "report", {}, {}), "not tuple"),
        ({"namespace": "company.team"}, "'flow' is missing"),
        (
            {"namespace": "company.team", "flow": "f", "flow_id": "f"},
            "'flow_id' is not one",
        ),
        (None, "not NoneType"),
    ],
)
def test_what_is_no_request_is_refused(given, message):
    """The error says what is wrong."""
    with pytest.raises(TypeError, match=f"requests: .*{message}"):
        request_of(given)


def test_the_repr_of_a_request_shows_no_input():
    """Inputs may be secret."""
    assert "s3cret" not in repr(ExecutionOutcome(ExecutionRequest("n", "f", {"key": "s3cret"})))


@pytest.mark.parametrize(
    "given", [("n", "f", {"key": "s3cret"}, 1), {"flow": "f", "inputs": {"key": "s3cret"}}]
)
def test_the_repr_of_an_outcome_shows_no_input_of_what_is_no_request(flow, given):
    """It tells its type; the request itself is at hand."""
    (outcome,) = flow.execute_all([given])
    assert outcome.request is given
    assert "s3cret" not in repr(outcome)
    assert f"request=<{type(given).__name__}>, result=None, error=TypeError" in repr(outcome)


# --- what a search asks, and shows ---


SEARCH = Search("company.team", "report", START, frozenset({"a", "b", "c"}))


def shown(execution_id, state="RUNNING", namespace="company.team", flow="report"):
    return {"id": execution_id, "namespace": namespace, "flowId": flow, "state": {"current": state}}


def test_a_search_is_written_for_new_and_for_old_servers():
    """The start is whole seconds, earlier than the execution's, and in a form that 0.21 reads."""
    page = {"sort": "state.startDate:desc", "page": 2, "size": 100}
    forms = search_queries(Server("http://x"), SEARCH.fields, **page)
    assert [query for _, query in forms] == [
        {
            "filters[namespace][EQUALS]": "company.team",
            "filters[flowId][EQUALS]": "report",
            "filters[startDate][GREATER_THAN_OR_EQUAL_TO]": "2026-01-01T11:59:59.000Z",
            **page,
        },
        {
            "namespace": "company.team",
            "flowId": "report",
            "startDate": "2026-01-01T11:59:59.000Z",
            **page,
        },
    ]


def test_the_start_of_a_search_is_in_utc():
    """Whatever the offset of the server's times."""
    tokyo = START.astimezone(timezone(timedelta(hours=9)))
    fields = Search("n", "f", tokyo, frozenset()).fields
    assert fields["startDate"][1].startswith("2026-01-01T11:59:59")


def test_executions_are_matched_by_their_id():
    """Of one that runs, only its state is kept; others, and what makes no sense, are nothing."""
    pages = replace(SEARCH)
    ended = {**shown("b", "SUCCESS"), "taskRunList": [RUN]}
    listed = [{**shown("a"), "inputs": {}}, ended, shown("x"), shown("a"), None, {"id": "c"}]
    assert not pages.add(listed, 6)
    assert pages.shown == {"a": {"state": {"current": "RUNNING"}}, "b": ended}
    assert pages.understood


def test_pages_are_read_until_all_is_found():
    """The next page is worth a request if there is one, and something is missing."""
    pages = replace(SEARCH)
    assert pages.add([shown("a"), shown("x")], 9)
    assert pages.add([shown("b"), shown("y")], 9)
    assert not pages.add([shown("c"), shown("z")], 9)


def test_no_more_pages_are_read_in_vain_than_looks_would_take():
    """With two missing, the second page that shows neither is the last one."""
    pages = replace(SEARCH)
    assert pages.add([shown("a")], 999)
    assert pages.add([shown("x")], 999)
    assert not pages.add([shown("y")], 999)


@pytest.mark.parametrize(("results", "total"), [([], 999), ([shown("a")], None), ([shown("a")], 1)])
def test_pages_end(results, total):
    """Nothing more, no total that makes sense, or all received."""
    assert not replace(SEARCH).add(results, total)


def test_servers_on_elasticsearch_are_not_asked_for_more_than_they_show():
    """They refuse what is beyond the ten thousandth result."""
    wanted = frozenset(map(str, range(20_000)))
    pages = Search("company.team", "report", START, wanted)
    turned = itertools.takewhile(
        lambda n: pages.add([shown(str(n + i)) for i in range(100)], 20_000),
        itertools.count(0, 100),
    )
    assert sum(1 for _ in turned) == 99


@pytest.mark.parametrize(
    ("namespace", "flow", "understood"),
    [
        ("company.team", "report", True),
        ("company.team.sub", "report", True),
        ("company.teams", "report", False),
        ("company", "report", False),
        ("company.team", "other", False),
    ],
)
def test_results_that_nobody_asked_for_tell_that_the_search_is_not_understood(
    namespace, flow, understood
):
    """But a namespace is a prefix on some versions."""
    pages = replace(SEARCH)
    pages.add([shown("x", namespace=namespace, flow=flow)], 1)
    assert pages.understood is understood


@pytest.mark.parametrize("index", [0, 1], ids=["0.21", "1.3"])
def test_a_recorded_search_shows_executions_as_a_look_does(index):
    """Whole, with their task runs and outputs: no second request is needed."""
    _, _, response = exchanges("exec_search")[index]
    results = response["body"]["results"]
    ids = frozenset(each["id"] for each in results)
    pages = Search("lab", "filer", START, ids)
    assert not pages.add(results, response["body"]["total"])
    assert pages.understood
    assert [pages.shown[each["id"]] for each in results] == results
    assert all(each["taskRunList"][0]["outputs"] is not None for each in results)


@pytest.mark.parametrize("index", [0, 1], ids=["0.21", "1.3"])
def test_a_recorded_search_for_another_flow_is_not_understood(index):
    """What an engine sends that ignores the question."""
    _, _, response = exchanges("exec_search")[index]
    pages = Search("lab", "another", START, frozenset({"x"}))
    assert not pages.add(response["body"]["results"], response["body"]["total"])
    assert not pages.understood


def running(created, execution_id="a"):
    request = ExecutionRequest("company.team", "report")
    wait = Wait(execution_id, Options(poll_interval=1, log_settle=0), created)
    return Running(request, START, wait, created)


@pytest.mark.parametrize(
    ("ages", "pause"),
    [([0], 0.05), ([60], 1), ([0, 60], 0.05), ([0, 0.1, 60], 0.1), ([60, 0, 60], 1)],
)
def test_the_next_look_is_when_one_of_middle_age_needs_it(ages, pause):
    """Neither the youngest nor the oldest one decides."""
    batch = Batch(0)
    batch.members = dict.fromkeys(running(100 - age) for age in ages)
    assert batch.next_poll(1, 100) == pytest.approx(100 + pause)


# --- a server whose executions take their time ---


class Clock:
    """A clock that sleeping sets, and that nothing else does: no machine is too slow for it."""

    def __init__(self):
        self.now = 0.0
        self._lock = threading.Lock()

    def sleep(self, seconds):
        with self._lock:
            self.now += seconds


class ClockOfCalls(stand_ins.Clock):
    """The same clock, as a client reads it."""

    def __init__(self, clock):
        super().__init__()
        self._clock = clock

    def now(self):
        return self._clock.now

    def sleep(self, seconds):
        time.sleep(max(seconds, 0))

    async def pause(self, seconds):
        self.sleep(seconds)
        await asyncio.sleep(0)


class Busy(Engine):
    """An engine whose executions take the seconds that their label `lasts` says.

    They end in the state that their label `ends` says.

    Attributes:
        hidden: The ids of executions that searches do not show.
    """

    def __init__(self, clock):
        super().__init__()
        self.clock = clock
        self.hidden = set()
        self.virtual = self.store.clock
        self.virtual._date = START
        self.origin = self.virtual.now()

    def __call__(self, request):
        late = self.origin + self.clock.now - self.virtual.now()
        self.virtual.sleep(max(late, 0))
        return super().__call__(request)

    def seen(self, execution):
        labels = {each["key"]: each["value"] for each in execution["labels"]}
        lasts = self.executions[execution["id"]].created + float(labels.get("lasts", 1))
        ended = self.virtual.now() >= lasts
        state = labels.get("ends", "SUCCESS") if ended else "RUNNING"
        now = {**execution["state"], "current": state}
        return {**execution, "state": now, "taskRunList": [RUN]}

    def search(self, request):
        found = super().search(request)
        shown = [each for each in found.json().get("results", ()) if each["id"] not in self.hidden]
        return as_json({**found.json(), "results": shown}) if self.hidden else found


def lasting(seconds, ends="SUCCESS", flow="report", **more):
    labels = {"lasts": seconds, "ends": ends}
    return ExecutionRequest("company.team", flow, labels=labels, **more)


def lasted(outcome):
    return float(outcome.request.labels["lasts"])


SEARCHED = "GET /api/v1/executions/search"
LOOKED = "GET /api/v1/executions/execution"
CREATED = "POST /api/v1/executions/"


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "sleep", clock.sleep)
    undo = stand_ins.use_clock(ClockOfCalls(clock))
    yield clock
    undo()


@pytest.fixture
def server(clock):
    with Loopback(Busy(clock)) as server:
        yield server


@pytest.fixture
def flow(server, clock):
    with Flow(hostname=server.url, request_timeout=(5, 5)) as flow:
        yield flow


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    """Every worker ends when the iteration does."""
    yield
    wait_for_workers()


def wait_for_workers():
    deadline = time.monotonic() + 10
    for thread in threading.enumerate():
        if thread.name == "kestra-worker":
            thread.join(deadline - time.monotonic())
            assert not thread.is_alive()


# --- as they finish ---


def test_outcomes_come_as_executions_end(server, flow):
    """Not in the order of the requests; each with its request and its result."""
    outcomes = list(flow.execute_all(map(lasting, [9, 3, 6])))
    assert [lasted(outcome) for outcome in outcomes] == [3, 6, 9]
    for outcome in outcomes:
        assert outcome.ok
        assert outcome.error is None
        assert outcome.execution_id == outcome.result.execution_id
        assert outcome.result.status == "SUCCESS"
        assert outcome.result.url.endswith(f"/company.team/report/{outcome.execution_id}")
        assert [run.task for run in outcome.result.task_runs] == ["load"]
        outcome.raise_for_status()


def test_one_search_looks_at_all(server, flow, clock):
    """As often as one execution would be polled, whatever their number."""
    flow.poll_interval = 20
    counts = []
    for number in (2, 50):
        server.requests.clear()
        outcomes = list(flow.execute_all([lasting(600)] * number, max_concurrent=50))
        assert sum(outcome.ok for outcome in outcomes) == number
        assert server.count(CREATED) == number
        counts.append(server.count(SEARCHED))
        assert server.count(LOOKED) == 0
    assert max(counts) <= 60
    query = server.requests[-1].query
    assert query["filters[namespace][EQUALS]"] == ["company.team"]
    assert query["filters[flowId][EQUALS]"] == ["report"]
    (start,) = query["filters[startDate][GREATER_THAN_OR_EQUAL_TO]"]
    assert start.endswith(".000Z")


def test_one_alone_is_polled_as_execute_does(server, flow):
    """A search could not show more of it."""
    (outcome,) = flow.execute_all([("company.team", "report")])
    assert outcome.ok
    assert server.count(SEARCHED) == 0


def test_every_flow_has_its_search(server, flow):
    """What is asked for is never more than one flow."""
    requests = [lasting(5, flow=name) for name in "abab"]
    assert all(outcome.ok for outcome in flow.execute_all(requests))
    searches = [each for each in server.requests if each.path.endswith("/search")]
    assert {tuple(each.query["filters[flowId][EQUALS]"]) for each in searches} == {("a",), ("b",)}


@pytest.mark.parametrize("number", [200, pytest.param(1_000, marks=pytest.mark.load)])
def test_many_executions_take_ten_connections_and_few_looks(server, flow, number):
    """Each is created with one request; all are polled with searches."""
    flow.request_timeout = (5, 60)  # one that is over costs a connection
    requests = (lasting(1 + n % 7) for n in range(number))
    outcomes = flow.execute_all(requests, max_concurrent=100)
    ids = {outcome.execution_id for outcome in outcomes if outcome.ok}
    assert len(ids) == number
    assert server.connections <= 10
    assert server.count(CREATED) == number
    assert server.count(SEARCHED) + server.count(LOOKED) <= number


@pytest.mark.parametrize("page", [20, pytest.param(100, marks=pytest.mark.load)])
def test_connections_stay_ten_where_many_run_at_once(server, flow, monkeypatch, page):
    """Every page of the search is read, as long as there is something to find, and every log."""
    monkeypatch.setattr(polling, "_PAGE", page)
    number = page * 5 // 2
    flow.request_timeout = (5, 60)  # one that is over costs a connection
    outcomes = flow.execute_all([lasting(20)] * number, max_concurrent=number, fetch_log=True)
    assert sum(outcome.result.log == server.engine.logs[0] for outcome in outcomes) == number
    assert server.connections <= 10
    pages = [each.query["page"][0] for each in server.requests if "page" in each.query]
    assert max(pages) == "3"
    assert pages.count("3") >= len(pages) // 4
    assert server.count(LOOKED) == 0


def test_no_more_run_at_once_than_there_are_places(server, flow):
    """The next one is created when the outcome of another has been handed out."""
    for handed_out, _ in enumerate(flow.execute_all([lasting(1)] * 20, max_concurrent=3)):
        assert server.count(CREATED) <= handed_out + 3
    assert server.count(CREATED) == 20


def test_requests_are_read_as_places_become_free(flow):
    """An iterable without an end is fine, and nothing is read before an outcome is asked for."""
    numbers = itertools.count(1)
    outcomes = flow.execute_all((lasting(1) for _ in numbers), max_concurrent=4)
    assert next(numbers) == 1
    assert all(outcome.ok for outcome in itertools.islice(outcomes, 30))
    assert next(numbers) <= 30 + 4 + 1
    outcomes.close()


def test_nothing_is_kept_of_what_was_handed_out(flow):
    """Memory does not grow with the number of executions."""
    kinds = (ExecutionRequest, ExecutionOutcome, Running, Batch)
    requests = (lasting(1) for _ in range(120))
    kept = []
    gc.freeze()  # what other tests have left need not be looked at
    for number, _ in enumerate(flow.execute_all(requests, max_concurrent=5)):
        if number % 30 == 20:
            gc.collect()
            kept.append(sum(isinstance(each, kinds) for each in gc.get_objects()))
    gc.unfreeze()
    assert max(kept) <= kept[0] + 2 * 5
    assert max(kept) <= 4 * 5 + 10


def test_no_requests_are_no_outcomes(server, flow):
    """Nothing is sent."""
    assert list(flow.execute_all([])) == []
    assert server.requests == []


def test_nobody_waits_where_completion_is_not_waited_for(server, flow):
    """Outcomes come as soon as executions are created; nothing is polled."""
    flow.wait_for_completion = False
    outcomes = list(flow.execute_all([lasting(9)] * 12))
    assert {outcome.result.status for outcome in outcomes} == {"STARTED"}
    assert len({outcome.execution_id for outcome in outcomes}) == 12
    assert server.methods() == {"POST": 12}
    assert not any(outcome.ok for outcome in outcomes)


def test_an_execution_that_failed_is_a_result(server, flow):
    """As with `execute`: its state says so, and `raise_for_status` makes it an error."""
    server.engine.entries = [{"level": "ERROR", "message": "boom"}]
    outcomes = {lasted(each): each for each in flow.execute_all([lasting(2), lasting(4, "FAILED")])}
    assert outcomes[2].ok
    assert not outcomes[4].ok
    assert outcomes[4].error is None
    assert outcomes[4].result.error == "boom"
    with pytest.raises(ExecutionFailed, match="boom"):
        outcomes[4].raise_for_status()


def test_the_log_is_fetched_where_it_is_wanted(server, flow):
    """One request for each; otherwise none."""
    outcomes = list(flow.execute_all([lasting(2)] * 3, fetch_log=True))
    assert [outcome.result.log for outcome in outcomes] == server.engine.logs * 3
    assert server.count("GET /api/v1/logs") == 3
    assert [each.result.log for each in flow.execute_all([lasting(2)] * 3)] == [None] * 3
    assert server.count("GET /api/v1/logs") == 3


def test_a_paused_execution_is_told_once(server, flow, caplog):
    """However often it is polled."""
    seen = server.engine.seen

    def paused(execution):
        now = seen(execution)
        if now["state"]["current"] == "RUNNING":
            now["state"]["current"] = "PAUSED"
        return now

    server.engine.seen = paused
    assert all(outcome.ok for outcome in flow.execute_all([lasting(5)] * 2))
    assert sum("is paused" in each for each in caplog.messages) == 2


# --- one that fails disturbs no other ---


GOOD = [lasting(2), lasting(3)]


def one_of(outcomes):
    """Return the outcome that is an error, and check that all others are fine."""
    bad = [outcome for outcome in outcomes if outcome.error is not None]
    assert len(bad) == 1
    assert all(outcome.ok for outcome in outcomes if outcome is not bad[0])
    assert len(outcomes) == 1 + len(GOOD)
    assert bad[0].result is None
    assert not bad[0].ok
    with pytest.raises(type(bad[0].error)):
        bad[0].raise_for_status()
    return bad[0]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (("company.team", "report", {"x": "\ud800"}), ValueError),
        (("../..", "report"), ValueError),
        (("company.team", "report", [1]), TypeError),
        (ExecutionRequest("n", "f", labels={"a b": 1}), ValueError),
        (ExecutionRequest("n", "f", revision="1"), TypeError),
        (ExecutionRequest("n", "f", schedule_date="2026-01-01"), ValueError),
        ({"namespace": "n", "flow_id": "f"}, TypeError),
        (7, TypeError),
    ],
)
def test_a_request_with_a_bad_argument_is_not_sent(server, flow, bad, error):
    """Its outcome says why; the others go on."""
    outcome = one_of(list(flow.execute_all([GOOD[0], bad, GOOD[1]])))
    assert isinstance(outcome.error, error)
    assert outcome.execution_id is None
    assert server.count(CREATED) == 2
    assert outcome.request in (bad, ExecutionRequest(*bad) if isinstance(bad, tuple) else bad)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (answer(404, b'{"message": "no such flow"}'), NotFound),
        (answer(409, b'{"message": "disabled"}'), Conflict),
        (answer(422, b'{"message": "bad input"}'), InvalidInput),
        (answer(200, b"[]"), MalformedResponse),
        (answer(200, b'{"state": {}}'), MalformedResponse),
    ],
)
def test_a_creation_that_is_refused_is_an_outcome(server, flow, fault, error):
    """In the server's words; there is no id."""
    flow.idempotent = False
    flow.tenant = "main"
    server.engine.root = "/api/v1/main"
    server.upset("/executions/company.team/bad", fault)
    bad = ("company.team", "bad")
    outcome = one_of(list(flow.execute_all([GOOD[0], bad, GOOD[1]])))
    assert isinstance(outcome.error, error)
    assert outcome.execution_id is None
    assert outcome.request == ExecutionRequest(*bad)


@pytest.mark.parametrize("fault", [reset, close, garbage, hang])
def test_an_answer_to_a_creation_that_is_lost_starts_no_second_execution(server, hasty, fault):
    """The execution is found again by its label, as with `execute`."""
    server.upset(CREATED, carried_out(fault))
    outcomes = list(hasty.execute_all(GOOD))
    assert all(outcome.ok for outcome in outcomes)
    assert len(server.engine.executions) == 2


def test_a_creation_that_is_never_answered_is_an_outcome(server, flow):
    """The error tells by which label it may be found."""
    server.engine.searchable = False
    server.upset("/executions/company.team/bad", *[reset] * 5)
    outcome = one_of(list(flow.execute_all([*GOOD, ("company.team", "bad")])))
    assert isinstance(outcome.error, FailedExponentialBackoff)
    assert outcome.error.correlation_id


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        ([answer(403)], PermissionDenied),
        ([answer(200, b"<html>")] * 5, MalformedResponse),
        ([answer(200, b"{}")] * 5, MalformedResponse),
    ],
)
def test_a_look_that_fails_is_an_outcome(server, flow, faults, error):
    """It says which execution it is about; a page that was there for a moment is none."""
    server.engine.searchable = False
    server.upset(f"{LOOKED}0", *faults)
    outcome = one_of(list(flow.execute_all([*GOOD, lasting(4)])))
    assert isinstance(outcome.error, error)
    assert outcome.error.execution_id == outcome.execution_id == "execution0"


def test_a_look_that_no_attempt_brings_is_an_outcome(server, flow):
    """All others are seen to their end."""
    server.engine.searchable = False
    server.upset(f"{LOOKED}0", *[reset] * 5)
    outcome = one_of(list(flow.execute_all([*GOOD, lasting(4)])))
    assert isinstance(outcome.error, FailedExponentialBackoff)
    assert outcome.execution_id == "execution0"


def test_an_execution_that_vanishes_is_not_found(server, flow):
    """Searches no longer show it; so it is polled, and that is its outcome."""
    outcomes = []
    for outcome in flow.execute_all([lasting(1), lasting(60), *GOOD[1:]]):
        gone = [
            execution_id
            for execution_id, each in server.engine.executions.items()
            if each.labels["lasts"] == "60"
        ]
        if gone:
            del server.engine.executions[gone[0]]
        outcomes.append(outcome)
    outcome = one_of(outcomes)
    assert isinstance(outcome.error, NotFound)
    assert lasted(outcome) == 60


def test_executions_that_are_not_seen_at_once_are_waited_for(server, flow):
    """On a server that has several parts it may take a moment."""
    server.engine.searchable = False
    server.upset("GET /api/v1/executions/execution", *[answer(404)] * 3)
    assert all(outcome.ok for outcome in flow.execute_all(GOOD))


def test_one_execution_for_two_requests_is_the_outcome_of_both(server, flow):
    """It may be so where both bear the same correlation id of the caller's."""
    create = server.engine.create

    replies = []

    def once(request, namespace, name):
        replies.append(replies[0] if replies else create(request, namespace, name))
        return replies[-1]

    server.engine.create = once
    outcomes = list(flow.execute_all([lasting(2), lasting(2)]))
    assert [outcome.execution_id for outcome in outcomes] == ["execution0"] * 2
    assert all(outcome.ok for outcome in outcomes)


def test_an_error_of_the_iterable_is_raised_when_all_else_is_done(flow):
    """What was started is handed out before."""

    def requests():
        yield from GOOD
        raise KeyError("mine")

    outcomes = flow.execute_all(requests())
    assert next(outcomes).ok
    assert next(outcomes).ok
    with pytest.raises(KeyError, match="mine"):
        next(outcomes)


# --- where searches do not help ---


def test_without_a_search_executions_are_polled_one_by_one(server, flow, caplog):
    """Still over ten connections at most; what is missing is reported once."""
    caplog.set_level(logging.INFO)
    server.engine.searchable = False
    outcomes = list(flow.execute_all([lasting(3)] * 20, max_concurrent=20))
    assert sum(outcome.ok for outcome in outcomes) == 20
    assert server.connections <= 10
    assert server.count(SEARCHED) <= 2  # the second without a tenant
    assert sum("polled one by one" in each for each in caplog.messages) == 1


@pytest.mark.parametrize("strict", [False, True], ids=["ignored", "refused"])
def test_the_newest_servers_are_asked_as_they_want_it(server, flow, strict):
    """With filters; task runs, which searches there leave out, take a poll each."""
    server.engine.forms = {"filters"}
    server.engine.strict = strict
    server.engine.light = True
    others = [("company.team", "other")] * 2
    flow.wait_for_completion = False
    assert len(list(flow.execute_all(others))) == 2
    flow.wait_for_completion = True
    server.requests.clear()
    outcomes = list(flow.execute_all([lasting(3)] * 8))
    assert all(outcome.ok and outcome.result.task_runs for outcome in outcomes)
    assert server.count(f"{SEARCHED}?namespace") == 0
    assert server.count(f"{SEARCHED}?filters") > 1
    assert server.count(LOOKED) == 8


def test_old_servers_are_asked_as_they_want_it(server, flow):
    """They ignore filters, and show everything: the first search finds out."""
    server.engine.forms = {"plain"}
    flow.wait_for_completion = False
    assert len(list(flow.execute_all([("company.team", "other")] * 2))) == 2
    flow.wait_for_completion = True
    assert all(outcome.ok for outcome in flow.execute_all([lasting(3)] * 8))
    assert server.count(f"{SEARCHED}?filters") == 1
    assert server.count(f"{SEARCHED}?namespace") > 1
    assert server.count(LOOKED) == 0


def test_a_server_that_shows_everything_is_asked_singly(server, flow):
    """No form of the search is understood."""
    flow.wait_for_completion = False
    assert list(flow.execute_all([("company.team", "other")]))
    flow.wait_for_completion = True
    server.engine.forms = set()
    assert all(outcome.ok for outcome in flow.execute_all([lasting(3)] * 4))
    assert server.count(SEARCHED) == 2
    assert server.count(LOOKED) > 4


@pytest.mark.parametrize(
    "fault", [answer(503), answer(429), answer(200, b"<html>"), reset, garbage, hang]
)
def test_a_search_that_fails_now_and_then_is_made_again(server, hasty, fault):
    """At its next time; nothing else is asked meanwhile."""
    server.upset(SEARCHED, fault, fault)
    assert all(outcome.ok for outcome in hasty.execute_all([lasting(8)] * 5))
    assert server.count(LOOKED) == 0
    assert server.count(SEARCHED) > 3


def test_while_searches_fail_executions_are_polled_one_by_one(server, flow):
    """And searched for again, once that works."""
    server.upset(SEARCHED, *[answer(503)] * 4)
    assert all(outcome.ok for outcome in flow.execute_all([lasting(8)] * 5))
    assert server.count(LOOKED) == 10
    assert server.count(SEARCHED) > 5


def test_searches_that_lead_nowhere_are_given_up(server, flow):
    """The executions are polled instead."""
    server.upset(SEARCHED, answer(403))
    assert all(outcome.ok for outcome in flow.execute_all([lasting(4)] * 5))
    assert server.count(SEARCHED) == 1
    assert server.count(LOOKED) > 5


def test_what_searches_do_not_show_is_polled_by_itself(server, flow):
    """After three seconds; all others are searched for as before."""
    server.engine.hidden = {"execution0", "execution1"}
    outcomes = list(flow.execute_all([lasting(20)] * 6))
    assert sum(outcome.ok for outcome in outcomes) == 6
    looked = {each.path for each in server.requests if LOOKED[4:] in each.path}
    assert {path.rpartition("/")[2] for path in looked} == server.engine.hidden
    first = next(i for i, each in enumerate(server.requests) if LOOKED[4:] in each.path)
    searches = sum(each.path.endswith("/search") for each in server.requests[:first])
    assert searches > 3


def test_what_is_beyond_the_pages_is_polled_by_itself(server, flow, monkeypatch):
    """A few that run for long do not make every search read what has ended since."""
    monkeypatch.setattr(polling, "_PAGE", 20)
    requests = itertools.chain([lasting(60)] * 2, [lasting(1)] * 140)
    outcomes = flow.execute_all(requests, max_concurrent=20)
    assert sum(outcome.ok for outcome in outcomes) == 142
    pages = [int(each.query["page"][0]) for each in server.requests if "page" in each.query]
    assert max(pages) <= 5


def test_an_execution_without_a_start_is_polled_by_itself(server, flow):
    """It cannot be searched for."""
    create = server.engine.create

    def startless(request, namespace, name):
        create(request, namespace, name)
        return as_json({"id": list(server.engine.executions)[-1]})

    server.engine.create = startless
    assert all(outcome.ok for outcome in flow.execute_all(GOOD))
    assert server.count(SEARCHED) == 0


def test_task_runs_that_cannot_be_had_do_not_cost_the_result(server, flow, caplog):
    """That it has ended is known."""
    server.engine.light = True
    server.upset(LOOKED, answer(403))
    outcomes = list(flow.execute_all([lasting(2)] * 3))
    assert sum(outcome.ok for outcome in outcomes) == 3
    assert sorted(len(outcome.result.task_runs) for outcome in outcomes) == [0, 1, 1]
    assert sum("The task runs of an execution" in each for each in caplog.messages) == 1


def test_a_look_that_is_behind_the_search_does_not_cost_the_result(server, flow):
    """What the search showed counts."""
    server.engine.light = True
    server.upset(LOOKED, answer(200, b'{"state": {"current": "RUNNING"}}'))
    assert all(outcome.ok for outcome in flow.execute_all([lasting(2)] * 3))


# --- timeouts ---


@pytest.mark.parametrize("kill", [False, True])
def test_a_timeout_is_the_outcome_of_what_takes_longer(server, flow, kill):
    """Counted from its creation; the others are not disturbed."""
    requests = [lasting(2), lasting(60), lasting(3)]
    outcome = one_of(list(flow.execute_all(requests, timeout=10, kill_on_timeout=kill)))
    error = outcome.error
    assert isinstance(error, ExecutionTimeout)
    assert (error.state, error.timeout, error.killed) == ("RUNNING", 10, kill)
    assert error.execution_id == outcome.execution_id
    assert server.engine.killed == [outcome.execution_id] * kill


def test_each_has_its_own_timeout(flow):
    """Those created later may run for longer."""
    outcomes = list(flow.execute_all([lasting(6)] * 5, max_concurrent=1, timeout=10))
    assert sum(outcome.ok for outcome in outcomes) == 5


def test_what_ends_in_time_is_no_timeout_even_if_it_is_seen_late(server, flow, clock):
    """The caller was busy with something else; there is a last poll."""
    outcomes = flow.execute_all([lasting(1), lasting(5), lasting(999)], timeout=10)
    assert next(outcomes).ok
    clock.now += 60
    assert sorted(outcome.ok for outcome in outcomes) == [False, True]


def test_a_timeout_that_has_passed_at_once_still_looks_once(server, flow):
    """As with `execute`."""
    (outcome,) = flow.execute_all([lasting(0)], timeout=0)
    assert outcome.ok


def test_a_timeout_holds_while_the_server_does_not_answer(server, flow, monkeypatch):
    """The last poll is cut short."""
    monkeypatch.setattr(kestra._rules.waiting, "LAST_POLL", 0.1)
    server.upset(LOOKED, hang)
    (outcome,) = flow.execute_all([lasting(60)], timeout=0)
    assert isinstance(outcome.error, ExecutionTimeout)
    assert outcome.error.state is None


def test_a_timeout_while_a_look_is_on_its_way(flow, clock):
    """What the poll brings after that counts for nothing."""
    looks = itertools.count()
    last, first = threading.Event(), threading.Event()
    check_status = flow.check_status

    def slow(execution_id):
        if next(looks) == 0:
            clock.now += 1
            assert last.wait(10)
            first.set()
        else:
            last.set()
            assert first.wait(10)
        return check_status(execution_id)

    flow.check_status = slow
    (outcome,) = flow.execute_all([lasting(60)], max_concurrent=2, timeout=0.2)
    assert isinstance(outcome.error, ExecutionTimeout)


# --- the end of it all ---


def test_closing_early_tells_what_is_left_running(server, flow, caplog):
    """Nothing is killed."""
    outcomes = flow.execute_all([lasting(1), lasting(60), lasting(60)])
    done = next(outcomes).execution_id
    outcomes.close()
    (told,) = [each for each in caplog.messages if "left running" in each]
    left = set(server.engine.executions) - {done}
    assert sorted(told.partition(": ")[2].split(", ")) == sorted(left)
    assert len(left) == 2
    assert server.engine.killed == []


def test_closing_when_all_is_done_tells_nothing(flow, caplog):
    """Nor does closing before the beginning."""
    outcomes = flow.execute_all([lasting(1)])
    assert next(outcomes).ok
    outcomes.close()
    flow.execute_all([lasting(1)]).close()
    assert "left running" not in caplog.text


def test_closing_tells_what_was_created_and_not_handed_out(server, flow, caplog):
    """Where completion is not waited for."""
    flow.wait_for_completion = False
    outcomes = flow.execute_all([lasting(60)] * 4, max_concurrent=4)
    done = next(outcomes).execution_id
    outcomes.close()
    (told,) = [each for each in caplog.messages if "left running" in each]
    left = set(server.engine.executions) - {done}
    assert set(told.partition(": ")[2].split(", ")) == left


def test_closing_tells_of_what_may_have_been_created(server, flow, caplog, monkeypatch):
    """The server has not responded: the wait is short, and it is not asked again."""
    monkeypatch.setattr(stand_ins, "clock", stand_ins.Clock)  # time passes by itself
    monkeypatch.setattr(kestra._rules.many, "_LAST_RESPONSES", 0.05)
    flow.request_timeout = (5, 1)
    server.upset("/executions/company.team/slow", carried_out(hang))
    outcomes = flow.execute_all([lasting(0), lasting(9, flow="slow")])
    assert next(outcomes).ok
    outcomes.close()
    assert "none known; and 1 may have been created" in caplog.text
    server.stopped.set()
    wait_for_workers()
    assert server.count("/executions/company.team/slow") == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_iteration_has_a_note_of_what_is_left_running(
    flow, clock, error, monkeypatch, caplog
):
    """In the traceback, or before Python 3.11 in the log."""

    def interrupted(seconds):
        clock.sleep(seconds)
        if clock.now > 5:
            raise error

    monkeypatch.setattr(time, "sleep", interrupted)
    with pytest.raises(error) as caught:
        list(flow.execute_all([lasting(1), lasting(60), lasting(60)]))
    told = "\n".join([*getattr(caught.value, "__notes__", []), *caplog.messages])
    assert "Executions that were left running: execution" in told
    assert told.count("execution") == 2


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_ctrl_c_in_a_terminal_ends_the_program(server):
    """It shows what goes on running, also while a server does not respond."""
    code = (  # a job in the background ignores SIGINT, and hands that on
        "import signal\n"
        "import kestra._rules.many\n"
        "from kestra import Flow\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "kestra._rules.many._LAST_RESPONSES = 0.1\n"
        f"flow = Flow(hostname={server.url!r}, poll_interval=0.05)\n"
        "list(flow.execute_all([('n', 'fine'), ('n', 'slow')]))\n"
    )
    looked, asked = threading.Event(), threading.Event()

    def see(exchange):
        looked.set()
        return fine(exchange)

    def ignore(exchange):
        asked.set()
        return hang(exchange)

    server.upset(LOOKED, see)
    server.upset("/executions/n/slow", ignore)
    with subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert looked.wait(30)
            assert asked.wait(30)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=180)
        finally:
            process.kill()
    assert process.returncode != 0
    assert "left running: execution0; and 1 may have been created" in errors


def test_what_ends_a_worker_ends_the_iteration(server, flow, monkeypatch, caplog):
    """A subclass may do so; what else runs is reported."""

    def check_status(execution_id):
        raise SystemExit(3)

    flow.check_status = check_status
    with pytest.raises(SystemExit):
        list(flow.execute_all([("company.team", "report")]))


# --- bad arguments ---


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"requests": 7}, TypeError),
        ({"requests": "company.team"}, TypeError),
        ({"requests": {"namespace": "n", "flow": "f"}}, TypeError),
        ({"requests": ExecutionRequest("n", "f")}, TypeError),
        ({"requests": [], "max_concurrent": 0}, ValueError),
        ({"requests": [], "max_concurrent": True}, TypeError),
        ({"requests": [], "max_concurrent": 2.5}, TypeError),
        ({"requests": [], "timeout": -1}, ValueError),
        ({"requests": [], "timeout": "1"}, TypeError),
    ],
)
def test_bad_arguments_are_refused_at_once(flow, arguments, error):
    """Not only when the first outcome is asked for."""
    with pytest.raises(error):
        flow.execute_all(**arguments)


# --- mocks and subclasses ---


HOST = "http://localhost:8080"
CREATE = f"{HOST}/api/v1/executions/company.team/report"


def test_many_with_requests_mock(clock):
    """A mock that knows of no search gets polls."""
    with requests_mock.Mocker() as mock:
        ids = (f"id{number}" for number in itertools.count())
        mock.post(CREATE, json=lambda *_: {"id": next(ids), "state": {"startDate": "2026-01-01"}})
        mock.get(
            requests_mock.ANY,
            json={"state": {"current": "SUCCESS"}},
            additional_matcher=lambda request: "/executions/id" in request.url,
        )
        outcomes = list(Flow().execute_all([("company.team", "report")] * 5))
    assert sorted(outcome.execution_id for outcome in outcomes if outcome.ok) == [
        f"id{number}" for number in range(5)
    ]


def test_many_with_requests_mock_that_would_be_searched(clock):
    """The search is not in the mock; so it is given up."""
    with requests_mock.Mocker() as mock:
        ids = (f"id{number}" for number in itertools.count())
        state = {"startDate": "2026-01-01T00:00:00Z"}
        mock.post(CREATE, json=lambda *_: {"id": next(ids), "state": state})
        for number in range(3):
            looked = f"{HOST}/api/v1/executions/id{number}"
            mock.get(looked, json={"state": {"current": "SUCCESS"}})
        outcomes = list(Flow().execute_all([("company.team", "report")] * 3))
    assert sum(outcome.ok for outcome in outcomes) == 3


@responses.activate
def test_many_with_responses(clock):
    """A mock of `responses` without the search: it is given up too."""
    state = {"startDate": "2026-01-01T00:00:00Z"}
    responses.post(CREATE, json={"id": "id1", "state": state})
    responses.get(f"{HOST}/api/v1/executions/id1", json={"state": {"current": "SUCCESS"}})
    outcomes = list(Flow().execute_all([("company.team", "report")] * 2))
    assert [outcome.ok for outcome in outcomes] == [True, True]


def test_many_goes_through_overridden_methods(clock):
    """What a subclass has in the place of the network is what gets called."""

    class Answer:
        text = "a log"

        def __init__(self, body):
            self.json = lambda: body

    class Fake(Flow):
        def _make_request(self, method, url, **kwargs):
            return Answer({"id": "id1"})

        def check_status(self, execution_id):
            return Answer({"state": {"current": "SUCCESS"}})

        def get_logs(self, execution_id):
            return Answer({})

    outcomes = list(Fake().execute_all([("n", "f")] * 3, fetch_log=True))
    assert [outcome.result.log for outcome in outcomes] == ["a log"] * 3
