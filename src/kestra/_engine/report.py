"""What `python -m kestra run` shows of what the engine keeps: tables, or one JSON object."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import groupby
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kestra._engine.messages import LogEntry, Metric, Rejected, ScriptMessages

_WIDTH = 100


def as_json(messages: ScriptMessages, engine: str) -> str:
    """Return all of `messages` as one JSON object."""
    metrics = [{**asdict(metric), "value": _value(metric)} for metric in messages.metrics]
    return json.dumps({"engine": engine, **asdict(messages), "metrics": metrics})


def as_text(messages: ScriptMessages, engine: str) -> str:
    """Return readable tables, of what there is, and a line that sums it up.

    Of the log only what frames and the engine said is in a table: ordinary lines are shown as
    they come.
    """
    outputs = [(name, json.dumps(value)) for name, value in messages.outputs.items()]
    metrics = [
        (str(metric.name), metric.type, _with_unit(metric), json.dumps(metric.tags))
        for metric in messages.metrics
    ]
    sections = [
        *_section("Outputs", outputs),
        *_section("Metrics", metrics),
        *_section("Logs", list(_entries(messages.logs))),
        *_section("Assets", [(json.dumps(asset),) for asset in messages.assets]),
        *_section("Lost", list(_losses(messages.rejected))),
        _summary(messages, engine),
    ]
    return "\n".join(sections)


def losses(rejected: list[Rejected], engine: str) -> str:
    """Return what an `AssertionError` says of lines of which something is lost."""
    table = "\n".join(_section("", list(_losses(rejected)))).strip("\n")
    return f"Kestra {engine} would lose something of what was printed:\n{table}"


def shorten(line: str) -> str:
    """Return a line that fits the screen, and does nothing to it."""
    cut = line if len(line) <= _WIDTH else f"{line[:_WIDTH]}... ({len(line):,} characters)"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def _section(title: str, rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    if not rows:
        return
    cells = [[shorten(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    yield title
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(padded)}".rstrip()
    yield ""


def _entries(logs: Sequence[LogEntry]) -> Iterator[tuple[str, str]]:
    """Yield what frames and the engine logged; of a long text, such as a traceback, the end too."""
    for entry in logs:
        if entry.source not in {"frame", "engine"}:
            continue
        text = str(entry.message)
        yield entry.level, text
        _, line_end, last = text.rstrip().rpartition("\n")
        if line_end and len(text) > _WIDTH:
            yield "", last


def _losses(rejected: list[Rejected]) -> Iterator[tuple[str, str]]:
    """Yield one entry for each loss; lines that follow each other and share a reason share it."""
    for (stream, reason), group in groupby(rejected, lambda line: (line.stream, line.reason)):
        lines = list(group)
        first, last = lines[0].line_number, lines[-1].line_number
        yield f"{stream} {first}" if first == last else f"{stream} {first} to {last}", reason
        yield "", lines[0].text


def _summary(messages: ScriptMessages, engine: str) -> str:
    kept = ", ".join(
        (
            _count(len(messages.outputs), "output"),
            _count(len(messages.metrics), "metric"),
            _count(len(messages.logs), "log entry", "log entries"),
        )
    )
    lost = _count(len(messages.rejected), "loss", "losses") if messages.rejected else "no loss"
    state = f"state {messages.state}, exit status {messages.exit_status}"
    return f"Kestra {engine} would keep {kept}; {lost}; {state}."


def _count(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _value(metric: Metric) -> Any:
    """Return the value, or where JSON has no word for it, its name in Java."""
    if metric.value is None or isfinite(metric.value):
        return metric.value
    return {"inf": "Infinity", "-inf": "-Infinity"}.get(str(metric.value), "NaN")


def _with_unit(metric: Metric) -> str:
    return f"{_value(metric)} s" if metric.type == "timer" else str(_value(metric))
