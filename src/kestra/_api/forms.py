"""What a value becomes on its way to the server: a form field, a file part, a label. Pure.

The one exception is a path: `form` opens it, and the caller closes it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from kestra._api.models import CORRELATION
from kestra._http.multipart import is_content

if TYPE_CHECKING:
    from contextlib import ExitStack

# What `requests` takes as the value of `files`: a field is `(None, text)`.
Part = tuple[Any, ...]


@singledispatch
def text_of(value: Any) -> str:
    """Return the text that the engine reads a value from.

    Anything that is not registered below is sent as `str(value)`.
    """
    return str(value)


@text_of.register
def _(value: Enum) -> str:
    return text_of(value.value)


@text_of.register
def _(value: bool) -> str:
    return "true" if value else "false"


@text_of.register
def _(value: datetime) -> str:
    # The engine refuses a date and time without an offset; one that has none means local time.
    return (value if value.utcoffset() is not None else value.astimezone()).isoformat()


@text_of.register(date)
@text_of.register(time)
def _(value: date | time) -> str:
    return value.isoformat()


@text_of.register
def _(value: timedelta) -> str:
    return iso_duration(value)


@text_of.register
def _(value: Decimal) -> str:
    return format(value, "f")


@text_of.register(Mapping)
@text_of.register(list)
def _(value: Mapping | list) -> str:  # type: ignore[type-arg]
    return json.dumps(_json_ready(value), ensure_ascii=False)


def iso_duration(value: timedelta) -> str:
    """Return a duration as the engine reads it: `PT…S`, in seconds."""
    microseconds = value // timedelta(microseconds=1)
    seconds, fraction = divmod(abs(microseconds), 1_000_000)
    digits = f".{fraction:06d}".rstrip("0") if fraction else ""
    return f"PT{'-' if microseconds < 0 else ''}{seconds}{digits}S"


@singledispatch
def _json_ready(value: Any) -> Any:
    """Return a value in a form that `json.dumps` writes, and that the engine reads."""
    return value


@_json_ready.register
def _(value: Mapping) -> Any:  # type: ignore[type-arg]
    return {text_of(k): _json_ready(v) for k, v in value.items()}


@_json_ready.register(list)
@_json_ready.register(tuple)
def _(value: list | tuple) -> Any:  # type: ignore[type-arg]
    return [_json_ready(item) for item in value]


@_json_ready.register
def _(value: Enum) -> Any:
    return _json_ready(value.value)


@_json_ready.register
def _(value: float) -> Any:
    return value if math.isfinite(value) else None  # JSON has no NaN


@_json_ready.register
def _(value: Decimal) -> Any:
    if not value.is_finite():
        return None
    return int(value) if value == value.to_integral_value() else float(value)


@_json_ready.register(date)
@_json_ready.register(time)
@_json_ready.register(timedelta)
@_json_ready.register(UUID)
@_json_ready.register(os.PathLike)
def _(value: date | time | timedelta | UUID | os.PathLike) -> Any:  # type: ignore[type-arg]
    return text_of(value)


def is_file(value: Any) -> bool:
    """Say whether a value is sent as a file: bytes, a path, an open file, or a tuple."""
    return isinstance(value, bytes | bytearray | memoryview | os.PathLike | tuple) or hasattr(
        value, "read"
    )


def form(inputs: Mapping[str, Any], opened: ExitStack) -> dict[str, Part]:
    """Return inputs as the `files` of a request.

    A file part bears the input's id twice, as part name and as filename: engines before 1.0 look
    at the filename only, later ones at the part name.

    Args:
        inputs: Values by input id. `None` is left out; a tuple is taken as `requests` takes it,
            with a path too.
        opened: Closes the files that are opened here.

    Raises:
        TypeError: The inputs are no mapping, an id is no string, a value cannot be written as
            JSON, or a tuple is no file.
        ValueError: A text cannot be sent because it holds a lone surrogate.
        OSError: A path cannot be opened.
    """
    if not isinstance(inputs, Mapping):
        raise TypeError(f"inputs must be a mapping by input id, not {type(inputs).__name__}")
    parts: dict[str, Part] = {}
    for name, value in inputs.items():
        if not isinstance(name, str):
            raise TypeError(f"inputs must have strings as ids, not {type(name).__name__}")
        if value is None:
            continue
        if isinstance(value, tuple):
            parts[name] = _file_part(name, value, opened)
        elif isinstance(value, os.PathLike):
            file = Path(value).open("rb")  # noqa: SIM115  # for the caller to close
            parts[name] = (name, opened.enter_context(file))
        elif isinstance(value, bytes | bytearray | memoryview):
            parts[name] = (name, bytes(value))
        elif hasattr(value, "read"):
            parts[name] = (name, value)
        else:
            parts[name] = (None, _sendable(name, value))
    return parts


def _file_part(name: str, value: Part, opened: ExitStack) -> Part:
    """Return a tuple as `requests` takes it: a path in it is opened."""
    if not 2 <= len(value) <= 4:  # noqa: PLR2004  # as `requests` documents it
        raise TypeError(
            f"inputs[{name!r}] must be a tuple of filename, file, and perhaps content type and "
            "headers"
        )
    filename, content, *rest = value
    if isinstance(content, os.PathLike):
        file = Path(content).open("rb")  # noqa: SIM115  # for the caller to close
        return (filename, opened.enter_context(file), *rest)
    if not is_content(content):
        raise TypeError(
            f"inputs[{name!r}] must have a path, an open file, bytes or text as its file, "
            f"not {type(content).__name__}"
        )
    return value


def _sendable(name: str, value: Any) -> str:
    """Return the text of an input, or an error that names the input and not its value."""
    try:
        text = text_of(value)
    except TypeError:
        raise TypeError(f"inputs[{name!r}] contains a value that JSON cannot express") from None
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"inputs[{name!r}] has a lone surrogate, which takes the engine down"
        ) from None
    return text


def labels_of(inputs: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels that inputs make; those that the server would refuse are left out."""
    made = {k: text_of(v) for k, v in inputs.items() if v is not None and not is_file(v)}
    return {k: v for k, v in made.items() if k != CORRELATION and not _label_fault(k, v)}


def checked_labels(labels: Mapping[str, Any]) -> dict[str, str]:
    """Return explicit labels as text.

    Raises:
        TypeError: The labels are no mapping.
        ValueError: The server would refuse one; the message names its key.
    """
    if not isinstance(labels, Mapping):
        raise TypeError(f"labels must be a mapping, not {type(labels).__name__}")
    checked = {}
    for key, value in labels.items():
        text = "" if value is None else text_of(value)
        if fault := _label_fault(key, text):
            raise ValueError(f"labels[{key!r}] {fault}")
        checked[key] = text
    return checked


def _label_fault(key: str, value: str) -> str:
    """Say why the server would refuse a label, or nothing."""
    text = f"{key}{value}"
    faults = {
        "must have a string that is not empty as its key": not isinstance(key, str) or not key,
        "must not have white space in its key": any(character.isspace() for character in str(key)),
        "must not have a colon in its key, where the server splits it": ":" in str(key),
        f"is reserved: of system labels, only {CORRELATION} may be set": (
            str(key).startswith("system.") and key != CORRELATION
        ),
        "must have a value": not value.strip(),
        "has a lone surrogate, which cannot be sent": any("\ud800" <= c <= "\udfff" for c in text),
    }
    return next((fault for fault, true in faults.items() if true), "")
