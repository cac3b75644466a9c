"""Where progress is shown: here on plain lines, in `live` on a terminal."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, TextIO

from kestra._api.models import TERMINAL_STATES, LogEntry, StateChange, TaskRun
from kestra._cli.execution_report import as_json
from kestra._cli.streams import is_terminal, show
from kestra._engine.report import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Display:
    """Shows what happens; log entries go to `stream`."""

    def __init__(self, stream: TextIO, *, json: bool = False) -> None:
        self._stream = stream
        self._json = json

    def note(self, text: str) -> None:
        show(printable(text), sys.stderr)

    def state(self, change: StateChange) -> None:
        """Show a state, but not the last one, which the summary shows."""
        if change.state not in TERMINAL_STATES:
            self.note(change.state)

    def entry(self, entry: LogEntry) -> bool:
        """Show a log entry, and return True if anybody reads it."""
        text = as_json(entry) if self._json else str(entry)
        return show(printable(text) if is_terminal(self._stream) else text, self._stream)

    def watching(
        self,
        poll: Callable[[], Sequence[TaskRun]],  # noqa: ARG002  # what lines do not show
        since: float = 0,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Keep a line with state, time and tasks up to date in this block, if there is one.

        `poll` returns the task runs as they are now; the execution has been there `since` seconds.
        """
        return nullcontext()
