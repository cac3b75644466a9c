"""Being killed: `Kestra.on_kill`, in scripts that get a real signal."""

import os
import pipes
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from kestra import testing
from kestra._task.kill import SIGNAL

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

KILLED = -signal.SIGTERM
READY = "os.write(2, b'!\\n')\n"
# No wait is for ever: a signal that comes right before the system call would not end it.
FOR_EVER = "import time\nwhile True: time.sleep(0.05)\n"
WAIT = READY + FOR_EVER
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
    script = f"""
import threading
from kestra._task.hooks import IDLE, INSIDE
from kestra._task.sink import stdout
Kestra.on_kill(lambda: Kestra.outputs({{"thread": threading.current_thread().name}}))
gate = stdout.gate
gate.wait()
gate.stage = INSIDE
os.kill(os.getpid(), 15)
assert [call.__name__ for call, _ in gate.deferred] == ["_resume"]
gate.stage = IDLE
gate.release()
threading.Thread(target=gate.catch_up).start()
{FOR_EVER}"""
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


def test_an_error_that_ends_the_loop_is_reported():
    """Once, also where it passes several blocks, and the end is that of the signal."""
    script = """
Kestra.configure_logging()
with Kestra.on_kill() as outer, Kestra.on_kill() as kill:
    os.write(2, b"!\\n")
    while not kill.requested:
        pass
    raise LookupError("nothing")
"""
    messages, _ = killed(script)
    (entry,) = [e for e in messages.logs if e.source == "frame"]
    assert (entry.level, entry.message.splitlines()[-1]) == ("ERROR", "LookupError: nothing")


def test_without_a_block_the_script_ends_itself():
    """The status is its own."""
    script = "kill = Kestra.on_kill()\nos.write(2, b'!\\n')\nwhile not kill.requested: pass\n"
    assert killed(script, status=0)[1] == []


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
