"""What the server's responses say of an execution. Pure.

Responses of other versions than those known may lack anything: what is not there, or makes no
sense, is `None` or empty, and no error.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any, TypeVar

from kestra._api.models import LEVELS, LogEntry, Metric, State, StateChange, TaskRun
from kestra._values.times import parse_instant, utc_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

T = TypeVar("T")

_BAD = frozenset({"FAILED", "KILLED", "CANCELLED"})
_EARLIEST = datetime.min.replace(tzinfo=timezone.utc)


def body_of(response: Any) -> Any:
    """Return the JSON in a response, `None` if there is none."""
    try:
        return response.json()
    except ValueError:
        return None


def header_of(response: Any, name: str) -> str | None:
    headers: Any = getattr(response, "headers", None)
    value = headers.get(name) if hasattr(headers, "get") else None
    return value if isinstance(value, str) else None


def state_of(execution: Any) -> str | None:
    return at(str, execution, "state", "current")


def labels_on(execution: Any) -> dict[str, str]:
    """Return the labels of an execution; a list of pairs or, on old servers, an object."""
    labels = at(dict, execution, "labels")
    if labels is not None:
        return labels
    listed = _objects(execution, "labels")
    return {str(each.get("key")): str(each.get("value")) for each in listed}


def start_of(execution: Any) -> datetime | None:
    return parse_instant(at(str, execution, "state", "startDate"))


def whole_state(holder: Any) -> State:
    current, listed = state_of(holder), _objects(holder, "state", "histories")
    history = [StateChange(str(x.get("state")), parse_instant(x.get("date"))) for x in listed]
    return State(current, tuple(history))


def outputs_in(holder: Any) -> dict[str, Any] | None:
    return at(dict, holder, "outputs")


def task_runs_of(execution: Any) -> tuple[TaskRun, ...]:
    return tuple(
        TaskRun(
            id=str(run.get("id")),
            task=str(run.get("taskId")),
            state=whole_state(run),
            attempts=len(_objects(run, "attempts")),
            value=at(str, run, "value"),
            parent_id=at(str, run, "parentTaskRunId"),
            outputs=outputs_in(run),
        )
        for run in _objects(execution, "taskRunList")
    )


def run_ends_of(execution: Any) -> list[tuple[str, datetime]]:
    runs = _objects(execution, "taskRunList")
    dates = [(str(run.get("id")), parse_instant(at(str, run, "state", "endDate"))) for run in runs]
    return [(run_id, date) for run_id, date in dates if date is not None]


def loop_of(execution: Any) -> str | None:
    """Return the value that an iteration of a Loop runs for, its index where it has none (2.0)."""
    loop = at(dict, execution, "loopRun") or {}
    value = loop.get("index") if loop.get("value") is None else loop["value"]
    return None if value is None else str(value)


def has_milliseconds(execution: Any) -> bool:
    """Return True if the times of an execution are in milliseconds, as those of 0.21."""
    dates = [each.get("date") for each in _objects(execution, "state", "histories")]
    decimals = [len(x.partition(".")[2]) for x in dates if isinstance(x, str)]
    return max(decimals, default=0) == len("123Z")


def checked_level(level: Any) -> str:
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
            message=at(str, entry, "message") or "",
            task=at(str, entry, "taskId"),
            task_run_id=at(str, entry, "taskRunId"),
            attempt=at(int, entry, "attemptNumber"),
        )
        for entry in _objects(response)
        if is_shown(entry.get("level"), min_level)
    ]


def in_order(entries: Iterable[LogEntry]) -> list[LogEntry]:
    """Return entries in the order of logging; where times are the same, the server's counts."""
    return sorted(entries, key=lambda entry: entry.time or _EARLIEST)


def metrics_of(response: Any) -> list[Metric]:
    return [
        Metric(
            name=str(entry.get("name")),
            type=str(entry.get("type")),
            # Of a timer, the task sends seconds, and the API shows milliseconds.
            value=float(entry["value"]) / (1000 if entry.get("type") == "timer" else 1),
            tags={str(k): str(v) for k, v in (at(dict, entry, "tags") or {}).items()},
            task=at(str, entry, "taskId"),
            task_run_id=at(str, entry, "taskRunId"),
            time=parse_instant(entry.get("timestamp")),
        )
        for entry in _objects(response, "results")
        if isinstance(entry.get("value"), int | float)
    ]


# --- what failed -----------------------------------------------------------------------------


def ended_badly(execution: Any) -> bool:
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
    """Return what failed, in words: the run that did, and what was logged as ERROR."""
    own = in_order(entry for entry in errors if run is None or entry.task_run_id == run.id)
    message = own[-1].message.strip() if own else ""
    if run is None:
        return message or None
    value = f" ({run.value})" if run.value else ""
    said = f": {message}" if message else ""
    return f"task {run.task}{value} ended in the state {run.state.current}{said}"


# --- pieces of a response --------------------------------------------------------------------


def at(kind: type[T], value: Any, *names: str) -> T | None:
    """Return what a response has at a place, `None` if that is not of this kind."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, kind) else None


def _objects(value: Any, *names: str) -> list[dict[str, Any]]:
    return [each for each in at(list, value, *names) or () if isinstance(each, dict)]


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
        return _sorted_log(log, all_of_it=True) + ends
    return _sorted_log(log, all_of_it=False)


def _sorted_log(log: str, *, all_of_it: bool) -> str:
    starts = [(match[1], match[2], match.start()) for match in _ENTRY.finditer(log)]
    if all(a <= b for a, b in pairwise(starts)):
        return log
    pieces = {a[2]: log[a[2] : b[2]] for a, b in pairwise([*starts, ("", "", len(log))])}
    runs = [starts] if all_of_it else [list(run) for _, run in groupby(starts, lambda x: x[0])]
    ordered = [pieces[start] for run in runs for _, _, start in sorted(run)]
    whole = [piece if piece.endswith("\n") else f"{piece}\n" for piece in ordered]
    text = log[: starts[0][2]] + "".join(whole)
    return text if log.endswith("\n") else text.removesuffix("\n")


def _line(entry: LogEntry) -> str:
    text = f"{entry.level} {entry.message}"
    if entry.time is None:
        return text
    finest = "microseconds" if entry.time.microsecond % 1000 else "milliseconds"
    return f"{utc_text(entry.time, finest)} {text}"
