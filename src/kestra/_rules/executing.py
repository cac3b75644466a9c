"""How an execution begins and ends, alone or as one of many."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from kestra._api.forms import creation_of
from kestra._api.models import FlowExecution
from kestra._api.parsing import body_of
from kestra._rules import following, waiting
from kestra._rules import log as logs
from kestra._rules.attempts import annotate
from kestra._rules.problems import json_of, malformed
from kestra._rules.reading import result
from kestra._rules.settling import Settling
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
    """Create an execution and, if it is to be waited for, poll until it has ended."""
    created, url = await create(io, request, options)
    execution_id = created["id"]
    if not waits:
        return FlowExecution(execution_id, "STARTED", None, None, url=url)
    name = f"{execution_id} of {request.namespace}.{request.flow}"
    return await _wait(io, execution_id, options, name=name, url=url)


async def wait(io: IO, execution_id: str, options: Options) -> FlowExecution:
    """Wait until an execution has ended, whoever started it."""
    return await _wait(io, execution_id, options, name=execution_id)


async def _wait(
    io: IO, execution_id: str, options: Options, *, name: str, url: str | None = None
) -> FlowExecution:
    exists = url is not None
    settling = None
    try:
        if options.follows:
            execution, settling = await following.until_ended(
                io, execution_id, options, exists=exists
            )
        else:
            execution = await waiting.until_ended(io, execution_id, options, exists=exists)
        return await ended(
            io, execution_id, execution, options, name=name, url=url, settling=settling
        )
    except BaseException as error:  # that says which execution it has left behind
        if isinstance(error, KestraError):
            error.execution_id = execution_id
        url = url or io.server.address(io.shown)
        annotate(error, f"Execution {execution_id}" + (f": {url}" if url else ""))
        raise


async def create(
    io: IO, request: ExecutionRequest, options: Options
) -> tuple[dict[str, Any], str | None]:
    """Create an execution; return the response, which has an id, and where it is shown."""
    namespace, flow = request.namespace, request.flow
    with ExitStack() as opened:
        query, files = await io.call(
            creation_of,
            request,
            opened,
            labels_from_inputs=options.labels_from_inputs,
            idempotent=options.idempotent,
        )
        template = io.flow.API_ENDPOINT_EXECUTION_CREATE
        url = io.server.url(template, namespace=namespace, flow_id=flow)
        # 2.0.0 sends no `files` at all where there are no inputs.
        body: dict[str, Any] = {"files": files} if files else {}
        response = await io.request("post", url + query, **body)
    created = body_of(response)
    execution_id = created.get("id") if isinstance(created, dict) else None
    if not execution_id:
        json_of(response, dict, "post", url)
        raise malformed("post", url, response, "lacks the id of the execution")
    io.server.learn_creation(created)
    address = io.server.address({**created, "namespace": namespace, "flowId": flow})
    logger.info("Execution %s of %s.%s created: %s", execution_id, namespace, flow, address)
    return created, address


async def ended(  # noqa: PLR0913  # each is independent, and all but three keyword-only
    io: IO,
    execution_id: str,
    execution: dict[str, Any],
    options: Options,
    *,
    name: str,
    url: str | None = None,
    settling: Settling | None = None,
) -> FlowExecution:
    """Return the result of an execution that has ended, as it was shown last.

    Args:
        io: Input and output.
        execution_id: Its id.
        execution: How the server shows it.
        options: Whether to fetch its log, and how long to wait for that.
        name: What it is called in the log.
        url: Where the user interface shows it, if that is known already.
        settling: What is known of its log.
    """
    state = execution["state"]["current"]
    level = _LEVELS.get(state, logging.WARNING)
    logger.log(level, "Execution %s ended: %s", name, state, extra={"tells_end": True})
    log, complete = None, None if settling is None else settling.complete
    if options.fetch_log:
        if settling is None:
            settling = Settling(io, execution_id, execution, options.log_settle)
        log, complete = await logs.fetch(settling)
    # Where there is a log, what was logged as ERROR is stored by now.
    wait_for_errors = log is None and state == "FAILED"
    return await result(
        io,
        execution_id,
        execution,
        url=url,
        log=log,
        log_complete=complete,
        wait_for_errors=min(options.log_settle, _ERRORS_SETTLE) if wait_for_errors else 0,
    )
