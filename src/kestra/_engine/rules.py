"""Where Kestra's engines differ in what they keep of a task's lines.

Measured on running servers, 0.21.0 and 1.3.31, and on 2.0.0 as far as the side that runs the
task goes: what a 2.0 server does afterwards (a 1.3 server drops nulls, say) is not in here.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_METRIC_NAME = 150


@dataclass(frozen=True, slots=True)
class Rules:
    """Where the engines differ.

    Attributes:
        keys: The keys of a frame that are read.
        metric_types: Another one drops the frame.
        typed_assets: An asset without a type drops the frame.
        long_name: What comes of a metric's name that is too long.
        lone_surrogate: What comes of one in outputs.
        server: A server's doings are in the rules, not only those of the task's side.
        debug_markers: `##kestra:log:debug##` turns ordinary lines into DEBUG entries.
        drops_nulls: Neither null nor NUL survives in outputs.
        stderr_warns: A line on stderr makes the task's state WARNING.
        max_message: Longer log messages are split.
    """

    keys: tuple[str, ...]
    metric_types: tuple[str, ...]
    long_name: str
    lone_surrogate: str
    server: bool = True
    typed_assets: bool = False
    debug_markers: bool = False
    drops_nulls: bool = False
    stderr_warns: bool = False
    max_message: int | None = None


RULES = {
    "0.21": Rules(
        keys=("outputs", "metrics", "logs"),
        metric_types=("counter", "timer"),
        long_name="takes the server down",
        lone_surrogate="takes the server down",
        stderr_warns=True,
        max_message=10 * 1024,
    ),
    "1.3": Rules(
        keys=("outputs", "metrics", "logs", "assets"),
        metric_types=("counter", "gauge", "timer"),
        long_name="takes the server down, again after each restart",
        lone_surrogate="leaves the execution RUNNING for ever",
        typed_assets=True,
        drops_nulls=True,
        max_message=15 * 1024,
    ),
    "2.0": Rules(
        keys=("outputs", "metrics", "logs", "assets", "otlp"),
        metric_types=("counter", "gauge", "timer"),
        long_name="takes servers of 0.21 and 1.3 down; of 2.0 it is not known",
        lone_surrogate="is fatal to servers of 0.21 and 1.3; of 2.0 it is not known",
        server=False,
        debug_markers=True,
    ),
}
