"""Where frames go: a standard stream of this process, one line each, delivered at once.

A frame counts only on a line of its own. So each is one write of a complete line, made before the
call returns: under one lock with all text that this process prints to the same pipe, under a
lock between processes where others may write there, and after a line break where printed text
has left a line open (`print("…", end="")`).

**The side effect of this import.** To know of open lines, and to keep the text of other threads
out of a frame, a hook is set on `write` and `flush` of `sys.stdout` and `sys.stderr`: on these two
objects only, and it comes off when the stream is replaced. `KESTRA_STDOUT_HOOK=0` in the
environment leaves it out. It cannot see text that was printed before it was set, that goes to
`sys.stdout.buffer` or to the descriptor, or that another process writes; those that come of one
by `fork` tell each other.
"""

from __future__ import annotations

import atexit
import os
import sys
from _thread import RLock, get_ident
from io import BufferedWriter

from kestra._task.descriptor import (
    bytes_at_once,
    characters_at_once,
    descriptor_of,
    discard_from_now_on,
    is_blocking,
    is_one_pipe,
    lock,
    patient,
    unlock,
    wait_until_writable,
    write_all,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from mmap import mmap
    from typing import Any, TypeVar

    T = TypeVar("T")

# Looked up once, not for every frame.
_modules = sys.modules
_streams = vars(sys)
_write = os.write
_has_forked = False  # or been forked

# What a signal handler or `__del__` finds that runs inside a write of the same thread:
_IDLE = 0  # nothing is being written (and false)
_WHOLE = 1  # a frame that the kernel takes as a whole: another may still go first, text may not
_INSIDE = 2  # a line that may be out in part: all has to wait for its end

_SHORT = 1_000  # characters that stay in any buffer


class _Gate:
    """What one line after the other passes on its way to a pipe.

    Attributes:
        lock: Around every line; signal handlers and `__del__` re-enter it.
        stage: What they find.
        has_text: Text was printed since the last frame, or may have been.
        is_exclusive: No other process writes, as far as it takes the same lock.
        open_line: Whether the pipe's last line is open, as a byte that all processes share which
            come of one by `fork`; None before the first of these.
        deferred: The calls that wait for the end of the line.
        other: The gate of the other stream; this one where both streams are one pipe.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.acquire: Callable[[], bool] = self.lock.acquire
        self.release = self.lock.release
        self.is_owned: Callable[[], bool] = self.lock._is_owned  # type: ignore[attr-defined]  # noqa: SLF001  # as `threading` does
        self.stage = _IDLE
        self.has_text = True
        self.is_exclusive = False
        self.open_line: mmap | None = None
        self.deferred: list[tuple[Callable[..., object], tuple[str, ...]]] = []
        self.other = self
        self._is_catching_up = False

    def wait(self) -> bool:
        """Take the lock, and say whether that was possible.

        While the interpreter is torn down, a daemon thread that was stopped for good may hold it.
        """
        return self.lock.acquire(timeout=1 if sys.is_finalizing() else -1)

    def release_if_just_taken(self) -> None:
        """Release the lock where a signal handler raised before its taker could note it."""
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
        """Make the calls that were deferred."""
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


class Sink:
    """One of the two standard streams, as what it is when a frame is written.

    Args:
        name: `stdout` or `stderr`.
        gate: Of its own, or shared with the other stream where both are one pipe.
    """

    def __init__(self, name: str, gate: _Gate) -> None:
        self.gate = gate
        self.twin = self  # the other stream, where both are one pipe
        self._name = name
        self._stream: Any = None
        self._descriptor: Any = None  # an integer; None: the stream has none, and takes text
        self._at_once = 0  # the most bytes that the kernel takes as a whole
        self._is_buffered = True
        self._most_text = sys.maxsize  # characters of a text that is written as it comes
        self._unflushed = 0  # characters, since a fork
        self._flush: Callable[[], object] = lambda: None
        self._hooks: dict[str, object] = {}
        self.line_is_open = False
        self.has_broken_line = False  # by a frame: the line's own end would leave a blank line
        stream = getattr(sys, name)
        if stream is not None and not stream.closed:
            self._bind(stream)

    def write(self, frame: str) -> None:  # noqa: C901, PLR0912  # a call of each part takes longer
        """Deliver a frame, on a line of its own, before this returns.

        One exception: where a signal handler, or `__del__`, runs inside the write of text or of
        a longer frame, its frame is delivered right after that.

        Raises:
            BrokenPipeError: The reader is gone. Raised once: the descriptor leads to
                `os.devnull` from then on, as the Python manual advises, so that no second
                message follows at exit.
            RuntimeError: There is no such stream (`sys.stdout` is None).
        """
        gate = self.gate
        if gate.other.stage and gate.leaves(self.write, frame):
            return
        try:
            is_locked = gate.acquire()
        except BaseException:
            gate.release_if_just_taken()
            raise
        stage = gate.stage if is_locked else _IDLE
        try:
            if stage == _INSIDE:
                gate.deferred.append((self.write, (frame,)))
            else:
                gate.stage = _WHOLE  # before the look: what a signal handler prints has to wait
                if gate.has_text or _streams.get(self._name) is not self._stream:
                    self._write_after_text(frame)
                elif (  # `_is_shared()`, without the call
                    len(frame) >= self._at_once
                    or _has_forked
                    or "subprocess" in _modules
                    or "multiprocessing" in _modules
                ):
                    self._write_exclusively(frame)
                else:
                    data = f"{frame}\n".encode()
                    written = _write(self._descriptor, data)  # a pipe takes all of it or nothing,
                    if written < len(data):  # a file may take less
                        write_all(self._descriptor, data[written:])
        except BaseException as error:
            if not self._can_go_on(error):
                raise
            gate.stage = stage
            self.write(frame)
        finally:
            gate.stage = stage
            if is_locked:
                gate.release()
            if gate.deferred and not stage:
                gate.catch_up()

    def flush(self) -> None:
        """Hand text that was printed before to the kernel."""
        if self._unflushed:
            self._unflushed = 0
            self._alone(self._flush, leaving_open=self.line_is_open)
        else:
            self._flush()

    def _write_after_text(self, frame: str) -> None:
        stream = getattr(sys, self._name)
        if stream is not self._stream:
            self._bind(stream)
        if self._descriptor is None:
            _write_to_stand_in(stream, frame)
            return
        self.gate.stage = _INSIDE
        self.flush()
        if self.twin is not self:
            try:  # noqa: SIM105  # `contextlib` would take a part of every start
                self.twin.flush()
            except ValueError:
                pass  # closed
        is_open = self.line_is_open or self.twin.line_is_open
        self._write_exclusively(f"\n{frame}" if is_open else frame)
        self.gate.has_text = False
        for sink in {self, self.twin}:
            sink.note_frame()

    def note_frame(self) -> None:
        """Take note that a frame has ended the line."""
        self.has_broken_line = self.line_is_open
        self.line_is_open = False
        if not self._hooks:
            self.gate.has_text = True

    def _write_exclusively(self, line: str) -> None:
        """Write a line, under a lock between processes if it needs one."""
        gate = self.gate
        is_whole = len(line) + 1 < self._at_once
        gate.stage = _WHOLE if is_whole else _INSIDE

        def write() -> None:
            data = line.encode()
            if gate.open_line is not None and gate.open_line[0] and line[0] != "\n":
                data = b"\n" + data
            write_all(self._descriptor, data, b"\n")

        if is_whole and not _is_shared():
            write_all(self._descriptor, f"{line}\n".encode())
        else:
            self._alone(write, leaving_open=False)

    def _alone(self, write: Callable[[], T], *, leaving_open: bool) -> T:
        """Write while no other process does, and let all know how that leaves the line."""
        gate = self.gate
        is_outer = not gate.is_exclusive  # or a whole line inside of one, whose lock has to stay
        try:
            gate.is_exclusive = True
            lock(self._descriptor)
            return write()
        except BaseException:
            leaving_open = True  # it may have been cut short
            raise
        finally:
            if gate.open_line is not None:
                gate.open_line[0] = leaving_open
            if is_outer:
                gate.is_exclusive = False
                unlock(self._descriptor)

    def _can_go_on(self, error: BaseException) -> bool:
        """Make the best of what has interrupted a write; say whether it can be made again."""
        if self._descriptor is None:
            return False
        if isinstance(error, BrokenPipeError):
            discard_from_now_on(self._descriptor)
            return False
        if isinstance(error, BlockingIOError):  # the mode has changed, and no frame is out in part
            if self.gate.stage == _INSIDE:  # but the flush may have cut a line of text short
                self._leave_line_open()
            for sink in {self, self.twin}:
                sink.expect_blocking()
            return True
        self._leave_line_open()  # a full disk, an exception of a signal handler: cut short, maybe
        return False

    def _leave_line_open(self) -> None:
        self.line_is_open = self.gate.has_text = True

    def _bind(self, stream: Any) -> None:
        if stream is None:
            raise RuntimeError(f"sys.{self._name} is None: there is nowhere to send a frame to")
        self._unhook("write")
        self._unhook("flush")
        # A stream that was not hooked before has printed who knows what, and a blank line is better
        # than a lost frame.
        self.line_is_open = self._stream is not None
        self.has_broken_line = False
        self.gate.has_text = True
        self._stream = stream
        self._descriptor = descriptor_of(stream)
        if self._descriptor is not None:
            # A signal cuts short what is written to a terminal.
            self._at_once = 0 if stream.isatty() else bytes_at_once(self._descriptor)
            # Of an unbuffered stream, Python drops what a pipe does not take at once.
            self._is_buffered = type(stream.buffer) is BufferedWriter
            self._most_text = (
                sys.maxsize if self._is_buffered else characters_at_once(self._descriptor)
            )
            self._unflushed = 0
            if self.gate.open_line is not None:
                self.mind_processes()
            self._flush = stream.flush
            if not is_blocking(self._descriptor):
                self.expect_blocking()
            if os.environ.get("KESTRA_STDOUT_HOOK") != "0":
                self._hook(stream)

    def expect_blocking(self) -> None:
        if self._descriptor is None:
            return
        self._at_once = 0
        if not self._is_buffered:
            self._most_text = 0
        self._flush = patient(self._flush, self._stream.buffer, self._descriptor)

    def _hook(self, stream: Any) -> None:
        self._hooks = {
            "write": self._noting_write(stream.write, _line_ends(stream.encoding)),
            "flush": self._exclusive_flush(),
        }
        vars(stream).update(self._hooks)

    def _noting_write(self, write: Callable[[str], int], ends: str) -> Callable[[str], int]:  # noqa: C901
        gate = self.gate
        other = gate.other

        def noting_write(text: str, /) -> int:  # noqa: C901, PLR0912  # as above
            if other.stage and gate.leaves(noting_write, text):
                return len(text)
            try:
                is_locked = gate.acquire()
            except BaseException:
                gate.release_if_just_taken()
                raise
            stage = gate.stage if is_locked else _IDLE
            try:
                if stage:
                    gate.deferred.append((noting_write, (text,)))
                    return len(text)
                if self.has_broken_line:
                    self.has_broken_line = False
                    if text == "\n":
                        return 1
                gate.stage = _INSIDE
                gate.has_text = True
                if len(text) <= self._most_text:
                    count = write(text)
                else:
                    count = self._write_with_care(write, text, is_open=text[-1:] not in ends)
            except BaseException:  # it may have been cut short
                self.line_is_open = True
                raise
            else:
                if text:
                    self.line_is_open = text[-1] not in ends
                return count
            finally:
                gate.stage = stage
                if is_locked:
                    gate.release()
                if gate.deferred and not stage:
                    gate.catch_up()

        return noting_write

    def mind_processes(self) -> None:
        """Write text in whole lines from here on: others write to the same pipe."""
        self._most_text = 0

    def _write_with_care(self, write: Callable[[str], int], text: str, *, is_open: bool) -> int:
        """Write text that is too long for an unbuffered stream, or any once there was a fork."""
        if not text:
            return 0
        if self.gate.open_line is None:
            return self._write_in_pieces(write, text)
        self._unflushed += len(text)
        if is_open and self._is_buffered and self._unflushed < _SHORT:
            return write(text)

        def write_and_flush() -> int:
            written: int = self._write_in_pieces(write, text)
            self._flush()
            return written

        self._unflushed = 0
        return self._alone(write_and_flush, leaving_open=is_open)

    def _write_in_pieces(self, write: Callable[[str], int], text: str) -> int:
        if self._is_buffered:
            return write(text)
        size = characters_at_once(self._descriptor)
        for start in range(0, len(text), size):
            if not self._at_once:
                wait_until_writable(self._descriptor)
            write(text[start : start + size])
        return len(text)

    def _exclusive_flush(self) -> Callable[[], None]:
        def exclusive_flush() -> None:
            gate = self.gate
            if gate.other.stage and gate.leaves(exclusive_flush):
                return
            with gate.lock:
                stage, gate.stage = gate.stage, _INSIDE
                try:
                    if stage:
                        gate.deferred.append((exclusive_flush, ()))
                    else:
                        self.flush()
                except BaseException:
                    self._leave_line_open()
                    raise
                finally:
                    gate.stage = stage
            if gate.deferred and not stage:
                gate.catch_up()

        return exclusive_flush

    def _unhook(self, name: str) -> None:
        hook = self._hooks.pop(name, None)
        if hook is not None and vars(self._stream).get(name) is hook:
            delattr(self._stream, name)

    def leave_flushing_to(self, thread: int) -> None:
        """From here on flush in one thread only.

        A daemon thread that the interpreter stops inside a flush makes it abort.
        """
        flush = self._flush
        self._flush = lambda: flush() if get_ident() == thread else None
        self._unhook("flush")  # the last flush is by an interpreter that has lost most modules


def _is_shared() -> bool:
    """Whether other processes may write to the same pipe: some that this one started, or forked."""
    return _has_forked or "subprocess" in _modules or "multiprocessing" in _modules


def _write_to_stand_in(stream: Any, frame: str) -> None:
    # Of its type: a mock has every attribute.
    write_frame = getattr(type(stream), "_kestra_write_frame", None)  # of `kestra.testing.capture`
    if write_frame is not None:
        write_frame(stream, frame)
    else:
        stream.write(f"{frame}\n")
    if hasattr(stream, "flush"):
        stream.flush()


def _line_ends(encoding: str) -> str:
    """The characters after which a frame can follow: none where zeros do, as in UTF-16."""
    return "\r\n" if "\n".encode(encoding).endswith(b"\n") else ""


_stdout_gate = _Gate()
if is_one_pipe():
    _stderr_gate = _stdout_gate
else:
    # Two: a thread may pass on to one of them what it reads from the other.
    _stderr_gate = _Gate()
    _stdout_gate.other, _stderr_gate.other = _stderr_gate, _stdout_gate
stdout = Sink("stdout", _stdout_gate)
stderr = Sink("stderr", _stderr_gate)
if _stdout_gate is _stderr_gate:
    stdout.twin, stderr.twin = stderr, stdout


def _before_fork() -> None:
    from mmap import mmap

    for sink in (stdout, stderr):
        sink.gate.wait()
    for sink in (stdout, stderr):
        try:  # noqa: SIM105  # `contextlib` would take a part of every start
            sink.flush()  # else the child would print the parent's text once more
        except (OSError, ValueError):
            pass  # no reader, or closed: the next write says so
        if sink.gate.open_line is None:
            sink.gate.open_line = mmap(-1, 1)
        sink.gate.open_line[0] |= sink.line_is_open
        sink.mind_processes()


def _after_fork_in_parent() -> None:
    global _has_forked  # noqa: PLW0603  # a fact of the process
    _has_forked = True
    for sink in (stderr, stdout):
        sink.gate.release()


def _after_fork_in_child() -> None:
    global _has_forked  # noqa: PLW0603  # a fact of the process
    _has_forked = True
    for sink in (stderr, stdout):
        sink.gate.lock._at_fork_reinit()  # type: ignore[attr-defined]  # noqa: SLF001  # as `threading` does


def _at_exit() -> None:
    for sink in (stdout, stderr):
        gate = sink.gate
        gate.acquire = gate.wait  # not from the start: it takes longer
        if gate.wait():  # now no other thread is inside a flush
            sink.leave_flushing_to(get_ident())
            gate.release()
        gate.catch_up()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
atexit.register(_at_exit)
