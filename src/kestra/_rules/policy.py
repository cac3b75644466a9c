"""How often to try, and how long to pause: `urllib3.Retry` as the policy. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, InvalidHeader, ProtocolError

from kestra._api.parsing import header_of
from kestra._rules.io import Failure
from kestra._rules.problems import status_of

if TYPE_CHECKING:
    from kestra._rules.io import Response

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_ATTEMPTS = 5
# The longest pause that a server may ask for (Retry-After), in seconds.
_LONGEST_RETRY_AFTER = 60.0


class PublishedRetry(urllib3.Retry):
    """Five attempts, and pauses of 1, 2, 4, 8 and 16 seconds, as `kestra` 2.0.0 makes them.

    Unlike in its base class, `total` counts attempts, and there is a pause after the last one too:
    what was last sent may come to light meanwhile.
    """

    def get_backoff_time(self) -> float:
        return float(2 ** (len(self.history) - 1))


def default_policy(attempts: int = _ATTEMPTS) -> PublishedRetry:
    return PublishedRetry(total=attempts, status_forcelist=RETRIED_STATUSES, allowed_methods=None)


def checked_policy(retries: Any) -> urllib3.Retry:
    if isinstance(retries, urllib3.Retry):
        return retries
    if isinstance(retries, bool) or not isinstance(retries, int):
        raise TypeError(
            "retries must be the number of attempts or a urllib3.Retry, "
            f"not {type(retries).__name__} (retries=1 sends each request once)"
        )
    if retries < 1:
        raise ValueError("retries must be 1 or more: it is the number of attempts")
    return default_policy(retries)


def is_retried(policy: urllib3.Retry, method: str, status: int) -> bool:
    """Return True if a status is worth another attempt.

    What the policy leaves unsaid is as in 2.0.0. Its `allowed_methods` counts where the caller set
    it: the default leaves out POST, as is right for a client that cannot find out whether one was
    carried out.
    """
    allowed = policy.allowed_methods
    chosen = allowed and allowed is not urllib3.Retry.DEFAULT_ALLOWED_METHODS
    if chosen and method.upper() not in (allowed or ()):
        return False
    return status in (policy.status_forcelist or RETRIED_STATUSES)


def next_attempt(
    policy: urllib3.Retry, outcome: Response | Failure
) -> tuple[urllib3.Retry | None, float]:
    """Return the policy for the next attempt, `None` if this was the last, and the pause after it.

    A policy counts attempts without a response by themselves, and so those without a connection.
    """
    response = error = None
    if isinstance(outcome, Failure):
        error = ConnectTimeoutError() if outcome.unsent else ProtocolError()
    else:
        response = urllib3.HTTPResponse(status=status_of(outcome))
    try:
        # Which methods may be repeated is decided here, not by the policy.
        spent = policy.new(allowed_methods=None).increment("", "", response=response, error=error)
    except HTTPError:
        return None, 0.0
    pause = _asked_for(policy, outcome) or spent.get_backoff_time()
    is_last = isinstance(spent, PublishedRetry) and not spent.total
    return (None if is_last else spent.new(allowed_methods=policy.allowed_methods)), pause


def _asked_for(policy: urllib3.Retry, outcome: Response | Failure) -> float:
    """Return the pause that the server asks for in seconds, zero for none."""
    retry_after = header_of(outcome, "Retry-After")
    if retry_after is None or not policy.respect_retry_after_header:
        return 0.0
    try:
        seconds = policy.parse_retry_after(retry_after)
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0
    default = getattr(urllib3.Retry, "DEFAULT_RETRY_AFTER_MAX", None)
    ceiling = getattr(policy, "retry_after_max", default)  # older versions have no such option
    if ceiling is None or ceiling == default:
        ceiling = _LONGEST_RETRY_AFTER
    return min(seconds, float(ceiling))
