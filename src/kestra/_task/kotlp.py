"""A task runner that wraps the task in `kotlp`, which turns frames into log entries, silently."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kestra._task.sink import Sink

ENDPOINT = "http://127.0.0.1:4318"  # of any local collector: it takes the ancestor too
_WARNING = (
    "kestra: this task runs under kotlp, which turns outputs, metrics and log entries into plain "
    "log lines, so that they are lost: turn the wrapper off in the task runner, or have it write "
    "to a log directory (--log-dir)\n"
)
_MOST_ANCESTORS = 100


def warn_after_first_line(sinks: Sequence[Sink]) -> None:
    """Say on standard error, once the first line is out, that frames are lost."""
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").rstrip("/") != ENDPOINT:
        return
    if "kotlp" in _ancestors():
        for each in sinks:
            each.gate.deferred.append((_warn, (sinks,)))


def _warn(sinks: Sequence[Sink]) -> None:
    for each in sinks:
        each.gate.deferred[:] = [it for it in each.gate.deferred if it[0] is not _warn]
    with suppress(Exception):  # there is no such stream, or nobody reads it
        sys.stderr.write(_WARNING)
        sys.stderr.flush()


def _ancestors() -> set[str]:
    """Return the names of the processes above this one, as far as the system shows them."""
    names = set()
    process = os.getppid()
    with suppress(OSError, ValueError, IndexError):  # no /proc, or a process has ended
        for _ in range(_MOST_ANCESTORS):
            stat = Path(f"/proc/{process}/stat").read_text("utf-8", "replace")
            name, _, rest = stat.partition("(")[2].rpartition(")")
            names.add(name)
            process = int(rest.split()[1])
    return names
