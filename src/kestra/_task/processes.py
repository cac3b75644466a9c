"""What processes share that write to one pipe: a lock, and whether its line is open.

The lock is of two kinds, which exclude each other. `lockf` costs least, and belongs to the process:
all its interpreters have it together, and lose it when any of its threads closes a duplicate of the
descriptor. So a long frame, and every frame of a process that has threads or other interpreters,
takes one on an open file of its own, which is opened for this write (to keep it would keep the pipe
open after the script has closed it). Where that cannot be had (macOS, a socket, another user's
file), there is `lockf`; where there is none either, frames of one write are whole all the same.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import _count
from errno import EDEADLK
from stat import S_ISFIFO, S_ISREG

from kestra._task.descriptor import is_ours, says_no_lock, write_in_pieces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeVar

    from kestra._task.hooks import Gate, Stream

    T = TypeVar("T")

try:
    import fcntl
except ImportError:  # Windows: one write is whole there
    fcntl = None  # type: ignore[assignment]

# Elsewhere `/dev/fd/1` is the same open file, not one of its own.
_OFD_LOCK: Any = getattr(fcntl, "F_OFD_SETLKW", None) if sys.platform == "linux" else None
_SHORT = 1_000  # characters that stay in any buffer
# What calls import when they need it, and so may another thread at any moment.
_IMPORTED_LATE = (
    "dataclasses", "inspect", "json", "kestra._task.kill", "kestra._task.logging",
    "kestra._task.logging_config", "kestra._task.metric_types", "kestra._task.numbers",
    "kestra._task.prints", "kestra._task.stand_ins", "kestra._task.timing",
    "kestra._values.encoded", "kestra._values.signals", "kestra._values.table",
    "kestra._values.times",
)  # fmt: skip


def alone(gate: Gate, stream: Stream, write: Callable[[], T], *, leaving_open: bool) -> T:
    """Write while no other process does, and let all know how that leaves the line.

    A signal handler that emits inside of this, or of the write of a short frame, finds in
    `gate.locked_file` what the lock is on, and takes the same one: with a lock of the other kind it
    would wait for itself. It leaves it taken, and whoever has put that there gives it back.
    """
    is_outer = gate.locked_file is None
    has_begun = False
    try:
        if is_outer:
            gate.locked_file = _reopened(gate, stream)
        else:
            gate.is_locked_again = True
        _lock(gate, stream.descriptor)
        has_begun = True
        return write()
    except BaseException:
        leaving_open = True  # it may have been cut short
        raise
    finally:
        if has_begun and gate.open_line is not None:
            gate.open_line[0] = leaving_open
        if is_outer:
            try:
                _give_back(gate, stream.descriptor)
            except BaseException:  # of a signal handler, perhaps before anything was done
                _give_back(gate, stream.descriptor)
                raise


def write_text(
    gate: Gate, stream: Stream, write: Callable[[str], int], text: str, *, is_open: bool
) -> int:
    """Write text in whole lines, and what is left open soon after."""
    if not text:
        return 0
    stream.unflushed += len(text)
    if is_open and stream.is_buffered and stream.unflushed < _SHORT:
        return write(text)

    def write_and_flush() -> int:
        written = write_in_pieces(stream, write, text)
        stream.flush()
        return written

    stream.unflushed = 0
    return alone(gate, stream, write_and_flush, leaving_open=is_open)


def load_for_child() -> None:
    """Import what a child may need: it could never import what another thread is importing now."""
    if not _count():
        return
    logging = sys.modules.get("logging")
    lock: Any = getattr(logging, "_lock", None)
    is_due = not hasattr(logging, "LogRecord")  # which comes after the hooks of `logging`
    if lock is not None and lock._is_owned():  # noqa: SLF001  # by one of these
        is_due = True
        lock.release()  # a thread that imports `logging` may be waiting for it
    for name in _IMPORTED_LATE:
        __import__(name)
    if is_due:  # its hook after this fork releases what the one before it takes
        vars(sys.modules["logging"])["_lock"].acquire()


def before_fork(gates: Iterable[tuple[Gate, Stream | None]]) -> None:
    """Share what the processes have to know of each other; the gates are passed already."""
    from mmap import mmap

    for gate, stream in gates:
        if gate.open_line is None:
            gate.open_line = mmap(-1, 1)
        if stream is None:
            continue
        try:
            stream.flush_text()  # else the child would print the parent's text once more
        except (OSError, ValueError) as error:
            if not is_ours(error):
                raise
            # No reader, or closed: the next write says so.
        finally:
            gate.open_line[0] |= stream.line_is_open
            stream.mind_processes()


def _lock(gate: Gate, descriptor: int) -> None:
    while True:
        try:
            _set_lock(gate, gate.locked_file, descriptor, is_taken=True)
        except OSError as error:
            if error.errno == EDEADLK:  # also the false alarm for two threads of two processes each
                time.sleep(0.001)
                continue
            if not says_no_lock(error):
                raise
            own, gate.locked_file = gate.locked_file, gate.ON_STREAM
            if own is not None and own != gate.ON_STREAM:
                os.close(own)
                continue
        return


def _give_back(gate: Gate, descriptor: int) -> None:
    locked = gate.locked_file
    if locked is None:
        return
    try:
        _unlock(gate, locked, descriptor)
        gate.locked_file = None
        if gate.is_locked_again:  # perhaps in between
            gate.is_locked_again = False
            _unlock(gate, locked, descriptor)
    except BaseException:
        _unlock(gate, locked, descriptor)
        raise
    finally:
        gate.locked_file = None
        if locked != gate.ON_STREAM:
            os.close(locked)


def _unlock(gate: Gate, locked: int, descriptor: int) -> None:
    try:
        # Closing it is not enough: a child that another thread has just started may have it.
        _set_lock(gate, locked, descriptor, is_taken=False)
    except OSError as error:
        if not says_no_lock(error):
            raise


def _set_lock(gate: Gate, locked: int | None, descriptor: int, *, is_taken: bool) -> None:
    if fcntl is None:
        return
    if locked is None or locked == gate.ON_STREAM:
        fcntl.lockf(descriptor, fcntl.LOCK_EX if is_taken else fcntl.LOCK_UN)
    else:
        kind = fcntl.F_WRLCK if is_taken else fcntl.F_UNLCK
        # A `struct flock` for the whole file, as long as that of any platform.
        fcntl.fcntl(locked, _OFD_LOCK, kind.to_bytes(2, sys.byteorder) + bytes(30))


def _reopened(gate: Gate, stream: Stream) -> int:
    """Open the file of a stream once more, where that is possible."""
    mode = stream.kind.st_mode
    if _OFD_LOCK is None or not (S_ISFIFO(mode) or S_ISREG(mode)):
        return gate.ON_STREAM
    path = f"/proc/self/fd/{stream.descriptor}"
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # a fifo without a reader would block
    except OSError as error:
        if error.errno is None:  # of a signal handler
            raise
        return gate.ON_STREAM
