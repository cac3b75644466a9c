"""Waiting until an execution has ended."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kestra._api.models import OTHER_STATES, TERMINAL_STATES
from kestra._api.parsing import state_of
from kestra._rules.actions import act
from kestra._rules.policy import RETRIED_STATUSES
from kestra._rules.reading import poll
from kestra._values.times import as_seconds
from kestra.exceptions import (
    APIError,
    ExecutionTimeout,
    FailedExponentialBackoff,
    MalformedResponse,
    NotFound,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from kestra._api.requests import ExecutionRequest
    from kestra._rules.io import IO

logger = logging.getLogger("kestra")

# Seconds.
MOST_SECONDS = 1_000_000_000  # that an operating system waits for
LAST_POLL = 1.0  # the poll at the end of a timeout may take that long
_LONGEST_KILL = 10.0  # that a timeout may take longer for it
_CREATION_GRACE = 1.0  # a server with several parts may not know a new execution for that long
_SHORTEST_PAUSE = 0.02  # at most 50 polls a second
_MOST_PAGES = 5  # in a row, of a proxy that stands in the server's place for a moment


@dataclass(frozen=True, slots=True)
class Options:
    """How to wait for an execution, and what to do meanwhile; times are in seconds."""

    poll_interval: float  # the longest pause between two polls
    log_settle: float  # how long to wait until the log is complete
    timeout: float | None = None
    kill_on_timeout: bool = False
    fetch_log: bool = True
    on_log: Callable[[Any], object] | None = None
    on_state: Callable[[Any], object] | None = None
    follow: bool = False  # let the server tell what happens, instead of polling
    grace: bool = True  # the server may not know the execution yet
    labels_from_inputs: bool = False
    idempotent: bool = True  # the execution gets a label by which it is found again

    def checked(self, *, waits: bool = True) -> Options:
        """Refuse what a wait cannot go by, before anything is sent; without one, less matters."""
        names = ["timeout"] if self.timeout is not None else []
        if waits:
            names += ["poll_interval", "log_settle"]
        times: dict[str, Any] = {name: as_seconds(name, getattr(self, name)) for name in names}
        if waits and self.poll_interval > MOST_SECONDS:
            raise ValueError(f"poll_interval must be at most {MOST_SECONDS:,} seconds")
        for name, callback in (("on_log", self.on_log), ("on_state", self.on_state)):
            if callback is not None and not callable(callback):
                raise TypeError(f"{name} must be callable, not {type(callback).__name__}")
        return replace(self, **times)

    @property
    def follows(self) -> bool:
        return bool(self.follow or self.on_log or self.on_state)


def next_pause(poll_interval: float, elapsed: float) -> float:
    """Return how long to wait before the next poll of an execution that was created so long ago.

    Short executions are the common ones: polls come soon at first, and the pauses grow for about
    twelve seconds, until they are `poll_interval` long.
    """
    share = max(0.05, min(1.0, elapsed, 0.15 + elapsed / 14))
    return max(_SHORTEST_PAUSE, poll_interval * share)


def is_transient(error: Exception | None) -> bool:
    """Return True if a request that failed may succeed later."""
    if isinstance(error, APIError):
        return error.status in RETRIED_STATUSES or isinstance(error, MalformedResponse)
    return isinstance(error, FailedExponentialBackoff)


class Wait:
    """A wait for one execution: polls that tolerate what passes."""

    def __init__(
        self,
        execution_id: str,
        options: Options,
        begin: float,
        request: ExecutionRequest | None = None,
        url: str | None = None,
    ) -> None:
        """Begin; a request and a URL say that the server has just created the execution."""
        self.execution_id = execution_id
        self.options = options
        self.begin = begin
        self.request = request
        self.url = url
        # From then on, it is no error that no response comes.
        self.end = math.inf if options.timeout is None else begin + options.timeout
        # Pages in a row; one that has created the execution is a server of Kestra.
        self._pages = 0 if url is not None else _MOST_PAGES
        self._logged: set[str] = set()
        self.execution: dict[str, Any] | None = None  # as it was last polled

    def within(self, io: IO) -> float:
        """Return how long a request may take: until the end, or a little more for the last one."""
        return math.inf if self.end == math.inf else max(self.end - io.clock.now(), LAST_POLL)

    async def poll(self, io: IO) -> dict[str, Any] | None:
        """Poll, and return the execution; `None` if the wait is to go on without."""
        try:
            self.execution = await poll(io, self.execution_id, within=self.within(io))
        except NotFound:
            # 2.0.0 first polled after `poll_interval`: a new execution is known by then.
            grace = max(self.options.poll_interval, _CREATION_GRACE) if self.options.grace else 0
            if io.clock.now() >= self.begin + grace:
                raise
        except MalformedResponse:
            self._pages += 1
            if self._pages >= _MOST_PAGES:
                raise
            left = max(self.end - io.clock.now(), 0.0)
            await io.sleep(min(2.0 ** (self._pages - 1), left))
        except FailedExponentialBackoff:
            if io.clock.now() < self.end:
                raise
        else:
            self._pages = 0
            return self.execution
        return None

    def log_state(self, state: str) -> None:
        """Log a state that needs someone, or that is not known here, once."""
        if state not in self._logged:
            self._logged.add(state)
            log_state(self.execution_id, state)

    async def timed_out(self, io: IO, state: str | None) -> ExecutionTimeout:
        """Return the error for an execution that has not ended in time; it may be killed now."""
        execution_id, timeout, killed = self.execution_id, self.options.timeout, False
        text = f"execution {execution_id} has not ended after {timeout:g} s"
        text += "" if state is None else f"; its last state is {state}"
        if self.options.kill_on_timeout:
            try:
                await act(io, execution_id, "kill", within=_LONGEST_KILL)
            except (APIError, FailedExponentialBackoff) as error:
                logger.warning("Execution %s could not be killed: %s", execution_id, error)
                text += "; it could not be killed"
            else:
                killed = True
                text += "; it is being killed"
        return ExecutionTimeout(
            text, execution_id=execution_id, state=state, timeout=timeout, killed=killed
        )


async def until_ended(io: IO, wait: Wait) -> dict[str, Any]:
    now = wait.begin
    while True:
        pause = next_pause(wait.options.poll_interval, now - wait.begin)
        await io.sleep(min(pause, max(wait.end - now, 0)))
        await wait.poll(io)
        state = state_of(wait.execution)
        if wait.execution is not None and state in TERMINAL_STATES:
            return wait.execution
        now = io.clock.now()
        if now >= wait.end:
            raise await wait.timed_out(io, state)
        if state is not None:
            wait.log_state(state)


def log_state(execution_id: str, state: str) -> None:
    if state == "PAUSED":
        logger.warning("Execution %s is paused, until someone resumes it", execution_id)
    elif state not in OTHER_STATES:
        logger.warning("Execution %s is in an unknown state: %s", execution_id, state)
