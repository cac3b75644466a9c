"""The routes for what executions have produced: logs, metrics, outputs and files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from kestra._api.models import LEVELS
from kestra._testing.fake import search, shown
from kestra._testing.fake.executions_api import states_of
from kestra._testing.fake.messages import Reply, Request, as_json, as_stream
from kestra._testing.fake.refused import Refused, not_found

if TYPE_CHECKING:
    from kestra._testing.fake.api import Api
    from kestra._testing.fake.execution import Execution


def log(api: Api, request: Request, execution_id: str) -> Reply:
    """Show the log of an execution; that of an unknown one is empty."""
    if execution_id not in api.engine.executions:
        return as_json([])
    return as_json(_entries(api, request, execution_id))


def download(api: Api, request: Request, execution_id: str) -> Reply:
    """Return the log of an execution as text."""
    plain = {"Content-Type": "text/plain"}
    if api.engine.version == "0.21" and execution_id not in api.engine.executions:
        return Reply(200, b"", plain)
    api.engine.get(execution_id, f"Execution '{execution_id}' not found.")
    lines = [
        f"{entry['timestamp']} {entry['level']} {entry['message']}"
        for entry in _entries(api, request, execution_id)
    ]
    if api.engine.version == "2.0":
        plain["Cache-Control"] = "public, max-age=86400"
    return Reply(200, "\n".join(lines).encode(), plain)


def search_logs(api: Api, request: Request) -> Reply:
    """Show the log entries that a search finds."""
    engine = api.engine
    every = [entry for each in reversed(engine.all()) for entry in _log(api, each)]
    query = {} if engine.version == "0.21" else request.values
    found = search.entries(every, query, engine.version)
    some, total = search.page(found, request.values, "searchLogs", engine.version)
    return as_json({"results": some, "total": total})


def follow_log(api: Api, request: Request, execution_id: str) -> Reply:
    """Stream the log of an execution, as far as it is stored."""
    start = ("start", {"attemptNumber": None})
    if execution_id not in api.engine.executions:
        return as_stream([start])
    for _ in states_of(api.engine, api.engine.get(execution_id)):
        pass
    entries = _entries(api, request, execution_id)
    return as_stream([start, *(("progress", entry) for entry in entries)])


def _log(api: Api, execution: Execution) -> list[dict[str, Any]]:
    entries = sorted(api.engine.log(execution), key=lambda entry: entry[0])
    return shown.log_json(execution, entries, api.engine.clock.date)


def _entries(api: Api, request: Request, execution_id: str) -> list[dict[str, Any]]:
    """Return the log as a request asks for it: by plain parameters, from 2.0 on by filters."""
    entries = _log(api, api.engine.get(execution_id))
    if api.engine.version == "2.0":
        filters = {k: v for k, v in request.values.items() if k.startswith("filters[")}
        return search.entries(entries, filters, "2.0")
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


def metrics(api: Api, request: Request, execution_id: str) -> Reply:
    """Show the metrics of an execution; an unknown one has none."""
    found: list[dict[str, Any]] = []
    if execution_id in api.engine.executions:
        found = shown.metrics_json(api.engine.get(execution_id), api.engine.clock.date)
    some, total = search.page(found, request.values, "searchByExecution", api.engine.version)
    return as_json({"results": some, "total": total})


def flow_outputs(api: Api, _: Request, execution_id: str) -> Reply:
    """Show the outputs of an execution, where 2.0 has them; without any there is nothing."""
    execution = api.engine.get(execution_id)
    outputs = shown.flow_outputs(execution)
    if api.engine.version != "2.0" or not outputs:
        raise not_found()
    execution.was_seen_ended = True
    return as_json(outputs)


def task_outputs(api: Api, _: Request, execution_id: str, run_id: str | None = None) -> Reply:
    """Show the outputs of an execution's tasks, or of one run of a task."""
    execution = api.engine.get(execution_id)
    if api.engine.version != "2.0":
        raise not_found()
    tasks = {shown.run_id(execution, task): task for task in execution.definition.tasks}
    if run_id is not None:
        if run_id not in tasks:
            raise not_found()
        return as_json(shown.task_outputs(execution, tasks[run_id]))
    listed = [
        {"taskId": task, "taskRunId": run, "inline": outputs}
        for run, task in tasks.items()
        if (outputs := shown.task_outputs(execution, task))
    ]
    return as_json(listed)


def file(api: Api, request: Request, execution_id: str) -> Reply:
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
    execution = api.engine.get(execution_id)
    if uri in execution.files:
        kind = {"Content-Type": "application/octet-stream"}
        return Reply(200, bytes(execution.files[uri]), kind)
    if owner[1] != execution_id:
        place = request.path.replace(execution_id, owner[1])
        return Reply(301, headers={"Location": f"{place}?path={uri}"})
    raise not_found(f"{uri} (No such file or directory)")
