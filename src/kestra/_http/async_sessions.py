"""Sending a request once with `httpx2`: clients, limits in time, reading the response."""

from __future__ import annotations

import asyncio
from collections.abc import KeysView, ValuesView
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from contextvars import copy_context
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import anyio
import httpx2
import requests
from requests.utils import select_proxy

from kestra._api.requests import ExecutionRequest
from kestra._http import stand_ins
from kestra._http.adapter import limit_of
from kestra._http.async_transport import new_client
from kestra._http.sessions import Hop
from kestra._rules.problems import REDIRECTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable

    from kestra._http.adapter import Limit
    from kestra._rules.io import Request

T = TypeVar("T")

_PIECE = 1 << 20
_LIGHT = 1 << 16  # characters, bytes or values that take less than a millisecond
_DEEP = 100  # levels, at most: what is nested deeper may have no end
_SMALL = (bool, int, float, type(None), ExitStack)
# How `requests` reads the environment, and when credentials are not for another URL.
_LIKE = requests.Session()


class AsyncSessions:
    """What a client keeps between its calls: connections, tasks and threads.

    The connections belong to a running event loop; there are others for another loop, and for each
    proxy and way to check certificates.
    """

    def __init__(self, given: httpx2.AsyncClient | None = None) -> None:
        if given is not None and not isinstance(given, httpx2.AsyncClient):
            raise TypeError(f"session must be an httpx2.AsyncClient, not {type(given).__name__}")
        self.given = given
        self._clients: WeakKeyDictionary[Any, dict[Any, httpx2.AsyncClient]] = WeakKeyDictionary()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._threads: ThreadPoolExecutor | None = None
        self._turns: WeakKeyDictionary[Any, asyncio.Lock] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.given,)

    async def client(
        self, url: str, settings: dict[str, Any]
    ) -> tuple[httpx2.AsyncClient, str | None]:
        """Return the client for a URL, and the proxy by way of which it goes there.

        `settings` are `verify` and `proxies`, as `requests` has them.
        """
        if self.given is not None and stand_ins.exchange() is None:
            for name in settings:
                raise ValueError(f"{name} must be set on the session that was given instead")
            return self.given, None
        found: Any = _LIKE.merge_environment_settings(
            url, settings.get("proxies") or {}, False, settings.get("verify"), None
        )
        proxy = select_proxy(url, found["proxies"])
        # A context for TLS takes time to make.
        verify = found["verify"] if url.startswith("https:") or proxy else False
        clients = self._clients.setdefault(asyncio.get_running_loop(), {})
        client = clients.get((verify, proxy))
        if client is None:
            make = partial(new_client, verify, proxy)
            made = await self.in_thread(make) if verify else make()
            client = clients.setdefault((verify, proxy), made)
        return client, proxy

    async def turn(self) -> None:
        """Wait for one's turn: a thousand calls that begin at once do not hold up the loop."""
        async with self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            await asyncio.sleep(0)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def in_thread(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call a function in a thread; who is cancelled meanwhile waits for its end."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(thread_name_prefix="kestra")
        call: Any = partial(copy_context().run, function, *args, **kwargs)
        future: asyncio.Future[T] = asyncio.get_running_loop().run_in_executor(self._threads, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await _until_done({future})
            if not future.cancelled():
                future.exception()  # nobody else asks for it
            raise

    async def close(self) -> None:
        """End all tasks, and close the connections; a client that was given is its owner's.

        Who is cancelled meanwhile waits for that.
        """
        try:
            await finish(self._tasks)
        finally:
            threads, self._threads = self._threads, None
            if threads is not None:
                threads.shutdown(wait=False)
            clients = self._clients.pop(asyncio.get_running_loop(), {}).values()
            closing = [asyncio.ensure_future(client.aclose()) for client in clients]
            await _until_done({*closing})
        for each in closing:
            each.result()


async def finish(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and wait until they have ended, whatever happens to this one meanwhile."""
    present = asyncio.current_task()
    pending = {task for task in tasks if not task.done() and task is not present}
    for task in pending:
        task.cancel()
    await _until_done(pending)


async def _until_done(pending: set[Any]) -> None:
    cancelled = None
    with anyio.CancelScope(shield=True):
        while pending:
            try:
                _, pending = await asyncio.wait(pending)
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled


def is_light(value: Any) -> bool:
    """Return True if a value is small, and nothing has to be read for it: no thread is needed."""
    return _weighed(value, _LIGHT) >= 0


def _weighed(value: Any, left: int, depth: int = 0) -> int:
    """Return what is left of a limit; less than zero if that is too little, or it is deep."""
    if isinstance(value, str | bytes):
        return left - len(value)
    if isinstance(value, httpx2.Response):
        return left - len(value.content)
    if isinstance(value, ExecutionRequest):
        value = (value.inputs, value.labels)
    if type(value) is dict:
        value = (value.keys(), value.values())
    if type(value) in {list, tuple} or isinstance(value, KeysView | ValuesView):
        left = left - len(value) if depth < _DEEP else -1
        for each in value:
            left = _weighed(each, left, depth + 1) if left >= 0 else left
        return left
    is_small = isinstance(value, _SMALL) or type(value).__module__ in {"datetime", "uuid"}
    return left - 1 if is_small else -1


# --- one request ---


async def send(sessions: AsyncSessions, request: Request, left: float) -> httpx2.Response:
    """Send a request once, and return the response, read completely.

    With `stream` among its arguments, the body of what was asked for is not read.
    """
    arguments = dict(request.arguments)
    stream = arguments.pop("stream", False)
    hop = Hop(request, arguments)
    while True:
        response = await _sent(sessions, request, hop, left)
        status = response.status_code
        target = response.headers.get("Location") if status in REDIRECTS else None
        if not target or not hop.follow(status, target, _LIKE.should_strip_auth):
            break
        await read(response)  # so that its connection can be used again
    return response if stream and response.is_success else await read(response)


async def _sent(
    sessions: AsyncSessions, request: Request, hop: Hop, left: float
) -> httpx2.Response:
    await sessions.turn()
    if request.upload and not is_light(request.arguments):
        prepared = await sessions.in_thread(hop.prepared, left)
    else:
        prepared = hop.prepared(left)
    settings: dict[str, Any] = {
        name: prepared.pop(name) for name in ("verify", "proxies") if name in prepared
    }
    client, proxy = await sessions.client(hop.url, settings)
    connect, limit = prepared.pop("timeout")
    headers = prepared.pop("headers")
    kept = {name: value for name, value in headers.items() if value is not None}
    sent = requests.Request(request.method, hop.url, headers=kept, **prepared).prepare()
    watch = _Watch(request, hop.url, limit)
    body = sent.body
    built = client.build_request(
        request.method,
        str(sent.url),
        headers=httpx2.Headers(sent.headers, encoding="latin-1"),
        content=body if isinstance(body, str | bytes) else None,
        timeout=httpx2.Timeout(limit, connect=connect, pool=None),
        extensions={"trace": watch},
    )
    if not isinstance(body, str | bytes | None):  # one that a test can read, too
        built = httpx2.Request(
            built.method,
            built.url,
            headers=built.headers,
            stream=_Body(sessions, body),
            extensions=built.extensions,
        )
    for name in headers.keys() - kept:
        built.headers.pop(name, None)
    is_own = client is not sessions.given
    auth = httpx2.Auth() if is_own or "auth" in prepared else httpx2.USE_CLIENT_DEFAULT
    response = None
    try:
        with watch.scope:
            response = await client.send(built, stream=True, auth=auth, follow_redirects=False)
    except httpx2.ConnectError as error:
        if proxy is None or watch.is_connected:
            raise
        raise httpx2.ProxyError(str(error), request=built) from error
    if response is None:
        raise httpx2.ReadTimeout("timed out", request=built)
    watch.limit.received(1)
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Limited(response.stream, watch.limit)
    return response


class _Watch:
    """Sees what `httpx2` does for a request, and limits how long the response may take."""

    def __init__(self, request: Request, url: str, seconds: float) -> None:
        self._request = request
        self._kind = limit_of(request.method, url)
        self._seconds = seconds
        self.scope = anyio.CancelScope()  # is cancelled when it takes too long
        self.is_connected = False

    @cached_property
    def limit(self) -> Limit:
        """The limit for the response, which begins when the request is sent."""
        return self._kind(self._seconds)

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        is_tunnel = getattr(info.get("request"), "method", b"") == b"CONNECT"
        if event.startswith("connection.connect_"):
            self._request.sent = bool(self._request.sent)
            self.is_connected = event.endswith(".complete")
        elif event.endswith("send_request_headers.started"):
            self._request.sent = bool(self._request.sent) or not is_tunnel
        elif event.endswith("receive_response_headers.started"):
            if is_tunnel:  # to open it is to connect, for which `httpx2` takes the other limit
                limits = info["request"].extensions["timeout"]
                info["request"].extensions["timeout"] = limits | {"read": limits["connect"]}
            else:
                self.scope.deadline = anyio.current_time() + self.limit.remaining()


class _Body(httpx2.AsyncByteStream):
    """A request's body that is read from files, in a thread.

    No generator: one that is left before its end is closed by a task of its own.
    """

    def __init__(self, sessions: AsyncSessions, body: Any) -> None:
        self._sessions = sessions
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece: bytes = await self._sessions.in_thread(self._body.read, _PIECE)
        if not piece:
            raise StopAsyncIteration
        return piece


class _Limited(httpx2.AsyncByteStream):
    """A response's body, each piece of which may take the time that is left for it."""

    def __init__(self, stream: httpx2.AsyncByteStream, limit: Limit) -> None:
        self._stream = stream
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = self._stream.__aiter__()
        while True:
            piece = None
            with anyio.CancelScope(deadline=anyio.current_time() + self._limit.remaining()):
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    return
            if piece is None:
                raise httpx2.ReadTimeout("timed out")
            self._limit.received(len(piece))
            yield piece

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()


async def abandon(response: httpx2.Response, pieces: AsyncIterator[bytes]) -> None:
    """Close a response that may not be read to its end, and what reads it.

    Nothing more can come from its connection then, so that the generators of `httpx2`, one within
    the other, end here, and not each in a task of its own.
    """
    with anyio.CancelScope(shield=True):
        await response.aclose()
        with suppress(Exception):
            async for _ in pieces:
                pass


async def read(response: httpx2.Response) -> httpx2.Response:
    try:
        await response.aread()
    except BaseException:
        await response.aclose()
        raise
    return response
