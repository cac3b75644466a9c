"""Checks of what the C encoder of `json` has written: what it lets through, an engine may not.

Pure. Loaded with the first value that is nested, long, or not in ASCII. Whole levels of nesting
are checked at the speed of C: to visit each value in Python would take longer than the encoding.
"""

from __future__ import annotations

from itertools import chain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

_SCALARS = (str, int, float, type(None))
_CONTAINERS = frozenset({dict, list, tuple})
_TEXT = frozenset({str})
_PIECE = 1 << 16


def is_plain(value: Any, text: str, levels: int) -> bool:
    """Return True if a value that the C encoder has written needs no conversion.

    What is left to check are keys that are not text (two may become the same), subclasses of
    containers, and the depth. Each object and list has a bracket in the text: once that many were
    found, what is left are scalars, and the encoder takes only those that JSON has. (To check
    the type of each of them takes 10 ms of 10 MB of rows, where the encoder takes 90.)
    """
    if type(value) not in _CONTAINERS:
        return isinstance(value, _SCALARS)
    most = text.count("{") + text.count("[")  # there may be more in texts
    level = [value]
    for _ in range(levels):
        dicts, lists = _dicts_and_lists(level)
        # Of many, their names are collected first: rows have the same ones.
        keys = set().union(*dicts) if len(dicts) > 1 else chain.from_iterable(dicts)
        if not _TEXT.issuperset(map(type, keys)):
            return False
        most -= len(level)
        if not most:
            return True
        kinds = set(map(type, _children(dicts, lists)))
        if not all(kind in _CONTAINERS or issubclass(kind, _SCALARS) for kind in kinds):
            return False
        level = [child for child in _children(dicts, lists) if type(child) in _CONTAINERS]
        if not level:
            return True
    return False


def is_safe(value: Any, text: str, most_digits: int, most_text: int, *, is_flat: bool) -> bool:
    """Return True if the engine reads this text: no lone surrogate, no over-long number or text.

    `_is_unicode` is quick on few texts, however long, and the search on many.
    """
    if "\\" in text:
        import re

        if (is_flat or re.search(r"\\ud[89a-f]", text)) and not _is_unicode(value):
            return False
    if len(text) <= most_digits:
        return True
    is_any_long = len(text) >= most_text and _longest_text(value) >= most_text // 2
    return not is_any_long and not _has_long_number(text, most_digits)


def _has_long_number(text: str, most_digits: int) -> bool:
    import re

    # A long number holds five neighbouring samples, and so a whole match of three.
    step = most_digits // 5
    digits = re.compile(f"[0-9]{{{step * 2}}}")
    return any(
        digits.match(text, sample.start() * step)
        for sample in re.finditer("[0-9]{3}", text[::step])
    )


def _is_unicode(value: Any) -> bool:
    """Return True if no text in it has a surrogate."""
    try:
        for texts in _texts(value):
            is_any_large = max(map(len, texts), default=0) > _PIECE  # no second copy of that
            for _ in map(str.encode, _pieces(texts) if is_any_large else texts):
                pass
    except UnicodeEncodeError:
        return False
    return True


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    return (text[n : n + _PIECE] for text in texts for n in range(0, len(text), _PIECE))


def _longest_text(value: Any) -> int:
    return max(max(map(len, texts), default=0) for texts in _texts(value))


def _texts(value: Any) -> Iterator[list[str]]:
    """All texts, keys among them, of a plain value: by level, which goes at the speed of C."""
    if isinstance(value, str):
        yield [value]
        return
    level = [value]
    while level:
        dicts, lists = _dicts_and_lists(level)
        texts = [child for child in _children(dicts, lists) if isinstance(child, str)]
        yield [*texts, *chain.from_iterable(dicts)]
        level = [child for child in _children(dicts, lists) if type(child) in _CONTAINERS]


def _dicts_and_lists(level: list[Any]) -> tuple[list[dict[str, Any]], list[Any]]:
    dicts = [item for item in level if type(item) is dict]
    if len(dicts) == len(level):
        return dicts, []
    return dicts, [item for item in level if type(item) is not dict]


def _children(dicts: list[dict[str, Any]], lists: list[Any]) -> Iterator[Any]:
    return chain(chain.from_iterable(map(dict.values, dicts)), chain.from_iterable(lists))
