"""`python -m benchmarks [NAME …]`: run all of them, or some; print, and keep what was measured."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from benchmarks import page
from benchmarks.chart import draw
from benchmarks.measure import ROOT, Pair, kept

NAMES = ("weight", "startup", "delivery", "emission", "ion", "completion")


def main() -> None:
    """Make both environments, run, print a table, write the results, their chart and their page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--environments", type=Path, default=ROOT / "build" / "benchmarks")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"no benchmark called {', '.join(unknown)}: there are {', '.join(NAMES)}")

    pair = Pair.made_in(options.environments)
    results = options.results / "results.json"
    if not options.names:
        results.unlink(missing_ok=True)
    print(f"{'':47}{'published: min / median':>21}   {'ours: min / median':>20}    ratio")
    for name in options.names or NAMES:
        measured = []
        for row in import_module(f"benchmarks.{name}").run(pair):
            measured.append(row)
            print(row.line(), flush=True)
        rows = kept(measured, results)
    draw(rows, options.docs / "chart.svg")
    page.write(rows, options.docs / "speed.md")


main()
