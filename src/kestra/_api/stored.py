"""What a key-value store keeps: which values come back as they were put, and how they are sent.

Measured on 1.3 and 2.0. The body of a PUT is read as Ion: of what is not JSON, only a date and a
moment in UTC are recognised. What would come back as something else is refused.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import date, datetime, timedelta
from math import isfinite
from typing import Any

from kestra._values.text import type_name
from kestra._values.times import iso_duration, parse_instant, utc_text

LARGEST = 10 * 1024 * 1024  # bytes of a body
_LARGEST_NUMBER = 10**4_000  # Python refuses to read much longer text as a number
_LONGEST_KEY = 250  # the name of a file on the server
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TAKEN = "inheritance"  # where the server lists the keys of the parents
_HEADER = re.compile(r"(?!\s)[ -~\x80-\xff]*(?<!\s)")  # what is sent in a header as it is
# A text that the server takes, or may take, for a duration.
_DURATION = re.compile(
    r"P(?=[^T]|T.)(?:([0-9]*)D)?(?:T(?:([0-9]*)H)?(?:([0-9]*)M)?(?:([0-9]*)([.,][0-9]*)?S)?)?",
    re.IGNORECASE,
)
_SECOND = timedelta(seconds=1)


def is_key(key: object) -> bool:
    is_right = isinstance(key, str) and bool(_KEY.fullmatch(key)) and len(key) <= _LONGEST_KEY
    return is_right and key != _TAKEN


def is_duration(text: str) -> bool:
    return bool(_DURATION.fullmatch(text))


def checked_key(key: Any) -> str:
    """Return a key that the server does not refuse."""
    if not isinstance(key, str):
        raise TypeError(f"key must be a string, not {type(key).__name__}")
    if key == _TAKEN:
        raise ValueError(f"key must not be {_TAKEN!r}: the server shows something else there")
    if not is_key(key):
        raise ValueError(
            f"key must begin with an ASCII letter or digit, have only these and '.', '_' and '-', "
            f"and be at most {_LONGEST_KEY} characters long: {key[:60]!r}"
        )
    return key


def put_request(
    key: Any, value: Any, ttl: Any = None, description: Any = None
) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a PUT, if all of it is kept as it is."""
    checked_key(key)
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    if ttl is not None:
        headers["ttl"] = _ttl(ttl)
    if description is not None and not isinstance(description, str):
        raise TypeError(f"description must be a string, not {type(description).__name__}")
    if description and not _HEADER.fullmatch(description):
        raise ValueError(
            "description must be one line of Latin-1 characters without spaces around it: "
            "it is sent as a header, and others would be changed"
        )
    if description:
        headers["description"] = description
    return body(value, f"kv[{key!r}]"), headers


def _ttl(ttl: Any) -> str:
    if isinstance(ttl, bool) or not isinstance(ttl, int | float | timedelta):
        raise TypeError(f"ttl must be a timedelta or seconds, not {type(ttl).__name__}")
    try:
        duration = ttl if isinstance(ttl, timedelta) else timedelta(seconds=ttl)
    except (OverflowError, ValueError):
        raise ValueError(f"ttl must be seconds that a timedelta can hold, not {ttl}") from None
    if duration <= timedelta(0):
        raise ValueError(f"ttl must be more than 0 seconds, not {ttl}")
    return iso_duration(duration)


def body(value: Any, path: str) -> bytes:
    """Return the body of a PUT for a value that comes back equal; an error names its path."""
    try:
        text = utf8(_text(value, path), path)
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply, or contains itself") from None
    if len(text) > LARGEST:
        raise ValueError(
            f"{path} is {len(text):,} bytes as JSON, and the store takes {LARGEST:,}: write it to "
            "a file of the namespace, and store its path"
        )
    return text


def utf8(text: str, path: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{path} has a lone surrogate, which is not a character") from None


def _text(value: Any, path: str) -> str:
    if value is None:
        raise ValueError(
            f"{path} must not be None, which the store does not tell from an empty text: "
            "delete the key instead"
        )
    if isinstance(value, datetime):
        return _moment(value, path)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        if value < timedelta(0) or value % _SECOND:
            raise ValueError(
                f"{path} must be a timedelta of whole seconds, 0 or more: the store keeps others "
                "as text; put value.total_seconds()"
            )
        return json.dumps(iso_duration(value))
    if isinstance(value, str) and is_duration(value):
        raise ValueError(
            f"{path} is a text that the store takes for a duration: put a timedelta, or the text "
            'in a list or a dict, as in {"text": …}'
        )
    _check(value, path)
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _moment(value: datetime, path: str) -> str:
    if value.utcoffset() is None:
        raise ValueError(
            f"{path} must be a datetime with an offset, as of datetime.now(timezone.utc) or "
            "value.astimezone(): the store keeps no others"
        )
    if value.microsecond % 1_000 or getattr(value, "nanosecond", 0):  # of a pandas.Timestamp
        raise ValueError(
            f"{path} must be a datetime of whole milliseconds, since the store cuts the rest: put "
            "value.replace(microsecond=0), or value.isoformat() as text"
        )
    try:
        return utc_text(value, "milliseconds" if value.microsecond else "seconds")
    except OverflowError:
        raise ValueError(f"{path} must be in the years 1 to 9999 of UTC") from None


def _check(value: Any, path: str) -> None:
    """Refuse what JSON does not hold, or gives back as something else."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(
                    f"{path} must have strings as keys, as JSON has, not {type(key).__name__}"
                )
            _check(item, f"{path}[{key!r}]")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]")
    elif isinstance(value, float):
        if not isfinite(value):
            raise ValueError(
                f"{path} is {value}, which JSON cannot hold: put text, or None in a list or a dict"
            )
    elif isinstance(value, int) and abs(value) >= _LARGEST_NUMBER:
        raise ValueError(f"{path} is a number of more than 4,000 digits: put it as text")
    elif not isinstance(value, str | int | None):
        raise TypeError(f"{path} is a {type_name(value)}{_remedy(value)}")


def _remedy(value: Any) -> str:
    if isinstance(value, date | timedelta):
        return " within a list or a dict, where it would come back as text: put its text"
    if isinstance(value, tuple | set | frozenset):
        return ", and would come back as a list: put list(value)"
    return ": the store keeps what JSON holds, and date, datetime and timedelta"


def value_of(entry: dict[str, Any]) -> Any:
    """Return the value in the response to a GET; a text that is not of its type stays text."""
    value, kind = entry.get("value"), entry.get("type")
    if not isinstance(value, str):
        return value
    if kind == "NUMBER":
        with suppress(ValueError):
            return float(value.replace("Infinity", "inf"))
    if kind == "DATE":
        with suppress(ValueError):
            return date.fromisoformat(value)
    if kind == "DATETIME":
        return parse_instant(value) or value
    if kind == "DURATION" and (match := _DURATION.fullmatch(value)):
        with suppress(OverflowError, ValueError):
            days, hours, minutes, seconds = (int(each or 0) for each in match.groups()[:4])
            fraction = float(f"0{(match[5] or '.0').replace(',', '.')}")
            return timedelta(days, seconds + fraction, hours=hours, minutes=minutes)
    return value
