"""What goes wrong with requests, as a test has it planned."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kestra._testing.fake.messages import Request

_CREATION = re.compile(
    r"POST .*/executions/[^/]+/(?!(?:pause|resume|restart|replay|labels)$)[^/]+$"
)
_TENANT = re.compile(r"(?<=/api/v1/)(?!executions/)[^/]+/(?=executions/|logs/|metrics/|outputs/)")
_BEGINNING = re.compile(r"([A-Z]+( /api/v1(/.*)?)?)?$")


@dataclass
class Fault:
    """What goes wrong with so many requests still, which begin in a certain way."""

    times: int
    on: str
    after_create: bool  # they are creations, and are carried out
    status: int | None = None  # that of the response; `None` breaks the connection
    hangs: bool = False
    retry_after: float | None = None

    def fits(self, line: str) -> bool:
        lines = line, _TENANT.sub("", line, count=1)
        is_meant = _CREATION.match(line) or not self.after_create
        return bool(self.times and is_meant and any(each.startswith(self.on) for each in lines))


class Faults:
    """All that is planned."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Plan a fault; those before it come first."""
        if fault.times < 1:
            raise ValueError(f"times must be 1 or more, not {fault.times}")
        if not _BEGINNING.match(fault.on):
            raise ValueError(
                f"on must be a method, or one and the beginning of a path, not {fault.on!r}"
            )
        self._faults.append(fault)

    @property
    def left(self) -> int:
        """How many requests are to meet one still."""
        return sum(fault.times for fault in self._faults)

    def take(self, request: Request) -> Fault | None:
        """Return what goes wrong with a request."""
        line = f"{request.method} {request.path}"
        with self._lock:
            fault = next((each for each in self._faults if each.fits(line)), None)
            if fault is not None:
                fault.times -= 1
        return fault

    def give_back(self, fault: Fault) -> None:
        """Leave it for the next request: this one has not come so far."""
        with self._lock:
            fault.times += 1
