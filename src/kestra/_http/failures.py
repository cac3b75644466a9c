"""What an exception of `requests` says about an attempt: one table."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import requests
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationValueError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
)

from kestra._http import stand_ins
from kestra._rules.io import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

# What cannot be sent: a URL or a header that the error quotes.
_INVALID = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidHeader,
)
# What another attempt may make good.
_UNSTABLE = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    requests.exceptions.RetryError,
)
# Before a connection was there.
_UNSENT = (NewConnectionError, ConnectTimeoutError, ProxyError)


def failure(
    error: Exception, *, sent: bool | None = None, stand_in: bool = False, mocked: bool = False
) -> Failure:
    """Return what an exception says about the request that raised it.

    `sent` is whether anything went over a connection. Where nothing of the network is behind the
    exception, a `stand_in` may have raised it; a stand-in for a socket (`mocked`) breaks like one.
    """
    quotes = isinstance(error, _INVALID) or (type(error) is ValueError and "://" in str(error))
    reason = next((e for e in _behind(error) if not isinstance(e, MaxRetryError)), None)
    if reason is None:
        mocked |= isinstance(error, _UNSTABLE) or stand_in or stand_ins.is_from_mock(error)
        timed_out = isinstance(error, requests.Timeout)
        unsent = isinstance(error, requests.ConnectTimeout) or quotes
        inner = _cause(_cause(error))
        text = f"{type(inner).__name__}: {inner}"
        is_hopeless = stand_ins.has_no_route(error)
    else:
        timed_out = _timed_out(reason)
        unsent = sent is False or isinstance(reason, _UNSENT)
        text = broken(_words(reason), unsent=unsent, by_proxy=isinstance(reason, ProxyError))
        is_hopeless = "CERTIFICATE_VERIFY_FAILED" in str(reason)
    return Failure(
        error,
        reason or error,
        late(unsent=unsent) if timed_out else text,
        is_network=reason is not None,
        unsent=unsent,
        timed_out=timed_out,
        stand_in=mocked,
        unknown_to_mock=mocked and stand_ins.is_unknown_to_mock(error),
        quotes_argument=quotes,
        final=is_hopeless or not isinstance(error, _UNSTABLE),
    )


def late(*, unsent: bool) -> str:
    return f"no {'connection' if unsent else 'complete response'} within the timeout"


def broken(words: str, *, unsent: bool, by_proxy: bool) -> str:
    what = "no connection" if unsent else "the connection broke"
    return f"{what}{' through the proxy' if by_proxy else ''}: {words}"


def tls_hint(error: BaseException) -> str:
    is_plain = isinstance(error, ssl.SSLError) and not isinstance(
        error, ssl.SSLCertVerificationError
    )
    return "; is it http://, and not https://?" if is_plain else ""


def _words(reason: Exception) -> str:
    inner = _cause(_cause(reason))  # behind an error of a proxy there are two more
    words = str(inner) if isinstance(inner, OSError) else repr(inner)
    if isinstance(reason, NameResolutionError):
        return str(reason).rpartition("): ")[2] or words  # it names the host
    return words + tls_hint(inner)


def _timed_out(reason: Exception) -> bool:
    inner = (reason.__cause__, getattr(reason, "original_error", None), *reason.args)
    # urllib3 counts a refused connection among the timeouts of connecting.
    return any(
        isinstance(each, TimeoutError | ConnectTimeoutError | ReadTimeoutError)
        and not isinstance(each, NewConnectionError)
        for each in (reason, *inner)
    )


def _cause(error: BaseException) -> BaseException:
    """Return what lies directly behind an error; itself where nothing does."""
    inner = (e for e in reversed(error.args) if isinstance(e, Exception))
    return error.__cause__ or next(inner, error)


def _behind(error: BaseException) -> Iterator[Exception]:
    """Yield what lies behind an exception of `requests`: errors of urllib3 and of the system."""
    inner = (*error.args, getattr(error, "reason", None), error.__cause__, error.__context__)
    for candidate in inner:
        # A URL that cannot be parsed is an argument.
        if isinstance(candidate, requests.RequestException | LocationValueError):
            continue
        if isinstance(candidate, urllib3.exceptions.HTTPError | OSError):
            if isinstance(candidate, MaxRetryError):
                yield from _behind(candidate)
            yield candidate
    if isinstance(error, urllib3.exceptions.HTTPError):
        yield error
