"""What a namespace holds, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What the key-value store says of a key beside its value.

    Attributes:
        key: The key.
        type: `STRING`, `NUMBER`, `BOOLEAN`, `DATETIME`, `DATE`, `DURATION` or `JSON`.
        revision: How many times it was put. Of puts at the same moment, some may not count.
        description: Its description, `None` for none.
        created: When this revision was made.
        updated: When it was put last.
        expires: When it expires, `None` for never.
    """

    key: str
    type: str | None = None
    revision: int | None = None
    description: str | None = None
    created: datetime | None = None
    updated: datetime | None = None
    expires: datetime | None = None
