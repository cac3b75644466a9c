"""What is rarely needed of a standard stream's descriptor: to wait for a reader, or to lose it."""

from __future__ import annotations

import os
import sys
from errno import EACCES, EBADF, EINVAL, ENOLCK, ENOSYS, ENOTSUP, EPERM
from stat import S_ISREG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kestra._task.hooks import Stream
    from kestra._task.sink import Sink

_NO_LOCK = frozenset({EACCES, EBADF, EINVAL, ENOLCK, ENOSYS, ENOTSUP, EPERM})


def is_ours(error: BaseException) -> bool:
    """Return True if code of this package raised it, or a system call that it made.

    What a signal handler raises inside such a call may be of the same type.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return str(name).startswith("kestra._task.")


def wait_until_writable(descriptor: int) -> None:
    from select import select

    select((), (descriptor,), ())


def expect_blocking(stream: Stream) -> None:
    """Wait for the reader at each write from here on: the descriptor does not."""
    stream.at_once = stream.plain_below = 0
    if not stream.is_buffered:
        stream.most_text = 0
    flush = stream.flush

    def patient_flush() -> None:
        while True:
            try:
                stream.stream.buffer.flush()  # first: the text layer drops what finds no room there
                flush()
            except BlockingIOError as error:
                if not is_ours(error):
                    raise
                wait_until_writable(stream.descriptor)
            else:
                return

    stream.flush = patient_flush


def write_in_pieces(stream: Stream, write: Callable[[str], int], text: str) -> int:
    """Write text to a stream so that Python drops none of it where that has no buffer."""
    if stream.is_buffered or not stream.is_own:  # what somebody else has set gets it whole
        return write(text)
    text.encode(stream.stream.encoding, stream.stream.errors)  # all of it, or an error at once
    for start in range(0, len(text), stream.piece):
        if not stream.at_once:
            wait_until_writable(stream.descriptor)
        write(text[start : start + stream.piece])
    return len(text)


def can_go_on(sink: Sink, real: Stream, error: BaseException, *, is_inside: bool) -> bool:
    """Make the best of what has ended the write of a frame; return True if it can be made again."""
    if real.plain_below and says_no_lock(error) and not is_without_reader(error):
        real.plain_below = 0
        return True
    if is_ours(error):
        if is_without_reader(error):
            discard_from_now_on(real.descriptor)
            if not isinstance(error, BrokenPipeError):  # Windows calls it by another name
                raise BrokenPipeError(*error.args) from None
            return False
        if isinstance(error, BlockingIOError):  # the mode has changed, and no frame is out in part
            if is_inside:  # but the flush may have cut a line of text short
                real.leave_line_open()
            for each in {sink, sink.twin}:
                if each.real is not None:
                    expect_blocking(each.real)
            return True
    real.leave_line_open()  # a full disk, an exception of a signal handler: cut short, maybe
    return False


def is_without_reader(error: BaseException) -> bool:
    is_windows = os.name == "nt" and isinstance(error, OSError) and error.errno == EINVAL
    return isinstance(error, BrokenPipeError) or is_windows


def says_no_lock(error: BaseException) -> bool:
    """Return True if an error means that this kind of file, or its file system, has no locks."""
    return isinstance(error, OSError) and error.errno in _NO_LOCK


def leads_to_empty_file(stream: Any) -> bool:
    stream.flush()
    status = os.fstat(stream.fileno())
    return S_ISREG(status.st_mode) and not status.st_size


def is_same_object(one: int, other: int) -> bool:
    """Return True if two descriptors lead to one object of the Windows kernel, as by `2>&1`."""
    if sys.platform != "win32":
        return False
    import ctypes
    import msvcrt

    # Since Windows 10.
    compare = getattr(ctypes.WinDLL("kernelbase"), "CompareObjectHandles", None)
    handles = (ctypes.c_void_p(msvcrt.get_osfhandle(it)) for it in (one, other))
    return compare is not None and bool(compare(*handles))


def discard_from_now_on(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
