"""The recorded exchanges of data/rest*.jsonl (see the README beside them)."""

import json
from pathlib import Path

_DATA = Path(__file__).parent / "data"
_LINES = [
    line for path in _DATA.glob("rest*.jsonl") for line in path.read_text("utf-8").split("\n")
]
CASES = {row["case"]: row["engines"] for row in map(json.loads, filter(None, _LINES))}


def exchanges(*cases):
    """Return `(engine, request, response)` of every engine that a case was recorded on."""
    return [
        (engine, exchange["request"], exchange["response"])
        for case in cases
        for engine, exchange in CASES[case].items()
    ]
