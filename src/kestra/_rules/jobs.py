"""An execution among many: creating it, polling it, and its result. Each is a job of its own."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kestra._api.models import TERMINAL_STATES
from kestra._api.parsing import start_of, state_of
from kestra._rules import executing
from kestra._rules.reading import naming
from kestra._rules.waiting import Wait
from kestra.exceptions import APIError, FailedExponentialBackoff

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import datetime

    from kestra._api.models import FlowExecution
    from kestra._api.requests import ExecutionRequest
    from kestra._rules.io import IO
    from kestra._rules.waiting import Options

logger = logging.getLogger("kestra")

# What no search has shown for that long, in seconds, is polled by itself. Servers on Elasticsearch
# take a second or two to show what is new.
_UNSEEN = 3.0


@dataclass(eq=False, slots=True)
class Running:
    """An execution that was created, and has not ended as far as is known."""

    request: ExecutionRequest
    url: str | None
    start: datetime | None  # when it was created, by the server's clock
    wait: Wait  # begins then, by the clock of the call, and polls it by itself
    shown: float  # when a response last showed it, by that clock
    ended: bool = False  # a response showed that it has
    key: Hashable = None  # of its batch

    @property
    def execution_id(self) -> str:
        return self.wait.execution_id

    @property
    def batch_key(self) -> Hashable:
        """What the executions have in common that one search shows.

        Without the start date in the response to its creation, it cannot be searched for.
        """
        if self.start is None:
            return self
        return str(self.request.namespace), str(self.request.flow)

    def is_lost(self, now: float) -> bool:
        """Return True if it is time to poll it by itself: searches do not show it."""
        return now - self.shown >= _UNSEEN

    # --- jobs ---

    async def poll(self, io: IO) -> dict[str, Any] | None:
        """Poll it; `None` if it is not known yet, or not before its timeout."""
        with naming(self.execution_id):
            return await self.wait.poll(io)

    async def finish(self, shown: dict[str, Any], io: IO) -> FlowExecution:
        """Return its result, where a poll showed that it has ended."""
        with naming(self.execution_id):
            options, request = self.wait.options, self.request
            return await executing.ended(
                io, self.execution_id, shown, options, request=request, url=self.url
            )

    async def finish_found(self, shown: dict[str, Any], io: IO) -> FlowExecution:
        """Return its result, where a search showed that it has ended.

        From 2.0 on searches leave out the task runs. That they cannot be had, or that a poll is
        behind the search, does not cost the result.
        """
        if "taskRunList" not in shown:
            try:
                whole = await self.poll(io)
            except (APIError, FailedExponentialBackoff) as error:
                logger.warning("The task runs of an execution could not be fetched: %s", error)
            else:
                shown = whole if whole and state_of(whole) in TERMINAL_STATES else shown
        return await self.finish(shown, io)

    async def expire(self, io: IO) -> FlowExecution:
        """Return its result if it has ended in time, now that its timeout is over."""
        shown = await self.poll(io)
        if shown is not None and state_of(shown) in TERMINAL_STATES:
            return await self.finish(shown, io)
        raise await self.wait.timed_out(io, state_of(shown))


async def create(request: ExecutionRequest, options: Options, io: IO) -> Running:
    created, url = await executing.create(io, request, options)
    now = io.clock.now()
    wait = Wait(created["id"], options, now, exists=True)
    return Running(request, url, start_of(created), wait, now)
