"""What is shown of an execution: text for people, JSON for programs."""

import json
from datetime import datetime, timedelta, timezone

import pytest

from kestra import FlowExecution, LogEntry, State, StateChange, TaskRun
from kestra._cli import exits
from kestra._cli.execution_report import (
    as_json,
    as_text,
    duration,
    output_lines,
    summary,
)
from kestra._engine.report import indented, printable
from kestra.exceptions import ConnectionFailed, ExecutionTimeout, MalformedResponse, NotFound

START = datetime(2026, 1, 31, 8, tzinfo=timezone.utc)


def state(current, seconds=0.0):
    """A state that was reached so many seconds after the creation."""
    created = StateChange("CREATED", START)
    return State(current, (created, StateChange(current, START + timedelta(seconds=seconds))))


RUNS = (
    TaskRun("r1", "load", state("SUCCESS", 1.25)),
    TaskRun("r2", "each", state("FAILED", 61), value="b\x1b"),
    TaskRun("r3", "send", state("RUNNING")),
)
ENDED = FlowExecution(
    "id1",
    "FAILED",
    "the log",
    "task each (b) ended in the state FAILED: no \x1b[2J",
    outputs={"rows": 3, "name": "\u00e9\x1b"},
    url="http://localhost:8080/ui/executions/a/b/id1",
    state=state("FAILED", 62.4),
    duration=62.4,
    task_runs=RUNS,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min 0 s"),
        (119.7, "2 min 0 s"),
        (3599, "59 min 59 s"),
        (3599.9, "1 h 0 min"),
        (90_000, "25 h 0 min"),
    ],
)
def test_durations_are_for_people(seconds, text):
    """The nearest tenth, second, or minute begun."""
    assert duration(seconds) == text


def test_a_summary_says_state_time_and_tasks():
    """Of the tasks, those that have ended are done."""
    assert summary(ENDED) == "FAILED after 1 min 2 s, 2 of 3 tasks done"


def test_a_summary_says_what_is_known():
    """An execution that has just begun has only a state."""
    assert summary(FlowExecution("id1", "CREATED", None, None)) == "CREATED"


def test_a_report_has_everything_but_the_log():
    """What could control the terminal is escaped."""
    assert (
        as_text(ENDED)
        == """\
id1: FAILED after 1 min 2 s, 2 of 3 tasks done
http://localhost:8080/ui/executions/a/b/id1
task each (b) ended in the state FAILED: no \\x1b[2J

Tasks
  load          SUCCESS  1.2 s
  each (b\\x1b)  FAILED   1 min 1 s
  send          RUNNING

Outputs
  rows  3
  name  "\u00e9\\u001b\""""
    )


def test_a_report_leaves_out_what_there_is_not():
    """Of an execution without tasks and outputs, one line."""
    assert as_text(FlowExecution("id1", "CREATED", None, None)) == "id1: CREATED"


def test_outputs_are_one_a_line():
    """A value is JSON, however long, and on one line."""
    assert output_lines({"a": "x" * 200, "name": ["\n"]}) == f'a     "{"x" * 200}"\nname  ["\\n"]'


def test_columns_are_aligned_by_what_a_terminal_shows():
    """East Asian characters and emoji take two columns, combining ones none."""
    names = ["ab", "\u65e5", "\uac00\u0301", "\U0001f600", "e\u0301b"]
    assert output_lines(dict.fromkeys(names, 1)).splitlines() == [f"{name}  1" for name in names]
    assert output_lines({"a\u0308": 1, "three": 2}) == "a\u0308      1\nthree  2"


def test_on_a_narrow_terminal_columns_stay_columns():
    """Cells are wrapped within their columns, between words where there are any."""
    outputs = {"name": "one two three four five six seven", "long_name_of_one": "\u65e5" * 12}
    assert (
        output_lines(outputs, 24)
        == """\
name         "one two
             three four
             five six
             seven"
long_name_o  "\u65e5\u65e5\u65e5\u65e5\u65e5
f_one        \u65e5\u65e5\u65e5\u65e5\u65e5
             \u65e5\u65e5\""""
    )
    lines = as_text(ENDED, 40).partition("Tasks")[2].splitlines()
    assert max(map(len, lines)) <= 40


@pytest.mark.parametrize("room", [1, 5, 24, 40])
def test_nothing_is_lost_on_a_narrow_terminal(room):
    """However little room there is, however long the value."""
    text = output_lines({"a": "x" * 100_000, "b": "\u65e5" * 10}, room)
    assert (text.count("x"), text.count("\u65e5")) == (100_000, 10)


def test_json_holds_the_attributes_but_the_log():
    """Times are ISO 8601."""
    shown = json.loads(as_json(ENDED))
    assert "log" not in shown
    assert (shown["execution_id"], shown["status"], shown["duration"]) == ("id1", "FAILED", 62.4)
    assert shown["outputs"] == {"rows": 3, "name": "\u00e9\x1b"}
    assert shown["state"]["history"][0] == {"state": "CREATED", "time": "2026-01-31T08:00:00Z"}
    assert [run["task"] for run in shown["task_runs"]] == ["load", "each", "send"]


ENTRY = LogEntry(START, "WARN", "two\nlines", "load", "r1", 0)


def test_a_log_entry_as_json():
    """The attributes of a `LogEntry`, on one line."""
    assert json.loads(as_json(ENTRY)) == {
        "time": "2026-01-31T08:00:00Z",
        "level": "WARN",
        "message": "two\nlines",
        "task": "load",
        "task_run_id": "r1",
        "attempt": 0,
    }
    assert "\n" not in as_json(ENTRY)


def test_what_steers_a_terminal_is_escaped():
    """Line ends, tabs and every letter stay."""
    assert printable("\u00e9\t\n\x1b[31m\x07\x9b\r") == "\u00e9\t\n\\x1b[31m\\x07\\x9b\\r"


@pytest.mark.parametrize(
    ("status", "exit_status"),
    [("SUCCESS", 0), ("WARNING", 0), ("FAILED", 1), ("KILLED", 1), ("SKIPPED", 1), ("RUNNING", 0)],
)
def test_the_exit_status_tells_how_an_execution_stands(status, exit_status):
    """One that has not ended has not failed."""
    assert exits.of(FlowExecution("id1", status, None, None)) == exit_status


@pytest.mark.parametrize(
    ("error", "exit_status"),
    [
        (ExecutionTimeout("x"), 4),
        (NotFound("x"), 3),
        (ConnectionFailed("x"), 3),
        (MalformedResponse("x"), 3),
        (ValueError("x"), 2),
        (TypeError("x"), 2),
    ],
)
def test_the_exit_status_tells_what_went_wrong(error, exit_status):
    """An error of the server is none of the arguments, although it is a `ValueError` too."""
    assert exits.after(error) == exit_status
    assert exits.sentence(error) == "x"


def test_an_error_of_a_file_names_it():
    """And nothing of Python's."""
    assert exits.sentence(FileNotFoundError(2, "No such file", "a.csv")) == "a.csv: No such file"
    assert exits.sentence(OSError(28, "No space left on device")) == "No space left on device"
    assert exits.sentence(OSError("a file became shorter")) == "a file became shorter"


def test_a_terminal_of_one_column():
    """A table ends there, too."""
    assert len(list(indented([("a", "b" * 9)], 1))) > 1
