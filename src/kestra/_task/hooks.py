"""The hooks on `write` and `flush` of a standard stream, and the gate that every line passes.

They are set on the stream object itself, so that a frame can tell whether printed text has left a
line open, and so that no text of another thread comes into the middle of a frame.
"""

from __future__ import annotations

import _thread
import os
import sys
from _thread import RLock, get_ident
from io import BufferedWriter, FileIO, TextIOWrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from mmap import mmap
    from typing import Any, TypeVar

    T = TypeVar("T")

# What a signal handler or `__del__` finds that runs inside a write of the same thread:
IDLE = 0  # nothing is being written (and false)
WHOLE = 1  # a frame that the kernel takes as a whole: another may still go first, text may not
INSIDE = 2  # a line that may be out in part: all has to wait for its end
_FRAME_ENDS = ("::\n", "}::")


class Gate:
    """What one line after the other passes on its way to a pipe."""

    ON_STREAM = -1  # the lock between processes is taken on the stream's own descriptor

    def __init__(self) -> None:
        self.lock = RLock()  # around every line; signal handlers and `__del__` re-enter it
        self.acquire: Callable[[], bool] = self.lock.acquire
        self.release = self.lock.release
        self.is_owned: Callable[[], bool] = self.lock._is_owned  # type: ignore[attr-defined]  # noqa: SLF001  # as `threading` does
        self.stage = IDLE
        self.has_text = True  # was printed since the last frame, or may have been
        # What the lock between processes is taken on, or about to be: see `processes`.
        self.locked_file: int | None = None
        self.is_locked_again = False  # by a signal handler that has found it so
        # Whether the pipe's last line is open, as a byte that processes share which come of one
        # by `fork`; None before the first of these.
        self.open_line: mmap | None = None
        self.deferred: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self.other = self  # the gate of the other stream, unless both are one pipe
        self._is_catching_up = False
        self._held: list[int] = []

    def wait(self) -> bool:
        # While the interpreter is torn down, a daemon thread that was stopped may hold it.
        return self.lock.acquire(timeout=1 if sys.is_finalizing() else -1)

    def hold(self) -> None:
        # As inside a line: signal handlers wait.
        self._held.append(self.stage)
        self.stage = INSIDE

    def go_on(self) -> None:
        if self._held:
            self.stage = self._held.pop()

    def release_if_just_taken(self) -> None:
        # A signal handler may have raised before its taker could note it.
        if self.is_owned() and not self.stage:
            self.release()

    def leaves(self, call: Callable[..., object], *arguments: str) -> bool:
        """Leave a call to the thread that holds this gate, if it must not be waited for.

        That is so inside a line of the other stream, in a signal handler or `__del__`: the thread
        that is waited for may wait for this one.
        """
        if self.is_owned() or not self.other.is_owned():
            return False
        self.deferred.append((call, arguments))
        if self.lock.acquire(blocking=False):
            self.release()
            self.catch_up()
        return True

    def catch_up(self) -> None:
        if self._is_catching_up or not self.acquire():
            return
        self._is_catching_up = True
        try:
            while self.deferred:
                call, arguments = self.deferred.pop(0)
                call(*arguments)
        finally:
            self._is_catching_up = False
            self.release()


class Stream:
    """A standard stream that has a descriptor, with the hooks on it.

    A text may be a frame, which a stand-in has passed on: `pass_on` returns True if it takes that.
    """

    def __init__(
        self, stream: Any, gate: Gate, pass_on: Callable[[str, bool], bool], *, line_is_open: bool
    ) -> None:
        self.stream = stream
        self.descriptor: int = stream.fileno()
        self.line_is_open = line_is_open
        self.has_broken_line = False  # by a frame: the line's own end would leave a blank line
        self.hook: Callable[[str], int] | None = None
        self.inner_write: Callable[[str], int] = stream.write
        self.is_own = True  # nobody has replaced what the hook calls
        self._gate = gate
        self._pass_on = pass_on
        self.flush: Callable[[], object] = stream.flush
        self._flush_hook: Callable[[], None] | None = None
        self.unflushed = 0  # characters, since a fork
        self.kind = os.fstat(self.descriptor)
        # The most bytes that the kernel takes as a whole. A signal cuts short what is written to a
        # terminal.
        self.at_once = 0 if stream.isatty() else bytes_at_once(self.descriptor)
        # Frames that need no care but the lock: none in a subinterpreter, whose process has others.
        is_main = getattr(_thread, "_is_main_interpreter", lambda: True)()  # since 3.13
        self.plain_below = self.at_once if is_main else 0
        # Of an unbuffered stream, Python drops what a pipe does not take at once.
        self.is_buffered = type(stream.buffer) is BufferedWriter
        self.piece = bytes_at_once(self.descriptor) // 10  # characters, each of ten bytes at most
        self.most_text = sys.maxsize if self.is_buffered else self.piece  # written as it comes
        if gate.open_line is not None:
            self.mind_processes()
        if not _asked(lambda: os.get_blocking(self.descriptor), otherwise=True):
            from kestra._task.descriptor import expect_blocking

            expect_blocking(self)

    def set_hooks(self) -> None:
        """Set both, where they are not set; a `write` that somebody else has set is called by ours.

        Not a mock's: a test asks it what it was called with. Nor one that was set over ours.
        """
        own = vars(self.stream)
        write = own.get("write")
        is_own = write is None or getattr(write, "__self__", None) is self.stream
        if write is self.hook is not None:
            return
        if not is_own and (self.hook is not None or hasattr(write, "assert_called")):
            return
        if self.hook is not None:  # it was taken off: who knows what was printed since
            self.leave_line_open()
        self.inner_write = self.stream.write
        self.is_own = is_own
        self.hook = own["write"] = _noting_write(self, self._gate, self.inner_write)
        self._flush_hook = own["flush"] = _exclusive_flush(self, self._gate)

    def remove_hooks(self) -> None:
        was_own, self.is_own = self.is_own, False
        own = vars(self.stream)
        if own.get("write") is self.hook is not None:
            del own["write"]
            if not was_own:
                own["write"] = self.inner_write
        if own.get("flush") is self._flush_hook is not None:
            del own["flush"]

    def flush_text(self) -> None:
        if self.unflushed:
            from kestra._task.processes import alone

            self.unflushed = 0
            alone(self._gate, self, self.flush, leaving_open=self.line_is_open)
        else:
            self.flush()

    def is_gone(self) -> bool:
        try:
            return bool(self.stream.closed)
        except ValueError:  # detached
            return True

    def note_frame(self) -> None:
        self.has_broken_line = self.line_is_open
        self.line_is_open = False
        if self.hook is None:
            self._gate.has_text = True

    def leave_line_open(self) -> None:
        self.line_is_open = self._gate.has_text = True

    def mind_processes(self) -> None:
        self.most_text = self.plain_below = 0

    def leave_flushing_to(self, thread: int) -> None:
        # A daemon thread that the interpreter stops inside a flush makes it abort.
        flush = self.flush
        self.flush = lambda: flush() if get_ident() == thread else None
        # The last flush is by an interpreter that has lost most modules.
        if vars(self.stream).get("flush") is self._flush_hook is not None:
            del vars(self.stream)["flush"]

    def takes_frame(self, text: str) -> bool:
        frame = text.strip("\n")
        if frame[:3] != "::{" or frame[-3:] != "}::" or not frame.isascii():
            return False
        is_bare = self.is_own and "write" not in vars(self.stream.buffer)
        return is_bare and self._pass_on(frame, text[-1] == "\n")

    def write_with_care(self, write: Callable[[str], int], text: str, *, is_open: bool) -> int:
        if self._gate.open_line is None:
            from kestra._task.descriptor import write_in_pieces

            return write_in_pieces(self, write, text)
        from kestra._task.processes import write_text

        return write_text(self._gate, self, write, text, is_open=is_open)


def _noting_write(  # noqa: C901
    real: Stream, gate: Gate, write: Callable[[str], int]
) -> Callable[[str], int]:
    other = gate.other
    stream = real.stream
    encoding = stream.encoding
    ends = _line_ends(encoding)

    def noting_write(text: str, /) -> int:  # noqa: C901, PLR0912  # a call of each part takes longer
        nonlocal encoding, ends
        if other.stage and gate.leaves(noting_write, text):
            return len(text)
        if text[-3:] in _FRAME_ENDS and real.takes_frame(text):
            return len(text)
        try:
            is_locked = gate.acquire()
        except BaseException:
            gate.release_if_just_taken()
            raise
        stage = gate.stage if is_locked else IDLE
        try:
            if stage:
                gate.deferred.append((noting_write, (text,)))
                return len(text)
            if real.has_broken_line:
                real.has_broken_line = False
                if text == "\n":
                    return 1
            gate.stage = INSIDE
            gate.has_text = True
            if encoding is not stream.encoding:
                encoding = stream.encoding
                ends = _line_ends(encoding)
            if len(text) <= real.most_text:
                count = write(text)
            else:
                count = real.write_with_care(write, text, is_open=text[-1:] not in ends)
        except (TypeError, ValueError):  # it cannot be encoded: nothing was written
            raise
        except BaseException:  # it may have been cut short
            real.line_is_open = True
            raise
        else:
            if text:
                real.line_is_open = text[-1] not in ends
            return count
        finally:
            gate.stage = stage
            if is_locked:
                gate.release()
            if gate.deferred and not stage:
                gate.catch_up()

    return noting_write


def _exclusive_flush(real: Stream, gate: Gate) -> Callable[[], None]:

    def exclusive_flush() -> None:
        if gate.other.stage and gate.leaves(exclusive_flush):
            return
        with gate.lock:
            stage, gate.stage = gate.stage, INSIDE
            try:
                if stage:
                    gate.deferred.append((exclusive_flush, ()))
                else:
                    real.flush_text()
            except BaseException:
                real.leave_line_open()
                raise
            finally:
                gate.stage = stage
        if gate.deferred and not stage:
            gate.catch_up()

    return exclusive_flush


def descriptor_of(stream: Any) -> int | None:
    """Return that of an ordinary standard stream; None for every stand-in."""
    if type(stream) is not TextIOWrapper:
        return None
    buffer = stream.buffer
    raw = buffer.raw if type(buffer) is BufferedWriter else buffer
    return raw.fileno() if type(raw) is FileIO else None


def bytes_at_once(descriptor: int) -> int:
    # POSIX promises 512 that a pipe takes as a whole, or not at all.
    return _asked(lambda: os.fpathconf(descriptor, "PC_PIPE_BUF"), otherwise=512)


def _asked(ask: Callable[[], T], *, otherwise: T) -> T:
    try:
        return ask()
    except AttributeError:  # Windows
        return otherwise
    except OSError as error:
        if error.errno is None and type(error) is not OSError:  # of a signal handler
            raise
        return otherwise


def is_same_file(one: int, other: int) -> bool:
    """Return True if two descriptors lead to the same place, as by `2>&1`."""
    try:
        first, second = os.fstat(one), os.fstat(other)
    except OSError:  # one of them is closed
        return False
    if first.st_ino or second.st_ino:
        return os.path.samestat(first, second)
    from kestra._task.descriptor import is_same_object  # every pipe of Windows has the number 0

    return is_same_object(one, other)


def write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError as error:
            from kestra._task.descriptor import is_ours, wait_until_writable

            if not is_ours(error):  # but of a signal handler
                raise
            wait_until_writable(descriptor)  # a reader that is slow, not a loop that is hot


def _line_ends(encoding: str) -> str:
    """Return the characters after which a frame can follow: none where zeros do, as in UTF-16."""
    return "\r\n" if "\n".encode(encoding).endswith(b"\n") else ""
