"""A fresh process: import, and import with one output, against `python -c pass`."""

from __future__ import annotations

from benchmarks.measure import Pair, Row, compare

PROGRAMS = {
    "start, bare python": "pass",
    "start, import json": "import json",
    "start, import kestra": "import kestra",
    "start, with one output": "from kestra import Kestra; Kestra.outputs({'rows': 42})",
    "start, with one log record": "from kestra import Kestra; Kestra.logger().info('hello')",
    "start, with a Flow": "from kestra import Flow; Flow()",
}


def run(pair: Pair) -> list[Row]:
    """Whole processes, from start to exit."""
    return [compare(name, "ms", pair, "start.py", code) for name, code in PROGRAMS.items()]
