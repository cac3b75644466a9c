"""Time that passes where somebody waits, and costs none."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from importlib import import_module
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEAST = 1e-6  # seconds

# The modules of the client that wait, or look at the clock while they do.
WAITING = (
    "kestra._http.session",
    "kestra._http.transport",
    "kestra._client.waiting",
)


class Clock:
    """Stands in for the module `time` in the client's modules.

    All threads share it: where several sleep at once, their seconds add up.
    """

    def __init__(self) -> None:
        self._origin = self._now = time.monotonic()
        self._date = datetime.now(timezone.utc)
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def monotonic(self) -> float:
        """Return the time, in seconds."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let time pass; a little more of it, since a real sleep does not end too early either."""
        with self._lock:
            self._now += max(seconds, 0) + _LEAST

    def date(self, moment: float) -> datetime:
        """Return the date and time that a moment of this clock is."""
        return self._date + timedelta(seconds=moment - self._origin)

    def moment(self, date: datetime) -> float:
        """Return the moment of this clock that a date and time is."""
        return self._origin + (date - self._date).total_seconds()


@contextmanager
def running() -> Iterator[Clock]:
    """Let the client's time be a clock's; inside of another such block, it is that one's."""
    present = import_module(WAITING[0]).__dict__["time"]
    if isinstance(present, Clock):
        yield present
        return
    clock = Clock()
    with ExitStack() as stack:
        for name in WAITING:
            stack.enter_context(mock.patch.object(import_module(name), "time", clock))
        yield clock
