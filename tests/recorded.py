"""The recorded cases of data/protocol.jsonl (see the README beside it)."""

import json
from math import isfinite
from pathlib import Path

_LINES = (Path(__file__).parent / "data" / "protocol.jsonl").read_text().splitlines()
CASES = {row["case"]: row for row in map(json.loads, _LINES)}
_QUOTING = ("Invalid log", "Invalid OTLP")


def printed(case, stream):
    """Return the bytes that the task of a case printed."""
    parts = CASES[case].get(stream, "")
    return b"".join(map(_bytes, [parts] if isinstance(parts, str) else parts))


def kept(case, *, server=True):
    """Yield each engine and what it kept, in the shape of `comparable`.

    Of 2.0 the side that runs the task was recorded; its server drops nulls.
    """
    for engines, record in CASES[case]["kept"].items():
        for engine in engines.split():
            if "crash" in record:
                yield engine, record
            else:
                drops_nulls = server and engine == "2.0"
                yield engine, _expected(_without_nulls(record) if drops_nulls else record)


def comparable(report):
    """Return what can be compared of a report: values as JSON, logs in no order."""
    metrics = [
        [_text(metric["name"]), metric["type"], _finite(metric["value"]), metric.get("tags", {})]
        for metric in report.get("metrics", [])
    ]
    logs = [
        [entry["level"], "(engine)" if _is_complaint(entry) else entry["message"]]
        for entry in report.get("logs", [])
    ]
    return {
        "state": report.get("state", "SUCCESS"),
        "outputs": json.dumps(report.get("outputs", {}), sort_keys=True),
        "metrics": json.dumps(metrics, sort_keys=True),
        "logs": sorted(map(json.dumps, logs)),
    }


def _without_nulls(record):
    def without(value):
        if isinstance(value, dict):
            return {key: without(each) for key, each in value.items() if each is not None}
        return [without(each) for each in value] if isinstance(value, list) else value

    return {**record, "outputs": without(record.get("outputs", {}))}


def _expected(record):
    logs = []
    for level, message, *times in record.get("logs", []):
        is_complaint = isinstance(message, dict)
        entry = {
            "level": level,
            "message": None if is_complaint else _text(message),
            "source": "engine" if is_complaint else "",
        }
        logs += [entry] * (times[0] if times else 1)
    outputs = {key: _text(value) for key, value in record.get("outputs", {}).items()}
    return comparable({**record, "outputs": outputs, "logs": logs})


def _is_complaint(entry):
    # What the engine quotes is exact, and compared.
    return entry["source"] == "engine" and not (entry["message"] or "").startswith(_QUOTING)


def _text(value):
    """Expand a list of parts; all else stays."""
    is_parts = isinstance(value, list) and value and isinstance(value[0], dict)
    return b"".join(map(_bytes, value)).decode() if is_parts and "repeat" in value[0] else value


def _bytes(part):
    if isinstance(part, str):
        return part.encode()
    if "hex" in part:
        return bytes.fromhex(part["hex"])
    return (part["repeat"] * part["times"]).encode()


def _finite(value):
    if not isinstance(value, float) or isfinite(value):
        return value
    return {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")
