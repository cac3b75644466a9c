"""What the system does with the bytes of a standard stream: whole writes, waiting, locks."""

from __future__ import annotations

import os
from io import BufferedWriter, FileIO, TextIOWrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# One call for a line and its end; where there is none (Windows), one for each of them.
_writev = getattr(os, "writev", lambda descriptor, pieces: os.write(descriptor, pieces[0]))


def descriptor_of(stream: Any) -> int | None:
    """That of an ordinary standard stream; None for every stand-in (capsys, a notebook, …)."""
    if type(stream) is not TextIOWrapper:
        return None
    buffer = stream.buffer
    raw = buffer.raw if type(buffer) is BufferedWriter else buffer
    return raw.fileno() if type(raw) is FileIO else None


def is_blocking(descriptor: int) -> bool:
    """Whether a write waits for the reader, as it usually does."""
    try:
        return os.get_blocking(descriptor)
    except (AttributeError, OSError):  # on Windows there is none, or only for pipes
        return True


def bytes_at_once(descriptor: int) -> int:
    """How many bytes a pipe takes as a whole, or not at all."""
    try:
        return os.fpathconf(descriptor, "PC_PIPE_BUF")
    except (AttributeError, OSError):
        return 512  # the least that POSIX allows


def characters_at_once(descriptor: int) -> int:
    """How many characters it takes as a whole: none has more than ten bytes."""
    return bytes_at_once(descriptor) // 10


def write_all(descriptor: int, *pieces: bytes) -> None:
    """Write pieces, one after the other, however slow the reader is."""
    rest = [memoryview(piece) for piece in pieces]
    while rest:
        try:
            written = _writev(descriptor, rest)
        except BlockingIOError:  # a reader that is slow, not a loop that is hot
            wait_until_writable(descriptor)
            continue
        while rest and written >= len(rest[0]):
            written -= len(rest.pop(0))
        if rest:
            rest[0] = rest[0][written:]


def wait_until_writable(descriptor: int) -> None:
    """Wait for the reader, where the descriptor does not block."""
    from select import select

    select((), (descriptor,), ())


def patient(flush: Callable[[], object], buffer: Any, descriptor: int) -> Callable[[], None]:
    """The `flush` of a stream whose descriptor does not block, made to wait for the reader."""

    def patient_flush() -> None:
        while True:
            try:
                buffer.flush()  # first: the text layer drops what finds no room in there
                flush()
            except BlockingIOError:
                wait_until_writable(descriptor)
            else:
                return

    return patient_flush


def lock(descriptor: int) -> None:
    """Keep other processes out that take the same lock.

    `lockf`, because a process has it: `flock` is shared by all that inherited the descriptor.
    """
    _lockf(descriptor, "LOCK_EX")


def unlock(descriptor: int) -> None:
    """Let other processes in again; a lock that was not to be had is none to give back."""
    _lockf(descriptor, "LOCK_UN")


def _lockf(descriptor: int, operation: str) -> None:
    try:
        import fcntl

        fcntl.lockf(descriptor, getattr(fcntl, operation))
    except (ImportError, OSError):
        pass  # there is none on Windows, nor for every kind of file


def discard_from_now_on(descriptor: int) -> None:
    """Lead a descriptor to nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


def is_one_pipe() -> bool:
    """Whether both streams lead to the same place, as by `2>&1`."""
    try:
        return os.path.sameopenfile(1, 2)
    except OSError:  # one of them is closed
        return False
