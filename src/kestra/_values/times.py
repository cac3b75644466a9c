"""Durations and times as text, and back. Pure; loaded on first use."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from numbers import Real

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_INSTANT = (
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?(?:\.([0-9]+))?"
    r"(?:([Zz])|([+-][0-9]{2}):?([0-9]{2})?)"
)


def as_seconds(name: str, value: Any) -> float:
    """Return an argument that is 0 or more seconds, as what the system waits for."""
    kind = type(value)
    if not issubclass(kind, Real):
        raise TypeError(f"{name} must be a number of seconds, not {kind.__name__}")
    if not value >= 0:
        raise ValueError(f"{name} must be 0 or more seconds")
    return float(value)


def iso_duration(duration: timedelta | int) -> str:
    """A timedelta, or nanoseconds, in the hours, minutes and seconds that `java.time` writes."""
    if isinstance(duration, timedelta):
        duration = duration // timedelta(microseconds=1) * 1_000
    sign = "-" if duration < 0 else ""
    seconds, fraction = divmod(abs(duration), 1_000_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}H" * bool(hours) + f"{minutes}M" * bool(minutes)
    if seconds or fraction or not text:
        text += f"{seconds}.{fraction:09d}".rstrip("0").rstrip(".") + "S"
    return f"{sign}PT{text}"


def parse_instant(text: object) -> datetime | None:
    """The time that ISO 8601 text with `Z` or an offset says, to the microsecond; None of others.

    Servers write up to nine decimals. Python 3.10 reads three or six, and no `Z`.
    """
    import re

    match = re.fullmatch(_INSTANT, text) if isinstance(text, str) else None
    if match is None:
        return None
    day, minutes, seconds, decimals, z, hours, rest = match.groups()
    fraction = (decimals or "")[:6].ljust(6, "0")
    offset = "+00:00" if z else f"{hours}:{rest or '00'}"
    try:
        return datetime.fromisoformat(f"{day}T{minutes}{seconds or ':00'}.{fraction}{offset}")
    except ValueError:
        return None


def utc_text(moment: datetime, timespec: str = "microseconds") -> str:
    """A datetime with an offset as ISO 8601 text in UTC, with `Z`."""
    return moment.astimezone(timezone.utc).isoformat(timespec=timespec).removesuffix("+00:00") + "Z"


def instant_text(moment: Any) -> str:
    """A datetime as ISO 8601 text with its offset; one that has none is local time.

    One of pandas may have nanoseconds, which are kept.
    """
    if moment.utcoffset() is not None:
        return str(moment.isoformat())
    parts = (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
    # Made anew: `astimezone` of a pandas Timestamp takes a time zone only.
    naive = datetime(*parts, moment.microsecond, fold=moment.fold)  # noqa: DTZ001  # it is local
    return with_nanoseconds(naive.astimezone(), getattr(moment, "nanosecond", 0))


def with_nanoseconds(moment: datetime, nanoseconds: int) -> str:
    """A datetime with an offset as ISO 8601 text, and up to 999 nanoseconds more."""
    text = moment.isoformat(timespec="microseconds" if nanoseconds else "auto")
    if not nanoseconds:
        return text
    head = len("2026-01-31T10:00:00.123456")
    return f"{text[:head]}{nanoseconds:03d}{text[head:]}"
