"""One frame and what may come in its way, as the reader of the pipe sees it."""

import io
import os
import subprocess
import sys
from pipes import DEADLINE, read_notes, run, run_unread, said, started, text
from subprocess import STDOUT

import pytest

from kestra import Kestra, testing

POSIX_ONLY = pytest.mark.skipif(sys.platform == "win32", reason="signals, terminals, descriptors")

UNBUFFERED = pytest.mark.parametrize("options", [(), ("-u",)], ids=["buffered", "unbuffered"])
FRAME = '::{"outputs": {"a": 1}}::'
EMIT = 'Kestra.outputs({"a": 1})\n'
LARGE = 300_000  # more than any pipe holds
# Until the handler ends it: a signal right before a write begins to wait does not interrupt it. On
# a slow machine two may come at once, and only the first one is to raise.
AGAIN = "(signal.ITIMER_REAL, 0.02, 0.02)"
# Then a write waits; what a handler raises earlier may be lost, in an import.
IS_FULL = "not select.select([], [1], [], 0)[1]"


def large(key):
    return f'::{{"outputs": {{"{key}": "{"x" * LARGE}"}}}}::'


# What a process ends with, right after a call.


ENDS = {
    "os._exit": ("os._exit(3)", 3),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", -9),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)", -15),
    "segfault": ("import faulthandler; faulthandler._sigsegv()", -11),
    "abort": ("os.abort()", -6),
    "exec": ('os.execv(sys.executable, [sys.executable, "-c", ""])', 0),
    "exception": ("raise SystemExit(4)", 4),
}
if sys.platform == "win32":
    TERMINATED = ("os.kill(os.getpid(), signal.SIGTERM)", 15)
    ENDS = {**{name: ENDS[name] for name in ("os._exit", "exception")}, "SIGTERM": TERMINATED}


@UNBUFFERED
@pytest.mark.parametrize("end", ENDS)
def test_what_was_emitted_outlives_the_process(end, options):
    """A frame, and the text printed before it, has been delivered when the call returns."""
    code, status = ENDS[end]
    script = run(f"import signal\nprint('text')\n{EMIT}{code}", options=options)
    assert said(script, status) == ["text", FRAME]


@pytest.mark.parametrize(
    ("call", "kept"),
    [
        ("Kestra.counter('n', 2)", lambda messages: messages.metrics["n"] == 2),
        ("Kestra.timer('n', 2)", lambda messages: messages.metrics["n"] == 2),
        ("Kestra.timer('n', lambda: 0)", lambda messages: messages.metrics[0].type == "timer"),
        ("Kestra.gauge('n', 2)", lambda messages: messages.metrics["n"] == 2),
        ("Kestra._send({'outputs': {'n': 2}})", lambda messages: messages.outputs == {"n": 2}),
        ("Kestra.send({'outputs': {'n': 2}})", lambda messages: messages.outputs == {"n": 2}),
        ("Kestra.outputs({'n': 'x' * 300_000})", lambda messages: len(messages.outputs["n"]) > 9),
        ("Kestra.logger().info('n')", lambda messages: messages.logs[0].level == "INFO"),
        ("Kestra.logger().error('n')", lambda messages: messages.logs[0].level == "ERROR"),
    ],
)
def test_every_call_delivers_at_once(call, kept):
    """Each kind of message is there after `os._exit`, and only once."""
    script = run(f"{call}\nos._exit(0)")
    messages = testing.parse(script.stdout, stderr=script.stderr)
    assert script.returncode == 0
    assert kept(messages)
    assert not messages.rejected
    assert len(script.stdout.splitlines()) + len(script.stderr.splitlines()) == 1


@UNBUFFERED
def test_order_with_printed_text(options):
    """Frames stand where they were sent among the script's own lines, on both streams."""
    script = run(
        """
for n in range(3):
    print("line", n)
    Kestra.outputs({"n": n})
    print("error", n, file=sys.stderr)
    Kestra.logger().error(n)
print("end")
""",
        options=options,
    )
    assert script.returncode == 0
    assert text(script.stdout).split("\n") == [
        *(it for n in range(3) for it in (f"line {n}", f'::{{"outputs": {{"n": {n}}}}}::')),
        "end",
        "",
    ]
    errors = script.stderr.decode().splitlines()
    assert errors[::2] == ["error 0", "error 1", "error 2"]
    assert [entry.level for entry in testing.parse(errors[1::2]).logs] == ["ERROR"] * 3


# Open lines.


@UNBUFFERED
@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ('print("a", end="")\nEMIT\nprint("b")', ["a", FRAME, "b"]),
        ('print("a", end="", flush=True)\nEMIT\nprint("b")', ["a", FRAME, "b"]),
        ('print("a", end="")\nEMIT\nEMIT', ["a", FRAME, FRAME]),
        ('print("a", end="")\nEMIT\nprint()\nprint("b")', ["a", FRAME, "b"]),
        ('print("a\\nb", end="")\nEMIT', ["a", "b", FRAME]),
        ('sys.stdout.write("a")\nEMIT', ["a", FRAME]),
        ('sys.stdout.writelines(["a\\n", "b"])\nEMIT', ["a", "b", FRAME]),
        ('print("a")\nEMIT\nprint("b")', ["a", FRAME, "b"]),
        ('print("", end="")\nEMIT', [FRAME]),
        ('print()\nEMIT\nprint()\nprint("a")', ["", FRAME, "", "a"]),
        ('print("a", end="")\nEMIT\nprint("", end="")\nprint()\nprint()', ["a", FRAME, "", ""]),
        ('print("a", end="")\nKestra.outputs({"a": "x" * 9_999})', ["a", large("a")[:9_999]]),
    ],
)
def test_open_lines(code, lines, options):
    """A frame starts a line of its own, and no blank line appears that was not printed."""
    script = run(code.replace("EMIT\n", EMIT).replace("EMIT", EMIT), options=options)
    assert [line[:9_999] for line in said(script)] == lines


def test_a_carriage_return_ends_a_line_for_the_engine():
    """After a progress bar that ends in `\\r` a frame is a line of its own."""
    script = run('print("50 %", end="\\r")\n' + EMIT)
    messages = testing.parse(script.stdout)
    assert script.stdout.splitlines() == [b"50 %", FRAME.encode()]
    assert (messages.outputs, messages.rejected) == ({"a": 1}, [])
    assert [entry.message for entry in messages.logs] == ["50 %"]


def test_open_lines_of_stderr():
    """A log frame on standard error starts a line of its own there."""
    script = run('print("a", end="", file=sys.stderr)\nKestra.logger().error("b")')
    messages = testing.parse("", stderr=script.stderr)
    assert [entry.message[-1:] for entry in messages.logs] == ["a", "b"]
    assert not messages.rejected


@UNBUFFERED
def test_text_that_failed_may_have_left_an_open_line(options):
    """After a text that could not be encoded a frame is safe."""
    code = """
sys.stdout.write("a")
try:
    sys.stdout.write("\\ud800")
except UnicodeEncodeError:
    pass
"""
    assert said(run(code + EMIT, options=options))[-1] == FRAME


# Encodings.


@UNBUFFERED
@pytest.mark.parametrize(
    "encoding", ["ascii", "cp1252", "latin-1", "utf-8", "utf-16", "utf-16-be", "utf-32", "cp500"]
)
def test_encodings(encoding, options):
    """Whatever standard output encodes, the bytes of a frame are the same, and so is its line."""
    code = (
        'Kestra.outputs({"a": "é€😀"})\nprint("text")\n' + EMIT + 'print("open", end="")\n' + EMIT
    )
    script = run(code, options=options, PYTHONIOENCODING=encoding)
    messages = testing.parse(script.stdout)
    first = b'::{"outputs": {"a": "\\u00e9\\u20ac\\ud83d\\ude00"}}::\n'
    assert (script.stderr, script.returncode) == (b"", 0)
    assert script.stdout.startswith(first)
    assert script.stdout.split(b"\n").count(FRAME.encode()) == 2
    assert messages.outputs == {"a": 1}


# Signal handlers and finalizers.


def forget(*modules):
    """Code by which modules are imported once more, if what measures coverage has done so."""
    return f"""
for name in [name for name in sys.modules if name.partition(".")[0] in {modules}]:
    del sys.modules[name]
"""


def watch(action):
    """Code that does something when the pipe is full, and who writes to it waits."""
    return f"""
import select, threading

def watch():
    while select.select([], [1], [], 0.02)[1]:
        pass
    {action}

threading.Thread(target=watch).start()
"""


TELL_WHEN_FULL = watch('os.write(2, b"!")')

# A call may come inside another one, which waits for the reader. On a slow machine each of them
# does, and so many fit into the stack.
HANDLER = """
import itertools
import signal

numbers = itertools.count()
handled = set()

def handler(*_):
    number = next(numbers)
    handled.add(number)
    os.write(2, b"!")
    if number == 40:
        signal.setitimer(signal.ITIMER_REAL, 0)
    {action}

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
{code}
signal.setitimer(signal.ITIMER_REAL, 0)
Kestra.outputs({{"ticks": len(handled)}})
"""
ACTIONS = {
    "counter": 'Kestra.counter("ticks", 1)',
    "large": 'Kestra.outputs({f"tick {number}": "y" * 9_999})',
    "log": 'Kestra.logger().info("tick")',
    "line": 'print("tick")',
    "open line": 'print("tick, ", end="")',
    "flush": 'print("tick, ", end="", flush=True)',
}
BLOCKED = {
    "small frames": "for n in range(5_000): Kestra.outputs({'n': n})",
    "large frame": f"Kestra.outputs({{'n': 4_999, 'x': 'x' * {LARGE}}})",
    "large log": f"Kestra.logger().info('x' * {LARGE})\nKestra.outputs({{'n': 4_999}})",
    "print": f"print('x' * {LARGE})\nKestra.outputs({{'n': 4_999}})",
    "prints": "for n in range(9_999): print('some text')\nKestra.outputs({'n': 4_999})",
    "flush": "for n in range(99): print('x' * 8_000, flush=True)\nKestra.outputs({'n': 4_999})",
    # First a counter: an import in a handler, inside of another import, fails in Python 3.11.
    "forked": "Kestra.counter('ticks', 0)\nif not os.fork(): os._exit(0)\n"
    "Kestra.outputs({'n': 4_999, 'x': 'x' * 300_000})",
}


def test_a_signal_handler_just_before_the_write():
    """Text that a handler prints once a frame has found no open line waits for that frame."""
    script = run("""
from kestra._task import sink

def other_threads():  # asked between the two: the place of a signal
    print("tick, ", end="", flush=True)
    return 0

Kestra.outputs({"n": 1})
sink._other_threads = other_threads
Kestra.outputs({"n": 2})
""")
    assert (script.stderr, script.returncode) == (b"", 0)
    assert script.stdout == b'::{"outputs": {"n": 1}}::\n::{"outputs": {"n": 2}}::\ntick, '


@POSIX_ONLY
@UNBUFFERED
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("blocked", BLOCKED)
def test_signal_handlers(blocked, action, options):
    """A handler that runs inside a write, of a frame or of text, emits and prints in peace."""
    script = run_unread(with_handler(BLOCKED[blocked], action), notes=4, options=options)
    assert heard(script, action) >= 4


def with_handler(code, action):
    return "logger = Kestra.logger()\n" + HANDLER.format(action=ACTIONS[action], code=code)


def heard(script, action):
    """How often a handler ran; what it said has arrived each time, and so has all else."""
    messages = testing.parse(script.stdout)
    assert (script.stderr, script.returncode) == (b"", 0)
    assert not messages.rejected
    assert messages.outputs["n"] == 4_999
    ticks = messages.outputs["ticks"]
    told = {
        "counter": lambda: messages.metrics["ticks"],
        "large": lambda: sum(key.startswith("tick ") for key in messages.outputs),
        "log": lambda: sum(entry.message.endswith(" - tick") for entry in messages.logs),
    }.get(action, lambda: script.stdout.count(b"tick") - script.stdout.count(b'"ticks"'))
    assert told() == ticks
    return ticks


@POSIX_ONLY
@pytest.mark.parametrize("modules", ["signal", "signal, subprocess"])
def test_a_handler_that_ends_the_process(modules):
    """What a handler emits while a small frame waits for its reader outlives `os._exit`."""
    code = f"""
import {modules}

def handler(*_):
    os.write(2, b"!")
    Kestra.outputs({{"last": 1}})
    os._exit(0)

signal.signal(signal.SIGTERM, handler)
{watch("os.kill(os.getpid(), signal.SIGTERM)")}
for n in range(99_999):
    Kestra.outputs({{"n": n}})
"""
    assert said(run_unread(code))[-1] == '::{"outputs": {"last": 1}}::'


@POSIX_ONLY
def test_a_handler_and_a_thread_do_not_wait_for_each_other():
    """A handler that emits inside a flush, while a thread waits to emit, does not hang."""
    code = HANDLER.format(
        action=ACTIONS["counter"],
        code="""
from threading import Thread

threads = [Thread(target=Kestra.outputs, args=({f"thread {n}": 1},)) for n in range(4)]
for n in range(99):
    print("x" * 8_000, flush=True)
    for thread in threads[n:n + 1]:
        thread.start()
for thread in threads:
    thread.join()
""",
    )
    script = run_unread(code, notes=4)
    messages = testing.parse(script.stdout)
    assert (script.stderr, script.returncode) == (b"", 0)
    assert not messages.rejected
    assert messages.outputs["ticks"] == messages.metrics["ticks"]
    assert len(messages.outputs) == 5


@POSIX_ONLY
@pytest.mark.parametrize("line", ["Kestra.outputs({'big': 'x' * 300_000})", "print('x' * 300_000)"])
def test_what_fails_in_its_turn_leaves_no_lock(line):
    """Text of a handler that cannot be encoded raises once the line is out, and nobody hangs."""
    code = f"""
import select, signal
from threading import Thread

first = iter([True])

def handler(*_):
    if {IS_FULL} and next(first, False):
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.write(2, b"!")
        sys.stdout.write("\u00e9\\n")

signal.signal(signal.SIGALRM, handler)
try:
    signal.setitimer(*{AGAIN})
    {line}
except UnicodeEncodeError:
    print("raised")
thread = Thread(target=Kestra.outputs, args=({{"a": 1}},))
thread.start()
thread.join()
"""
    *_, text, frame = said(run_unread(code, PYTHONIOENCODING="ascii"))
    assert text.endswith("raised")
    assert frame == FRAME


@POSIX_ONLY
@pytest.mark.parametrize(
    "module",
    [
        "kestra._task.logging",
        "kestra._task.metric_types",
        "kestra._task.numbers",
        "kestra._task.processes",
        "kestra._task.stand_ins",
        "kestra._task.timing",
        "kestra._values.encoded",
        "kestra._values.table",
        "inspect",
        "re",
    ],
)
def test_an_exception_of_a_handler_inside_an_import(module):
    """It is for the script, though `importlib` takes it for a file that is not there."""
    code = f"""
import decimal, io, signal
{forget("inspect", "re")}

class Finder:
    def find_spec(self, name, path=None, target=None):
        try:
            if name == "{module}":
                os.kill(os.getpid(), signal.SIGALRM)
        except OSError:
            pass

def handler(*_):
    sys.meta_path.remove(finder)
    raise TimeoutError

signal.signal(signal.SIGALRM, handler)
finder = Finder()
sys.meta_path.insert(0, finder)
standard, sys.stdout = sys.stdout, io.StringIO()
try:
    Kestra.counter("rows", 1)
    sys.stdout = standard
    Kestra.outputs({{"long": "x" * 9_000, "rows": [{{"a": "x" * 9_000}}]}})
    Kestra.counter("orders", decimal.Decimal("1.5"))
    Kestra.outputs({{"total": decimal.Decimal("1.5")}})
    Kestra.timer("load", lambda: None)
    Kestra.logger()
except TimeoutError:
    sys.stdout = standard
    Kestra.outputs({{"late": True}})
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""
    *_, late, blocked = said(run(code))
    assert late == '::{"outputs": {"late": true}}::'
    assert blocked == "set()"


@pytest.mark.parametrize("call", ["Kestra.outputs({'a': 1})", "print('text')"])
def test_an_exception_of_a_handler_leaves_no_lock(call):
    """Even where it comes right after the lock was taken."""
    code = f"""
from threading import Thread
from kestra._task import sink

gate = sink.stdout.gate

def acquire():
    gate.lock.acquire()
    raise KeyboardInterrupt

gate.acquire = acquire
try:
    {call}
except KeyboardInterrupt:
    gate.acquire = gate.lock.acquire
thread = Thread(target=Kestra.outputs, args=({{"a": 1}},))
thread.start()
thread.join()
"""
    assert said(run(code)) == [FRAME]


@pytest.mark.parametrize("line", ["Kestra.outputs({'a': 'x' * 99_999})", "print('x' * 999)"])
def test_a_thread_passes_on_what_it_reads_of_the_other_stream(line):
    """As scripts do to log what C libraries print: neither stream waits for the other."""
    code = f"""
from threading import Thread

reader, writer = os.pipe()
stdout = os.dup(1)
os.dup2(writer, 1)
os.close(writer)

def relay():
    for line in open(reader):
        print("x" in line, file=sys.stderr)

thread = Thread(target=relay)
thread.start()
for _ in range(500):
    {line}
sys.stdout.flush()
os.dup2(stdout, 1)
thread.join()
"""
    script = run(code)
    assert (script.returncode, script.stdout) == (0, b"")
    assert text(script.stderr) == "True\n" * 500


@POSIX_ONLY
def test_streams_whose_threads_are_inside_the_other_one():
    """Who is inside a line of one stream, and wants the other, does not hang."""
    code = HANDLER.format(
        action='print("tick", file=sys.stderr)\n    Kestra.logger().error("tick")',
        code="""
from threading import Thread

class Emits:
    def __del__(self):
        Kestra.counter("deleted", 1)

def talk():
    for n in range(200):
        print("x" * 8_000, file=sys.stderr, flush=True)
        Emits()

thread = Thread(target=talk)
thread.start()
for n in range(200):
    print("x" * 8_000, flush=True)
thread.join()
""",
    )
    with started("logger = Kestra.logger()\n" + code) as process:
        notes = read_notes(process, 2)
        out, rest = process.communicate(timeout=DEADLINE)
    messages = testing.parse(out, stderr=(notes + rest).replace(b"!", b""))
    assert process.returncode == 0
    assert not messages.rejected
    assert messages.metrics["deleted"] == 200
    assert sum(entry.message.endswith(" - tick") for entry in messages.logs) >= 2


@POSIX_ONLY
@UNBUFFERED
def test_an_exception_of_a_handler_cuts_at_most_its_own_frame(options):
    """A write that a handler's exception ends leaves no frame that the next one joins."""
    code = f"""
import select, signal

def handler(*_):
    if (text is None or {IS_FULL}) and next(first, False):
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.write(2, b"!")
        raise TimeoutError

signal.signal(signal.SIGALRM, handler)
for text in ({{"outputs": {{"cut": "x" * {LARGE}}}}}, None):
    first = iter([True])
    try:
        signal.setitimer(*{AGAIN})
        print("x" * {LARGE}) if text is None else Kestra.send(text)
        while True: signal.pause()
    except TimeoutError:
        pass
    Kestra.outputs({{"kept": len(str(text))}})
    Kestra.counter("kept", 1)
"""
    script = run_unread(code, options=options)
    messages = testing.parse(script.stdout)
    assert (script.stderr, script.returncode) == (b"", 0)
    assert messages.outputs["kept"] == 4
    assert messages.metrics["kept"] == 2


@pytest.mark.parametrize("error", ["BlockingIOError", "BrokenPipeError", "PermissionError"])
def test_what_a_handler_raises_inside_a_write_is_for_the_script(error):
    """It is not taken for an error of the pipe, whatever its type."""
    code = f"""
write = os.write

def handler():
    raise {error}("of a handler")

def interrupted(descriptor, data):
    os.write = write
    write(descriptor, data[:9])
    handler()

Kestra.outputs({{"first": "x" * {LARGE}}})
os.write = interrupted
try:
    Kestra.outputs({{"cut": "x" * {LARGE}}})
except {error}:
    Kestra.outputs({{"raised": True}})
"""
    script = run(code)
    assert testing.parse(script.stdout).outputs.keys() == {"first", "raised"}


def test_finalizers():
    """A `__del__` that emits while the garbage collector runs inside a call is heard, too."""
    code = """
import gc, threading

deaths = 0

class Mortal:
    def __init__(self):
        self.itself = self

    def __del__(self):
        global deaths
        deaths += 1
        Kestra.counter("deaths", 1, {"padding": "x" * (deaths % 2 * 9_999)})
        print("died,", end=" ")

def live(worker):
    for n in range(500):
        Mortal()
        Kestra.outputs({f"{worker} {n}": [{"x": ["x" * (n % 2 * 9_999)]}]})

gc.set_threshold(1)
threads = [threading.Thread(target=live, args=(worker,)) for worker in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
gc.collect()
"""
    script = run(code)
    messages = testing.parse(script.stdout)
    assert (script.stderr, script.returncode) == (b"", 0)
    assert len(messages.outputs) == 2_000
    assert sum(metric.value for metric in messages.metrics) == 2_000
    assert not messages.rejected


@pytest.mark.parametrize("first", ["", "threading.Thread(target=ended.wait).start()"])
def test_finalizers_and_imports(first):
    """No `__del__` runs inside an import that a call makes, with other threads or without."""
    code = f"""
import gc, sys, threading

ended = threading.Event()
{first}

class Asked:
    def find_spec(self, name, *_):
        if name.startswith("kestra"):
            print(name, gc.isenabled())

sys.meta_path.insert(0, Asked())
Kestra.outputs({{"a": ["x"]}})
Kestra.counter("rows", 1)
print("afterwards", gc.isenabled())
gc.disable()
Kestra.timer("load", lambda: 1)
print("disabled", gc.isenabled())
ended.set()
"""
    collects = dict(line.split() for line in said(run(code)) if not line.startswith("::"))
    assert collects.pop("afterwards") == "True"
    assert collects.pop("disabled") == "False"
    assert len(collects) > 3
    assert set(collects.values()) == {"False"}


def test_a_frame_inside_an_import_of_the_script():
    """A `__del__`, or what else runs there, emits while a module of `re` is only half there."""
    code = f"""
{forget("re", "sre_compile")}

class Emits:
    def find_spec(self, name, *_):
        if name in {{"re._compiler", "sre_compile"}}:
            sys.meta_path.remove(self)
            Kestra.outputs({{"long": "x" * 2_000, "escaped": [["\\u00e9"]]}})

sys.meta_path.insert(0, Emits())
import re
"""
    assert testing.parse("\n".join(said(run(code)))).outputs.keys() == {"long", "escaped"}


# The end of the interpreter.


@pytest.mark.parametrize(
    "emit",
    [
        'Kestra.outputs({"a": 1})',
        'Kestra.outputs({"a": "x" * 9_999})',
        'Kestra.logger().info("a"); Kestra.logger().error("a")',
        'print("a"); Kestra.outputs({"a": 1})',
    ],
)
def test_daemon_threads_at_exit(emit):
    """A daemon thread that emits until the very end neither aborts nor blocks the interpreter."""
    code = f"""
import threading

def forever():
    while True:
        {emit}
        emitted.set()

emitted = threading.Event()
Kestra.logger()
for _ in range(4):
    threading.Thread(target=forever, daemon=True).start()
emitted.wait()
"""
    for _ in range(3):
        script = run(code)
        messages = testing.parse(script.stdout.splitlines()[:-1])  # the last may be cut
        assert script.returncode == 0
        assert b"Fatal" not in script.stderr
        assert not messages.rejected


def test_what_is_emitted_last():
    """`atexit` functions, and `__del__` at the end, still deliver."""
    code = """
import atexit

class Last:
    def __del__(self):
        Kestra.outputs({"del": 1})
        print("text", flush=True)

last = Last()
atexit.register(Kestra.outputs, {"atexit": 1})
"""
    lines = said(run(code))
    assert lines == ['::{"outputs": {"atexit": 1}}::', '::{"outputs": {"del": 1}}::', "text"]


# Forks.


@POSIX_ONLY
@UNBUFFERED
@pytest.mark.parametrize("end", ["", "os._exit(0)"])
def test_a_fork_does_not_repeat_text(end, options):
    """Text that was printed before a fork appears once, before the frames of both processes."""
    code = f"""
print("text")
print("open, ", end="")
child = os.fork()
if child:
    os.waitpid(child, 0)
Kestra.outputs({{"child": not child}})
{end}
"""
    lines = said(run(code, options=options))
    assert lines[:2] == ["text", "open, "]
    assert [line for line in lines[2:] if line] == [
        '::{"outputs": {"child": true}}::',
        '::{"outputs": {"child": false}}::',
    ]


@POSIX_ONLY
def test_a_fork_while_another_thread_emits():
    """The child of a fork finds no lock held by a thread that it does not have."""
    code = """
import threading, warnings

warnings.simplefilter("ignore")
stop = threading.Event()

def forever():
    while not stop.is_set():
        Kestra.counter("n", 1)
        print("text")

thread = threading.Thread(target=forever)
thread.start()
for n in range(50):
    child = os.fork()
    if not child:
        Kestra.outputs({f"child {n}": 1})
        os._exit(0)
    os.waitpid(child, 0)
stop.set()
thread.join()
"""
    messages = testing.parse("\n".join(said(run(code))))
    assert len(messages.outputs) == 50
    assert not messages.rejected


@POSIX_ONLY
def test_a_fork_while_another_thread_imports():
    """The child of a fork imports nothing, since it would wait for a thread that it lacks."""
    code = """
import datetime, decimal, threading, warnings

warnings.simplefilter("ignore")

class Refused:
    def find_spec(self, name, path=None, target=None):
        raise ImportError(f"{name} is imported in a child")

class StandIn:
    def write(self, text):
        stream.write(text)
    def flush(self):
        stream.flush()

is_over = threading.Event()
thread = threading.Thread(target=is_over.wait)
thread.start()
child = os.fork()
if not child:
    sys.meta_path.insert(0, Refused())
    Kestra.outputs({"day": datetime.date(2026, 1, 31), "rows": [*range(9)], "long": "x" * 9_000})
    Kestra.counter("rows", decimal.Decimal("1.5"), {"table": "orders"})
    Kestra.timer("load", lambda: None)
    with Kestra.on_kill(print):
        Kestra.configure_logging()
    stream, sys.stdout = sys.stdout, StandIn()
    try:
        Kestra.logger().error(1 / 0)
    except ZeroDivisionError:
        Kestra.logger().exception("failed")
    sys.stdout.flush()
    os._exit(0)
status = os.waitpid(child, 0)[1]
is_over.set()
thread.join()
thread = threading.Thread(target=Kestra.logger().info, args=("another thread",))
thread.start()
thread.join()
sys.exit(status)
"""
    script = run(code)
    messages = testing.parse(script.stdout, stderr=script.stderr)
    assert script.returncode == 0, script.stderr
    assert messages.outputs["rows"] == [*range(9)]
    assert [metric.name for metric in messages.metrics] == ["rows", "load"]
    child, parent = sorted(messages.logs, key=lambda entry: entry.level)
    assert "ZeroDivisionError" in child.message
    assert parent.message.endswith(" - another thread")


@POSIX_ONLY
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_fork_while_another_thread_imports_logging(when):
    """The lock of `logging` is free after the fork, whether its hooks were set by then or not."""
    code = f"""
import threading, warnings
{forget("logging", "dataclasses")}

warnings.simplefilter("ignore")
is_there, goes_on = threading.Event(), threading.Event()
set_hooks = os.register_at_fork

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "dataclasses":  # the fork has begun to import
            goes_on.set()

def set_hooks_of_logging(**hooks):
    os.register_at_fork = set_hooks
    if {when!r} == "after":
        set_hooks(**hooks)
    is_there.set()
    goes_on.wait()
    if {when!r} == "before":
        set_hooks(**hooks)

sys.meta_path.insert(0, Finder())
os.register_at_fork = set_hooks_of_logging
thread = threading.Thread(target=__import__, args=("logging",))
thread.start()
is_there.wait()
child = os.fork()
is_owned = sys.modules["logging"]._lock._is_owned()
if not child:
    os._exit(is_owned)
thread.join()
sys.exit(is_owned or os.waitpid(child, 0)[1])
"""
    script = run(code)
    assert (script.returncode, script.stderr) == (0, b"")


# Readers that are slow, or gone.


@POSIX_ONLY
@UNBUFFERED
def test_text_that_a_signal_interrupts(options):
    """Text of one write is delivered whole, also unbuffered, where Python itself drops its rest."""
    code = f"""
import signal

def handler(*_):
    os.write(2, b"!")

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
sys.stdout.write("x" * {LARGE} + "\\n")
signal.setitimer(signal.ITIMER_REAL, 0)
Kestra.outputs({{"a": 1}})
"""
    assert said(run_unread(code, options=options)) == ["x" * LARGE, FRAME]


@POSIX_ONLY
@UNBUFFERED
@pytest.mark.parametrize("when", ["before", "after"])
def test_non_blocking(when, options, tmp_path):
    """A full pipe that does not block, from the start or later, holds a frame up, no more."""
    change = "os.set_blocking(1, False)"
    path = tmp_path / "script.py"
    path.write_text(f"""
import os
{change if when == "before" else ""}
from kestra import Kestra
{change if when == "after" else ""}
{TELL_WHEN_FULL}
for n in range(100):
    Kestra.outputs({{f"large {{n}}": "x" * 9_999}})
    Kestra.outputs({{f"small {{n}}": n}})
    Kestra.logger().info(n)
""")
    script = run_unread(path, options=options)
    messages = testing.parse(script.stdout)
    assert (script.stderr, script.returncode) == (b"", 0)
    assert (len(messages.outputs), len(messages.logs)) == (200, 100)
    assert not messages.rejected


@POSIX_ONLY
def test_text_before_frames_on_a_pipe_that_does_not_block(tmp_path):
    """Text in the buffer is delivered before a frame, all of it, though the pipe is full."""
    path = tmp_path / "script.py"
    path.write_text(f"""
import os
os.set_blocking(1, False)
from kestra import Kestra
{TELL_WHEN_FULL}
for n in range(200):
    print(n, "x" * 999)
    Kestra.outputs({{"n": n}})
    print("open", end="")
    Kestra.outputs({{"x": "x" * 9_999}})
""")
    messages = testing.parse("\n".join(said(run_unread(path))))
    assert messages.outputs["n"] == 199
    assert not messages.rejected
    texts = [entry.message for entry in messages.logs]
    assert texts == [it for n in range(200) for it in (f"{n} {'x' * 999}", "open")]


@POSIX_ONLY
@UNBUFFERED
def test_text_and_logging_on_a_pipe_that_does_not_block(options, tmp_path):
    """A handler of `logging` for standard output flushes each record, and waits for the reader."""
    path = tmp_path / "script.py"
    path.write_text(f"""
import logging, os, sys
os.set_blocking(1, False)
from kestra import Kestra
{TELL_WHEN_FULL}
logging.basicConfig(stream=sys.stdout, level="INFO", format="%(message)s")
for n in range(2_000):
    logging.info("row %d: a line of text, neither short nor long", n)
    if n % 100 == 0:
        Kestra.outputs({{str(n): n}})
if {bool(options)}:
    print("x" * {LARGE})
    Kestra.outputs({{"large": 1}})
""")
    messages = testing.parse("\n".join(said(run_unread(path, options=options))))
    assert len(messages.outputs) == (21 if options else 20)
    assert not messages.rejected
    assert len([entry for entry in messages.logs if entry.message.startswith("row")]) == 2_000


@POSIX_ONLY
def test_text_that_a_pipe_had_no_room_for():
    """Where text is cut because the pipe has stopped blocking, the next frame is whole."""
    code = f"""
print("x" * 60_000)
print("y" * 8_000, end="\\n")
os.set_blocking(1, False)
{TELL_WHEN_FULL}
Kestra.outputs({{"kept": "x" * 9_999}})
Kestra.outputs({{"a": 1}})
"""
    script = run_unread(code)
    messages = testing.parse(script.stdout)
    assert (script.stderr, script.returncode) == (b"", 0)
    assert set(messages.outputs) == {"kept", "a"}
    assert not messages.rejected


def left_alone(process):
    """What a script says and ends with that goes on after its reader has gone."""
    process.stdout.close()
    process.stdin.write(b"go on\n")
    process.stdin.close()
    return text(process.stderr.read()), process.wait(DEADLINE)


@UNBUFFERED
@pytest.mark.parametrize("size", [1, 9_999])
def test_a_reader_that_is_gone(size, options):
    """The first call raises `BrokenPipeError`; nothing else does, and nothing is said at exit."""
    code = f"""
sys.stdin.readline()
for n in range(3):
    try:
        Kestra.outputs({{"n": "x" * {size}}})
    except BrokenPipeError:
        print(n, file=sys.stderr)
    print("text")
"""
    with started(code, options=options) as process:
        assert left_alone(process) == ("0\n", 0)


def test_a_reader_that_is_gone_before_text_is_flushed():
    """So does the first call after text that can no longer be delivered."""
    code = f"""
sys.stdin.readline()
print("text")
try:
    {EMIT}
except BrokenPipeError:
    print("gone", file=sys.stderr)
"""
    with started(code) as process:
        assert left_alone(process) == ("gone\n", 0)


def test_a_reader_that_is_gone_ends_a_script_with_one_message():
    """A script that does not catch the error ends with its traceback and nothing after it."""
    with started("sys.stdin.readline()\n" + EMIT) as process:
        error, status = left_alone(process)
    assert status == 1
    assert error.count("Traceback") == 1
    assert error.splitlines()[-1].startswith("BrokenPipeError: ")


# Files, terminals, and other systems.


def test_a_file(tmp_path):
    """Standard output may be a file."""
    path = tmp_path / "out"
    with path.open("wb") as file:
        script = run(f"print('text')\n{EMIT}Kestra.outputs({{'a': 'x' * {LARGE}}})", stdout=file)
    assert (script.stderr, script.returncode) == (b"", 0)
    assert path.read_text().split("\n") == ["text", FRAME, large("a"), ""]


@POSIX_ONLY
def test_a_file_that_cannot_grow(tmp_path):
    """A frame of which only a part could be written raises, and the next one is whole."""
    code = f"""
import resource, signal

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
try:
    Kestra.outputs({{"cut": "x" * int(sys.argv[1])}})
except OSError as error:
    print(error.strerror, file=sys.stderr)
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
{EMIT}
"""
    for size in (999, 9_999):
        path = tmp_path / str(size)
        with path.open("wb") as file:
            script = run(code, size, stdout=file)
        assert (script.stderr, script.returncode) == (b"File too large\n", 0)
        cut, frame, end = path.read_text().split("\n")
        assert (len(cut), frame, end) == (500, FRAME, "")


@POSIX_ONLY
def test_a_terminal():
    """A terminal, which buffers lines, gets the same lines."""
    import pty

    reader, writer = pty.openpty()
    with os.fdopen(reader, "rb") as terminal:
        script = run("print('a', end='')\n" + EMIT + "print('text')\n" + EMIT, stdout=writer)
        os.close(writer)
        assert script.returncode == 0
        lines = [terminal.readline() for _ in range(4)]
    assert [line.decode().rstrip("\r\n") for line in lines] == ["a", FRAME, "text", FRAME]


@POSIX_ONLY
def test_a_terminal_whose_writes_a_signal_cuts_short():
    """What a handler emits meanwhile comes after the line that it has interrupted."""
    import pty
    import tty

    reader, writer = pty.openpty()
    tty.setraw(writer)
    code = HANDLER.format(action='Kestra.counter("ticks", 1)', code=BLOCKED["small frames"])
    with os.fdopen(reader, "rb", buffering=0) as terminal, started(code, stdout=writer) as process:
        os.close(writer)
        stderr = read_notes(process, 4)
        pieces = []
        while True:
            try:
                pieces.append(terminal.read(4096))
            except OSError:  # Linux says so when nobody has it open any more
                break
        stderr += process.stderr.read()
        assert process.wait() == 0
    messages = testing.parse(b"".join(pieces))
    assert not messages.rejected
    assert messages.outputs["n"] == 4_999
    assert messages.metrics["ticks"] == stderr.count(b"!")


@POSIX_ONLY
@pytest.mark.parametrize("missing", [True, False])
def test_what_a_system_may_lack(missing, tmp_path):
    """Frames of all sizes are delivered without `fcntl`, `writev`, `fpathconf` and forks."""
    path = tmp_path / "script.py"
    path.write_text(f"""
import os
import subprocess
import sys

def refused(*_):
    raise OSError

sys.modules["fcntl"] = None
del os.writev, os.fpathconf, os.register_at_fork
if {missing}:
    del os.get_blocking
else:
    os.get_blocking = refused

from kestra import Kestra

print("a", end="")
Kestra.outputs({{"a": 1}})
Kestra.outputs({{"b": "x" * {LARGE}}})
""")
    assert said(run(path)) == ["a", FRAME, large("b")]


@POSIX_ONLY
def test_a_lock_that_is_refused():
    """Frames are delivered where the file system has no locks."""
    code = f"""
import fcntl

def refused(*_):
    raise OSError

fcntl.lockf = refused
Kestra.outputs({{"a": "x" * {LARGE}}})
"""
    assert said(run(code)) == [large("a")]


def test_both_streams_into_one_pipe():
    """Where standard error goes into the same pipe (`2>&1`), the frames of both are whole."""
    code = """
from threading import Thread

def emit():
    for n in range(300):
        (Kestra.logger().info if n % 2 else Kestra.logger().error)("log " * 2_999)
        print("text", file=sys.stdout if n % 3 else sys.stderr)
        Kestra.counter("n", 1)

threads = [Thread(target=emit) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
    messages = testing.parse(run(code, stderr=STDOUT).stdout)
    assert messages.metrics["n"] == 1_200
    assert sum(entry.message.endswith("log " * 2_999) for entry in messages.logs) == 1_200
    assert not messages.rejected


# The hook, and streams that take the place of the standard ones.


ERROR = '::{"logs": [{"level": "ERROR", "message": "b"}]}::'


@UNBUFFERED
@pytest.mark.parametrize(
    ("code", "lines"),
    [
        (
            "sys.stderr.write('\\r9%')\nEMIT\nsys.stderr.write('\\r99%\\n')",
            ["\r9%", FRAME, "\r99%"],
        ),
        ("print('a', end='', flush=True)\nFAIL\nprint()\nEMIT", ["a", ERROR, FRAME]),
        ("print('a', end='')\nFAIL\nprint()\nEMIT", ["a", ERROR, FRAME]),
        ("sys.stderr.close()\nprint('a', end='')\nEMIT", ["a", FRAME]),
    ],
)
def test_open_lines_of_either_stream_in_one_pipe(code, lines, options):
    """With `2>&1`, a frame starts a line of its own after text of the other stream too."""
    code = code.replace("EMIT", EMIT).replace("FAIL", f"sink.stderr.write({ERROR!r})")
    script = run("from kestra._task import sink\n" + code, options=options, stderr=STDOUT)
    assert script.returncode == 0
    assert text(script.stdout).split("\n")[:-1] == lines


# The hook, and streams that take the place of the standard ones.


@pytest.mark.parametrize(
    ("code", "hooked"),
    [
        ("import kestra", False),
        ("from kestra import Flow; Flow()", False),
        ("import kestra.testing", False),
        ("from kestra import Kestra", True),
    ],
)
def test_who_sets_the_hook(code, hooked, tmp_path):
    """Only `Kestra` sets a hook on the standard streams."""
    path = tmp_path / "script.py"
    path.write_text(
        f"{code}\nimport sys\n"
        "print([n for s in (sys.stdout, sys.stderr) for n in ('write', 'flush') if n in vars(s)])"
    )
    assert said(run(path)) == [str(["write", "flush"] * 2 if hooked else [])]


def test_no_hook():
    """`KESTRA_STDOUT_HOOK=0` leaves the streams as they are, and frames are delivered at once."""
    code = f"print(vars(sys.stdout).keys() & {{'write', 'flush'}})\n{EMIT}os._exit(0)"
    assert said(run(code, KESTRA_STDOUT_HOOK="0")) == ["set()", FRAME]


def test_the_hook_comes_off(tmp_path):
    """A stream that another real one has replaced is as it was, from the next frame on."""
    code = f"""
first = sys.stdout
with open({str(tmp_path / "file")!r}, "w") as sys.stdout:
    assert vars(first).keys() >= {{"write", "flush"}}
    Kestra.outputs({{"a": 1}})
    assert not vars(first).keys() & {{"write", "flush"}}
sys.stdout = first
print(open({str(tmp_path / "file")!r}).read().strip())
"""
    assert said(run(code)) == [FRAME]


def test_the_hook_stays_below_a_stand_in():
    """What stands in the place of a stream may write to it."""
    code = """
import io

first = sys.stdout
sys.stdout = io.StringIO()
Kestra.outputs({"a": 1})
assert vars(first).keys() >= {"write", "flush"}
text, sys.stdout = sys.stdout.getvalue(), first
print(text, end="")
"""
    assert said(run(code)) == [FRAME]


def test_a_hook_of_somebody_else_stays():
    """A `write` that has been set over the hook is left alone, and frames go through it too."""
    code = """
import io

first = sys.stdout
write = first.write
first.write = lambda text: write(text.upper())
print("text")
sys.stdout = io.StringIO()
Kestra.outputs({"a": 1})
sys.stdout = first
print("more")
Kestra.outputs({"a": 2})
"""
    assert said(run(code)) == ["TEXT", "MORE", '::{"OUTPUTS": {"A": 2}}::']


def test_redirect_stdout():
    """`redirect_stdout` receives the frame; back on the real stream, a frame starts a line."""
    code = """
import contextlib, io

with contextlib.redirect_stdout(io.StringIO()) as text:
    Kestra.outputs({"a": 1})
print("open", end="")
Kestra.outputs({"b": text.getvalue()})
"""
    assert said(run(code)) == [
        "open",
        '::{"outputs": {"b": "::{\\"outputs\\": {\\"a\\": 1}}::\\n"}}::',
    ]


@UNBUFFERED
@pytest.mark.parametrize(
    "replace",
    [
        "io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')",
        "io.TextIOWrapper(sys.stdout.detach(), encoding='utf-8', write_through=True)",
        "io.TextIOWrapper(open(1, 'wb', 0, closefd=False), encoding='utf-8')",
        "open(1, 'w', encoding='utf-8', closefd=False)",
        "os.fdopen(os.dup(1), 'w')",
    ],
)
def test_another_wrapper_of_standard_output(replace, options):
    """Text and frames keep their order, and lines their own, through a stream of the script's."""
    code = f"""
import io

print("text", flush=True)
first = sys.stdout
sys.stdout = {replace}
print("open", end="")
Kestra.outputs({{"a": 1}})
print("open again", end="")
Kestra.outputs({{"a": "x" * {LARGE}}})
"""
    assert said(run(code, options=options)) == ["text", "open", FRAME, "open again", large("a")]


def test_capture(capsys):
    """`capsys` sees the frame."""
    Kestra.outputs({"a": 1})
    assert capsys.readouterr() == (f"{FRAME}\n", "")


class OnlyWrites:
    """All that `print` asks of a stream."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


def test_a_stand_in_that_only_writes(monkeypatch):
    """What is good enough for `print` is good enough for a frame."""
    stand_in = OnlyWrites()
    monkeypatch.setattr(sys, "stdout", stand_in)
    Kestra.outputs({"a": 1})
    assert stand_in.text.lstrip("\n") == f"{FRAME}\n"  # a dot of pytest's may be on the real line


def test_a_stand_in_that_is_flushed(monkeypatch):
    """A stand-in with a buffer delivers at once, too."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "utf-8"))
    Kestra.outputs({"a": 1})
    assert text(raw.getvalue()) == f"{FRAME}\n"


def test_no_standard_output(monkeypatch):
    """Without a standard output, `RuntimeError` says so."""
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(RuntimeError, match=r"sys\.stdout is None"):
        Kestra.outputs({"a": 1})


@pytest.mark.parametrize("close", ["sys.stdout.close()", "sys.stdout.detach()"])
def test_a_closed_standard_output(close):
    """A stream that has been closed raises `ValueError`, as `print` does."""
    code = f"""
{close}
try:
    Kestra.outputs({{"a": 1}})
except ValueError:
    print("closed", file=sys.stderr)
os._exit(0)
"""
    assert text(run(code).stderr) == "closed\n"


@POSIX_ONLY
@pytest.mark.parametrize("descriptors", [(1,), (1, 2)])
def test_a_process_without_standard_streams(descriptors):
    """Importing `Kestra` works where the parent has closed the standard streams."""
    command = [sys.executable, "-c", "from kestra import Kestra; Kestra.format({})"]
    process = subprocess.run(
        command,
        preexec_fn=lambda: [os.close(it) for it in descriptors],
        timeout=DEADLINE,
        check=False,
    )
    assert process.returncode == 0
