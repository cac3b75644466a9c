"""Calling a flow's function, and keeping what it returns and emits."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest import mock

from kestra._engine.reader import TaskReader
from kestra._task import frames, sink
from kestra._task.metric_types import MetricTypes
from kestra._task.stand_ins import offer_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kestra._engine.messages import TaskMetric
    from kestra._testing.fake.execution import Execution

_emitted: ContextVar[list[str] | None] = ContextVar("kestra_emitted", default=None)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a call: what was returned over what was emitted, and what was raised."""

    state: str = "FAILED"
    outputs: dict[str, Any] = field(default_factory=dict)
    logs: list[tuple[str, str]] = field(default_factory=list)  # levels and messages
    metrics: list[TaskMetric] = field(default_factory=list)
    error: Exception | None = None


@contextmanager
def catching() -> Iterator[None]:
    """Keep the frames that flows' functions emit from standard output."""
    with ExitStack() as stack:
        # A server keeps the types of metrics while it runs.
        stack.enter_context(mock.patch.object(sink.stdout, "metric_types", MetricTypes()))
        for each in (sink.stdout, sink.stderr):
            stack.callback(offer_frames(each, _keep))
        yield


def _keep(frame: str) -> bool:
    kept = _emitted.get()
    if kept is not None:
        kept.append(frame)
    return kept is not None


def call(execution: Execution, version: str) -> Result:
    """Call an execution's function, and return what the engine would have kept of it."""
    engine = TaskReader(version)
    emitted: list[str] = []
    error: Exception | None = None
    token = _emitted.set(emitted)
    try:
        returned = execution.definition.function(dict(execution.inputs))
        if returned is not None:
            emitted.append(frames.encode({"outputs": _stored(returned, execution.store)}))
    except Exception as raised:  # noqa: BLE001  # it is what a failing task is
        error = raised
    finally:
        _emitted.reset(token)
    for frame in emitted:
        engine.feed(frame)
    kept = engine.messages()
    logs = [(entry.level, entry.message or "") for entry in kept.logs]
    if error is not None:
        inner = error.__traceback__.tb_next if error.__traceback__ else None  # from the function on
        logs.append(("ERROR", "".join(traceback.format_exception(type(error), error, inner))))
    state = "SUCCESS" if error is None else "FAILED"
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
