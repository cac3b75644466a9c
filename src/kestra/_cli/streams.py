"""Standard output and standard error: what can be written there, and how."""

from __future__ import annotations

import io
import os
import sys
from importlib.util import find_spec
from typing import TextIO

from kestra._task.descriptor import discard_from_now_on


def show_anything() -> None:
    """Let what a terminal's encoding lacks be escaped, and be no error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class OutputLost(OSError):
    """Standard output cannot be written, as on a full disk."""


def show(text: str, stream: TextIO | None, *, end: str = "\n") -> bool:
    """Write a text at once, and say whether anybody reads it; a closed stream is `None`.

    Raises:
        OutputLost: It is for standard output, which cannot be written. (That messages on standard
            error are lost is no reason to stop.)
    """
    if stream is None:
        return False
    try:
        print(text, file=stream, end=end, flush=True)
    except OSError as error:
        discard_from_now_on(stream.fileno())  # else there is another error at exit
        if stream is sys.stdout and not isinstance(error, BrokenPipeError):
            raise OutputLost(error.errno, error.strerror, "standard output") from None
        return False
    return True


def is_terminal(*streams: TextIO | None) -> bool:
    """Say whether all of these are terminals."""
    return all(stream is not None and stream.isatty() for stream in streams)


def is_live(*streams: TextIO | None) -> bool:
    """Say whether lines on these can be coloured, and replaced."""
    environment = os.environ
    plain = environment.get("NO_COLOR") or environment.get("CI")
    dumb = environment.get("TERM") in {"dumb", "unknown"}
    return is_terminal(*streams) and not (plain or dumb) and find_spec("rich") is not None


def printable(text: str) -> str:
    """Return a text in which what could steer a terminal is escaped."""
    return "".join(
        character
        if character.isprintable() or character in "\n\t"
        else character.encode("unicode_escape").decode()
        for character in text
    )
