"""What goes wrong with requests, as a test has it planned."""

from __future__ import annotations

import re
from dataclasses import dataclass

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

    def __post_init__(self) -> None:
        if self.times < 1:
            raise ValueError(f"times must be 1 or more, not {self.times}")
        if not _BEGINNING.match(self.on):
            raise ValueError(
                f"on must be a method, or one and the beginning of a path, not {self.on!r}"
            )

    def fits(self, line: str) -> bool:
        lines = line, _TENANT.sub("", line, count=1)
        is_meant = _CREATION.match(line) or not self.after_create
        return bool(self.times and is_meant and any(each.startswith(self.on) for each in lines))
