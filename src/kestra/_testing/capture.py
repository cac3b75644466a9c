"""What code prints in this process, and what the engine would keep of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

from kestra._engine import report
from kestra._engine.lines import Lines
from kestra._engine.reader import TaskReader
from kestra._testing.tee import Tee

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

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
    return _Block(engine, enterprise=enterprise)


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
        self._looked_at = 0  # so many losses
        self._is_attached = False
        self._streams = Tee(self._keep("stdout")), Tee(self._keep("stderr"))
        self._replaced: tuple[TextIO, TextIO] = sys.stdout, sys.stderr
        self._below: list[tuple[Any, Any, Any]] = []

    def __repr__(self) -> str:
        return repr(self._messages())

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
        self._looked_at = len(rejected)
        return rejected

    @property
    def state(self) -> State:
        """The state of the task, as far as its output decides: `SUCCESS`, `WARNING` or `CRASH`."""
        return self._messages().state

    def unseen_losses(self) -> str:
        """Return what is lost, and why, unless `rejected` was read since; else ""."""
        rejected = self._messages().rejected
        if len(rejected) <= self._looked_at:
            return ""
        table = report.losses(rejected, self._engine)
        return f"{table}\n(A test that expects this reads .rejected before the end.)"

    def attach(self) -> None:
        """Begin, or go on after `detach`."""
        from kestra._task import sink  # on use: it sets a hook on the standard streams
        from kestra._task.metric_types import MetricTypes

        self._replaced = sys.stdout, sys.stderr
        sinks = (sink.stdout, sink.stderr)
        for tee, stream, target in zip(self._streams, self._replaced, sinks, strict=True):
            tee.stand_for(stream, target.gate.lock)  # around every line of this process
        sys.stdout, sys.stderr = cast("tuple[TextIO, TextIO]", self._streams)
        self._below = [(target, target.base, target.metric_types) for target in sinks]
        types = MetricTypes()
        for tee, target in zip(self._streams, sinks, strict=True):
            target.base, target.metric_types = tee, types
        self._is_attached = True

    def detach(self) -> None:
        """Keep nothing from now on."""
        self._is_attached = False
        sys.stdout, sys.stderr = self._replaced
        for target, base, types in self._below:
            target.base, target.metric_types = base, types

    def _keep(self, stream: Stream) -> Callable[[bytes], None]:
        def keep(piece: bytes) -> None:
            if self._is_attached:
                self._pieces.append((stream, piece))

        return keep

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


class _Block(Captured):
    def __enter__(self) -> Captured:
        self.attach()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        __tracebackhide__ = True
        self.detach()
        losses = self.unseen_losses()
        if losses and kind is None:
            raise AssertionError(losses)
