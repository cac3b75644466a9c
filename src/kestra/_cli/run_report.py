"""What `run` shows of what the engine keeps: tables, or one JSON object. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from math import isfinite
from typing import TYPE_CHECKING, Any

from kestra._engine.report import WIDTH, indented, loss_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kestra._engine.messages import ScriptMessages, TaskLog, TaskMetric


def as_json(messages: ScriptMessages, engine: str) -> str:
    """Return all of `messages` as one JSON object."""
    # Not `asdict` of it all: that copies outputs, call by call, and they may be nested deeper.
    report = {field.name: getattr(messages, field.name) for field in fields(messages)}
    report["metrics"] = [{**asdict(metric), "value": _value(metric)} for metric in messages.metrics]
    for name in ("logs", "rejected"):
        report[name] = [asdict(it) for it in report[name]]
    return json.dumps({"engine": engine, **report})


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
        *_section("Lost", list(loss_rows(messages.rejected))),
        _summary(messages, engine),
    ]
    return "\n".join(sections)


def _section(title: str, rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    if rows:
        yield title
        yield from indented(rows)
        yield ""


def _entries(logs: Sequence[TaskLog]) -> Iterator[tuple[str, str]]:
    """Yield what frames and the engine logged; of a long text, such as a traceback, the end too."""
    for entry in logs:
        if entry.source not in {"frame", "engine"}:
            continue
        text = str(entry.message)
        yield entry.level, text
        _, line_end, last = text.rstrip().rpartition("\n")
        if line_end and len(text) > WIDTH:
            yield "", last


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


def _value(metric: TaskMetric) -> Any:
    """Return the value, or where JSON has no word for it, its name in Java."""
    if metric.value is None or isfinite(metric.value):
        return metric.value
    return {"inf": "Infinity", "-inf": "-Infinity"}.get(str(metric.value), "NaN")


def _with_unit(metric: TaskMetric) -> str:
    return f"{_value(metric)} s" if metric.type == "timer" else str(_value(metric))
