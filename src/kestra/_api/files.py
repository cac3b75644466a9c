"""The files among inputs: which values are files, and what is refused of them.

Paths are opened here, for the caller to close, and a byte of each file is read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kestra._values.signals import is_interruption
from kestra._values.table import own_text
from kestra._values.text import type_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

# What `requests` takes as the value of `files`: a field is `(None, text)`.
Part = tuple[Any, ...]


def is_file(value: Any) -> bool:
    """Return True if a value is sent as a file: bytes, a path, an open file, or a tuple."""
    if isinstance(value, bytes | bytearray | memoryview | os.PathLike):
        return True
    if isinstance(value, tuple):
        return own_text(value) is None
    return not isinstance(value, type) and callable(getattr(value, "read", None))


def file_part(path: str, value: Part, opened: ExitStack) -> Part:
    """Return a tuple as `requests` takes it: a path in it is opened."""
    filename, content, *rest = value if 2 <= len(value) <= 4 else (0, 0)  # noqa: PLR2004
    content_type, headers = [*rest, None, None][:2]
    if not (
        isinstance(filename, str | None)
        and isinstance(content_type, str | None)
        and isinstance(headers, Mapping | None)
    ):
        raise TypeError(
            f"{path} must be a tuple of filename, file, and perhaps content type and headers: "
            "where several values are meant, send a list"
        )
    if not _is_content(content):
        raise TypeError(
            f"{path} must have a path, an open file, bytes or text as its file, "
            f"not {type_name(content)}"
        )
    is_field = filename is None or content is None
    return (filename, content if is_field else file_content(path, content, opened), *rest)


def _is_content(value: Any) -> bool:
    """Return True if `requests` takes a value as the content of a file, or it is a path."""
    if isinstance(value, str | int | os.PathLike | None) or hasattr(value, "read"):
        return True
    try:
        memoryview(value)
    except TypeError:
        return False
    return True


def file_content(path: str, value: Any, opened: ExitStack) -> Any:
    """Return a file as it is read; a path is opened."""
    if isinstance(value, memoryview | bytearray):
        value = bytes(value)
    elif isinstance(value, os.PathLike):
        value = opened.enter_context(_opened(path, value))
    elif getattr(value, "closed", False) is True:
        raise ValueError(f"{path} is a closed file: open it again, or send its path")
    elif hasattr(value, "readable") and value.readable() is False:
        raise ValueError(f"{path} is a file that is open for writing only: send its path")
    if _is_empty(value):
        raise ValueError(
            f"{path} is an empty file, or one that was read to its end, and the server would drop "
            "it: leave it out, or rewind it"
        )
    return value


def _opened(path: str, value: os.PathLike[Any]) -> Any:
    try:
        return Path(os.fsdecode(value)).open("rb")  # for the caller to close
    except OSError as error:
        if is_interruption(error):
            raise
        reason = f"{path} cannot be opened: {error.strerror}"
        raise OSError(error.errno, reason, error.filename) from None
    except ValueError as error:  # a NUL in it
        raise ValueError(f"{path} cannot be opened: {error}") from None


def _is_empty(content: Any) -> bool:
    """Return True if nothing is left to read; of a stream that cannot be rewound, nobody knows."""
    if isinstance(content, str | bytes):
        return not content
    start = position_of(content)
    if start is None:
        return False
    first = content.read(1)
    content.seek(start)
    return first in {b"", ""}


def rewinder(parts: Mapping[str, Any]) -> Callable[[], bool]:
    """Return what lets the files of a form be read again, and returns True if all can be."""
    files = [part[1] for part in parts.values() if hasattr(part[1], "read")]
    starts = [position_of(file) for file in files]

    def rewind() -> bool:
        for file, start in zip(files, starts, strict=True):
            if start is None:
                return False
            file.seek(start)
        return True

    return rewind


def position_of(file: Any) -> int | None:
    """Return where a file stands, `None` if it cannot go back there."""
    try:
        start: int = file.tell()
        file.seek(start)
    except (AttributeError, OSError, ValueError):
        return None
    return start
