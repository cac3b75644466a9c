"""What tests put in the place of something that the client uses: here, the clock."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """The time of one call: how late it is, and how to let time pass.

    What was slept counts as passed, also where a test has replaced `time.sleep` by something that
    returns at once: a wait with a limit ends there too. Threads may share a clock.
    """

    def __init__(self) -> None:
        self._skipped = 0.0  # seconds by which sleeps fell short
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return seconds that only ever grow, from some origin."""
        return time.monotonic() + self._skipped

    def sleep(self, seconds: float) -> None:
        """Let some seconds pass; none or less return at once."""
        if seconds > 0:
            end = self.now() + seconds
            time.sleep(seconds)  # through the module, so that a test may replace it
            with self._lock:
                self._skipped += max(end - self.now(), 0.0)

    def utcnow(self) -> datetime:
        """Return the date and time, in UTC."""
        return datetime.now(timezone.utc) + timedelta(seconds=self._skipped)


_installed: list[Clock] = []


def clock() -> Clock:
    """Return the clock for a new call: the one that a test has installed last, or its own."""
    return _installed[-1] if _installed else Clock()


def use_clock(clock: Clock) -> Callable[[], None]:
    """Let each call that begins from now on take this clock; return what undoes that."""
    _installed.append(clock)

    def undo() -> None:
        # The last one that is this clock: it may have been installed more than once.
        for index in reversed(range(len(_installed))):
            if _installed[index] is clock:
                del _installed[index]
                return

    return undo
