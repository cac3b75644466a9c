"""What `run` shows of what the engine keeps: tables, or one JSON object. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from typing import TYPE_CHECKING, Any

from kestra._engine.report import WIDTH, counted, indented, loss_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kestra._cli.files import File
    from kestra._engine.messages import ScriptMessages, TaskLog, TaskMetric

_MOST_FILES = 20  # that are shown


@dataclass(frozen=True)
class Report:
    """What came of a run.

    Attributes:
        messages: What the engine keeps of its lines.
        engine: Whose rules.
        output_files: What `outputFiles` keeps.
        unmatched: Patterns of `outputFiles` that match nothing.
        written: What was written to the working directory; None where it was not checked: with such
            patterns, or since it holds too many files.
    """

    messages: ScriptMessages
    engine: str
    output_files: list[File] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    written: list[File] | None = None

    def as_json(self) -> str:
        """Return it as one JSON object."""
        # Not `asdict` of it all: that copies outputs, call by call, and they may be nested deeper.
        messages = {each.name: getattr(self.messages, each.name) for each in fields(self.messages)}
        messages["metrics"] = [
            {**asdict(metric), "value": _value(metric)} for metric in self.messages.metrics
        ]
        for name in ("logs", "rejected"):
            messages[name] = [asdict(it) for it in messages[name]]
        files = {
            "output_files": [file._asdict() for file in self.output_files],
            "unmatched": self.unmatched,
            "written": None if self.written is None else [it._asdict() for it in self.written],
        }
        return json.dumps({"engine": self.engine, **messages, **files})

    def as_text(self, room: int | None = None) -> str:
        """Return readable tables, of what there is, and a line that sums it up.

        Of the log only what frames and the engine said is in a table: ordinary lines are shown as
        they come.
        """
        messages = self.messages
        metrics = [
            (str(metric.name), metric.type, _with_unit(metric), _json(metric.tags))
            for metric in messages.metrics
        ]
        unmatched = [(pattern, "matches no file") for pattern in self.unmatched]
        tables: dict[str, Sequence[tuple[str, ...]]] = {
            "Outputs": [(name, _json(value)) for name, value in messages.outputs.items()],
            "Metrics": metrics,
            "Logs": list(_entries(messages.logs)),
            "Assets": [(_json(asset),) for asset in messages.assets],
            "Output files": [*_file_rows(self.output_files), *unmatched],
            "Files written, which outputFiles could keep": list(_file_rows(self.written or [])),
            "Lost": list(loss_rows(messages.rejected)),
        }
        sections = [line for title in tables for line in _section(title, tables[title], room)]
        return "\n".join([*sections, _summary(messages, self.engine)])


def _file_rows(files: Sequence[File]) -> Iterator[tuple[str, str]]:
    for file in files[:_MOST_FILES]:
        yield file.path, counted(file.size, "byte")
    if len(files) > _MOST_FILES:
        yield "", f"and {counted(len(files) - _MOST_FILES, 'more file')}"


def _section(title: str, rows: Sequence[tuple[str, ...]], room: int | None) -> Iterator[str]:
    if rows:
        yield title
        yield from indented(rows, room)
        yield ""


def _entries(logs: Sequence[TaskLog]) -> Iterator[tuple[str, str]]:
    """Yield what frames and the engine logged; of a long text, such as a traceback, the end too."""
    for entry in logs:
        if entry.source not in {"frame", "engine"}:
            continue
        text = str(entry.message)
        yield entry.level, text
        _, line_end, last = text.rstrip().rpartition("\n")
        if line_end and len(text) > WIDTH:
            yield "", last


def _summary(messages: ScriptMessages, engine: str) -> str:
    kept = ", ".join(
        (
            counted(len(messages.outputs), "output"),
            counted(len(messages.metrics), "metric"),
            counted(len(messages.logs), "log entry", "log entries"),
        )
    )
    lost = counted(len(messages.rejected), "loss", "losses") if messages.rejected else "no loss"
    state = f"state {messages.state}, exit status {messages.exit_status}"
    return f"Kestra {engine} would keep {kept}; {lost}; {state}."


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _value(metric: TaskMetric) -> Any:
    """Return the value, or where JSON has no word for it, its name in Java."""
    if metric.value is None or isfinite(metric.value):
        return metric.value
    return {"inf": "Infinity", "-inf": "-Infinity"}.get(str(metric.value), "NaN")


def _with_unit(metric: TaskMetric) -> str:
    return f"{_value(metric)} s" if metric.type == "timer" else str(_value(metric))
