"""Lines and losses as text: what an error shows of them, and a terminal."""

from __future__ import annotations

import unicodedata
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kestra._engine.messages import Rejected

WIDTH = 100  # characters of a line that are shown
_GAP = "  "  # between two columns
_NARROWEST = 8  # of a column, where a terminal has no room for all of them


def losses(rejected: list[Rejected], engine: str) -> str:
    """Return what an `AssertionError` says of lines of which something is lost."""
    table = "\n".join(indented(loss_rows(rejected)))
    return f"Kestra {engine} would lose something of what was printed:\n{table}"


def loss_rows(rejected: list[Rejected]) -> Iterator[tuple[str, str]]:
    """Yield each loss in two rows; lines that follow each other and share a reason share them."""
    for (stream, reason), group in groupby(rejected, lambda line: (line.stream, line.reason)):
        lines = list(group)
        first, last = lines[0].line_number, lines[-1].line_number
        yield f"{stream} {first}" if first == last else f"{stream} {first} to {last}", reason
        yield "", lines[0].text


def indented(rows: Iterable[Sequence[str]], room: int | None = None) -> Iterator[str]:
    """Yield rows as the lines of a table, each of its cells short enough for a screen."""
    return columns([[shorten(cell) for cell in row] for row in rows], room, indent=_GAP)


def columns(
    rows: Iterable[Sequence[str]], room: int | None = None, *, indent: str = ""
) -> Iterator[str]:
    """Yield rows as lines in which each column begins at one place.

    Where there is `room` for so many columns of a terminal, cells are wrapped to fit into it.
    """
    cells = list(rows)
    widths = [max(map(display_width, column)) for column in zip(*cells, strict=True)]
    if room is not None:
        widths = _narrowed(widths, max(room - len(indent), 1))
    for row in cells:
        parts = map(_wrapped, row, widths)
        for line in zip_longest(*parts, fillvalue=""):
            yield (indent + _GAP.join(map(_padded, line, widths))).rstrip()


def counted(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def display_width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_character_width, text))


def shorten(line: str) -> str:
    """Return a line that fits the screen, and does nothing to it."""
    cut = line if len(line) <= WIDTH else f"{line[:WIDTH]}... ({len(line):,} characters)"
    return printable(cut, kept="")


def printable(text: str, kept: str = "\n\t") -> str:
    """Return a text in which control characters of terminals are escaped."""
    return "".join(
        c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text
    )


def _character_width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _padded(text: str, width: int) -> str:
    return text + " " * (width - display_width(text))


def _narrowed(widths: list[int], room: int) -> list[int]:
    """Return widths that fit into the room, taken from the widest columns."""
    widths = [min(width, room) for width in widths]
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - room
    while excess > 0 and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
        excess -= 1
    return widths


def _wrapped(text: str, width: int) -> list[str]:
    """Return a text in lines of that width, which end between words where there are any."""
    lines, start = [], 0
    while len(piece := text[start : start + width + 1]) > width or display_width(piece) > width:
        end = len(piece)
        while end > 1 and display_width(piece[:end]) > width:
            end -= 1
        space = piece.rfind(" ", 1, end + 1)
        lines.append(piece[: space if space > 0 else end])
        start += space + 1 if space > 0 else end
    return [*lines, piece]
