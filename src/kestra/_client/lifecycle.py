"""How an execution begins and ends, be it one or one of many."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kestra._api.forms import checked_labels, form, labels_of
from kestra._api.parsing import state_of
from kestra._api.paths import creation_query
from kestra._client.reading import Reading
from kestra._client.steering import Steering
from kestra._client.waiting import check_seconds, check_timeout, settled_log
from kestra._http.answers import json_object, malformed
from kestra._http.api_errors import APIError
from kestra._http.creation import CORRELATION
from kestra._http.session import within
from kestra.exceptions import ExecutionTimeout, FailedExponentialBackoff

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kestra._api.models import FlowExecution
    from kestra._api.requests import ExecutionRequest

logger = logging.getLogger("kestra")

_LONGEST_KILL = 10.0  # seconds that a timeout may take longer for it
_ERRORS_SETTLE = 2.0  # seconds after the end, by which what failed is in the log
_LEVELS = {"SUCCESS": logging.INFO, "RETRIED": logging.INFO, "SKIPPED": logging.INFO,
           "FAILED": logging.ERROR}  # fmt: skip


class Lifecycle(Reading, Steering):
    """The part of `Flow` that creates executions, and says how they ended."""

    def _check_waiting(self, timeout: float | None, *, waits: bool = True) -> None:
        """Refuse what a wait cannot go by, before anything is sent.

        Args:
            timeout: How long to wait, in seconds.
            waits: Whether there is to be a wait at all.

        Raises:
            TypeError: One of the times is no number.
            ValueError: One of them is negative.
        """
        check_timeout(timeout)
        if waits:
            check_seconds("poll_interval", self.poll_interval)
            check_seconds("log_settle", self.log_settle)

    def _create(self, request: ExecutionRequest) -> tuple[dict[str, Any], str | None]:
        """Create an execution; return the answer, which has an id, and where it is shown."""
        namespace, flow = request.namespace, request.flow
        inputs = {} if request.inputs is None else request.inputs
        with ExitStack() as opened:
            files = form(inputs, opened)
            labels = self._labels(request.labels, inputs)
            query = creation_query(labels, request.revision, request.schedule_date)
            url = self._url(self.API_ENDPOINT_EXECUTION_CREATE, namespace=namespace, flow_id=flow)
            # 2.0.0 sends no `files` at all where there are no inputs.
            body: dict[str, Any] = {"files": files} if files else {}
            response = self._make_request("post", url + query, **body)
        created = json_object(response, "post", url)
        execution_id = created.get("id")
        if not execution_id:
            raise malformed("post", url, response, "lacks the id of the execution")
        address = self._address({**created, "namespace": namespace, "flowId": flow})
        logger.info("Execution %s of %s.%s created: %s", execution_id, namespace, flow, address)
        return created, address

    def _labels(
        self, explicit: Mapping[str, Any] | None, inputs: Mapping[str, Any]
    ) -> dict[str, str]:
        """Return all labels of an execution; an explicit one goes before one from an input."""
        labels = labels_of(inputs) if self.labels_from_inputs else {}
        labels |= checked_labels(explicit or {})
        if self.idempotent and CORRELATION not in labels:
            labels = {CORRELATION: str(uuid4()), **labels}
        return labels

    def _ended(  # noqa: PLR0913 - each is independent, and all but the first three keyword-only
        self,
        execution_id: str,
        execution: dict[str, Any],
        name: str,
        *,
        url: str | None = None,
        fetch_log: bool,
        at_once: bool = False,
    ) -> FlowExecution:
        """Return the result of an execution that has ended, as the last look showed it.

        Args:
            execution_id: Its id.
            execution: How the server shows it.
            name: What it is called in the log.
            url: Where the user interface shows it, if that is known already.
            fetch_log: Whether to fetch its log.
            at_once: Whether to ask for the log without a pause: who follows does not wait.
        """
        state = state_of(execution)
        level = _LEVELS.get(str(state), logging.WARNING)
        logger.log(level, "Execution %s ended: %s", name, state, extra={"tells_end": True})
        log = None
        if fetch_log:
            log = settled_log(
                execution_id,
                lambda: str(self.get_logs(execution_id).text),
                poll_interval=0 if at_once else self.poll_interval,
                settle=self.log_settle,
            )
        # Where there is a log, what was logged as ERROR is stored by now.
        wait_for_errors = log is None and state == "FAILED"
        settle = min(self.log_settle, _ERRORS_SETTLE) if wait_for_errors else 0
        return self._result(execution_id, execution, log=log, url=url, settle=settle)

    def _timed_out(
        self, execution_id: str, timeout: float | None, state: str | None, *, kill: bool
    ) -> ExecutionTimeout:
        text = f"execution {execution_id} has not ended after {timeout:g} s"
        text += "" if state is None else f"; its last state is {state}"
        killed = kill and self._is_killed(execution_id)
        if kill:
            text += "; it is being killed" if killed else "; it could not be killed"
        return ExecutionTimeout(
            text, execution_id=execution_id, state=state, timeout=timeout, killed=killed
        )

    def _is_killed(self, execution_id: str) -> bool:
        """Ask the server to kill an execution; say whether it will."""
        try:
            with within(_LONGEST_KILL):
                self.kill(execution_id)
        except (APIError, FailedExponentialBackoff) as error:
            logger.warning("Execution %s could not be killed: %s", execution_id, error)
            return False
        return True
