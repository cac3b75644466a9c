"""Frames, and what a script puts in the place of a standard stream, or of its `write`."""

import io
import sys
from pipes import run, said
from unittest import mock

import pytest

from kestra import Kestra, testing
from kestra._task import sink, stand_ins

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes of a POSIX system")

UNBUFFERED = pytest.mark.parametrize("options", [(), ("-u",)], ids=["buffered", "unbuffered"])
FRAME = '::{"outputs": {"a": 1}}::'


def kept(script):
    """What an engine keeps of a script of which nothing is lost."""
    assert script.returncode == 0, script.stderr
    messages = testing.parse(script.stdout, stderr=script.stderr)
    assert not messages.rejected
    return messages


def logs(messages):
    """Levels and texts, without the time that the logger puts before them."""
    return [(entry.level, entry.message.rpartition("Z - ")[2]) for entry in messages.logs]


# Streams that log what they are given.

TO_LOG = {
    "logger": """
log = Kestra.logger()

class ToLog:
    def write(self, text):
        if text.strip():
            log.info(text.strip())
    def flush(self):
        pass
""",
    "configure_logging": """
import logging
Kestra.configure_logging()

class ToLog:
    def write(self, text):
        if text.strip():
            logging.info(text.strip())
    def flush(self):
        pass
""",
    "with a guard": """
import threading
log = Kestra.logger()

class ToLog:
    state = threading.local()
    def write(self, text):
        if getattr(self.state, "is_inside", False) or not text.strip():
            return 0
        self.state.is_inside = True
        try:
            log.info("%s", text.rstrip())
        finally:
            self.state.is_inside = False
        return len(text)
    def flush(self):
        pass
""",
    "with a mark": """
log = Kestra.logger()

class ToLog:
    def write(self, text):
        for line in text.splitlines():
            if line.strip():
                log.info("stdout: " * line.startswith("::") + line)
    def flush(self):
        pass
""",
}
PLACES = {
    "replaced": 'sys.stdout = ToLog()\nprint("hello")\nKestra.outputs({"a": 1})',
    "redirected": """
import contextlib
with contextlib.redirect_stdout(ToLog()):
    print("hello")
    Kestra.outputs({"a": 1})
""",
    "write": 'sys.stdout.write = ToLog().write\nprint("hello")\nKestra.outputs({"a": 1})',
    "both": 'sys.stdout = ToLog()\nsys.stderr = ToLog()\nprint("hello")\nKestra.outputs({"a": 1})',
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("to_log", TO_LOG)
def test_a_stream_that_logs_what_it_is_given(to_log, place):
    """Each print is one entry, and a frame is a frame, though it is logged."""
    messages = kept(run(TO_LOG[to_log] + PLACES[place]))
    assert logs(messages) == [("INFO", "hello")]
    assert messages.outputs == {"a": 1}


def test_a_stream_that_was_there_before(tmp_path):
    """So it is where the stream was set before the import, and has no more than it needs."""
    path = tmp_path / "script.py"
    path.write_text("""
import sys

class ToLog:
    def write(self, text):
        if text.strip():
            Kestra.logger().info(text.strip())
    def flush(self):
        pass

sys.stdout = ToLog()
from kestra import Kestra
print("hello")
Kestra.outputs({"a": 1})
""")
    messages = kept(run(path))
    assert logs(messages) == [("INFO", "hello")]
    assert messages.outputs == {"a": 1}


@pytest.mark.parametrize("call", ["Kestra.outputs({'a': 's3cret'})", "Emits()"])
def test_what_interrupts_a_stand_in_does_not_go_past_it(call):
    """A frame of a signal handler, or of `__del__`, inside its `write` is redacted too."""
    code = f"""
import signal

class Emits:
    def __del__(self):
        Kestra.outputs({{"a": "s3cret"}})

class Redactor:
    def __init__(self, stream):
        self.stream, self.is_busy = stream, False
    def write(self, text):
        if not self.is_busy:
            self.is_busy = True
            if {"outputs" in call}:
                os.kill(os.getpid(), signal.SIGUSR1)
            else:
                Emits()
        return self.stream.write(text.replace("s3cret", "***"))
    def flush(self):
        self.stream.flush()

def handler(*_):
    {call}

signal.signal(signal.SIGUSR1, handler)
sys.stdout = Redactor(sys.stdout)
print("text")
"""
    assert kept(run(code)).outputs == {"a": "***"}


def test_a_stream_that_logs_later():
    """What is logged by a queue comes back once, and no more."""
    code = """
import collections, logging
from kestra import KestraHandler
lines = collections.deque()

class ToLog:
    def write(self, text):
        if text.strip():
            lines.append(logging.makeLogRecord({"msg": text.strip(), "levelno": logging.INFO}))
    def flush(self):
        pass

sys.stdout = ToLog()
print("hello")
Kestra.outputs({"a": 1})
handler = KestraHandler()
while lines:
    handler.handle(lines.popleft())
"""
    messages = kept(run(code))
    assert logs(messages) == [("INFO", "hello")]
    assert messages.outputs == {"a": 1}


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_stream_that_logs_by_a_queue(stream):
    """The last lines before a queue is stopped are entries too."""
    code = f"""
import logging.handlers, queue
from kestra import KestraHandler
lines = queue.SimpleQueue()
logger = logging.Logger("lines")
logger.addHandler(logging.handlers.QueueHandler(lines))
listener = logging.handlers.QueueListener(lines, KestraHandler(sys.{stream}))

class ToLog:
    def write(self, text):
        if text.strip():
            logger.info(text.strip())
    def flush(self):
        pass

sys.{stream} = ToLog()
print("hello", file=sys.{stream})
Kestra.outputs({{"a": 1}})
listener.start()
listener.stop()
"""
    messages = kept(run(code))
    assert logs(messages) == [("INFO", "hello")]
    assert messages.outputs == {"a": 1}


@pytest.mark.parametrize("form", ["%s", "said %s", "said %r", "%.60s"])
def test_a_stream_that_logs_in_another_thread(form):
    """However the text is changed on its way, and however many lines wait: each is one entry."""
    code = f"""
import queue, threading

lines = queue.Queue()
logger = Kestra.logger()

class Logs:
    def write(self, text):
        if text.strip():
            lines.put(text.strip())

    def flush(self):
        pass

def log():
    while (text := lines.get()) != "end":
        logger.info({form!r}, text)

sys.stdout = Logs()
for n in range(1_200):
    print(f"h\u00e9llo {{n}}")
thread = threading.Thread(target=log)
thread.start()
lines.put("end")
thread.join()
lines.put("end")  # for what has come back
log()
"""
    messages = kept(run(code))
    assert len(messages.logs) == 1_200
    if "%s" in form:
        assert messages.logs[-1].message.endswith(" h\u00e9llo 1199")


TEES_THAT_LOG = {
    "before": "log.debug(text.strip())\n        return self.stream.write(text)",
    "after": "self.stream.write(text)\n        log.debug('copy: %s', text.strip())",
    "masked": "self.stream.write(text.replace('s3cret', '*'))\n        log.debug(text.strip())",
    "twice": "log.debug(text.strip())\n        self.stream.write(text)\n        log.debug(text)",
    "by print": "log.debug(text.strip())\n        print(text.rstrip(), file=self.stream)",
    "in another thread": (
        "thread = threading.Thread(target=log.debug, args=(text.strip(),))\n"
        "        thread.start()\n        thread.join()\n        return self.stream.write(text)"
    ),
    "in two threads": (
        "thread = threading.Thread(target=log.debug, args=(text.strip(),))\n"
        "        thread.start()\n        thread.join()\n        log.debug(text.strip())"
    ),
}


@pytest.mark.parametrize("write", TEES_THAT_LOG)
def test_a_tee_that_logs_as_well(write):
    """A frame that a stand-in both writes and logs arrives once: an engine would add it up."""
    code = f"""
import threading
log = Kestra.logger()

class Tee:
    def __init__(self, stream):
        self.stream = stream
    def write(self, text):
        {TEES_THAT_LOG[write]}
    def flush(self):
        self.stream.flush()

sys.stdout = Tee(sys.stdout)
for _ in range(3):
    Kestra.counter("rows", 2, {{"table": "s3cret"}})
log.info("mine")
"""
    messages = kept(run(code))
    assert [metric.value for metric in messages.metrics] == [6]
    assert [entry.level for entry in messages.logs].count("INFO") == 1


@pytest.mark.parametrize("mark", ["", "copy: "])
def test_a_tee_that_logs_in_a_test(mark):
    """So it is where a test captures what is printed, and where the text written is no frame."""
    log = Kestra.logger()

    class Tee:
        stream: io.TextIOBase

        def write(self, text):
            log.debug("copy: %s", text.strip())
            return self.stream.write(mark + text)

    tee = Tee()
    with testing.capture() as messages:
        tee.stream, before = sys.stdout, sys.stdout
        sys.stdout = tee
        try:
            Kestra.counter("rows", 2)
        finally:
            sys.stdout = before
        assert len(messages.rejected) == bool(mark)
    assert messages.metrics["rows"] == 2


def test_frames_that_two_threads_forget_at_once(monkeypatch):
    """Of more than are remembered, each thread drops the oldest; neither minds the other."""

    class Shared(dict):
        def __iter__(self):
            oldest = [*super().__iter__()][:1]
            self.pop(*oldest)  # as the other thread does
            return iter(oldest)

    monkeypatch.setattr(stand_ins, "_handed", Shared())
    monkeypatch.setattr(stand_ins, "_MOST_HANDED", 2)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    for number in range(9):
        Kestra.outputs({"a": number})
    assert sys.stdout.getvalue().count('::{"outputs"') == 9


def test_text_with_a_frame_that_was_never_sent():
    """What a script prints about a frame is an entry, and not that frame."""
    code = f"""{TO_LOG["logger"]}
sys.stdout = ToLog()
print("not sent: " + Kestra.format({{"outputs": {{"a": 1}}}}))
"""
    messages = kept(run(code))
    assert messages.outputs == {}
    (entry,) = messages.logs
    assert "not sent: ::" in entry.message


def test_an_entry_that_names_the_frame_of_an_entry():
    """One that the script has made itself has not come back: it goes the same way."""
    code = f"""
{STAND_INS["redactor"]}
sys.stdout = StandIn(sys.stdout)
frame = Kestra.format({{"logs": [{{"level": "INFO", "message": "s3cret"}}]}})
Kestra.logger().info("not sent: %s", frame)
Kestra.outputs({{"text": frame + frame}})
"""
    messages = kept(run(code))
    assert "s3cret" not in messages.outputs["text"]
    (entry,) = messages.logs
    assert " - not sent: " in entry.message
    assert "s3cret" not in entry.message


def test_an_entry_that_names_a_frame(tmp_path):
    """It is an entry, and goes where others go: through a class that masks secrets."""
    code = f"""
{STAND_INS["redactor"]}
sys.stdout = StandIn(sys.stdout)
message = {{"outputs": {{"password": "s3cret"}}}}
Kestra.send(message)
Kestra.logger().info("sent: %s", Kestra.format(message))
"""
    messages = kept(run(code))
    assert messages.outputs == {"password": "***"}
    (entry,) = messages.logs
    assert "***" in entry.message
    assert "s3cret" not in entry.message


def test_standard_error_that_logs_what_it_is_given():
    """So is each line of standard error, whose entries go there."""
    code = TO_LOG["logger"].replace("info", "error")
    messages = kept(run(code + 'sys.stderr = ToLog()\nprint("hello", file=sys.stderr)'))
    assert logs(messages) == [("ERROR", "hello")]


def test_text_that_looks_like_a_frame_stays_text():
    """A log entry whose message is a frame says so, where no stream has logged that frame."""
    messages = kept(run(f"Kestra.logger().info({FRAME!r})"))
    assert messages.outputs == {}
    assert logs(messages) == [("INFO", FRAME)]


# A `write` that was replaced.

REDACT = """
import sys
write = sys.stdout.write
sys.stdout.write = lambda text: write(text.replace("s3cret", "***"))
"""


@UNBUFFERED
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_replaced_write(when, options, tmp_path):
    """Whatever replaces `sys.stdout.write` gets every frame, in one call, on a line of its own."""
    path = tmp_path / "script.py"
    parts = [REDACT, "from kestra import Kestra\n"]
    path.write_text(
        "".join(parts if when == "before" else reversed(parts))
        + """
Kestra.outputs({"a": "s3cret"})
Kestra.logger().info("s3cret")
print("s3cret open", end="")
Kestra.outputs({"b": "s3cret"})
Kestra.outputs({"long": "s3cret" * 2_000})
print("s3cret")
"""
    )
    messages = kept(run(path, options=options))
    assert messages.outputs == {"a": "***", "b": "***", "long": "***" * 2_000}
    assert logs(messages) == [("INFO", "***"), ("INFO", "*** open"), ("INFO", "***")]


def test_a_replaced_write_of_the_buffer():
    """So does what replaces the `write` of the buffer below."""
    code = """
write = sys.stdout.buffer.write
sys.stdout.buffer.write = lambda data: write(bytes(data).replace(b"s3cret", b"***"))
Kestra.outputs({"a": "s3cret"})
"""
    assert kept(run(code)).outputs == {"a": "***"}


def test_a_mocked_write():
    """`mock.patch("sys.stdout.write")` sees the calls of a `print`, and the next frame arrives."""
    code = """
from unittest import mock
with mock.patch("sys.stdout.write") as write:
    Kestra.outputs({"a": 1})
    Kestra.counter("n", 1)
texts = [call.args[0] for call in write.call_args_list]
Kestra.outputs({"texts": texts})
"""
    assert kept(run(code)).outputs["texts"] == [
        FRAME,
        "\n",
        '::{"metrics": [{"name": "n", "type": "counter", "value": 1, "tags": {}}]}::',
        "\n",
    ]


def test_a_write_that_is_mocked_in_a_test(capsys):
    """So it does below pytest, and so does a mock of the stream; of an entry, `logging`'s."""
    with mock.patch("sys.stdout.write") as write:
        Kestra.outputs({"a": 1})
    assert write.mock_calls == [mock.call(FRAME), mock.call("\n")]
    with mock.patch("sys.stdout") as stream:
        Kestra.outputs({"a": 1})
        Kestra.logger().info("text")
    *calls, entry, flush = stream.mock_calls
    assert calls == [mock.call.write(FRAME), mock.call.write("\n")]
    assert entry.args[0].endswith(' - text"}]}::\n')
    assert flush == mock.call.flush()
    Kestra.outputs({"a": 1})
    assert capsys.readouterr().out == f"{FRAME}\n"


def test_a_write_that_was_put_back():
    """After `del sys.stdout.write` frames are on lines of their own as before."""
    code = """
sys.stdout.write = lambda text: None
Kestra.outputs({"lost": 1})
del sys.stdout.write
print("open", end="")
Kestra.outputs({"a": 1})
print("open", end="")
Kestra.outputs({"b": 1})
"""
    assert kept(run(code)).outputs == {"a": 1, "b": 1}


# Classes in the place of a stream.

STAND_INS = {
    "redactor": """
class StandIn:
    def __init__(self, stream):
        self.stream = stream
    def write(self, text):
        return self.stream.write(text.replace("s3cret", "***"))
    def flush(self):
        self.stream.flush()
""",
    "tee with a lock": """
import threading
class StandIn:
    def __init__(self, stream):
        self.stream, self.lock, self.copy = stream, threading.Lock(), []
    def write(self, text):
        with self.lock:
            text = text.replace("s3cret", "***")
            self.copy.append(text)
            return self.stream.write(text)
    def flush(self):
        with self.lock:
            self.stream.flush()
""",
    "unbuffered": """
class StandIn:
    def __init__(self, stream):
        self.stream = stream
    def write(self, text):
        self.stream.write(text.replace("s3cret", "***"))
        self.stream.flush()
    def __getattr__(self, name):
        return getattr(self.stream, name)
""",
    "past the text layer": """
class StandIn:
    def __init__(self, stream):
        self.stream = stream
    def write(self, text):
        self.stream.flush()
        self.stream.buffer.write(text.replace("s3cret", "***").encode())
        self.stream.buffer.flush()
    def flush(self):
        self.stream.flush()
""",
}


@pytest.mark.parametrize("stand_in", STAND_INS)
def test_a_stand_in_gets_every_frame(stand_in):
    """What redacts, copies or flushes gets each frame, and so does its reader."""
    code = f"""
{STAND_INS[stand_in]}
print("open", end="")
sys.stdout = StandIn(sys.stdout)
Kestra.outputs({{"a": "s3cret"}})
Kestra.logger().info("s3cret")
print("text")
Kestra.outputs({{"long": "s3cret" * 2_000}})
"""
    messages = kept(run(code))
    assert messages.outputs == {"a": "***", "long": "***" * 2_000}
    entries = [entry for entry in logs(messages) if entry[1]]  # a blank line is no harm
    assert entries == [("INFO", "open"), ("INFO", "***"), ("INFO", "text")]


@pytest.mark.parametrize("stand_in", ["redactor", "tee with a lock", "unbuffered"])
def test_threads_through_a_stand_in(stand_in):
    """Threads that print lines and parts of lines through it break no frame."""
    code = f"""
from threading import Thread
{STAND_INS[stand_in]}
sys.stdout = StandIn(sys.stdout)

def emit(worker):
    for n in range(200):
        print("text", n)
        print("a part, ", end="")
        Kestra.outputs({{f"{{worker}} {{n}}": n}})

threads = [Thread(target=emit, args=(worker,)) for worker in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
    assert len(kept(run(code)).outputs) == 800


RESHAPERS = {
    "rich": """
from rich.console import Console
from rich.live import Live
live = Live("live", console=Console(force_terminal=True))
live.start()
""",
    "tqdm": """
class DummyTqdmFile:
    def __init__(self, file):
        self.file = file
    def write(self, text):
        if text.strip():
            print("|" + text + "|", file=self.file)
    def flush(self):
        self.file.flush()
sys.stdout = DummyTqdmFile(sys.stdout)
""",
    "alive-progress": """
import types
module = types.ModuleType("alive_progress.core.hook_manager")
exec('''
class BaseHook:
    def __init__(self, stream):
        self._stream = stream
    def __getattr__(self, name):
        return getattr(self._stream, name)
class Hook(BaseHook):
    def write(self, part):
        self._stream.write("on 1: " * (part != "\\\\n") + part)
    def flush(self):
        self._stream.flush()
''', vars(module))
sys.stdout = module.Hook(sys.stdout)
""",
    "colorama": """
import types
module = types.ModuleType("colorama.ansitowin32")
exec('''
class StreamWrapper:
    def __init__(self, wrapped):
        self.__wrapped = wrapped
    def write(self, text):
        self.__wrapped.write(text + "reset")
    def flush(self):
        self.__wrapped.flush()
''', vars(module))
sys.stdout = module.StreamWrapper(sys.stdout)
""",
}


@pytest.mark.parametrize("reshaper", RESHAPERS)
def test_what_reshapes_text_is_passed_by(reshaper):
    """Frames go below what is known to wrap, prefix or split text."""
    code = f"""
{RESHAPERS[reshaper]}
for n in range(5):
    Kestra.outputs({{f"{{n}} {{'x' * 99}}": n}})
    print("text")
"""
    if reshaper == "rich":
        pytest.importorskip("rich")
    assert len(kept(run(code)).outputs) == 5


def test_a_redactor_below_what_reshapes_text():
    """What is below those gets the frames."""
    code = f"""
{STAND_INS["redactor"]}
sys.stdout = StandIn(sys.stdout)
{RESHAPERS["tqdm"]}
Kestra.outputs({{"a": "s3cret"}})
"""
    assert kept(run(code)).outputs == {"a": "***"}


def test_an_open_line_in_memory(capsys, monkeypatch):
    """A frame is on a line of its own where text is kept in memory, too."""
    print("open", end="")
    Kestra.outputs({"a": 1})
    assert capsys.readouterr().out == f"open\n{FRAME}\n"
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    print("open", end="")
    Kestra.outputs({"a": 1})
    assert sys.stdout.getvalue() == f"open\n{FRAME}\n"


def test_an_open_line_of_somebody_else(capfd, monkeypatch):
    """Where text is kept in a file, the line is that file's: not that of pytest's own dots."""
    Kestra.outputs({"first": 1})
    monkeypatch.setattr(sink.stdout.real, "line_is_open", True)
    capfd.readouterr()
    Kestra.outputs({"a": 1})
    print("open", end="")
    Kestra.outputs({"a": 1})
    assert capfd.readouterr().out == f"{FRAME}\nopen\n{FRAME}\n"


def test_an_open_line_in_a_wrapper_of_standard_output():
    """What a wrapper that a script has made still holds is written before the line of a frame."""
    code = """
import io

class Raw(io.RawIOBase):
    def writable(self):
        return True
    def write(self, data):
        return sys.__stdout__.write(bytes(data).decode())

sys.stdout = io.TextIOWrapper(io.BufferedWriter(Raw()), line_buffering=True)
print("loading", end="")
Kestra.counter("rows", 2)
"""
    messages = kept(run(code))
    assert messages.metrics["rows"] == 2
    assert [entry.message for entry in messages.logs] == ["loading"]


def test_a_new_file_has_no_open_line(tmp_path):
    """The first frame in each file is its first line."""
    code = """
for name in sys.argv[1:]:
    with open(name, "w") as sys.stdout:
        Kestra.outputs({"a": 1})
"""
    paths = [tmp_path / "one", tmp_path / "two"]
    script = run(code, *paths)
    assert (script.stderr, script.returncode) == (b"", 0)
    assert [path.read_text() for path in paths] == [f"{FRAME}\n"] * 2


def test_text_of_another_thread_in_memory():
    """A frame looks for an open line without a move of the position, where others print."""
    code = """
import io, threading

class Slow(io.StringIO):
    def tell(self):
        position = super().tell()
        asked.set()
        printed.wait()
        return position

asked, printed = threading.Event(), threading.Event()

def other():
    asked.wait()
    print("of another thread")
    printed.set()

first, sys.stdout = sys.stdout, Slow()
threading.Thread(target=other).start()
print("text")
Kestra.outputs({"a": 1})
first.write(sys.stdout.getvalue())
first.flush()
"""
    assert said(run(code)) == ["text", "of another thread", FRAME]


def test_bytes_warnings_are_errors():
    """`python -bb` compares no text with bytes."""
    code = """
import contextlib, io

with contextlib.redirect_stdout(io.StringIO()) as text:
    Kestra.outputs({"a": 1})
print(text.getvalue(), end="")
"""
    assert said(run(code, options=("-bb",))) == [FRAME]


# No stream, and streams that no engine reads.


@pytest.mark.parametrize(
    "missing", ["sys.stdout = None", "sys.stdout = None; sys.__stdout__ = None"]
)
def test_no_standard_output_from_the_start(missing, tmp_path):
    """Log entries go to standard error; outputs and metrics raise `RuntimeError`."""
    path = tmp_path / "script.py"
    path.write_text(f"""
import sys
{missing}
from kestra import Kestra
Kestra.logger().info("x")
for call in (lambda: Kestra.outputs({{"a": 1}}), lambda: Kestra.counter("n", 1)):
    try:
        call()
    except RuntimeError as error:
        Kestra.logger().error(error)
""")
    reason = "sys.stdout is None: there is nowhere to send a frame to"
    assert logs(kept(run(path))) == [("INFO", "x"), ("ERROR", reason), ("ERROR", reason)]


def test_a_standard_output_that_comes_later(tmp_path):
    """What was printed to it before the first frame may have left a line open."""
    path = tmp_path / "script.py"
    path.write_text("""
import sys
stream, sys.stdout = sys.stdout, None
from kestra import Kestra
sys.stdout = stream
print("open", end="")
Kestra.outputs({"a": 1})
""")
    assert kept(run(path)).outputs == {"a": 1}


@pytest.mark.parametrize("call", ["counter", "timer"])
def test_types_of_metrics_that_no_engine_saw(call):
    """What went to memory takes no name of what goes to the engine, and the reverse."""
    code = f"""
import contextlib, io
Kestra.gauge("first", 1)
with contextlib.redirect_stdout(io.StringIO()):
    Kestra.{call}("load", 1)
    Kestra.{call}("first", 1)
Kestra.gauge("load", 1)
try:
    Kestra.{call}("load", 1)
except ValueError:
    Kestra.outputs({{"refused": True}})
"""
    messages = kept(run(code))
    assert messages.outputs == {"refused": True}
    assert [metric.type for metric in messages.metrics] == ["gauge", "gauge"]


def test_types_of_metrics_through_a_stand_in():
    """What goes through a stand-in reaches the engine: a second type is refused."""
    code = f"""
{STAND_INS["redactor"]}
Kestra.counter("load", 1)
sys.stdout = StandIn(sys.stdout)
try:
    Kestra.timer("load", 1)
except ValueError:
    Kestra.outputs({{"refused": True}})
"""
    assert kept(run(code)).outputs == {"refused": True}


@pytest.mark.parametrize("name", ["sys.stdout.write", "sys.stdout", "builtins.print"])
def test_types_of_metrics_that_a_mock_keeps(name, capsys):
    """They are of no metric that is sent."""
    with mock.patch(name):
        Kestra.counter(name, 1)
    Kestra.timer(name, 1)
    assert "timer" in capsys.readouterr().out


def test_types_of_metrics_between_tests(capsys):
    """One test sends a name as a counter …"""
    Kestra.counter("test", 1)
    assert "counter" in capsys.readouterr().out


def test_types_of_metrics_between_tests_too(capsys):
    """… and another one as a timer."""
    Kestra.timer("test", 1)
    assert "timer" in capsys.readouterr().out


# Encodings.


def test_text_that_the_encoding_lacks():
    """A text that cannot be encoded leaves no blank line, for nothing was written."""
    code = """
print("text")
try:
    print("\\u65e5")
except UnicodeEncodeError:
    pass
Kestra.outputs({"a": 1})
"""
    for options in ((), ("-u",)):
        script = run(code, options=options, PYTHONIOENCODING="cp1252")
        assert said(script) == ["text", FRAME]


def test_another_encoding_from_here_on():
    """A frame follows text in UTF-16, and what was printed before that, on a line of its own."""
    code = """
print("text")
sys.stdout.reconfigure(encoding="utf-16")
print("text")
Kestra.outputs({"a": 1})
sys.stdout.reconfigure(encoding="utf-8")
print("open", end="")
Kestra.outputs({"b": 1})
"""
    assert kept(run(code)).outputs == {"a": 1, "b": 1}


def test_types_of_metrics_between_tests_that_catch_descriptors(capfd):
    """One test that catches what is written to descriptors sends a name as a counter …"""
    Kestra.counter("test_of_descriptors", 1)
    assert "counter" in capfd.readouterr().out


def test_types_of_metrics_between_tests_that_catch_descriptors_too(capfd):
    """… and another one as a timer."""
    Kestra.timer("test_of_descriptors", 1)
    assert "timer" in capfd.readouterr().out
