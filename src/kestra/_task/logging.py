"""Log records as log frames: formatters, and the handler that delivers them."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from functools import lru_cache

from kestra._task import frames, sink
from kestra._task.hooks import is_same_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import LogRecord
    from typing import Any, TextIO

MAX_MESSAGE = 5_000_000  # characters; the engine drops a frame with 20,000,000, and 5 MB are fine
_KEPT_END = 100_000  # of a longer one: a traceback stands there
_JSON_FORMATTER = "kestra._task.json_formatter"
_lock: Any = vars(logging)["_lock"]  # that of `logging`, which minds it at a fork
_DELIVERED = "_kestra_delivered"  # marks a record that the engine has


def level_name(levelno: int) -> str:
    if levelno >= logging.ERROR:
        return "ERROR"
    if levelno >= logging.WARNING:
        return "WARN"
    if levelno >= logging.INFO:
        return "INFO"
    return "DEBUG" if levelno >= logging.DEBUG else "TRACE"


def log_frame(record: LogRecord, message: str) -> str:
    """The log frame of a record; a message beyond `MAX_MESSAGE` is cut, and says so."""
    level, message = level_name(record.levelno), shortened(message)
    home: Any = sys.modules.get("kestra._task.kestra")
    if home is None or home.Kestra.format is frames.encode:  # else a script's own, to mask secrets
        return frames.log_frame(level, message)
    return str(home.Kestra.format({"logs": [{"level": level, "message": message}]}))


def shortened(message: str) -> str:
    """Return a message that the engine takes: of a longer one the beginning and the end."""
    if len(message) <= MAX_MESSAGE:
        return message
    cut = f"\n… (cut: {len(message):,} characters) …\n"
    return f"{message[: MAX_MESSAGE - _KEPT_END]}{cut}{message[-_KEPT_END:]}"


@lru_cache(maxsize=1)
def _utc_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _utc(created: float) -> str:
    # `datetime` takes longer for this than all the rest of a record.
    second, microseconds = divmod(round(created * 1e6), 1_000_000)
    return f"{_utc_second(second)}.{microseconds // 1000:03d}Z"


class _Formatter(logging.Formatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's
        """The traceback; at the end of the interpreter one that needs no import."""
        try:
            return super().formatException(ei)
        except Exception:  # noqa: BLE001  # whatever: an entry without it is the worst of all
            return _bare_traceback(*ei)


def _bare_traceback(_kind: object, error: BaseException, trace: Any) -> str:
    frames = traceback.walk_tb(trace)
    lines = [
        f'  File "{it.f_code.co_filename}", line {n}, in {it.f_code.co_name}' for it, n in frames
    ]
    return "\n".join(["Traceback (most recent call last):", *lines, _shown(error)])


class LogFormatter(_Formatter):
    """Formats the time of a record in UTC, with milliseconds and `Z`."""

    def formatTime(self, record: LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802  # logging's
        """`2026-11-21T08:57:36.549Z`; `datefmt` is not used."""
        return _utc(record.created)


TIMED = LogFormatter("%(asctime)s - %(message)s")


def frame_of(record: LogRecord) -> str:
    """Return the frame of a record as `Kestra.logger()` sends it: with the time."""
    if record.exc_info or record.exc_text or record.stack_info or _is_patched():
        return log_frame(record, TIMED.format(record))
    return log_frame(record, f"{_utc(record.created)} - {record.getMessage()}")  # the same, sooner


def _is_patched() -> bool:
    """Return True if somebody has replaced how records are formatted, to mask secrets perhaps."""
    methods = (LogFormatter.format, vars(logging)), (LogFormatter.formatTime, globals())
    return any(getattr(method, "__globals__", None) is not home for method, home in methods)


class KestraHandler(logging.Handler):
    """Delivers each record as one log frame, with its level, on a line of its own, once.

    For any logger, also through `dictConfig`, `fileConfig` and `QueueListener`. The text of an
    entry is what the formatter makes of the record; by default its message with the traceback,
    because the engine adds the time. (`logging.basicConfig` gives a handler that has none a
    formatter of its own, unless called with `format="%(message)s"`.)

    Nothing that a record holds makes it raise: the entry then says what went wrong. Where its
    standard stream is closed, the other one is written to.

    Args:
        stream: Where to; default: standard output, whatever that is when a record is emitted.
        level: The least level that is delivered.
        split: Records from WARNING on go to standard error instead, as `Kestra.logger()` does.
            (An engine before 1.0 ends a task that wrote there in WARNING.)

    Raises:
        ValueError: `split` with a `stream` that is not a standard one.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        level: int | str = logging.NOTSET,
        *,
        split: bool = False,
    ) -> None:
        super().__init__(level)
        is_stderr = stream is sys.stderr and stream is not None
        self.stream = None if is_stderr or stream is sys.stdout else stream  # None: a standard one
        if split and self.stream is not None:
            raise ValueError("split is between standard output and error: leave stream out")
        low = sink.stderr if is_stderr else sink.stdout
        self._sinks = low, sink.stderr if split else low

    def handle(self, record: LogRecord) -> bool:
        """Filter and emit, without the handler's lock.

        The sink has one of its own, around less: holding this one too, a `__del__` that logs
        inside a write could block another thread for good.
        """
        passed: Any = self.filter(record) if self.filters else True
        if passed:  # a filter may give another record, from Python 3.12 on
            self.emit(passed if isinstance(passed, type(record)) else record)
        return bool(passed)

    def emit(self, record: LogRecord) -> None:
        """Deliver one record; that a `stream` fails is reported by `handleError`."""
        try:
            if self.stream is not None:
                self._write(self.stream, self._line(record))
            elif _DELIVERED not in record.__dict__:
                line = self._line(record)
                target = self._sinks[record.levelno >= logging.WARNING]
                try:
                    target.write(line)
                except (OSError, RuntimeError, ValueError) as error:  # gone, not there, or closed
                    if _MESSAGE and _is_interruption(error):
                        raise
                    (sink.stderr if target is sink.stdout else sink.stdout).write(line)
                record.__dict__[_DELIVERED] = True
        except Exception as error:
            if _MESSAGE and _is_interruption(error):
                raise
            self.handleError(record)  # a handler never raises into the script

    def handleError(self, record: LogRecord) -> None:  # noqa: N802  # logging's
        """Report on standard error, as `logging` does, unless that is closed too."""
        try:
            if _MESSAGE:  # else the interpreter has taken this module apart already
                super().handleError(record)
        except Exception:  # noqa: BLE001, S110  # there is nobody left to tell
            pass

    def _write(self, stream: TextIO, line: str) -> None:
        self.acquire()  # unlike a sink, a stream may mix up what several threads write
        try:
            stream.write(f"{line}\n")
            stream.flush()
        finally:
            self.release()

    def _line(self, record: LogRecord) -> str:
        try:
            return self._text(record)
        except Exception as error:  # whatever a record's arguments raise
            if _MESSAGE and _is_interruption(error):
                raise
            return log_frame(record, _what_went_wrong(record, error))

    def _text(self, record: LogRecord) -> str:
        text = (self.formatter or _MESSAGE).format(record)
        makes_frames = getattr(self.formatter, "_makes_frames", False)  # a `JsonFormatter`
        return text if makes_frames else log_frame(record, text)


def _is_interruption(error: BaseException) -> bool:
    """Return True if a signal handler raised it, which is for the script to see."""
    if "signal" not in sys.modules:
        return False
    from kestra._values.signals import is_interruption

    return is_interruption(error)


def _what_went_wrong(record: LogRecord, error: Exception) -> str:
    message = _tried(lambda: f" {record.msg!r}") if isinstance(record.msg, str) else ""
    trace = f"\n{_MESSAGE.formatException(record.exc_info)}" if record.exc_info else ""
    return (
        f"A record of the logger {record.name!r} cannot be formatted "
        f"({record.pathname}:{record.lineno}, {_shown(error)}):{message}{trace}"
    )


def _shown(error: BaseException) -> str:
    name = type(error).__name__
    return _tried(lambda: f"{name}: {error}") or name


def _tried(text: Callable[[], str]) -> str:
    try:
        return text()
    except Exception:  # noqa: BLE001  # a `__str__` or `__repr__` of the script's
        return ""


class SoleHandler(KestraHandler):
    """Keeps what it has delivered from the console handlers of a logger.

    They would print it once more, as plain text: after `logging.basicConfig()`, or with a handler
    that a library adds. Files, caplog and others see it as ever. The `logger` is that with the
    other handlers, this one's own or one above.
    """

    _deliver = KestraHandler.handle  # takes less time than `super()`

    def __init__(self, logger: logging.Logger, level: int = 0, *, split: bool = False) -> None:
        super().__init__(level=level, split=split)
        self._logger = logger
        self._known: list[logging.Handler] = []

    def handle(self, record: LogRecord) -> bool:
        if self._logger.handlers != self._known and _MESSAGE:  # as in `handleError`
            self._known = [*self._logger.handlers]
            for handler in filter(is_console, self._known):
                handler.addFilter(_is_undelivered)
        return self._deliver(record)


def _is_undelivered(record: LogRecord) -> bool:
    return _DELIVERED not in record.__dict__


class TaskHandler(SoleHandler):
    """That of `Kestra.logger()`: its `JsonFormatter` is made when somebody asks for it.

    python-json-logger takes longer to load than all the rest of a process that logs.
    """

    _formatter: Any = None

    def __init__(self, logger: logging.Logger, make: Callable[[], logging.Formatter]) -> None:
        super().__init__(logger, split=True)
        self._make = make

    @property
    def formatter(self) -> Any:
        if self._formatter is None:
            self._formatter = self._make()
        return self._formatter

    @formatter.setter
    def formatter(  # pyright: ignore[reportIncompatibleVariableOverride]
        self, formatter: Any
    ) -> None:
        self._formatter = formatter

    def _text(self, record: LogRecord) -> str:
        # Who has loaded the class may have patched it.
        is_plain = self._formatter is None and _JSON_FORMATTER not in sys.modules
        return frame_of(record) if is_plain else super()._text(record)


class _NeverDisabled:
    """`fileConfig` and `dictConfig` disable all loggers that exist; a task's is to be heard."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, False if name == "disabled" else value)


def task_logger(make_formatter: Callable[[], logging.Formatter]) -> logging.Logger:
    """The logger of `Kestra.logger()`, with one handler however often it is made.

    What somebody has configured for a logger of this name (its level, a `KestraHandler`) stays.
    """
    with _lock:
        logger = never_disabled_logger("Kestra")
        logger.setLevel(logger.level or 1)  # every level; 0 would ask the root logger
        handlers = [it for it in logger.handlers if not isinstance(it, SoleHandler)]
        if not any(isinstance(it, KestraHandler) for it in handlers):
            handlers.append(TaskHandler(logging.getLogger(), make_formatter))
        logger.handlers[:] = handlers  # all at once: another thread may log
    return logger


def _never_disabled(kind: type[logging.Logger]) -> type[logging.Logger]:
    return type("TaskLogger", (_NeverDisabled, kind), {})


def never_disabled_logger(name: str) -> logging.Logger:
    """Return the logger of a name, which `fileConfig` and `dictConfig` do not switch off."""
    with _lock:  # others would get loggers of this class
        kind = logging.getLoggerClass()
        logging.setLoggerClass(_never_disabled(kind))
        try:
            logger = logging.getLogger(name)
        finally:
            logging.setLoggerClass(kind)
    if not isinstance(logger, _NeverDisabled):  # somebody has made it before
        logger.__class__ = _never_disabled(type(logger))  # slows each attribute down a little
        logger.disabled = False
    return logger


def is_console(handler: logging.Handler) -> bool:
    """Return True if what it writes goes to a standard stream, but not through a sink."""
    console = getattr(handler, "console", None)  # a RichHandler keeps its stream in there
    streams = getattr(handler, "stream", None), getattr(console, "file", None)
    return any(map(_is_standard, streams))


def _is_standard(stream: Any) -> bool:
    if stream is None:
        return False
    if any(stream is it for it in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)):
        return True
    try:  # another object for the same pipe: a wrapper, a file `/dev/stderr`
        descriptor = stream.fileno()
        return any(is_same_file(descriptor, it) for it in (1, 2))
    except Exception:  # noqa: BLE001  # no descriptor, or closed
        return False


_MESSAGE = _Formatter()
