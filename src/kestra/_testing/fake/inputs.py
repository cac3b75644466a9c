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

from kestra._testing.fake.messages import NOT_IN_URI, Refused, check_uri, invalid

if TYPE_CHECKING:
    from kestra._testing.fake.messages import Part


class SentFile(bytes):
    """The content of a file that was sent as an input."""

    name: str  # as it was sent
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
        if properties.get("type") not in _TYPES:
            raise ValueError(f"inputs[{name!r}] must have a type, one of {', '.join(_TYPES)}")
        checked: dict[str, Any] = {key: properties[key] for key in _CHECKED & properties.keys()}
        made.append(Input(name, **checked))
    return made


def by_id(parts: Iterable[Part], place: str, version: str) -> dict[str, str | SentFile]:
    """Return what was sent, by the id of the input that it is for; `place` is for its files."""
    sent: dict[str, str | SentFile] = {}
    size = 0
    for name, filename, content in parts:
        if filename is None:
            sent[name] = content.decode(errors="replace")
            size += len(content)
            continue
        # For 0.21 the filename counts; later on the name of the part, unless that is `files`.
        key = filename if version == "0.21" or name == "files" else name
        path = f"{place}/{key}/{filename}"
        check_uri(path, "java.net.URISyntaxException: ")
        sent[key] = SentFile.of(content, filename, f"kestra:{path}")
    if version == "2.0" and size > _MOST:
        raise Refused(500, f"Internal server error: MessageTooBigException: above {_MOST} bytes")
    return sent


def read(inputs: list[Input], sent: Mapping[str, str | SentFile], version: str) -> dict[str, Any]:
    """Return the values of a flow's inputs; of those that are refused, the first is reported."""
    return {each.id: _value(each, sent.get(each.id), version) for each in inputs}


def _value(declaration: Input, sent: str | SentFile | None, version: str) -> Any:
    kind = declaration.type
    if isinstance(sent, SentFile) and (sent or version == "0.21"):
        return sent if kind == "FILE" else sent.uri
    if not sent:  # an empty text or file counts as missing
        default = declaration.defaults
        if default is None:
            return _missing(declaration, version)
        sent = default.isoformat() if isinstance(default, date | time) else as_text(default)
    text = str(sent)
    try:
        value = read_as(kind, text)
        items = value if kind in {"ARRAY", "MULTISELECT"} else []
        if not isinstance(items, list):
            raise ValueError  # noqa: TRY004, TRY301  # a refusal of the server, and no error in Python
        for each in items:
            read_as(declaration.itemType, as_text(each))
    except ValueError:
        cause = _cause(kind, text, version)
        if version == "1.3" and kind in _PARSED:  # it does not say which input
            raise Refused(422, f"Invalid entity: {cause}") from None
        raise _refused(declaration, text, cause, version) from None
    chosen = [value] if kind == "SELECT" and version == "2.0" else items
    values = declaration.values if kind.endswith("SELECT") else ()
    if values and (wrong := [each for each in chosen if each not in values]):
        cause = f"it must match the values `[{', '.join(values)}]`"
        if kind == "MULTISELECT" and version != "0.21":
            cause = cause.replace("it must match", f"value `{wrong[0]}` doesn't match")
        raise _refused(declaration, text, cause, version)
    return value


def _cause(kind: str, text: str, version: str) -> str:
    """Return the words of a server for a text that is not of a type."""
    if kind == "EMAIL":
        return "The input must be a valid email"
    if version == "2.0":
        return f"Cannot convert value '{text}' to {_JAVA.get(kind, kind)}"
    if kind not in _PARSED:
        return f'For input string: "{text}"'
    is_duration = kind == "DURATION"
    what = "cannot be parsed to a Duration" if is_duration else f"'{text}' could not be parsed"
    old = f"java.lang.Exception: Expected `{kind}` but received `{text}` with"
    return f"{old if version == '0.21' else ''} errors:\n```\nText {what}\n```"


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _missing(declaration: Input, version: str) -> None:
    if declaration.required and version == "0.21":
        raise _refused(declaration, "null", "missing required input", version)
    if declaration.required:
        raise Refused(422, f"Invalid entity: Missing required input:{declaration.id}")


def _refused(declaration: Input, text: str, cause: str, version: str) -> Refused:
    name = declaration.id
    if version == "0.21":
        return invalid((name, f"Invalid input for `{name}`, {cause}, but received `{text}`"))
    return Refused(422, f"Invalid entity: Invalid value for input `{name}`. Cause: {cause}")


# --- types: how a text looks, and what it means; a ValueError if that is nothing ---------------

_DATE = r"\d{4}-\d\d-\d\d"
_TIME = r"\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?"
_DATETIME = rf"{_DATE}T{_TIME}(?:Z|[+-]\d\d:\d\d)"
_DURATION = (
    r"(?i:[+-]?P(?=.*\d)(?:[+-]?\d+D)?"
    r"(?:T(?=.)(?:[+-]?\d+H)?(?:[+-]?\d+M)?(?:[+-]?\d+(?:[.,]\d{0,9})?S)?)?)"
)
_NUMBER = r"\s*[+-]?(NaN|Infinity|(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[fFdD]?)\s*"
_URI = f"(?u:[^{NOT_IN_URI}]*)"
_ANY = r"(?s:.*)"


def read_as(kind: str, text: str) -> Any:
    pattern, meaning = _TYPES.get(kind, _TYPES["STRING"])
    if re.fullmatch(pattern, text, re.ASCII) is None:
        raise ValueError
    return meaning(text)


def _integer(text: str) -> int:
    value = int(text)
    if not -(2**31) <= value < 2**31:
        raise ValueError
    return value


def _number(text: str) -> float:
    """Return a number in single precision: 16777217 is 16777216, 1e39 is infinite."""
    value = float(text.strip().rstrip("fFdD"))
    try:
        packed = struct.pack("<f", value)
    except OverflowError:
        return math.copysign(math.inf, value)
    (single,) = struct.unpack("<f", packed)
    shortest = (float(f"{single:.{digits}g}") for digits in range(1, 10))
    return next(each for each in shortest if struct.pack("<f", each) == packed)


def _portable(text: str) -> str:
    """Return a time as Python 3.10 reads it: with six decimals, and without `Z`."""
    return re.sub(r"\.(\d+)", lambda m: f".{m[1][:6]:0<6}", text).replace("Z", "+00:00")


def _duration(text: str) -> timedelta:
    parts = re.findall(r"([+-]?[\d.]+)([DHMS])", text.upper().replace(",", "."))
    units = {"D": "days", "H": "hours", "M": "minutes", "S": "seconds"}
    try:
        duration = timedelta(**{units[unit]: float(number) for number, unit in parts})
    except OverflowError:
        raise ValueError from None
    return -duration if text.startswith("-") else duration


def _json(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


_JAVA = {"INT": "Integer", "FLOAT": "Float", "DATE": "LocalDate", "DATETIME": "Instant"}
_JAVA |= {"TIME": "LocalTime", "DURATION": "Duration"}
_PARSED = {"DATETIME", "DATE", "TIME", "DURATION", "JSON", "ARRAY", "MULTISELECT"}
_TYPES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "STRING": (_ANY, str),
    "INT": (r"[+-]?\d+", _integer),
    "FLOAT": (_NUMBER, _number),
    "BOOLEAN": (_ANY, lambda text: text.lower() == "true"),  # anything else is false, and no error
    "BOOL": (_ANY, lambda text: text.lower() == "true"),
    "DATETIME": (_DATETIME, lambda text: datetime.fromisoformat(_portable(text))),
    "DATE": (_DATE, date.fromisoformat),
    "TIME": (_TIME, lambda text: time.fromisoformat(_portable(text))),
    "DURATION": (_DURATION, _duration),
    "JSON": (_ANY, _json),
    "YAML": (_ANY, str),
    "URI": (_URI, str),
    "FILE": (_URI, str),
    "ARRAY": (_ANY, _json),
    "SELECT": (_ANY, str),
    "MULTISELECT": (_ANY, _json),
    "SECRET": (_ANY, str),  # as a server does where encryption is configured
    "EMAIL": (r"[^@\s]+@[^@\s]+", str),
    "ENUM": (_ANY, str),
}
