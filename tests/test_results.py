"""What responses say of an execution."""

import pickle
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest import exchanges

from kestra import FlowExecution, LogEntry, Metric, State, StateChange, TaskRun
from kestra._api.parsing import (
    count_entries,
    culprit,
    ended_badly,
    error_text,
    log_entries,
    metrics_of,
    ordered_log,
    outputs_in,
    task_runs_of,
    whole_state,
)
from kestra._values.times import parse_instant
from kestra.exceptions import ExecutionFailed

NOON = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


def bodies(case):
    return [response["body"] for _, _, response in exchanges(case)]


def changes(*states):
    return tuple(StateChange(s, NOON + timedelta(seconds=i)) for i, s in enumerate(states))


def task_run(run_id, state, parent=None, value=None):
    return TaskRun(run_id, f"t-{run_id}", State(state), parent_id=parent, value=value)


def logged(message, run_id, seconds=0):
    return LogEntry(NOON + timedelta(seconds=seconds), "ERROR", message, task_run_id=run_id)


# --- times and states ---


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-31T12:00:00Z", NOON),
        ("2026-01-31T12:00:00.5Z", NOON.replace(microsecond=500_000)),
        ("2026-01-31T12:00:00.123456789Z", NOON.replace(microsecond=123_456)),
        ("2026-01-31T14:00:00.000+02:00", NOON),
        ("2026-13-31T12:00:00Z", None),
        ("2026-01-31T12:00:00", None),
        ("soon", None),
        (1769860800, None),
        (None, None),
    ],
)
def test_times_are_read_as_servers_write_them(text, time):
    """Any number of decimals, a `Z` or an offset; what is no such time is none."""
    assert parse_instant(text) == time


def test_the_history_of_a_recorded_execution():
    """Both engines tell every state with its time, and so the duration."""
    old, new = (whole_state(body) for body in bodies("exec_get"))
    assert [change.state for change in old.history] == ["CREATED", "RUNNING", "WARNING"]
    assert old.current == "WARNING"
    assert old.duration == pytest.approx(1.045)
    assert new.duration == pytest.approx(0.563703, abs=1e-6)
    assert old.start.utcoffset() == timedelta(0)
    assert old.end == old.history[-1].time


@pytest.mark.parametrize("state", [State(None), State("SUCCESS"), State("RUNNING", changes("A"))])
def test_what_has_not_ended_has_no_duration(state):
    """Neither has what came without a history."""
    assert state.end is None
    assert state.duration is None


# --- task runs, outputs, logs, metrics ---


@pytest.mark.parametrize("body", bodies("exec_get"))
def test_the_task_runs_of_a_recorded_execution(body):
    """Task, state, attempts and outputs are there, and outputs stay out of the repr."""
    (run,) = task_runs_of(body)
    assert (run.task, run.attempts, run.value, run.parent_id) == ("w", 1, None, None)
    assert run.state.duration > 0
    assert run.outputs["vars"] == {"a": 1}
    assert "vars" not in repr(run)


@pytest.mark.parametrize("body", bodies("logs_json_minlevel"))
def test_the_entries_of_a_recorded_log(body):
    """Level, message, task, time and attempt are there."""
    first, second = log_entries(body)
    assert (first.level, first.message, first.task, first.attempt) == ("INFO", "to stdout", "w", 0)
    assert (second.level, second.message) == ("ERROR", "to stderr")
    assert first.time < second.time


@pytest.mark.parametrize("body", bodies("logs_json_minlevel"))
def test_entries_below_the_level_are_left_out(body):
    """Not every server does it."""
    assert [entry.level for entry in log_entries(body, "WARN")] == ["ERROR"]


@pytest.mark.parametrize("body", bodies("metrics"))
def test_a_recorded_metric(body):
    """Name, type, value, tags, task and time are there."""
    (metric,) = metrics_of(body)
    assert metric == Metric("c", "counter", 1.0, {"x": "y"}, "w", metric.task_run_id, metric.time)
    assert metric.time.year == 2026


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (LogEntry(None, "ERROR", "boom"), "ERROR boom"),
        (
            LogEntry(parse_instant("2026-01-31T12:00:00.1239+02:00"), "INFO", "a\nb", "load"),
            "2026-01-31T10:00:00.123Z INFO  load: a\nb",
        ),
    ],
)
def test_an_entry_prints_as_a_line(entry, line):
    """Its time is in UTC, whatever the server's is."""
    assert str(entry) == line


def test_a_state_prints_as_its_name():
    """Its time is not in it."""
    assert str(StateChange("RUNNING", None)) == "RUNNING"


def test_timers_are_in_seconds():
    """The API shows milliseconds."""
    timer = {"name": "load", "type": "timer", "value": 1500.0, "tags": None}
    assert metrics_of({"results": [timer]}) == [Metric("load", "timer", 1.5, {})]


KEYS = [
    "id",
    "state",
    "current",
    "histories",
    "date",
    "taskRunList",
    "attempts",
    "outputs",
    "results",
    "value",
    "tags",
    "timestamp",
    "message",
    "level",
    "type",
    "name",
]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=20,
)


@given(anything)
def test_no_answer_is_an_error(answer):
    """Whatever a server sends is read for as much as it says."""
    whole_state(answer)
    task_runs_of(answer)
    outputs_in(answer)
    log_entries(answer)
    metrics_of(answer)
    ended_badly(answer)


# --- what failed ---


def test_the_task_of_a_recorded_failure():
    """The one that failed is found, with its state."""
    for body in bodies("exec_fail_wait"):
        run = culprit(task_runs_of(body))
        assert error_text(run, []) == "task fail ended in the state FAILED"
        assert ended_badly(body)


@pytest.mark.parametrize(
    ("runs", "found"),
    [
        ([], None),
        ([task_run("a", "SUCCESS")], None),
        ([task_run("a", "SUCCESS"), task_run("b", "FAILED")], "b"),
        ([task_run("loop", "FAILED"), task_run("in", "FAILED", parent="loop")], "in"),
        ([task_run("a", "KILLED"), task_run("b", "FAILED")], "b"),
        ([task_run("a", "FAILED"), task_run("b", "FAILED")], "a"),
        ([task_run("a", "KILLED")], "a"),
    ],
)
def test_the_run_that_caused_the_end(runs, found):
    """The first that failed itself, not the one around it, nor one that was killed for it."""
    run = culprit(runs)
    assert (run and run.id) == found


def test_the_last_error_of_the_task_is_told():
    """Of its own entries the last one counts, whatever their order; of a loop, the value too."""
    errors = [logged("second", "a", 2), logged("first", "a", 1), logged("of another", "b", 3)]
    text = error_text(task_run("a", "FAILED", value="7"), errors)
    assert text == "task t-a (7) ended in the state FAILED: second"


def test_without_a_task_the_last_error_is_told():
    """An execution may fail before its first task; `None` where nothing is said."""
    assert error_text(None, [logged("no such input", None)]) == "no such input"
    assert error_text(None, []) is None


# --- the result ---


def result(status, error=None, **more):
    return FlowExecution("id1", status, None, error, **more)


def test_the_published_fields_come_first_and_decide():
    """Four positional arguments make a result, and two with the same four are equal."""
    plain = FlowExecution("id1", "SUCCESS", "log", None)
    full = FlowExecution(
        "id1", "SUCCESS", "log", None, {"a": 1}, "http://x", State("SUCCESS"), 1.5, ()
    )
    assert plain == full
    assert plain.outputs is None
    assert plain.task_runs == ()
    assert full.duration == 1.5


def test_a_whole_result_pickles():
    """Everything crosses a process boundary."""
    state = State("SUCCESS", changes("CREATED", "SUCCESS"))
    full = result("SUCCESS", state=state, task_runs=(task_run("a", "SUCCESS"),), outputs={"a": 1})
    again = pickle.loads(pickle.dumps(full))
    assert again.state == state
    assert again.task_runs == full.task_runs
    assert again.outputs == {"a": 1}


def test_the_repr_shows_outputs_and_no_log():
    """A log may have megabytes; outputs are what somebody who looks wants to see."""
    shown = repr(FlowExecution("id1", "SUCCESS", "a log", None, {"rows": 3}, "http://x"))
    assert "a log" not in shown
    assert "outputs={'rows': 3}" in shown
    assert "http://x" in shown


@pytest.mark.parametrize("status", ["SUCCESS", "WARNING"])
def test_a_good_end_is_ok(status):
    """`raise_for_status` then does nothing."""
    assert result(status).ok
    result(status).raise_for_status()


@pytest.mark.parametrize("status", ["STARTED", "RUNNING", "SOMETHING_NEW", None])
def test_what_has_not_ended_is_neither_ok_nor_an_error(status):
    """Nothing is known of how it will end."""
    assert not result(status).ok
    result(status).raise_for_status()


@pytest.mark.parametrize("status", ["FAILED", "KILLED", "CANCELLED", "RETRIED", "SKIPPED"])
def test_a_bad_end_raises_with_all_that_is_known(status):
    """The error holds the result, and says what failed and where it is shown."""
    failed = result(status, "task t ended in the state FAILED: boom", url="http://x/ui")
    with pytest.raises(ExecutionFailed) as caught:
        failed.raise_for_status()
    assert not failed.ok
    error = caught.value
    assert str(error) == (
        f"execution id1 ended in the state {status}: task t ended in the state FAILED: boom "
        "(http://x/ui)"
    )
    assert (error.execution_id, error.status, error.error) == ("id1", status, failed.error)
    assert error.result is failed


def test_a_bad_end_of_which_nothing_is_said():
    """The message is as long as what is known."""
    with pytest.raises(ExecutionFailed, match=r"^execution id1 ended in the state FAILED$"):
        result("FAILED").raise_for_status()


# --- a log as text ---

STORED = (
    "2026-01-31T12:00:00.000Z INFO a\n"
    "2026-01-31T12:00:00.001200Z WARN two\nlines, and no entry: 2026-01-31T12:00:00.000Z INFO x\n"
    "2026-01-31T12:00:00.001100Z INFO b\n"
)


def test_the_entries_of_a_log_are_counted():
    """At the beginning of lines; a message may have several."""
    assert count_entries(STORED) == 3
    assert count_entries("") == 0


def test_a_log_is_put_into_the_order_of_logging_within_a_millisecond():
    """So far the server sorts; messages stay whole, and so does what it has in order."""
    first, second, third = STORED.partition("2026-01-31T12:00:00.0011")
    early, _, late = first.partition("2026-01-31T12:00:00.0012")
    assert ordered_log(STORED) == f"{early}{second}{third}2026-01-31T12:00:00.0012{late}"
    assert ordered_log(ordered_log(STORED)) == ordered_log(STORED)
    assert ordered_log("") == ""


def test_entries_that_a_log_lacks_are_put_in_as_the_server_writes_them():
    """Once, in their place; those without a time come last."""
    more = [
        LogEntry(NOON, "INFO", "a", "load"),
        LogEntry(NOON + timedelta(milliseconds=1), "DEBUG", "early", "load"),
        LogEntry(None, "INFO", "sometime"),
    ]
    lines = ordered_log(STORED, more).splitlines()
    assert lines[:2] == ["2026-01-31T12:00:00.000Z INFO a", "2026-01-31T12:00:00.001Z DEBUG early"]
    assert lines[-1] == "INFO sometime"
    assert len(lines) == len(STORED.splitlines()) + 2
    assert ordered_log("", more[:1]) == "2026-01-31T12:00:00.000Z INFO a\n"
