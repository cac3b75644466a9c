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
    """What goes wrong.

    Attributes:
        times: With how many requests still.
        on: How they begin.
        after_create: They are creations, and are carried out.
        status: The status of the response; `None` breaks the connection.
        hangs: There is no response at all.
        retry_after: How many seconds the client is asked to wait.
    """

    times: int
    on: str
    after_create: bool
    status: int | None = None
    hangs: bool = False
    retry_after: float | None = None


class Faults:
    """All that is planned."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Plan a fault; those before it come first.

        Raises:
            ValueError: It could not come about.
        """
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
        lines = line, _TENANT.sub("", line, count=1)
        with self._lock:
            for fault in self._faults:
                fits = _CREATION.match(line) or not fault.after_create
                if fault.times and fits and any(each.startswith(fault.on) for each in lines):
                    fault.times -= 1
                    return fault
        return None

    def give_back(self, fault: Fault) -> None:
        """Leave it for the next request: this one has not come so far."""
        with self._lock:
            fault.times += 1
