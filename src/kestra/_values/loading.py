"""Parts of this package that are loaded in the middle of a call."""

from __future__ import annotations

import gc
import sys
from _thread import _count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_signal: Any = sys.modules.get("_signal")  # built in; `signal` takes longer to load
_running: list[bool] = []  # for each import that goes on: whether garbage was collected before


def load(name: str) -> None:
    """Import a module; each `__del__`, and what a signal handler raises, comes afterwards.

    Inside the import a frame or an error might be lost: a `__del__` that sends one finds modules
    that are only half there, and `importlib` takes an `OSError` of a handler, such as a
    `TimeoutError`, for a file that is missing. (With other threads, signals cannot be held up.)
    """
    if name in sys.modules:
        return  # whole, or another thread imports it: whoever calls this waits for it next
    if _count() or not hasattr(_signal, "pthread_sigmask"):
        _import(name)
        return
    # First, since what blocks the signals may still run the handler of one that is due.
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
    try:
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        _import(name)
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)


def _import(name: str) -> None:
    collects = next(iter(_running), gc.isenabled())
    _running.append(collects)
    try:
        gc.disable()
        __import__(name)
    finally:
        _running.pop()
        if collects and not _running:
            gc.enable()
