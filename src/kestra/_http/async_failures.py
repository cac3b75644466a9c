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
    """Return what an exception says about the request that raised it.

    Args:
        error: The exception.
        sent: Whether anything went over a connection, `None` if that is not known.
        stand_in: Whether something else may have taken the network's place. It has, if nothing of
            the network is behind the exception.
    """
    if isinstance(error, requests.RequestException):  # it could not even be prepared
        return failures.failure(error, sent=False)
    quotes = isinstance(error, _INVALID)
    # A file that cannot be read on breaks a connection too.
    is_network = isinstance(error, _UNSTABLE) or (isinstance(error, OSError) and sent is True)
    if not is_network:
        text = f"{type(error).__name__}: {error}"
        return Failure(
            error,
            error,
            text,
            is_network=isinstance(error, httpx2.TransportError) and not quotes,
            unsent=quotes,
            stand_in=stand_in,
            unknown_to_mock=stand_in,
            quotes_argument=quotes,
            final=True,
        )
    unsent = sent is False or isinstance(error, _UNSENT)
    timed_out = isinstance(error, httpx2.TimeoutException)
    reason = next((each for each in _behind(error) if isinstance(each, OSError)), error)
    late = f"no {'connection' if unsent else 'complete response'} within the timeout"
    return Failure(
        error,
        reason,
        late if timed_out else _broken(error, reason, unsent=unsent),
        unsent=unsent,
        timed_out=timed_out,
        final=isinstance(reason, ssl.SSLCertVerificationError),
    )


def _broken(error: Exception, reason: Exception, *, unsent: bool) -> str:
    words = str(reason) or repr(reason)
    if isinstance(reason, socket.gaierror):
        words = f"failed to resolve {_host(error)!r} ({reason})"
    elif isinstance(reason, ssl.SSLError):
        is_checked = isinstance(reason, ssl.SSLCertVerificationError)
        words += "" if is_checked else "; is it http://, and not https://?"
    elif isinstance(reason, OSError) and reason.errno:  # asyncio puts it in words of its own
        words = f"[Errno {reason.errno}] {os.strerror(reason.errno)}"
    what = "no connection" if unsent else "the connection broke"
    through = " through the proxy" if isinstance(error, httpx2.ProxyError) else ""
    return f"{what}{through}: {words}"


def _host(error: Exception) -> str:
    request = getattr(error, "_request", None)  # its property raises where there is none
    return "" if request is None else str(request.url.host)


def _behind(error: BaseException) -> Iterator[Exception]:
    """Yield what lies behind an exception, the innermost first."""
    inner = error.__cause__ or error.__context__
    if inner is not None:
        yield from _behind(inner)
    for each in getattr(inner, "exceptions", ()):  # one for each address that was tried
        yield from _behind(each)
    if isinstance(error, Exception):
        yield error
