"""Executions on a server of the benchmark's own: delay, requests, connections, bytes, memory."""

from __future__ import annotations

from benchmarks.measure import Pair, Row, compare

# Figure of the worker, what it is called, its unit, and how often it is measured.
FIGURES = (
    ("delay", "0 to 4 s: mean delay after the end", "ms", 3),
    ("delay_log", "0 to 4 s: mean delay, with the log", "ms", 3),
    ("delay_followed", "0 to 4 s, follow=True: mean delay", "ms", 3),
    ("requests", "0 to 4 s: requests", "", 1),
    ("requests_followed", "0 to 4 s, follow=True: requests", "", 1),
    ("connections", "0 to 4 s: connections", "", 1),
    ("bytes", "0 to 4 s, log of 20 kB: received", "kB", 1),
    ("bytes_large", "0 to 4 s, log of 1 MB: received", "kB", 1),
    ("instant", "over at once: delay", "ms", 3),
    ("minute", "one minute: requests", "", 1),
    ("threads", "100 threads at once: connections", "", 1),
    ("memory", "log of 200 MB: memory / log", "x", 1),
)


def run(pair: Pair) -> list[Row]:
    """Every figure of one execution, as the mean of forty where durations differ."""
    return [
        compare(f"execute, {name}", unit, pair, "execute.py", figure, runs=runs)
        for figure, name, unit, runs in FIGURES
    ]
