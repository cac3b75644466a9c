"""What a notebook shows of an execution, and of an outcome."""

import subprocess
import sys
from datetime import datetime, timedelta, timezone
from xml.etree import ElementTree as ET

import pytest

from kestra import ExecutionOutcome, ExecutionRequest, FlowExecution, State, StateChange, TaskRun
from kestra.exceptions import NotFound

START = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


def state(*changes):
    """A history: states, and when they began, in seconds."""
    history = tuple(StateChange(name, START + timedelta(seconds=s)) for name, s in changes)
    return State(history[-1].state, history)


def run(task, *changes, **others):
    """A run of a task."""
    return TaskRun(f"id-{task}", task, state(*changes), **others)


LOAD = run("load", ("CREATED", 0), ("RUNNING", 0.5), ("SUCCESS", 8))
FAILED = run("check", ("CREATED", 8), ("RUNNING", 9), ("FAILED", 12.5))


def execution(*task_runs, **others):
    """An execution that has ended badly."""
    fields = {
        "execution_id": "x1",
        "status": "FAILED",
        "log": "a secret line",
        "error": "check FAILED: no rows",
        "url": "https://kestra.example.com/ui/executions/a/b/x1",
        "duration": 12.5,
        "task_runs": task_runs,
    }
    return FlowExecution(**{**fields, **others})


def parsed(value):
    """The HTML form, which is well-formed; its text without the style, and its bars."""
    html = value._repr_html_()
    root = ET.fromstring(html)
    root.remove(root.find("style"))
    bars = [
        (float(bar.get("x")), float(bar.get("width")), bar.get("class"), bar.get("fill-opacity"))
        for bar in root.iter("rect")
    ]
    return " ".join(" ".join(root.itertext()).split()).replace(" :", ":"), bars, root


def test_what_it_says():
    """State, duration, link, each task run with its end, and the error; no log."""
    text, _, root = parsed(execution(LOAD, FAILED))
    assert text.startswith("Execution x1: FAILED after 12.5 s")
    assert "load: 8 s SUCCESS" in text
    assert "check: 4.5 s FAILED" in text
    assert text.endswith("check FAILED: no rows")
    assert root.find(".//a").get("href") == "https://kestra.example.com/ui/executions/a/b/x1"
    assert "secret" not in text
    assert "secret" not in repr(execution())


def test_bars():
    """A bar for each time in which it waited or ran, on one scale."""
    _, bars, _ = parsed(execution(LOAD, FAILED))
    assert bars == [
        (190.0, 18.0, "good", "0.3"),
        (208.0, 270.0, "good", "1"),
        (478.0, 36.0, "bad", "0.3"),
        (514.0, 126.0, "bad", "1"),
    ]


def test_what_still_runs():
    """Its bar goes on to the last that is known; a retry is a pause between two bars."""
    runs = [
        run("first", ("CREATED", 0), ("RUNNING", 0), ("RETRYING", 4), ("RUNNING", 6)),
        run("second", ("CREATED", 10)),
    ]
    text, bars, _ = parsed(execution(*runs, status="RUNNING", error=None, duration=None))
    assert text.startswith("Execution x1: RUNNING")
    assert [(x, width, opacity) for x, width, _, opacity in bars] == [
        (190.0, 2.0, "0.3"),
        (190.0, 180.0, "1"),
        (370.0, 90.0, "0.3"),
        (460.0, 180.0, "1"),
        (640.0, 2.0, "0.3"),
    ]


@pytest.mark.parametrize(
    ("seconds", "ticks"),
    [
        (0, ["0 s", "0.001 s"]),
        (0.35, ["0 s", "0.1 s", "0.2 s", "0.3 s"]),
        (42, ["0 s", "10 s", "20 s", "30 s", "40 s"]),
        (250, ["0 s", "1 min", "2 min", "3 min", "4 min"]),
        (8_000, ["0 s", "30 min", "1 h", "1 h 30 min", "2 h"]),
    ],
)
def test_the_scale(seconds, ticks):
    """A few round times."""
    *_, root = parsed(execution(run("a", ("CREATED", 0), ("SUCCESS", seconds))))
    shown = [each.text for each in root.iter("text") if each.get("text-anchor") == "middle"]
    assert shown == ticks


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0123, "0.0123 s"), (59.9, "59.9 s"), (65, "1 min 5 s"), (7_500, "2 h 5 min")],
)
def test_durations(seconds, said):
    """As people say them."""
    assert f"after {said}" in parsed(execution(duration=seconds))[0]


def test_many_task_runs():
    """The first ones, and how many there are more; a loop's have their values."""
    runs = [
        run("each", ("CREATED", n), ("RUNNING", n), ("SUCCESS", n + 1), value=str(n))
        for n in range(60)
    ]
    text, bars, _ = parsed(execution(*reversed(runs)))
    assert "each [0]: 1 s SUCCESS" in text
    assert "each [50]" not in text
    assert "and 10 more task runs" in text
    assert len(bars) == 100


def test_what_is_not_known():
    """Without times there is no picture; without an end no duration."""
    started = FlowExecution("x1", "STARTED", None, None)
    text, bars, root = parsed(started)
    assert (text, bars, root.find(".//a")) == ("Execution x1: STARTED", [], None)
    unknown = TaskRun("id", "a", State("CREATED", (StateChange("CREATED", None),)))
    assert parsed(execution(unknown))[1] == []


def test_all_text_is_escaped():
    """Names and messages come from elsewhere; a link leads to a server, or nowhere."""
    script = "<script>alert('x')</script>"
    bad = run(script, ("CREATED", 0), ("FAILED", 1), value='"&<')
    text, _, root = parsed(execution(bad, error=script, execution_id=script, url="javascript:1"))
    assert [*root.iter("script"), *root.iter("a")] == []
    assert text.count("alert") == 4
    long = run("a" * 100, ("CREATED", 0), ("FAILED", 1))
    assert f"{'a' * 25}…" in parsed(execution(long))[0]


def test_light_and_dark():
    """A media query has the colours of a dark page; without styles there are those of a light."""
    html = execution(FAILED)._repr_html_()
    assert "@media (prefers-color-scheme:dark)" in html
    assert 'fill="#c62f3b"' in html


def test_outcomes():
    """An outcome is its execution, or its error; it shows no input."""
    request = ExecutionRequest("company.team", "report", {"token": "s3cret"})
    assert parsed(ExecutionOutcome(request, execution(LOAD)))[0].startswith(
        "company.team.report x1: FAILED after 12.5 s"
    )
    error = NotFound("there is no flow <report>")
    outcomes = [ExecutionOutcome(request, error=error), ExecutionOutcome(("s3cret",), error=error)]
    texts = [parsed(outcome)[0] for outcome in outcomes]
    assert texts == [
        "company.team.report: NotFound there is no flow <report>",
        "Request: NotFound there is no flow <report>",
    ]


def test_it_is_loaded_on_use():
    """A program without a notebook does not load it."""
    code = "import sys; from kestra import Flow, FlowExecution as F; e = F('a', 'b', None, None)\n"
    code += "print('kestra._api.html' in sys.modules); e._repr_html_()\n"
    code += "print('kestra._api.html' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True"]
