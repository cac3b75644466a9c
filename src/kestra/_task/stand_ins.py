"""What stands in the place of a standard stream, and how a frame gets through it.

A class that redacts, a tee, a notebook, `capsys`, a replaced `write`: each gets the frame in one
`write`, on a line of its own, and no frame goes past it. Two kinds are different:

- What reshapes text, so that no frame survives: Rich while a live display is shown, tqdm's class
  for prints beside a progress bar, alive-progress, colorama, ours that logs what is printed. They
  are known by their types, and passed by.
- What logs the text it is given, and so sends a frame itself: that goes to the real stream. The
  entry of a frame that was logged like that is the frame, unless it was written as well.
"""

from __future__ import annotations

import io
import os
import sys
from _thread import _count, _local
from stat import S_ISREG

from kestra._values.signals import is_signal_handler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import LogRecord
    from types import CodeType, FrameType
    from typing import Any

    from kestra._task.sink import Sink

# Module and name of the types that reshape text, and what they keep the stream below as. tqdm
# has its class in its documentation too, for scripts to copy.
_RESHAPERS = {
    ("rich.file_proxy", "FileProxy"): ("rich_proxied_file",),
    ("colorama.ansitowin32", "StreamWrapper"): ("_StreamWrapper__wrapped",),
    ("alive_progress.core.hook_manager", "BaseHook"): ("_stream",),
    ("kestra._task.prints", "PrintStream"): ("below",),
    (None, "DummyTqdmFile"): ("_wrapped", "file"),
}
_ENTRY = '::{"logs"'
_LINE_ENDS = (b"\n", b"\r", b"")  # or nothing before
_MOST_HANDED = 10_000
# The last frames that stand-ins were given, by their hashes: an item for each that has not arrived.
_handed: dict[int, list[None]] = {}
_SECOND = 1  # for as long a frame of another thread is waited for, which may wait for this one


class _Handing:
    """A frame that a stand-in is being given, and what it has made of it so far."""

    def __init__(self, frame: str) -> None:
        self.frame = frame
        self.is_written = False
        self.entries: list[str] = []  # those whose message it is


class _OfThread(_local):
    handing: _Handing | None = None  # the innermost


_own = _OfThread()


def offer_frames(sink: Sink, taker: Callable[[str], bool] | None) -> Callable[[], object]:
    """Offer each frame of a sink first to what returns True if it takes it; return the undoing.

    For `kestra.testing`; unlike a stand-in, it is not seen by anybody else.
    """
    before, sink.taker = sink.taker, taker
    sink._stream = object()  # noqa: SLF001  # none: the next frame binds it anew, and then asks
    return lambda: offer_frames(sink, before)


def below_reshapers(stream: Any) -> Any:
    """Return the stream below those that reshape text."""
    for _ in range(9):  # one in another
        below = _below(stream)
        if below is None:
            break
        stream = below
    return stream


def _below(stream: Any) -> Any:
    for kind in type(stream).__mro__:
        for module in (kind.__module__, None):
            for name in _RESHAPERS.get((module, kind.__name__), ()):
                below = getattr(stream, name, None)
                if hasattr(below, "write"):
                    return below
    return None


def memory_of(stream: Any) -> io.StringIO | io.BytesIO | None:
    """Return where what is written to a stream stays in this process, as with `capsys`."""
    if isinstance(stream, io.StringIO):
        return stream
    buffer = getattr(stream, "buffer", None) if isinstance(stream, io.TextIOWrapper) else None
    return buffer if isinstance(buffer, io.BytesIO) else None


def file_of(stream: Any) -> int | None:
    """Return the descriptor of a stream to a file, as that of `capfd` is."""
    try:
        if isinstance(stream, io.TextIOWrapper) and S_ISREG(os.fstat(stream.fileno()).st_mode):
            return stream.fileno()
    except (OSError, ValueError):  # it has no descriptor, or is closed
        pass
    return None


def deliver(sink: Sink, frame: str, target: Any) -> None:
    """Write a frame to a stand-in, or to the real stream where it is the stand-in that sends it."""
    logged, is_alone = _frame_within(frame)
    is_inside = _is_inside(sink, target)
    if logged is not None and _has_come_back(logged, is_alone=is_alone, is_inside=is_inside):
        handing = _own.handing
        if handing is not None and handing.frame == logged:
            handing.entries.append(frame)  # it may be written, too
            return
        if _take(logged):
            _deliver_below(sink, logged)
            return
        if _is_entry(logged):
            return
    is_changed = logged is None and _is_entry(frame) and _ENTRY in frame[3:].replace("\\", "")
    if is_inside or is_changed:  # an entry whose text was changed would go round for ever
        _deliver_below(sink, frame)
    else:
        _write(sink, frame, target)


def _has_come_back(frame: str, *, is_alone: bool, is_inside: bool) -> bool:
    """Return True if a stand-in has logged a frame: at once, or in another thread, or later.

    (An entry that says more and names an output or a metric may be the script's own.)
    """
    if hash(frame) in _handed:
        return is_inside or is_alone or _is_entry(frame)
    return is_inside and is_alone  # a frame that was printed


def _take(frame: str) -> bool:
    """Note that a frame arrives; return False if each one like it that was handed has done so."""
    try:
        _handed.get(hash(frame), [None]).pop()
    except IndexError:
        return False
    return True


def pass_on(sink: Sink, frame: str, *, is_whole: bool) -> bool:
    """Deliver a frame that is written to the real stream as text; return False if it stays text.

    If it is not whole, its line end may follow, as where a stand-in prints it.
    """
    if not is_whole and _own.handing is None:
        return False
    if passes_on(frame):
        sink.write_below(frame)
    if sink.real is not None:
        sink.real.has_broken_line |= not is_whole
    return True


def passes_on(frame: str) -> bool:
    """Note that a stand-in writes a frame to the real stream; return False if it is there by now.

    It is where another thread was given it to log, and came first.
    """
    handing = _own.handing
    is_other = handing is None or handing.frame != frame
    if handing is None or (is_other and hash(frame) in _handed):
        _take(frame)
        return True
    is_due = _take(handing.frame) or is_other or handing.is_written  # a part masked; or once more
    handing.is_written = True
    return is_due


def _is_entry(frame: str) -> bool:
    return frame.startswith(_ENTRY)


def _deliver_below(sink: Sink, frame: str) -> None:
    if sink.base is not None:
        sink.base._kestra_write_frame(frame)  # noqa: SLF001  # see `_write`
    elif sink.real is not None:
        sink.write_below(frame)
    else:
        raise RuntimeError(f"sys.__{sink.name}__ is None: there is nowhere to send a frame to")


def _write(sink: Sink, frame: str, target: Any) -> None:
    # Of its type: a mock has every attribute.
    write_frame = getattr(type(target), "_kestra_write_frame", None)  # of `kestra.testing.capture`
    if write_frame is not None:
        write_frame(target, frame)
        return
    if type(target).__module__ == "ipykernel.iostream":
        from kestra._task.notebook import deliver as deliver_to_task

        if deliver_to_task(sink, frame, target, below_reshapers(sys.stdout)):
            return
    if hasattr(target.write, "assert_called") and not _is_entry(frame):
        print(frame, file=target)  # a test's mock expects the calls of 2.0.0
    else:
        _hand_over(sink, frame, target)


def _hand_over(sink: Sink, frame: str, target: Any) -> None:
    waiting = _handed.setdefault(hash(frame), [])
    if len(waiting) < _MOST_HANDED:
        waiting.append(None)
    if len(_handed) > _MOST_HANDED:
        for oldest in [*_handed][: _MOST_HANDED // 2]:
            _handed.pop(oldest, None)  # another thread may have come first
    is_locked = sink.stand_in_lock.acquire(timeout=_SECOND)
    outer, handing = _own.handing, _Handing(frame)
    _own.handing = handing
    try:
        target.write(f"\n{frame}\n" if _has_open_line(sink, target) else f"{frame}\n")
        if hasattr(target, "flush"):
            target.flush()
    finally:
        _own.handing = outer
        if is_locked:
            sink.stand_in_lock.release()
        if handing.entries:
            _deliver_logged(sink, handing)


def _deliver_logged(sink: Sink, handing: _Handing) -> None:
    """Deliver a frame that a stand-in has logged; if it was written too, what it has logged."""
    if not handing.is_written and _take(handing.frame):
        _deliver_below(sink, handing.frame)
    elif not _is_entry(handing.frame):
        for entry in handing.entries:
            _deliver_below(sink, entry)


def _has_open_line(sink: Sink, target: Any) -> bool:
    if isinstance(target, io.TextIOWrapper):
        target.flush()
    memory = memory_of(target)
    if memory is None:
        file = file_of(target)
        if file is not None:
            try:
                return os.pread(file, 1, max(os.fstat(file).st_size - 1, 0)) not in _LINE_ENDS
            except (AttributeError, OSError):  # Windows; it is not open for reading
                pass
        return sink.real is not None and sink.real.line_is_open
    has_threads = _count()  # which may print while the position is elsewhere
    end = memory.tell()
    if not end:
        return False
    if has_threads:
        last = memory.getvalue()[end - 1 : end]
    else:
        memory.seek(end - 1)
        last = memory.read(1)
    return (last.encode() if isinstance(last, str) else last) not in _LINE_ENDS


def _is_inside(sink: Sink, target: Any) -> bool:
    """Return True if this thread is inside a `write` of a stand-in, and was called by it.

    Not where that was interrupted, by a signal handler or `__del__`. Or if a record is delivered
    that such a `write` has logged, in another thread or later, as of a `QueueHandler`.
    """
    codes = _codes_of_writes(sink, target)
    is_interrupted = False
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001  # documented
    while frame is not None:
        code = frame.f_code
        if code in codes or (code is _write.__code__ and frame.f_locals.get("target") is target):
            return not is_interrupted
        if code.co_name == "emit" and frame.f_globals.get("__name__") == "kestra._task.logging":
            record: LogRecord | None = frame.f_locals.get("record")
            if record is not None and any(_has_logged(code, record) for code in codes):
                return True
        is_interrupted |= code.co_name == "__del__" or is_signal_handler(frame)
        frame = frame.f_back
    return False


def _has_logged(code: CodeType, record: LogRecord) -> bool:
    return (
        code.co_filename == record.pathname
        and code.co_name == record.funcName
        and any(line == record.lineno for *_, line in code.co_lines())
    )


def _codes_of_writes(sink: Sink, target: Any) -> set[CodeType]:
    """Return the code that runs while a stand-in writes."""
    buffer = getattr(target, "buffer", None)
    streams = (target, buffer, getattr(buffer, "raw", None))
    writes = [getattr(stream, "write", None) for stream in streams]
    if (real := sink.real) is not None:
        writes = [real.inner_write if write is real.hook else write for write in writes]
    codes = (getattr(write, "__code__", None) for write in writes)
    return {code for code in codes if code is not None}


def _frame_within(frame: str) -> tuple[str | None, bool]:
    """Return the frame that is in the message of a log frame, and if that is nothing else.

    (A time comes first in an entry of `Kestra.logger()`.) A message of the script's own may name a
    frame that it has sent.
    """
    start, end = frame.find("::{", 3), frame.rfind("}::", 0, -3) + 3
    if start < 0 or end <= start or not _is_entry(frame):
        return None, False
    from json import loads

    try:
        text: str = loads(f'"{frame[start:end]}"')
        loads(text[2:-2])  # else it was changed on its way, as by `%r`
    except ValueError:
        return None, False
    before, after = frame[:start].rpartition('"message": "')[2], frame[end:]
    is_alone = after == '"}]}::' and (not before or before.endswith("Z - "))
    return (None if "\n" in text else text), is_alone
