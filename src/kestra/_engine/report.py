"""Lines and losses as text: what an error shows of them, and a terminal."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kestra._engine.messages import Rejected

WIDTH = 100  # characters of a line that are shown


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


def indented(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield rows as the lines of a table, each of its cells short enough for a screen."""
    cells = [[shorten(cell) for cell in row] for row in rows]
    return (f"  {line}" for line in columns(cells))


def columns(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield rows as lines in which each column begins at one place."""
    cells = list(rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()


def shorten(line: str) -> str:
    """Return a line that fits the screen, and does nothing to it."""
    cut = line if len(line) <= WIDTH else f"{line[:WIDTH]}... ({len(line):,} characters)"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
