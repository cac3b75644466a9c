"""The README: its commands, and what its snippets send and receive."""

import json
import re
import subprocess
import sys
from datetime import date
from statistics import median

import pytest
from pages import ROOT, blocks_of, comparable, python, run

from kestra import testing

PAGE = ROOT / "README.md"
README = PAGE.read_text("utf-8")
_DOCUMENT = json.loads((ROOT / "benchmarks" / "results.json").read_text("utf-8"))
RESULTS = {row["name"]: row for row in _DOCUMENT["rows"] + _DOCUMENT["lost"]}
COMMANDS = [block.text for block in blocks_of(PAGE) if block.language == "sh"]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_can_be_pasted(command):
    """A command is one line that makes the environment, installs this tree into it and runs."""
    assert re.fullmatch(
        r"python3 -m venv \.venv && \.venv/bin/pip install -q (\.|-e '\.\[test\]')"
        r" && \.venv/bin/python -m (kestra run \S+|pytest -n auto)\n",
        command,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_what_must_hold_before_a_change_lands_runs_the_commands(command):
    """`.ci/run` has the very lines that the README promises."""
    assert f'="{command.rstrip()}"\n' in (ROOT / ".ci" / "run").read_text("utf-8")


def test_the_main_job_prints_what_is_shown():
    """The first command prints the report that follows it, but for times and their widths."""
    block = next(block for block in blocks_of(PAGE) if block.text == COMMANDS[0])
    arguments = COMMANDS[0].rpartition(" && .venv/bin/python ")[2].split()
    process = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    assert comparable(process.stdout) == comparable(block.printed)


def test_what_the_first_snippet_sends(folder):
    """Outputs, metrics and a log entry arrive as the text says."""
    block = next(block for block in blocks_of(PAGE) if block.kind == "task")
    process = python(block, folder)
    messages = testing.parse(process.stdout, stderr=process.stderr)
    assert messages.outputs == {"rows": 42, "day": "2026-01-31"}
    assert [(each.name, each.type) for each in messages.metrics] == [
        ("rows", "counter"),
        ("load", "timer"),
    ]
    assert [(entry.level, entry.message) for entry in messages.logs] == [
        ("WARN", "3 rows had no key")
    ]


def test_what_the_client_snippet_sends_and_gets(folder, documented):
    """One execution, with its inputs and its file; outputs and a file of it come back."""
    block = next(block for block in blocks_of(PAGE) if block.kind == "client")
    run(block, folder, documented)
    (execution,) = documented.fake.executions
    assert execution.inputs["day"] == date(2026, 1, 31)
    assert execution.inputs["draft"] is True
    assert execution.inputs["orders"] == (folder / "orders.csv").read_bytes()
    assert (folder / "report.txt").read_text() == "Report of 2026-01-31\n"


FIGURES = [
    ("frames lost, of 40,000 by four threads, `python -u`", "threads -u, of 40,000", "{:,.0f}", 1),
    ("frames lost, of 20 right before a kill", "before SIGKILL, of 20", "{:,.0f}", 1),
    ("one output, `python -u`", "outputs, python -u", "{:.1f} µs", 1),
    ("a script that sends one output", "start, with one output", "{:.0f} ms", 1),
    ("a program that imports it", "weight, import", "{:.0f} ms", 1),
    ("installed size", "weight, installed", "{:.1f} MB", 1),
    (
        "from the end of an execution to its result",
        "execute, 0 to 4 s: mean delay after the end",
        "{:.0f} ms",
        1,
    ),
    ("50,000 rows of binary Ion", "ion, plain, binary", "{:.1f} s", 1000),
]


@pytest.mark.parametrize(("label", "name", "form", "unit"), FIGURES)
def test_figures_are_those_of_the_benchmarks(label, name, form, unit):
    """Each figure of the table is the median of the measurement, rounded."""
    row = RESULTS[name]
    measured = [row["ours"], row["published"], row.get("kestrapy")]
    cells = [form.format(median(it) / unit) if it else "" for it in measured]
    assert f"| {' | '.join([label, *cells])} |".replace("  ", " ") in README.replace("  ", " ")


def test_the_table_has_no_other_figures():
    """Nothing is in the table of comparison that no benchmark measures."""
    table = README.partition("| | this package |")[2].partition("\n\n")[0]
    assert len(re.findall(r"^\| \w", table, re.MULTILINE)) == len(FIGURES)
