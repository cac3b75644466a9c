"""What a plain installation puts on the disk, and its import: kestrapy, the SDK, beside both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.measure import PUBLISHED, ROOT, Row, environment, figure

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Pair

# `regex` is not among what kestrapy 2.0.3 declares, and without it `import kestrapy` fails.
KESTRAPY = ("kestrapy==2.0.3", "regex")
RUNS = 7


def run(pair: Pair) -> list[Row]:
    """Distributions, megabytes without byte code, and whole processes that import the package."""
    pythons = [
        environment(pair.folder / "published", PUBLISHED),
        environment(pair.folder / "plain", str(ROOT)),
        environment(pair.folder / "kestrapy", *KESTRAPY),
    ]
    return [
        _row("weight, distributions", "", pythons, "weigh.py", "distributions"),
        _row("weight, installed", "MB", pythons, "weigh.py", "megabytes"),
        _imports(pythons),
    ]


def _row(name: str, unit: str, pythons: list[Path], *command: str) -> Row:
    return Row(name, unit, *([figure(python, *command)] for python in pythons))


def _imports(pythons: list[Path]) -> Row:
    modules = ("kestra", "kestra", "kestrapy")
    figures: list[list[float]] = [[], [], []]
    for run in range(RUNS + 1):
        for python, module, collected in zip(pythons, modules, figures, strict=True):
            milliseconds = figure(python, "-W", "ignore", "start.py", f"import {module}")
            if run:  # the first is for the file caches
                collected.append(milliseconds)
    return Row("weight, import", "ms", *figures)
