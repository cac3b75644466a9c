"""Where frames go: a standard stream of this process, one line each, delivered at once.

A frame counts only on a line of its own. What may come in its way, and what handles it:

| scenario | function |
|---|---|
| printed text is still in the buffer, or has left a line open | `Sink._after_text` |
| another thread prints, or sends a frame | the lock of `hooks.Gate` |
| another process sends a frame to the same pipe | `Sink.write_below`, `processes.alone` |
| the pipe takes less than the whole line at once | `Sink._write_exclusively`, `hooks.write_all` |
| a fork: text in the buffer, open lines of the other process | `processes.before_fork` |
| a signal handler or `__del__` sends a frame inside the write of another | `Gate.deferred` |
| it does so while another thread is inside the other stream | `Gate.leaves` |
| a signal handler raises inside a write | `descriptor.can_go_on`, `descriptor.is_ours` |
| the descriptor does not block, and the pipe is full | `descriptor.expect_blocking` |
| the reader is gone | `descriptor.can_go_on` |
| both streams are one pipe (`2>&1`) | `Sink.twin` |
| `sys.stdout`, or its `write`, is something else | `Sink._write_elsewhere`, `stand_ins` |
| there is no `sys.stdout` | `_Place._bind` |
| daemon threads at the end of the interpreter | `_at_exit` |

This import sets hooks on `sys.stdout` and `sys.stderr` (see `hooks`), unless the environment has
`KESTRA_STDOUT_HOOK=0`. They cannot see text that was printed before, that goes to
`sys.stdout.buffer`, or that another process writes; a process and its forks tell each other.
"""

from __future__ import annotations

import atexit
import os
import sys
from _thread import RLock, get_ident
from _thread import _count as _other_threads

from kestra._task import hooks
from kestra._task.hooks import IDLE, INSIDE, WHOLE, Gate, Stream, descriptor_of, write_all
from kestra._values.loading import load

try:
    import fcntl
except ImportError:  # Windows: one write is whole there
    _lock: Callable[[int, int], object] = min  # of two numbers, which does nothing
    _TAKE = _GIVE_BACK = 0
else:
    _lock, _TAKE, _GIVE_BACK = fcntl.lockf, fcntl.LOCK_EX, fcntl.LOCK_UN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from kestra._task.metric_types import MetricTypes

_modules, _streams, _write = sys.modules, vars(sys), os.write  # looked up once
_alone: list[Any] = []  # that of `processes`, once it is needed
_NONE: dict[str, Any] = {}
_UNBOUND: Any = object()  # no stream, not even None


class _Place:
    """What one of the two standard streams is at present."""

    pass_on: Callable[[str, bool], bool]

    def __init__(self, name: str, gate: Gate) -> None:
        self.gate = gate
        self.twin = self  # the other one, where both are one pipe
        self.real: Stream | None = None  # what is below all stand-ins
        self.stand_in: Any = None  # what gets the frames, each in one `write`, if not that
        # For `kestra.testing`: where frames go below stand-ins, in place of `real`; and the types
        # of all metrics, in place of each stream's own.
        self.base: Any = None
        self.metric_types: MetricTypes | None = None
        self.taker: Callable[[str], bool] | None = None  # see `stand_ins.offer_frames`
        self.stand_in_lock = RLock()  # not the gate: a stand-in may have a lock of its own
        self.name = name
        self._stream = self._typed_place = self._hook = _UNBOUND
        self._types: MetricTypes | None = None
        self._own = self._own_of_buffer = _NONE
        self.is_late = False  # once it is True, a stream may have an open line already
        stream = _streams.get(name)
        if stream is not None and not getattr(stream, "closed", False):
            self._bind(stream)
        self.is_late = True

    def types(self) -> MetricTypes:
        """Return the types of the metrics that were sent to where the next frame goes."""
        if self.metric_types is not None:
            return self.metric_types
        if (stream := _streams.get(self.name)) is not self._stream:
            self._bind(stream)
        place = self.real if self.stand_in is None else self.stand_in
        is_patched = self._own.get("write") is not self._hook
        if self._types is None or place is not self._typed_place or is_patched:
            load("kestra._task.metric_types")
            from kestra._task.metric_types import types_of

            self._types, self._typed_place = types_of(place, self.real), place
        return self._types

    def _bind(self, stream: Any) -> None:
        if stream is None:
            raise RuntimeError(f"sys.{self.name} is None: there is nowhere to send a frame to")
        target = stream
        if descriptor_of(stream) is None:
            load("kestra._task.stand_ins")
            from kestra._task.stand_ins import below_reshapers

            target = below_reshapers(stream)
        stand_in, hook = target, _UNBOUND
        own = own_of_buffer = _NONE
        if descriptor_of(target) is not None:
            self._set_real(target)
            real, own, own_of_buffer = self.real, vars(target), vars(target.buffer)
            if (
                real is not None
                and real.is_own
                and own.get("write") is real.hook
                and "write" not in own_of_buffer
            ):
                stand_in, hook = None, real.hook
        elif self.real is None:
            self._set_real(getattr(sys, f"__{self.name}__"))
        self.stand_in, self._hook = stand_in, hook if self.taker is None else _UNBOUND
        self._own, self._own_of_buffer = own, own_of_buffer
        self._stream = stream

    def _set_real(self, stream: Any) -> None:
        real = self.real
        if real is None or real.stream is not stream:
            if stream is None or stream.closed or descriptor_of(stream) is None:
                return
            if real is not None:
                real.remove_hooks()
            is_open = self.is_late  # perhaps: a blank line is better than a lost frame
            if is_open:
                from kestra._task.descriptor import leads_to_empty_file

                is_open = not leads_to_empty_file(stream)
            self.real = real = Stream(stream, self.gate, self.pass_on, line_is_open=is_open)
            self.gate.has_text = True
        if os.environ.get("KESTRA_STDOUT_HOOK") != "0":
            real.set_hooks()


class Sink(_Place):
    """One of the two standard streams, as what frames are written to."""

    def write(self, frame: str) -> None:
        """Deliver a frame, on a line of its own, before this returns.

        That of a signal handler, or `__del__`, inside of another write is delivered right after it.

        Raises:
            BrokenPipeError: The reader is gone. Raised once: what follows goes to `os.devnull`.
            RuntimeError: There is no such stream (`sys.stdout` is None).
        """
        if (
            _streams.get(self.name) is self._stream
            and self._own.get("write") is self._hook
            and "write" not in self._own_of_buffer
        ):
            self.write_below(frame)
        elif self.taker is None or not self.taker(frame):
            self._write_elsewhere(frame)

    def write_metric(
        self, frame: str, name: str, type_: str, tags: Mapping[str, Any] | None
    ) -> None:
        """Deliver the frame of one metric; a `ValueError` says that it had another type before."""
        try:
            types = self.types()
        except ImportError:  # this is a signal handler, inside the import that it makes
            self.gate.deferred.append((self.write_metric, (frame, name, type_, tags)))
            return
        if tags or types.known.get(name) != type_:
            types.claim(name, type_, tags)
        self.write(frame)

    def write_below(self, frame: str) -> None:  # noqa: C901, PLR0912, PLR0915  # a call takes longer
        gate = self.gate
        if gate.other.stage and gate.leaves(self.write_below, frame):
            return
        try:
            is_locked = gate.acquire()
        except BaseException:
            gate.release_if_just_taken()
            raise
        stage = gate.stage if is_locked else IDLE
        real: Any = self.real
        try:
            if stage == INSIDE:
                gate.deferred.append((self.write_below, (frame,)))
            else:
                gate.stage = WHOLE  # set first: what a signal handler prints has to wait
                has_text = gate.has_text
                line = self._after_text(real, frame) if has_text else frame
                if (
                    len(line) >= real.plain_below
                    or gate.locked_file is not None
                    or _other_threads()
                    or "_interpreters" in _modules
                ):
                    self._write_exclusively(real, line)
                else:
                    descriptor, data = real.descriptor, f"{line}\n".encode()
                    gate.locked_file = gate.ON_STREAM
                    try:
                        _lock(descriptor, _TAKE)
                        written = _write(descriptor, data)  # a pipe takes all of it or nothing,
                        if written < len(data):  # a file may take less
                            write_all(descriptor, data[written:])
                    finally:
                        try:
                            _lock(descriptor, _GIVE_BACK)
                        finally:
                            gate.locked_file = None
                        if gate.is_locked_again:
                            gate.is_locked_again = False
                            _lock(descriptor, _GIVE_BACK)
                if has_text:
                    gate.has_text = False
                    for stream in {real, self.twin.real or real}:
                        stream.note_frame()
        except BaseException as error:
            is_inside = gate.stage == INSIDE
            gate.stage = INSIDE  # no frame of a signal handler inside the import
            from kestra._task.descriptor import can_go_on

            if not can_go_on(self, real, error, is_inside=is_inside):
                raise
            gate.stage = stage
            self.write_below(frame)
        finally:
            gate.stage = stage
            if is_locked:
                gate.release()
            if gate.deferred and not stage:
                gate.catch_up()

    def pass_on(self, frame: str, is_whole: bool) -> bool:
        if (stand_ins := _modules.get("kestra._task.stand_ins")) is not None:
            return bool(stand_ins.pass_on(self, frame, is_whole=is_whole))
        if is_whole:
            self.write_below(frame)
        return is_whole

    def _after_text(self, real: Stream, frame: str) -> str:
        """Deliver printed text; return the frame, after a line break where it needs one."""
        self.gate.stage = INSIDE
        real.flush_text()
        other = self.twin.real
        if other is not None and other is not real:
            try:
                other.flush_text()
            except ValueError:
                if not other.is_gone():
                    raise
        self.gate.stage = WHOLE
        is_open = real.line_is_open or (other is not None and other.line_is_open)
        return f"\n{frame}" if is_open else frame

    def _write_exclusively(self, real: Stream, line: str) -> None:
        gate = self.gate
        if not _alone:
            gate.stage = INSIDE  # no frame of a signal handler inside the import
            try:
                load("kestra._task.processes")
                from kestra._task.processes import alone
            except ImportError:  # the interpreter is nearly gone
                write_all(real.descriptor, f"{line}\n".encode())
                return
            _alone.append(alone)
        gate.stage = WHOLE if len(line) + 1 < real.at_once else INSIDE

        def write() -> None:
            is_open = gate.open_line is not None and gate.open_line[0] and line[0] != "\n"
            write_all(real.descriptor, f"\n{line}\n".encode() if is_open else f"{line}\n".encode())

        _alone[0](gate, real, write, leaving_open=False)

    def _write_elsewhere(self, frame: str) -> None:
        stream = _streams.get(self.name)
        if stream is not self._stream or (self.real is not None and self.real.stream is stream):
            self._bind(stream)
        if self.stand_in is None:
            self.write_below(frame)
        else:
            load("kestra._task.stand_ins")
            from kestra._task.stand_ins import deliver

            deliver(self, frame, self.stand_in)


_stdout_gate = Gate()
# Else two: a thread may pass on to one of them what it reads from the other.
_stderr_gate = _stdout_gate if hooks.is_same_file(1, 2) else Gate()
_stdout_gate.other, _stderr_gate.other = _stderr_gate, _stdout_gate
stdout = Sink("stdout", _stdout_gate)
stderr = Sink("stderr", _stderr_gate)
if _stderr_gate is _stdout_gate:
    stdout.twin, stderr.twin = stderr, stdout


def _hold() -> None:
    from kestra._task.processes import before_fork, load_for_child

    load_for_child()
    for gate in (_stdout_gate, _stderr_gate):
        gate.wait()
        gate.hold()
    before_fork([(sink.gate, sink.real) for sink in (stdout, stderr)])


def _go_on() -> None:
    for gate in (_stderr_gate, _stdout_gate):
        if gate.is_owned():  # else a signal handler raised before it was taken
            gate.go_on()
            gate.release()
            gate.catch_up()


def _begin_anew() -> None:
    for sink in (stderr, stdout):
        sink.gate.go_on()
        sink.gate.deferred.clear()  # the parent makes these calls
        for lock in (sink.gate.lock, sink.stand_in_lock):
            lock._at_fork_reinit()  # type: ignore[attr-defined]  # noqa: SLF001  # as `threading` does


def _at_exit() -> None:
    for sink in (stdout, stderr):
        gate = sink.gate
        gate.acquire = gate.wait  # not from the start: it takes longer
        if gate.wait():  # now no other thread is inside a flush
            if sink.real is not None:
                sink.real.leave_flushing_to(get_ident())
            gate.release()
        gate.catch_up()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_go_on, after_in_child=_begin_anew)
atexit.register(_at_exit)
if os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") == "http/json":  # as under kotlp
    from kestra._task.kotlp import warn_after_first_line

    warn_after_first_line([stdout, stderr])
