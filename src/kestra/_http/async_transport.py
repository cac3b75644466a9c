"""What is particular to `httpx2`: connections, certificates and proxies, and what it raises."""

from __future__ import annotations

import logging
import os
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx2
import requests
from requests.utils import prepend_scheme_if_needed

from kestra._http import failures, stand_ins
from kestra._http.sessions import MOST_CONNECTIONS, NO_COOKIES, hide_keys
from kestra._rules.io import Failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_POOL = 50  # responses on their way, after which another pool is opened
_LIMITS = httpx2.Limits(
    max_connections=None,
    max_keepalive_connections=MOST_CONNECTIONS,
    keepalive_expiry=30.0,  # as long as those of `Flow`
)

logging.getLogger("httpx2").addFilter(hide_keys)


class _Transport(httpx2.AsyncBaseTransport):
    """The network, or what a test has put in its place.

    For each request, a pool of `httpx2` goes through all its connections: a thousand streams at
    once need several small ones.
    """

    def __init__(self, verify: ssl.SSLContext, proxy: httpx2.Proxy | None) -> None:
        self._options: dict[str, Any] = {"verify": verify, "proxy": proxy, "limits": _LIMITS}
        self._pools: list[_Pool] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        exchange = stand_ins.exchange()
        if exchange is None:
            return await self._send(request)
        response: httpx2.Response = await exchange(request, self._send)
        return response

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        pool = next((pool for pool in self._pools if pool.busy < _POOL), None)
        if pool is None:
            pool = _Pool(**self._options)
            self._pools.append(pool)
        return await pool.handle_async_request(request)

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.aclose()


class _Pool(httpx2.AsyncHTTPTransport):
    """A few connections; `busy` is how many responses are on their way."""

    busy = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.busy += 1
        try:
            response = await super().handle_async_request(request)
        except BaseException:
            self.busy -= 1
            raise
        response.stream = _Held(response.stream, self)
        return response


class _Held(httpx2.AsyncByteStream):
    """A response's body, which keeps its pool busy until it is closed."""

    def __init__(self, stream: Any, pool: _Pool) -> None:
        self._stream = stream
        self._pool: _Pool | None = pool

    def __aiter__(self) -> AsyncIterator[bytes]:
        pieces: AsyncIterator[bytes] = self._stream.__aiter__()
        return pieces

    async def aclose(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.busy -= 1
        await self._stream.aclose()


def new_client(verify: bool | str, proxy: str | None) -> httpx2.AsyncClient:
    """Return a client that checks certificates, and goes by way of a proxy, as `requests` does."""
    if isinstance(verify, str | os.PathLike):
        if not os.path.exists(verify):  # noqa: PTH110  # as `requests` takes it
            raise OSError(f"verify: there is no CA bundle {os.fspath(verify)!r}")
        is_folder = os.path.isdir(verify)  # noqa: PTH112  # as above
        context = ssl.create_default_context(
            cafile=None if is_folder else verify, capath=verify if is_folder else None
        )
    else:
        context = httpx2.create_ssl_context(verify)
    via = None if proxy is None else _proxy(proxy, context)
    client = httpx2.AsyncClient(transport=_Transport(context, via), trust_env=False)
    client.cookies.jar.set_policy(NO_COOKIES)
    return client


def _proxy(proxy: str, context: ssl.SSLContext) -> httpx2.Proxy:
    with suppress(ValueError, httpx2.InvalidURL):  # which quote a URL that may hold a password
        url: str = prepend_scheme_if_needed(proxy, "http")  # type: ignore[no-untyped-call]
        return httpx2.Proxy(url, ssl_context=context if url.startswith("https:") else None)
    raise requests.exceptions.InvalidProxyURL("the URL of the proxy is not valid")


# --- what an exception says about an attempt ---

# What cannot be sent: a URL that the error quotes.
_INVALID = (httpx2.InvalidURL, httpx2.UnsupportedProtocol)
# What another attempt may make good.
_UNSTABLE = (
    httpx2.TimeoutException,
    httpx2.NetworkError,
    httpx2.RemoteProtocolError,
    httpx2.ProxyError,
    httpx2.DecodingError,
)
# Before a connection was there.
_UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)


def failure(error: Exception, *, sent: bool | None = None, stand_in: bool = False) -> Failure:
    """As that of `requests`."""
    if isinstance(error, requests.RequestException):  # it could not even be prepared
        return failures.failure(error, sent=False)
    # A file that cannot be read on breaks a connection too.
    if isinstance(error, _UNSTABLE) or (isinstance(error, OSError) and sent is True):
        unsent = sent is False or isinstance(error, _UNSENT)
        timed_out = isinstance(error, httpx2.TimeoutException)
        reason = next((each for each in _behind(error) if isinstance(each, OSError)), error)
        by_proxy = isinstance(error, httpx2.ProxyError)
        text = failures.broken(_words(error, reason), unsent=unsent, by_proxy=by_proxy)
        return Failure(
            error,
            reason,
            failures.late(unsent=unsent) if timed_out else text,
            unsent=unsent,
            timed_out=timed_out,
            final=isinstance(reason, ssl.SSLCertVerificationError),
        )
    quotes = isinstance(error, _INVALID)
    return Failure(
        error,
        error,
        f"{type(error).__name__}: {error}",
        is_network=isinstance(error, httpx2.TransportError) and not quotes,
        unsent=quotes,
        stand_in=stand_in,
        unknown_to_mock=stand_in,
        quotes_argument=quotes,
        final=True,
    )


def _words(error: Exception, reason: Exception) -> str:
    if isinstance(reason, socket.gaierror):
        request = getattr(error, "_request", None)  # its property raises where there is none
        host = "" if request is None else str(request.url.host)
        return f"failed to resolve {host!r} ({reason})"
    if isinstance(reason, OSError) and reason.errno and not isinstance(reason, ssl.SSLError):
        # asyncio puts it in words of its own
        return f"[Errno {reason.errno}] {os.strerror(reason.errno)}"
    return (str(reason) or repr(reason)) + failures.tls_hint(reason)


def _behind(error: BaseException) -> Iterator[Exception]:
    """Yield what lies behind an exception, the innermost first."""
    inner = error.__cause__ or error.__context__
    if inner is not None:
        yield from _behind(inner)
    for each in getattr(inner, "exceptions", ()):  # one for each address that was tried
        yield from _behind(each)
    if isinstance(error, Exception):
        yield error
