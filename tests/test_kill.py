"""Being killed: `Kestra.on_kill`, in scripts that get a real signal."""

import asyncio
import os
import pipes
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from kestra import Kestra, testing
from kestra._task import kill, sink
from kestra._task.kill import SIGNAL

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

KILLED = -signal.SIGTERM
READY = "os.write(2, b'!\\n')\n"
WAIT = READY + "import threading; threading.Event().wait()\n"
CLEANUP = """
def cleanup():
    print("cleaning", end="")
    Kestra.outputs({"rows": 3})
    Kestra.counter("rows", 3)
    Kestra.logger().warning("cut short")
    print("text in the buffer")
"""
KEPT = ["cleaning", '::{"outputs": {"rows": 3}}::', "text in the buffer"]


def killed(script, *arguments, signals=1, status=KILLED, **variables):
    """The lines of a script that is killed as soon as it says that it is ready."""
    with pipes.started(script, *arguments, **variables) as process:
        stderr = pipes.read_notes(process)
        for _ in range(signals):
            process.send_signal(SIGNAL)
        out, rest = process.communicate(timeout=pipes.DEADLINE)
    assert process.returncode == status, stderr + rest
    return testing.parse(out, stderr=stderr + rest), out.decode().splitlines()


# --- a cleanup -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        "with Kestra.on_kill(cleanup):\n    wait()\n",
        "@Kestra.on_kill(cleanup)\ndef main():\n    wait()\nmain()\n",
        "@Kestra.on_kill(cleanup)\nasync def main(): wait()\nimport asyncio; asyncio.run(main())\n",
        "Kestra.on_kill(cleanup)\nwait()\n",
    ],
    ids=["with", "decorator", "coroutine", "call"],
)
@pytest.mark.parametrize("signals", [1, 2])
def test_a_cleanup_is_called_once_and_what_it_says_is_delivered(use, signals):
    """Outputs, metrics, log entries and printed text arrive; the status is the signal's."""
    wait = "def wait():\n" + "".join(f"    {line}\n" for line in WAIT.splitlines())
    messages, lines = killed(CLEANUP + wait + use, signals=signals)
    assert [line for line in lines if "metrics" not in line] == KEPT
    assert messages.outputs == {"rows": 3}
    assert [metric.value for metric in messages.metrics] == [3]
    assert [e.level for e in messages.logs if e.message.endswith("cut short")] == ["WARN"]


def test_in_the_main_thread():
    """The cleanup runs in the main thread, also where another one is writing."""
    script = (
        """
import threading
def cleanup():
    Kestra.outputs({"thread": threading.current_thread().name})
def emit():
    while True:
        Kestra.counter("n", 1, {"pad": "x" * 9_000})
Kestra.on_kill(cleanup)
threading.Thread(target=emit, daemon=True).start()
"""
        + READY
        + "emit()\n"
    )
    with pipes.started(script) as process:
        pipes.read_notes(process)
        head = os.read(process.stdout.fileno(), 1_000_000)
        process.send_signal(SIGNAL)
        out, _ = process.communicate(timeout=pipes.DEADLINE)
    assert process.returncode == KILLED
    # One that was cut off in another thread by the end is the last line, if any.
    lines = (head + out).decode().splitlines()
    assert Counter(lines)['::{"outputs": {"thread": "MainThread"}}::'] == 1


def test_where_another_thread_finds_it_first():
    """What had to wait for the end of a line may be found by any thread: it is left to the main."""
    script = """
import threading
from kestra._task.hooks import IDLE, INSIDE
from kestra._task.sink import stdout
Kestra.on_kill(lambda: Kestra.outputs({"thread": threading.current_thread().name}))
gate = stdout.gate
gate.wait()
gate.stage = INSIDE
os.kill(os.getpid(), 15)
assert [call.__name__ for call, _ in gate.deferred] == ["_resume"]
gate.stage = IDLE
gate.release()
threading.Thread(target=gate.catch_up).start()
threading.Event().wait()
"""
    done = pipes.run(script)
    assert done.returncode == KILLED
    assert done.stdout == b'::{"outputs": {"thread": "MainThread"}}::\n'


@pytest.mark.parametrize("size", [10, 9_000])
def test_inside_a_write(size):
    """A signal in the middle of a frame or of text tears neither, and the cleanup comes after."""
    script = f"""
def cleanup():
    Kestra.outputs({{"last": True}})
Kestra.on_kill(cleanup)
for n in range(10**9):
    if n == 3:
        os.write(2, b"!\\n")
    Kestra.counter("n", n, {{"pad": "x" * {size}}})
    print("y" * {size}, n)
"""
    with pipes.started(script) as process:
        pipes.read_notes(process)
        process.send_signal(SIGNAL)  # it writes, or waits for this reader
        out, err = process.communicate(timeout=pipes.DEADLINE)
    assert process.returncode == KILLED
    messages = testing.parse(out, stderr=err.replace(b"!\n", b""))
    assert not messages.rejected
    assert messages.outputs == {"last": True}
    assert all(e.message.startswith("y" * size) for e in messages.logs)


def test_nested_uses_unwind():
    """The last cleanup comes first; one whose block has ended is not called."""
    script = """
def say(text):
    return lambda: print(text, flush=True)
with Kestra.on_kill(say("outer")):
    with Kestra.on_kill(say("over")):
        pass
    with Kestra.on_kill(say("inner")):
"""
    _, lines = killed(script + "".join(f"        {line}\n" for line in WAIT.splitlines()))
    assert lines == ["inner", "outer"]


def test_what_a_cleanup_raises_is_reported():
    """The others are called all the same, and the end is that of the signal."""
    script = """
import sys
def fail():
    raise LookupError("nothing")
Kestra.configure_logging()
Kestra.on_kill(lambda: print("first"))
Kestra.on_kill(fail)
Kestra.on_kill(lambda: sys.exit(3))
"""
    messages, lines = killed(script + WAIT)
    assert lines[-1] == "first"
    (entry,) = [e for e in messages.logs if e.source == "frame"]
    assert (entry.level, entry.message.splitlines()[-1]) == ("ERROR", "LookupError: nothing")


# --- other handlers --------------------------------------------------------------------------


def test_an_earlier_handler_is_called():
    """After the cleanup; that it returns does not keep the process."""
    script = """
import signal
signal.signal(signal.SIGTERM, lambda number, frame: print("handler", number))
Kestra.on_kill(lambda: print("cleanup"))
"""
    _, lines = killed(script + WAIT)
    assert lines == ["cleanup", f"handler {int(SIGNAL)}"]


def test_an_earlier_handler_decides_by_what_it_raises():
    """`sys.exit` in it ends the script as ever, with its status."""
    script = """
import signal, sys
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(7))
with Kestra.on_kill(lambda: print("cleanup")):
"""
    _, lines = killed(script + "".join(f"    {li}\n" for li in WAIT.splitlines()), status=7)
    assert lines == ["cleanup"]


def test_afterwards_all_is_as_before():
    """The end of a block puts the earlier handler back, unless somebody has set another."""
    before = signal.getsignal(SIGNAL)
    use = Kestra.on_kill(print)
    with use:
        assert signal.getsignal(SIGNAL) != before
    assert signal.getsignal(SIGNAL) is before
    with use:
        assert signal.getsignal(SIGNAL) != before
        signal.signal(SIGNAL, signal.SIG_IGN)
    assert signal.getsignal(SIGNAL) is signal.SIG_IGN
    signal.signal(SIGNAL, before)
    Kestra.on_kill(print)(print)  # a decorator: nothing yet
    assert signal.getsignal(SIGNAL) is before


def test_children_by_fork_do_not_clean_up():
    """A child that is killed ends as if there were no cleanup, and prints nothing twice."""
    script = """
import signal
print("in the buffer", end=" ")
with Kestra.on_kill(lambda: print("cleanup")):
    child = os.fork()
    if not child:
        signal.raise_signal(signal.SIGTERM)
        print("still there")
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert pipes.said(pipes.run(script)) == [f"in the buffer {KILLED}"]


# --- an object to ask ------------------------------------------------------------------------


def test_a_loop_that_asks():
    """The loop ends itself; the end of the block is that of the process."""
    script = """
with Kestra.on_kill() as kill:
    os.write(2, b"!\\n")
    while not kill.requested:
        pass
    Kestra.outputs({"done": True})
print("not reached")
"""
    messages, lines = killed(script)
    assert messages.outputs == {"done": True}
    assert len(lines) == 1


def test_a_loop_that_asks_inside_a_cleanup():
    """The outer cleanup comes when the inner block has ended."""
    script = """
with Kestra.on_kill(lambda: print("cleanup")):
    with Kestra.on_kill() as kill:
        os.write(2, b"!\\n")
        while not kill.requested:
            pass
        print("ended")
"""
    assert killed(script)[1] == ["ended", "cleanup"]


def test_a_cleanup_inside_a_loop_that_asks():
    """The inner cleanup comes at once, and the loop has time to end."""
    script = """
with Kestra.on_kill() as kill:
    with Kestra.on_kill(lambda: print("cleanup")):
        os.write(2, b"!\\n")
        while not kill.requested:
            pass
    print("ended")
"""
    assert killed(script)[1] == ["cleanup", "ended"]


def test_without_a_block_the_script_ends_itself():
    """The status is its own."""
    script = "kill = Kestra.on_kill()\nos.write(2, b'!\\n')\nwhile not kill.requested: pass\n"
    assert killed(script, status=0)[1] == []


# --- in this process -------------------------------------------------------------------------


@pytest.fixture
def ends(monkeypatch):
    """In place of each end of this process: by which signal, and whether in a child."""
    ends = []
    monkeypatch.setattr(kill, "_end", lambda signum, *, is_child: ends.append((signum, is_child)))
    before = signal.getsignal(SIGNAL)
    yield ends
    assert signal.getsignal(SIGNAL) is before


def test_each_step(ends, capsys, monkeypatch):
    """Cleanups, the handler that was there before, and the end; a second signal does nothing."""
    steps = []

    def fail():
        steps.append("fails")
        raise LookupError

    def leave():
        steps.append("leaves")
        sys.exit(3)

    before = signal.signal(SIGNAL, lambda *_: steps.append("handler"))
    with Kestra.on_kill(lambda: steps.append("first")), Kestra.on_kill(fail), Kestra.on_kill(leave):
        signal.raise_signal(SIGNAL)
        signal.raise_signal(SIGNAL)
    signal.signal(SIGNAL, before)
    assert steps == ["leaves", "fails", "first", "handler"]
    assert ends == [(SIGNAL, False)]
    assert "LookupError" in capsys.readouterr().err


def test_a_decorated_function_is_what_it_was(ends):
    """It returns what it returned, and is guarded for as long as it runs."""

    @Kestra.on_kill(print)
    def main(rows, *, more=1):
        assert signal.getsignal(SIGNAL) is not before
        return rows + more

    @Kestra.on_kill(print)
    async def fetch(rows):
        assert signal.getsignal(SIGNAL) is not before
        return rows

    before = signal.getsignal(SIGNAL)
    assert main(2, more=3) == 5
    assert main.__name__ == "main"
    assert asyncio.run(fetch(2)) == 2


def test_each_step_of_a_loop_that_asks(ends):
    """The end comes with that of the block; a handler that is called later has nothing to do."""
    called = []
    use = Kestra.on_kill()
    with use as asked:
        signal.raise_signal(SIGNAL)
        assert asked.requested
        assert ends == []
    assert ends == [(SIGNAL, False)]
    with Kestra.on_kill(lambda: called.append(1)) as use:
        handler = signal.getsignal(SIGNAL)
    handler(SIGNAL, None)  # by one that was set over it
    assert called == []
    assert len(ends) == 2


def test_each_step_inside_a_line(ends, monkeypatch):
    """The cleanup waits for the end of the line, whichever thread comes to it."""
    steps = []
    gate = sink.stdout.gate
    with Kestra.on_kill(lambda: steps.append(threading.current_thread().name)):
        gate.wait()
        gate.hold()
        signal.raise_signal(SIGNAL)
        assert steps == []
        gate.go_on()
        gate.release()
        if hasattr(signal, "pthread_kill"):
            thread = threading.Thread(target=gate.catch_up)
            thread.start()
            thread.join()
        else:
            gate.catch_up()
    assert steps == ["MainThread"]
    assert ends == [(SIGNAL, False)]


def test_each_step_of_the_end(monkeypatch, capsys):
    """Text is flushed, programs get the signal; where that does nothing, the status is 128 more."""
    calls = []
    for module, name in (
        (signal, "signal"),
        (signal, "raise_signal"),
        (signal, "pthread_sigmask"),
        (os, "killpg"),
        (os, "_exit"),
    ):
        monkeypatch.setattr(
            module, name, lambda *given, name=name: calls.append((name, *given)), raising=False
        )
    monkeypatch.setattr(kill, "running", {12345})
    kill._end(15, is_child=False)
    killed, *_, ended = calls
    assert killed == ("killpg", 12345, 15)
    assert ended == ("_exit", 128 + 15)
    assert ("raise_signal", 15) in calls
    calls.clear()
    kill._end(15, is_child=True)
    assert calls[0][0] != "killpg"


# --- process 1 -------------------------------------------------------------------------------


def test_where_the_signal_does_nothing():
    """Of process 1, to which the default action does not apply, the status is 128 + 15."""
    script = "import signal; signal.raise_signal = lambda number: None\n"
    _, lines = killed(script + CLEANUP + "Kestra.on_kill(cleanup)\n" + WAIT, status=143)
    assert lines[0] == KEPT[0]


def test_as_process_1(tmp_path):
    """In a PID namespace of its own, as in a container."""
    script = tmp_path / "script.py"
    script.write_text(
        f"import os\nfrom kestra import Kestra\n{CLEANUP}Kestra.on_kill(cleanup)\n"
        f"os.write(2, b'%d!\\n' % os.getpid())\n{WAIT.replace(READY, '')}"
    )
    namespace = [shutil.which("unshare") or "unshare", "--pid", "--fork"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipes, "_command", lambda path, *_: [*namespace, sys.executable, str(path)])
        try:
            subprocess.run([*namespace, "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("needs the right to make a PID namespace")
        with pipes.started(script) as process:
            assert pipes.read_notes(process) == b"1!\n"
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            os.kill(int(children.read_text()), SIGNAL)
            out, _ = process.communicate(timeout=pipes.DEADLINE)
    assert process.returncode == 143
    assert out.decode().splitlines()[0] == KEPT[0]


# --- what is refused -------------------------------------------------------------------------


def test_off_the_main_thread():
    """A ValueError names the main thread."""
    errors = []

    def use():
        try:
            Kestra.on_kill(print)
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert errors == [
        "Kestra.on_kill works in the main thread only, where Python handles signals: call it there"
    ]


def test_no_function():
    """A cleanup that is called too soon is a TypeError."""
    with pytest.raises(TypeError, match=r"cleanup is of type dict: it must be a function to call"):
        Kestra.on_kill({})


def test_a_generator_function():
    """A call of it does none of the work."""

    def rows():
        yield

    with pytest.raises(TypeError, match=r"generator function: .* put `with Kestra.on_kill"):
        Kestra.on_kill(print)(rows)
