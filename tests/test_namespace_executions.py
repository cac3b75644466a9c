"""Executions of a namespace, and its webhooks."""

from datetime import date, datetime, timedelta, timezone
from email.utils import format_datetime
from itertools import islice

import pytest
import requests
from namespaces import ENGINES, RECORDED, namespace, recorded
from urllib3.exceptions import ProtocolError

from kestra import Flow, Namespace
from kestra.exceptions import (
    APIError,
    Conflict,
    ExecutionFailed,
    FailedExponentialBackoff,
    InvalidInput,
    KestraError,
    MalformedResponse,
    NotFound,
    ServerError,
)
from kestra.testing import FakeKestra

VERSIONS = ("0.21", "1.3", "2.0")


def started(ns, flow, times, **labels):
    with Flow(wait_for_completion=False, poll_interval=0.1) as client:
        return [client.execute(ns, flow, labels=labels or None).execution_id for _ in range(times)]


@pytest.fixture(params=VERSIONS)
def fake(request):
    with FakeKestra(version=request.param) as fake:
        fake.flow("company.team", "report")
        fake.flow("company.team", "other")
        fake.flow("company.team.deep", "report")
        yield fake


def test_executions_come_the_newest_first(fake):
    ids = started("company.team", "report", 3)
    started("company.team.deep", "report", 1)
    ids += started("company.team", "other", 1)
    fake.sleep(10)
    found = list(Namespace("company.team").executions())
    assert [each.id for each in found] == ids[::-1]
    assert [each.flow for each in found] == ["other", "report", "report", "report"]
    assert all(each.ok and each.has_ended and each.status == "SUCCESS" for each in found)
    assert found[0].state.start < found[0].state.end
    assert found[0].url.endswith(found[0].id)


def test_executions_are_filtered(fake):
    first = started("company.team", "report", 1, team="sales")
    fake.sleep(100)
    fake.state("FAILED")
    failed = started("company.team", "report", 1, team="sales", day="mon")
    started("company.team", "other", 1, team="sales")
    fake.sleep(100)
    ns = Namespace("company.team")

    def ids(*args, **kwargs):
        return [each.id for each in ns.executions(*args, **kwargs)]

    assert ids("report") == failed + first
    assert ids("report", labels={"team": "sales", "day": "mon"}) == failed
    assert ids("report", state=["FAILED", "KILLED"]) == failed
    assert ids(state="SUCCESS", flow="report") == first
    assert ids("report", since=timedelta(seconds=150)) == failed
    assert ids("report", until=timedelta(seconds=150)) == first
    assert ids("report", text=failed[0]) == failed
    start = next(ns.executions("report", state="FAILED")).state.start
    assert ids("report", since=start) == failed
    assert ids("report", since=start.astimezone().replace(tzinfo=None)) == failed
    assert ids("report", since=start + timedelta(seconds=1)) == []


def test_new_executions_move_nothing(fake, monkeypatch):
    monkeypatch.setattr("kestra._rules.listing.executions.__defaults__", (2,))
    ids = started("company.team", "report", 7)
    fake.sleep(10)
    found = Namespace("company.team").executions("report")
    seen = [each.id for each in islice(found, 2)]
    started("company.team", "report", 3)
    seen += [each.id for each in islice(found, 2)]
    started("company.team", "report", 3)
    seen += [each.id for each in found]
    assert seen == ids[::-1]


@pytest.mark.parametrize("hours", [3, -3])
def test_a_time_before_now_is_by_the_clock_of_the_server(hours):
    """The first response says what time it is there; if it is another, it is asked again."""
    now = datetime.now(timezone.utc) + timedelta(hours=hours)
    page = 200, {"results": []}, {"Date": format_datetime(now, usegmt=True)}
    ns, server = namespace(page, page, page)
    assert list(ns.executions(since=timedelta(hours=1))) == []
    assert len(server.sent) == 2
    since = server.sent[-1].query["filters[startDate][GREATER_THAN_OR_EQUAL_TO]"]
    asked = datetime.fromisoformat(since.replace("Z", "+00:00"))
    assert abs(now - timedelta(hours=1) - asked) < timedelta(hours=1)
    assert list(ns.executions(since=timedelta(hours=1))) == []
    assert len(server.sent) == 3


def test_executions_created_in_the_same_moment_come_once():
    def page(*numbers):
        state = {"current": "RUNNING", "startDate": "2026-01-31T12:00:00Z"}
        shown = {"namespace": "company.team", "flowId": "x", "state": state}
        return 200, {"results": [{**shown, "id": f"e{number}"} for number in numbers]}

    hundred = page(*range(100))
    ns, server = namespace(hundred, hundred, page(*range(100, 150)))
    assert len(list(ns.executions())) == 150
    assert [each.query["page"] for each in server.sent] == ["1", "1", "2"]
    bound = "filters[startDate][LESS_THAN_OR_EQUAL_TO]"
    assert [each.query.get(bound) for each in server.sent] == [
        None, "2026-01-31T12:00:00.001000Z", "2026-01-31T12:00:00.001000Z"]  # fmt: skip


def test_a_server_of_0_21_is_asked_for_one_label():
    """It understands no more in one search; the others are compared here."""
    ids = {"e1": {"a": "b", "c": "d"}, "e2": {"a": "b"}}
    shown = {"namespace": "company.team", "flowId": "x", "state": {"current": "RUNNING"}}
    page = 200, {"results": [{**shown, "id": id_, "labels": ids[id_]} for id_ in ids]}
    ns, server = namespace(page, page)  # it ignores the filters of later ones
    assert [each.id for each in ns.executions(labels={"a": "b", "c": "d"})] == ["e1"]
    assert server.sent[1].query["labels"] == "a:b"


def test_labels_of_the_system_may_be_searched_for():
    """They may not be set."""
    ns, server = namespace((200, {"results": []}))
    assert list(ns.executions(labels={"system.from": "api"})) == []
    assert server.sent[0].query["filters[labels][EQUALS][system.from]"] == "api"


def test_the_last_execution(fake):
    ns = Namespace("company.team")
    assert ns.last("report") is None
    fake.state("FAILED")
    failed = started("company.team", "report", 1)
    good = started("company.team", "report", 1)
    fake.sleep(10)
    assert ns.last("report").id == good[0]
    assert ns.last("report", state="FAILED").id == failed[0]
    assert ns.last("other") is None


def test_nothing_is_sent_before_the_first_one_is_asked_for():
    ns, server = namespace()
    ns.executions()
    assert not server.sent


@pytest.mark.parametrize(
    ("case", "arguments"),
    [
        ("search_state_in", {"state": ["FAILED", "WARNING"]}),
        ("search_lab2", {"labels": {"grp": "q5", "run": "a1"}}),
        ("search_ns_eq", {}),
        ("search_flow_eq", {"flow": "fail"}),
        ("search_q", {"text": "fail"}),
        ("search_child_main", {"children": False}),
    ],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_filters_are_those_that_were_recorded(case, arguments, engine):
    ns, server = namespace(recorded(case, engine))
    (found,) = ns.executions(**arguments)
    result = RECORDED[case][engine]["response"]["body"]["results"][0]
    assert (found.id, found.flow, found.revision) == (result["id"], result["flowId"], 1)
    assert found.inputs == result.get("inputs", {})
    assert found.status == result["state"]["current"]
    path = requests.utils.unquote(RECORDED[case][engine]["request"]["path"])
    asked = path.partition("?")[2].removesuffix("&size=1")
    sent = "&".join(f"{name}={value}" for name, value in server.sent[0].query.items())
    assert asked in sent


@pytest.mark.parametrize("engine", ENGINES)
def test_children_of_an_execution(engine):
    parent = "2W1mZU37oAC5xbJiQ7WdKi"
    ns, server = namespace(recorded("search_trigexec", engine), name="company.team.deep")
    (found,) = ns.executions(trigger=parent, children=True)
    assert found.flow == "sub"
    assert found.trigger is not None
    assert server.sent[0].query["filters[triggerExecutionId][EQUALS]"] == parent
    assert server.sent[0].query["filters[childFilter][EQUALS]"] == "CHILD"
    assert found.parent_id is not None


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"state": "NOPE"}, ValueError, "state must be one or more of .*, not 'NOPE'"),
        ({"state": []}, ValueError, "state must name at least one, or be None for all"),
        ({"flow": 7}, TypeError, "flow must be a string, not int"),
        ({"state": 5}, TypeError, "state must be the name of a state, or several, not int"),
        ({"since": "P1D"}, TypeError, "since must be a datetime, or a timedelta"),
        ({"until": 7}, TypeError, "until must be a datetime, or a timedelta"),
        ({"children": 1}, TypeError, "children must be True, False, or None"),
        ({"labels": {"": "x"}}, ValueError, "labels"),
    ],
)
def test_what_cannot_be_searched_for_is_refused_at_once(arguments, error, said):
    ns, server = namespace()
    with pytest.raises(error, match=said):
        ns.executions(**arguments)
    assert not server.sent


def test_what_is_not_a_result_page_is_refused():
    ns, _ = namespace((200, {"message": "hello"}))
    with pytest.raises(MalformedResponse, match="lacks the list of results"):
        next(ns.executions())


def test_a_time_that_cannot_be_one_is_refused():
    ns, server = namespace()
    with pytest.raises(ValueError, match="since and until must be in the years 1 to 9999"):
        next(ns.executions(since=timedelta.max))
    assert not server.sent


# --- webhooks --------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_a_webhook_that_waits_answers_with_its_execution(engine):
    ns, server = namespace(recorded("hook_wait", engine))
    answer = ns.webhook("h_wait", "k1", {"a": 1})
    assert answer.ok
    assert answer.status == "SUCCESS"
    assert answer.outputs["n"] == 5
    assert answer.execution_id == answer.body["id"]
    assert answer.url.endswith(answer.execution_id)
    answer.raise_for_status()
    (sent,) = server.sent
    assert sent.line == "POST executions/webhook/company.team/h_wait/k1"
    assert (sent.body, sent.headers["Content-Type"]) == (b'{"a": 1}', "application/json")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_webhook_may_answer_with_outputs_alone(engine):
    for case, status in (("hook_code", 202), ("hook_ct", 200), ("hook_slow", 200)):
        ns, _ = namespace(recorded(case, engine))
        answer = ns.webhook("h_code", "k1", {"a": 1})
        assert (answer.http_status, answer.execution_id, answer.ok) == (status, None, True)
        assert answer.outputs["n"] == 5


@pytest.mark.parametrize("engine", ENGINES)
def test_a_webhook_that_does_not_wait_has_created_an_execution(engine):
    ns, _ = namespace(recorded("hook_headers", engine))
    answer = ns.webhook("h_plain", "k1", {"a": 1})
    assert (answer.status, answer.outputs, answer.ok) == ("CREATED", None, True)


@pytest.mark.parametrize("outputs", [{"n": 5}, {}])
def test_a_flow_that_has_failed_answers_500_once(outputs):
    ns, server = namespace((500, outputs))
    answer = ns.webhook("h", "k1")
    assert (answer.http_status, answer.outputs, answer.ok) == (500, outputs, False)
    assert len(server.sent) == 1
    with pytest.raises(ExecutionFailed, match=r"has failed \(HTTP 500\)"):
        answer.raise_for_status()


def test_a_failed_execution_is_an_answer():
    shown = {"id": "e1", "namespace": "company.team", "flowId": "h", "state": {"current": "FAILED"}}
    ns, _ = namespace((500, shown))
    answer = ns.webhook("h", "k1")
    assert (answer.execution_id, answer.status, answer.ok) == ("e1", "FAILED", False)
    with pytest.raises(ExecutionFailed, match="ended in the state FAILED") as raised:
        answer.raise_for_status()
    assert raised.value.execution_id == "e1"


@pytest.mark.parametrize(
    ("case", "engine", "error"),
    [
        ("hook_no_flow", "2.0", NotFound),
        ("hook_path", "1.3", NotFound),
        ("hook_disabled_flow", "2.0", Conflict),
        ("hook_disabled_flow", "1.3", Conflict),
        ("hook_need_bad", "2.0", InvalidInput),
        ("hook_need_bad", "1.3", Conflict),
        ("hook_other_tenant", "2.0", InvalidInput),
    ],
)
def test_an_error_of_the_server_does_not_show_the_key(case, engine, error):
    ns, _ = namespace(recorded(case, engine))
    with pytest.raises(error) as raised:
        ns.webhook("h", "s3cret-key", {"a": 1})
    assert "s3cret" not in f"{raised.value} {raised.value.path}"
    assert "s3cret" not in f"{raised.value.request.url} {raised.value.response.url}"
    assert "/h/***" in str(raised.value)


@pytest.mark.parametrize(("wait", "error"), [("5", TypeError), (-1, ValueError)])
def test_how_long_to_wait_is_checked_by_its_name(wait, error):
    ns, server = namespace()
    with pytest.raises(error, match="wait must be"):
        ns.webhook("h", "k1", wait=wait)
    assert not server.sent


@pytest.mark.parametrize("key", ["s3cret\n", "s3cret/x"])
def test_a_key_that_cannot_be_one_is_not_shown(key):
    ns, server = namespace()
    with pytest.raises(ValueError, match="key must be that of a webhook") as raised:
        ns.webhook("h", key)
    assert "s3cret" not in str(raised.value)
    assert not server.sent


@pytest.mark.parametrize("status", [404, 503])
def test_a_proxy_that_repeats_the_path_does_not_show_the_key(status):
    ns, _ = namespace(
        (status, b"Cannot POST /api/v1/main/executions/webhook/company.team/h/s3 cret")
    )
    with pytest.raises(KestraError) as raised:
        ns.webhook("h", "s3 cret")
    assert "cret" not in f"{raised.value} {raised.value.message}"


@pytest.mark.parametrize(
    "answer",
    [
        requests.ConnectionError(ProtocolError("Connection aborted.", ConnectionResetError())),
        (500, {"message": "Internal server error", "logref": None, "_embedded": {}}),
        (503, None),
    ],
)
def test_a_webhook_is_never_sent_twice(answer):
    ns, server = namespace(answer)
    with pytest.raises((FailedExponentialBackoff, ServerError)) as raised:
        ns.webhook("h", "s3cret-key")
    assert "s3cret" not in str(raised.value)
    assert len(server.sent) == 1
    assert not isinstance(raised.value, APIError) or raised.value.attempts == 1


@pytest.mark.parametrize(
    ("body", "sent", "kind"),
    [
        (None, b"", None),
        ("grün", "grün".encode(), "text/plain; charset=utf-8"),
        ([1, "ü"], b'[1, "\\u00fc"]', "application/json"),
        ({"day": date(2026, 1, 31)}, b'{"day": "2026-01-31"}', "application/json"),
    ],
)
def test_what_a_webhook_is_sent(body, sent, kind):
    ns, server = namespace((200, b"done"))
    assert ns.webhook("h", "k1", body).body == "done"
    assert (server.sent[0].body, server.sent[0].headers.get("Content-Type")) == (sent, kind)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"x", "damages bytes"),
        (7, "send str"),
        (True, "a dict, a list or text"),
        ({"a": b"x"}, "body.a is of type bytes, .* or upload it to the namespace as a file"),
    ],
)
def test_what_a_webhook_would_get_as_something_else_is_refused(body, said):
    ns, server = namespace()
    with pytest.raises(TypeError, match=said):
        ns.webhook("h", "k1", body)
    assert not server.sent


@pytest.mark.parametrize("wait", [True, 60])
def test_waiting_for_the_end_of_an_execution(wait, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    start = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
    shown = {
        "id": "e1",
        "namespace": "company.team",
        "flowId": "h",
        "state": {"current": "CREATED"},
    }
    history = [{"state": "SUCCESS", "date": start.isoformat()}]
    ended = {
        **shown, "state": {"current": "SUCCESS", "histories": history}, "outputs": {"n": 5},
        "taskRunList": [],
    }  # fmt: skip
    ns, server = namespace((200, shown), (200, ended))
    answer = ns.webhook("h", "k1", wait=wait)
    assert (answer.status, answer.outputs, answer.execution_id) == ("SUCCESS", {"n": 5}, "e1")
    assert server.sent[1].line == "GET executions/e1"


def test_a_webhook_that_answers_with_the_end_is_not_waited_for():
    ns, server = namespace(recorded("hook_wait", "2.0"))
    assert ns.webhook("h", "k1", wait=True).outputs["n"] == 5
    assert len(server.sent) == 1


@pytest.mark.parametrize("same", [[], [{"id": "a", "namespace": "elsewhere"}]])
def test_a_server_that_shows_the_same_page_again_and_again(same):
    """A mock, or a cache on the way: the search ends, with what there is."""
    ns, server = namespace(*[(200, {"results": same, "total": 1})] * 300)
    assert ns.last("report") is None
    assert len(server.sent) < 300
