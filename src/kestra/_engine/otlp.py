"""What the engine (2.0) takes from a frame's `otlp`: one OpenTelemetry record as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from kestra._engine.jackson import as_double, as_list, as_object, as_text
from kestra._engine.meters import ReaderDied, Sample

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

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
            None if entry is None else as_object(entry, f"otlp: {name}[{i}]")
            for parent in level
            for i, entry in enumerate(_get(parent or {}, name, as_list))
        ]
    return level


def _level(entry: dict[str, Any]) -> str:
    number = _get(entry, "severityNumber", as_double)
    if number and number > 0:
        return next((level for last, level in _SEVERITIES if number <= last), "ERROR")
    text = _get(entry, "severityText", as_text) or ""
    return _SEVERITY_TEXTS.get(text.strip().upper(), "INFO")


def _samples(metric: dict[str, Any]) -> list[Sample] | None:
    is_gauge = metric.get("gauge") is not None
    data = _get(metric, "gauge" if is_gauge else "sum", as_object)
    is_delta = not is_gauge and _get(data, "aggregationTemporality", as_double) == _DELTA
    kind, name = "counter" if is_delta else "gauge", _get(metric, "name", as_text)
    samples = []
    for i, point in enumerate(_get(data, "dataPoints", as_list)):
        entry = as_object(point, f"otlp: dataPoints[{i}]")
        tags = None if point is None else _tags(entry)
        if tags is None:
            return None
        value = _get(entry, "asDouble", as_double)
        value = _get(entry, "asInt", as_double) if value is None else value
        if value is not None:
            samples.append(Sample("otlp", name, kind, value, tags))
    return samples


def _tags(point: dict[str, Any]) -> dict[str, str | None] | None:
    """Return the attributes, or `None` where one is null or given twice."""
    tags: dict[str, str | None] = {}
    for i, attribute in enumerate(_get(point, "attributes", as_list)):
        entry = as_object(attribute, f"otlp: attributes[{i}]")
        key, text = _get(entry, "key", as_text), _text(entry.get("value"))
        if attribute is None or key in tags:
            return None
        if key is not None and text is not None:
            tags[key] = text
    return tags


def _text(value: Any) -> str | None:
    value = as_object(value, "otlp: a value")
    for name in ("stringValue", "boolValue", "intValue"):
        if value.get(name) is not None:
            return as_text(value[name], f"otlp: {name}")
    number = _get(value, "doubleValue", as_double)
    if number is not None:
        return str(number)
    for name in ("arrayValue", "kvlistValue"):
        if value.get(name) is not None:
            return json.dumps(_get(value, name, as_object), separators=(",", ":"))
    return _get(value, "bytesValue", as_text)


def _get(entry: dict[str, Any], name: str, convert: Callable[[Any, str], _T]) -> _T:
    return convert(entry.get(name), f"otlp: {name}")
