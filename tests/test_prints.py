"""`Kestra.configure_logging(capture_prints=True)`: what a script prints, as log entries."""

import os
import sys

import pytest
from scripts import Script

from kestra import Kestra
from kestra._task import prints

START = """
import logging, sys
from kestra import Kestra
Kestra.configure_logging(capture_prints=True)
"""


@pytest.fixture
def entries(tmp_path):
    """The log frames of a script, and that nothing else was printed."""

    def entries_of(code, start=START):
        path = tmp_path / "script.py"
        path.write_text(start + code)
        script = Script(str(path))
        assert script.status == 0, script.stderr
        assert len(script.logs) == len(script.frames)
        return script.frames

    return entries_of


def test_lines_have_levels(entries):
    """Standard output is INFO, standard error WARN; lines that were printed in pieces are whole."""
    code = """
print("one")
print("two", "pieces", end="")
print("error", file=sys.stderr)
print(" and a third")
print("a\\nb\\n\\n  indented 100 %s")
sys.stdout.writelines(["x\\n", "y\\n"])
"""
    infos = ["two pieces and a third", "a", "b", "  indented 100 %s", "x", "y"]
    assert entries(code) == [
        ("INFO", "one"),
        ("WARN", "error"),
        *(("INFO", text) for text in infos),
    ]


def test_standard_error_as_told(entries):
    """`stderr_level` is for scripts whose tools report progress there."""
    start = START.replace("=True", "=True, stderr_level='info'")
    assert entries("print('x', file=sys.stderr)", start) == [("INFO", "x")]


def test_a_line_without_an_end_is_not_lost(entries):
    """At the exit it is an entry like any other; of a progress bar the last state is."""
    code = """
for done in range(3):
    sys.stderr.write(f"\\r{done} of 2")
print("the end", end="")
"""
    assert sorted(entries(code)) == [("INFO", "the end"), ("WARN", "2 of 2")]


def test_a_line_that_ends_as_on_windows(entries, tmp_path):
    """It is an entry without its end, and a frame that is printed by hand stays one."""
    code = """
print("crlf\\r\\nnext\\r")
print('::{"outputs": {"by_hand": 1}}::\\r')
"""
    assert entries(code) == [("INFO", "crlf"), ("INFO", "next")]
    script = Script(str(tmp_path / "script.py"))
    assert script.stdout.count('::{"outputs": {"by_hand": 1}}::') == 1


def test_text_that_no_python_code_prints(tmp_path):
    """The message of `sys.exit`, and what C code calls `print` with, are entries too."""
    path = tmp_path / "script.py"
    path.write_text(f"""{START}
import atexit, _thread
from threading import Event
done = Event()
class Done:
    def __str__(self):
        return "thread"
    def __del__(self):
        done.set()
atexit.register(print, "at exit")
_thread.start_new_thread(print, (Done(),))
assert done.wait(60)
sys.exit("fatal: no rows")
""")
    script = Script(str(path))
    assert (script.status, script.stderr) == (1, "")
    assert script.frames == [("INFO", "thread"), ("WARN", "fatal: no rows"), ("INFO", "at exit")]


def test_frames_and_records_are_what_they_were(entries, tmp_path):
    """Outputs go past, on lines of their own; `logging` and its levels are as without it."""
    code = """
print("rows: ", end="")
Kestra.outputs({"rows": 3})
print('::{"outputs": {"by_hand": 1}}::')
print('::{"outputs":', '{"in_pieces": 1}}::')
Kestra.logger().debug("detail")
logging.error("bad")
print(3)
"""
    assert sorted(entries(code)) == [
        ("DEBUG", "detail"),
        ("ERROR", "bad"),
        ("INFO", "3"),
        ("INFO", "rows: "),
    ]
    script = Script(str(tmp_path / "script.py"))
    assert script.stdout.count('::{"outputs"') == script.stdout.count("}}::\n") == 3


@pytest.mark.parametrize(
    "code",
    [
        "traceback.print_exc()",
        "print(traceback.format_exc())",
        "sys.stderr.write(traceback.format_exc())",
        "traceback.print_exception(*sys.exc_info())",
        "sys.stderr.writelines(traceback.format_exception(*sys.exc_info()))",
    ],
)
def test_a_traceback_is_one_entry(entries, code):
    """With the exceptions that it came of, and what is printed before and after it is not part."""
    script = f"""
import traceback
print("before", file=sys.stderr)
try:
    try:
        {{}}["key"]
    except KeyError:
        raise ValueError("two\\nlines")
except ValueError:
    {code}
print("after", file=sys.stderr)
"""
    before, (_, text), after = entries(script)
    assert before == ("WARN", "before")
    assert after == ("WARN", "after")
    assert text.count("Traceback (most recent call last):") == 2
    assert text.startswith("Traceback")
    assert text.endswith("ValueError: two\nlines")


def test_a_cause_without_a_traceback(entries):
    """Its line, which comes before the header, is part of the entry."""
    script = """
import traceback
try:
    raise ValueError from KeyError("key")
except ValueError:
    traceback.print_exc()
"""
    ((level, text),) = entries(script)
    assert level == "WARN"
    assert text.startswith("KeyError: 'key'\n\nThe above")


def test_handlers_that_print_do_not_feed_themselves(tmp_path):
    """What a handler prints goes to the stream as it is, once; nothing goes round in a circle."""
    path = tmp_path / "script.py"
    path.write_text(
        START
        + """
class H(logging.Handler):
    def emit(self, record):
        print("handler")
logging.getLogger().addHandler(H())
print("x")
"""
    )
    script = Script(str(path))
    assert script.status == 0
    assert sorted(script.logs) == [("INFO", "handler"), ("INFO", "x")]


LISTENER = """
from logging.handlers import QueueHandler, QueueListener
from queue import SimpleQueue
records = SimpleQueue()
listener = QueueListener(records, handler)
logging.getLogger().addHandler(QueueHandler(records))
listener.start()
print("x")
listener.stop()
"""


PRINTS = """
class H(logging.Handler):
    def emit(self, record):
        print("handler")
handler = H()
"""
# Here nothing of `logging` runs but the handler of this package.
FORMATS = """
from kestra import KestraHandler
class F(logging.Formatter):
    def format(self, record):
        print("formatter")
        return "again " + record.getMessage()
handler = KestraHandler()
handler.setFormatter(F())
logging.getLogger().handlers.clear()
"""


@pytest.mark.parametrize(
    ("handler", "logged"), [(PRINTS, ["handler", "x"]), (FORMATS, ["again x", "formatter"])]
)
def test_what_prints_behind_a_queue(handler, logged, tmp_path):
    """A handler, or a formatter, that prints in the thread of a listener does not go round."""
    path = tmp_path / "script.py"
    path.write_text(START + handler + LISTENER)
    assert sorted(Script(str(path)).logs) == [("INFO", message) for message in logged]


def test_filters_and_formatters_that_print(tmp_path):
    """So do they."""
    path = tmp_path / "script.py"
    path.write_text(
        START
        + """
def talk(record):
    print("filter")
    return True
logging.getLogger("print").addFilter(talk)
print("x")
"""
    )
    assert sorted(Script(str(path)).logs) == [("INFO", "filter"), ("INFO", "x")]


def test_without_handlers_nothing_is_lost(tmp_path):
    """`dictConfig` may take them away: lines are printed then."""
    path = tmp_path / "script.py"
    path.write_text(
        f"{START}\nimport logging.config\nlogging.config.dictConfig({{'version': 1}})\n"
        "logging.getLogger().handlers.clear()\nprint('x')\n"
    )
    assert Script(str(path)).logs == [("INFO", "x")]


def test_below_the_level_nothing_is_lost(tmp_path):
    """What is no record is an ordinary line: the level, or `logging.disable`, is about records."""
    path = tmp_path / "script.py"
    path.write_text("""
import logging, sys
from kestra import Kestra
Kestra.configure_logging("WARNING", capture_prints=True)
print("a result")
print("a note", file=sys.stderr)
logging.disable()
print("disabled", file=sys.stderr)
""")
    script = Script(str(path))
    assert script.stdout.splitlines() == [
        "a result",
        '::{"logs": [{"level": "WARN", "message": "a note"}]}::',
    ]
    assert script.stderr == "disabled\n"


def test_threads_do_not_mix_their_lines(entries):
    """Each has its own line at hand."""
    code = """
from threading import Thread
def say(name):
    for n in range(100):
        print(name, end="")
        print(":", n)
threads = [Thread(target=say, args=(name,)) for name in "abcd"]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    printed = entries(code)
    assert sorted(printed) == sorted(
        ("INFO", f"{name}: {n}") for name in "abcd" for n in range(100)
    )


def test_a_thread_that_ends_inside_a_line(entries):
    """A later one with the same number does not go on with it."""
    code = """
from threading import Thread
for text in ("first\\n", "open", "second\\n", "open"):
    thread = Thread(target=sys.stdout.write, args=(text,))
    thread.start()
    thread.join()
"""
    assert sorted(entries(code)) == [("INFO", t) for t in ("first", "open", "open", "second")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_open_lines_of_children(entries):
    """One of `multiprocessing` ends its own, and none by `fork` ends what its parent has begun."""
    code = """
import multiprocessing, os
context = multiprocessing.get_context("fork")
process = context.Process(target=sys.stdout.write, args=("child",))
process.start()
process.join()
print("par", end="")
if not os.fork():
    print("forked", end="")
    sys.exit()
os.wait()
print("ent")
atexit.register(print, "the end", end="")
"""
    texts = ["child", "forked", "parent", "the end"]
    assert entries(code, f"import atexit{START}") == [("INFO", text) for text in texts]


def test_a_line_that_is_open_when_the_task_is_killed(entries, tmp_path):
    """It is delivered before the end."""
    path = tmp_path / "script.py"
    path.write_text(
        f"{START}\nimport signal\nfrom kestra._task.kill import SIGNAL\n"
        "Kestra.on_kill(lambda: print('cleanup', end=''))\n"
        "print('open', end=' ')\nsignal.raise_signal(SIGNAL)\n"
    )
    script = Script(str(path))
    assert script.status in {-15, 0xC000013A}
    assert script.logs == [("INFO", "open cleanup")]


def test_where_a_line_was_printed(entries):
    """The record names the line of the `print`."""
    code = """
logging.getLogger().handlers[0].setFormatter(logging.Formatter("%(name)s %(funcName)s %(message)s"))
def here():
    print("x")
here()
"""
    assert entries(code) == [("INFO", "print here x")]


def test_restored(capsys):
    """`restore_logging` puts the streams back, and delivers what is left."""
    before = sys.stdout, sys.stderr
    Kestra.configure_logging(capture_prints=True)
    Kestra.configure_logging(capture_prints=True)  # changes nothing
    stream = sys.stdout
    assert stream.encoding == before[0].encoding
    print("open", end="")
    Kestra.restore_logging()
    assert (sys.stdout, sys.stderr) == before
    print("plain")
    print("kept by somebody", file=stream)
    assert capsys.readouterr().out.splitlines() == [
        '::{"logs": [{"level": "INFO", "message": "open"}]}::',
        "plain",
        "kept by somebody",
    ]


def test_what_is_left_before_the_end(capsys):
    """What ends the process has lines logged that never ended."""
    Kestra.configure_logging(capture_prints=True)
    print("open", end="")
    prints.finish()
    prints.finish()
    Kestra.restore_logging()
    prints.finish()
    assert capsys.readouterr().out == '::{"logs": [{"level": "INFO", "message": "open"}]}::\n'


def test_what_is_refused(capsys):
    """A level that is none, and bytes."""
    with pytest.raises(ValueError, match="stderr_level is not a valid level"):
        Kestra.configure_logging(capture_prints=True, stderr_level="loud")
    Kestra.configure_logging(capture_prints=True)
    with pytest.raises(TypeError, match="must be str, not bytes"):
        sys.stdout.write(b"x")
    Kestra.restore_logging()
