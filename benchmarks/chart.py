"""Four bars against four: what a reader of the front page should see, as one SVG."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.measure import Row

# Wide enough for a page, and narrow enough that a phone, which shrinks it, leaves it legible.
WIDTH = 480
_MARGIN = 16
_BAR_LEFT, _BAR_MOST = 124, 256  # the figure stands to the right of the bar
_BAR, _GAP, _HEADING, _PANEL = 20, 6, 34, 98

_STYLE = """
text { font: 15px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
.page { fill: #ffffff; stroke: #d9d9e3; }
.title, .figure { font-weight: 600; }
.text { fill: #1f1f29; }
.minor { fill: #5b5b6b; }
.here { fill: #5b3cc4; }
.published { fill: #b3b3c2; }
@media (prefers-color-scheme: dark) {
  .page { fill: #1b1b24; stroke: #3a3a48; }
  .text { fill: #f0f0f6; }
  .minor { fill: #b0b0c0; }
  .here { fill: #b49cff; }
  .published { fill: #6d6d80; }
}
"""


@dataclass(frozen=True)
class Panel:
    """One of the four: which measurement, and the words around it."""

    measurement: str
    title: str
    form: str
    better: str  # with the ratio, or without where nothing is left to divide by


PANELS = (
    Panel("threads -u, of 40,000", "Frames lost, of 40,000", "{:,.0f}", "none lost"),
    Panel("start, with one output", "A script with one output", "{:.0f} ms", "{:.0f} x faster"),
    Panel("weight, installed", "Installed size", "{:.1f} MB", "{:.0f} x smaller"),
    Panel(
        "execute, 0 to 4 s: mean delay after the end",
        "Delay after an execution's end",
        "{:.0f} ms",
        "{:.0f} x shorter",
    ),
)


def draw(rows: list[Row], file: Path) -> None:
    """Draw the panels whose measurements are among the rows; each has its own linear scale."""
    measured = {row.name: row for row in rows}
    panels = [panel for panel in PANELS if panel.measurement in measured]
    lines = [
        line
        for number, panel in enumerate(panels)
        for line in _drawn(panel, measured[panel.measurement], _MARGIN + number * _PANEL)
    ]
    height = 2 * _MARGIN + len(panels) * _PANEL - 12
    label = "; ".join(_sentence(panel, measured[panel.measurement]) for panel in panels)
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    document = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{label}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="page" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        *lines,
        "</svg>",
    ]
    file.write_text("\n".join(document) + "\n", "utf-8")


def _figures(row: Row) -> tuple[float, float]:
    return statistics.median(row.ours), statistics.median(row.published)


def _sentence(panel: Panel, row: Row) -> str:
    here, published = map(panel.form.format, _figures(row))
    return f"{panel.title}: {here} by this package, {published} by the published 2.0.0"


def _drawn(panel: Panel, row: Row, top: int) -> Iterator[str]:
    here, published = _figures(row)
    better = panel.better.format(published / here) if here else panel.better
    baseline = top + 18
    yield f'<text class="title text" x="{_MARGIN}" y="{baseline}">{panel.title}</text>'
    yield (
        f'<text class="figure here" x="{WIDTH - _MARGIN}" y="{baseline}" text-anchor="end">'
        f"{better}</text>"
    )
    bars = (("here", "this package", here), ("published", "published", published))
    for number, (kind, name, figure) in enumerate(bars):
        y = top + _HEADING + number * (_BAR + _GAP)
        width = max(2.0, _BAR_MOST * figure / max(here, published))  # of zero, a line is seen
        yield f'<text class="minor" x="{_MARGIN}" y="{y + 15}">{name}</text>'
        yield (
            f'<rect class="{kind}" x="{_BAR_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}"'
            ' rx="2"/>'
        )
        yield (
            f'<text class="figure text" x="{_BAR_LEFT + width + 8:.1f}" y="{y + 15}">'
            f"{panel.form.format(figure)}</text>"
        )
