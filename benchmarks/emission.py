"""Frames to a pipe: a call each, 10 MB at once, with and without `python -u`."""

from __future__ import annotations

from benchmarks.measure import Pair, Row, compare

CALLS = ("outputs", "counter", "counter_with_tags", "timer", "gauge", "log")


def run(pair: Pair) -> list[Row]:
    """Every call buffered and unbuffered, then the large ones."""
    rows = [
        compare(
            f"{call}, python -u" if flags else call, "us", pair, *flags, "emit.py", call, "50000"
        )
        for call in CALLS
        for flags in ((), ("-u",))
    ]
    for kind in ("text", "rows", "non-ascii"):
        rows.append(compare(f"outputs of 10 MB, {kind}", "ms", pair, "emit_large.py", kind))
        rows.append(
            compare(
                f"outputs of 10 MB, {kind}: memory", "MiB", pair, "emit_large.py", kind, "memory"
            )
        )
    return rows
