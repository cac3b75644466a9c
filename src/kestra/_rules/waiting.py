"""Waiting until an execution has ended."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

from kestra._api.models import OTHER_STATES, TERMINAL_STATES
from kestra._api.parsing import state_of
from kestra._rules.actions import act
from kestra._rules.policy import RETRIED_STATUSES
from kestra._rules.reading import poll
from kestra.exceptions import (
    APIError,
    ExecutionTimeout,
    FailedExponentialBackoff,
    MalformedResponse,
    NotFound,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from kestra._rules.io import IO

logger = logging.getLogger("kestra")

# Seconds.
LAST_POLL = 1.0  # the poll at the end of a timeout may take that long
_LONGEST_KILL = 10.0  # that a timeout may take longer for it
_CREATION_GRACE = 1.0  # a server with several parts may not know a new execution for that long
_SHORTEST_PAUSE = 0.02  # at most 50 polls a second
_MOST_PAGES = 5  # in a row, of a proxy that stands in the server's place for a moment


@dataclass(frozen=True, slots=True)
class Options:
    """How to wait for an execution, and what to do meanwhile.

    Attributes:
        poll_interval: The longest pause between two polls, in seconds.
        log_settle: How long to wait until the log is complete, in seconds.
        timeout: How long to wait for the end, in seconds; `None` for as long as it takes.
        kill_on_timeout: Whether to kill the execution then.
        fetch_log: Whether to fetch the log at the end.
        on_log: Called with each log entry.
        on_state: Called with each state.
        follow: Whether to let the server tell what happens, instead of polling.
        grace: Whether the server may not know the execution yet.
        labels_from_inputs: Whether inputs become labels of the execution too.
        idempotent: Whether an execution gets a label by which it is found again.
    """

    poll_interval: float
    log_settle: float
    timeout: float | None = None
    kill_on_timeout: bool = False
    fetch_log: bool = True
    on_log: Callable[[Any], object] | None = None
    on_state: Callable[[Any], object] | None = None
    follow: bool = False
    grace: bool = True
    labels_from_inputs: bool = False
    idempotent: bool = True

    def check(self, *, waits: bool = True) -> None:
        """Refuse what a wait cannot go by, before anything is sent; without one, less matters.

        Raises:
            TypeError: A time is not a number, or a callback cannot be called.
            ValueError: A time is negative.
        """
        times = {} if self.timeout is None else {"timeout": self.timeout}
        if waits:
            times |= {"poll_interval": self.poll_interval, "log_settle": self.log_settle}
        for name, value in times.items():
            _check_seconds(name, value)
        for name, callback in (("on_log", self.on_log), ("on_state", self.on_state)):
            if callback is not None and not callable(callback):
                raise TypeError(f"{name} must be callable, not {type(callback).__name__}")

    @property
    def follows(self) -> bool:
        """Whether to follow the execution rather than to poll it."""
        return bool(self.follow or self.on_log or self.on_state)


def _check_seconds(name: str, value: float) -> None:
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not value >= 0:
        raise ValueError(f"{name} must be 0 or more seconds")


def creation_grace(poll_interval: float) -> float:
    """Return how long a new execution may be unknown to the server, in seconds.

    At least as long as in 2.0.0, which first polled after `poll_interval`.
    """
    return max(poll_interval, _CREATION_GRACE)


def next_pause(poll_interval: float, elapsed: float) -> float:
    """Return how long to wait before the next poll of an execution, in seconds.

    Short executions are the common ones: polls come soon at first, and the pauses grow for about
    twelve seconds, until they are `poll_interval` long.

    Args:
        poll_interval: The longest pause.
        elapsed: Seconds since the execution was created.
    """
    share = max(0.05, min(1.0, elapsed, 0.15 + elapsed / 14))
    return max(_SHORTEST_PAUSE, poll_interval * share)


def is_transient(error: Exception | None) -> bool:
    """Return True if a request that failed may succeed later."""
    if isinstance(error, APIError):
        return error.status in RETRIED_STATUSES or isinstance(error, MalformedResponse)
    return isinstance(error, FailedExponentialBackoff)


class Wait:
    """A wait for one execution: polls that tolerate what passes.

    Attributes:
        execution: As it was last polled.
    """

    def __init__(
        self, execution_id: str, *, end: float, known_by: float, exists: bool = False
    ) -> None:
        """Begin.

        Args:
            execution_id: The id of the execution.
            end: When the timeout is over. From then on, it is no error that no response comes.
            known_by: When the server has to know the execution: one with several parts may take a
                moment.
            exists: Whether the server is known to be one of Kestra's: it has created the execution.
        """
        self._id = execution_id
        self._end = end
        self._known_by = known_by
        self._pages = 0 if exists else _MOST_PAGES  # that took the server's place, in a row
        self.execution: dict[str, Any] | None = None

    async def poll(self, io: IO) -> dict[str, Any] | None:
        """Poll, and return the execution; `None` if the wait is to go on without."""
        within = self._end
        if within < math.inf:
            within = max(self._end - io.clock.now(), LAST_POLL)
        try:
            self.execution = await poll(io, self._id, within=within)
        except NotFound:
            if io.clock.now() >= self._known_by:
                raise
        except MalformedResponse:
            self._pages += 1
            if self._pages >= _MOST_PAGES:
                raise
            left = max(self._end - io.clock.now(), 0.0)
            await io.sleep(min(2.0 ** (self._pages - 1), left))
        except FailedExponentialBackoff:
            if io.clock.now() < self._end:
                raise
        else:
            self._pages = 0
            return self.execution
        return None


async def until_ended(
    io: IO, execution_id: str, options: Options, *, exists: bool
) -> dict[str, Any]:
    """Wait until an execution has ended, and return it as last polled.

    States that need someone are logged once: PAUSED, and such as are not known here.

    Args:
        io: What polls.
        execution_id: The id of the execution.
        options: How to wait.
        exists: Whether the server has just created it.

    Raises:
        ExecutionTimeout: It has not ended in time.
    """
    poll_interval, grace = options.poll_interval, creation_grace(options.poll_interval)
    begin = now = io.clock.now()
    end = math.inf if options.timeout is None else begin + options.timeout
    wait = Wait(execution_id, end=end, known_by=begin + grace, exists=exists)
    logged: set[str] = set()
    while True:
        await io.sleep(min(next_pause(poll_interval, now - begin), max(end - now, 0)))
        await wait.poll(io)
        state = state_of(wait.execution)
        if wait.execution is not None and state in TERMINAL_STATES:
            return wait.execution
        now = io.clock.now()
        if now >= end:
            raise await timed_out(io, execution_id, options, state)
        if state is not None and state not in logged:
            logged.add(state)
            log_state(execution_id, state)


def log_state(execution_id: str, state: str) -> None:
    """Log a state that needs someone, or that is not known here."""
    if state == "PAUSED":
        logger.warning("Execution %s is paused, until someone resumes it", execution_id)
    elif state not in OTHER_STATES:
        logger.warning("Execution %s is in an unknown state: %s", execution_id, state)


async def timed_out(
    io: IO, execution_id: str, options: Options, state: str | None
) -> ExecutionTimeout:
    """Return the error for an execution that has not ended in time, which may be killed now."""
    text = f"execution {execution_id} has not ended after {options.timeout:g} s"
    text += "" if state is None else f"; its last state is {state}"
    killed = options.kill_on_timeout and await _killed(io, execution_id)
    if options.kill_on_timeout:
        text += "; it is being killed" if killed else "; it could not be killed"
    return ExecutionTimeout(
        text, execution_id=execution_id, state=state, timeout=options.timeout, killed=killed
    )


async def _killed(io: IO, execution_id: str) -> bool:
    """Ask the server to kill an execution; return True if it will."""
    try:
        await act(io, "delete", execution_id, "kill", within=_LONGEST_KILL)
    except (APIError, FailedExponentialBackoff) as error:
        logger.warning("Execution %s could not be killed: %s", execution_id, error)
        return False
    return True
