"""One call routes a script's logging, warnings and exceptions to the engine; another undoes it."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from contextlib import contextmanager, suppress
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any

from kestra._task.logging import KestraHandler, SoleHandler, is_console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from logging import LogRecord

_VARIABLE = "KESTRA_LOGGING_LEVEL"
_NAMES = {"TRACE": 5}  # besides those that `logging` knows

_undo: list[Callable[[], object]] = []  # what `restore` does, last first


def configure(
    level: int | str | None,
    *,
    capture_warnings: bool,
    capture_exceptions: bool,
    capture_prints: bool,
    stderr_level: int | str,
) -> None:
    """See `Kestra.configure_logging`."""
    if level is None:
        number = level_number(os.environ.get(_VARIABLE) or logging.INFO, _VARIABLE)
    else:
        number = level_number(level, "level")
    number_of_stderr = level_number(stderr_level, "stderr_level")
    root = logging.getLogger()
    _undo.append(partial(root.setLevel, root.level))
    root.setLevel(number)
    for logger in [root, *root.manager.loggerDict.values()]:
        if isinstance(logger, logging.Logger):  # else the place of one that nobody asked for yet
            _route(logger)
    if capture_warnings:
        before = warnings.showwarning
        logging.captureWarnings(capture=True)
        if warnings.showwarning is not before:
            _undo.append(partial(logging.captureWarnings, capture=False))
    if capture_exceptions:
        _hook(sys, "excepthook", _log_uncaught)
        _hook(threading, "excepthook", _log_uncaught_in_thread)
        _hook(sys, "unraisablehook", _log_unraisable)
    if capture_prints:
        from kestra._task.prints import capture

        _undo.extend(capture(logging.INFO, number_of_stderr))


def restore() -> None:
    """See `Kestra.restore_logging`."""
    while _undo:
        _undo.pop()()


def level_number(level: int | str, source: str) -> int:
    """Return the number of a level that may be a name, its own or that of an engine."""
    number: object = level
    if isinstance(level, str):
        name = level.strip().upper()
        number = int(name) if name.isdecimal() else _NAMES.get(name, logging.getLevelName(name))
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ValueError(
            f"{source} is not a valid level: "
            "use TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL or a number from 0 on"
        )
    return number


def _route(logger: logging.Logger) -> None:
    """Set the console handlers of a logger aside, and put ours where its records end."""
    consoles = [it for it in logger.handlers if is_console(it)]
    for handler in consoles:
        _undo.append(partial(_put_back, logger, logger.handlers.index(handler), handler))
        logger.removeHandler(handler)
    is_root = logger.parent is None
    is_end = is_root or (consoles and not logger.propagate)
    ours = [it for it in logger.handlers if isinstance(it, KestraHandler) and it.stream is None]
    if is_end and not ours:
        # What a library's own handlers were to print is what it takes for worth seeing.
        handler = SoleHandler(logger, 0 if is_root else min(it.level for it in consoles))
        if any(it.filters for it in consoles):
            handler.addFilter(partial(_filtered, consoles))  # type: ignore[arg-type]  # since 3.12
        logger.addHandler(handler)
        _undo.append(partial(logger.removeHandler, handler))


def _filtered(consoles: Iterable[logging.Handler], record: LogRecord) -> LogRecord:
    """Return a record as the filters of other handlers leave it, which may mask secrets.

    None is left out: what one of the handlers passes over is for another of them.
    """
    for console in consoles:
        passed: object = console.filter(record)
        record = passed if isinstance(passed, type(record)) else record
    return record


def _put_back(logger: logging.Logger, place: int, handler: logging.Handler) -> None:
    if handler not in logger.handlers:
        logger.handlers.insert(place, handler)


def _hook(module: Any, name: str, log: Callable[..., None]) -> None:
    hook = getattr(module, name)
    if not (isinstance(hook, _Hook) and hook.is_set):
        _undo.append(_Hook(module, name, log).unset)


class _Hook:
    """Stands in for a hook of the interpreter: logs, then calls the one that somebody had set."""

    def __init__(self, module: Any, name: str, log: Callable[..., None]) -> None:
        self._module, self._name, self._log = module, name, log
        self._default = getattr(module, f"__{name}__")
        self._before = getattr(module, name)
        self.is_set = True
        setattr(module, name, self)

    def unset(self) -> None:
        self.is_set = False
        if getattr(self._module, self._name) is self:
            setattr(self._module, self._name, self._before)

    def __call__(self, *args: Any) -> None:
        if not self.is_set:  # but called by one that was set around it
            self._before(*args)
            return
        error = id(args[0].exc_value if len(args) == 1 else args[1])
        try:
            if error not in _logged:
                self._log(*args)
        except Exception:  # noqa: BLE001  # what cannot be logged is at least printed
            self._default(*args)
        if self._before is not self._default:
            _logged.add(error)
            try:
                with _traceback_held_back():
                    self._before(*args)
            finally:
                _logged.discard(error)


_logged: set[int] = set()  # exceptions, while a hook that was set before is called with them


@contextmanager
def _traceback_held_back() -> Iterator[None]:
    """Keep a hook from printing the traceback once more, each line an entry of its own.

    Error trackers call the default hook; Rich and Typer print it in a frame. Other text passes.
    """
    stream: Any = sys.stderr
    if not hasattr(stream, "__dict__"):  # None, or a stream whose `write` cannot be replaced
        yield
        return
    thread = get_ident()
    write, own = stream.write, vars(stream).get("write")
    held: list[str] = []

    def hold(text: str, /) -> Any:
        if get_ident() != thread or text.lstrip("\n").startswith("::{"):  # a frame
            return write(text)
        held.append(text)
        return len(text)

    stream.write = hold
    try:
        yield
    finally:
        if own is None:
            del stream.write
        else:
            stream.write = own
        text = "".join(held)
        if text and "Traceback (most recent call last)" not in text:
            write(text)


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    _error(f"Uncaught {kind.__name__}", (kind, error, traceback))
    if kind is KeyboardInterrupt:
        # CPython ends with SIGINT's status if the last code that was compiled from text ended so.
        # Since 3.13, formatting a traceback imports modules that compile some (named tuples).
        with suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")  # noqa: S102  # see above


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:  # the end of a thread, as `threading` sees it
        thread = "a thread" if args.thread is None else f"thread {args.thread.name!r}"
        _error(
            f"Uncaught {args.exc_type.__name__} in {thread}",
            (args.exc_type, args.exc_value, args.exc_traceback),
        )


def _log_unraisable(args: Any) -> None:
    message = args.err_msg or "Exception ignored in"
    if args.object is not None:
        try:
            message = f"{message}: {args.object!r}"
        except Exception:  # noqa: BLE001  # a `__repr__` of the script's
            message = f"{message}: {type(args.object).__name__}"
    _error(message, (args.exc_type, args.exc_value, args.exc_traceback))


def _error(message: str, exc_info: Any) -> None:
    logger = logging.getLogger()
    if logger.isEnabledFor(logging.ERROR):
        logger.error(message, exc_info=exc_info)
    else:  # the level is about records; an uncaught exception always shows
        logger.handle(logger.makeRecord(logger.name, logging.ERROR, "", 0, message, (), exc_info))
