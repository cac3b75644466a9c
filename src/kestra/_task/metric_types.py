"""Which types metrics have had: an engine keeps them, and reads nothing more after a second one."""

from __future__ import annotations

from stat import S_ISREG

from kestra._values.text import converted, key_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from kestra._task.hooks import Stream

# Of the pipes that frames have gone to, by device and number; of the last streams in memory.
_of_pipes: dict[tuple[int, int], MetricTypes] = {}
_of_others: list[tuple[object, MetricTypes]] = []
_MOST_OTHERS = 9
_NEVER_NULL = frozenset({str, int, bool})  # a tag of another type may be one that is left out


class MetricTypes:
    """The types of the metrics that were sent to one place."""

    def __init__(self) -> None:
        # By name, or `(name, {tag keys})`; and the calls that agree, as `(name, type, key, …)`.
        self.known: dict[object, str] = {}

    def claim(self, name: str, type_: str, tags: Mapping[str, Any] | None) -> None:
        """Note the type of a metric that is about to be sent; refuse a second one.

        An engine registers a metric by its name and tag names until it is restarted: the clash
        outlives the execution.
        """
        tags = tags or {}
        claim: tuple[object, ...] | None = (name, type_, *tags)
        for tag in tags.values():
            if type(tag) not in _NEVER_NULL:
                claim = None  # it may be left out: then other keys are sent
        if claim in self.known:
            return
        keys = frozenset(key_text(key) for key, tag in tags.items() if converted(tag) is not None)
        first = self.known.setdefault((name, keys) if keys else name, type_)
        if first != type_:
            raise ValueError(
                f'the metric "{name}" with the same tag names was sent as a {first} before, and '
                f"now as a {type_}: the engine would lose every later line of the task, and of "
                "later runs; give one of them another name"
            )
        if claim is not None:
            self.known[claim] = type_


def types_of(place: object, real: Stream | None) -> MetricTypes:
    """Return those of a place: a stand-in, or a real stream.

    What a stand-in gets reaches the real stream, as far as anybody knows, unless it is kept in
    memory, as by `capsys` or `redirect_stdout(io.StringIO())`, or in a file, as by `capfd`, or by
    a mock: no engine ever sees that.
    """
    if hasattr(getattr(place, "write", None), "assert_called"):
        return MetricTypes()
    if real is not None and (place is real or not _is_kept_here(place)):
        kind = real.kind
        if not S_ISREG(kind.st_mode):
            number = kind.st_ino or -real.descriptor  # every pipe of Windows has the number 0
            return _of_pipes.setdefault((kind.st_dev, number), MetricTypes())
        place = real
    for stream, types in _of_others:
        if stream is place:
            return types
    types = MetricTypes()
    _of_others[_MOST_OTHERS:] = []
    _of_others.insert(0, (place, types))
    return types


def _is_kept_here(place: object) -> bool:
    from kestra._task.stand_ins import file_of, memory_of

    return memory_of(place) is not None or file_of(place) is not None
