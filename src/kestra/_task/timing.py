"""Measuring how long something takes, for `Kestra.timer`."""

from __future__ import annotations

import time

from kestra._task import frames
from kestra._task.sink import stdout
from kestra._values.loading import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")


class Timing:
    """What `Kestra.timer(name)` returns: a context manager, and a decorator."""

    def __init__(
        self, name: str, tags: Mapping[str, Any] | None, send: Callable[..., object]
    ) -> None:
        if callable(name):
            raise TypeError('name is a function: give the decorator a name, @Kestra.timer("name")')
        self._name = name
        self._tags = tags
        self._send = send
        self._start = 0.0

    def __enter__(self) -> None:
        frames.metric_frame(self._name, "timer", 0.0, self._tags or {})  # refused now, not after
        stdout.types().claim(self._name, "timer", self._tags)
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._send(self._name, "timer", time.perf_counter() - self._start, self._tags)

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        return within(lambda: Timing(self._name, self._tags, self._send), function, "timer(name)")

    def call(self, function: Callable[[], T]) -> T:
        if kind := _kind_of(function):
            raise _works_later("duration", kind, "timer(name)")
        with self:
            return function()


def within(
    block: Callable[[], AbstractContextManager[object]], function: Callable[P, T], made_by: str
) -> Callable[P, T]:
    """Return a function each of whose calls runs inside a block of its own."""
    from functools import wraps

    kind = _kind_of(function)
    if kind == "generator":
        raise _works_later("the decorated function", kind, made_by)

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        with block():
            return function(*args, **kwargs)

    @wraps(function)
    async def wrapped_coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
        with block():
            return await function(*args, **kwargs)  # type: ignore[misc]

    return wrapped_coroutine if kind else wrapped  # type: ignore[return-value]


def _kind_of(function: object) -> str | None:
    """Return `generator` or `coroutine` where a call does none of the work, else None."""
    load("inspect")
    import inspect  # here: it takes longer to load than a script needs to send a number

    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return "generator"
    return "coroutine" if inspect.iscoroutinefunction(function) else None


def _works_later(what: str, kind: str, made_by: str) -> TypeError:
    return TypeError(
        f"{what} is a {kind} function: a call of it does none of the work; "
        f"put `with Kestra.{made_by}:` around the code that runs it to its end"
    )
