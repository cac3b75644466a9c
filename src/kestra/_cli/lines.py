"""Progress on plain lines."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, TextIO

from kestra._api.models import TERMINAL_STATES
from kestra._cli.execution_report import log_json
from kestra._cli.streams import is_terminal, printable, show

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from kestra._api.models import LogEntry, StateChange, TaskRun


class Lines:
    """Shows what happens as plain lines.

    Attributes:
        stream: Where log entries go.
    """

    def __init__(self, stream: TextIO, *, json: bool = False) -> None:
        self.stream = stream
        self._text: Callable[[LogEntry], str] = log_json if json else str
        self._escaped = is_terminal(stream)

    def note(self, text: str) -> None:
        """Show a sentence."""
        show(printable(text), sys.stderr)

    def state(self, change: StateChange) -> None:
        """Show a state, but not the last one, which the summary shows."""
        if change.state not in TERMINAL_STATES:
            self.note(change.state)

    def entry(self, entry: LogEntry) -> bool:
        """Show a log entry, and return True if anybody reads it."""
        text = self._text(entry)
        return show(printable(text) if self._escaped else text, self.stream)

    def watching(
        self,
        poll: Callable[[], Sequence[TaskRun]],  # noqa: ARG002  # what lines do not show
        since: float = 0,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Keep a line up to date in this block; there is none."""
        return nullcontext()
