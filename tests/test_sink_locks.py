"""The lock between processes, what a signal strikes on its way, and what Windows does otherwise."""

import errno
import os
import sys
from pipes import run, run_unread, said

import pytest
from test_sink import AGAIN, LARGE, watch

from kestra import testing
from kestra._task import descriptor
from kestra._task.hooks import is_same_file

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals, locks, descriptors")
LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="locks of an open file")

STRIKES = """
import signal
from threading import Thread
from kestra._task import descriptor, processes, sink

def handler(*_):
    raise TimeoutError

class Strike:
    '''A signal just before, or after, the n-th call that this package makes.'''

    def __init__(self, n):
        self.left = n

    def __call__(self, frame, event, _):
        name = frame.f_globals.get("__name__", "")
        if event in ("call", "c_return") and name.startswith("kestra._task."):
            self.left -= 1
            if self.left == 0:
                handler(signal.SIGALRM, frame)

signal.signal(signal.SIGALRM, handler)
{before}

def call():
    {call}

call()
points, raised = 0, 0
while True:
    points += 1
    strike = Strike(points)
    sys.setprofile(strike)
    try:
        call()
    except TimeoutError:
        raised += 1
    sys.setprofile(None)
    if strike.left > 0:
        break
    gate = sink.stdout.gate
    assert not gate.is_owned() and not gate.stage and gate.locked_file is None
    thread = Thread(target=Kestra.outputs, args=({{f"point {{points}}": 1}},))
    thread.start()
    thread.join()
assert raised == points - 1 > {least}
Kestra.outputs({{"points": points - 1}})
"""
FORKED = "if not os.fork(): os._exit(0)"


@pytest.mark.parametrize(
    ("call", "before", "least"),
    [
        ('Kestra.outputs({"a": 1})', "", 9),
        ('Kestra.outputs({"a": "x" * 9_999})', "", 20),
        ('print("text"); Kestra.outputs({"a": 1})', "", 20),
        ('Kestra.logger().info("text")', "Kestra.logger()", 15),
        ('Kestra.outputs({"a": 1})', FORKED, 20),
        ('print("text")', FORKED, 5),
    ],
    ids=["small", "large", "text", "log", "forked", "forked text"],
)
def test_what_a_signal_handler_raises(call, before, least):
    """Wherever a signal strikes, its exception comes through, and leaves no lock behind."""
    script = run(STRIKES.format(call=call, before=before, least=least))
    messages = testing.parse(script.stdout)
    assert (script.stderr, script.returncode) == (b"", 0)
    assert not messages.rejected
    points = messages.outputs["points"]
    assert sum(key.startswith("point ") for key in messages.outputs) == points


EMITS = """
from kestra._task import descriptor, processes, sink

class Strike:
    '''A signal, whose handler emits, before the n-th opcode that this package carries out.'''

    def __init__(self, n):
        self.left = n

    def __call__(self, frame, event, _):
        if not frame.f_globals.get("__name__", "").startswith("kestra._task."):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                Kestra.outputs({{f"short {{points}}": 1}})
                Kestra.outputs({{f"long {{points}}": "x" * 5_000}})
        return self

{before}

def call():
    {call}

call()
sys._getframe().f_trace_opcodes = True  # else Python 3.12 tells of none
points = 0
while True:
    points += 1
    strike = Strike(points)
    sys.settrace(strike)
    call()
    sys.settrace(None)
    if strike.left > 0:
        break
    gate = sink.stdout.gate
    assert not gate.is_owned() and not gate.stage and gate.locked_file is None
Kestra.outputs({{"points": points - 1}})
"""


@pytest.mark.parametrize(
    ("call", "before"),
    [
        ('Kestra.outputs({"a": 1})', ""),
        ('Kestra.outputs({"a": "x" * 9_999})', ""),
        ('Kestra.outputs({"a": 1})', FORKED),
        ('print("text")', FORKED),
    ],
    ids=["small", "large", "forked", "forked text"],
)
def test_what_a_signal_handler_emits(call, before):
    """Wherever a signal strikes, its frames are delivered, and none waits for its own lock."""
    script = run(EMITS.format(call=call, before=before))
    messages = testing.parse(script.stdout)
    assert (script.stderr, script.returncode) == (b"", 0)
    assert not messages.rejected
    points = messages.outputs["points"]
    assert points > 100
    for kind in ("short ", "long "):
        assert sum(key.startswith(kind) for key in messages.outputs) == points


TAKE_IT = (
    "fcntl.fcntl(other, fcntl.F_OFD_SETLK, fcntl.F_WRLCK.to_bytes(2, sys.byteorder) + bytes(30))"
)


@LINUX_ONLY
@pytest.mark.parametrize("size", [1, 200_000])
def test_a_timeout_while_another_process_writes(size):
    """A handler that raises `TimeoutError`, which is an `OSError`, ends the wait for the lock."""
    code = f"""
import fcntl, signal

struck = []

def handler(*_):
    signal.setitimer(signal.ITIMER_REAL, 0)
    if not struck:
        struck.append(True)
        raise TimeoutError

signal.signal(signal.SIGALRM, handler)
Kestra.outputs({{"early": 1}})
other = os.open("/proc/self/fd/1", os.O_WRONLY)  # conflicts with ours, as that of a process does
{TAKE_IT}
try:
    signal.setitimer(*{AGAIN})
    Kestra.outputs({{"late": "x" * {size}}})
except TimeoutError:
    os.close(other)
    Kestra.outputs({{"raised": True}})
"""
    messages = testing.parse(run(code).stdout)
    assert (messages.outputs, messages.rejected) == ({"early": 1, "raised": True}, [])


@LINUX_ONLY
def test_a_duplicate_that_is_closed():
    """A duplicate of the descriptor that somebody closes drops no lock of a long frame.

    POSIX drops those of `lockf` then.
    """
    code = f"""
import fcntl, signal

def close_one(*_):
    os.close(os.dup(1))
    other = os.open("/proc/self/fd/1", os.O_WRONLY)
    try:
        {TAKE_IT}
    except BlockingIOError:
        held.append(True)
    os.close(other)
    os.write(2, b"!")

held = []
signal.signal(signal.SIGALRM, close_one)
{watch("os.kill(os.getpid(), signal.SIGALRM)")}
Kestra.outputs({{"x": "x" * {LARGE}}})
Kestra.outputs({{"held": held}})
"""
    messages = testing.parse(run_unread(code).stdout)
    assert not messages.rejected
    assert messages.outputs["held"] == [True]


def test_no_descriptor_stays_open():
    """No frame leaves the pipe open: its reader sees the end when the script closes it."""
    code = """
from threading import Thread

Kestra.outputs({"x": "x" * 9_999})
before = os.dup(1)
os.close(before)
threads = [Thread(target=Kestra.outputs, args=({f"{n}": "x" * 9_999},)) for n in range(9)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
after = os.dup(1)
assert after == before
"""
    script = run(code)
    assert (script.stderr, script.returncode) == (b"", 0)


@pytest.mark.parametrize("code", ["ENOLCK", "EINVAL", "EDEADLK"])
def test_locks_that_fail(code):
    """Frames are delivered where there are no locks, or the kernel sees a deadlock that is none."""
    script = f"""
import errno
from kestra._task import hooks, processes, sink

calls = []

def failing(descriptor, operation):
    calls.append(operation)
    if errno.{code} != errno.EDEADLK or len(calls) == 1:
        raise OSError(errno.{code}, "no lock")

sink._lock = processes.fcntl.lockf = failing
processes._OFD_LOCK = None
Kestra.outputs({{"a": "x" * 9_999}})
Kestra.outputs({{"b": 1}})
Kestra.outputs({{"c": 1}})
"""
    messages = testing.parse("\n".join(said(run(script))))
    assert (messages.outputs.keys(), messages.rejected) == ({"a", "b", "c"}, [])


@pytest.mark.skipif(sys.version_info < (3, 13), reason="interpreters of their own, since 3.13")
def test_interpreters():
    """Interpreters of one process tear no frame of each other."""
    code = """
import _interpreters
from threading import Thread

emit = '''
from kestra import Kestra
for n in range(300):
    Kestra.outputs({f"{NAME} {n}": "x" * (n % 2 * 9_999)})
'''
threads = [
    Thread(target=_interpreters.exec, args=(_interpreters.create(), f"NAME = {name}" + emit))
    for name in range(4)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
    script = run(code)
    messages = testing.parse(script.stdout)
    assert script.returncode == 0
    assert not messages.rejected
    assert len(messages.outputs) == 1_200


# What Windows does otherwise.


def test_pipes_without_a_number(monkeypatch):
    """Two pipes of Windows, whose number is 0, are two."""
    reader, writer = os.pipe()
    assert not is_same_file(reader, 1)
    assert is_same_file(reader, reader)
    nothing = os.stat_result([0] * 10)
    monkeypatch.setattr(os, "fstat", lambda _: nothing)
    assert not is_same_file(reader, writer)
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(("name", "is_gone"), [("nt", True), ("posix", False)])
def test_how_windows_says_that_a_reader_is_gone(monkeypatch, name, is_gone):
    """It says EINVAL."""
    error = OSError(errno.EINVAL, "Invalid argument")
    monkeypatch.setattr(os, "name", name)
    found = descriptor.is_without_reader(error)
    monkeypatch.undo()
    assert found is is_gone
    assert descriptor.is_without_reader(BrokenPipeError())


def test_one_write_for_a_line():
    """A long frame, with its line end, is one call of `os.write`: Windows has no `writev`."""
    code = """
sizes = []
write = os.write

def counting(descriptor, data):
    sizes.append(len(data))
    return write(descriptor, data)

os.write = counting
Kestra.outputs({"a": "x" * 9_999})
print(sizes)
"""
    frame, sizes = said(run(code))
    assert sizes == str([len(frame) + 1])
