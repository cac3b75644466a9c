"""Server-sent events, from bytes as they come. Pure.

The rules are those of the HTML standard, section "Interpreting an event stream".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = "\ufeff"


class Event(NamedTuple):
    """One event.

    Attributes:
        id: The last id that the stream gave; empty if it gave none yet.
        data: Its lines, joined.
    """

    id: str
    data: str


def events(pieces: Iterable[bytes]) -> Iterator[Event]:
    """Yield the events of a stream, each as soon as the empty line after it has come.

    An event that is incomplete at the end of the stream is dropped.

    Args:
        pieces: The bytes of the stream, cut anywhere.
    """
    event_id = ""
    data: list[str] = []
    for line in _lines(pieces):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield Event(event_id, "\n".join(data))
            data = []
        elif name == "data":
            data.append(value)
        elif name == "id" and "\0" not in value:
            event_id = value


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield complete lines, without their ends."""
    begun: list[bytes] = []
    first = True
    after_cr = False  # a CR ends a line at once; an LF after it belongs to it
    for piece in filter(None, pieces):
        rest = piece.removeprefix(b"\n") if after_cr else piece
        after_cr = piece.endswith(b"\r")
        *ended, begins = _LINE_END.split(rest)
        for end in ended:
            line = b"".join([*begun, end]).decode("utf-8", "replace")
            yield line.removeprefix(_BOM) if first else line
            begun = []
            first = False
        begun.append(begins)
