"""How an execution begins and ends, alone or as one of many."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from kestra._api.forms import creation_of
from kestra._api.models import FlowExecution
from kestra._api.parsing import body_of
from kestra._rules import following
from kestra._rules import log as logs
from kestra._rules.attempts import annotate
from kestra._rules.problems import json_of, malformed
from kestra._rules.reading import result
from kestra._rules.settling import Settling
from kestra._rules.waiting import Wait, until_ended
from kestra.exceptions import KestraError

if TYPE_CHECKING:
    from kestra._api.requests import ExecutionRequest
    from kestra._rules.io import IO
    from kestra._rules.waiting import Options

logger = logging.getLogger("kestra")

_ERRORS_SETTLE = 2.0  # seconds after the end, by which what failed is in the log
_LEVELS = {"SUCCESS": logging.INFO, "RETRIED": logging.INFO, "SKIPPED": logging.INFO,
           "FAILED": logging.ERROR}  # fmt: skip


async def execute(
    io: IO, request: ExecutionRequest, options: Options, *, waits: bool
) -> FlowExecution:
    """Create an execution and, if it is to be waited for, wait until it has ended."""
    wait, _ = await create(io, request, options)
    if not waits:
        return started(wait)
    return await _wait(io, wait)


def started(wait: Wait) -> FlowExecution:
    """Return what is known of an execution that nobody waits for."""
    return FlowExecution(wait.execution_id, "STARTED", None, None, url=wait.url)


async def wait(io: IO, execution_id: str, options: Options) -> FlowExecution:
    """Wait until an execution has ended, whoever started it."""
    return await _wait(io, Wait(execution_id, options, io.clock.now()))


async def _wait(io: IO, wait: Wait) -> FlowExecution:
    settling = None
    try:
        if wait.options.follows:
            execution, settling = await following.until_ended(io, wait)
        else:
            execution = await until_ended(io, wait)
        return await ended(io, wait, execution, settling)
    except BaseException as error:  # that says which execution it has left behind
        if isinstance(error, KestraError):
            error.execution_id = wait.execution_id
        url = wait.url or io.server.address(io.shown)
        annotate(error, f"Execution {wait.execution_id}" + (f": {url}" if url else ""))
        raise


async def create(
    io: IO, request: ExecutionRequest, options: Options
) -> tuple[Wait, dict[str, Any]]:
    """Create an execution; return the wait for it, and the response."""
    namespace, flow = request.namespace, request.flow
    with ExitStack() as opened:
        from_inputs, idempotent = options.labels_from_inputs, options.idempotent
        query, files = await io.call(
            creation_of, request, opened, labels_from_inputs=from_inputs, idempotent=idempotent
        )
        template = io.flow.API_ENDPOINT_EXECUTION_CREATE
        url = io.server.url(template, namespace=namespace, flow_id=flow)
        # 2.0.0 sends no `files` at all where there are no inputs.
        body: dict[str, Any] = {"files": files} if files else {}
        response = await io.request("post", url + query, **body)
    created = body_of(response)
    if not (isinstance(created, dict) and created.get("id")):
        json_of(response, dict, "post", url)
        raise malformed("post", url, response, "lacks the id of the execution")
    io.server.learn_creation(created)
    address = io.server.address({**created, "namespace": namespace, "flowId": flow})
    logger.info("Execution %s of %s.%s created: %s", created["id"], namespace, flow, address)
    return Wait(created["id"], options, io.clock.now(), request, address), created


async def ended(
    io: IO, wait: Wait, execution: dict[str, Any], settling: Settling | None = None
) -> FlowExecution:
    """Return the result of an execution that has ended, as it was shown last."""
    execution_id, options, request = wait.execution_id, wait.options, wait.request
    state = execution["state"]["current"]
    level = _LEVELS.get(state, logging.WARNING)
    name = execution_id
    if request is not None:
        name += f" of {request.namespace}.{request.flow}"
    logger.log(level, "Execution %s ended: %s", name, state, extra={"tells_end": True})
    log, complete = None, None if settling is None else settling.complete
    if options.fetch_log:
        settling = settling or Settling(io, execution_id, execution, options.log_settle)
        log, complete = await logs.fetch(settling)
    # Where there is a log, what was logged as ERROR is stored by now.
    is_unexplained = log is None and state == "FAILED"
    seconds = min(options.log_settle, _ERRORS_SETTLE) if is_unexplained else 0
    url = wait.url
    return await result(
        io, execution_id, execution, url=url, log=log, complete=complete, wait_for_errors=seconds
    )
