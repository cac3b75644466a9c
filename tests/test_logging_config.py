import io
import logging
import logging.config
import sys
import threading
import warnings

import pytest

from kestra import Kestra, KestraHandler, testing


@pytest.fixture
def root(monkeypatch):
    """The root logger of a script that has just begun; afterwards it is what it was."""
    monkeypatch.delenv("KESTRA_LOGGING_LEVEL", raising=False)
    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    root.setLevel(logging.WARNING)
    yield root
    Kestra.restore_logging()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def library():
    """A library's logger, forgotten afterwards."""
    yield logging.getLogger("library.of.somebody")
    for name in [*logging.root.manager.loggerDict]:
        if name.startswith("library"):
            del logging.root.manager.loggerDict[name]


def handlers_of(root):
    """Its handlers, without those that pytest sets for each test."""
    return [it for it in root.handlers if not type(it).__module__.startswith("_pytest.")]


def state():
    """All that `configure_logging` changes, but for the loggers of libraries."""
    root = logging.getLogger()
    return (
        handlers_of(root),
        root.level,
        warnings.showwarning,
        sys.excepthook,
        threading.excepthook,
        sys.unraisablehook,
    )


# --- the level -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "least"),
    [
        (logging.DEBUG, 10),
        (7, 7),
        ("DEBUG", 10),
        ("debug", 10),
        (" Warning ", 30),
        ("WARN", 30),
        ("TRACE", 5),
        ("15", 15),
        ("NOTSET", 0),
    ],
)
def test_level(root, monkeypatch, level, least):
    """The level is a number or a name; the environment variable takes the same as text."""
    Kestra.configure_logging(level)
    assert root.level == least
    monkeypatch.setenv("KESTRA_LOGGING_LEVEL", str(level))
    Kestra.configure_logging("ERROR")
    assert root.level == logging.ERROR
    Kestra.configure_logging()
    assert root.level == least


@pytest.mark.parametrize("variable", [None, ""])
def test_default_level(root, monkeypatch, variable):
    """Without a level, and without one in the environment, it is INFO."""
    if variable is not None:
        monkeypatch.setenv("KESTRA_LOGGING_LEVEL", variable)
    Kestra.configure_logging()
    assert root.level == logging.INFO


@pytest.mark.parametrize("level", ["LOUD", "-1", "²", " ", 1.5])
def test_unknown_level(root, monkeypatch, level):
    """What is no level is refused by the name of where it stands, and nothing is changed."""
    before = state()
    with pytest.raises(ValueError, match=r"^level is not a valid level: use TRACE, DEBUG"):
        Kestra.configure_logging(level)
    monkeypatch.setenv("KESTRA_LOGGING_LEVEL", str(level))
    with pytest.raises(ValueError, match=r"^KESTRA_LOGGING_LEVEL is not a valid level: use TRACE"):
        Kestra.configure_logging()
    assert state() == before


# --- records ---------------------------------------------------------------------------------


def test_records_of_any_logger(root, library, entries):
    """Records from the level on are entries of their own level, of the script and of libraries."""
    Kestra.configure_logging()
    library.debug("no")
    library.info("library")
    root.warning("script")
    logging.getLogger("asyncio").error("asyncio")
    assert entries() == [("INFO", "library"), ("WARN", "script"), ("ERROR", "asyncio")]


def test_twice_is_once(root, entries):
    """To call it twice changes nothing."""
    Kestra.configure_logging()
    once = state()
    Kestra.configure_logging()
    assert state() == once
    root.info("message")
    assert entries() == [("INFO", "message")]


def test_what_masks_secrets_goes_on(root, entries):
    """A filter of a console handler that is set aside still changes records; it drops none."""

    def mask(record):
        record.msg = record.msg.replace("s3cret", "***")
        return record.levelno >= logging.WARNING

    console = logging.StreamHandler(sys.stdout)
    console.addFilter(mask)
    root.addHandler(console)
    Kestra.configure_logging()
    root.info("password s3cret")
    assert entries() == [("INFO", "password ***")]


def test_restore(root, library):
    """To restore puts all back as it was before the first call, handlers in their order too."""
    handlers = [logging.StreamHandler(), logging.NullHandler(), logging.StreamHandler(sys.stdout)]
    root.handlers[:0] = handlers
    library.propagate = False
    library.addHandler(handlers[0])
    before = state()
    Kestra.configure_logging("DEBUG")
    assert all(then != now for then, now in zip(before, state(), strict=True))
    Kestra.configure_logging("ERROR")
    Kestra.restore_logging()
    assert state() == before
    assert library.handlers == handlers[:1]
    Kestra.restore_logging()
    assert state() == before


def test_restore_leaves_a_handler_that_is_back_already(root):
    """A handler that somebody has put back is not there twice."""
    console = logging.StreamHandler()
    root.addHandler(console)
    Kestra.configure_logging()
    root.addHandler(console)
    Kestra.restore_logging()
    assert handlers_of(root) == [console]


def test_loggers_that_nobody_asked_for(root, library):
    """A gap in the hierarchy of loggers is left as it is."""
    gap = logging.root.manager.loggerDict["library.of"]
    Kestra.configure_logging()
    assert logging.root.manager.loggerDict["library.of"] is gap


def test_other_handlers_stay(root, entries, tmp_path):
    """Files, queues and handlers of error trackers still get every record."""

    class Tracker(logging.Handler):
        def emit(self, record):
            tracked.append(record.getMessage())

    tracked = []
    file = logging.FileHandler(tmp_path / "log")
    root.handlers.extend([Tracker(), file, logging.StreamHandler()])
    Kestra.configure_logging()
    root.info("script")
    Kestra.logger().info("task")
    file.close()
    assert tracked == ["script", "task"]
    assert (tmp_path / "log").read_text() == "script\ntask\n"
    assert [level for level, _ in entries()] == ["INFO", "INFO"]


def test_caplog(root, caplog):
    """caplog still sees each record, those of `Kestra.logger()` too."""
    Kestra.configure_logging()
    root.info("script")
    Kestra.logger().info("task")
    assert caplog.messages == ["script", "task"]


@pytest.mark.parametrize("propagate", [True, False])
def test_the_console_handlers_of_a_library(root, library, entries, propagate):
    """A library with a console handler of its own, and records that end there or not: once."""
    library.addHandler(logging.StreamHandler())
    library.addHandler(logging.StreamHandler(sys.stdout))
    library.propagate = propagate
    Kestra.configure_logging()
    Kestra.configure_logging()
    library.error("message")
    assert entries() == [("ERROR", "message")]


def test_what_a_library_does_not_show(root, library, entries):
    """A library that ends its records at handlers of some level is not made to say more."""
    library.setLevel(logging.DEBUG)
    library.propagate = False
    for level in (logging.ERROR, logging.WARNING):
        handler = logging.StreamHandler()
        handler.setLevel(level)
        library.addHandler(handler)
    Kestra.configure_logging()
    library.info("no")
    library.warning("yes")
    assert entries() == [("WARN", "yes")]


def test_a_library_without_console(root, library, entries):
    """A library that keeps its records to itself still does."""
    library.propagate = False
    library.addHandler(logging.NullHandler())
    Kestra.configure_logging()
    library.error("message")
    assert entries() == []


def test_a_handler_of_ones_own(root, entries):
    """A `KestraHandler` that the root logger has already is left alone, format and all."""
    handler = KestraHandler()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    root.addHandler(handler)
    Kestra.configure_logging()
    assert handlers_of(root) == [handler]
    root.info("message")
    assert entries() == [("INFO", "root: message")]


def test_a_handler_with_a_stream_of_its_own(root, entries):
    """A `KestraHandler` that writes elsewhere stays, beside one that writes to the engine."""
    stream = io.StringIO()
    root.addHandler(KestraHandler(stream))
    Kestra.configure_logging()
    root.info("script")
    Kestra.logger().info("task")
    assert len(entries()) == len(testing.parse(stream.getvalue()).logs) == 2


class Console:
    """As Rich has one: it knows where to."""

    def __init__(self):
        self.file = sys.stderr


class RichHandler(logging.Handler):
    """As that of Rich, as far as it matters here."""

    def __init__(self):
        super().__init__()
        self.console = Console()

    def emit(self, record):
        self.console.file.write(record.getMessage())


class FlaggedHandler(logging.StreamHandler):
    """Not every `console` is one."""

    console = True


@pytest.mark.parametrize(
    "console",
    [
        logging.StreamHandler,
        lambda: logging.StreamHandler(sys.stdout),
        lambda: logging.StreamHandler(sys.__stderr__),
        RichHandler,
        FlaggedHandler,
    ],
)
def test_console_handlers(root, entries, console):
    """Each kind of handler that prints is set aside, and prints no record of `Kestra.logger()`."""
    handler = console()
    root.addHandler(handler)
    Kestra.logger().info("task")
    Kestra.configure_logging()
    assert handler not in root.handlers
    root.info("script")
    assert [message[-6:] for _, message in entries()] == ["- task", "script"]


@pytest.mark.parametrize(
    "handler",
    [
        "logging.FileHandler('/dev/stderr')",
        "logging.StreamHandler(io.TextIOWrapper(sys.stdout.buffer, line_buffering=True))",
        "logging.StreamHandler(open(os.dup(2), 'w', buffering=1))",
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="files of descriptors")
def test_other_ways_to_the_same_pipe(script, handler):
    """A stream of one's own that leads to stdout or stderr all the same counts as these do."""
    ran = script(f"""
import io, logging, os, sys
from kestra import Kestra
logging.basicConfig(handlers=[{handler}], level=logging.INFO)
Kestra.logger().info("task")
Kestra.configure_logging()
logging.info("script")
""")
    assert [(level, message[-6:]) for level, message in ran.logs] == [
        ("INFO", "- task"),
        ("INFO", "script"),
    ]


def test_streams_that_are_closed(root, entries):
    """A handler whose stream is closed is no console, and does no harm here."""
    stream = io.StringIO()
    stream.close()
    handler = logging.StreamHandler(stream)
    root.addHandler(handler)
    Kestra.configure_logging()
    assert handler in root.handlers
    root.removeHandler(handler)


# --- libraries that configure logging later --------------------------------------------------


def test_a_console_handler_that_comes_later(root, entries):
    """What is delivered is not printed by a handler that a library has added since."""
    Kestra.configure_logging()
    root.addHandler(logging.StreamHandler())
    root.info("script")
    Kestra.logger().info("task")
    assert [message[-6:] for _, message in entries()] == ["script", "- task"]


def test_a_library_that_replaces_the_handlers(root, library, entries):
    """After a library has put its own handlers in place, one more call sets them aside."""
    Kestra.configure_logging()
    logging.basicConfig(force=True, level=logging.ERROR)
    library.addHandler(logging.StreamHandler())
    Kestra.configure_logging()
    library.info("library")
    root.info("script")
    assert entries() == [("INFO", "library"), ("INFO", "script")]


# --- the task's own logger -------------------------------------------------------------------


@pytest.fixture
def task_logger(root):
    """A fresh `Kestra.logger()`."""
    logger = logging.getLogger("Kestra")
    logger.handlers.clear()
    logger.setLevel(0)
    Kestra._logger = None
    yield Kestra.logger()
    logger.handlers.clear()
    logger.setLevel(0)
    Kestra._logger = None


@pytest.mark.parametrize("when", ["before", "after"])
def test_task_logger_and_basic_config(root, entries, when, task_logger):
    """A record of `Kestra.logger()` arrives once, whenever `basicConfig` is called."""
    if when == "before":
        task_logger.info("first")
    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, force=True)
    task_logger.info("then")
    task_logger.getChild("read").info("child")
    root.info("plain")
    assert [message[-5:] for _, message in entries()][-3:] == [" then", "child", "plain"]


@pytest.mark.parametrize("configure", [True, False])
def test_task_logger_that_dict_config_disables(root, entries, configure, task_logger):
    """`dictConfig` disables loggers that exist; that of the task is heard all the same."""
    if configure:
        Kestra.configure_logging()
    logging.config.dictConfig(
        {
            "version": 1,
            "handlers": {"console": {"class": "logging.StreamHandler"}},
            "root": {"handlers": ["console"]},
        }
    )
    for logger in logging.root.manager.loggerDict.values():
        logger.disabled = False  # those of other tests
    task_logger.warning("message")
    assert [(level, message[-9:]) for level, message in entries()] == [("WARN", "- message")]


def test_task_logger_that_was_there_before(script):
    """A logger `Kestra` that a script has made, and disabled, before is heard as well."""
    ran = script("""
import logging
logger = logging.getLogger("Kestra")
logger.disabled = True
from kestra import Kestra
assert Kestra.logger() is logger
logger.info("message")
logger.disabled = True
logger.info("message")
""")
    assert [level for level, _ in ran.logs] == ["INFO", "INFO"]


def test_task_logger_of_a_class_of_ones_own(script):
    """A class that was set with `setLoggerClass` is kept, for this logger and later ones."""
    ran = script("""
import logging
class Loud(logging.getLoggerClass()):
    def loud(self, message):
        self.error(message.upper())
logging.setLoggerClass(Loud)
from kestra import Kestra
Kestra.logger().loud("message")
assert logging.getLoggerClass() is Loud
""")
    assert [(level, message[-7:]) for level, message in ran.logs] == [("ERROR", "MESSAGE")]


def test_task_logger_that_was_configured(root, entries):
    """The level and the handler that a script has given to the logger `Kestra` are kept."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"kestra": {"class": "kestra.KestraHandler"}},
            "loggers": {"Kestra": {"handlers": ["kestra"], "level": "WARNING"}},
        }
    )
    Kestra._logger = None
    try:
        Kestra.logger().info("no")
        Kestra.logger().warning("yes")
        assert entries() == [("WARN", "yes")]
    finally:
        Kestra._logger = None
        logging.getLogger("Kestra").handlers.clear()
        logging.getLogger("Kestra").setLevel(0)


def test_level_of_detail(entries, task_logger):
    """`Kestra.logger().setLevel` says how much is delivered."""
    task_logger.setLevel(logging.WARNING)
    task_logger.info("no")
    task_logger.warning("yes")
    assert [level for level, _ in entries()] == ["WARN"]


# --- warnings --------------------------------------------------------------------------------


def test_warnings(script):
    """A warning is one WARN entry with what `warnings` would have printed."""
    code = """
import warnings
from kestra import Kestra
Kestra.configure_logging()
warnings.warn("careful")
"""
    ran = script(code, PYTHONWARNINGS="default")
    ((level, message),) = ran.logs
    assert level == "WARN"
    assert "script.py:5: UserWarning: careful\n" in message
    assert ran.stderr == ""


def test_warnings_that_are_not_captured(root):
    """Without `capture_warnings` they are left alone."""
    before = warnings.showwarning
    Kestra.configure_logging(capture_warnings=False)
    assert warnings.showwarning is before


def test_warnings_that_were_captured_before(root):
    """What a script captures itself it also gives back itself."""
    before = warnings.showwarning
    logging.captureWarnings(capture=True)
    captured = warnings.showwarning
    Kestra.configure_logging()
    Kestra.restore_logging()
    assert warnings.showwarning is captured
    logging.captureWarnings(capture=False)
    assert warnings.showwarning is before


# --- uncaught exceptions ---------------------------------------------------------------------

CONFIGURED = """
import atexit, logging, os, signal, sys, threading
from kestra import Kestra
Kestra.configure_logging()
"""


@pytest.mark.parametrize(
    ("code", "begin", "end"),
    [
        ("{}['key']", "Uncaught KeyError", "KeyError: 'key'"),
        (
            "try:\n    {}['key']\nexcept KeyError as error:\n    raise ValueError('x') from error",
            "Uncaught ValueError",
            "ValueError: x",
        ),
        ("raise BaseException('x')", "Uncaught BaseException", "BaseException: x"),
        (
            "def call():\n    call()\ncall()",
            "Uncaught RecursionError",
            "RecursionError: maximum recursion depth exceeded",
        ),
    ],
)
def test_uncaught(script, code, begin, end):
    """An uncaught exception is one ERROR entry with its whole traceback, and the status is 1."""
    ran = script(CONFIGURED + code)
    ((level, message),) = ran.logs
    assert level == "ERROR"
    assert message.startswith(f"{begin}\nTraceback (most recent call last):\n")
    assert message.endswith(end)
    assert (ran.status, ran.stderr) == (1, "")


def test_uncaught_in_a_thread(script):
    """That of a thread is one ERROR entry that names the thread; the status is not touched."""
    ran = script(f"""{CONFIGURED}
thread = threading.Thread(target=lambda: {{}}["key"], name="reader")
thread.start()
thread.join()
sys.exit(3)
""")
    ((level, message),) = ran.logs
    assert level == "ERROR"
    assert message.startswith("Uncaught KeyError in thread 'reader'\nTraceback (most recent ")
    assert (ran.status, ran.stderr) == (3, "")


def test_uncaught_in_a_thread_that_is_gone(script):
    """Where the interpreter does not tell the thread, the entry does not either."""
    ran = script(f"""{CONFIGURED}
threading.excepthook(threading.ExceptHookArgs((KeyError, KeyError("key"), None, None)))
""")
    assert ran.logs == [("ERROR", "Uncaught KeyError in a thread\nKeyError: 'key'")]


def test_exit_of_a_thread(script):
    """`SystemExit` ends a thread without a word, as ever."""
    ran = script(f"""{CONFIGURED}
thread = threading.Thread(target=sys.exit, args=("text",))
thread.start()
thread.join()
""")
    assert (ran.status, ran.stdout, ran.stderr) == (0, "", "")


def test_unraisable(script):
    """What Python can only report is one ERROR entry, also where the interpreter ends."""
    ran = script(f"""{CONFIGURED}
class Fails:
    def __del__(self):
        raise ValueError("x")
Fails()
kept = Fails()
""")
    assert [level for level, _ in ran.logs] == ["ERROR", "ERROR"]
    for _, message in ran.logs:
        assert message.startswith("Exception ignored ")
        assert "Fails.__del__" in message.partition("\n")[0]
        assert ", line 8, in __del__\n" in message
        assert message.endswith("\nValueError: x")
    assert (ran.status, ran.stderr) == (0, "")


def test_unraisable_of_nothing(script):
    """Where the interpreter names no object, the entry does not either."""
    ran = script(f"""{CONFIGURED}
from types import SimpleNamespace
error = {{"exc_type": ValueError, "exc_value": ValueError("x"), "exc_traceback": None}}
sys.unraisablehook(SimpleNamespace(**error, err_msg="Exception ignored in a hook", object=None))
""")
    assert ran.logs == [("ERROR", "Exception ignored in a hook\nValueError: x")]


def test_unraisable_of_what_cannot_be_shown(script):
    """An object whose `__repr__` fails does not keep the exception from being an entry."""
    ran = script(f"""{CONFIGURED}
class Fails:
    def __repr__(self):
        raise ValueError("unshowable")
Kept = type("Kept", (), dict(object=Fails(), err_msg=None, exc_type=KeyError,
                             exc_value=KeyError("key"), exc_traceback=None))
sys.unraisablehook(Kept)
@atexit.register
def fails():
    raise ValueError("x")
""")
    (_, first), (_, second) = ran.logs
    assert first == "Exception ignored in: Fails\nKeyError: 'key'"
    assert second.startswith("Exception ignored in atexit callback")
    assert "None" not in second.partition("\n")[0]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("sys.exit(3)", 3),
        ("sys.exit()", 0),
        ("os._exit(4)", 4),
        ("raise SystemExit('text')", 1),
    ],
)
def test_exit_status(script, code, status):
    """How a script exits by itself is its own business."""
    ran = script(CONFIGURED + code)
    assert (ran.status, ran.stdout) == (status, "")


INTERRUPTED = """
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background has none
os.kill(os.getpid(), signal.SIGINT)
while True:
    pass
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("code", ["raise KeyboardInterrupt", INTERRUPTED])
def test_interrupted(script, code):
    """A script that is interrupted is ended by SIGINT, after one ERROR entry."""
    ran = script(CONFIGURED + code)
    ((level, message),) = ran.logs
    assert (level, message.partition("\n")[0]) == ("ERROR", "Uncaught KeyboardInterrupt")
    assert (ran.status, ran.stderr) == (-2, "")


def test_uncaught_above_the_level(script):
    """An uncaught exception arrives whatever level is set, and though logging is disabled."""
    ran = script(f"""{CONFIGURED}
logging.getLogger().setLevel(100)
logging.disable()
logging.critical("no")
{{}}["key"]
""")
    assert [(level, text.partition("\n")[0]) for level, text in ran.logs] == [
        ("ERROR", "Uncaught KeyError")
    ]


def test_uncaught_that_cannot_be_logged(script):
    """Where logging itself fails, the traceback is printed as ever."""
    ran = script(f"""{CONFIGURED}
logging.getLogger().addFilter(lambda record: record.missing)
{{}}["key"]
""")
    assert ran.status == 1
    assert ran.stderr.startswith("Traceback (most recent call last):\n")
    assert ran.stderr.endswith("KeyError: 'key'\n")


def test_exceptions_that_are_not_captured(root):
    """Without `capture_exceptions` the interpreter's hooks are left alone."""
    before = state()[3:]
    Kestra.configure_logging(capture_exceptions=False)
    assert state()[3:] == before


# --- hooks of others -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prints",
    [
        "sys.__excepthook__(*args)",
        "print('╭── Traceback (most recent call last) ──╮', file=sys.stderr)",
    ],
)
def test_a_hook_that_was_set_before(script, prints):
    """A hook that was set before is called too; the traceback is not printed a second time."""
    ran = script(f"""
import sys
from kestra import Kestra
def hook(*args):
    print("called with", args[0].__name__)
    Kestra.logger().warning("frames pass")
    {prints}
sys.excepthook = hook
Kestra.configure_logging()
{{}}["key"]
""")
    assert ran.status == 1
    levels, messages = zip(*ran.logs, strict=True)
    assert levels == ("ERROR", "INFO", "WARN")
    assert messages[0].startswith("Uncaught KeyError\n")
    assert messages[1] == "called with KeyError"
    assert messages[2].endswith(" - frames pass")


def test_what_a_hook_prints(script):
    """What a hook prints to standard error besides the traceback is left to it."""
    ran = script("""
import sys
from kestra import Kestra
sys.excepthook = lambda *args: print("call support", file=sys.stderr)
Kestra.configure_logging()
{}["key"]
""")
    assert [level for level, _ in ran.logs] == ["ERROR", "ERROR"]
    assert ran.stderr == "call support\n"


def test_what_is_held_back(root, capsys, monkeypatch):
    """While a hook prints the traceback, frames and what other threads print still arrive."""

    def hook(*args):
        Kestra.logger().error("frame")
        thread = threading.Thread(target=print, args=("thread",), kwargs={"file": sys.stderr})
        thread.start()
        thread.join()
        sys.__excepthook__(*args)

    monkeypatch.setattr(sys, "excepthook", hook)
    Kestra.configure_logging()
    try:
        {}["key"]
    except KeyError:
        sys.excepthook(*sys.exc_info())
    sys.stderr.write("after\n")
    captured = capsys.readouterr()
    assert "Uncaught KeyError" in captured.out
    logs = testing.parse("", stderr=captured.err).logs
    assert [entry.message[-6:] for entry in logs] == [" frame", "thread", "after"]


def test_a_hook_that_fails(script):
    """A hook that fails is reported as ever; standard error is what it was."""
    ran = script("""
import atexit, sys
from kestra import Kestra
sys.excepthook = lambda *args: args[5]
Kestra.configure_logging()
{}["key"]
""")
    assert ran.status == 1
    assert ran.logs[0][1].startswith("Uncaught KeyError")
    assert "IndexError" in ran.stderr


@pytest.mark.parametrize("stream", ["None", "Slotted()"])
def test_a_hook_where_stderr_takes_nothing_back(script, stream):
    """A hook is called, whatever standard error is."""
    ran = script(f"""
import sys
from kestra import Kestra
class Slotted:
    __slots__ = ()
    def write(self, text):
        return len(text)
    def flush(self):
        pass
sys.excepthook = lambda *args: print("called")
Kestra.configure_logging()
sys.stderr = {stream}
{{}}["key"]
""")
    assert ("INFO", "called") in ran.logs


@pytest.mark.parametrize("again", ["", "Kestra.configure_logging()"])
def test_a_hook_that_was_set_later(script, again):
    """A hook around ours changes nothing: one entry, also after one more call."""
    ran = script(f"""{CONFIGURED}
ours = sys.excepthook
def hook(*args):
    print("called")
    ours(*args)
sys.excepthook = hook
{again}
{{}}["key"]
""")
    assert sorted((level, message.partition("\n")[0]) for level, message in ran.logs) == [
        ("ERROR", "Uncaught KeyError"),
        ("INFO", "called"),
    ]
    assert ran.stderr == ""


def test_a_hook_in_place_of_ours(script):
    """A hook that a library has put in place of ours is set aside by one more call."""
    ran = script(f"""{CONFIGURED}
sys.excepthook = lambda *args: print("called")
Kestra.configure_logging()
{{}}["key"]
""")
    assert [(level, message.partition("\n")[0]) for level, message in ran.logs] == [
        ("ERROR", "Uncaught KeyError"),
        ("INFO", "called"),
    ]


def test_restore_below_the_hook_of_somebody_else(script):
    """Once restored, ours only passes on, also where it is still called."""
    ran = script(f"""{CONFIGURED}
ours = sys.excepthook
sys.excepthook = lambda *args: ours(*args)
Kestra.restore_logging()
{{}}["key"]
""")
    assert ran.stdout == ""
    assert ran.stderr.endswith("KeyError: 'key'\n")
