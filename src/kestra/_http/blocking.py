"""Input and output that block: what the rules are given by `Flow`.

The coroutines here never suspend, so that `run` brings a rule to its end in one go, without an
event loop. What users of 2.0.0 override or patch is known here alone: polls go through
`check_status`, logs through `get_logs`, and every request through `_make_request`, of which
`make_request` is the body.
"""
# ruff: noqa: SLF001  # the methods of a `Flow` that are public in practice

from __future__ import annotations

import json
import math
import sys
from contextvars import ContextVar
from functools import cached_property
from queue import Empty, Queue
from threading import Event as Flag
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import requests

from kestra._http import stand_ins
from kestra._http.adapter import wire
from kestra._http.failures import failure
from kestra._http.multipart import Upload
from kestra._http.sessions import read, send
from kestra._http.threads import Stream, Workers
from kestra._rules import attempts
from kestra._values.signals import raise_interruption
from kestra.exceptions import KestraError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
    from pathlib import Path

    from kestra._client.flow import Flow
    from kestra._http.sse import Event
    from kestra._rules.io import IO, Failure, Request, Response

T = TypeVar("T")
F = TypeVar("F", bound="Callable[..., Any]")

# Waits are no longer than that, so that Ctrl-C gets through on Windows too; in seconds.
_LONGEST_WAIT = 1.0
_PIECE = 1 << 20


def run(rule: Coroutine[Any, Any, T]) -> T:
    try:
        rule.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    except RuntimeError as error:
        if isinstance(error.__cause__, StopIteration):  # of a mock whose responses are used up
            raise error.__cause__ from None
        raise
    raise AssertionError("a rule waits for something that does not block")  # pragma: no cover


def iterate(rule: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """Yield what a rule yields; who stops early gets everything closed."""
    try:
        while True:
            try:
                value = run(rule.__anext__())
            except StopAsyncIteration:
                return
            yield value
    finally:
        run(rule.aclose())


_published: dict[str, Callable[..., Any]] = {}  # methods as they are when nobody has replaced them


def publish(method: F) -> F:
    _published[method.__name__] = method
    return method


class _Limit(NamedTuple):
    """What holds for the requests that go through the caller's seams at the moment."""

    io: BlockingIO
    until: float
    once: bool


# Set around the seams only, never while code of the caller runs between two events.
_limit: ContextVar[_Limit | None] = ContextVar("kestra_limit", default=None)


def make_request(
    flow: Flow, method: str, url: str, arguments: Mapping[str, Any]
) -> requests.Response:
    limit = _limit.get()
    io = BlockingIO(flow) if limit is None or limit.io.flow is not flow else limit.io
    request, other_url = flow._request(method, url, arguments)
    if limit is not None:
        request.until, request.once = limit.until, limit.once
    if "files" in arguments and not ("data" in arguments or "json" in arguments):
        request.upload = Upload(arguments["files"])
    request.is_replaced = requests.request is not stand_ins.original_request
    if other_url is None or request.is_replaced:
        return run(attempts.send(io, request))  # type: ignore[no-any-return]
    response, flow._server.needs_main = run(attempts.send_to_either(io, request, other_url))
    return response  # type: ignore[no-any-return]


def perform(flow: Flow, rule: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kw: Any) -> T:
    return run(rule(BlockingIO(flow), *args, **kw))


def perform_each(
    flow: Flow, rule: Callable[..., AsyncGenerator[T, None]], *args: Any, **kw: Any
) -> Generator[T, None, None]:
    return iterate(rule(BlockingIO(flow), *args, **kw))


class BlockingIO:
    def __init__(self, flow: Flow, parent: BlockingIO | None = None) -> None:
        self.flow = flow
        self.server = flow._server
        self.shown: dict[str, Any] = {}
        self.attempts = 0
        self._stop = Flag()  # for what is done beside this call
        self._parent = parent
        self._clock: stand_ins.Clock | None = None

    @property
    def clock(self) -> stand_ins.Clock:
        if self._clock is None:  # few calls wait
            self._clock = stand_ins.clock() if self._parent is None else self._parent.clock
        return self._clock

    @cached_property
    def _inbox(self) -> Queue[tuple[Stream, Event | None]]:
        # No SimpleQueue: given a timeout that is already over, its `get` may never return.
        return Queue()

    @cached_property
    def _workers(self) -> Workers:
        return Workers()

    # --- one request ---

    async def attempt(self, request: Request) -> Response | Failure:
        wire.used, wire.mocked = None, False
        before = sys.exc_info()[1]
        try:
            if request.is_replaced:
                if request.upload:
                    request.upload.rewind()
                return stand_ins.send_as_published(request)
            left = self.left(request.until)
            return send(self.flow._sessions.current(), request, left)
        except Exception as error:  # noqa: BLE001  # mocking libraries raise what they like
            raise_interruption(error, before)
            if isinstance(error, requests.HTTPError) and error.response is not None:
                return read(error.response)  # a hook has called `raise_for_status`
            # The adapters of a session that was passed in do not record what they send.
            stand_in = wire.used is None and self.flow._sessions.given is None
            return failure(error, sent=wire.used, stand_in=stand_in, mocked=wire.mocked)
        finally:
            request.sent = wire.used

    def adopted(self, request: Request, execution: dict[str, Any]) -> Response:
        response = requests.Response()
        response.status_code = 200
        response.url = request.url
        response.headers["Content-Type"] = "application/json"
        response.encoding = "utf-8"
        response._content = json.dumps(execution).encode()  # as mocking libraries do
        return response

    def left(self, until: float) -> float:
        if self._parent is not None and self._parent._stop.is_set():
            return 0.0
        return math.inf if until == math.inf else max(until - self.clock.now(), 0.0)

    # --- through the seams ---

    async def request(
        self, method: str, url: str, *, within: float = math.inf, once: bool = False, **kwargs: Any
    ) -> Response:
        return self._limited(within, once, self.flow._make_request, method, url, **kwargs)

    async def poll(
        self, execution_id: str, *, within: float = math.inf, once: bool = False
    ) -> Response:
        return self._limited(within, once, self.flow.check_status, execution_id)

    async def fetch_log(self, execution_id: str, *, within: float = math.inf) -> Response:
        return self._limited(within, False, self.flow.get_logs, execution_id)

    @property
    def has_own_log(self) -> bool:
        return getattr(self.flow.get_logs, "__func__", None) is not _published["get_logs"]

    def _limited(
        self, within: float, once: bool, call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        until = math.inf if within == math.inf else self.clock.now() + within
        token = _limit.set(_Limit(self, until, once))
        try:
            return call(*args, **kwargs)
        finally:
            _limit.reset(token)

    async def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        return function(*args, **kwargs)

    async def save(self, url: str, to: Path, **kwargs: Any) -> tuple[Request, Failure] | None:
        before = sys.exc_info()[1]
        with to.open("wb") as file:
            try:
                with await self.request("get", url, stream=True, **kwargs) as response:
                    for piece in response.iter_content(_PIECE):
                        file.write(piece)
            except KestraError:
                raise
            except requests.RequestException as error:
                raise_interruption(error, before)
                return self.flow._request("get", url, {})[0], failure(error, sent=True)
        return None

    async def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    # --- streams of events ---

    async def listen(self, url: str, *, within: float, **kwargs: Any) -> Stream | None:
        response = await self.request("get", url, within=within, once=True, stream=True, **kwargs)
        if not str(response.headers.get("Content-Type")).startswith("text/event-stream"):
            response.close()
            return None
        return Stream(response, self._inbox)

    async def next_event(self, timeout: float) -> tuple[Stream, Event | None] | None:
        timeout = max(0.0, min(timeout, _LONGEST_WAIT))
        end = self.clock.now() + timeout
        try:
            return self._inbox.get(timeout=timeout)
        except Empty:
            self.clock.sleep(end - self.clock.now())  # of a test's clock, to which that was no time
            return None

    async def close(self, stream: Stream) -> None:
        stream.close()

    # --- jobs beside this call ---

    def start(self, job: Callable[[IO], Coroutine[Any, Any, Any]], tag: Any) -> None:
        self._workers.start(lambda: run(job(BlockingIO(self.flow, self))), tag)

    async def finished(self, timeout: float) -> tuple[Any, Any, Exception | None] | None:
        return self._workers.finished(max(0.0, min(timeout, _LONGEST_WAIT)))

    async def stop(self) -> None:
        self._stop.set()
        self._workers.stop()
