"""The tables of docs/speed.md, written between their marks."""

from __future__ import annotations

import re
import statistics
from typing import TYPE_CHECKING

from benchmarks.measure import LOST

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmarks.measure import Row


def write(rows: list[Row], file: Path) -> None:
    """Put the results in the place of those that the page has."""
    page = file.read_text("utf-8")
    for mark, table in (("lost", _lost(rows)), ("rows", _measured(rows))):
        between = re.compile(
            rf"(?<=<!-- {mark} -->\n\n).*?(?=\n\n<!-- end of {mark} -->)", re.DOTALL
        )
        page = between.sub(lambda _, table=table: table, page)
    file.write_text(page, "utf-8")


def _measured(rows: list[Row]) -> str:
    header = ["", "unit", "published: min, median", "here: min, median", "published / here"]
    shown = [row for row in rows if row.unit != LOST]
    return _table(header, ([*_figures(row, "{:.4g}"), f"{row.ratio:.2f}"] for row in shown))


def _lost(rows: list[Row]) -> str:
    header = ["frames lost", "published: min, median", "here: min, median"]
    figures = (_figures(row, "{:,.0f}") for row in rows if row.unit == LOST)
    return _table(header, ([name, *pairs] for name, _, *pairs in figures))


def _figures(row: Row, form: str) -> list[str]:
    pairs = ((min(it), statistics.median(it)) for it in (row.published, row.ours))
    return [row.name, row.unit, *(", ".join(map(form.format, pair)) for pair in pairs)]


def _table(header: list[str], rows: Iterable[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
