"""The commands on a terminal: the live line, colours, and Ctrl-C."""

import json
import re
import subprocess
import sys

import pytest
from commands import POSIX_ONLY, Terminal, environment
from loopback import answer

pytestmark = POSIX_ONLY

EXECUTE = ["execute", "company.team", "report"]
KEEPS_RUNNING = "Execution execution0 keeps running: http"
ENTRY = {
    "timestamp": "2026-01-31T08:00:00.123Z",
    "level": "WARN",
    "message": "a \x1b[35mpurple\x1b[0m word\x1b[2J\x1bc",
    "taskId": "load",
}
WITHOUT_RICH = """
import sys
sys.modules["rich"] = None
from kestra.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def engine(server):
    """An engine on which an execution runs until the test ends it."""
    run = {"id": "r1", "taskId": "load", "state": {"current": "SUCCESS"}}
    server.engine.shown = {"outputs": {"rows": 3}, "taskRunList": [run, {**run, "state": {}}]}
    server.engine.entries = [ENTRY]
    server.engine.states = ["RUNNING"]
    return server.engine


@pytest.fixture
def execution(flow, engine):
    """The id of an execution that has been started."""
    flow.wait_for_completion = False
    return flow.execute("company.team", "report").execution_id


def plain(text):
    """A text without what controls the terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


# --- the live line ---


def test_a_live_line_shows_state_time_and_tasks(server, engine):
    """It gives way to the summary and the outputs."""
    with Terminal(*EXECUTE, env=environment(server)) as terminal:
        terminal.wait_for("1 of 2 tasks done")
        engine.states = ["SUCCESS"]
        assert terminal.end() == 0
    assert re.search(r"RUNNING  \d+\.\d s, 1 of 2 tasks done", plain(terminal.seen))
    erased = terminal.seen.rindex("\x1b[2K")
    assert terminal.seen[erased:].removeprefix("\x1b[2K").splitlines() == [
        "SUCCESS, 1 of 2 tasks done",
        "rows  3",
    ]


def test_the_cursor_stays_visible(server, engine):
    """Whatever becomes of the process, the terminal is as it was."""
    with Terminal(*EXECUTE, env=environment(server)) as terminal:
        terminal.wait_for("RUNNING")
        assert terminal.seen.rindex("\x1b[?25h") > terminal.seen.rindex("\x1b[?25l")


def test_the_log_scrolls_above_in_colour(server, engine):
    """By level; a message keeps its colours, and controls nothing."""
    with Terminal(*EXECUTE, "--follow", env=environment(server)) as terminal:
        terminal.wait_for("word")
        engine.states = ["SUCCESS"]
        assert terminal.end() == 0
    assert "08:00:00 WARN  load: a purple word\\x1b[2J\\x1bc\r\n" in plain(terminal.seen)
    assert "\x1b[33mWARN" in terminal.seen
    assert "\x1b[35mpurple" in terminal.seen
    assert "\x1b[2J" not in terminal.seen
    assert "\x1bc" not in terminal.seen


def test_what_the_client_warns_of_is_shown_above(server, engine):
    """A paused execution waits for somebody."""
    engine.states = ["PAUSED"]
    with Terminal(*EXECUTE, env=environment(server)) as terminal:
        terminal.wait_for("Execution execution0 is paused, until someone resumes it")
        engine.states = ["SUCCESS"]
        assert terminal.end() == 0


def test_a_narrow_terminal_cuts_the_line(server, engine):
    """It never takes two."""
    with Terminal(*EXECUTE, env=environment(server, COLUMNS="15")) as terminal:
        terminal.wait_for("\u2026")
        engine.states = ["SUCCESS"]
        assert terminal.end() == 0


def test_stdout_may_be_a_pipe(server, engine):
    """What is data is not mixed with the live line."""
    env = environment(server)
    with Terminal(*EXECUTE, "--json", env=env, stdout=subprocess.PIPE) as terminal:
        terminal.wait_for("1 of 2 tasks done")
        engine.states = ["SUCCESS"]
        assert terminal.end() == 0
        shown = json.loads(terminal.process.stdout.read())
        terminal.process.stdout.close()
    assert shown["outputs"] == {"rows": 3}
    assert "rows" not in terminal.seen


def test_followed_logs_have_a_live_line(server, engine, execution):
    """Below what is there."""
    with Terminal("logs", "-f", execution, env=environment(server)) as terminal:
        terminal.wait_for("word")
        terminal.wait_for("1 of 2 tasks done")
        engine.states = ["FAILED"]
        assert terminal.end() == 1
    assert "FAILED, 1 of 2 tasks done" in terminal.seen


def test_time_counts_from_the_creation(server, execution):
    """However long ago that was."""
    created = {"state": "CREATED", "date": "2026-01-01T00:00:00Z"}
    state = {"current": "RUNNING", "histories": [created]}
    body = json.dumps({"id": execution, "state": state}).encode()
    server.upset("GET", answer(200, body, Content_Type="application/json"))
    with Terminal("logs", "-f", execution, env=environment(server)) as terminal:
        terminal.wait_for(" min")
        server.engine.states = ["SUCCESS"]
        assert terminal.end() == 0
    assert re.search(r"\d+ h \d+ min", terminal.seen)


def test_logs_are_coloured(server, engine, execution):
    """Without -f, and without a live line."""
    with Terminal("logs", execution, env=environment(server)) as terminal:
        assert terminal.end() == 0
    assert plain(terminal.seen) == "08:00:00 WARN  load: a purple word\\x1b[2J\\x1bc\r\n"
    assert "\x1b[33mWARN" in terminal.seen


# --- plain lines on a terminal ---


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"CI": "true"}])
def test_plain_lines_where_they_are_asked_for(server, engine, variables):
    """Nothing controls the terminal, a message neither."""
    env = environment(server, **variables)
    with Terminal(*EXECUTE, "--follow", env=env) as terminal:
        terminal.wait_for("RUNNING\r\n")
        engine.states = ["SUCCESS"]
        assert terminal.end() == 0
    assert "\x1b" not in terminal.seen
    assert "a \\x1b[35mpurple" in terminal.seen
    assert "SUCCESS, 1 of 2 tasks done" in terminal.seen


def test_plain_lines_where_rich_is_not_installed(server, engine):
    """It is an extra; that it is missing is no error."""
    command = [sys.executable, "-c", WITHOUT_RICH]
    with Terminal(*EXECUTE, env=environment(server), command=command) as terminal:
        terminal.wait_for("RUNNING\r\n")
        engine.states = ["SUCCESS"]
        assert terminal.end() == 0
    assert "\x1b" not in terminal.seen


def test_json_lines_on_a_terminal(server, engine, execution):
    """They are what was asked for."""
    with Terminal("logs", execution, "--json", env=environment(server)) as terminal:
        assert terminal.end() == 0
    assert json.loads(terminal.seen)["level"] == "WARN"


# --- Ctrl-C ---


@pytest.mark.parametrize(
    ("answer", "killed"), [("k\n", True), ("kill\n", True), ("\n", False), ("l\n", False)]
)
def test_ctrl_c_asks_to_kill_or_to_leave_running(server, engine, answer, killed):
    """To leave it is the default; exit status 130."""
    with Terminal(*EXECUTE, env=environment(server)) as terminal:
        terminal.wait_for("RUNNING")
        terminal.press("\x03")
        terminal.wait_for("Kill the execution, or leave it running? [k/L] ")
        terminal.press(answer)
        assert terminal.end() == 130
    assert ("Execution execution0 is being killed: http" in terminal.seen) == killed
    assert (KEEPS_RUNNING in terminal.seen) != killed
    assert engine.killed == (["execution0"] if killed else [])


def test_a_second_ctrl_c_leaves_it_running(server, engine):
    """Without a traceback."""
    with Terminal(*EXECUTE, env=environment(server)) as terminal:
        terminal.wait_for("RUNNING")
        terminal.press("\x03")
        terminal.wait_for("[k/L] ")
        assert terminal.end(pressing="\x03") == 130
    assert KEEPS_RUNNING in terminal.seen
    assert "Traceback" not in terminal.seen
    assert engine.killed == []


def test_a_closed_terminal_leaves_it_running(server, engine):
    """Ctrl-D answers nothing."""
    with Terminal(*EXECUTE, env=environment(server)) as terminal:
        terminal.wait_for("RUNNING")
        terminal.press("\x03")
        terminal.wait_for("[k/L] ")
        terminal.press("\x04")
        assert terminal.end() == 130
    assert KEEPS_RUNNING in terminal.seen


def test_where_nobody_can_answer_nothing_is_asked(server, engine):
    """Standard input is no terminal."""
    env = environment(server)
    with Terminal(*EXECUTE, env=env, stdin=subprocess.DEVNULL) as terminal:
        terminal.wait_for("RUNNING")
        assert terminal.end(pressing="\x03") == 130
    assert "[k/L]" not in terminal.seen
    assert KEEPS_RUNNING in terminal.seen


def test_a_kill_that_is_refused_is_said(server, engine):
    """Exit status 3: it may be running."""
    with Terminal(*EXECUTE, env=environment(server)) as terminal:
        terminal.wait_for("RUNNING")
        engine.executions.clear()
        engine.root = "/elsewhere"
        terminal.press("\x03")
        terminal.wait_for("[k/L] ")
        terminal.press("k\n")
        assert terminal.end() == 3
    assert "error: " in terminal.seen
