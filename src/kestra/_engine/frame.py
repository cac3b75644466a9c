"""What stands in a frame, part by part; `Refused` where the engine drops the whole frame."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kestra._engine.jackson import Refused, as_double, as_list, as_object, as_text, trim
from kestra._engine.meters import ReaderDied, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kestra._engine.rules import Rules

LEVELS = ("ERROR", "WARN", "INFO", "DEBUG", "TRACE")
_LEVEL_OF = {**{name: name for name in LEVELS}, **dict(zip("01234", LEVELS, strict=True))}

_OTLP = "otlp: "
_DELTA = 1  # of its AggregationTemporality
_SEVERITIES = ((4, "TRACE"), (8, "DEBUG"), (12, "INFO"), (16, "WARN"))  # the last number of each
_SEVERITY_TEXTS = {"TRACE": "TRACE", "DEBUG": "DEBUG", "WARN": "WARN", "WARNING": "WARN",
                   "ERROR": "ERROR", "FATAL": "ERROR"}  # fmt: skip

Log = tuple[str | None, str | None]  # level and message


def unread(
    frame: dict[str, Any], rest: str, keys: tuple[str, ...], *, enterprise: bool
) -> Iterator[str]:
    """Yield which parts the engine ignores."""
    if "::{" in rest:
        yield "a second frame on the line is not read: give each a line of its own"
    elif rest.strip():
        yield "text after the JSON object, inside the frame, is not read"
    for key in frame:
        if key not in keys and not (enterprise and key == "encryptedOutputs"):
            yield f"{key!r} is not read: the keys are {', '.join(keys)}"


def read_log(entry: Any, where: str) -> Log:
    entry = as_object(entry, where)
    level, message = entry.get("level"), as_text(entry, "message", f"{where}.")
    if level is None:
        return None, message
    if isinstance(level, str):
        level = trim(level)
    if type(level) not in {str, int} or str(level) not in _LEVEL_OF:
        raise Refused(f"{where}.level must be one of {', '.join(LEVELS)}")
    return _LEVEL_OF[str(level)], message


def read_assets(frame: dict[str, Any], rules: Rules) -> dict[str, Any] | None:
    if "assets" not in rules.keys or frame.get("assets") is None:
        return None
    assets = as_object(frame["assets"], "assets")
    for where, asset in as_list(assets, "inputs", "assets."):
        as_text(as_object(asset, where), "id", f"{where}.")
    for where, asset in as_list(assets, "outputs", "assets."):
        if isinstance(asset, dict):  # anything else passes, strange to say
            as_text(asset, "id", f"{where}.")
            as_object(asset.get("metadata"), f"{where}.metadata")
            if rules.typed_assets and asset.get("type") is None:
                raise Refused(f"{where}.type is missing")
    return assets


# --- `otlp`: one OpenTelemetry record as JSON, of which engines take something since 2.0 ---


def read_otlp_logs(record: dict[str, Any]) -> list[Log]:
    """Return level and message of each log record; a null record has no level."""
    records = _flatten(record, "resourceLogs", "scopeLogs", "logRecords")
    return [
        (None, None) if entry is None else (_severity(entry), _text(entry.get("body")))
        for entry in records
    ]


def read_otlp_metrics(record: dict[str, Any]) -> list[list[Sample] | None]:
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
            for where, entry in as_list(parent or {}, name, _OTLP)
        ]
    return level


def _severity(entry: dict[str, Any]) -> str:
    number = as_double(entry, "severityNumber", _OTLP)
    if number and number > 0:
        return next((level for last, level in _SEVERITIES if number <= last), "ERROR")
    text = as_text(entry, "severityText", _OTLP) or ""
    return _SEVERITY_TEXTS.get(text.strip().upper(), "INFO")


def _samples(metric: dict[str, Any]) -> list[Sample] | None:
    is_gauge = metric.get("gauge") is not None
    kind = "gauge" if is_gauge else "sum"
    data = as_object(metric.get(kind), f"otlp: {kind}")
    is_delta = not is_gauge and as_double(data, "aggregationTemporality", _OTLP) == _DELTA
    kind, name = "counter" if is_delta else "gauge", as_text(metric, "name", _OTLP)
    samples = []
    for where, point in as_list(data, "dataPoints", _OTLP):
        entry = as_object(point, where)
        tags = None if point is None else _tags(entry)
        if tags is None:
            return None
        value = as_double(entry, "asDouble", _OTLP)
        value = as_double(entry, "asInt", _OTLP) if value is None else value
        if value is not None:
            samples.append(Sample("otlp", name, kind, value, tags))
    return samples


def _tags(point: dict[str, Any]) -> dict[str, str | None] | None:
    """Return the attributes, or `None` where one is null or given twice."""
    tags: dict[str, str | None] = {}
    for where, attribute in as_list(point, "attributes", _OTLP):
        entry = as_object(attribute, where)
        key, text = as_text(entry, "key", _OTLP), _text(entry.get("value"))
        if attribute is None or key in tags:
            return None
        if key is not None and text is not None:
            tags[key] = text
    return tags


def _text(value: Any) -> str | None:
    value = as_object(value, "otlp: a value")
    for name in ("stringValue", "boolValue", "intValue"):
        if value.get(name) is not None:
            return as_text(value, name, _OTLP)
    number = as_double(value, "doubleValue", _OTLP)
    if number is not None:
        return str(number)
    for name in ("arrayValue", "kvlistValue"):
        if value.get(name) is not None:
            return json.dumps(as_object(value[name], f"otlp: {name}"), separators=(",", ":"))
    return as_text(value, "bytesValue", _OTLP)
