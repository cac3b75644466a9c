"""Calling a flow's function, and keeping what it returns and emits."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest import mock

from kestra._engine.reader import TaskReader
from kestra._task import frames, sink
from kestra._task import kestra as _kestra
from kestra._task.metric_types import MetricTypes
from kestra._task.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kestra._engine.messages import TaskMetric

Function = Callable[[dict[str, Any]], Mapping[str, Any] | None]

_emitted: ContextVar[list[str] | None] = ContextVar("kestra_emitted", default=None)
_write = Sink.write


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a call.

    Attributes:
        state: SUCCESS or FAILED.
        outputs: What it returned, over what it emitted.
        logs: Levels and messages.
        metrics: The metrics, added up.
        error: What it raised.
    """

    state: str
    outputs: dict[str, Any] = field(default_factory=dict)
    logs: list[tuple[str, str]] = field(default_factory=list)
    metrics: list[TaskMetric] = field(default_factory=list)
    error: Exception | None = None


@contextmanager
def catching() -> Iterator[None]:
    """Keep the frames that flows' functions emit from standard output."""
    with (
        mock.patch.object(Sink, "write", _write_or_keep),
        mock.patch.object(_kestra, "_write", sink.stdout.write),  # it had got hold of the old one
        # A server keeps them while it runs.
        mock.patch.object(sink.stdout, "metric_types", MetricTypes()),
    ):
        yield


def _write_or_keep(sink: Sink, frame: str) -> None:
    kept = _emitted.get()
    if kept is None:
        _write(sink, frame)
    else:
        kept.append(frame)


def call(
    function: Function,
    inputs: dict[str, Any],
    version: str,
    store: Callable[[str, bytes], str],
) -> Result:
    """Call a flow's function, and return what the engine would have kept of it.

    Args:
        function: The function.
        inputs: What it gets.
        version: Whose rules count for what it emits.
        store: Keeps a file under a name, and returns its URI: what bytes in outputs become.
    """
    engine = TaskReader(version)
    emitted: list[str] = []
    error: Exception | None = None
    token = _emitted.set(emitted)
    try:
        returned = function(inputs)
        if returned is not None:
            emitted.append(frames.encode({"outputs": _stored(returned, store)}))
    except Exception as raised:  # noqa: BLE001  # it is what a failing task is
        error = raised
    finally:
        _emitted.reset(token)
    for frame in emitted:
        engine.feed(frame)
    kept = engine.messages()
    logs = [(entry.level, entry.message or "") for entry in kept.logs]
    if error is not None:
        logs.append(("ERROR", _trace(error)))
    state = "FAILED" if error is not None else "SUCCESS"
    return Result(state, kept.outputs, logs, list(kept.metrics), error)


def _stored(value: Any, store: Callable[[str, bytes], str], name: str = "file") -> Any:
    """Return outputs whose bytes are files of the server."""
    if isinstance(value, bytes):
        return store(name, value)
    if isinstance(value, Mapping):
        return {key: _stored(each, store, str(key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_stored(each, store, name) for each in value]
    return value


def _trace(error: Exception) -> str:
    """Return the traceback from the function on."""
    inner = error.__traceback__.tb_next if error.__traceback__ else None
    return "".join(traceback.format_exception(type(error), error, inner))
