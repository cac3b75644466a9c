"""The routes that show executions, and what they have produced: logs, metrics, outputs, files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from kestra._api.models import LEVELS
from kestra._testing.fake import search, shown
from kestra._testing.fake.messages import Refused, Reply, as_file, as_json, as_stream, not_found
from kestra._testing.fake.shown import execution_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kestra._testing.fake.engine import Engine
    from kestra._testing.fake.execution import Execution
    from kestra._testing.fake.messages import Request

# A stream that would say nothing for longer is closed, in seconds: to let that time pass is for the
# client to decide. On the way from a server a proxy may do the same.
_LONGEST_SILENCE = 1.0


def status(engine: Engine, _: Request, execution_id: str) -> Reply:
    return as_json(execution_json(engine, engine.get(execution_id), is_brief=True))


def search_executions(engine: Engine, request: Request) -> Reply:
    # 2.0 leaves out their task runs.
    hidden = {"taskRunList"} if engine.is_new else set()

    def show(execution: Execution) -> dict[str, Any]:
        whole = execution_json(engine, execution, is_brief=True)
        return {key: value for key, value in whole.items() if key not in hidden}

    found = search.executions(engine, request.values)
    method = "find" if engine.is_old else "searchExecutions"
    return search.page(engine, request, found, method, show)


def follow(engine: Engine, _: Request, execution_id: str) -> Reply:
    # The first event is without a state.
    start = [] if engine.is_old else [("start", {"id": execution_id, "labels": []})]
    if execution_id not in engine.executions:
        engine.clock.sleep(10)  # the server searches for it that long
        if engine.is_old:
            raise Refused(404, f"Unable to find the execution {execution_id}", None)
        return as_stream(start)
    execution = engine.get(execution_id)
    states = [
        ("progress", execution_json(engine, execution)) for _ in _states_of(engine, execution)
    ]
    end = [("end", execution_json(engine, execution))] if execution.has_ended else []
    return as_stream([*start, *states, *end])


def _states_of(engine: Engine, execution: Execution) -> Iterator[None]:
    """Let time pass and yield in each state, until it has ended or one lasts too long."""
    clock, known = engine.clock, 0
    while True:
        engine.play(execution)
        if len(execution.history) > known:
            known = len(execution.history)
            yield
        if execution.has_ended:
            return
        wait = execution.due - clock.now()
        clock.sleep(min(wait, _LONGEST_SILENCE))
        if wait > _LONGEST_SILENCE:
            return


def log(engine: Engine, request: Request, execution_id: str) -> Reply:
    return as_json(_entries(engine, request, execution_id))


def download(engine: Engine, request: Request, execution_id: str) -> Reply:
    if not engine.is_old:
        engine.get(execution_id, f"Execution '{execution_id}' not found.")
    lines = [
        f"{entry['timestamp']} {entry['level']} {entry['message']}"
        for entry in _entries(engine, request, execution_id)
    ]
    cached = {"Cache-Control": "public, max-age=86400"} if engine.is_new else {}
    return Reply(200, "\n".join(lines).encode(), {"Content-Type": "text/plain", **cached})


def search_logs(engine: Engine, request: Request) -> Reply:
    every = [entry for each in reversed(engine.all()) for entry in shown.log_json(engine, each)]
    found = search.entries(engine, every, {} if engine.is_old else request.values)
    return search.page(engine, request, found, "searchLogs")


def follow_log(engine: Engine, request: Request, execution_id: str) -> Reply:
    """Stream the log of an execution, as far as it is stored."""
    if execution_id in engine.executions:
        for _ in _states_of(engine, engine.get(execution_id)):
            pass
    entries = _entries(engine, request, execution_id)
    start = ("start", {"attemptNumber": None})
    return as_stream([start, *(("progress", entry) for entry in entries)])


def _entries(engine: Engine, request: Request, execution_id: str) -> list[dict[str, Any]]:
    """Return the log as a request asks for it: by plain parameters, from 2.0 on by filters.

    That of an unknown execution is empty.
    """
    if execution_id not in engine.executions:
        return []
    entries = shown.log_json(engine, engine.get(execution_id))
    if engine.is_new:
        return search.entries(engine, entries, request.values)
    wanted = (request.value("minLevel") or "TRACE").upper()
    if wanted not in LEVELS:
        text = f"Failed to convert argument [minLevel] for value [{request.value('minLevel')}]"
        raise Refused(422, f"Internal server error: {text} due to: No enum constant")
    least, task = LEVELS.index(wanted), request.value("taskId")
    return [
        entry
        for entry in entries
        if LEVELS.index(entry["level"]) >= least and task in {None, entry["taskId"]}
    ]


def metrics(engine: Engine, request: Request, execution_id: str) -> Reply:
    known = execution_id in engine.executions
    found = shown.metrics_json(engine, engine.get(execution_id)) if known else []
    return search.page(engine, request, found, "searchByExecution")


def flow_outputs(engine: Engine, _: Request, execution_id: str) -> Reply:
    """Show the outputs of an execution, where 2.0 has them; without any there is nothing."""
    execution = engine.get(execution_id)
    outputs = shown.flow_outputs(execution)
    if not (engine.is_new and outputs):
        raise not_found()
    execution.was_shown_ended = True
    return as_json(outputs)


def task_outputs(engine: Engine, _: Request, execution_id: str, run_id: str | None = None) -> Reply:
    """Show the outputs of an execution's tasks, or of one run of a task."""
    execution = engine.get(execution_id)
    known = {run: shown.task_outputs(execution, task) for task, run in execution.run_ids.items()}
    if not engine.is_new or (run_id is not None and run_id not in known):
        raise not_found()
    if run_id is not None:
        return as_json(known[run_id])
    return as_json([
        {"taskId": task, "taskRunId": run, "inline": known[run]}
        for task, run in execution.run_ids.items()
        if known[run]
    ])  # fmt: skip


def file(engine: Engine, request: Request, execution_id: str) -> Reply:
    """Return a file of an execution; that of another one is elsewhere."""
    uri = request.value("path")
    if uri is None:
        raise Refused(400, "Bad Request: Required QueryValue [path] not specified")
    owner = re.search(r"^kestra://.*/executions/([^/]+)/", uri)
    if owner is None:
        raise Refused(422, "Illegal argument: Invalid prefix path")
    if ".." in uri:
        text = "File should be accessed with their full path and not using relative '..' path."
        raise Refused(422, f"Illegal argument: {text}")
    execution = engine.get(execution_id)
    if uri in execution.files:
        return as_file(bytes(execution.files[uri]))
    if owner[1] != execution_id:
        place = request.path.replace(execution_id, owner[1])
        return Reply(301, headers={"Location": f"{place}?path={uri}"})
    raise not_found(f"{uri} (No such file or directory)")
