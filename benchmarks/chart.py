"""The ratios as one SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.measure import LOST

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Row


def draw(rows: list[Row], file: Path) -> None:
    """Bars of published / ours, on a logarithmic axis; 1 is drawn as a line."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text
    mpl.rcParams["svg.hashsalt"] = "kestra"  # the same rows give the same file
    from matplotlib import pyplot as plt

    shown = [
        row
        for row in reversed(rows)
        if row.unit != LOST and "bare" not in row.name and "json" not in row.name
    ]
    if not shown:
        return
    figure, axes = plt.subplots(figsize=(9, 0.32 * len(shown) + 1))
    ratios = [row.ratio for row in shown]
    widths = [ratio - 1 for ratio in ratios]  # a bar begins at 1
    bars = axes.barh([row.name for row in shown], widths, left=1, color="#6847ce", height=0.7)
    axes.bar_label(bars, [f"{ratio:.2f} x" for ratio in ratios], padding=3)
    axes.axvline(1, color="#888888", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(min(ratios) / 2, max(ratios) * 2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("published 2.0.0 / this package: more than 1 is faster, or smaller")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
