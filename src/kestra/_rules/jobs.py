"""What is sent while many executions are under way: each a job beside the others."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kestra._api.dialects import search_queries
from kestra._api.models import TERMINAL_STATES
from kestra._api.parsing import state_of
from kestra._rules import executing
from kestra._rules.batches import PAGE, ResultPages
from kestra._rules.problems import json_of, malformed
from kestra._rules.reading import naming
from kestra._rules.waiting import timed_out
from kestra.exceptions import APIError, FailedExponentialBackoff

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from kestra._api.models import FlowExecution
    from kestra._api.requests import ExecutionRequest
    from kestra._rules.batches import Running, Wanted
    from kestra._rules.io import IO
    from kestra._rules.waiting import Options

logger = logging.getLogger("kestra")

_LONGEST_SEARCH = 10.0  # seconds that a page may take


async def carried_out(
    job: Callable[[IO, Options], Coroutine[Any, Any, Any]], options: Options, io: IO
) -> Any:
    """Carry out a job."""
    return await job(io, options)


async def create(
    request: ExecutionRequest, io: IO, options: Options
) -> tuple[dict[str, Any], str | None, float]:
    """Create an execution; return the response, where it is shown, and when that was."""
    created, url = await executing.create(io, request, options)
    return created, url, io.clock.now()


async def search(wanted: Wanted, io: IO, _: Options) -> ResultPages:
    """Search for executions, page by page, in the forms that the server may understand.

    A search is not repeated if it fails: the next one comes soon.
    """
    url = io.server.url("executions/search")
    pages = ResultPages(wanted)
    refused: APIError | None = None
    for form, query in search_queries(
        io.server, wanted.fields, sort="state.startDate:desc", size=PAGE
    ):
        pages, page, more = ResultPages(wanted), 0, True
        try:
            while more:
                page += 1
                response = await io.request(
                    "get", url, params={**query, "page": page}, within=_LONGEST_SEARCH, once=True
                )
                body = json_of(response, dict, "get", url)
                results = body.get("results")
                if not isinstance(results, list):
                    raise malformed("get", url, response, "lacks the executions")
                more = pages.add(results, body.get("total"))
        except APIError as error:
            if error.status not in {400, 422}:
                raise
            refused = error
            continue
        if pages.understood:
            io.server.search_form = form if pages.shown else io.server.search_form
            return pages
    if refused is not None:
        raise refused
    return pages


async def poll(execution: Running, io: IO, _: Options) -> dict[str, Any] | None:
    """Poll one execution; `None` if it is not known yet, or not before its timeout."""
    with naming(execution.execution_id):
        return await execution.wait.poll(io)


async def finish(
    execution: Running, shown: dict[str, Any], io: IO, options: Options
) -> FlowExecution:
    """Return the result of an execution that was shown to have ended."""
    with naming(execution.execution_id):
        return await executing.ended(
            io,
            execution.execution_id,
            shown,
            options,
            name=execution.name,
            url=execution.url,
        )


async def finish_found(
    execution: Running, shown: dict[str, Any], io: IO, options: Options
) -> FlowExecution:
    """Return the result of an execution that a search showed to have ended.

    From 2.0 on searches leave out the task runs. That they cannot be had, or that a poll is behind
    the search, does not cost the result.
    """
    if "taskRunList" not in shown:
        try:
            whole = await poll(execution, io, options)
        except (APIError, FailedExponentialBackoff) as error:
            logger.warning("The task runs of an execution could not be fetched: %s", error)
        else:
            shown = whole if whole and state_of(whole) in TERMINAL_STATES else shown
    return await finish(execution, shown, io, options)


async def expire(execution: Running, io: IO, options: Options) -> FlowExecution:
    """Return the result of an execution whose timeout is over, if it has ended in time.

    Raises:
        ExecutionTimeout: It has not.
    """
    shown = await poll(execution, io, options)
    if shown is not None and state_of(shown) in TERMINAL_STATES:
        return await finish(execution, shown, io, options)
    raise await timed_out(io, execution.execution_id, options, state_of(shown))
