"""What the engine (2.0) takes from a frame's `otlp`: one OpenTelemetry record as JSON."""

from __future__ import annotations

import json
from typing import Any

from kestra._engine.jackson import as_double, as_list, as_object, as_text
from kestra._engine.meters import ReaderDied, Sample

_WHERE = "otlp: "
_DELTA = 1  # of OTLP's AggregationTemporality
_SEVERITIES = ((4, "TRACE"), (8, "DEBUG"), (12, "INFO"), (16, "WARN"))  # the last number of each
_SEVERITY_TEXTS = {"TRACE": "TRACE", "DEBUG": "DEBUG", "WARN": "WARN", "WARNING": "WARN",
                   "ERROR": "ERROR", "FATAL": "ERROR"}  # fmt: skip


def read_logs(record: dict[str, Any]) -> list[tuple[str | None, str | None]]:
    """Return level and message of each log record; a null record has no level."""
    records = _flatten(record, "resourceLogs", "scopeLogs", "logRecords")
    return [
        (None, None) if entry is None else (_level(entry), _text(entry.get("body")))
        for entry in records
    ]


def read_metrics(record: dict[str, Any]) -> list[list[Sample] | None]:
    """Return the samples of each metric; `None` for one that the engine reports as invalid."""
    metrics = _flatten(record, "resourceMetrics", "scopeMetrics", "metrics")
    return [None if entry is None else _samples(entry) for entry in metrics]


def _flatten(record: dict[str, Any], *path: str) -> list[dict[str, Any] | None]:
    level: list[dict[str, Any] | None] = [record]
    for name in path:
        if None in level:
            raise ReaderDied(f"otlp: null in a list above {name}")
        level = [
            None if entry is None else as_object(entry, where)
            for parent in level
            for where, entry in as_list(parent or {}, name, _WHERE)
        ]
    return level


def _level(entry: dict[str, Any]) -> str:
    number = as_double(entry, "severityNumber", _WHERE)
    if number and number > 0:
        return next((level for last, level in _SEVERITIES if number <= last), "ERROR")
    text = as_text(entry, "severityText", _WHERE) or ""
    return _SEVERITY_TEXTS.get(text.strip().upper(), "INFO")


def _samples(metric: dict[str, Any]) -> list[Sample] | None:
    is_gauge = metric.get("gauge") is not None
    kind = "gauge" if is_gauge else "sum"
    data = as_object(metric.get(kind), f"otlp: {kind}")
    is_delta = not is_gauge and as_double(data, "aggregationTemporality", _WHERE) == _DELTA
    kind, name = "counter" if is_delta else "gauge", as_text(metric, "name", _WHERE)
    samples = []
    for where, point in as_list(data, "dataPoints", _WHERE):
        entry = as_object(point, where)
        tags = None if point is None else _tags(entry)
        if tags is None:
            return None
        value = as_double(entry, "asDouble", _WHERE)
        value = as_double(entry, "asInt", _WHERE) if value is None else value
        if value is not None:
            samples.append(Sample("otlp", name, kind, value, tags))
    return samples


def _tags(point: dict[str, Any]) -> dict[str, str | None] | None:
    """Return the attributes, or `None` where one is null or given twice."""
    tags: dict[str, str | None] = {}
    for where, attribute in as_list(point, "attributes", _WHERE):
        entry = as_object(attribute, where)
        key, text = as_text(entry, "key", _WHERE), _text(entry.get("value"))
        if attribute is None or key in tags:
            return None
        if key is not None and text is not None:
            tags[key] = text
    return tags


def _text(value: Any) -> str | None:
    value = as_object(value, "otlp: a value")
    for name in ("stringValue", "boolValue", "intValue"):
        if value.get(name) is not None:
            return as_text(value, name, _WHERE)
    number = as_double(value, "doubleValue", _WHERE)
    if number is not None:
        return str(number)
    for name in ("arrayValue", "kvlistValue"):
        if value.get(name) is not None:
            return json.dumps(as_object(value[name], f"otlp: {name}"), separators=(",", ":"))
    return as_text(value, "bytesValue", _WHERE)
