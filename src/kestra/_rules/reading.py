"""Reading what an execution is and what it has produced, while it runs and after."""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from kestra._api import parsing
from kestra._api.dialects import search_queries
from kestra._api.models import TERMINAL_STATES, FlowExecution, LogEntry, Metric, TaskRun
from kestra._rules.pages import BRIEFLY, learn_time, results
from kestra._rules.problems import harmless, json_of, malformed
from kestra._values.signals import is_interruption
from kestra.exceptions import KestraError, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from kestra._rules.io import IO, Response

logger = logging.getLogger("kestra")

T = TypeVar("T")

_PAGE = 100
_ERRORS_AGAIN = 0.5  # seconds between two polls for what was logged as ERROR


@contextmanager
def naming(execution_id: str) -> Iterator[None]:
    """Let every error of this block say which execution it is about."""
    try:
        yield
    except KestraError as error:
        error.execution_id = execution_id
        raise


async def about(
    io: IO, execution_id: str, rule: Callable[..., Coroutine[Any, Any, T]], *args: Any
) -> T:
    """Carry out a rule about an execution, which every error names."""
    try:
        return await rule(io, execution_id, *args)
    except KestraError as error:
        error.execution_id = execution_id
        raise


async def poll(
    io: IO, execution_id: str, *, within: float = math.inf, once: bool = False
) -> dict[str, Any]:
    """Return an execution as the server has it now; it has a state."""
    response = await io.poll(execution_id, within=within, once=once)
    execution = parsing.body_of(response)
    state = parsing.state_of(execution)
    if state is None:
        url = io.server.url("executions/{id}", id=execution_id)
        json_of(response, dict, "get", url)
        raise malformed("get", url, response, "lacks the state of the execution")
    if execution.get("taskRunList"):
        io.server.learn_from(execution)
    if state in TERMINAL_STATES and parsing.header_of(response, "Date"):
        learn_time(io, response)
    io.shown = execution
    return execution  # type: ignore[no-any-return]


async def get_execution(io: IO, execution_id: str) -> FlowExecution:
    return await result(io, execution_id, await poll(io, execution_id))


async def result(  # noqa: PLR0913  # each is independent, and all but three keyword-only
    io: IO,
    execution_id: str,
    execution: dict[str, Any],
    *,
    url: str | None = None,
    log: str | None = None,
    complete: bool | None = None,
    wait_for_errors: float = 0,
) -> FlowExecution:
    """Return what an execution shows.

    Of one that has ended, the outputs cost a request on 2.0; what one that ended badly has logged
    as ERROR costs another, and more for as many seconds as are given.
    """
    runs, outputs = parsing.task_runs_of(execution), parsing.outputs_in(execution)
    is_bad = parsing.ended_badly(execution)
    state, error = parsing.whole_state(execution), None
    has_ended = state.current in TERMINAL_STATES
    # A response without task runs is that of a mock, which has no response to another request.
    if is_bad and "taskRunList" in execution:
        errors = await _logged_errors(io, execution_id, wait_for_errors)
        error = parsing.error_text(parsing.culprit(runs), errors)
    if outputs is None and has_ended and "taskRunList" in execution:
        outputs = await _missing_outputs(io, execution_id)
    return FlowExecution(
        execution_id,
        state.current,
        log,
        error,
        outputs=outputs,
        url=url or io.server.address(execution),
        state=state,
        duration=state.duration,
        task_runs=runs,
        log_complete=complete,
    )


async def _missing_outputs(io: IO, execution_id: str) -> dict[str, Any] | None:
    """Return the outputs that an execution which has ended does not show; what fails is logged."""
    if not io.server.has_outputs_apart:
        return {}
    try:
        return await outputs_apart(io, execution_id, within=BRIEFLY["within"])
    except Exception as error:  # a mock's too; nothing costs the result
        if is_interruption(error):
            raise
        text = "The outputs of execution %s could not be fetched: %s"
        logger.warning(text, execution_id, harmless(error))
        return None


async def outputs_apart(
    io: IO, execution_id: str, run_id: str | None = None, **limits: Any
) -> dict[str, Any]:
    """Return outputs as servers of 2.0 have them; none where they respond that there are none.

    They do that in JSON; a 404 of something in between says nothing.
    """
    place = "executions/{execution_id}" if run_id is None else "tasks/{execution_id}/{run_id}"
    url = io.server.url(f"outputs/{place}", execution_id=execution_id, run_id=run_id or "-")
    try:
        response = await io.request("get", url, **limits)
    except NotFound as error:
        if error.response is not None and not isinstance(parsing.body_of(error.response), dict):
            raise
        return {}
    outputs: dict[str, Any] = json_of(response, dict, "get", url)
    return outputs


async def get_outputs(io: IO, execution_id: str, task_id: str | None) -> dict[str, Any]:
    execution = await poll(io, execution_id)
    if task_id is not None:
        return await _task_outputs(io, execution_id, task_id, parsing.task_runs_of(execution))
    shown = parsing.outputs_in(execution)
    if shown is not None or not io.server.has_outputs_apart:
        return shown or {}
    return await outputs_apart(io, execution_id)


async def _task_outputs(
    io: IO, execution_id: str, task_id: str, runs: tuple[TaskRun, ...]
) -> dict[str, Any]:
    own = {run.value: (execution_id, run) for run in runs if run.task == task_id}  # the last ones
    if not own and io.server.has_outputs_apart:
        own = await _in_loops(io, execution_id, task_id)
    if not own:
        ran = ", ".join(dict.fromkeys(run.task for run in runs)) or "none"
        raise NotFound(
            f"execution {execution_id}: no task {task_id!r} has run; those that have: {ran}"
        )
    outputs = {}
    for value, (holder, run) in own.items():
        if run.outputs is None and io.server.has_outputs_apart:
            outputs[value] = await outputs_apart(io, holder, run.id)
        else:
            outputs[value] = run.outputs or {}
    return outputs[None] if None in outputs else {str(k): v for k, v in outputs.items()}


async def _in_loops(
    io: IO, execution_id: str, task_id: str
) -> dict[str | None, tuple[str, TaskRun]]:
    """Return the runs of a task in the iterations of a Loop, each an execution of its own (2.0)."""
    found: dict[str | None, tuple[str, TaskRun]] = {}
    children = await _children(io, execution_id)
    for child in children:
        child_id = str(child.get("id"))
        iteration = await poll(io, child_id)
        value = parsing.loop_of(iteration) or parsing.loop_of(child)
        for run in parsing.task_runs_of(iteration):
            if run.task == task_id:
                found[value] = (child_id, run)
    if not found:
        for child in children:  # a Loop in a Loop
            found |= await _in_loops(io, str(child.get("id")), task_id)
    return found


async def _children(io: IO, execution_id: str) -> list[dict[str, Any]]:
    url = io.server.url("executions/search")
    asked, order = {"parentId": execution_id, "kind": "LOOP"}, "state.startDate:asc"
    ((_, query),) = search_queries(io.server, asked, sort=order, size=_PAGE)  # 2.0 knows one form
    try:
        found = [each async for each in results(io, url, query)]
    except NotFound:
        return []
    return [each for each in found if each.get("parentId") == execution_id]


async def get_metrics(io: IO, execution_id: str) -> list[Metric]:
    url = io.server.url("metrics/{execution_id}", execution_id=execution_id)
    query = {"page": 1, "size": _PAGE}
    found = [each async for each in results(io, url, query, "the metrics")]
    return parsing.metrics_of({"results": found})


async def stored_entries(
    io: IO, execution_id: str, min_level: str = "TRACE", **limits: Any
) -> list[LogEntry]:
    """Return the log entries that are stored so far, from a level on, as logged."""
    url = io.server.url("logs/{execution_id}", execution_id=execution_id)
    dialect = io.server.dialect
    name = "minLevel" if dialect is None else dialect.level_parameter
    response = await io.request("get", url, params={name: min_level}, **limits)
    return await io.call(_entries_in, response, url, min_level)


def _entries_in(response: Response, url: str, min_level: str) -> list[LogEntry]:
    return parsing.log_entries(json_of(response, list, "get", url), min_level)


async def _logged_errors(io: IO, execution_id: str, wait: float) -> list[LogEntry]:
    """Return what an execution that has ended logged as ERROR, as soon as there is something.

    None where it cannot be had: it explains a result, and is not worth losing it.
    """
    end = io.clock.now() + wait
    try:
        while True:
            entries = await stored_entries(io, execution_id, "ERROR", **BRIEFLY)
            if entries or io.clock.now() + _ERRORS_AGAIN > end:
                return entries
            await io.sleep(_ERRORS_AGAIN)
    except Exception as error:  # whatever a caller's own `_make_request` raises
        if is_interruption(error):
            raise
        logger.debug("What went wrong is not known: %s", type(error).__name__)
        return []
