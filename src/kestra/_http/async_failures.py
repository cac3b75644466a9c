"""What an exception of `httpx2` says about an attempt: one table, as that of `requests`."""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING

import httpx2
import requests

from kestra._http import failures
from kestra._rules.io import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

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
