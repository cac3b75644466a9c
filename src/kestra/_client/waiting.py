"""Waiting for an execution to end, and for its log to be all there."""

from __future__ import annotations

import logging
import math
import time
from numbers import Real
from typing import TYPE_CHECKING, TypeVar

from kestra._api.models import OTHER_STATES, TERMINAL_STATES
from kestra._http.api_errors import APIError, NotFound
from kestra._http.retry import RETRIED_STATUSES
from kestra._http.session import within
from kestra.exceptions import FailedExponentialBackoff, KestraError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kestra._api.models import LogEntry

T = TypeVar("T")

logger = logging.getLogger("kestra")

LAST_LOOK = 1.0  # the look at the end of a timeout may take that long
_UNKNOWN = 1.0  # a server with several parts may not know a new execution for that long
# A log that does not begin to arrive that long after `log_settle` is given up.
_LOG_GRACE = 10.0
_SHORTEST_PAUSE = 0.02  # at most 50 looks a second
# When a log is first worth asking for, and when again, in seconds.
_LOG_FIRST = 0.3
LOG_AGAIN = 0.5
# The server stores logs in batches of this many lines.
BATCH = 100
# A log with more characters is not kept while it is downloaded again.
_LARGE_LOG = 1 << 24


class Stopwatch:
    """Time since it was made, and the way to let some pass.

    What was slept counts as passed, also where a test has replaced `time.sleep` by something that
    returns at once: a wait that is bounded by this clock ends there too.
    """

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._skipped = 0.0  # seconds that a sleep fell short

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start + self._skipped

    def sleep(self, seconds: float) -> None:
        """Let some seconds pass."""
        if seconds > 0:
            end = self.elapsed + seconds
            time.sleep(seconds)
            self.reach(end)

    def reach(self, moment: float) -> None:
        """Let it be this late at least: that is how long somebody has waited."""
        self._skipped += max(moment - self.elapsed, 0)


def check_timeout(timeout: float | None) -> None:
    """Refuse what cannot be a timeout, before anything is started."""
    if timeout is not None:
        check_seconds("timeout", timeout)


def check_seconds(name: str, value: float) -> None:
    """Refuse what cannot be a time.

    Raises:
        TypeError: It is no number.
        ValueError: It is negative.
    """
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not value >= 0:
        raise ValueError(f"{name} must be 0 or more seconds")


def patience(poll_interval: float) -> float:
    """Return how long a new execution may be unknown to the server, in seconds.

    At least as long as in 2.0.0, which first looked after `poll_interval`.
    """
    return max(poll_interval, _UNKNOWN)


def is_transient(error: Exception | None) -> bool:
    """Say whether a request that failed may succeed later."""
    refused = isinstance(error, APIError) and error.status in RETRIED_STATUSES
    return refused or isinstance(error, FailedExponentialBackoff)


def look_within(look: Callable[[], T], watch: Stopwatch, *, end: float, seen_by: float) -> T | None:
    """Look at an execution, and return what is seen; `None` if the wait is to go on without.

    Args:
        look: Asks the server.
        watch: The time of the wait.
        end: When its timeout is over. From then on, it is no error that no answer comes.
        seen_by: When the server has to know the execution: one that has several parts may take a
            moment.
    """
    try:
        with within(max(end - watch.elapsed, LAST_LOOK)):
            return look()
    except NotFound:
        if watch.elapsed >= seen_by:
            raise
    except FailedExponentialBackoff:
        if watch.elapsed < end:
            raise
    return None


def next_pause(poll_interval: float, elapsed: float) -> float:
    """Return how long to wait before the next look at an execution, in seconds.

    Short executions are the common ones: looks come soon at first, and the pauses grow for about
    twelve seconds, until they are `poll_interval` long.

    Args:
        poll_interval: The longest pause.
        elapsed: Seconds since the execution was created.
    """
    share = max(0.05, min(1.0, elapsed, 0.15 + elapsed / 14))
    return max(_SHORTEST_PAUSE, poll_interval * share)


def log_is_settled(log: str, before: int | None) -> bool:
    """Say whether a log is all there.

    The server stores it after the execution has ended: none of it, or some of it, may be missing
    at first. Short logs are stored at once.

    Args:
        log: The log as downloaded.
        before: `hash` of the download before, if there was one.
    """
    if not log or log.isspace():
        return False
    lines = log.count("\n") + (not log.endswith("\n"))
    return lines <= BATCH or hash(log) == before


def last_state(
    execution_id: str, look: Callable[[], str], *, poll_interval: float, timeout: float | None
) -> str | None:
    """Wait until an execution has ended, or the time is over, and return its state.

    States that need someone are logged once: PAUSED, and such as are not known here.

    Args:
        execution_id: Its id, for the log.
        look: Returns the state as it is now.
        poll_interval: The longest pause between two looks, in seconds.
        timeout: How long to wait, in seconds; `None` for as long as it takes.

    Returns:
        A terminal state; or, if the time is over, another one, or `None` if no look succeeded.
    """
    watch = Stopwatch()
    end = math.inf if timeout is None else timeout
    logged: set[str] = set()
    state = None
    while True:
        pause = next_pause(poll_interval, watch.elapsed)
        watch.sleep(min(pause, max(end - watch.elapsed, 0)))
        state = look_within(look, watch, end=end, seen_by=patience(poll_interval)) or state
        if state in TERMINAL_STATES or watch.elapsed >= end:
            return state
        if state is not None and state not in logged:
            logged.add(state)
            log_state(execution_id, state)


def log_state(execution_id: str, state: str) -> None:
    """Log a state that needs someone, or that is not known here."""
    if state == "PAUSED":
        logger.warning("Execution %s is paused, until someone resumes it", execution_id)
    elif state not in OTHER_STATES:
        logger.warning("Execution %s is in an unknown state: %s", execution_id, state)


def settled_log(
    execution_id: str, download: Callable[[], str], *, poll_interval: float, settle: float
) -> str | None:
    """Return the log of an execution that has ended, once it is all there.

    Args:
        execution_id: Its id, for a warning.
        download: Returns the log as it is now.
        poll_interval: The longest pause before the first download, in seconds.
        settle: How long to go on downloading, in seconds; with zero it is done once, and at once.
            What fails is repeated for ten seconds more at most, and a download that arrives may
            take longer.

    Returns:
        The log; `None`, and a warning, if it cannot be had. No failure costs the result of the
        execution, which is known by now, and worth more.
    """
    watch = Stopwatch()
    log = before = None
    try:
        with within(settle + _LOG_GRACE):
            if settle > 0:
                watch.sleep(min(_LOG_FIRST, poll_interval))
            log = download()
            while not log_is_settled(log, before) and watch.elapsed + LOG_AGAIN <= settle:
                watch.sleep(LOG_AGAIN)
                before = hash(log)
                if len(log) > _LARGE_LOG:
                    log = None
                log = download()
    except Exception as error:  # noqa: BLE001  # whatever a caller's own `get_logs` raises
        # Only the texts of our own errors are known to hold no secret.
        why = str(error) if isinstance(error, KestraError) else type(error).__name__
        again = "" if log is None else " again"
        logger.warning(
            "The log of execution %s could not be fetched%s: %s", execution_id, again, why
        )
    return log


def logged_errors(look: Callable[[], list[LogEntry]], settle: float) -> list[LogEntry]:
    """Return what an execution that has ended logged as ERROR, as soon as there is something.

    Args:
        look: Returns the entries as they are now.
        settle: How long to go on looking, in seconds; with zero it is done once.

    Returns:
        The entries; none if they cannot be had. They explain a result, and are not worth losing it.
    """
    watch = Stopwatch()
    try:
        while True:
            entries = look()
            if entries or watch.elapsed + LOG_AGAIN > settle:
                return entries
            watch.sleep(LOG_AGAIN)
    except Exception as error:  # noqa: BLE001  # whatever a caller's own `_make_request` raises
        logger.debug("What went wrong is not known: %s", type(error).__name__)
        return []
