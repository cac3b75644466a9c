"""Input and output that await: what the rules are given by `AsyncFlow`."""
# ruff: noqa: ASYNC109, SLF001  # limits that the protocol has; what a client has for this module

from __future__ import annotations

import asyncio
import json
import math
import sys
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import httpx2

from kestra._http import stand_ins
from kestra._http.async_sessions import AsyncSessions, abandon, finish, is_light, send
from kestra._http.async_transport import failure
from kestra._http.multipart import Upload
from kestra._http.sse import Parser
from kestra._rules import attempts
from kestra._values.signals import raise_interruption
from kestra.exceptions import KestraError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from kestra._client.async_flow import AsyncFlow
    from kestra._http.sse import Event
    from kestra._rules.io import IO, Failure, Request, Response

T = TypeVar("T")

_LARGE = 1 << 16  # bytes of a response that is decoded in a thread
_PIECE = 1 << 20
# How long a wait is at most where a test has replaced the clock, in seconds.
_LONGEST_WAIT = 1.0


class AsyncIO:
    def __init__(self, flow: AsyncFlow, parent: AsyncIO | None = None) -> None:
        self.flow = flow
        self.server = flow._server
        self.shown: dict[str, Any] = {}
        self.has_own_log = False
        self.attempts = 0
        self._sessions: AsyncSessions = flow._sessions
        self.clock: stand_ins.Clock = stand_ins.clock() if parent is None else parent.clock
        self._inbox: asyncio.Queue[tuple[Stream, Event | None]] = asyncio.Queue()
        self._jobs: set[asyncio.Task[Any]] = set()
        self._done: asyncio.Queue[tuple[Any, asyncio.Task[Any]]] = asyncio.Queue()

    # --- one request ---

    async def attempt(self, request: Request) -> Response | Failure:
        is_own = self._sessions.given is None
        request.sent = None
        before = sys.exc_info()[1]
        try:
            response = await send(self._sessions, request, self.left(request.until))
            if response.is_closed and len(response.content) > _LARGE:
                await self._sessions.in_thread(_decode, response)
        except httpx2.HTTPStatusError as error:  # a hook has called `raise_for_status`
            return _without_body(error.response)
        except Exception as error:  # noqa: BLE001  # mocking libraries raise what they like
            raise_interruption(error, before)
            stand_in = request.sent is None and is_own
            return failure(error, sent=request.sent, stand_in=stand_in)
        except BaseException:
            if request.sent is None and is_own:
                request.sent = False  # what ends the call has come before there was a connection
            raise
        return response

    def adopted(self, request: Request, execution: dict[str, Any]) -> Response:
        asked = httpx2.Request(request.method, request.url)
        headers = {"Content-Type": "application/json"}
        content = json.dumps(execution).encode()
        return httpx2.Response(200, headers=headers, content=content, request=asked)

    def left(self, until: float) -> float:
        return max(until - self.clock.now(), 0.0)

    async def request(
        self, method: str, url: str, *, within: float = math.inf, once: bool = False, **kwargs: Any
    ) -> httpx2.Response:
        request, other_url = self.flow._request(method, url, kwargs)
        request.until = self.clock.now() + within
        request.once = once
        if "files" in kwargs:
            request.upload = await self.call(Upload, kwargs["files"])
        response: httpx2.Response
        if other_url is None:
            response = await attempts.send(self, request)
        else:
            sending = attempts.send_to_either(self, request, other_url)
            response, self.flow._server.needs_main = await sending
        return response

    async def poll(
        self, execution_id: str, *, within: float = math.inf, once: bool = False
    ) -> httpx2.Response:
        template = self.flow.API_ENDPOINT_EXECUTION_STATUS
        url = self.server.url(template, execution_id=execution_id)
        return await self.request("get", url, within=within, once=once)

    async def fetch_log(self, execution_id: str, *, within: float = math.inf) -> httpx2.Response:
        template = self.flow.API_ENDPOINT_EXECUTION_LOG
        url = self.server.url(template, execution_id=execution_id)
        return await self.request("get", url, within=within)

    async def save(self, url: str, to: Path, **kwargs: Any) -> tuple[Request, Failure] | None:
        before = sys.exc_info()[1]
        with to.open("wb") as file:
            try:
                response = await self.request("get", url, stream=True, **kwargs)
                pieces = response.aiter_bytes(_PIECE)
                try:
                    async for piece in pieces:
                        await self._sessions.in_thread(file.write, piece)
                finally:
                    await abandon(response, pieces)
            except KestraError:
                raise
            except httpx2.RequestError as error:
                raise_interruption(error, before)
                return self.flow._request("get", url, {})[0], failure(error, sent=True)
        return None

    # --- time and threads ---

    async def sleep(self, seconds: float) -> None:
        await self.clock.pause(seconds)

    async def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        if all(map(is_light, args)):
            await self._sessions.turn()
            return function(*args, **kwargs)
        return await self._sessions.in_thread(function, *args, **kwargs)

    async def _next(self, queue: asyncio.Queue[T], timeout: float) -> T | None:
        """Return the next thing of a queue, `None` if there is none in time."""
        if queue.empty() and timeout > 0:
            if type(self.clock) is not stand_ins.Clock:
                timeout = min(timeout, _LONGEST_WAIT)
            with anyio.move_on_after(timeout):
                return await queue.get()
        elif queue.empty():
            await asyncio.sleep(0)  # so that others have their turn
        with suppress(asyncio.QueueEmpty):
            return queue.get_nowait()
        return None

    # --- streams of events ---

    async def listen(self, url: str, *, within: float, **kwargs: Any) -> Stream | None:
        response = await self.request("get", url, within=within, once=True, stream=True, **kwargs)
        if not str(response.headers.get("Content-Type")).startswith("text/event-stream"):
            await response.aclose()
            return None
        return Stream(response, self._inbox, self._sessions)

    async def next_event(self, timeout: float) -> tuple[Stream, Event | None] | None:
        end = self.clock.now() + max(timeout, 0.0)
        found = await self._next(self._inbox, timeout)
        if found is None and type(self.clock) is not stand_ins.Clock:
            await self.clock.pause(min(end - self.clock.now(), _LONGEST_WAIT))
        return found

    async def close(self, stream: Stream) -> None:
        await stream.close()

    # --- jobs beside this call ---

    def start(self, job: Callable[[IO], Coroutine[Any, Any, Any]], tag: Any) -> None:
        task = self._sessions.spawn(job(AsyncIO(self.flow, self)))
        self._jobs.add(task)
        task.add_done_callback(lambda task: self._done.put_nowait((tag, task)))

    async def finished(self, timeout: float) -> tuple[Any, Any, Exception | None] | None:
        done = await self._next(self._done, timeout)
        if done is None:
            return None
        tag, task = done
        self._jobs.discard(task)
        if task.cancelled():
            return tag, None, RuntimeError("the AsyncFlow was closed meanwhile")
        error = task.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        return tag, None if error else task.result(), error

    async def stop(self) -> None:
        await finish(self._jobs)
        for task in self._jobs:
            if not task.cancelled():
                task.exception()  # nobody else asks for it


class Stream:
    """A response that is a stream of events, read by a task of its own.

    The task puts each event into a queue, and `None` at the end, for whatever reason. Each comes
    with this object: the queue may still hold events of a stream that was closed.
    """

    def __init__(
        self,
        response: httpx2.Response,
        inbox: asyncio.Queue[tuple[Stream, Event | None]],
        sessions: AsyncSessions,
    ) -> None:
        self._response = response
        self._inbox = inbox
        self._task = sessions.spawn(self._read())

    async def close(self) -> None:
        await finish([self._task])
        await self._response.aclose()  # of a task that never began

    async def _read(self) -> None:
        parser = Parser()
        try:
            # Whatever httpx2, the system or a mock raises: the stream has ended.
            with suppress(Exception):
                async with aclosing(self._response.aiter_bytes()) as pieces:
                    async for piece in pieces:
                        for event in parser.feed(piece):
                            self._inbox.put_nowait((self, event))
        finally:
            self._inbox.put_nowait((self, None))
            await self._response.aclose()


def _without_body(response: httpx2.Response) -> httpx2.Response:
    """Return a response as it is without its body, which is closed before a hook's error comes."""
    if response.is_stream_consumed:
        return response
    headers = {k: v for k, v in response.headers.items() if not k.startswith("content-")}
    return httpx2.Response(response.status_code, headers=headers, request=response.request)


def _decode(response: httpx2.Response) -> None:
    if "json" not in response.headers.get("Content-Type", ""):
        _ = response.text
        return
    with suppress(ValueError):
        value = response.json()
        response.json = lambda **_: value  # type: ignore[method-assign]
