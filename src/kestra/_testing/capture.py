"""What code prints in this process, and what the engine would keep of it."""

from __future__ import annotations

import io
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO, cast

from kestra._engine import report
from kestra._engine.lines import Lines
from kestra._engine.reader import TaskReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from threading import RLock

    from kestra._engine.messages import Messages, Metrics, Rejected, State, Stream, TaskLog


def capture(
    *, engine: str = "2.0", enterprise: bool = False
) -> AbstractContextManager[Captured, None]:
    """Collect what Kestra would keep of what the code in the block prints.

    ::

        with capture() as messages:
            main()
        assert messages.outputs == {"rows": 3}
        assert messages.metrics["rows"] == 3

    Everything written to `sys.stdout` and `sys.stderr` counts, by any thread: `Kestra`, log
    records, `print`, bytes for `sys.stdout.buffer`. It is still shown, so `capsys` and `capfd`
    get it too. Text that the code redirects does not count (the engine would not get it either),
    nor does output of other processes or straight to a descriptor; for those there is
    `run_script`. With pytest, `capsys.disabled()` and `breakpoint()` inside the block put the
    standard streams back, which ends the capture there.

    The block counts as a task of its own: the types of the metrics that were sent before it do not
    clash with those inside. Blocks may be nested, but two threads must not capture at the same
    time: there is only one `sys.stdout`.

    Args:
        engine: Whose rules, as of `parse`.
        enterprise: Accept assets, as of `parse`.

    Raises:
        AssertionError: When the block ends, if Kestra would lose something of what was printed;
            not if the code in the block has read `rejected` since, or has raised.
        ValueError: An engine whose rules are not known.
    """
    return Captured(engine, enterprise=enterprise)


class Captured:
    """What was printed so far, as Kestra would keep it if the task ended here.

    It can be read at any time, while the code runs and afterwards. The attributes are those of
    `Messages`. Made by `capture` and by the fixture `kestra_messages`.
    """

    def __init__(self, engine: str = "2.0", *, enterprise: bool = False) -> None:
        self._engine = engine
        self._enterprise = enterprise
        self._pieces: list[tuple[Stream, bytes]] = []
        self._parsed = 0, self._parse([])
        self._losses_read = 0
        self._is_attached = False
        self._streams = [_Tee(partial(self._keep, stream)) for stream in ("stdout", "stderr")]

    def __repr__(self) -> str:
        return repr(self._messages())

    def __enter__(self) -> Captured:  # noqa: PYI034  # Self came with Python 3.11
        self.attach()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        __tracebackhide__ = True
        self.detach()
        losses = self.unread_losses()
        if losses and kind is None:
            raise AssertionError(losses)

    @property
    def outputs(self) -> dict[str, Any]:
        """The outputs of all frames, the last value of a key."""
        return self._messages().outputs

    @property
    def metrics(self) -> Metrics:
        """The metrics, added up; `metrics["rows"]` is the value of the one called rows."""
        return self._messages().metrics

    @property
    def logs(self) -> list[TaskLog]:
        """Ordinary lines and log frames, in order."""
        return self._messages().logs

    @property
    def assets(self) -> list[dict[str, Any]]:
        """The `assets` objects of the frames; only the Enterprise Edition keeps any."""
        return self._messages().assets

    @property
    def rejected(self) -> list[Rejected]:
        """The lines of which something is lost; a test that reads them does not fail of them."""
        rejected = self._messages().rejected
        self._losses_read = len(rejected)
        return rejected

    @property
    def state(self) -> State:
        """The state of the task, as far as its output decides: `SUCCESS`, `WARNING` or `CRASH`."""
        return self._messages().state

    def unread_losses(self) -> str:
        """Return what is lost, and why, unless `rejected` was read since; else ""."""
        rejected = self._messages().rejected
        if len(rejected) <= self._losses_read:
            return ""
        table = report.losses(rejected, self._engine)
        return f"{table}\n(A test that expects this reads .rejected before the end.)"

    def attach(self) -> None:
        """Begin, or go on after `detach`."""
        from kestra._task import sink  # on use: it sets a hook on the standard streams
        from kestra._task.metric_types import MetricTypes

        self._replaced = sys.stdout, sys.stderr
        sinks = (sink.stdout, sink.stderr)
        self._below = [(target, target.base, target.metric_types) for target in sinks]
        types = MetricTypes()
        for tee, stream, target in zip(self._streams, self._replaced, sinks, strict=True):
            tee.stand_for(stream, target.gate.lock)  # around every line of this process
            target.base, target.metric_types = tee, types
        sys.stdout, sys.stderr = cast("list[TextIO]", self._streams)
        self._is_attached = True

    def detach(self) -> None:
        """Keep nothing from now on."""
        self._is_attached = False
        sys.stdout, sys.stderr = self._replaced
        for target, base, types in self._below:
            target.base, target.metric_types = base, types

    def _keep(self, stream: Stream, piece: bytes) -> None:
        if self._is_attached:
            self._pieces.append((stream, piece))

    def _messages(self) -> Messages:
        count, messages = self._parsed
        if count != len(self._pieces):
            pieces = self._pieces[:]
            messages = self._parse(pieces)
            self._parsed = len(pieces), messages
        return messages

    def _parse(self, pieces: list[tuple[Stream, bytes]]) -> Messages:
        reader = TaskReader(self._engine, enterprise=self._enterprise)
        lines: dict[Stream, Lines] = {"stdout": Lines(), "stderr": Lines()}
        for stream, piece in pieces:
            for line in lines[stream].feed(piece):
                reader.feed(line, stream)
        for stream, last in lines.items():
            for line in last.end():
                reader.feed(line, stream)
        return reader.messages()


class _Tee:
    """Stands for a standard stream: what is written goes on to that, and is kept."""

    def __init__(self, keep: Callable[[bytes], None]) -> None:
        self._keep = keep
        self._line_is_open = False
        self._has_broken_line = False
        self.buffer = _Buffer(self)

    def stand_for(self, stream: TextIO, lock: RLock) -> None:
        self._stream = stream
        self._lock = lock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        from kestra._task.stand_ins import passes_on

        frame = text.strip("\n")
        is_frame = frame.startswith("::{") and frame.endswith("}::")
        if is_frame and not passes_on(frame):
            return len(text)
        return self._write(text)

    def _write(self, text: str) -> int:
        with self._lock:
            if self._has_broken_line:  # the line's own end would leave a blank line
                self._has_broken_line = False
                if text == "\n":
                    return 1
            count = self._stream.write(text)
            if text:
                self._line_is_open = text[-1] not in "\r\n"
            self._keep(text.encode(errors="replace"))
        return count

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def write_bytes(self, data: bytes) -> None:
        with self._lock:
            buffer = getattr(self._stream, "buffer", None)
            if buffer is None:
                self._stream.write(data.decode(errors="replace"))
            else:
                self._stream.flush()  # the text that came before
                buffer.write(data)
                self._stream.flush()
            self._keep(data)

    def _kestra_write_frame(self, frame: str) -> None:
        """Write a frame on a line of its own, as the sink does it to a real standard stream."""
        with self._lock:
            is_open = self._line_is_open
            self._write(f"\n{frame}\n" if is_open else f"{frame}\n")
            self._has_broken_line = is_open


class _Buffer(io.BufferedIOBase):
    """The bytes below a `_Tee`; to close it, as a wrapper does that is deleted, closes nothing."""

    def __init__(self, tee: _Tee) -> None:
        self._tee = tee

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._tee.write_bytes(piece)
        return len(piece)
