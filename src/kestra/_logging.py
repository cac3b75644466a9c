"""Log records as log frames: formatters, and the handler that delivers them."""

from __future__ import annotations

import logging
import sys
import time
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TextIO

from pythonjsonlogger.json import JsonFormatter as _FieldsFormatter

from kestra import _frames, _sink

if TYPE_CHECKING:
    from collections.abc import Sequence
    from logging import LogRecord

MAX_MESSAGE = 5_000_000  # characters; the engine drops a frame with 20,000,000, and 5 MB are fine


def level_name(levelno: int) -> str:
    """The engine's name of a level: that of the highest threshold that it reaches."""
    if levelno >= logging.ERROR:
        return "ERROR"
    if levelno >= logging.WARNING:
        return "WARN"
    if levelno >= logging.INFO:
        return "INFO"
    return "DEBUG" if levelno >= logging.DEBUG else "TRACE"


def frame(record: LogRecord, message: str) -> str:
    """The log frame of a record; a message beyond `MAX_MESSAGE` is cut, and says so."""
    if len(message) > MAX_MESSAGE:
        message = f"{message[:MAX_MESSAGE]}… (cut: {len(message):,} characters)"
    return _frames.log_frame(level_name(record.levelno), message)


@lru_cache(maxsize=1)
def _utc_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _utc(created: float) -> str:
    second = int(created)  # `datetime` takes longer for this than all the rest of a record
    return f"{_utc_second(second)}.{int((created - second) * 1000):03d}Z"


class LogFormatter(logging.Formatter):
    """Formats the time of a record in UTC, with milliseconds and `Z`."""

    def formatTime(self, record: LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802  # logging's
        """`2026-11-21T08:57:36.549Z`; `datefmt` is not used."""
        return _utc(record.created)


_TIMED = LogFormatter("%(asctime)s - %(message)s")


class JsonFormatter(_FieldsFormatter):
    """Formats a record as a whole log frame: its level, and time and message as the text.

    By default the text is `2026-11-21T08:57:36.549Z - message`, a traceback included. Given a
    format, or another argument of `pythonjsonlogger.json.JsonFormatter`, it is the JSON object
    that one makes of the record, the fields of `extra` among it::

        JsonFormatter("%(message)s %(name)s", rename_fields={"name": "logger"})
    """

    _formatter: logging.Formatter = _TIMED

    def __init__(self, fmt: str | Sequence[str] | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(fmt, *args, **kwargs)
        self._has_fields = fmt is not None or bool(kwargs.keys() - _PLAIN_ARGUMENTS)

    @staticmethod
    def _logger_level(level: int) -> str:
        return level_name(level)

    def format(self, record: LogRecord) -> str:
        """The frame, without its line end."""
        if self._has_fields:
            return frame(record, super().format(record))
        if self._formatter is not _TIMED or record.exc_info or record.exc_text or record.stack_info:
            return frame(record, self._formatter.format(record))
        return frame(record, f"{_utc(record.created)} - {record.getMessage()}")  # the same, sooner


class KestraHandler(logging.Handler):
    """Delivers each record as one log frame, with its level, on a line of its own, once.

    For any logger, also through `dictConfig`, `fileConfig` and `QueueListener`. The text of an
    entry is what the formatter makes of the record; by default its message with the traceback,
    because the engine adds the time. Nothing that a record holds makes it raise: the entry then
    says what went wrong.

    Args:
        stream: Where to; default: standard output, whatever that is when a record is emitted.
        level: The least level that is delivered.
        split: Records from WARNING on go to standard error instead, as `Kestra.logger()` does.
            (An engine before 1.0 ends a task that wrote there in WARNING.)
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        level: int | str = logging.NOTSET,
        *,
        split: bool = False,
    ) -> None:
        super().__init__(level)
        self._stream = None if stream in (sys.stdout, sys.stderr) else stream
        low = _sink.stderr if stream is sys.stderr and stream is not None else _sink.stdout
        self._sinks = low, _sink.stderr if split else low

    def handle(self, record: LogRecord) -> bool:
        """Filter and emit, without the handler's lock.

        The sink has one of its own, around less: holding this one too, a `__del__` that logs
        inside a write could block another thread for good.
        """
        passed: Any = self.filter(record) if self.filters else True
        if passed:  # a filter may give another record, from Python 3.12 on
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return bool(passed)

    def emit(self, record: LogRecord) -> None:
        """Deliver one record; a stream that fails is reported by `handleError`."""
        try:
            if self._stream is not None:
                self._stream.write(f"{self._line(record)}\n")
                self._stream.flush()
            elif _DELIVERED not in record.__dict__:
                record.__dict__[_DELIVERED] = True
                self._sinks[record.levelno >= logging.WARNING].write(self._line(record))
        except Exception:  # noqa: BLE001  # a handler never raises into the script
            self.handleError(record)

    def _line(self, record: LogRecord) -> str:
        try:
            text = (self.formatter or _MESSAGE).format(record)
            return text if isinstance(self.formatter, JsonFormatter) else frame(record, text)
        except Exception as error:  # noqa: BLE001  # whatever a record's arguments raise
            return frame(record, _what_went_wrong(record, error))


def _what_went_wrong(record: LogRecord, error: Exception) -> str:
    try:
        reason = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  # an error that cannot be shown itself
        reason = type(error).__name__
    unformatted = f" {record.msg!r}" if isinstance(record.msg, str) else ""
    return (
        f"A record of the logger {record.name!r} cannot be formatted "
        f"({record.pathname}:{record.lineno}, {reason}):{unformatted}"
    )


def task_logger() -> logging.Logger:
    """The logger of `Kestra.logger()`, with one handler however often it is made."""
    logger = logging.getLogger("Kestra")
    logger.setLevel(1)  # every level; 0 would ask the root logger
    for handler in [*logger.handlers]:
        if isinstance(handler, KestraHandler):
            logger.removeHandler(handler)
    handler = KestraHandler(split=True)
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    logger.callHandlers = partial(_call_handlers, logger)  # type: ignore[method-assign]
    return logger


def _call_handlers(logger: logging.Logger, record: LogRecord) -> None:
    """`Logger.callHandlers`, but past the console handlers of its ancestors.

    The record has reached the engine already; through `logging.basicConfig()` it would once more,
    as plain text. Files, caplog and other handlers of the ancestors see it as ever.
    """
    current: logging.Logger | None = logger
    while current is not None:
        for handler in current.handlers:
            if record.levelno >= handler.level and (current is logger or not is_console(handler)):
                handler.handle(record)
        current = current.parent if current.propagate else None


def is_console(handler: logging.Handler) -> bool:
    """Whether what it writes goes to standard output or standard error."""
    console = getattr(handler, "console", handler)  # a RichHandler keeps its stream in there
    stream = getattr(console, "file" if console is not handler else "stream", None)
    consoles = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return isinstance(handler, KestraHandler) or any(
        stream is it for it in consoles if it is not None
    )


_DELIVERED = "_kestra_delivered"  # marks a record that a handler further down has sent already
_PLAIN_ARGUMENTS = {"datefmt", "style", "validate"}  # what logging.config passes to any formatter
_MESSAGE = logging.Formatter()
