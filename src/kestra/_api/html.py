"""What a notebook shows of an execution: its state, its task runs on a line of time, its error."""

from __future__ import annotations

from html import escape
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from kestra._api.models import FlowExecution, State, TaskRun
    from kestra._api.requests import ExecutionOutcome

_WIDTH, _NAMES, _BARS, _ROW = 820, 190, 450, 24  # of the picture, its first two columns, a row
_MOST_RUNS = 50
_MOST_CHARACTERS = 26  # of a name
_MOST_TICKS = 6
_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300,
          600, 900, 1800, 3600, 7200, 14400, 28800, 86400)  # fmt: skip
_MINUTE, _HOUR = 60, 3600
# Light and dark, on each of which they have a contrast of 3:1 at least.
_COLOURS = {
    "good": ("#1a7f4b", "#3fb97a"),
    "warning": ("#a15c00", "#e0a030"),
    "bad": ("#c62f3b", "#f0717b"),
    "running": ("#2f6fd0", "#6aa2f5"),
    "other": ("#6b7280", "#9aa3b2"),
}
_KINDS = {
    "SUCCESS": "good",
    "WARNING": "warning",
    "FAILED": "bad",
    "KILLED": "bad",
    "CANCELLED": "bad",
    "RUNNING": "running",
}


def _coloured(theme: int) -> str:
    return "".join(
        f".kestra .{kind}{{color:{of[theme]};fill:{of[theme]};border-color:{of[theme]}}}"
        for kind, of in _COLOURS.items()
    )


# Text has the colour that the notebook gives it, whatever its own theme is.
_STYLE = (
    ".kestra{font:13px/1.5 system-ui,sans-serif}"
    ".kestra a{color:inherit}"
    ".kestra svg{display:block;max-width:100%;height:auto;margin:.4em 0}"
    ".kestra text{font:12px system-ui,sans-serif;fill:currentColor}"
    ".kestra pre{margin:.4em 0;padding-left:.7em;border-left:3px solid;white-space:pre-wrap}"
    f"{_coloured(0)}@media (prefers-color-scheme:dark){{{_coloured(1)}}}"
    ".kestra pre{color:inherit!important}"
)


def execution_html(execution: FlowExecution, title: str = "Execution") -> str:
    """Return the HTML form of an execution; all text in it is escaped."""
    kind = _KINDS.get(str(execution.status), "other")
    name = escape(execution.execution_id)
    url = execution.url or ""
    if url.startswith(("http://", "https://")):
        name = f'<a href="{escape(url)}" target="_blank" rel="noopener">{name}</a>'
    took = "" if execution.duration is None else f" after {_seconds(execution.duration)}"
    status = f'<b class="{kind}">{escape(str(execution.status))}</b>'
    error = f'<pre class="bad">{escape(execution.error)}</pre>' if execution.error else ""
    return _block(
        f"<div>{escape(title)} {name}: {status}{took}</div>{_gantt(execution.task_runs)}{error}"
    )


def outcome_html(outcome: ExecutionOutcome) -> str:
    """Return the HTML form of what became of a request; it shows no input."""
    flow = getattr(outcome.request, "flow", None)
    namespace = getattr(outcome.request, "namespace", None)
    title = "Request" if flow is None else f"{namespace}.{flow}"
    if outcome.result is not None:
        return execution_html(outcome.result, title)
    error = outcome.error
    return _block(
        f'<div>{escape(title)}: <b class="bad">{type(error).__name__}</b></div>'
        f'<pre class="bad">{escape(str(error))}</pre>'
    )


def _block(content: str) -> str:
    return f'<div class="kestra"><style>{_STYLE}</style>{content}</div>'


def _gantt(task_runs: tuple[TaskRun, ...]) -> str:
    started = [(run.state.start, n, run) for n, run in enumerate(task_runs) if run.state.start]
    runs = [run for *_, run in sorted(started)]
    times = [each.time for run in runs for each in run.state.history if each.time is not None]
    if not times:
        return ""
    first, last = min(times), max(times)
    span = max((last - first).total_seconds(), 0.001)
    shown = runs[:_MOST_RUNS]
    height = _ROW * (len(shown) + 1)
    bars = (_row(run, first, last, span, _ROW * n) for n, run in enumerate(shown))
    rows = chain(_axis(span, height), *bars)
    more = f"<div>and {len(runs) - len(shown)} more task runs</div>" if runs[_MOST_RUNS:] else ""
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img" '
        f'aria-label="Task runs over {_seconds(span)}">{"".join(rows)}</svg>{more}'
    )


def _axis(span: float, height: int) -> Iterator[str]:
    step = next((each for each in _STEPS if span / each <= _MOST_TICKS), span / _MOST_TICKS)
    for number in range(int(span / step) + 1):
        x = _NAMES + _BARS * number * step / span
        yield (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - _ROW}" stroke="currentColor" '
            f'stroke-opacity=".2"/><text x="{x:.1f}" y="{height - 7}" text-anchor="middle" '
            f'fill-opacity=".7">{_seconds(number * step)}</text>'
        )


def _row(run: TaskRun, first: datetime, last: datetime, span: float, y: int) -> Iterator[str]:
    state = str(run.state.current)
    kind = _KINDS.get(state, "other")
    name = run.task if run.value is None else f"{run.task} [{run.value}]"
    seconds = run.state.duration
    ended = state if seconds is None else f"{_seconds(seconds)} {state}"
    short = name if len(name) <= _MOST_CHARACTERS else f"{name[: _MOST_CHARACTERS - 1]}…"
    yield (
        f"<g><title>{escape(name)}: {escape(ended)}</title>"
        f'<text x="{_NAMES - 10}" y="{y + 16}" text-anchor="end">{escape(short)}</text>'
    )
    for name_of_state, start, end in _periods(run.state, last):
        x = _NAMES + _BARS * (start - first).total_seconds() / span
        width = max(_BARS * (end - start).total_seconds() / span, 2)
        opacity = 1 if name_of_state == "RUNNING" else 0.3
        yield (
            f'<rect class="{kind}" fill="{_COLOURS[kind][0]}" fill-opacity="{opacity}" '
            f'x="{x:.1f}" y="{y + 5}" width="{width:.1f}" height="14" rx="2"/>'
        )
    x_of_end = _NAMES + _BARS + 12
    yield f'<text x="{x_of_end}" y="{y + 16}">{escape(ended)}</text></g>'


def _periods(state: State, last: datetime) -> Iterator[tuple[str, datetime, datetime]]:
    changes = [(each.state, each.time) for each in state.history if each.time is not None]
    following = [*changes[1:], ("", last)]
    if state.end is not None:  # the last state is no time, but the end
        changes.pop()
    for (name, start), (_, end) in zip(changes, following, strict=False):
        yield name, start, max(start, end)


def _seconds(seconds: float) -> str:
    """Return a duration as people say it: `0.25 s`, `12.3 s`, `4 min 5 s`, `2 h 5 min`."""
    if seconds < _MINUTE:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < _HOUR:
        minutes, rest = divmod(whole, _MINUTE)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(round(whole / _MINUTE), _MINUTE)
    return f"{hours} h {rest} min" if rest else f"{hours} h"
