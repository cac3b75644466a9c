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
    id: str  # the last that the stream gave; empty if it gave none yet
    data: str  # its lines, joined


class Parser:
    def __init__(self) -> None:
        self._id = ""
        self._data: list[str] = []
        self._begun: list[bytes] = []  # of the line that has not ended
        self._is_first = True
        self._after_cr = False  # a CR ends a line at once; an LF after it belongs to it

    def feed(self, piece: bytes) -> Iterator[Event]:
        # Each comes as soon as the empty line after it. A piece may be cut anywhere.
        for line in self._lines(piece):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line:
                if self._data:
                    yield Event(self._id, "\n".join(self._data))
                self._data = []
            elif name == "data":
                self._data.append(value)
            elif name == "id" and "\0" not in value:
                self._id = value

    def _lines(self, piece: bytes) -> Iterator[str]:
        if not piece:
            return
        rest = piece.removeprefix(b"\n") if self._after_cr else piece
        self._after_cr = piece.endswith(b"\r")
        *ended, begins = _LINE_END.split(rest)
        for end in ended:
            line = b"".join([*self._begun, end]).decode("utf-8", "replace")
            yield line.removeprefix(_BOM) if self._is_first else line
            self._begun = []
            self._is_first = False
        self._begun.append(begins)


def events(pieces: Iterable[bytes]) -> Iterator[Event]:
    """Yield the events of a stream; one that is incomplete at its end is dropped."""
    parser = Parser()
    for piece in pieces:
        yield from parser.feed(piece)
