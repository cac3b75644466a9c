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
    """Where the engines differ.

    Attributes:
        keys: The keys of a frame that are read.
        metric_types: Another one drops the frame.
        typed_assets: An asset without a type drops the frame.
        long_name: What comes of a metric's name that is too long.
        lone_surrogate: What comes of one in outputs.
        server: It is known what a server does to metrics, logs and numbers, and what it dies of.
        debug_markers: `##kestra:log:debug##` turns ordinary lines into DEBUG entries.
        drops_nulls: In outputs, the server leaves out keys whose value is null.
        strips_nul: In outputs, it strips NUL characters.
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
    strips_nul: bool = False
    stderr_warns: bool = False
    max_message: int | None = None

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
