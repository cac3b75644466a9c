"""What has to be sent while many executions are under way: the jobs of the workers."""
# ruff: noqa: SLF001  # a job is done for the `Flow` that it was given by

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kestra._api.models import TERMINAL_STATES
from kestra._api.parsing import state_of
from kestra._client.batch import Sightings
from kestra._client.client import naming_execution
from kestra._client.waiting import look_within, patience
from kestra._http.answers import json_object, malformed
from kestra._http.api_errors import APIError
from kestra._http.session import once, within
from kestra.exceptions import FailedExponentialBackoff

if TYPE_CHECKING:
    from kestra._api.models import FlowExecution
    from kestra._api.requests import ExecutionRequest
    from kestra._client.batch import Search, Watched
    from kestra._client.lifecycle import Lifecycle
    from kestra._client.waiting import Stopwatch

logger = logging.getLogger("kestra")

_LONGEST_SEARCH = 10.0  # seconds that a page may take


@dataclass(frozen=True, slots=True)
class Jobs:
    """What one call of `Flow.execute_all` sends; each method is called in a worker.

    Attributes:
        flow: What sends it.
        watch: The time of this call.
        timeout: How long an execution may take, in seconds.
        kill_on_timeout: Whether to kill it then.
        fetch_log: Whether to fetch its log.
    """

    flow: Lifecycle
    watch: Stopwatch
    timeout: float | None
    kill_on_timeout: bool
    fetch_log: bool

    def create(self, request: ExecutionRequest) -> tuple[dict[str, Any], str | None, float]:
        """Create an execution; return the answer, where it is shown, and when that was."""
        created, address = self.flow._create(request)
        return created, address, self.watch.elapsed

    def search(self, search: Search, form: str) -> Sightings:
        """Search for executions, page by page.

        It is not repeated if it fails: the next one comes soon.
        """
        url = self.flow._api("executions/search")
        sightings = Sightings(search)
        page, more = 0, True
        while more:
            page += 1
            with once(), within(_LONGEST_SEARCH):
                response = self.flow._make_request("get", url, params=search.query(form, page))
            answer = json_object(response, "get", url)
            results = answer.get("results")
            if not isinstance(results, list):
                raise malformed("get", url, response, "lacks the executions")
            more = sightings.add(results, answer.get("total"))
        return sightings

    def look(self, execution: Watched) -> dict[str, Any] | None:
        """Look at one execution; `None` if it is not to be seen yet, or not before its timeout."""
        with naming_execution(execution.execution_id):
            return look_within(
                lambda: self.flow._look(execution.execution_id),
                self.watch,
                end=execution.deadline,
                seen_by=execution.created + patience(self.flow.poll_interval),
            )

    def finish(self, execution: Watched, shown: dict[str, Any]) -> FlowExecution:
        """Return the result of an execution that was seen to have ended."""
        with naming_execution(execution.execution_id):
            return self.flow._ended(
                execution.execution_id,
                shown,
                f"{execution.execution_id} of {execution.flow}",
                url=execution.address,
                fetch_log=self.fetch_log,
            )

    def finish_found(self, execution: Watched, shown: dict[str, Any]) -> FlowExecution:
        """Return the result of an execution that a search showed to have ended.

        From 2.0 on searches leave out the task runs. That they cannot be had, or that a look is
        behind the search, does not cost the result.
        """
        if "taskRunList" not in shown:
            try:
                whole = self.look(execution)
            except (APIError, FailedExponentialBackoff) as error:
                logger.warning("The task runs of an execution could not be fetched: %s", error)
            else:
                shown = whole if whole and state_of(whole) in TERMINAL_STATES else shown
        return self.finish(execution, shown)

    def expire(self, execution: Watched) -> FlowExecution:
        """Return the result of an execution whose timeout is over, if it has ended in time.

        Raises:
            ExecutionTimeout: It has not.
        """
        shown = self.look(execution)
        state = state_of(shown)
        if shown is not None and state in TERMINAL_STATES:
            return self.finish(execution, shown)
        raise self.flow._timed_out(
            execution.execution_id, self.timeout, state, kill=self.kill_on_timeout
        )
