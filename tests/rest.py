"""The recorded exchanges of data/rest*.jsonl (see the README beside them)."""

import json
from pathlib import Path

_DATA = Path(__file__).parent / "data"


def _cases(*names):
    lines = [line for name in names for line in (_DATA / name).read_text("utf-8").split("\n")]
    return {row["case"]: row["engines"] for row in map(json.loads, filter(None, lines))}


CASES = _cases("rest.jsonl", "rest-details.jsonl")  # on 0.21 and 1.3
NEWER = _cases("rest-2.0.jsonl")  # on 2.0, and what of it was repeated on 1.3


def exchanges(*cases, of=CASES):
    """Return `(engine, request, response)` of every engine that a case was recorded on."""
    return [
        (engine, exchange["request"], exchange["response"])
        for case in cases
        for engine, exchange in of[case].items()
    ]
