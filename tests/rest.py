"""The recorded exchanges of data/rest.jsonl (see the README beside it)."""

import json
from pathlib import Path

_LINES = (Path(__file__).parent / "data" / "rest.jsonl").read_text(encoding="utf-8").splitlines()
_CASES = {row["case"]: row["engines"] for row in map(json.loads, _LINES)}


def exchanges(*cases):
    """Return `(engine, request, response)` of every engine that a case was recorded on."""
    return [
        (engine, exchange["request"], exchange["response"])
        for case in cases
        for engine, exchange in _CASES[case].items()
    ]
