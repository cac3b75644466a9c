"""Frames that do not reach the reader of a pipe, in what scripts do: threads, processes, an end."""

from __future__ import annotations

from benchmarks.measure import LOST, Pair, Row, compare

# Of each scenario of the worker, how many frames there are.
SCENARIOS = {
    "threads": 40_000,
    "threads, 10 kB": 4_000,
    "beside threads that print": 10_000,
    "processes": 40_000,
    "processes, 10 kB": 4_000,
    "after text without a line end": 1_000,
    "before os._exit": 20,
    "before SIGKILL": 20,
}


def run(pair: Pair) -> list[Row]:
    """Every scenario, buffered and unbuffered."""
    return [
        compare(
            " ".join([scenario, *flags]) + f", of {count:,}",
            LOST,
            pair,
            "deliver.py",
            scenario,
            *flags,
            runs=3,
        )
        for scenario, count in SCENARIOS.items()
        for flags in ((), ("-u",))
    ]
