"""Standard output and standard error: what can be written there, and how."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from importlib.util import find_spec
from typing import TextIO

from kestra._task.descriptor import discard_from_now_on

UNWRITTEN = 5  # exit status
# Windows says EINVAL of a pipe that nobody reads.
_READER_IS_GONE = {errno.EPIPE, errno.EINVAL} if sys.platform == "win32" else {errno.EPIPE}


class OutputLost(OSError):
    """Standard output cannot be written, as on a full disk."""


def show(text: str, stream: TextIO | None, *, end: str = "\n") -> bool:
    """Write a text at once, and return True if anybody reads it; a closed stream is `None`."""
    if stream is None:
        return False
    try:
        print(text, file=stream, end=end, flush=True)
    except OSError as error:
        _give_up(stream, error)
        return False
    return True


def show_bytes(content: bytes) -> None:
    """Write bytes to standard output as they are, where anybody reads it."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError as error:
        _give_up(sys.stdout, error)


def _give_up(stream: TextIO, error: OSError) -> None:
    discard_from_now_on(stream.fileno())  # else there is another error at exit
    # That messages on standard error are lost is no reason to stop.
    if stream is sys.stdout and error.errno not in _READER_IS_GONE:
        raise OutputLost(error.errno, error.strerror, "standard output") from None


def room_on(stream: TextIO | None) -> int | None:
    return shutil.get_terminal_size().columns if is_terminal(stream) else None


def is_terminal(*streams: TextIO | None) -> bool:
    return all(stream is not None and stream.isatty() for stream in streams)


def is_live(*streams: TextIO | None) -> bool:
    """Return True if lines on these can be coloured, and replaced."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("CI")
    is_dumb = os.environ.get("TERM") in {"dumb", "unknown"}
    return is_terminal(*streams) and not (is_plain or is_dumb) and find_spec("rich") is not None
