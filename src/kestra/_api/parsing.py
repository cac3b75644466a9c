"""What the server's responses say of an execution. Pure.

Responses of other versions than those known may lack anything: what is not there, or makes no
sense, is `None` or empty, and no error.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

from kestra._api.models import LEVELS, LogEntry, Metric, State, StateChange, TaskRun
from kestra._values.times import parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_BAD = frozenset({"FAILED", "KILLED", "CANCELLED"})


def body_of(response: Any) -> Any:
    """Return the JSON in a response, `None` if there is none."""
    try:
        return response.json()
    except ValueError:
        return None


def header_of(response: Any, name: str) -> str | None:
    """Return a header; that of a test's stand-in may be missing, or anything."""
    headers: Any = getattr(response, "headers", None)
    value = headers.get(name) if hasattr(headers, "get") else None
    return value if isinstance(value, str) else None


def state_of(execution: Any) -> str | None:
    """Return the state that an execution is in, `None` where there is none."""
    state = execution.get("state") if isinstance(execution, dict) else None
    current = state.get("current") if isinstance(state, dict) else None
    return current if isinstance(current, str) else None


def labels_on(execution: Any) -> dict[str, str]:
    """Return the labels of an execution; a list of pairs or, on old servers, an object."""
    labels = execution.get("labels") if isinstance(execution, dict) else None
    if isinstance(labels, dict):
        return labels
    return {str(each.get("key")): str(each.get("value")) for each in _objects(labels)}


def start_of(execution: Any) -> datetime | None:
    """Return when an execution was created, by the server's clock."""
    state = execution.get("state") if isinstance(execution, dict) else None
    return parse_instant(state.get("startDate")) if isinstance(state, dict) else None


def whole_state(holder: Any) -> State:
    """Return the state of an execution, or of a task run, with its history."""
    current = state_of(holder)
    state = holder.get("state") if isinstance(holder, dict) else None
    listed = _objects(state.get("histories") if isinstance(state, dict) else None)
    history = [StateChange(str(x.get("state")), parse_instant(x.get("date"))) for x in listed]
    return State(current, tuple(history))


def outputs_in(holder: Any) -> dict[str, Any] | None:
    """Return the outputs that an execution or a task run shows, `None` if it shows none."""
    outputs = holder.get("outputs") if isinstance(holder, dict) else None
    return outputs if isinstance(outputs, dict) else None


def task_runs_of(execution: Any) -> tuple[TaskRun, ...]:
    """Return the task runs of an execution."""
    listed = execution.get("taskRunList") if isinstance(execution, dict) else None
    return tuple(
        TaskRun(
            id=str(run.get("id")),
            task=str(run.get("taskId")),
            state=whole_state(run),
            attempts=len(_objects(run.get("attempts"))),
            value=_text(run.get("value")),
            parent_id=_text(run.get("parentTaskRunId")),
            outputs=outputs_in(run),
        )
        for run in _objects(listed)
    )


def run_ends_of(execution: Any) -> list[tuple[str, datetime]]:
    """Return the ids of the task runs that have ended, and when that was."""
    listed = execution.get("taskRunList") if isinstance(execution, dict) else None
    ends = [(str(run.get("id")), _mapping(run.get("state"))) for run in _objects(listed)]
    dates = [(run_id, parse_instant(state.get("endDate"))) for run_id, state in ends]
    return [(run_id, date) for run_id, date in dates if date is not None]


def has_milliseconds(execution: Any) -> bool:
    """Return True if the times of an execution are in milliseconds, as those of 0.21."""
    state = _mapping(execution.get("state") if isinstance(execution, dict) else None)
    dates = [each.get("date") for each in _objects(state.get("histories"))]
    decimals = [len(x.partition(".")[2]) for x in dates if isinstance(x, str)]
    return max(decimals, default=0) == len("123Z")


def checked_level(level: Any) -> str:
    """Return a level that there is.

    Raises:
        TypeError: It is not a string.
        ValueError: There is no such level.
    """
    if not isinstance(level, str):
        raise TypeError(f"min_level must be one of {', '.join(LEVELS)}, not {type(level).__name__}")
    if level not in LEVELS:
        raise ValueError(f"min_level must be one of {', '.join(LEVELS)}, not {level!r}")
    return level


def is_shown(level: Any, min_level: str) -> bool:
    """Return True if a level is the least one or above it, or if it is not known here."""
    return level not in LEVELS[: LEVELS.index(min_level)]


def log_entries(response: Any, min_level: str = "TRACE") -> list[LogEntry]:
    """Return the log entries of a response, from a level on: some servers send the others too."""
    return [
        LogEntry(
            time=parse_instant(entry.get("timestamp")),
            level=str(entry.get("level")),
            message=_text(entry.get("message")) or "",
            task=_text(entry.get("taskId")),
            task_run_id=_text(entry.get("taskRunId")),
            attempt=_integer(entry.get("attemptNumber")),
        )
        for entry in _objects(response)
        if is_shown(entry.get("level"), min_level)
    ]


def metrics_of(response: Any) -> list[Metric]:
    """Return the metrics on a page."""
    return [
        Metric(
            name=str(entry.get("name")),
            type=str(entry.get("type")),
            # Of a timer, the task sends seconds, and the API shows milliseconds.
            value=float(entry["value"]) / (1000 if entry.get("type") == "timer" else 1),
            tags={str(k): str(v) for k, v in _mapping(entry.get("tags")).items()},
            task=_text(entry.get("taskId")),
            task_run_id=_text(entry.get("taskRunId")),
            time=parse_instant(entry.get("timestamp")),
        )
        for entry in _objects(response.get("results") if isinstance(response, dict) else None)
        if isinstance(entry.get("value"), int | float)
    ]


# --- what failed -----------------------------------------------------------------------------


def ended_badly(execution: Any) -> bool:
    """Return True if an execution has ended in a state that needs an explanation."""
    return state_of(execution) in _BAD


def culprit(task_runs: Iterable[TaskRun]) -> TaskRun | None:
    """Return the task run that made an execution end badly.

    It is the first that did so itself: a run around another takes over the other's state. One
    that failed goes before one that was killed, which may have been so on account of it.
    """
    bad = [run for run in task_runs if run.state.current in _BAD]
    around = {run.parent_id for run in bad}
    own = [run for run in bad if run.id not in around]
    return min(own, key=lambda run: run.state.current != "FAILED", default=None)


def error_text(run: TaskRun | None, errors: Iterable[LogEntry]) -> str | None:
    """Return what failed, in words.

    Args:
        run: The run that did, if one did.
        errors: What was logged as ERROR.
    """
    own = [entry for entry in errors if run is None or entry.task_run_id == run.id]
    # The sort is stable: where times are the same, the server's order counts.
    own.sort(key=lambda entry: entry.time or datetime.min.replace(tzinfo=timezone.utc))
    message = own[-1].message.strip() if own else ""
    if run is None:
        return message or None
    value = f" ({run.value})" if run.value else ""
    said = f": {message}" if message else ""
    return f"task {run.task}{value} ended in the state {run.state.current}{said}"


# --- pieces of a response --------------------------------------------------------------------


def _objects(listed: Any) -> list[dict[str, Any]]:
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) else None


# --- a log -----------------------------------------------------------------------------------

# How an entry begins in a downloaded log: the time up to the millisecond, and the rest of it.
_ENTRY = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?)(\d*)Z [A-Z]+ ", re.MULTILINE)


def count_entries(log: str) -> int:
    """Return how many entries a downloaded log has, or a few more: a message may look like one."""
    return sum(1 for _ in _ENTRY.finditer(log))


def ordered_log(log: str, more: Sequence[LogEntry] = ()) -> str:
    """Return a downloaded log in the order of logging, with entries that it lacks.

    The server sorts by milliseconds, its times have microseconds: only within one millisecond is
    anything moved, so that a line of a message which looks like an entry stays where it is.
    """
    known = set(log.split("\n")) if more else set()  # some may have been stored meanwhile
    lacking = [(e.time, text) for e in more if (text := _line(e)).partition("\n")[0] not in known]
    if lacking:
        ends = "".join(f"{text}\n" for time, text in lacking if time is None)
        lines = [text for time, text in lacking if time is not None]
        log = "".join(f"{each}\n" for each in (log.rstrip("\n"), *lines) if each)
        return _in_order(log, all_of_it=True) + ends
    return _in_order(log, all_of_it=False)


def _in_order(log: str, *, all_of_it: bool) -> str:
    starts = [(match.start(), match[1], match[2]) for match in _ENTRY.finditer(log)]
    if all(a[1] < b[1] or (a[1] == b[1] and a[2] <= b[2]) for a, b in pairwise(starts)):
        return log
    pieces = [log[a[0] : b[0]] for a, b in pairwise([*starts, (len(log), "", "")])]
    whole = [piece if piece.endswith("\n") else f"{piece}\n" for piece in pieces]
    order = _by_logging(starts, all_of_it=all_of_it)
    text = log[: starts[0][0]] + "".join(whole[index] for index in order)
    return text if log.endswith("\n") else text.removesuffix("\n")


def _line(entry: LogEntry) -> str:
    """Return an entry as the server writes it into a log."""
    time = ""
    if entry.time is not None:
        spec = "microseconds" if entry.time.microsecond % 1000 else "milliseconds"
        in_utc = entry.time.astimezone(timezone.utc).replace(tzinfo=None)
        time = f"{in_utc.isoformat(timespec=spec)}Z "
    return f"{time}{entry.level} {entry.message}"


def _by_logging(starts: list[tuple[int, str, str]], *, all_of_it: bool) -> list[int]:
    """Return the order of entries: within each run of the same millisecond, by the rest of it."""
    if all_of_it:
        return sorted(range(len(starts)), key=lambda index: starts[index][1:])
    order: list[int] = []
    for _, run in groupby(range(len(starts)), key=lambda index: starts[index][1]):
        order += sorted(run, key=lambda index: starts[index][2])
    return order


def loop_of(execution: Any) -> str | None:
    """Return the value that an iteration of a Loop runs for, its index where it has none (2.0)."""
    loop = execution.get("loopRun") if isinstance(execution, dict) else None
    if not isinstance(loop, dict):
        return None
    value = loop.get("index") if loop.get("value") is None else loop["value"]
    return None if value is None else str(value)
