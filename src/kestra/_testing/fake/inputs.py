"""What a flow declares as its inputs, and how a server reads what is sent for them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from kestra._api.forms import text_of
from kestra._testing.fake.refused import Refused


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
        """Return a file."""
        file = cls(content)
        file.name, file.uri = name, uri
        return file


Sent = Mapping[str, "str | SentFile"]
Part = tuple[str, "str | None", bytes]  # name, filename (of a file only) and content


@dataclass(frozen=True, slots=True)
class Input:
    """An input that a flow declares; the words are those of a flow in YAML."""

    id: str
    type: str
    required: bool = True
    defaults: Any = None
    values: Sequence[str] = ()


_CHECKED = {"type", "required", "defaults", "values"}
# What a flow may say of an input besides, and what makes no difference to a caller.
_UNCHECKED = {"id", "description", "displayName", "itemType", "extension", "prefill"}


def declared(inputs: Mapping[str, Any]) -> list[Input]:
    """Return inputs from what a user writes: `{"day": "DATE", "rows": {"type": "INT", …}}`.

    Raises:
        TypeError: It is no mapping, such as the list that a flow in YAML has.
        ValueError: There is no such type, or no such property.
    """
    if not isinstance(inputs, Mapping):
        raise TypeError(f"inputs must be a mapping by input id, not {type(inputs).__name__}")
    made = []
    for name, value in inputs.items():
        properties = value if isinstance(value, Mapping) else {"type": value}
        unknown = properties.keys() - _CHECKED - _UNCHECKED
        if unknown:
            raise ValueError(f"inputs[{name!r}] has {min(unknown)!r}, which is not imitated")
        if properties.get("type") not in _READERS:
            raise ValueError(f"inputs[{name!r}] must have a type, one of {', '.join(_READERS)}")
        checked: dict[str, Any] = {key: properties[key] for key in _CHECKED & properties.keys()}
        made.append(Input(name, **checked))
    return made


def read(inputs: list[Input], sent: Sent, version: str) -> dict[str, Any]:
    """Return the values of a flow's inputs: those that are missing are `None`, as on the server.

    Raises:
        Refused: One cannot be read, or is missing; the first one is told.
    """
    return {each.id: _value(each, sent.get(each.id), version) for each in inputs}


def _value(declaration: Input, sent: str | SentFile | None, version: str) -> Any:
    if isinstance(sent, SentFile):
        return sent if declaration.type == "FILE" else sent.uri
    if not sent:  # an empty text counts as missing
        if declaration.defaults is None:
            if declaration.required:
                raise _missing(declaration.id, version)
            return None
        sent = text_of(declaration.defaults)
    try:
        return _READERS[declaration.type](sent, declaration)
    except _UnreadableError as error:
        raise _unreadable(declaration, sent, error, version) from None


# --- what is said ----------------------------------------------------------------------------


class _UnreadableError(Exception):
    """A text that cannot be read.

    Args:
        cause: Why not, in the engine's words.
        by_parser: It is a parser that says so, and not the engine's own check.
        before: The words of 0.21, where they are others.
    """

    def __init__(self, cause: str, *, by_parser: bool = False, before: str | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.by_parser = by_parser
        self.before = before or cause


def _missing(name: str, version: str) -> Refused:
    if version == "0.21":
        text = f"Invalid input for `{name}`, missing required input, but received `null`"
        return Refused(422, f"Invalid entity: {name}: {text}", ((name, text),))
    return Refused(422, f"Invalid entity: Missing required input:{name}")


def _unreadable(declaration: Input, sent: str, error: _UnreadableError, version: str) -> Refused:
    name, quoted = declaration.id, f"errors:\n```\n{error.cause}\n```"
    if version == "0.21":
        cause = error.before
        if error.by_parser:
            kind = f"java.lang.Exception: Expected `{declaration.type}`"
            cause = f"{kind} but received `{sent}` with {quoted}"
        text = f"Invalid input for `{name}`, {cause}, but received `{sent}`"
        return Refused(422, f"Invalid entity: {name}: {text}", ((name, text),))
    if error.by_parser:  # here the name is not said
        return Refused(422, f"Invalid entity:  {quoted}")
    return Refused(422, f"Invalid entity: Invalid value for input `{name}`. Cause: {error.cause}")


# --- types -----------------------------------------------------------------------------------


def _text(text: str, _: Input) -> str:
    return text


def _integer(text: str, _: Input) -> int:
    if not re.fullmatch(r"[+-]?\d+", text, re.ASCII) or not -(2**31) <= int(text) < 2**31:
        raise _UnreadableError(f'For input string: "{text}"')
    return int(text)


def _number(text: str, _: Input) -> float:
    if not re.fullmatch(r"[+-]?(NaN|Infinity|(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)", text.strip()):
        raise _UnreadableError(f'For input string: "{text}"')
    return float(text)


def _boolean(text: str, _: Input) -> bool:
    return text.lower() == "true"  # whatever else is false, and no error


def _json(text: str, _: Input) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise _UnreadableError(str(error), by_parser=True) from None


def _array(text: str, declaration: Input) -> list[Any]:
    value = _json(text, declaration)
    if not isinstance(value, list):
        raise _UnreadableError(
            "Cannot deserialize value of type `java.util.ArrayList`", by_parser=True
        )
    return value


def _choices(text: str, declaration: Input) -> list[Any]:
    chosen = _array(text, declaration)
    listed = f"`[{', '.join(declaration.values)}]`"
    for each in chosen:
        if each not in declaration.values:
            cause = f"value `{each}` doesn't match the values {listed}"
            raise _UnreadableError(cause, before=f"it must match the values {listed}")
    return chosen


def _email(text: str, _: Input) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise _UnreadableError("The input must be a valid email")
    return text


def _uri(text: str, _: Input) -> str:
    if illegal := illegal_in_path(text):
        raise _UnreadableError(illegal)
    return text


def illegal_in_path(path: str) -> str | None:
    """Return what is said of a path with a character that has to be encoded in it."""
    match = re.search(r'[\s\[\]"<>\\^`{|}]', path)
    return f"Illegal character in path at index {match.start()}: {path}" if match else None


_DATE = r"\d{4}-\d\d-\d\d"
_TIME = r"\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?"
_OFFSET = r"(?:Z|[+-]\d\d:\d\d)"


def _parsed(text: str, parse: Callable[[str], Any], *pieces: str) -> Any:
    """Return what a text of these pieces says; where they do not fit is part of the complaint."""
    end = 0
    for piece in pieces:
        match = re.compile(piece, re.ASCII).match(text, end)
        if match is None:
            break
        end = match.end()
    else:
        # Python 3.10 reads six decimals, and no `Z`.
        short = re.sub(r"\.(\d+)", lambda m: f".{m[1][:6]:0<6}", text).replace("Z", "+00:00")
        try:
            if end == len(text):
                return parse(short)
        except ValueError:
            end = 0
    raise _UnreadableError(f"Text '{text}' could not be parsed at index {end}", by_parser=True)


def _datetime(text: str, _: Input) -> datetime:
    return _parsed(text, datetime.fromisoformat, _DATE, "T", _TIME, _OFFSET)  # type: ignore[no-any-return]


def _date(text: str, _: Input) -> date:
    return _parsed(text, date.fromisoformat, _DATE)  # type: ignore[no-any-return]


def _time(text: str, _: Input) -> time:
    return _parsed(text, time.fromisoformat, _TIME)  # type: ignore[no-any-return]


def _duration(text: str, _: Input) -> timedelta:
    number = r"([+-]?\d+)"
    seconds = r"([+-]?\d+(?:\.\d{0,9})?)"
    pattern = rf"P(?:{number}D)?(?:T(?:{number}H)?(?:{number}M)?(?:{seconds}S)?)?"
    match = re.fullmatch(pattern, text)
    if match is None or not any(match.groups()):
        raise _UnreadableError("Text cannot be parsed to a Duration", by_parser=True)
    days, hours, minutes, rest = (float(each or 0) for each in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=rest)


_READERS: dict[str, Callable[[str, Input], Any]] = {
    "STRING": _text,
    "INT": _integer,
    "FLOAT": _number,
    "BOOLEAN": _boolean,
    "BOOL": _boolean,
    "DATETIME": _datetime,
    "DATE": _date,
    "TIME": _time,
    "DURATION": _duration,
    "JSON": _json,
    "YAML": _text,
    "URI": _uri,
    "FILE": _uri,
    "ARRAY": _array,
    "SELECT": _text,  # the servers measured accept anything
    "MULTISELECT": _choices,
    "SECRET": _text,  # as a server does where encryption is configured
    "EMAIL": _email,
    "ENUM": _text,
}
