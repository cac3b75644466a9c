"""Time that passes where somebody waits, and costs none."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from kestra._http.stand_ins import Clock, clock, use_clock

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEAST = 1e-6  # seconds


class VirtualClock(Clock):
    """A clock on which only sleeping takes time.

    All threads share it: where several sleep at once, their seconds add up.
    """

    def __init__(self) -> None:
        super().__init__()
        self._origin = self._now = time.monotonic()
        self._date = datetime.now(timezone.utc)

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let time pass; a little more of it, since a real sleep does not end too early either."""
        with self._lock:
            self._now += max(seconds, 0) + _LEAST

    async def pause(self, seconds: float) -> None:
        import asyncio

        self.sleep(seconds)
        await asyncio.sleep(0)

    def utcnow(self) -> datetime:
        return self.date(self._now)

    def date(self, moment: float) -> datetime:
        return self._date + timedelta(seconds=moment - self._origin)

    def moment(self, date: datetime) -> float:
        return self._origin + (date - self._date).total_seconds()


@contextmanager
def running() -> Iterator[VirtualClock]:
    """Let new calls of the client take a virtual clock; inside of another block, take that one."""
    present = clock()
    if isinstance(present, VirtualClock):
        yield present
        return
    virtual = VirtualClock()
    undo = use_clock(virtual)
    try:
        yield virtual
    finally:
        undo()
