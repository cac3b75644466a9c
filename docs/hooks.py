"""What the site shows of the benchmarks: their chart, and a table of the results."""

import json
from pathlib import Path
from statistics import median

from mkdocs.structure.files import File

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def on_files(files, config):
    """Add the chart, which lies outside of the folder of the documentation."""
    chart = str(BENCHMARKS / "chart.svg")
    files.append(File.generated(config, "benchmarks/chart.svg", abs_src_path=chart))
    return files


def on_page_markdown(markdown, **_):
    """Put the results in the place of their marks."""
    results = json.loads((BENCHMARKS / "results.json").read_text("utf-8"))
    for mark, table in (("rows", _rows), ("lost", _lost)):
        markdown = markdown.replace(f"<!-- {mark} -->", table(results.get(mark, [])))
    return markdown.replace("../benchmarks/", "benchmarks/")


def _rows(rows):
    header = ["", "unit", "published: min, median", "here: min, median", "published / here"]
    return _table(header, ([*_figures(row, "{:.4g}"), f"{row['ratio']:.2f}"] for row in rows))


def _lost(rows):
    header = ["", "", "published: min, median", "here: min, median"]
    return _table(header, (_figures(row, "{:,.0f}") for row in rows))


def _figures(row, form):
    pairs = ((min(row[it]), median(row[it])) for it in ("published", "ours"))
    return [row["name"], row["unit"], *(", ".join(map(form.format, pair)) for pair in pairs)]


def _table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
