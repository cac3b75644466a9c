"""What is printed as log entries: what stands in the place of standard output and error."""

from __future__ import annotations

import atexit
import os
import re
import sys
import traceback
from threading import current_thread
from typing import TYPE_CHECKING, Any

from kestra._task.logging import never_disabled_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from threading import Thread
    from types import FrameType

_HEADER = re.compile(
    r"^[ +|]*(Exception Group )?Traceback \(most recent call last\):", re.MULTILINE
)
# Text that is printed below a call of one of these goes past: it would come back here.
_LOGGING = {"logging", "logging.handlers", "kestra._task.logging"}
# What prints a traceback piece by piece; Python 3.10 has no such method.
_print_traceback: Any = getattr(traceback.TracebackException, "print", traceback.print_exception)
_PRINTING_TRACEBACK = _print_traceback.__code__


def capture(stdout_level: int, stderr_level: int) -> list[Callable[[], object]]:
    """Set both, where they are not set; return what undoes it."""
    undo: list[Callable[[], object]] = []
    for name, level in (("stdout", stdout_level), ("stderr", stderr_level)):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, PrintStream):
            printing = PrintStream(name, stream, level)
            setattr(sys, name, printing)
            undo.append(printing.unset)
    return undo


class PrintStream:
    """Makes a record of each line that is printed; a traceback stays together.

    Frames go to the stream below (see `stand_ins`), and so does what is printed while a record is
    on its way, by a filter, a formatter or a handler.
    """

    def __init__(self, name: str, below: Any, level: int) -> None:
        self.below = below
        self._name = name
        self._level = level
        self._logger = never_disabled_logger("print")
        self._is_set = True
        self._lines: dict[Thread, str] = {}  # that are not at their end
        self._logged: dict[Thread, str] = {}  # of a traceback, while it is still being printed
        atexit.register(self.finish)
        if hasattr(os, "register_at_fork"):  # what the parent has begun, it ends
            os.register_at_fork(after_in_child=self._lines.clear)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.below, name)

    def write(self, text: str, /) -> int:
        thread = current_thread()
        is_logging, whole = _printed_by()
        if not self._is_set or is_logging or not isinstance(text, str):
            self.below.write(text)  # which refuses what is not text
            return len(text)
        logged = self._logged.pop(thread, "")
        if logged and logged.startswith(text):
            self._logged[thread] = logged[len(text) :]
        elif (whole.startswith(text) and text) or _HEADER.search(text):
            self._log(self._lines.pop(thread, ""))
            self._log((whole or text).rstrip("\n"))
            self._logged[thread] = whole[len(text) :]
        else:
            if text.startswith("::{"):
                self._log(self._lines.pop(thread, ""))
            *lines, rest = (self._lines.pop(thread, "") + text).split("\n")
            for line in lines:
                self._log(_after_returns(line))
            if rest:
                self._lines[thread] = _after_returns(rest)
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        """Flush the stream below; a line that is not at its end waits for that, or the last call.

        That is the interpreter's, or in a child of `multiprocessing` the one before `os._exit`.
        """
        caller = sys._getframe().f_back  # noqa: SLF001  # documented
        if caller is None or caller.f_code.co_name == "_flush_std_streams":
            self.finish()
        self.below.flush()

    def finish(self) -> None:
        """Log what is left of lines that never ended."""
        while self._lines:
            self._log(self._lines.popitem()[1])

    def unset(self) -> None:
        self.finish()
        atexit.unregister(self.finish)
        self._is_set = False
        if getattr(sys, self._name) is self:
            setattr(sys, self._name, self.below)

    def _log(self, text: str) -> None:
        text = text.rstrip("\r")
        if not text.strip():
            return
        is_frame = text.startswith("::{") and text.endswith("}::")  # printed by hand
        is_logged = self._logger.isEnabledFor(self._level) and self._logger.hasHandlers()
        if is_logged and not is_frame:
            self._logger.log(self._level, text, stacklevel=3)  # where `print` was called
        else:
            self.below.write(f"{text}\n")


def finish() -> None:
    """Log what is left of lines that never ended, before the process does."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, PrintStream):
            stream.finish()


def _after_returns(line: str) -> str:
    """Return the last state of a line that was written over and over, as by a progress bar."""
    return line[line.rfind("\r", 0, -1) + 1 :]


def _printed_by() -> tuple[bool, str]:
    """Return whether `logging` prints, and the whole text where a traceback is being printed."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001  # documented
    whole = ""
    while frame is not None:
        if frame.f_globals.get("__name__") in _LOGGING:
            return True, ""
        if frame.f_code is _PRINTING_TRACEBACK:
            own = frame.f_locals
            error = own["self"] if "self" in own else own["te"]
            whole = "".join(error.format(chain=own["chain"], **own.get("kwargs", {})))
        frame = frame.f_back
    return False, whole
