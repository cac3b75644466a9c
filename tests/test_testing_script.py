"""`kestra.testing.run_script`."""

import os
import select
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest

from kestra import testing
from kestra._engine.reader import TaskReader
from kestra._testing import script as script_module
from kestra.testing import kestra_context, run_script

POSIX_ONLY = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and groups")
DEADLINE = 180
FRAME = '::{"outputs": {"a": 1}}::'
NOT_ALONE = 'text ::{"outputs": {"a": 1}}::'


@pytest.fixture
def script(tmp_path):
    """A function that writes a script and returns its path."""

    def write(code):
        path = tmp_path / "etl.py"
        path.write_text(code, "utf-8")
        return path

    return write


def test_what_a_script_says(script):
    """Outputs, metrics and the log, standard error's lines included, and how it ended."""
    code = """
import sys
from kestra import Kestra

Kestra.outputs({"rows": 3})
Kestra.counter("rows", 3)
Kestra.logger().info("message")
print("text", flush=True)
print("oops", file=sys.stderr)
"""
    messages = run_script(script(code))
    assert messages.outputs == {"rows": 3}
    assert messages.metrics["rows"] == 3
    assert {(each.level, each.source) for each in messages.logs} == {
        ("INFO", "frame"),
        ("INFO", "stdout"),
        ("ERROR", "stderr"),
    }
    assert (messages.rejected, messages.assets) == ([], [])
    assert (messages.state, messages.exit_status) == ("SUCCESS", 0)
    assert isinstance(messages, testing.Messages)


SHOW = """
import json, os, sys
found = {"argv": sys.argv[1:], "cwd": os.getcwd(), "stdin": sys.stdin.read()}
found["variables"] = {k: v for k, v in os.environ.items() if k.startswith("A_")}
print("::" + json.dumps({"outputs": found}) + "::")
"""


def test_what_a_script_finds(script, tmp_path, monkeypatch):
    """Arguments, working directory and variables are as told, and there is nothing to read."""
    monkeypatch.setenv("A_ONE", "1")
    monkeypatch.setenv("A_TWO", "2")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    messages = run_script(
        script(SHOW), "--day", 31, tmp_path, env={"A_TWO": "two", "A_THREE": "3"}, cwd=folder
    )
    assert messages.outputs == {
        "argv": ["--day", "31", str(tmp_path)],
        "cwd": str(folder),
        "stdin": "",
        "variables": {"A_ONE": "1", "A_TWO": "two", "A_THREE": "3"},
    }


def test_standard_input_stays_the_tests(script):
    """A script reads nothing of what the test's own process may read."""
    path = script("import sys; print(sys.stdin.readline())")
    code = f"from kestra.testing import run_script; print(run_script({str(path)!r}).logs, input())"
    process = subprocess.run(
        [sys.executable, "-c", code],
        input=b"text",
        capture_output=True,
        timeout=DEADLINE,
        check=True,
    )
    assert b"message=''" in process.stdout
    assert process.stdout.strip().endswith(b"text")


def test_a_relative_path_starts_here(script, tmp_path, monkeypatch):
    """The path of the script is relative to the current directory, whatever its own will be."""
    script("")
    monkeypatch.chdir(tmp_path)
    Path("elsewhere").mkdir()
    assert run_script("etl.py", cwd="elsewhere").exit_status == 0
    with pytest.raises(FileNotFoundError, match="there is no script") as raised:
        run_script("missing.py")
    assert str(tmp_path / "missing.py") in str(raised.value)


READ_CONTEXT = """
from kestra import Kestra, context
Kestra.outputs({"day": context.inputs.day})
"""


def test_context(script, monkeypatch):
    """A script finds the context that it is given, else that of `kestra_context`."""
    monkeypatch.delenv("KESTRA_EXECUTION_CONTEXT_FILE", raising=False)
    path = script(READ_CONTEXT)
    with kestra_context({"inputs": {"day": "Monday"}}):
        assert run_script(path).outputs == {"day": "Monday"}
        messages = run_script(path, context={"inputs": {"day": "Tuesday"}})
    assert messages.outputs == {"day": "Tuesday"}
    assert "KESTRA_EXECUTION_CONTEXT_FILE" not in os.environ


def test_engines(script):
    """The rules are those of the engine that is named."""
    path = script("""print('::{"outputs": {"a": null}, "assets": {"inputs": []}}::')""")
    messages = run_script(path, engine="1.3", enterprise=True, check=False)
    assert (messages.outputs, messages.assets) == ({}, [{"inputs": []}])
    assert "null is not kept" in messages.rejected[0].reason
    with pytest.raises(ValueError, match="'3'"):
        run_script(path, engine="3")


# --- failures --------------------------------------------------------------------------------


def test_a_script_that_fails(script):
    """It is an AssertionError with the traceback; with `check=False` the status tells."""
    path = script(f"print({FRAME!r})\nraise ValueError('no rows')")
    with pytest.raises(AssertionError) as raised:
        run_script(path)
    message = str(raised.value)
    assert message.startswith("etl.py failed with exit status 1. The end of what it logged:\n")
    assert 'etl.py", line 2, in <module>' in message
    assert "ValueError: no rows\n" in message
    assert "lose" not in message
    messages = run_script(path, check=False)
    assert (messages.outputs, messages.state, messages.exit_status) == ({"a": 1}, "FAILED", 1)


def test_a_traceback_that_is_a_log_entry(script):
    """The message shows a traceback as text, also where it was logged through Kestra."""
    code = "from kestra import Kestra\nKestra.configure_logging()\nraise ValueError('no rows')"
    with pytest.raises(AssertionError) as raised:
        run_script(script(code))
    assert 'etl.py", line 3, in <module>\n    raise ValueError' in str(raised.value)


def test_a_script_that_fails_silently(script):
    """That it logged nothing is said, too."""
    with pytest.raises(AssertionError, match=r"status 3\. It logged nothing\.\n"):
        run_script(script("raise SystemExit(3)"))


def test_much_that_was_logged(script):
    """Of a long log the message has the end."""
    code = "for number in range(1000): print(number, 'x' * 1000)\nraise SystemExit(3)"
    with pytest.raises(AssertionError) as raised:
        run_script(script(code))
    message = str(raised.value)
    assert len(message) < 12_000
    assert "999 xxx" in message


@POSIX_ONLY
def test_a_script_that_a_signal_ends(script):
    """The exit status is 128 + the number of the signal, as a shell has it."""
    path = script("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    messages = run_script(path, check=False)
    assert (messages.state, messages.exit_status) == ("FAILED", 137)


def test_a_crash_stays_one(script):
    """What takes the server down is the state, whatever the exit status is."""
    path = script("""print('::{"outputs": {"a": "\\\\ud800"}}::'); raise SystemExit(3)""")
    messages = run_script(path, engine="0.21", check=False)
    assert (messages.state, messages.exit_status) == ("CRASH", 3)


def test_a_loss(script):
    """What would be lost is an AssertionError that says why; with `check=False` it can be read."""
    path = script(f"print({NOT_ALONE!r})")
    with pytest.raises(AssertionError) as raised:
        run_script(path)
    assert str(raised.value).startswith("Kestra 2.0 would lose something")
    assert "stdout 1  text before the frame" in str(raised.value)
    assert run_script(path, check=False).rejected[0].text == NOT_ALONE


# --- the end of time -------------------------------------------------------------------------

# Starts a child, which has the same pipes and runs for ever, and prints a line.
WITH_CHILD = """
import os, signal, subprocess, sys, time
os.set_inheritable(os.open(sys.argv[1], os.O_WRONLY), True)
command = [sys.executable, "-c", "import signal; signal.pause()"]
child = subprocess.Popen(command, close_fds=False)
print(f"{child.pid} \\x1b\\nthe last", flush=True)
"""


class Door:
    """A named pipe that scripts hold open, by which their end can be seen."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path)
        self.reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def closes(self):
        """Whether nobody has it open now or soon."""
        ready, _, _ = select.select([self.reader], [], [], DEADLINE)
        return bool(ready) and os.read(self.reader, 1) == b""


@pytest.fixture
def door(tmp_path):
    door = Door(tmp_path / "door")
    yield door
    os.close(door.reader)


@pytest.fixture
def fed(monkeypatch):
    """The lines that were read; with each of them, 1,000 seconds go by."""
    fed = []
    feed = TaskReader.feed

    def noting_feed(engine, line, stream):
        fed.append(line)
        return feed(engine, line, stream)

    monkeypatch.setattr(TaskReader, "feed", noting_feed)
    monkeypatch.setattr(script_module, "monotonic", lambda: 1000.0 * len(fed))
    return fed


@POSIX_ONLY
@pytest.mark.parametrize("rest", ["signal.pause()", "os._exit(0)"])
def test_a_script_that_does_not_end(script, rest, door, fed):
    """It is a TimeoutError with what was printed, and nothing that it started goes on."""
    with pytest.raises(TimeoutError) as raised:
        run_script(script(WITH_CHILD + rest), door.path)
    assert str(raised.value) == (
        "etl.py had not ended after 60 s, and was killed. The end of what it had printed:\n"
        + fed[0].replace("\x1b", "\\x1b\nthe last")
    )
    assert door.closes()


@POSIX_ONLY
def test_a_script_that_closes_its_streams_and_does_not_end(script, door, monkeypatch):
    """A process that prints nothing more has to end, too."""
    lines, passed = script_module.Output.lines, []

    def until_closed(output, deadline):
        yield from lines(output, deadline)
        passed.append(100)

    monkeypatch.setattr(script_module.Output, "lines", until_closed)
    monkeypatch.setattr(script_module, "monotonic", lambda: time.monotonic() + sum(passed))
    code = "import os, signal, sys\nos.open(sys.argv[1], os.O_WRONLY)\n"
    path = script(code + "os.close(1)\nos.close(2)\nsignal.pause()")
    with pytest.raises(TimeoutError, match="It had printed nothing"):
        run_script(path, door.path)
    assert door.closes()


@POSIX_ONLY
def test_an_interrupted_test(script, door, monkeypatch):
    """After Ctrl-C nothing goes on that was started."""

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(TaskReader, "feed", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_script(script(WITH_CHILD + "signal.pause()"), door.path)
    assert door.closes()


@POSIX_ONLY
def test_what_has_escaped_does_not_keep_the_test(script, door, fed, monkeypatch):
    """A child that is in a session of its own is not waited for."""
    monkeypatch.setattr(script_module, "_LAST_WORDS", 0)
    code = WITH_CHILD.replace("close_fds=False", "close_fds=False, start_new_session=True")
    with pytest.raises(TimeoutError, match="had not ended"):
        run_script(script(code + "signal.pause()"), door.path)
    os.kill(int(fed[0].split()[0]), signal.SIGKILL)
    assert door.closes()


@POSIX_ONLY
@pytest.mark.parametrize(("grace", "status"), [(3600, 7), (0, -9)])
def test_killed_with_all_that_it_started(grace, status, script):
    """SIGTERM goes to all of the session, and SIGKILL where that has not ended in time."""
    code = f"""
import signal, subprocess, sys, time
child = "import signal; print('child', flush=True); signal.pause()"
process = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE)
def end(*_):
    status = process.wait()
    if {grace}:
        print("child", status, flush=True)
        raise SystemExit(7)
signal.signal(signal.SIGTERM, end)
process.stdout.readline()
print("ready", flush=True)
while True:  # a signal that comes right before a pause would not end it
    time.sleep(0.05)
"""
    command = [sys.executable, script(code)]
    with script_module.start(command, {}, own_session=True) as process:
        assert process.stdout.readline() == b"ready\n"
        with script_module.killed_after(process, 0, grace) as was_killed:
            assert process.wait(DEADLINE) == status
            assert was_killed()
            assert process.stdout.read() == (b"child -15\n" if grace else b"")
        process.stderr.close()


@POSIX_ONLY
def test_a_script_that_is_killed(script):
    """How it ends is no failure, and what it says until then is kept."""
    messages = run_script(script("import signal; signal.pause()"), kill_after=0)
    assert (messages.state, messages.exit_status) == ("KILLED", 143)
    assert run_script(script(""), kill_after=3600).state == "SUCCESS"


@POSIX_ONLY
def test_times_may_be_fractions(script):
    """They are numbers of seconds, too."""
    times = {"timeout": Fraction(60), "kill_after": Fraction(0), "grace": Fraction(60)}
    assert run_script(script("import signal; signal.pause()"), **times).state == "KILLED"


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        ({"kill_after": "5"}, "kill_after must be a number of seconds, not str"),
        ({"kill_after": -1}, "kill_after must be 0 or more seconds"),
        ({"grace": None}, "grace must be a number of seconds, not NoneType"),
        ({"timeout": float("nan")}, "timeout must be 0 or more seconds"),
    ],
)
def test_a_time_that_is_not_valid(times, sentence, script, monkeypatch):
    """It is refused before anything runs: nothing would notice later that it has no effect."""
    monkeypatch.setattr(script_module, "start", None)
    with pytest.raises((TypeError, ValueError), match=f"^{sentence}$"):
        run_script(script(""), **times)
