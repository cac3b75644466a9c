"""Acting on an execution, at the place where this server has the action.

On 2.0 the old places create executions: `executions/{id}/pause` is the flow `pause` of the
namespace `{id}`. So the place is known from the server's generation, or asked for, not tried.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from kestra._api.dialects import BEFORE_2, FROM_2
from kestra._api.files import rewinder
from kestra._api.forms import checked_labels, checked_revision, form
from kestra._api.models import TERMINAL_STATES
from kestra._api.parsing import body_of, state_of
from kestra._rules.pages import BRIEFLY, learn_configuration
from kestra._rules.problems import malformed
from kestra._rules.reading import poll
from kestra._values.signals import is_interruption
from kestra.exceptions import APIError, KestraError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kestra._rules.io import IO, Response

# The statuses of a path that a server does not have; an Enterprise catch-all responds with 403.
_NO_SUCH_PATH = frozenset({403, 404, 405, 415})
_NO_ROUTE = "Page Not Found"
# The statuses for an execution that is in another state: up to 1.x, 422 for a pause.
_OUT_OF_PLACE = frozenset({409, 422})
# Which states show that an action was carried out whose response was lost.
_STATES_AFTER = {
    "kill": {"KILLING", "KILLED"} | TERMINAL_STATES,
    "pause": {"PAUSED"},
    "resume": {"RUNNING", "RESTARTED", "CREATED", "QUEUED"} | TERMINAL_STATES,
    "restart": {"RESTARTED", "RUNNING", "CREATED", "QUEUED"},
}


async def act(
    io: IO,
    execution_id: str,
    action: str,
    *,
    within: float = math.inf,
    once: bool = False,
    **arguments: Any,
) -> Response | None:
    """Send an action, and return the response; `None` where that was lost, and the action done."""
    io.server.url("{execution_id}", execution_id=execution_id)  # refuses what cannot be an id
    method = "delete" if action == "kill" else "post"
    rewind = rewinder(arguments.get("files", {}))
    end = io.clock.now() + within
    if io.server.dialect is None and not io.server.was_asked:
        await learn_configuration(io, within / 2)
    refusals: list[Exception] = []
    for dialect in [io.server.dialect] if io.server.dialect else [FROM_2, BEFORE_2]:
        if refusals and not rewind():
            break
        path = f"executions/{{execution_id}}{dialect.action_path}/{action}"
        url = io.server.url(path, execution_id=execution_id)
        left = end - io.clock.now()
        try:
            response = await io.request(method, url, within=left, once=once, **arguments)
        except APIError as error:
            if error.status not in _NO_SUCH_PATH:
                io.server.dialect = dialect
                if await _was_done(io, execution_id, action, error):
                    return None
                raise
            refusals.append(error)
        except Exception as error:
            if isinstance(error, KestraError) or is_interruption(error):
                raise
            # Of a mock, which knows one place.
            refusals.append(error)
        else:
            io.server.dialect = dialect
            return response
    raise refusals[-1] if _NO_ROUTE in str(refusals[0]) else refusals[0]


async def _was_done(io: IO, execution_id: str, action: str, error: APIError) -> bool:
    """Return True if a refusal only says that an earlier attempt was carried out.

    A server of 2.0 responds when the action has been carried out, or with 504 after 30 seconds;
    repeated, it is a conflict with what it has done itself. Of an older one, a proxy says 504.
    """
    if error.attempts == 1 or error.status not in _OUT_OF_PLACE:
        return False
    try:
        state = state_of(await poll(io, execution_id, **BRIEFLY))
    except KestraError:
        return False
    return state in _STATES_AFTER.get(action, ())


async def act_once(
    io: IO, execution_id: str, action: str, query: dict[str, str], *, needs_id: bool
) -> str | None:
    """Send an action that may start an execution, at most once; return the id in the response."""
    response = await act(io, execution_id, action, once=True, params=query)
    body = None if response is None else body_of(response)
    found = body.get("id") if isinstance(body, dict) else None
    if isinstance(found, str) and found:
        return found
    if needs_id:
        url = io.server.url(f"executions/{{execution_id}}/{action}", execution_id=execution_id)
        raise malformed("post", url, response, "lacks the id of the execution")
    return None


async def resume(io: IO, execution_id: str, inputs: Mapping[str, Any] | None) -> None:
    """Resume a paused execution, with what the task that paused it asks for."""
    with ExitStack() as opened:
        files = await io.call(form, {} if inputs is None else inputs, opened)
        body: dict[str, Any] = {"files": files} if files else {}
        await act(io, execution_id, "resume", **body)


async def restart(io: IO, execution_id: str, revision: int | None) -> str:
    query = {} if revision is None else {"revision": checked_revision(revision)}
    restarted = await act_once(io, execution_id, "restart", query, needs_id=revision is not None)
    return restarted or execution_id


async def replay(io: IO, execution_id: str, task_run_id: str | None, revision: int | None) -> str:
    query = {} if revision is None else {"revision": checked_revision(revision)}
    if task_run_id is not None:
        if not isinstance(task_run_id, str):
            raise TypeError(f"task_run_id must be a string, not {type(task_run_id).__name__}")
        if not task_run_id:
            raise ValueError("task_run_id must not be empty")
        query["taskRunId"] = task_run_id
    return str(await act_once(io, execution_id, "replay", query, needs_id=True))


async def set_labels(io: IO, execution_id: str, labels: Mapping[str, Any]) -> None:
    pairs = [{"key": k, "value": v} for k, v in checked_labels(labels).items()]
    await act(io, execution_id, "labels", json=pairs)
