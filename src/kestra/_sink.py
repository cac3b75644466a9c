"""Where frames go: a standard stream of this process, one line each, delivered at once.

A frame counts only on a line of its own. So each is one write of a complete line, made before the
call returns: under one lock with all text that this process prints, under a lock between
processes where others may write to the same pipe, and after a line break where printed text has
left a line open (`print("…", end="")`).

**The side effect of this import.** To know of open lines, and to keep the text of other threads
out of a frame, a hook is set on `write` and `flush` of `sys.stdout` and `sys.stderr`: on these two
objects only, and it comes off when the stream is replaced. `KESTRA_STDOUT_HOOK=0` in the
environment leaves it out. It cannot see text that was printed before it was set, that goes to
`sys.stdout.buffer` or to the descriptor, or that another process writes.
"""

from __future__ import annotations

import atexit
import os
import sys
from _thread import RLock, get_ident
from io import BufferedWriter, FileIO, TextIOWrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Looked up once, not for every frame.
_modules = sys.modules
_streams = vars(sys)
_write = os.write
# One call for a line and its end; where there is none (Windows), one for each of them.
_writev = getattr(os, "writev", lambda descriptor, pieces: os.write(descriptor, pieces[0]))
_lock = RLock()  # around every line of either stream; signal handlers and __del__ re-enter it
_acquire: Callable[[], bool] = _lock.acquire
_release = _lock.release
_has_forked = False  # or been forked

# What a signal handler or `__del__` finds that runs inside a write of the same thread:
_IDLE = 0  # nothing is being written (and false)
_WHOLE = 1  # a frame that the kernel takes as a whole: another may still go first, text may not
_INSIDE = 2  # a line that may be out in part: all has to wait for its end


class Sink:
    """One of the two standard streams, as what it is when a frame is written.

    Args:
        name: `stdout` or `stderr`.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._stream: Any = None
        self._descriptor: Any = None  # an integer; None: the stream has none, and takes text
        self._at_once = 0  # the most bytes that the kernel takes as a whole
        self._flush: Callable[[], object] = lambda: None
        self._hooks: dict[str, object] = {}
        self._has_text = True  # or may have some, since the last frame
        self._line_is_open = False
        self._has_broken_line = False  # by a frame: the line's own end would leave a blank line
        self._stage = _IDLE
        self._deferred: list[tuple[Callable[..., object], tuple[str, ...]]] = []
        stream = getattr(sys, name)
        if stream is not None and not stream.closed:
            self._bind(stream)

    def write(self, frame: str) -> None:
        """Deliver a frame, on a line of its own, before this returns.

        One exception: where a signal handler, or `__del__`, runs inside the write of a longer
        line of the same thread, its frame is delivered right after that line.

        Raises:
            BrokenPipeError: The reader is gone. Raised once: the descriptor leads to
                `os.devnull` from then on, as the Python manual advises, so that no second
                message follows at exit.
            RuntimeError: There is no such stream (`sys.stdout` is None).
        """
        is_locked = _acquire()
        stage = self._stage if is_locked else _IDLE
        try:
            if stage == _INSIDE:
                self._deferred.append((self.write, (frame,)))
            else:
                self._stage = _WHOLE  # before the look: what a signal handler prints has to wait
                if self._has_text or _streams.get(self._name) is not self._stream:
                    self._write_after_text(frame)
                elif (  # `_is_shared()`, without the call
                    len(frame) >= self._at_once
                    or _has_forked
                    or "subprocess" in _modules
                    or "multiprocessing" in _modules
                ):
                    self._stage = _INSIDE
                    _write_exclusively(self._descriptor, frame.encode())
                else:
                    data = f"{frame}\n".encode()
                    written = _write(self._descriptor, data)  # a pipe takes all of it or nothing,
                    if written < len(data):  # a terminal or a file may take less
                        _write_all(self._descriptor, data[written:])
        except BaseException as error:
            if not self._can_go_on(error):
                raise
            self._stage = stage
            self.write(frame)
        finally:
            self._stage = stage
            if self._deferred and not stage:
                self._catch_up()
            if is_locked:
                _release()

    def flush(self) -> None:
        """Hand text that was printed before to the kernel."""
        self._flush()

    def _catch_up(self) -> None:
        while self._deferred:
            waiting, self._deferred = self._deferred, []
            try:
                while waiting:
                    call, arguments = waiting.pop(0)
                    call(*arguments)
            finally:
                self._deferred[:0] = waiting

    def _write_after_text(self, frame: str) -> None:
        stream = getattr(sys, self._name)
        if stream is not self._stream:
            self._bind(stream)
        if self._descriptor is None:
            _write_to_stand_in(stream, frame)
            return
        self._stage = _INSIDE
        self._flush()
        line = f"\n{frame}" if self._line_is_open else frame
        if len(line) >= self._at_once or _is_shared():
            _write_exclusively(self._descriptor, line.encode())
        else:
            _write_all(self._descriptor, f"{line}\n".encode())
        self._has_broken_line = self._line_is_open
        self._line_is_open = False
        self._has_text = not self._hooks

    def _can_go_on(self, error: BaseException) -> bool:
        """Make the best of what has interrupted a write; say whether it can be made again."""
        if self._descriptor is None:
            return False
        if isinstance(error, BrokenPipeError):
            _discard_from_now_on(self._descriptor)
            return False
        if isinstance(error, BlockingIOError):  # the mode has changed, and no frame is out in part
            if self._stage == _INSIDE:  # but the flush may have cut a line of text short
                self._leave_line_open()
            self._expect_blocking(self._descriptor)
            return True
        self._leave_line_open()  # a full disk, an exception of a signal handler: cut short, maybe
        return False

    def _leave_line_open(self) -> None:
        self._line_is_open = self._has_text = True

    def _bind(self, stream: Any) -> None:
        if stream is None:
            raise RuntimeError(f"sys.{self._name} is None: there is nowhere to send a frame to")
        self._unhook("write")
        self._unhook("flush")
        # A stream that was not hooked before has printed who knows what, and a blank line is better
        # than a lost frame.
        self._line_is_open = self._stream is not None
        self._has_broken_line = False
        self._has_text = True
        self._stream = stream
        self._descriptor = _descriptor_of(stream)
        if self._descriptor is not None:
            self._at_once = _pipe_buf(self._descriptor)
            self._flush = stream.flush
            if not _is_blocking(self._descriptor):
                self._expect_blocking(self._descriptor)
            if os.environ.get("KESTRA_STDOUT_HOOK") != "0":
                self._hook(stream)

    def _expect_blocking(self, descriptor: int) -> None:
        self._at_once = 0
        self._flush = _patient_flush(self._stream.buffer, self._flush, descriptor)

    def _hook(self, stream: Any) -> None:
        self._hooks = {
            "write": self._noting_write(stream.write, _line_ends(stream.encoding)),
            "flush": self._exclusive_flush(stream.flush),
        }
        vars(stream).update(self._hooks)

    def _noting_write(self, write: Callable[[str], int], ends: str) -> Callable[[str], int]:
        def noting_write(text: str, /) -> int:
            is_locked = _acquire()
            stage = self._stage if is_locked else _IDLE
            try:
                if stage:
                    self._deferred.append((noting_write, (text,)))
                    return len(text)
                if self._has_broken_line:
                    self._has_broken_line = False
                    if text == "\n":
                        return 1
                self._stage = _INSIDE
                self._has_text = True
                count = write(text)
            except BaseException:  # it may have been cut short
                self._line_is_open = True
                raise
            else:
                if text:
                    self._line_is_open = text[-1] not in ends
                return count
            finally:
                self._stage = stage
                if self._deferred and not stage:
                    self._catch_up()
                if is_locked:
                    _release()

        return noting_write

    def _exclusive_flush(self, flush: Callable[[], None]) -> Callable[[], None]:
        def exclusive_flush() -> None:
            with _lock:
                stage, self._stage = self._stage, _INSIDE
                try:
                    if not stage:
                        flush()
                    else:
                        self._deferred.append((exclusive_flush, ()))
                finally:
                    self._stage = stage
                    if self._deferred and not stage:
                        self._catch_up()

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


def _wait_for_lock() -> bool:
    """Whether the lock could be had.

    While the interpreter is torn down, a daemon thread that was stopped for good may hold it.
    """
    return _lock.acquire(timeout=1 if sys.is_finalizing() else -1)


def _descriptor_of(stream: Any) -> int | None:
    """That of an ordinary standard stream; None for every stand-in (capsys, a notebook, …)."""
    if type(stream) is not TextIOWrapper:
        return None
    buffer = stream.buffer
    raw = buffer.raw if type(buffer) is BufferedWriter else buffer
    return raw.fileno() if type(raw) is FileIO else None


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


def _is_blocking(descriptor: int) -> bool:
    try:
        return os.get_blocking(descriptor)
    except (AttributeError, OSError):  # on Windows there is none, or only for pipes
        return True


def _pipe_buf(descriptor: int) -> int:
    try:
        return os.fpathconf(descriptor, "PC_PIPE_BUF")
    except (AttributeError, OSError):
        return 512  # the least that POSIX allows


def _patient_flush(buffer: Any, flush: Callable[[], object], descriptor: int) -> Callable[[], None]:
    """How to flush a stream whose descriptor does not block."""

    def patient_flush() -> None:
        while True:
            try:
                buffer.flush()  # first: the text layer drops what finds no room in there
                flush()
            except BlockingIOError:
                _wait_until_writable(descriptor)
            else:
                return

    return patient_flush


def _write_all(descriptor: int, *pieces: bytes) -> None:
    rest = [memoryview(piece) for piece in pieces]
    while rest:
        try:
            written = _writev(descriptor, rest)
        except BlockingIOError:  # a reader that is slow, not a loop that is hot
            _wait_until_writable(descriptor)
            continue
        while rest and written >= len(rest[0]):
            written -= len(rest.pop(0))
        if rest:
            rest[0] = rest[0][written:]


def _write_exclusively(descriptor: int, line: bytes) -> None:
    has_lock = _lock_between_processes(descriptor)
    try:
        _write_all(descriptor, line, b"\n")
    finally:
        if has_lock:
            _unlock_between_processes(descriptor)


def _wait_until_writable(descriptor: int) -> None:
    from select import select

    select((), (descriptor,), ())


def _lock_between_processes(descriptor: int) -> bool:
    """Whether there is one to be had; not on Windows, nor for every kind of file.

    `lockf`, because a process has it: `flock` is shared by all that inherited the descriptor.
    """
    try:
        import fcntl

        fcntl.lockf(descriptor, fcntl.LOCK_EX)
    except (ImportError, OSError):
        return False
    return True


def _unlock_between_processes(descriptor: int) -> None:
    import fcntl

    fcntl.lockf(descriptor, fcntl.LOCK_UN)


def _discard_from_now_on(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


stdout = Sink("stdout")
stderr = Sink("stderr")


def _before_fork() -> None:
    _wait_for_lock()
    for sink in (stdout, stderr):  # else the child would print the parent's text once more
        try:  # noqa: SIM105  # `contextlib` would take a part of every start
            sink.flush()
        except (OSError, ValueError):
            pass  # no reader, or closed: the next write says so


def _after_fork_in_parent() -> None:
    global _has_forked  # noqa: PLW0603  # a fact of the process
    _has_forked = True
    _lock.release()


def _after_fork_in_child() -> None:
    global _has_forked  # noqa: PLW0603  # a fact of the process
    _has_forked = True
    _lock._at_fork_reinit()  # type: ignore[attr-defined]  # noqa: SLF001  # as `threading` does


def _at_exit() -> None:
    global _acquire  # noqa: PLW0603  # `_wait_for_lock` from the start would make each frame slower
    _acquire = _wait_for_lock
    if _wait_for_lock():  # now no other thread is inside a flush
        stdout.leave_flushing_to(get_ident())
        stderr.leave_flushing_to(get_ident())
        _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
atexit.register(_at_exit)
