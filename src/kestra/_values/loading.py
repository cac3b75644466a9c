"""Parts of this package that are loaded in the middle of a call."""

from __future__ import annotations

import sys
from _thread import _count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_signal: Any = sys.modules.get("_signal")  # built in; `signal` takes longer to load


def load(name: str) -> None:
    """Import a module; what a signal handler raises meanwhile comes afterwards.

    Inside the import it might be lost: `importlib` takes an `OSError` of a handler, such as a
    `TimeoutError`, for a file that is not there. (With other threads, signals cannot be held up.)
    """
    if name in sys.modules or _count() or not hasattr(_signal, "pthread_sigmask"):
        return  # whoever calls this imports it next
    # First, since what blocks the signals may still run the handler of one that is due.
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
    try:
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        __import__(name)
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
