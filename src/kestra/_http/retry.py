"""What to do after an attempt, and why: the rules, without any input or output.

A request that changes nothing, or the same thing every time, is simply repeated. A POST is not: it
may have been carried out although its answer was lost, and a second one would start a second
execution. What is known about that is a `Doubt`; the server's answer to a search for the execution
is a `Finding`; `after_search` says what follows from the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    InvalidHeader,
    LocationValueError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
# The longest that a server's own wish (Retry-After) is granted, in seconds.
LONGEST_WISH = 60.0

MOST_REDIRECTS = 10

_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_KEEPING_METHOD = frozenset({307, 308})


class PublishedRetry(urllib3.Retry):
    """Five attempts, and pauses of 1, 2, 4, 8 and 16 seconds, as `kestra` 2.0.0 makes them.

    Unlike in its base class, `total` counts attempts, and there is a pause after the last one too:
    what was last sent may come to light meanwhile.
    """

    def get_backoff_time(self) -> float:
        return float(2 ** (len(self.history) - 1))


def published_retry() -> PublishedRetry:
    """Return the default policy."""
    return PublishedRetry(total=5, status_forcelist=RETRIED_STATUSES, allowed_methods=None)


def keeps_method(method: str, status: int) -> bool:
    """Say whether a redirect keeps the method of a request; others turn a POST into a GET."""
    return method.upper() in {"GET", "HEAD"} or status in _KEEPING_METHOD


# --- one attempt -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """An attempt that was answered, with whatever status.

    Attributes:
        response: The answer; only its `status_code` and `headers` are looked at here.
    """

    response: Any

    @property
    def status(self) -> int:
        """The status; a test's stand-in that has none means success."""
        status = self.response.status_code
        return status if isinstance(status, int) else 200

    @property
    def retry_after(self) -> str | None:
        """The header of that name."""
        headers = getattr(self.response, "headers", None) or {}
        value = headers.get("Retry-After")
        return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that got no complete response.

    Attributes:
        error: What `requests` raised.
        reason: What lies behind it, the error itself where nothing does; its text holds no URL.
        unsent: No connection was made, so the server knows nothing of the request.
        timed_out: It took longer than a timeout allows.
        mocked: A test's stand-in for the network raised it; there is no connection.
        final: Another attempt cannot help.
    """

    error: Exception
    reason: Exception
    unsent: bool = False
    timed_out: bool = False
    mocked: bool = False
    final: bool = False

    def __str__(self) -> str:
        inner = _cause(_cause(self.reason))  # behind an error of a proxy there are two more
        if self.timed_out:
            what = "connection" if self.unsent else "complete response"
            return f"no {what} within the timeout"
        if not self.is_network_fault:
            return f"{type(inner).__name__}: {inner}"
        words = str(inner) if isinstance(inner, OSError) else repr(inner)
        what = "no connection" if self.unsent else "the connection broke"
        through = " through the proxy" if isinstance(self.reason, ProxyError) else ""
        return f"{what}{through}: {words}"

    @property
    def is_network_fault(self) -> bool:
        """Whether urllib3 or the system failed; else an argument, a hook or a stand-in is at fault.

        Only then does something lie behind what `requests` raised.
        """
        return self.reason is not self.error

    @property
    def refused_by_mock(self) -> bool:
        """Whether a stand-in for the network has no answer for this very request."""
        broken = isinstance(self.error, requests.RequestException)
        return self.mocked and (type(self.error) is requests.ConnectionError or not broken)


def failure(error: Exception, *, sent: bool | None = None, stand_in: bool = False) -> Failure:
    """Return what an exception says about the request that raised it.

    Args:
        error: The exception.
        sent: Whether anything went over a connection, `None` if that is not known.
        stand_in: Whether something else may have taken the network's place. It has, if nothing of
            the network is behind the exception.
    """
    reason = next((e for e in _behind(error) if not isinstance(e, MaxRetryError)), None)
    if reason is None:
        return Failure(
            error,
            error,
            unsent=isinstance(error, requests.ConnectTimeout) or quotes_argument(error),
            timed_out=isinstance(error, requests.Timeout),
            mocked=isinstance(error, _UNSTABLE) or stand_in or _is_mock(error),
            final=not isinstance(error, _UNSTABLE) or str(error).startswith(_NO_ROUTE),
        )
    return Failure(
        error,
        reason,
        unsent=sent is False or isinstance(reason, _UNSENT),
        timed_out=_timed_out(reason),
        final=not isinstance(error, _UNSTABLE) or "CERTIFICATE_VERIFY_FAILED" in str(reason),
    )


def quotes_argument(error: Exception) -> bool:
    """Say whether an error quotes an argument that cannot be sent: a URL or a header."""
    return isinstance(error, _INVALID) or (type(error) is ValueError and "://" in str(error))


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


def _is_mock(error: Exception) -> bool:
    return type(error).__module__.startswith("requests_mock")


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
# How the library `responses` says that it knows no such request.
_NO_ROUTE = "Connection refused by Responses"
_UNSENT = (NewConnectionError, ConnectTimeoutError, ProxyError)


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


# --- a POST whose answer is missing ----------------------------------------------------------


class Doubt(Enum):
    """Whether a request may have been carried out, as far as is known after an attempt."""

    NONE = "it was not, or repeating it does no harm"
    ANSWERED = "the server answered, but with a failure"
    UNANSWERED = "it was sent, and nothing came back"


class Finding(Enum):
    """What a search for the execution brought."""

    FOUND = "it is there"
    MISSING = "it is not there"
    UNKNOWN = "the search failed"
    UNREADABLE = "the search was answered with something else, such as a page"
    IMPOSSIBLE = "there is nothing to search with"


class Step(Enum):
    """What to do next."""

    ADOPT = "hand out the execution that was found"
    SEND = "send the request again"
    SEARCH = "search again"
    GIVE_UP = "raise"


def doubt_after(method: str, outcome: Answer | Failure) -> Doubt:
    """Return the doubt that an outcome leaves."""
    if method.upper() in _REPEATABLE:
        return Doubt.NONE
    if isinstance(outcome, Failure):
        return Doubt.NONE if outcome.unsent else Doubt.UNANSWERED
    open_question = outcome.status >= 500 or outcome.status in RETRIED_STATUSES  # noqa: PLR2004  # 5xx
    return Doubt.ANSWERED if open_question else Doubt.NONE


def after_search(
    doubt: Doubt, finding: Finding, *, mocked: bool = False, repeatable: bool = True
) -> Step:
    """Return what follows from a doubt and a search.

    Args:
        doubt: What the last attempt left open.
        finding: What the search brought.
        mocked: Whether the last attempt failed in a stand-in for the network, where no execution
            is at stake.
        repeatable: Whether the request can be sent again at all.
    """
    send = Step.SEND if repeatable else Step.GIVE_UP
    if finding is Finding.FOUND:
        return Step.ADOPT
    if doubt is Doubt.NONE:
        return send
    if finding in {Finding.UNKNOWN, Finding.UNREADABLE}:
        # The server may be restarting. Nothing is known until it answers.
        return Step.SEARCH
    if doubt is Doubt.ANSWERED:
        # A server that answered a POST with a failure, and does not know the execution, has not
        # created it. One that cannot be asked gets what 2.0.0 sent.
        return send
    if finding is Finding.MISSING:
        # The POST may be on its way still.
        return Step.SEARCH
    return send if mocked else Step.GIVE_UP


# --- again, and when -------------------------------------------------------------------------


def is_retried(policy: urllib3.Retry, method: str, status: int) -> bool:
    """Say whether a status is worth another attempt; what the policy leaves unsaid is as in 2.0.0.

    A policy's `allowed_methods` counts where the caller set it. The default leaves out POST, as is
    right for a client that cannot find out whether one was carried out.
    """
    allowed = policy.allowed_methods
    chosen = allowed and allowed is not urllib3.Retry.DEFAULT_ALLOWED_METHODS
    if chosen and method.upper() not in (allowed or ()):
        return False
    return status in (policy.status_forcelist or RETRIED_STATUSES)


def next_attempt(
    policy: urllib3.Retry, outcome: Answer | Failure
) -> tuple[urllib3.Retry | None, float]:
    """Return the policy for the next attempt, `None` if this was the last, and the pause after it.

    Args:
        policy: The policy as it was for this attempt.
        outcome: What the attempt brought.
    """
    answer, error, wish = None, None, 0.0
    if isinstance(outcome, Answer):
        answer = urllib3.HTTPResponse(status=outcome.status)
        wish = _wish(policy, outcome.retry_after)
    elif isinstance(outcome.reason, urllib3.exceptions.HTTPError):
        error = outcome.reason
    else:
        error = ProtocolError(type(outcome.reason).__name__)
    try:
        # Which methods may be repeated is decided here, not by the policy.
        spent = policy.new(allowed_methods=None).increment("", "", response=answer, error=error)
    except urllib3.exceptions.HTTPError:
        return None, 0.0
    pause = wish or spent.get_backoff_time()
    last = isinstance(spent, PublishedRetry) and not spent.total
    return (None if last else spent.new(allowed_methods=policy.allowed_methods)), pause


def _wish(policy: urllib3.Retry, retry_after: str | None) -> float:
    """Return the pause that the server asks for in seconds, zero for none."""
    if retry_after is None or not policy.respect_retry_after_header:
        return 0.0
    try:
        wish = policy.parse_retry_after(retry_after)
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0
    default = getattr(urllib3.Retry, "DEFAULT_RETRY_AFTER_MAX", None)
    ceiling = getattr(policy, "retry_after_max", default)  # older versions have no such option
    return min(wish, LONGEST_WISH if ceiling is None or ceiling == default else float(ceiling))
