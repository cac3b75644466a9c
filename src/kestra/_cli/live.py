"""What is shown on a terminal: a line that is kept up to date, and the log above it in colour."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from kestra._cli.display import Display
from kestra._cli.execution_report import duration, tasks_done
from kestra._engine.report import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kestra._api.models import LogEntry, StateChange, TaskRun

_LEVELS = {"TRACE": "dim", "DEBUG": "blue", "INFO": "green", "WARN": "yellow", "ERROR": "bold red"}
_STATES = {"SUCCESS": "green", "WARNING": "yellow", "FAILED": "red", "KILLED": "red",
           "CANCELLED": "red"}  # fmt: skip
_REFRESHED = 4  # times a second
_POLL_INTERVAL = 2.0  # seconds
_COLOURS = re.compile(r"(\x1b\[[0-9;]*m)")


class Screen(Display):
    """Shows what happens on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._state = ""
        self._runs: Sequence[TaskRun] = ()
        self._start = 0.0

    def note(self, text: str) -> None:
        self._console.print(printable(text), soft_wrap=True)

    def state(self, change: StateChange) -> None:
        self._state = change.state

    def entry(self, entry: LogEntry) -> bool:
        pieces = _COLOURS.split(entry.message)  # a message has colours of its own
        pieces[::2] = map(printable, pieces[::2])
        shown_time = entry.time.astimezone().strftime("%H:%M:%S") if entry.time else "-"
        text = Text.assemble(
            (f"{shown_time} ", "dim"),
            (f"{entry.level:<5} ", _LEVELS.get(entry.level, "")),
            (f"{printable(entry.task)}: " if entry.task else "", "bold"),
            Text.from_ansi("".join(pieces)),
        )
        self._console.print(text, soft_wrap=True)
        return True

    @contextmanager
    def watching(self, poll: Callable[[], Sequence[TaskRun]], since: float = 0) -> Iterator[None]:
        self._start = time.monotonic() - since
        live = Live(
            console=self._console,
            get_renderable=self._line,
            refresh_per_second=_REFRESHED,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        over = threading.Event()

        def poll_tasks() -> None:
            while not over.is_set():
                # What is wrong, the wait itself will say.
                with suppress(Exception):
                    self._runs = poll()
                over.wait(_POLL_INTERVAL)

        with live:
            # It stays visible if this process is killed.
            self._console.show_cursor(True)
            threading.Thread(target=poll_tasks, daemon=True).start()
            try:
                yield
            finally:
                over.set()

    def _line(self) -> Text:
        took = duration(time.monotonic() - self._start)
        text = Text.assemble(
            (printable(self._state), _STATES.get(self._state, "cyan")),
            "  " if self._state else "",
            f"{took}, {tasks_done(self._runs)}" if self._runs else took,
        )
        text.no_wrap, text.overflow = True, "ellipsis"
        return text
