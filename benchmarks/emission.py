"""Frames to a pipe: a call each, 10 MB at once, with and without `python -u`."""

from __future__ import annotations

from benchmarks.measure import Pair, Row, compare

CALLS = ("outputs", "counter", "counter_with_tags", "timer", "gauge", "log")
RUNS = 11  # in some of them the reader sleeps between two frames, and has to be woken


def run(pair: Pair) -> list[Row]:
    """Every call buffered and unbuffered, then the large ones."""
    rows = [
        compare(
            f"{call}, python -u" if flags else call,
            "us",
            pair,
            *flags,
            "emit.py",
            call,
            "50000",
            runs=RUNS,
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
