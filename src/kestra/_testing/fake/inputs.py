"""What a flow declares as its inputs, and how a server reads what is sent for them. Pure."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from kestra._testing.fake.messages import Refused, invalid

if TYPE_CHECKING:
    from kestra._testing.fake.messages import Part


class SentFile(bytes):
    """The content of a file that was sent as an input.

    Attributes:
        name: Its name, as it was sent.
        uri: Where the server keeps it.
    """

    name: str
    uri: str

    @classmethod
    def of(cls, content: bytes, name: str, uri: str) -> SentFile:
        file = cls(content)
        file.name, file.uri = name, uri
        return file


@dataclass(frozen=True, slots=True)
class Input:
    """An input that a flow declares; the words are those of a flow in YAML."""

    id: str
    type: str
    required: bool = True
    defaults: Any = None
    values: Sequence[str] = ()
    itemType: str = "STRING"  # noqa: N815  # the word of the YAML


_CHECKED = {"type", "required", "defaults", "values", "itemType"}
# What a flow may say of an input besides, and what makes no difference to a caller.
_UNCHECKED = {"id", "description", "displayName", "extension", "prefill"}
_MOST = 1 << 20  # bytes of inputs that 2.0 can pass on


def declared(inputs: Mapping[str, Any], version: str) -> list[Input]:
    """Return inputs from what a user writes: `{"day": "DATE", "rows": {"type": "INT", …}}`."""
    if not isinstance(inputs, Mapping):
        raise TypeError(f"inputs must be a mapping by input id, not {type(inputs).__name__}")
    made = []
    for name, value in inputs.items():
        properties = value if isinstance(value, Mapping) else {"type": value}
        unknown = properties.keys() - _CHECKED - _UNCHECKED
        if unknown:
            raise ValueError(f"inputs[{name!r}] has {min(unknown)!r}, which is not imitated")
        if properties.get("type") == "BOOLEAN" and version == "2.0":
            raise ValueError(f"inputs[{name!r}] must be a BOOL: 2.0 has no BOOLEAN")
        if properties.get("type") not in _READERS:
            raise ValueError(f"inputs[{name!r}] must have a type, one of {', '.join(_READERS)}")
        checked: dict[str, Any] = {key: properties[key] for key in _CHECKED & properties.keys()}
        made.append(Input(name, **checked))
    return made


def by_id(parts: Iterable[Part], place: str, version: str) -> dict[str, str | SentFile]:
    """Return what was sent, by the id of the input that it is for; `place` is for its files."""
    sent: dict[str, str | SentFile] = {}
    size = 0
    for name, filename, content in parts:
        if filename is None:
            sent[name] = content.decode()
            size += len(content)
            continue
        # For 0.21 the filename counts; later on the name of the part, unless that is `files`.
        key = filename if version == "0.21" or name == "files" else name
        path = f"{place}/{key}/{filename}"
        if illegal := _illegal_in_path(path):
            raise Refused(422, f"Illegal argument: java.net.URISyntaxException: {illegal}")
        sent[key] = SentFile.of(content, filename, f"kestra:{path}")
    if version == "2.0" and size > _MOST:
        raise Refused(500, f"Internal server error: MessageTooBigException: above {_MOST} bytes")
    return sent


def read(inputs: list[Input], sent: Mapping[str, str | SentFile], version: str) -> dict[str, Any]:
    """Return the values of a flow's inputs: those that are missing are `None`, as on the server.

    Of those that are refused, only the first one is reported.
    """
    return {each.id: _value(each, sent.get(each.id), version) for each in inputs}


def _value(declaration: Input, sent: str | SentFile | None, version: str) -> Any:
    if isinstance(sent, SentFile) and (sent or version == "0.21"):
        return sent if declaration.type == "FILE" else sent.uri
    if not sent:  # an empty text or file counts as missing
        default = declaration.defaults
        if default is None:
            if declaration.required:
                raise _missing(declaration.id, version)
            return None
        is_time = isinstance(default, date | time)
        sent = default.isoformat() if is_time else _as_text(default)
    is_select = declaration.type == "SELECT"
    try:
        value = _READERS[declaration.type](str(sent))
        if declaration.type in {"ARRAY", "MULTISELECT"}:
            _check_items(value, declaration)
        if declaration.type == "MULTISELECT" or (is_select and version == "2.0"):
            _check_choices([value] if is_select else value, declaration)
    except ValueError as error:
        raise _unreadable(declaration, str(sent), error, version) from None
    return value


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _check_items(value: Any, declaration: Input) -> None:
    if not isinstance(value, list):
        raise ValueError  # noqa: TRY004  # a refusal of the server, and no error in Python
    for each in value:
        _READERS.get(declaration.itemType, str)(_as_text(each))


def _check_choices(chosen: list[Any], declaration: Input) -> None:
    if declaration.values and any(each not in declaration.values for each in chosen):
        raise _NotAllowedError(f"it must match the values `[{', '.join(declaration.values)}]`")


# --- refusals --------------------------------------------------------------------------------


class _NotAllowedError(ValueError):
    """A value that is not among those that are declared."""


def _missing(name: str, version: str) -> Refused:
    if version == "0.21":
        text = f"Invalid input for `{name}`, missing required input, but received `null`"
        return invalid((name, text))
    return Refused(422, f"Invalid entity: Missing required input:{name}")


def _unreadable(declaration: Input, sent: str, error: ValueError, version: str) -> Refused:
    name, kind = declaration.id, declaration.type
    is_choice = isinstance(error, _NotAllowedError)
    cause = str(error) if is_choice else f"Cannot convert value '{sent}' to {kind}"
    if version == "0.21":
        return invalid((name, f"Invalid input for `{name}`, {cause}, but received `{sent}`"))
    if version == "1.3" and kind in _PARSED and not is_choice:  # it does not say which input
        return Refused(422, f"Invalid entity:  errors:\n```\n{cause}\n```")
    return Refused(422, f"Invalid entity: Invalid value for input `{name}`. Cause: {cause}")


# --- types: what a text means, or a ValueError -----------------------------------------------

_DATE = r"\d{4}-\d\d-\d\d"
_TIME = r"\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?"
_OFFSET = r"(?:Z|[+-]\d\d:\d\d)"
_DURATION = (
    r"P(?:([+-]?\d+)D)?"
    r"(?:T(?:([+-]?\d+)H)?(?:([+-]?\d+)M)?(?:([+-]?\d+(?:\.\d{0,9})?)S)?)?"
)
_NUMBER = r"\s*[+-]?(NaN|Infinity|(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)\s*"


def _checked(pattern: str, text: str) -> re.Match[str]:
    match = re.fullmatch(pattern, text, re.ASCII)
    if match is None:
        raise ValueError
    return match


def _integer(text: str) -> int:
    value = int(_checked(r"[+-]?\d+", text)[0])
    if not -(2**31) <= value < 2**31:
        raise ValueError
    return value


def _number(text: str) -> float:
    """Return a number in single precision: 16777217 is 16777216, 1e39 is infinite."""
    value = float(_checked(_NUMBER, text)[0])
    try:
        packed = struct.pack("<f", value)
    except OverflowError:
        return math.copysign(math.inf, value)
    (single,) = struct.unpack("<f", packed)
    shortest = (float(f"{single:.{digits}g}") for digits in range(1, 10))
    return next(each for each in shortest if struct.pack("<f", each) == packed)


def _boolean(text: str) -> bool:
    return text.lower() == "true"  # anything else is false, and no error


def _email(text: str) -> str:
    return _checked(r"[^@\s]+@[^@\s]+", text)[0]


def _uri(text: str) -> str:
    if _illegal_in_path(text):
        raise ValueError
    return text


def _illegal_in_path(path: str) -> str | None:
    """Return what is said of a path with a character that has to be encoded in it."""
    match = re.search(r'[\s\[\]"<>\\^`{|}]', path)
    return f"Illegal character in path at index {match.start()}: {path}" if match else None


def _portable(text: str) -> str:
    """Return a time as Python 3.10 reads it: with six decimals, and without `Z`."""
    return re.sub(r"\.(\d+)", lambda m: f".{m[1][:6]:0<6}", text).replace("Z", "+00:00")


def _datetime(text: str) -> datetime:
    return datetime.fromisoformat(_portable(_checked(f"{_DATE}T{_TIME}{_OFFSET}", text)[0]))


def _date(text: str) -> date:
    return date.fromisoformat(_checked(_DATE, text)[0])


def _time(text: str) -> time:
    return time.fromisoformat(_portable(_checked(_TIME, text)[0]))


def _duration(text: str) -> timedelta:
    match = _checked(_DURATION, text)
    if not any(match.groups()):
        raise ValueError
    days, hours, minutes, seconds = (float(each or 0) for each in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


_PARSED = {"DATETIME", "DATE", "TIME", "DURATION", "JSON", "ARRAY", "MULTISELECT"}
_READERS: dict[str, Callable[[str], Any]] = {
    "STRING": str,
    "INT": _integer,
    "FLOAT": _number,
    "BOOLEAN": _boolean,
    "BOOL": _boolean,
    "DATETIME": _datetime,
    "DATE": _date,
    "TIME": _time,
    "DURATION": _duration,
    "JSON": json.loads,
    "YAML": str,
    "URI": _uri,
    "FILE": _uri,
    "ARRAY": json.loads,
    "SELECT": str,
    "MULTISELECT": json.loads,
    "SECRET": str,  # as a server does where encryption is configured
    "EMAIL": _email,
    "ENUM": str,
}
