"""JSON as the engine's library, Jackson, reads it: what it refuses and what it converts."""

from __future__ import annotations

import json
import re
import sys
import threading
from fractions import Fraction
from itertools import chain
from math import inf, nan
from typing import Any, NoReturn

MAX_NESTING = 1_000
MAX_STRING = 20_000_000  # in UTF-16 code units; of keys too
MAX_DIGITS = 1_000

_MAX_LONG = 2**63 - 1
_NANOSECONDS = 10**9
_TRIMMED = "".join(map(chr, range(0x21)))
_DOUBLES = {"": None, "null": None, "NaN": nan, "Infinity": inf, "INF": inf, "-Infinity": -inf,
            "-INF": -inf}  # fmt: skip
_DOUBLE = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SECONDS = re.compile(r"(?P<sign>[+-]?)(?=\.?[0-9])(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?")
_DURATION = re.compile(
    r"(?P<sign>[+-]?)P(?=.)(?:(?P<days>[+-]?[0-9]+)D)?"
    r"(?:T(?=.)(?:(?P<hours>[+-]?[0-9]+)H)?(?:(?P<minutes>[+-]?[0-9]+)M)?"
    r"(?:(?P<seconds>[+-]?[0-9]+)(?:[.,](?P<fraction>[0-9]{0,9}))?S)?)?",
    re.IGNORECASE,
)


class Refused(ValueError):  # what happens in the engine, not an error of this package
    """Jackson raises on this: the engine drops the whole frame."""


class Double(float):
    """A number with a fraction or an exponent. Where text is wanted it stays as written."""

    __slots__ = ("literal",)
    literal: str

    def __new__(cls, literal: str) -> Double:  # noqa: PYI034  # Self came with Python 3.11
        if len(literal) > MAX_DIGITS:
            digits = re.sub("[^0-9]", "", literal)
            _limit_digits(len(digits) - digits.startswith("0"))
        number = super().__new__(cls, literal)
        number.literal = literal
        return number


def read_json(text: str) -> tuple[Any, str]:
    """Read the first value of `text`; the rest, which the engine ignores, comes second."""
    try:
        value, end = _read(text)
    except json.JSONDecodeError as error:
        hint = {"'": ": strings take double quotes", "/": ": JSON has no comments"}
        reason = f"invalid JSON, {error.msg} at character {error.pos + 1}"
        raise Refused(reason + hint.get(text[error.pos : error.pos + 1], "")) from None
    except RecursionError:
        raise Refused(_TOO_DEEP) from None
    brackets = text.count("{", 0, end) + text.count("[", 0, end)
    if brackets > MAX_NESTING or 2 * end > MAX_STRING:  # a character takes at most two units
        _check_limits(value)
    return value, text[end:]


def trim(text: str) -> str:
    """Strip what Java's `String.trim` strips."""
    return text.strip(_TRIMMED)


# Each of these takes an object, the name of a field in it, and where it stands, for the message.


def as_text(entry: dict[str, Any], name: str, where: str) -> str | None:
    """Convert where the engine wants text: scalars as they were written."""
    value = entry.get(name)
    if isinstance(value, (dict, list)):
        raise Refused(f"{where}{name} must be text")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Double):
        return value.literal
    return None if value is None else str(value)


def as_double(entry: dict[str, Any], name: str, where: str) -> float | None:
    """Convert where the engine wants a number: text that holds one will do."""
    value = entry.get(name)
    if value is None:
        return None
    if isinstance(value, (bool, dict, list)):
        raise Refused(f"{where}{name} must be a number")
    if isinstance(value, str):
        value = trim(value)
        if value in _DOUBLES:
            return _DOUBLES[value]
        _limit_digits(len(value))
        if not _DOUBLE.fullmatch(value):
            raise Refused(f"{where}{name} is text, but not a number")
    return float(str(value))  # infinite, where a number itself would overflow


def as_nanoseconds(entry: dict[str, Any], name: str, where: str) -> int | None:
    """Convert where the engine wants a duration: seconds, or ISO 8601 as in `PT1.5S`."""
    value, name = entry.get(name), f"{where}{name}"
    if value is None:
        return None
    if isinstance(value, (bool, dict, list)):
        raise Refused(f"{name} must be a duration: send seconds")
    if isinstance(value, str):
        return _nanoseconds_of_text(trim(value), name)
    if isinstance(value, Double):
        if not 1e-9 <= abs(value) < 1e64:  # noqa: PLR2004  # Jackson takes the huge for zero too
            return 0
        return int(Fraction(value.literal) * _NANOSECONDS)
    if abs(value) > _MAX_LONG:
        raise Refused(f"{name} is beyond 64 bits")
    return int(value) * _NANOSECONDS


def as_list(entry: dict[str, Any], name: str, where: str = "") -> list[tuple[str, Any]]:
    """Return where each item stands, and the item; `null` is an empty list."""
    value = entry.get(name)
    if value is not None and not isinstance(value, list):
        raise Refused(f"{where}{name} must be a list")
    return [(f"{where}{name}[{i}]", item) for i, item in enumerate(value or ())]


def as_object(value: Any, name: str) -> dict[str, Any]:
    """Return an object that is no field; `null` is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused(f"{name} must be an object")
    return value


def _integer(literal: str) -> int:
    _limit_digits(len(literal.lstrip("-")))
    return int(literal)


def _constant(name: str) -> NoReturn:
    raise Refused(f"{name} is not valid JSON: send null")


_DECODER = json.JSONDecoder(parse_float=Double, parse_int=_integer, parse_constant=_constant)
_TOO_DEEP = f"nested deeper than {MAX_NESTING:,} levels"
_deeper = threading.Lock()


def _read(text: str) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text)
    except RecursionError:  # up to Python 3.11 the nesting counts as calls, and the caller's do too
        with _deeper:
            limit = sys.getrecursionlimit()
            sys.setrecursionlimit(limit + MAX_NESTING)
            try:
                return _DECODER.raw_decode(text)
            finally:
                sys.setrecursionlimit(limit)


def _limit_digits(count: int) -> None:
    if count > MAX_DIGITS:
        raise Refused(f"a number of {count:,} digits; {MAX_DIGITS:,} are allowed")


def _check_limits(root: Any) -> None:
    level = [root]
    for _ in range(MAX_NESTING):
        values = [value for it in level for value in (it.values() if isinstance(it, dict) else it)]
        keys = (key for it in level if isinstance(it, dict) for key in it)
        for text in chain(keys, values):
            if isinstance(text, str) and 2 * len(text) > MAX_STRING:
                length = len(text) + sum(character > "\uffff" for character in text)
                if length > MAX_STRING:
                    raise Refused(f"a string of {length:,} characters; {MAX_STRING:,} are allowed")
        level = [value for value in values if isinstance(value, (dict, list))]
        if not level:
            return
    raise Refused(_TOO_DEEP)


def _nanoseconds_of_text(text: str, name: str) -> int | None:
    if not text:
        return None
    _limit_digits(len(text))
    if match := _SECONDS.fullmatch(text):
        whole = int(f"{match['sign']}{match['whole'] or 0}")
        fraction = _fraction(match["fraction"])
        # As Jackson does: to the -1 of "-1.5" the half is added, which gives -0.5.
        negative = match["sign"] == "-" and not whole
        return whole * _NANOSECONDS + (-fraction if negative else fraction)
    match = _DURATION.fullmatch(text)
    if not match:
        raise Refused(f"{name} is text, but not a duration: send seconds, or PT1.5S")
    days, hours, minutes, seconds = (
        int(match[part] or 0) for part in ("days", "hours", "minutes", "seconds")
    )
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if abs(total) > _MAX_LONG:
        raise Refused(f"{name} is beyond 64 bits")
    fraction = _fraction(match["fraction"])
    if (match["seconds"] or "").startswith("-"):
        fraction = -fraction
    return (total * _NANOSECONDS + fraction) * (-1 if match["sign"] == "-" else 1)


def _fraction(digits: str | None) -> int:
    return int((digits or "")[:9].ljust(9, "0"))
