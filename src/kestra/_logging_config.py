"""One call routes a script's logging, warnings and exceptions to the engine; another undoes it."""

from __future__ import annotations

import logging
import os
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from kestra._logging import KestraHandler, is_console

if TYPE_CHECKING:
    from collections.abc import Callable

LEVEL_VARIABLE = "KESTRA_LOGGING_LEVEL"

_undo: list[Callable[[], object]] = []  # what `restore` does, last first


def configure(level: int | str | None, *, capture_warnings: bool, capture_exceptions: bool) -> None:
    """See `Kestra.configure_logging`."""
    root = logging.getLogger()
    _change(root.setLevel, root.level, _level(level))
    for logger in [root, *map(logging.getLogger, logging.root.manager.loggerDict)]:
        _route(logger)
    if capture_warnings and logging._warnings_showwarning is None:  # type: ignore[attr-defined]  # noqa: SLF001  # how `logging` itself tells
        _change(logging.captureWarnings, False, True)
    if capture_exceptions:
        _hook(sys, "excepthook", sys.__excepthook__, _log_uncaught)
        _hook(threading, "excepthook", threading.__excepthook__, _log_uncaught_in_thread)
        _hook(sys, "unraisablehook", sys.__unraisablehook__, _log_unraisable)


def restore() -> None:
    """See `Kestra.restore_logging`."""
    while _undo:
        _undo.pop()()


def _level(level: int | str | None) -> int | str:
    source = "level"
    if level is None:
        source, level = LEVEL_VARIABLE, os.environ.get(LEVEL_VARIABLE) or logging.INFO
    if isinstance(level, str):
        name = level.strip().upper()
        level = int(name) if name.isdigit() else {"TRACE": 5}.get(name, logging.getLevelName(name))
    if not isinstance(level, int):
        raise ValueError(  # noqa: TRY004  # a name that is none
            f"{source} names no level: use TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL or a number"
        )
    return level


def _change(change: Callable[[Any], object], before: Any, after: Any) -> None:
    _undo.append(partial(change, before))
    change(after)


def _route(logger: logging.Logger) -> None:
    """Set the console handlers of a logger aside, and ours where its records would end else."""
    consoles = [
        it for it in logger.handlers if is_console(it) and not isinstance(it, KestraHandler)
    ]
    for handler in consoles:
        logger.removeHandler(handler)
        _undo.append(partial(logger.addHandler, handler))
    is_end = logger.parent is None or (consoles and not logger.propagate)
    if is_end and not any(isinstance(it, KestraHandler) for it in logger.handlers):
        handler = KestraHandler()
        logger.addHandler(handler)
        _undo.append(partial(logger.removeHandler, handler))


def _hook(module: Any, name: str, default: Any, log: Callable[..., None]) -> None:
    """Log what a hook of the interpreter is told; one that somebody set is called after that."""
    before = getattr(module, name)
    if getattr(before, "func", None) is _log_and_pass_on:
        return
    hook = partial(_log_and_pass_on, log, default, None if before is default else before)
    setattr(module, name, hook)
    _undo.append(partial(_unhook, module, name, hook, before))


def _unhook(module: Any, name: str, hook: object, before: object) -> None:
    if getattr(module, name) is hook:  # else somebody has set another one since, around ours
        setattr(module, name, before)


def _log_and_pass_on(
    log: Callable[..., None],
    default: Callable[..., Any],
    before: Callable[..., Any] | None,
    *args: Any,
) -> None:
    try:
        log(*args)
    except Exception:  # noqa: BLE001  # what cannot be logged is at least printed
        default(*args)
    if before is not None:
        before(*args)


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    _error(f"Uncaught {kind.__name__}", (kind, error, traceback))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:  # the end of a thread, as `threading` sees it
        thread = "a thread" if args.thread is None else f"thread {args.thread.name!r}"
        _error(
            f"Uncaught {args.exc_type.__name__} in {thread}",
            (args.exc_type, args.exc_value, args.exc_traceback),
        )


def _log_unraisable(args: Any) -> None:
    message = args.err_msg or "Exception ignored in"
    _error(f"{message}: {args.object!r}", (args.exc_type, args.exc_value, args.exc_traceback))


def _error(message: str, exc_info: Any) -> None:
    logger = logging.getLogger()
    if logger.isEnabledFor(logging.ERROR):
        logger.error(message, exc_info=exc_info)
    else:  # the level is about records; an uncaught exception always shows
        logger.handle(logger.makeRecord(logger.name, logging.ERROR, "", 0, message, (), exc_info))
