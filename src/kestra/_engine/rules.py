"""Where Kestra's engines differ in what they keep of a task's lines.

Measured on running servers, 0.21.0 and 1.3.31, and on 2.0.0: there on the side that runs the task,
and of its server that it drops nulls. What else a 2.0 server does to a message is not known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

MAX_METRIC_NAME = 150
GRACE = 10.0  # seconds from SIGTERM to SIGKILL, as of Docker


@dataclass(frozen=True, slots=True)
class Rules:
    """Where the engines differ."""

    keys: tuple[str, ...]  # of a frame, which are read
    metric_types: tuple[str, ...]  # another one drops the frame
    long_name: str  # what comes of a metric's name that is too long
    lone_surrogate: str  # what comes of one in outputs
    server: bool = True  # known is what it does to metrics, logs and numbers, and what it dies of
    typed_assets: bool = False  # an asset without a type drops the frame
    debug_markers: bool = False  # `##kestra:log:debug##` turns ordinary lines into DEBUG entries
    drops_nulls: bool = False  # in outputs, by the server, with their keys
    strips_nul: bool = False  # in outputs, by the server
    stderr_warns: bool = False  # a line there makes the task's state WARNING
    max_message: int | None = None  # longer ones are split in the log

    def without_server(self) -> Rules:
        """Return the rules of the side that runs the task."""
        return replace(self, server=False, drops_nulls=False, strips_nul=False, max_message=None)


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
        lone_surrogate="leaves the execution RUNNING forever",
        typed_assets=True,
        drops_nulls=True,
        strips_nul=True,
        max_message=15 * 1024,
    ),
    "2.0": Rules(
        keys=("outputs", "metrics", "logs", "assets", "otlp"),
        metric_types=("counter", "gauge", "timer"),
        long_name="takes servers of 0.21 and 1.3 down; of 2.0 it is not known",
        lone_surrogate="is fatal to servers of 0.21 and 1.3; of 2.0 it is not known",
        server=False,
        debug_markers=True,
        drops_nulls=True,
    ),
}
