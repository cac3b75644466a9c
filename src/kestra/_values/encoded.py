"""Checks of what the C encoder of `json` has written: what it lets through, an engine may not.

Pure. Loaded with the first value that is nested, long, or not in ASCII. Whole levels of nesting
are checked at the speed of C: to visit each value in Python would take longer than the encoding.
"""

from __future__ import annotations

from itertools import chain

from kestra._values.loading import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SCALARS = (str, int, float, type(None))
_CONTAINERS = frozenset({dict, list, tuple})
_TEXT = frozenset({str})
# As `json` escapes it; two that belong together are one character. What follows a backslash of the
# text itself may look like one: `Walk` knows.
_LONE_SURROGATE = r"\\ud(?:(?<=\\\\ud)|[89ab]..(?!\\ud[c-f])|[c-f](?<!\\ud[89ab]..\\ud[c-f]))"


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
        dicts = [item for item in level if type(item) is dict]
        # Of many, their names are collected first: rows have the same ones.
        keys = set().union(*dicts) if len(dicts) > 1 else chain.from_iterable(dicts)
        if not _TEXT.issuperset(map(type, keys)):
            return False
        most -= len(level)
        if not most:
            return True
        lists = [item for item in level if type(item) is not dict]
        children = [*chain.from_iterable(map(dict.values, dicts)), *chain.from_iterable(lists)]
        kinds = set(map(type, children))
        if not all(kind in _CONTAINERS or issubclass(kind, _SCALARS) for kind in kinds):
            return False
        level = [child for child in children if type(child) in _CONTAINERS]
        if not level:
            return True
    return False


def is_safe(value: Any, text: str, most_digits: int, most_text: int, *, is_flat: bool) -> bool:
    """Return True if the engine reads this text: no lone surrogate, no over-long number or text.

    `_is_unicode` is quick on few texts, however long, and the search on many.
    """
    if "\\" in text:
        load("re")
        from re import search

        if is_flat and not _is_unicode(value):
            return False
        if not is_flat and search(_LONE_SURROGATE, text):
            return False
    if len(text) <= most_digits:
        return True
    if len(text) >= most_text and _has_long_text(text, most_text):
        return False
    return not _has_long_number(text, most_digits)


def _is_unicode(flat: dict[str, Any]) -> bool:
    try:
        for part in chain(flat, flat.values()):
            if isinstance(part, str):
                str.encode(part)
            elif isinstance(part, dict) and not _is_unicode(part):
                return False
    except UnicodeEncodeError:
        return False
    return True


def _has_long_text(text: str, most: int) -> bool:
    """Return True if so many characters stand between two quotes, escapes included."""
    bare = text.replace(r"\\", "..").replace(r"\"", "..")
    return any(
        bare.find('"', at) - bare.rfind('"', 0, at) > most for at in range(most, len(bare), most)
    )


def _has_long_number(text: str, most_digits: int) -> bool:
    load("re")
    from re import compile as compiled
    from re import finditer

    # A long number holds five neighbouring samples, and so a whole match of three.
    step = most_digits // 5
    digits = compiled(f"[0-9]{{{step * 2}}}")
    return any(
        digits.match(text, sample.start() * step) for sample in finditer("[0-9]{3}", text[::step])
    )
