"""Where progress is shown: on plain lines, or on a terminal."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from kestra._cli.lines import Lines
from kestra._cli.streams import is_live

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from kestra._api.models import LogEntry, StateChange, TaskRun


class Display(Protocol):
    """Shows what happens: `Lines`, or `Screen`."""

    def note(self, text: str) -> None: ...
    def state(self, change: StateChange) -> None: ...
    def entry(self, entry: LogEntry) -> bool: ...
    def watching(
        self, poll: Callable[[], Sequence[TaskRun]], since: float = 0
    ) -> AbstractContextManager[None]: ...


def display_for(options: argparse.Namespace) -> Display:
    """Return what shows the progress of a command: a live line where there is a terminal for it."""
    # The log is what `logs` is for; elsewhere it is progress.
    is_log = options.name == "logs"
    stream = sys.stdout if is_log else sys.stderr
    if not is_live(stream, sys.stderr) or (is_log and options.json):
        return Lines(stream, json=is_log and options.json)
    from kestra._cli.live import Screen

    return Screen(stream)


@contextmanager
def warnings_shown(display: Display) -> Iterator[None]:
    """Let warnings of the client be shown where everything else is."""
    logger = logging.getLogger("kestra")
    handler = _Notes(display)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Notes(logging.Handler):
    def __init__(self, display: Display) -> None:
        super().__init__(logging.WARNING)
        self._display = display
        # How an execution ended, the commands say themselves.
        self.addFilter(lambda record: not getattr(record, "tells_end", False))

    def emit(self, record: logging.LogRecord) -> None:
        self._display.note(record.getMessage())
