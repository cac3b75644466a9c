"""What an engine reads as the value of a metric, or as its time. Pure; loaded on first use.

Each function returns what a value stands for, or raises `RefusedError`.
"""

from __future__ import annotations

from kestra._values.text import (
    MAX_DIGITS,
    RefusedError,
    converted,
    is_finite,
    scalar_text,
    type_name,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_SECONDS = 9_223_372_036  # of a timer: the engine counts its nanoseconds in 64 bits

_LARGEST_FLOAT = 1.7976931348623157e308
_DECIMAL = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_NUMBER = rf"{_DECIMAL}(?:[eE][+-]?[0-9]+)?"
_TRIMMED = "".join(map(chr, range(ord(" ") + 1)))  # by Java, at both ends of a number
_ISO_DURATION = (
    r"(?i:[+-]?P(?=.)(?:([+-]?[0-9]+)D)?"
    r"(?:T(?=.)(?:([+-]?[0-9]+)H)?(?:([+-]?[0-9]+)M)?(?:([+-]?[0-9]+(?:\.[0-9]{1,9})?)S)?)?)"
)
_INSTANT = (
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.[0-9]*)?)?"
    r"(?:[Zz]|[+-]([0-9]{2})(?::?([0-9]{2}))?)"
)
_HOUR = 60  # minutes
_MOST_OFFSET = 18 * _HOUR  # that Java takes


def finite_number(value: Any) -> Any:
    """A counter's or gauge's: a finite number, or text that is one (an environment variable)."""
    if not isinstance(value, str):
        return _number(value)
    import re

    text = value.strip(_TRIMMED)
    if not (len(value) <= MAX_DIGITS and re.fullmatch(_NUMBER, text) and is_finite(float(text))):
        raise RefusedError(ValueError, "is text that is not a finite number: convert it first")
    return value


def seconds(value: Any) -> Any:
    """A timer's: seconds, a timedelta, or text that is either (`"1.5"`, `"PT1.5S"`)."""
    if type_name(value) == "numpy.timedelta64":
        value = converted(value)
    if isinstance(value, str):
        amount = _seconds_of_text(value)
    else:
        value = amount = _number(
            value.total_seconds() if hasattr(value, "total_seconds") else value
        )
    if not -MAX_SECONDS <= amount <= MAX_SECONDS:
        raise RefusedError(
            ValueError,
            f"is beyond {MAX_SECONDS:,} seconds, more than the engine can count: "
            "a timer is given in seconds",
        )
    return value


def _seconds_of_text(text: str) -> float:
    import re

    if re.fullmatch(_DECIMAL, number := text.strip(_TRIMMED)):
        if "-" in text and "." in text:
            raise RefusedError(
                ValueError,
                "is a negative fraction as text, which the engine misreads: send a number",
            )
        return float(number)
    duration = re.fullmatch(_ISO_DURATION, text)
    if duration is None:
        raise RefusedError(
            ValueError,
            "is text that is neither seconds nor an ISO 8601 duration: send a number of seconds",
        )
    return sum(
        float(amount or 0) * unit
        for amount, unit in zip(duration.groups(), (86_400, 3_600, 60, 1), strict=True)
    )


def _number(value: Any) -> int | float:
    """A finite number of any library: int, float, Decimal, Fraction, a NumPy scalar."""
    # All numbers have this method but NumPy's integers.
    plain: Any = value if hasattr(value, "as_integer_ratio") else converted(value)
    if isinstance(plain, bool) or not hasattr(plain, "as_integer_ratio"):
        raise RefusedError(TypeError, f"is of type {type_name(value)}: it must be a finite number")
    try:
        number = plain if isinstance(plain, int) else float(plain)
        if abs(number) <= _LARGEST_FLOAT:
            return number
    except (OverflowError, ValueError):  # a Fraction beyond it; a signalling NaN
        pass
    raise RefusedError(ValueError, "is not finite: leave such a metric out")


def instant(value: object) -> object:
    """A metric's: an instant; seconds since 1970 are one, a datetime without a zone is none."""
    plain = converted(value)
    is_instant = (
        _is_instant(plain)
        if isinstance(plain, str)
        else scalar_text(plain) is not None and not isinstance(plain, bool)
    )
    if not is_instant:
        raise RefusedError(
            ValueError,
            "must be an instant: a datetime with a time zone, such as datetime.now(timezone.utc)",
        )
    return plain


def _is_instant(text: str) -> bool:
    import re
    from datetime import datetime

    found = re.fullmatch(_INSTANT, text)
    if found is None:
        return False
    *moment, hours, minutes = (int(part or 0) for part in found.groups())
    try:
        datetime(*moment)  # type: ignore[arg-type]  # noqa: DTZ001  # is there such a day, and time?
    except ValueError:
        return False
    return minutes < _HOUR and hours * _HOUR + minutes <= _MOST_OFFSET
