"""How the engine reads metrics and adds them up, and what kills its reader on the way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kestra._engine.jackson import Refused, as_double, as_nanoseconds, as_object, as_text
from kestra._engine.messages import Metrics, TaskMetric

if TYPE_CHECKING:
    from collections.abc import Collection

_MAX_NANOSECONDS = 2**63 - 1
_INSTANT = re.compile(
    r"-?[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?"
    r"|([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.[0-9]*)?)?"
    r"(?:Z|[+-](?:18(?::?00(?::?00)?)?|(?:0[0-9]|1[0-7])(?::?[0-5][0-9](?::?[0-5][0-9])?)?))",
    re.IGNORECASE,
)


class ReaderDied(Exception):  # what happens in the engine, not an error of this package
    """The engine's reader of one stream ends here: all that follows on the stream is lost.

    It logs an ERROR as it goes, except for a few deaths.
    """

    def __init__(self, reason: str, *, logged: bool = True) -> None:
        super().__init__(reason)
        self.logged = logged


@dataclass(frozen=True, slots=True)
class Sample:
    """One entry of `metrics`; `where` it stood. The value of a timer is in nanoseconds."""

    where: str
    name: str | None
    type: str
    value: float | None
    tags: dict[str, str | None] | None
    description: str | None = None


def _is_instant(text: str) -> bool:
    found = _INSTANT.fullmatch(text)
    if found is None:
        return False
    try:
        return found[1] is None or bool(datetime(*map(int, found.groups("0"))))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:  # no such day, or time
        return False


def read_sample(entry: Any, where: str, types: Collection[str]) -> Sample | None:
    """Read one entry of `metrics`; `null` passes, and kills the reader when it is added."""
    if entry is None:
        return None
    entry = as_object(entry, where)
    kind = entry.get("type")
    if kind not in types:
        raise Refused(f"{where}.type must be one of {', '.join(types)}")
    inside = f"{where}."
    timestamp = as_text(entry, "timestamp", inside)
    if timestamp and not _is_instant(timestamp):
        raise Refused(f"{where}.timestamp must be an ISO 8601 instant with an offset")
    tags = entry.get("tags")
    if tags is not None:
        tags = as_object(tags, f"{where}.tags")
        tags = {key: as_text(tags, key, f"{where}.tags.") for key in tags}
    name = as_text(entry, "name", inside)
    value = (as_nanoseconds if kind == "timer" else as_double)(entry, "value", inside)
    return Sample(where, name, kind, value, tags, as_text(entry, "description", inside))


class Meters:
    """The metrics of one task, as a server has them, or the side that runs the task."""

    def __init__(self, *, as_server: bool) -> None:
        self._as_server = as_server
        self._totals: dict[tuple[object, ...], tuple[Sample, float | None]] = {}
        self._types: dict[tuple[object, ...], str] = {}

    def add(self, sample: Sample | None) -> None:
        """Add one sample, which in most cases is kept even if the reader dies of it."""
        if sample is None:
            raise ReaderDied("one of metrics is null: leave it out")
        tags = None if sample.tags is None else frozenset(sample.tags.items())
        key = (sample.name, sample.type, tags, sample.description)
        value = sample.value
        first, total = self._totals.get(key, (sample, 0))
        if sample.type != "gauge" and first is not sample:
            if total is None or value is None:
                raise _no_value(sample)
            value += total
        self._totals[key] = first, value
        self._register(sample)

    def metrics(self) -> Metrics:
        """Return what has been added up: as a server shows it, or exactly."""
        metrics = Metrics()
        for sample, total in self._totals.values():
            value = total
            if sample.type == "timer" and value is not None:
                value = int(value / 1e6) / 1e3 if self._as_server else value / 1e9
            tags: dict[str, str | None] = sample.tags or {}
            if self._as_server:
                tags = {name: tag for name, tag in tags.items() if tag is not None}
            metrics.append(TaskMetric(sample.name, sample.type, value, tags))
        return metrics

    def _register(self, sample: Sample) -> None:
        tags, where = sample.tags or {}, sample.where
        if None in tags.values():
            raise ReaderDied(f"a tag of {where} is null: leave the tag out", logged=False)
        if "" in tags:
            raise ReaderDied(f"a tag of {where} has an empty name")
        # For a server two tags of one name are the same, whatever their values (measured).
        told_apart_by = frozenset(tags if self._as_server else tags.items())
        first = self._types.setdefault((sample.name, told_apart_by), sample.type)
        if first != sample.type:
            raise ReaderDied(
                f"{where} has the name and the tags of a {first}: give the {sample.type} another "
                "name"
            )
        if sample.type == "gauge":
            return
        if sample.value is None:
            raise _no_value(sample)
        if sample.type == "timer" and abs(sample.value) > _MAX_NANOSECONDS:
            raise ReaderDied(f"{where} is beyond 292 years: a timer's value is in seconds")


def _no_value(sample: Sample) -> ReaderDied:
    return ReaderDied(f"{sample.where}.value is null: send a number")
