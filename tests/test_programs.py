"""`Kestra.run`: another program's lines as log entries, from a script that is a task."""

import contextlib
import os
import pipes
import select
import signal
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from kestra import Kestra, testing
from kestra._task import kill

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
PYTHON = "import sys\nPROGRAM = [sys.executable, '-u', '-c']\n"


def entries(capsys):
    """What the engine keeps of what was printed so far."""
    printed = capsys.readouterr()
    messages = testing.parse(printed.out, stderr=printed.err)
    assert not messages.rejected
    return [(entry.level, entry.message) for entry in messages.logs], messages


def python(code, **options):
    """Run a Python program."""
    return Kestra.run([sys.executable, "-u", "-c", code], **options)


# --- lines -----------------------------------------------------------------------------------


def test_lines_are_entries_at_the_level_that_the_script_chooses(capsys):
    """In their order; by default both streams are INFO."""
    code = "import sys\nprint('out é')\nprint('a  ')\nprint()\nprint('100 %s')\n"
    done = python(code, env={**os.environ, "PYTHONUTF8": "1"})
    assert (done.args[0], done.returncode) == (sys.executable, 0)
    assert entries(capsys)[0] == [("INFO", "out é"), ("INFO", "a  "), ("INFO", "100 %s")]
    python("import sys; print('x', file=sys.stderr)")
    python("import sys; print('x', file=sys.stderr)", stderr="warning")
    python("print('y')", stdout=10)
    python("import sys; print('z'); print('x', file=sys.stderr)", stderr=None, stdout="ERROR")
    levels = [level for level, _ in entries(capsys)[0]]
    assert levels == ["INFO", "WARN", "DEBUG", "ERROR"]


def test_what_is_no_whole_line(capsys):
    """The last line needs no end; the states of a progress bar are lines, as for the engine."""
    python("import os; os.write(1, b'1 of 2\\r2 of 2\\r\\nend \\xff')")
    assert [text for _, text in entries(capsys)[0]] == ["1 of 2", "2 of 2", "end \ufffd"]


def test_many_lines_arrive_in_order(capsys):
    """More than are waited with, without a deadlock."""
    python("for n in range(5_000): print(n, 'x' * 100)")
    numbers = [int(text.split()[0]) for _, text in entries(capsys)[0]]
    assert numbers == [*range(5_000)]


def test_frames_pass_through_untouched_exactly_once(capsys):
    """Outputs and metrics of the program are those of the task; what only looks so is a line."""
    frame = '::{"outputs": {"rows":  3, "u": "é"}}::'
    code = f"""
import sys
from kestra import Kestra
print({frame!r})
Kestra.counter("rows", 1)
Kestra.logger().error("bad")
print({frame.replace("é", chr(0x2028))!r})
"""
    python(code, env={**os.environ, "PYTHONUTF8": "1"})
    printed = capsys.readouterr()
    messages = testing.parse(printed.out, stderr=printed.err)
    assert printed.out.splitlines()[0] == frame
    assert messages.outputs == {"rows": 3, "u": "é"}
    assert [metric.value for metric in messages.metrics] == [1]
    first, second = sorted((entry.level, entry.message) for entry in messages.logs)
    assert first[0] == "ERROR"
    assert first[1].endswith("bad")
    assert second == ("INFO", frame.replace("é", chr(0x2028)))


@POSIX
def test_lines_are_live(tmp_path):
    """A line arrives while the program runs: it waits until that has been read."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = "import sys; print(1); open(sys.argv[1]).read(); print(2)"
    script = f"{PYTHON}Kestra.run([*PROGRAM, {code!r}, sys.argv[1]])\n"
    with pipes.started(script, fifo) as process:
        assert b'"message": "1"' in process.stdout.readline()
        fifo.write_text("go on")
        out, _ = process.communicate(timeout=pipes.DEADLINE)
    assert b'"message": "2"' in out


def test_parse_gives_a_line_its_level(capsys):
    """A level, a level and a text, or neither."""

    def parse(line):
        level, _, text = line.partition(" ")
        return {"W": "WARN", "E": ("ERROR", text), "T": 5}.get(level)

    python("for each in 'WEXT': print(each, 'text')", parse=parse)
    assert entries(capsys)[0] == [
        ("WARN", "W text"),
        ("ERROR", "text"),
        ("INFO", "X text"),
        ("TRACE", "T text"),
    ]


# --- its end ---------------------------------------------------------------------------------


def test_exit_status(capsys):
    """A failure is an error, after the last line has arrived; `check=False` returns it."""
    code = "print('last words'); raise SystemExit(3)"
    with pytest.raises(subprocess.CalledProcessError) as caught:
        python(code)
    assert caught.value.returncode == 3
    assert entries(capsys)[0] == [("INFO", "last words")]
    assert python(code, check=False).returncode == 3


@contextlib.contextmanager
def held_open(folder):
    """A file that programs open; when the block ends, none of them is there any more."""
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield fifo
        os.set_blocking(reader, True)
        assert select.select([reader], [], [], pipes.DEADLINE)[0], "something still holds it"
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)


@POSIX
def test_timeout(tmp_path):
    """The whole group is killed, and the error is that of `subprocess`."""
    script = f"""{PYTHON}
import subprocess, time
from kestra._task import programs
code = '''
import signal, subprocess, sys
with open(sys.argv[1], "w") as file:
    wait = "import threading; threading.Event().wait()"
    process = subprocess.Popen([sys.executable, "-c", wait], pass_fds=[file.fileno()])
    print("started")
    process.wait()
'''
started = []
programs.monotonic = lambda: time.monotonic() + 100 * len(started)
try:
    Kestra.run([*PROGRAM, code, sys.argv[1]], timeout=50, parse=started.append)
except subprocess.TimeoutExpired as error:
    Kestra.outputs({{"timeout": error.timeout}})
"""
    with held_open(tmp_path) as fifo:
        printed = pipes.run(script, fifo).stdout
    assert testing.parse(printed).outputs == {"timeout": 50}


def test_timeout_of_one_that_never_stops_talking(capsys):
    """There is always another line, and it is killed all the same."""
    with pytest.raises(subprocess.TimeoutExpired):
        python("while True: print('x' * 999)", timeout=0.2)
    assert set("".join(text for _, text in entries(capsys)[0])) <= {"x"}


PROGRAM = """
import os, signal, sys, time
def end(*_):
    print("bye")
    sys.exit(9)
signal.signal(signal.SIGTERM, end)
os.write(2, b"ready\\n")
while True:  # a signal that comes right before a wait for ever would not end it
    time.sleep(0.05)
"""


@POSIX
def test_it_is_killed_with_the_task():
    """First the program, whose last words arrive; then the script's own cleanup; then the end."""
    script = f"""{PYTHON}
Kestra.on_kill(lambda: Kestra.outputs({{"killed": True}}))
Kestra.run([*PROGRAM, {PROGRAM!r}])
print("not reached")
"""
    with pipes.started(script) as process:
        line = process.stdout.readline()
        assert b"ready" in line
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=pipes.DEADLINE)
    assert (process.returncode, err) == (-signal.SIGTERM, b"")
    assert out.decode().splitlines() == [
        '::{"logs": [{"level": "INFO", "message": "bye"}]}::',
        '::{"outputs": {"killed": true}}::',
    ]


@POSIX
def test_a_signal_that_ends_no_wait_is_noticed():
    """As one that comes right before the wait for a line: here another thread gets it."""
    script = f"""{PYTHON}
import signal, threading
def kill():
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
def parse(line):
    if line == "ready":
        threading.Timer(0.1, kill).start()
Kestra.on_kill(lambda: Kestra.outputs({{"killed": True}}))
Kestra.run([*PROGRAM, {PROGRAM!r}], parse=parse)
"""
    done = pipes.run(script)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, b"")
    assert done.stdout.decode().splitlines()[1:] == [
        '::{"logs": [{"level": "INFO", "message": "bye"}]}::',
        '::{"outputs": {"killed": true}}::',
    ]


@POSIX
def test_in_another_thread_too(tmp_path):
    """A program that another thread runs gets the signal when the script ends by it."""
    code = (
        "import sys, threading\nwith open(sys.argv[1], 'w'):\n print(1)\n threading.Event().wait()"
    )
    script = f"""{PYTHON}
import threading
Kestra.on_kill(lambda: None)
command = [*PROGRAM, {code!r}, sys.argv[1]]
thread = threading.Thread(target=Kestra.run, args=(command,))
thread.start()
thread.join()
"""
    with held_open(tmp_path) as fifo, pipes.started(script, fifo) as process:
        assert b'"1"' in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(pipes.DEADLINE) == -signal.SIGTERM


@POSIX
def test_an_exception_ends_the_program():
    """What `parse` raises is raised, and nothing is left running."""
    script = f"""{PYTHON}
pid = []
def parse(line):
    pid.append(int(line))
    raise LookupError(line)
try:
    Kestra.run([*PROGRAM, "import os, threading; print(os.getpid()); threading.Event().wait()"],
               parse=parse)
except LookupError:
    try:
        os.kill(pid[0], 0)
    except ProcessLookupError:
        Kestra.outputs({{"gone": True}})
"""
    assert pipes.said(pipes.run(script))[1:] == ['::{"outputs": {"gone": true}}::']


@POSIX
def test_last_lines_where_an_exception_ends_the_program():
    """The line that `parse` fails at, and what the program says at its end, still arrive."""
    script = f"""{PYTHON}
def parse(line):
    raise LookupError(line)
try:
    Kestra.run([*PROGRAM, {PROGRAM!r}], stderr="DEBUG", parse=parse)
except LookupError as error:
    print("caught", error)
"""
    assert pipes.said(pipes.run(script)) == [
        '::{"logs": [{"level": "DEBUG", "message": "ready"}]}::',
        '::{"logs": [{"level": "INFO", "message": "bye"}]}::',
        "caught ready",
    ]


@POSIX
def test_last_lines_where_a_signal_handler_raises():
    """So they do."""
    script = f"""{PYTHON}
import signal, threading
lines = []
class Interrupt:
    def write(self, text):
        if "ready" in text and not lines:
            lines.append(text)
            signal.raise_signal(signal.SIGINT)
        lines.append(text)
    def flush(self): pass
real, sys.stdout = sys.stdout, Interrupt()
try:
    Kestra.run([*PROGRAM, {PROGRAM!r}])
except KeyboardInterrupt:
    sys.stdout = real
    print("bye" in lines[-1])
"""
    assert pipes.said(pipes.run(script)) == ["True"]


@POSIX
def test_where_a_loop_asks_whether_it_is_killed():
    """The program is killed, and the script goes on to its own end."""
    script = f"""{PYTHON}
with Kestra.on_kill() as kill:
    status = Kestra.run([*PROGRAM, {PROGRAM!r}], check=False, timeout=60).returncode
    Kestra.outputs({{"status": status, "requested": kill.requested}})
"""
    with pipes.started(script) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=pipes.DEADLINE)
    assert process.returncode == -signal.SIGTERM
    assert testing.parse(out).outputs == {"status": 9, "requested": True}


@POSIX
def test_each_step_of_a_kill(monkeypatch, capsys):
    """A signal while lines arrive: the program ends, and the script goes on to its block's end."""
    ends = []
    monkeypatch.setattr(kill, "_end", lambda signum, **_: ends.append(signum))

    def parse(line):
        if line == "ready":
            signal.raise_signal(signal.SIGTERM)

    with Kestra.on_kill():
        done = Kestra.run(
            [sys.executable, "-u", "-c", PROGRAM], check=False, parse=parse, timeout=60
        )
        assert done.returncode == 9
    assert ends == [signal.SIGTERM]
    assert entries(capsys)[0] == [("INFO", "ready"), ("INFO", "bye")]


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["dbt build", b"dbt"])
def test_text_is_no_list(text):
    """As in a shell it would not be split, so it is refused."""
    with pytest.raises(TypeError, match=r"it must be a list such as \[\"dbt\", \"build\"\]"):
        Kestra.run(text)


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        (None, {}, "arguments is of type NoneType: it must be a list such as"),
        ([], {}, "arguments is empty: name a program, as in"),
        (["echo", 5], {}, r"arguments\[1\] is of type int: it must be text or a path"),
        (["echo"], {"env": {"A": 1}}, r"env\['A'\] is of type int: it must be text or a path"),
        (["echo"], {"env": {1: "A"}}, "a name in env is of type int: it must be text or a path"),
        (["echo"], {"env": ["A"]}, "env is of type list: it must be a dict such as"),
        (["echo"], {"cwd": 5.5}, "cwd is of type float: it must be text or a path"),
        (["echo"], {"timeout": "5"}, "timeout must be a number of seconds, not str"),
        (["echo"], {"timeout": timedelta(1)}, "timeout must be a number of seconds, not timedelta"),
        (["echo"], {"timeout": float("nan")}, "timeout must be 0 or more seconds"),
        (["echo"], {"timeout": -1}, "timeout must be 0 or more seconds"),
        (["echo"], {"parse": "INFO"}, "parse is of type str: it must be a function"),
        (["echo"], {"stderr": "loud"}, "stderr is not a valid level: use TRACE"),
        (["echo"], {"stdout": subprocess.PIPE}, "stdout is not a valid level: use TRACE"),
        (["echo"], {"stderr": subprocess.STDOUT}, "stderr is not a valid level: use TRACE"),
        (["echo"], {"stdout": True}, "stdout is not a valid level: use TRACE"),
    ],
)
def test_what_no_program_is_started_with(arguments, options, sentence, monkeypatch):
    """It is refused before anything runs, by the name of the argument, with what helps."""
    monkeypatch.setattr(subprocess, "Popen", None)
    with pytest.raises((TypeError, ValueError), match=f"^{sentence}"):
        Kestra.run(arguments, **options)


@pytest.mark.parametrize(
    ("parsed", "sentence"),
    [
        ("loud", "the level that parse returned is not a valid level"),
        (False, "the level that parse returned is not a valid level"),
        (("INFO", "text", 5), "parse must return a level, a tuple of a level and a text, or None"),
        (("INFO", 5), "parse must return a level, a tuple of a level and a text, or None"),
    ],
)
def test_what_parse_may_not_return(parsed, sentence, capsys):
    """The error names it, and the line arrives all the same."""
    with pytest.raises((TypeError, ValueError), match=f"^{sentence}"):
        python("print(1)", parse=lambda line: parsed)
    assert entries(capsys)[0] == [("INFO", "1")]


def test_a_program_that_is_not_there():
    """The error is that of `subprocess`."""
    before = set(threading.enumerate())  # a thread of another test may be about to end
    with pytest.raises(FileNotFoundError):
        Kestra.run(["no-such-program"])
    assert set(threading.enumerate()) <= before
