"""The formatters, and the logger of a task."""

import contextlib
import datetime as dt
import io
import json
import logging
import pickle
import re
import sys
import threading
from pipes import run

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kestra import JsonFormatter, Kestra, LogFormatter, testing

WHEN = 1_795_251_456.549_7  # 2026-11-21T08:57:36.549Z
TIME = "2026-11-21T08:57:36.549Z"


def record(message="text", *args, level=logging.INFO, created=WHEN, **attributes):
    made = logging.LogRecord("a.logger", level, "script.py", 7, message, args, None)
    made.created = created
    vars(made).update(attributes)
    return made


def entry(frame):
    """The one log entry of a frame."""
    messages = testing.parse(frame)
    assert not messages.rejected
    (only,) = messages.logs
    return only


@pytest.fixture
def logger(monkeypatch):
    """The logger of a task, made afresh."""
    monkeypatch.setattr(Kestra, "_logger", None)
    return Kestra.logger()


def test_loggers_that_another_thread_makes(monkeypatch):
    """While a task's logger is made, another thread makes none: it would be of the wrong class."""
    lock = vars(logging)["_lock"]
    is_free = []

    def attempt():
        is_free.append(lock.acquire(blocking=False))
        if is_free[-1]:
            lock.release()

    def set_class(kind, published=logging.setLoggerClass):
        published(kind)
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()

    monkeypatch.setattr(logging, "setLoggerClass", set_class)
    monkeypatch.setattr(Kestra, "_logger", None)
    assert Kestra.logger() is logging.getLogger("Kestra")
    assert is_free == [False, False]


# Formatters.


def test_log_formatter():
    """The time is in UTC, with milliseconds and `Z`, in any format."""
    formatter = LogFormatter("%(levelname)s at %(asctime)s: %(message)s", datefmt="not used")
    assert formatter.format(record("%s rows", 3)) == f"INFO at {TIME}: 3 rows"
    assert formatter.formatTime(record()) == formatter.formatTime(record(), "%Y") == TIME


@pytest.mark.parametrize("call", ["logger.info", "logger.error", "logging.getLogger().warning"])
def test_a_replaced_format(call):
    """What a script puts in the place of `Kestra.format`, to mask secrets, masks entries too."""
    code = f"""
import logging
Kestra.configure_logging()
logger = Kestra.logger()
published = Kestra.format
Kestra.format = staticmethod(lambda message: published(message).replace("s3cret", "***"))
{call}("password: %s", "s3cret")
"""
    script = run(code)
    (logged,) = testing.parse(script.stdout, stderr=script.stderr).logs
    assert logged.message.endswith("password: ***")


def test_a_replaced_format_of_a_formatter(monkeypatch):
    """So it does where a handler of the script has the formatter."""
    monkeypatch.setattr(Kestra, "format", lambda message: f"<{message['logs'][0]['level']}>")
    assert JsonFormatter().format(record()) == "<INFO>"


def test_json_formatter():
    """A record becomes a frame of one entry: level, time and message, in the published bytes."""
    frame = JsonFormatter().format(record("é %d", 3))
    message = f"{TIME} - é 3"
    assert frame == "::" + json.dumps({"logs": [{"level": "INFO", "message": message}]}) + "::"


@given(st.floats(0, 4e9) | st.integers(0, 4_000_000_000).map(lambda ms: ms / 1_000))
def test_milliseconds(created):
    """The milliseconds are those of `datetime`."""
    moment = dt.datetime.fromtimestamp(created, dt.timezone.utc)
    expected = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert LogFormatter().formatTime(record(created=created)) == expected
    assert entry(JsonFormatter().format(record(created=created))).message == f"{expected} - text"


LEVELS = {
    1: "TRACE",
    5: "TRACE",
    9: "TRACE",
    logging.DEBUG: "DEBUG",
    15: "DEBUG",
    logging.INFO: "INFO",
    25: "INFO",
    logging.WARNING: "WARN",
    35: "WARN",
    logging.ERROR: "ERROR",
    45: "ERROR",
    logging.CRITICAL: "ERROR",
    1_000: "ERROR",
}


@pytest.mark.parametrize(("number", "level"), LEVELS.items())
def test_levels(number, level):
    """A level is the highest of the engine's that it reaches."""
    assert entry(JsonFormatter().format(record(level=number))).level == level
    assert JsonFormatter._logger_level(number) == level


def failed():
    try:
        {}["key"]
    except LookupError:
        return sys.exc_info()


def test_tracebacks():
    """A traceback, and a stack, are in the entry, after the message."""
    first, *lines = entry(JsonFormatter().format(record(exc_info=failed()))).message.split("\n")
    assert first == f"{TIME} - text"
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "KeyError: 'key'"
    with_stack = entry(JsonFormatter().format(record(stack_info="Stack:\n  here"))).message
    assert with_stack == f"{TIME} - text\nStack:\n  here"
    formatted = entry(JsonFormatter().format(record(exc_text="Traceback: kept"))).message
    assert formatted == f"{TIME} - text\nTraceback: kept"


def test_a_formatter_of_ones_own():
    """A subclass says with `_formatter` what the text of an entry is."""

    class Short(JsonFormatter):
        _formatter = LogFormatter("%(name)s: %(message)s")

    assert entry(Short().format(record())).message == "a.logger: text"


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (("%(message)s %(name)s",), {"message": "text", "name": "a.logger"}),
        (("{levelname}{message}", None, "{"), {"levelname": "INFO", "message": "text"}),
        ((["message", "lineno"],), {"message": "text", "lineno": 7}),
    ],
)
def test_fields(arguments, fields):
    """With a format, the text is a JSON object of the fields it names, and those of `extra`."""
    frame = JsonFormatter(*arguments).format(record(rows=3, who="é"))
    assert json.loads(entry(frame).message) == {**fields, "rows": 3, "who": "é"}
    assert '"who": "é"' in entry(frame).message


def test_fields_by_keyword():
    """So it is with the arguments of python-json-logger that shape the object."""
    formatter = JsonFormatter(
        rename_fields={"rows": "count"}, static_fields={"app": "etl"}, timestamp="at"
    )
    fields = json.loads(entry(formatter.format(record(rows=3))).message)
    assert fields.pop("at").startswith(TIME[:-1])
    assert fields == {"message": "text", "count": 3, "app": "etl"}


def test_fields_with_a_traceback():
    """A traceback is a field of its own."""
    fields = json.loads(
        entry(JsonFormatter("%(message)s").format(record(exc_info=failed()))).message
    )
    assert fields["message"] == "text"
    assert fields["exc_info"].endswith("KeyError: 'key'")


def test_what_logging_config_passes_asks_for_no_fields():
    """`datefmt`, `style` and `validate` alone leave the text plain."""
    formatter = JsonFormatter(None, datefmt="%Y", style="%", validate=True)
    assert entry(formatter.format(record())).message == f"{TIME} - text"


# The logger of a task.


def test_streams(logger, capsys):
    """Records below WARNING go to standard output, the others to standard error."""
    for number in LEVELS:
        logger.log(number, "level %d", number)
    out, err = capsys.readouterr()
    for text, numbers in (
        (out, [it for it in LEVELS if it < logging.WARNING]),
        (err, [it for it in LEVELS if it >= logging.WARNING]),
    ):
        messages = testing.parse(text)
        assert not messages.rejected
        assert [entry.level for entry in messages.logs] == [LEVELS[it] for it in numbers]
        assert [entry.message.rpartition(" - ")[2] for entry in messages.logs] == [
            f"level {number}" for number in numbers
        ]
        assert all(
            re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z - ", entry.message)
            for entry in messages.logs
        )


def test_streams_are_looked_up_late(logger):
    """A stream that is replaced after the logger was made receives the records."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        logger.info("to out")
        logger.error("to err")
    assert entry(out.getvalue()).message.endswith(" - to out")
    assert entry(err.getvalue()).message.endswith(" - to err")


def test_caplog_sees_records(logger, caplog, capsys):
    """Handlers of the root logger that do not print get every record."""
    with caplog.at_level(1):
        logger.log(5, "low")
        logger.getChild("child").error("high")
    assert [(it.name, it.getMessage()) for it in caplog.records] == [
        ("Kestra", "low"),
        ("Kestra.child", "high"),
    ]
    out, err = capsys.readouterr()
    assert (entry(out).level, entry(err).level) == ("TRACE", "ERROR")


def test_levels_of_others_do_not_matter(logger, capsys, monkeypatch):
    """Whatever the root logger lets through, this one lets through all."""
    monkeypatch.setattr(logging.root, "level", logging.CRITICAL)
    logger.log(1, "text")
    assert entry(capsys.readouterr().out).level == "TRACE"


def test_logging_disable(logger, capsys):
    """`logging.disable` silences this logger, too."""
    logging.disable(logging.INFO)
    try:
        logger.info("not told")
        logger.warning("told")
    finally:
        logging.disable(logging.NOTSET)
    out, err = capsys.readouterr()
    assert (out, entry(err).level) == ("", "WARN")


def test_the_logger_pickles(logger):
    """As every logger does, by its name."""
    assert pickle.loads(pickle.dumps(logger)) is logger


class Unprintable:
    def __str__(self):
        raise LookupError("broken")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("%d", ("text",)),
        ("%s %s", (1,)),
        ("no place", (1,)),
        ("%s", (Unprintable(),)),
        (Unprintable(), ()),
        ("%(a)s", ({"b": 1},)),
        ("a\ud800", ()),
        ("x" * 6_000_000, ()),
        (b"bytes", ()),
        (None, ()),
    ],
    ids=range(10),
)
def test_a_record_never_raises(logger, capsys, monkeypatch, message, arguments):
    """Whatever a record holds, it is one entry, of its own level, and nothing is raised."""
    monkeypatch.setattr(logger, "propagate", False)  # the handler of caplog does raise
    logger.error(message, *arguments)
    out, err = capsys.readouterr()
    assert out == ""
    assert entry(err).level == "ERROR"
    assert entry(err).message


def test_a_reader_that_is_gone_does_not_raise():
    """A log record whose reader is gone ends no script."""
    script = run("""
reader, writer = os.pipe()
os.dup2(writer, 1)
os.close(reader)
logger = Kestra.logger()
for n in range(3):
    logger.info(n)
os._exit(0)
""")
    assert script.returncode == 0
    assert b"Traceback" not in script.stderr
