import io
import logging
import logging.config
import os
import queue
import sys
import threading
from logging.handlers import QueueHandler, QueueListener
from pipes import run, run_unread

import pytest

from kestra import JsonFormatter, KestraHandler, testing
from kestra._task import logging as _logging
from kestra._task.logging import MAX_MESSAGE


@pytest.fixture
def logger():
    """A logger of no parent that passes every level, without handlers."""
    return logging.Logger("orders", level=1)  # noqa: LOG001  # known to nobody else


# --- levels and texts ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "level"),
    [
        (1, "TRACE"),
        (9, "TRACE"),
        (10, "DEBUG"),
        (19, "DEBUG"),
        (20, "INFO"),
        (29, "INFO"),
        (30, "WARN"),
        (39, "WARN"),
        (40, "ERROR"),
        (50, "ERROR"),
        (1000, "ERROR"),
    ],
)
def test_level(logger, entries, number, level):
    """A record has the level of the highest threshold that it reaches."""
    logger.addHandler(KestraHandler())
    logger.log(number, "message")
    assert entries() == [(level, "message")]


def test_least_level(logger, entries):
    """Records below the handler's level are not delivered."""
    logger.addHandler(KestraHandler(level="WARNING"))
    logger.info("no")
    logger.warning("yes")
    assert entries() == [("WARN", "yes")]


def test_message_of_several_lines(logger, entries):
    """A message with line breaks is one entry."""
    logger.addHandler(KestraHandler())
    logger.info("one\ntwo\r\nthree")
    assert entries() == [("INFO", "one\ntwo\r\nthree")]


def test_traceback(logger, entries):
    """A traceback is a part of its entry."""
    logger.addHandler(KestraHandler())
    try:
        float("x")
    except ValueError:
        logger.exception("failed")
    ((level, message),) = entries()
    assert level == "ERROR"
    assert message.startswith("failed\nTraceback (most recent call last):\n")
    assert message.endswith("\nValueError: could not convert string to float: 'x'")


def test_text_of_a_formatter(logger, entries):
    """The text of an entry is what the formatter makes of the record."""
    handler = KestraHandler()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.warning("message")
    assert entries() == [("WARN", "orders: message")]


def test_fields_of_a_formatter(logger, entries):
    """With a `JsonFormatter` of a format, the fields of `extra` and the logger's name are there."""
    handler = KestraHandler()
    handler.setFormatter(JsonFormatter("%(message)s %(name)s"))
    logger.addHandler(handler)
    logger.info("read", extra={"rows": 3, "café": "☕"})
    assert entries() == [("INFO", '{"message": "read", "name": "orders", "rows": 3, "café": "☕"}')]


# --- streams ---------------------------------------------------------------------------------


def test_all_levels_go_to_stdout(logger, capsys):
    """By default nothing goes to stderr, and the order of the records is kept."""
    logger.addHandler(KestraHandler())
    for level in (20, 40, 10, 30):
        logger.log(level, "message")
    captured = capsys.readouterr()
    assert captured.err == ""
    levels = [entry.level for entry in testing.parse(captured.out).logs]
    assert levels == ["INFO", "ERROR", "DEBUG", "WARN"]


@pytest.mark.parametrize("stream", [None, "stdout"])
def test_split(logger, capsys, stream):
    """Split, records from WARNING on go to stderr."""
    logger.addHandler(KestraHandler(stream and getattr(sys, stream), split=True))
    for level in (10, 20, 30, 40):
        logger.log(level, "message")
    captured = capsys.readouterr()
    assert [entry.level for entry in testing.parse(captured.out).logs] == ["DEBUG", "INFO"]
    assert [entry.level for entry in testing.parse(captured.err).logs] == ["WARN", "ERROR"]


def test_stream_stderr(logger, capsys):
    """Given `sys.stderr`, all levels go there."""
    logger.addHandler(KestraHandler(sys.stderr))
    logger.info("message")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [entry.level for entry in testing.parse(captured.err).logs] == ["INFO"]


def test_a_standard_stream_is_looked_up_late(logger, monkeypatch):
    """A standard stream is the one that has this name when a record is emitted."""
    logger.addHandler(KestraHandler(sys.stdout))
    replaced = io.StringIO()
    monkeypatch.setattr(sys, "stdout", replaced)
    logger.info("message")
    assert testing.parse(replaced.getvalue()).logs[0].message == "message"


def test_another_stream(logger, capsys):
    """Any other stream gets the frames, one a line, and nothing is printed."""
    stream = io.StringIO()
    logger.addHandler(KestraHandler(stream))
    logger.info("one")
    logger.error("two")
    assert stream.getvalue().splitlines() == [
        '::{"logs": [{"level": "INFO", "message": "one"}]}::',
        '::{"logs": [{"level": "ERROR", "message": "two"}]}::',
    ]
    assert capsys.readouterr() == ("", "")


def test_split_of_another_stream():
    """To split any other stream is refused: there is no second one."""
    with pytest.raises(ValueError, match="leave stream out"):
        KestraHandler(io.StringIO(), split=True)


def test_threads_that_share_a_stream(logger, tmp_path):
    """Records of many threads are whole lines of a stream of one's own."""
    with (tmp_path / "frames").open("w") as stream:
        logger.addHandler(KestraHandler(stream))
        threads = [
            threading.Thread(target=lambda: [logger.info("x" * 500) for _ in range(500)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    messages = testing.parse((tmp_path / "frames").read_bytes())
    assert [entry.message for entry in messages.logs] == ["x" * 500] * 2_000


# --- once ------------------------------------------------------------------------------------


def test_handlers_of_two_loggers(logger, entries):
    """A record that a handler further down has delivered is not delivered again."""
    child = logging.Logger("orders.read")  # noqa: LOG001  # as above
    child.parent = logger
    logger.addHandler(KestraHandler())
    child.addHandler(KestraHandler())
    child.warning("message")
    assert entries() == [("WARN", "message")]


def test_a_stream_of_ones_own_is_another_place(logger, entries):
    """A handler with a stream of its own gets what was delivered already."""
    stream = io.StringIO()
    logger.addHandler(KestraHandler())
    logger.addHandler(KestraHandler(stream))
    logger.info("message")
    assert len(testing.parse(stream.getvalue()).logs) == len(entries()) == 1


def test_queue(logger, entries):
    """A listener delivers what a queue handler has passed on, with the level of the record."""
    records = queue.SimpleQueue()
    logger.addHandler(QueueHandler(records))
    listener = QueueListener(records, KestraHandler())
    listener.start()
    logger.info("info")
    logger.error("error")
    listener.stop()
    assert entries() == [("INFO", "info"), ("ERROR", "error")]


def test_queue_of_what_was_delivered(logger, entries):
    """A record that was delivered before it went through a queue is not delivered again."""
    records = queue.SimpleQueue()
    logger.addHandler(KestraHandler())
    logger.addHandler(QueueHandler(records))
    logger.info("message")
    listener = QueueListener(records, KestraHandler())
    listener.start()
    listener.stop()
    assert entries() == [("INFO", "message")]


def test_a_record_when_the_interpreter_has_taken_the_module_apart(logger, capsys, monkeypatch):
    """What a `__del__` logs as the very last thing may fail, and then does so without a word."""
    stream = io.StringIO()
    stream.close()
    logger.addHandler(KestraHandler(stream))
    logger.info("in time")
    assert "I/O operation on closed file" in capsys.readouterr().err
    monkeypatch.setattr(_logging, "_MESSAGE", None)
    logger.info("too late")
    assert capsys.readouterr() == ("", "")


# --- configuration ---------------------------------------------------------------------------


@pytest.fixture
def root():
    """The root logger, with what it has now put back afterwards."""
    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("key", ["class", "()"])
def test_dict_config(root, capsys, key):
    """`dictConfig` makes a handler of either form, with its stream, level and formatter."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"fields": {"class": "kestra.JsonFormatter", "format": "%(message)s"}},
            "handlers": {
                "kestra": {
                    key: "kestra.KestraHandler",
                    "stream": "ext://sys.stderr",
                    "level": "INFO",
                    "formatter": "fields",
                }
            },
            "root": {"handlers": ["kestra"], "level": "DEBUG"},
        }
    )
    root.debug("no")
    root.info("yes", extra={"rows": 3})
    (entry,) = testing.parse("", stderr=capsys.readouterr().err).logs
    assert (entry.level, entry.message) == ("INFO", '{"message": "yes", "rows": 3}')


@pytest.mark.skipif(sys.version_info < (3, 12), reason="dictConfig has known queues since 3.12")
def test_dict_config_of_a_queue(root, entries):
    """`dictConfig` puts the handler behind a queue."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {
                "kestra": {"class": "kestra.KestraHandler"},
                "queue": {"class": "logging.handlers.QueueHandler", "handlers": ["kestra"]},
            },
            "root": {"handlers": ["queue"], "level": "INFO"},
        }
    )
    listener = logging.getHandlerByName("queue").listener
    listener.start()
    root.warning("message")
    listener.stop()
    assert entries() == [("WARN", "message")]


@pytest.mark.parametrize(
    ("formatter", "text"),
    [
        ("", "message"),
        ("formatter = plain", "Z - message"),
        ("formatter = fields", '{"message": "message", "name": "root"}'),
    ],
)
def test_file_config(root, entries, formatter, text):
    """`fileConfig` makes the handler, and the formatter with or without a format."""
    configuration = f"""
[loggers]
keys = root
[handlers]
keys = kestra
[formatters]
keys = plain, fields
[logger_root]
handlers = kestra
level = INFO
[handler_kestra]
class = kestra.KestraHandler
kwargs = {{"split": True}}
{formatter}
[formatter_plain]
class = kestra.JsonFormatter
[formatter_fields]
class = kestra.JsonFormatter
format = %(message)s %(name)s
"""
    logging.config.fileConfig(io.StringIO(configuration), disable_existing_loggers=False)
    root.warning("message")
    ((level, message),) = entries()
    assert level == "WARN"
    assert message.endswith(text)


# --- whatever a record holds -----------------------------------------------------------------


class Unshowable(Exception):
    def __str__(self):
        raise self

    __repr__ = __str__


class EndlessRepr:
    def __repr__(self):
        return repr(self)


class UnshowableText(str):
    __slots__ = ()

    def __str__(self):
        raise Unshowable

    __repr__ = __str__


@pytest.mark.parametrize(
    ("message", "arguments", "said"),
    [
        ("%d rows", ("x",), "TypeError: %d format: a "),
        ("rows", (1,), "TypeError: not all arguments converted during string formatting): 'rows'"),
        ("%(rows)d", ({"x": 1},), "KeyError: 'rows'"),
        ("%s", (Unshowable(),), "Unshowable): '%s'"),
        (Unshowable(), (), "Unshowable):"),
        ("%r", (EndlessRepr(),), "RecursionError: maximum recursion depth exceeded"),
        (UnshowableText("x"), (), "Unshowable):"),
    ],
)
def test_a_record_that_cannot_be_formatted(logger, entries, message, arguments, said):
    """The entry, at the record's level, says which logger and line it comes from, and why."""
    for formatter in (None, JsonFormatter(), JsonFormatter("%(message)s")):
        handler = KestraHandler()
        handler.setFormatter(formatter)
        logger.handlers = [handler]
        logger.warning(message, *arguments)
        ((level, text),) = entries()
        assert level == "WARN"
        assert text.startswith(f"A record of the logger 'orders' cannot be formatted ({__file__}:")
        assert said in text


def test_the_traceback_of_a_record_that_cannot_be_formatted(logger, entries):
    """A mistake in the arguments does not cost the traceback."""
    logger.addHandler(KestraHandler())
    try:
        float("x")
    except ValueError:
        logger.exception("%d rows", "x")
    ((_, text),) = entries()
    assert text.endswith("\nValueError: could not convert string to float: 'x'")


@pytest.mark.parametrize(
    ("error", "shown"), [(ValueError("why"), "ValueError: why"), (Unshowable(), "Unshowable")]
)
def test_a_traceback_that_cannot_be_formatted(logger, entries, monkeypatch, error, shown):
    """Where `traceback` cannot import what it needs, files and line numbers still arrive."""

    def fail(*_):
        raise ImportError("sys.meta_path is None, Python is likely shutting down")

    try:
        raise error
    except type(error):
        exc_info = sys.exc_info()
    monkeypatch.setattr("linecache.checkcache", fail)
    logger.addHandler(KestraHandler())
    logger.error("message", exc_info=exc_info)
    monkeypatch.undo()
    ((_, text),) = entries()
    message, begin, line, end = text.split("\n")
    assert (message, begin, end) == ("message", "Traceback (most recent call last):", shown)
    assert line.startswith(f'  File "{__file__}", line ')
    assert line.endswith(", in test_a_traceback_that_cannot_be_formatted")


@pytest.mark.parametrize("result", [None, b"bytes"])
def test_a_formatter_that_makes_no_text(logger, entries, result):
    """What a formatter returns instead of text is an entry that says so."""
    handler = KestraHandler()
    handler.setFormatter(logging.Formatter())
    handler.formatter.format = lambda record: result
    logger.addHandler(handler)
    logger.info("message")
    ((_, text),) = entries()
    assert "TypeError" in text


@pytest.mark.parametrize("extra", [{(1, 2): 3}, "circle"])
def test_fields_that_json_cannot_hold(logger, entries, extra):
    """A field that cannot be written costs the other fields, not the message."""
    if extra == "circle":
        extra = {}
        extra["self"] = extra
    handler = KestraHandler()
    handler.setFormatter(JsonFormatter("%(message)s"))
    logger.addHandler(handler)
    logger.info("message", extra={"field": extra})
    ((_, text),) = entries()
    assert text.endswith(": 'message'")


def test_lone_surrogates(logger, entries):
    """A lone surrogate, which takes the engine down, arrives as U+FFFD."""
    logger.addHandler(KestraHandler())
    logger.info("a\ud800b%s", "\udfff")
    assert entries() == [("INFO", "a\ufffdb\ufffd")]


@pytest.mark.parametrize("character", ["x", "\U0001f600"])
def test_a_message_too_long(logger, entries, character):
    """Of 6,000,000 characters the beginning and the end arrive, and how many there were."""
    logger.addHandler(KestraHandler())
    logger.error("begin %s", character * 6_000_000, exc_info=ValueError("why"))
    ((_, message),) = entries()
    assert len(message) < MAX_MESSAGE + 100
    assert message.startswith(f"begin {character}")
    assert f"{character}\n… (cut: 6,000," in message
    assert message.endswith("\nValueError: why")


def test_an_object_that_logs_when_it_is_shown(logger, entries):
    """A record that is logged while another is formatted arrives before that."""

    class Loud:
        def __str__(self):
            logger.info("inner")
            return "text"

    logger.addHandler(KestraHandler())
    logger.info("outer %s", Loud())
    assert entries() == [("INFO", "inner"), ("INFO", "outer text")]


def test_a_record_without_level(capsys):
    """What is not even a record is reported as `logging` does, and not raised."""
    KestraHandler().handle(logging.makeLogRecord({"msg": "message"}))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("--- Logging error ---\n")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="filters replace records since 3.12")
def test_a_filter_that_replaces_the_record(logger, entries):
    """A record that a filter has made in place of another is what is delivered."""
    handler = KestraHandler()
    handler.addFilter(
        lambda record: logging.makeLogRecord({**record.__dict__, "msg": "hidden", "args": ()})
    )
    logger.addHandler(handler)
    logger.info("secret")
    assert entries() == [("INFO", "hidden")]


def test_a_filter(logger, entries):
    """A record that a filter of the handler holds back is not delivered."""
    handler = KestraHandler()
    handler.addFilter(lambda record: record.levelno > logging.INFO)
    logger.addHandler(handler)
    logger.info("no")
    logger.error("yes")
    assert entries() == [("ERROR", "yes")]


# --- streams that fail -----------------------------------------------------------------------


@pytest.mark.parametrize("gone", ["sys.stdout.close()", "os.close(1)", "sys.stdout = None"])
def test_without_stdout(script, gone):
    """Where standard output is gone, entries arrive on standard error, each at its level."""
    ran = script(f"""
import logging, os, sys
from kestra import KestraHandler
logging.getLogger().addHandler(KestraHandler(split=True))
{gone}
logging.getLogger().setLevel(0)
logging.info("info")
logging.warning("warning")
""")
    assert (ran.logs, ran.stdout) == ([("INFO", "info"), ("WARN", "warning")], "")


def test_without_stderr(script):
    """Where standard error is gone, what would go there arrives on standard output."""
    ran = script("""
import logging, sys
from kestra import Kestra
sys.stderr.close()
Kestra.logger().info("info")
Kestra.logger().error("error")
""")
    assert [level for level, _ in ran.logs] == ["INFO", "ERROR"]


@pytest.mark.parametrize("gone", ["it.close()", "setattr(sys, name, None)"])
def test_without_any_stream(script, gone):
    """With both streams gone, logging does nothing, and raises nothing."""
    ran = script(f"""
import logging, sys
from kestra import KestraHandler
logging.getLogger().addHandler(KestraHandler())
for name, it in (("stdout", sys.stdout), ("stderr", sys.stderr)):
    {gone}
logging.error("error")
logging.error("%d", "error")
sys.exit(3)
""")
    assert (ran.status, ran.stdout, ran.stderr) == (3, "", "")


class Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


def test_a_stream_that_fails(logger, capsys):
    """That a stream of one's own fails is reported as `logging` does, and not raised."""
    logger.addHandler(KestraHandler(Full()))
    logger.info("message")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "No space left on device" in captured.err


# --- threads, forks and the end --------------------------------------------------------------


def test_threads(script):
    """Records of many threads arrive whole, each once, whatever else they print."""
    ran = script("""
import logging, threading
from kestra import KestraHandler
logging.getLogger().addHandler(KestraHandler(split=True))
def work(thread):
    for number in range(200):
        print("text", end="")
        logging.error("%d %d %s", thread, number, "x" * 5_000)
        logging.warning("%d %d", thread, number)
threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
""")
    messages = [message for level, message in ran.logs if level != "INFO"]
    assert ran.status == 0
    assert len(messages) == len(set(messages)) == 8 * 2 * 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_fork(script):
    """A forked process and its parent deliver each record once."""
    ran = script("""
import logging, os
from kestra import Kestra, KestraHandler
logging.getLogger().addHandler(KestraHandler())
logging.warning("before")
child = os.fork()
name = "parent" if child else "child"
for number in range(100):
    logging.warning("%s %d", name, number)
if child:
    os.waitpid(child, 0)
else:
    os._exit(0)
""")
    numbers = range(100)
    assert sorted(message for _, message in ran.logs) == sorted(
        ["before", *[f"child {n}" for n in numbers], *[f"parent {n}" for n in numbers]]
    )


AT_THE_END = """
import atexit, builtins, logging, sys, weakref
from kestra import Kestra, KestraHandler
logging.getLogger().addHandler(KestraHandler())

class Logs:
    def __init__(self):
        self.warning = logging.getLogger().warning
        self.info = Kestra.logger().info

    def __del__(self):
        self.warning("from __del__")
        self.info("from __del__")
"""


@pytest.mark.parametrize(
    "place",
    [
        "kept = Logs()",
        "kept = Logs(); kept.kept = kept; del kept",
        "builtins.kept = Logs()",
    ],
)
def test_del_at_the_end(script, place):
    """What `__del__` logs while the interpreter ends is delivered."""
    ran = script(f"{AT_THE_END}\n{place}")
    assert [(level, message[-12:]) for level, message in ran.logs] == [
        ("WARN", "from __del__"),
        ("INFO", "from __del__"),
    ]
    assert (ran.status, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    "module", ["sys", "logging", "kestra._task.logging", "kestra._task.frames", "kestra._task.sink"]
)
def test_del_after_the_end(script, module):
    """When modules are taken apart already, what `__del__` logs is lost, without any noise."""
    ran = script(
        f"{AT_THE_END}\nimport kestra._task.frames\nsys.modules['{module}'].a_kept = Logs()"
    )
    assert (ran.status, ran.stderr) == (0, "")


def test_at_exit(script):
    """What runs at exit logs as ever."""
    ran = script(f"""{AT_THE_END}
atexit.register(logging.warning, "atexit")
weakref.finalize(sys, logging.warning, "finalize")
""")
    assert sorted(ran.logs) == [("WARN", "atexit"), ("WARN", "finalize")]


def test_daemon_threads_at_the_end(script):
    """Daemon threads that log while the interpreter ends do no harm to it, or to each other."""
    ran = script(f"""{AT_THE_END}
import threading
begun = threading.Event()
def work():
    while True:
        logging.warning("x" * 100)
        begun.set()
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
begun.wait(60)
""")
    assert (ran.status, ran.stderr) == (0, "")
    assert {message for _, message in ran.logs} == {"x" * 100}


# --- what the script has changed -----------------------------------------------------------


MASKS = "lambda self, record: before(self, record).replace('s3cret', '***')"
PATCHES = {
    "JsonFormatter.format": MASKS,
    "LogFormatter.format": MASKS,
    "logging.Formatter.format": MASKS,
    "LogFormatter.formatTime": "lambda self, record, datefmt=None: '*** at noon'",
    "JsonFormatter._formatter": "logging.Formatter('*** %(name)s')",
}


@pytest.mark.parametrize("patched", PATCHES)
def test_a_patched_formatter_is_asked(patched):
    """`Kestra.logger()` formats by its classes, where somebody masks secrets by a patch of them."""
    code = f"""
import logging
from kestra import JsonFormatter, LogFormatter

before = {patched}
{patched} = {PATCHES[patched]}
Kestra.logger().info("password s3cret")
Kestra.logger().error("password s3cret")
"""
    script = run(code)
    messages = testing.parse(script.stdout, stderr=script.stderr)
    assert [entry.level for entry in messages.logs] == ["INFO", "ERROR"]
    assert all("***" in entry.message for entry in messages.logs)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_signal_handler_that_takes_itself_off():
    """Its exception is the script's, though it is set no more when the handler is asked for."""
    code = """
import signal

def handler(number, frame):
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(number, lambda *_: None)
    os.write(2, b"!")
    raise TimeoutError("too late")

logger = Kestra.logger()
signal.signal(signal.SIGALRM, handler)
try:
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    while True:
        logger.info("x" * 10_000)
except TimeoutError as error:
    Kestra.outputs({"error": str(error)})
"""
    script = run_unread(code)
    assert (script.stderr, script.returncode) == (b"", 0)
    assert testing.parse(script.stdout).outputs == {"error": "too late"}
