"""Clients of `httpx2`: their connections, certificates and proxies."""

from __future__ import annotations

import logging
import os
import ssl
from typing import TYPE_CHECKING, Any

import httpx2
from requests.utils import prepend_scheme_if_needed

from kestra._http import stand_ins
from kestra._http.sessions import MOST_CONNECTIONS, NO_COOKIES, hide_keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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
    via = None
    if proxy is not None:
        url: str = prepend_scheme_if_needed(proxy, "http")  # type: ignore[no-untyped-call]
        via = httpx2.Proxy(url, ssl_context=context if url.startswith("https:") else None)
    client = httpx2.AsyncClient(transport=_Transport(context, via), trust_env=False)
    client.cookies.jar.set_policy(NO_COOKIES)
    return client
