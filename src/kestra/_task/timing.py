"""Measuring how long something takes, for `Kestra.timer`."""

from __future__ import annotations

import time

from kestra._task import frames
from kestra._task.sink import stdout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")


class Timing:
    """What `Kestra.timer(name)` returns: a context manager, and a decorator.

    Args:
        name: Of the metric.
        tags: Of the metric.
        send: `Kestra._metrics`.
    """

    def __init__(
        self, name: str, tags: Mapping[str, Any] | None, send: Callable[..., object]
    ) -> None:
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
        from functools import wraps

        kind = kind_of(function)
        if kind == "generator":
            raise works_later("the decorated function", kind, "Kestra.timer(name)")

        @wraps(function)
        def timed(*args: P.args, **kwargs: P.kwargs) -> T:
            with Timing(self._name, self._tags, self._send):
                return function(*args, **kwargs)

        @wraps(function)
        async def timed_coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
            with Timing(self._name, self._tags, self._send):
                return await function(*args, **kwargs)  # type: ignore[misc]

        return timed_coroutine if kind else timed  # type: ignore[return-value]

    def call(self, function: Callable[[], T]) -> T:
        """Call a function now, and return its result."""
        if kind := kind_of(function):
            raise works_later("duration", kind, "Kestra.timer(name)")
        with self:
            return function()


def kind_of(function: object) -> str | None:
    """Return `generator` or `coroutine` where a call does none of the work, else None."""
    import inspect  # here: it takes longer to load than a script needs to send a number

    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return "generator"
    return "coroutine" if inspect.iscoroutinefunction(function) else None


def works_later(what: str, kind: str, instead: str) -> TypeError:
    """Return the error of a function whose call is over before any of the work is done."""
    return TypeError(
        f"{what} is a {kind} function: a call of it does none of the work; "
        f"put `with {instead}:` around the code that runs it to its end"
    )
