"""The routes of the key-value store."""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kestra._api.stored import LARGEST
from kestra._testing.fake import search
from kestra._testing.fake.inputs import read_as
from kestra._testing.fake.messages import Refused, Reply, as_json, check_uri, not_allowed, not_found
from kestra._testing.fake.shown import shown_at
from kestra._values.times import iso_duration, parse_instant, utc_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kestra._testing.fake.engine import Engine
    from kestra._testing.fake.messages import Request

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_KEY_RULE = (
    "Key must start with an alphanumeric character (uppercase or lowercase) and can contain "
    "alphanumeric characters (uppercase or lowercase), dots (.), underscores (_), and hyphens (-) "
    "only."
)
_LONGEST_KEY, _LONGEST_NAME = 250, 768  # of a file, and in the database
_LARGEST_INTEGER = 1e17  # that is shown in digits
_TYPES = {str: "STRING", type(None): "STRING", bool: "BOOLEAN"}
_DURATION = re.compile(r"P(?=[^T]|T.)(\d+D)?(T(\d+H)?(\d+M)?(\d+S)?)?", re.ASCII)
# What Ion has besides JSON.
_COMMENTS = re.compile(r"(?:\s|//.*)*")
_DAY = re.compile(r"(\d{4})(?:T|(-\d\d)(?:T|(-\d\d)T?))(?=[\s,]|\Z)", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_NUMBER = re.compile(r"(-?\d+(?:\.\d*)?(?:[deDE][+-]?\d+)?|nan|[+-]inf)(?=([\s,]|\Z)?)", re.ASCII)
_WORD = re.compile(
    r"'''(.*?)'''|'(.*?)'|(?!(?:true|false|null)\b)([A-Za-z_$][\w$]*)", re.ASCII | re.DOTALL
)
_DAY_WITHIN = re.compile(r'("(?:[^"\\]|\\.)*")|(\d{4}-\d\d-\d\d(?:T[\d:.]+Z)?)', re.ASCII)


@dataclass
class Stored:
    """What is known of a key; the times by the fake's clock."""

    kind: str
    value: Any
    revision: int
    at: float
    description: str = ""
    expires: float | None = None
    is_there: bool = True

    def is_over(self, engine: Engine) -> bool:
        return self.expires is not None and self.expires <= engine.clock.now()


def get(engine: Engine, _: Request, namespace: str, key: str) -> Reply:
    stored = _there(engine, namespace, key)
    if stored is None:
        raise not_found(f"No value found for key '{key}' in namespace '{namespace}'")
    if stored.is_over(engine):
        raise Refused(410, "Resource has expired: The requested value has expired")
    shown: dict[str, Any] = {"type": stored.kind}
    if stored.value is not None:
        shown["value"] = stored.value
    if not engine.is_old:
        shown |= {"revision": stored.revision, "updated": shown_at(engine, stored.at)}
    return as_json(shown)


def put(engine: Engine, request: Request, namespace: str, key: str) -> Reply:
    """Store a value; what was said of an earlier one is gone."""
    if not engine.is_old:
        request.check_kind("text/plain")
    request.require_body("value")
    if len(request.body) > LARGEST:
        text = "exceeds the maximum allowed bufferable length"
        text = f"The content length [{len(request.body)}] {text} [{LARGEST}]"
        raise Refused(500, f"Internal server error: {text}")
    _check(key)
    check_uri(f"kestra:///{namespace.replace('.', '/')}/_kv/{key}.ion")
    now = engine.clock.now()
    ttl = request.headers.get("ttl")
    expires = None if ttl is None else now + _seconds(ttl)
    kind, value = _read(request.text())
    if len(f"{engine.tenant}_{namespace}_{key}") > _LONGEST_NAME and not engine.is_old:
        raise Refused(500, "Internal server error: SQL […]; Value too long for column")
    if len(key) > _LONGEST_KEY:
        raise not_found("<path> (File name too long)")
    known = engine.kv[namespace]
    revision = known[key].revision + 1 if key in known else 1
    description = _as_latin_1(request.headers.get("description", ""))
    known[key] = Stored(kind, value, revision, now, description, expires)
    return Reply()


def _as_latin_1(header: str | bytes) -> str:
    """Return a header as a server reads it; a client has to encode what is beyond Latin-1."""
    if isinstance(header, str):
        header = header.encode("latin-1" if all(each <= "\xff" for each in header) else "utf-8")
    return header.decode("latin-1")


def delete(engine: Engine, _: Request, namespace: str, key: str) -> Reply:
    stored = _there(engine, namespace, key)
    if stored is not None:
        stored.is_there = False
    return as_json(stored is not None and not stored.is_over(engine))


def delete_many(engine: Engine, request: Request, namespace: str) -> Reply:
    """Delete values, and say which were there."""
    body = request.json() if request.body else {}
    asked = dict.fromkeys(body.get("keys", ()) if isinstance(body, dict) else ())
    known = engine.kv[namespace]
    deleted = [key for key in asked if key in known and known[key].is_there]
    for key in deleted:
        known[key].is_there = False
    return as_json({"keys": deleted})


def listed(engine: Engine, request: Request) -> Reply:
    if engine.is_old:
        raise not_found()
    stored = [entry for namespace in sorted(engine.kv) for entry in _entries(engine, namespace)]
    return search.page(engine, request, search.keys(engine, stored, request.values), "")


def listed_of(engine: Engine, request: Request, namespace: str) -> Reply:
    """Show all keys of a namespace, where 1.3 and earlier do."""
    if engine.is_new:
        raise not_allowed(request)
    return as_json(list(_entries(engine, namespace)))


def _entries(engine: Engine, namespace: str) -> Iterator[dict[str, Any]]:
    for key, stored in sorted(engine.kv[namespace].items()):
        if not stored.is_there or stored.is_over(engine):
            continue
        count = "revision" if engine.is_new else "version"
        entry = {"namespace": namespace, "key": key, count: stored.revision}
        if stored.description:
            entry["description"] = stored.description
        entry["creationDate"] = entry["updateDate"] = shown_at(engine, stored.at)
        if stored.expires is not None:
            entry["expirationDate"] = shown_at(engine, stored.expires)
        if engine.is_old:
            entry = {name: entry[name] for name in entry if name == "key" or name.endswith("Date")}
        yield entry


def _there(engine: Engine, namespace: str, key: str) -> Stored | None:
    _check(key)
    stored = engine.kv[namespace].get(key)
    return stored if stored is not None and stored.is_there else None


def _check(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise Refused(422, f"Illegal argument: {_KEY_RULE}")


def _seconds(ttl: str) -> float:
    try:
        seconds: float = read_as("DURATION", ttl).total_seconds()
    except ValueError:
        text = "Text cannot be parsed to a Duration"
        raise Refused(500, f"Internal server error: {text}") from None
    if seconds < 0:
        raise Refused(422, "Illegal argument: ttl cannot be negative")
    return seconds


def _read(text: str) -> tuple[str, Any]:
    """Return the first value of a text in Ion, as type and value."""
    start = len(_COMMENTS.match(text)[0])  # type: ignore[index]  # it matches an empty text
    if match := _MOMENT.match(text, start):
        return _moment(match[0], match[1])
    if match := _DAY.match(text, start):
        return "DATE", f"{match[1]}{match[2] or '-01'}{match[3] or '-01'}"
    if match := _NUMBER.match(text, start):
        return "NUMBER", _number(match[1], is_whole=match[2] is not None)
    if match := _WORD.match(text, start):
        return _typed(match[match.lastindex or 0])
    return _json(text, start)


def _moment(text: str, offset: str | None) -> tuple[str, str]:
    if offset is None:
        raise Refused(500, "Internal server error: a bad character was encountered")
    if offset != "Z":
        return "JSON", text
    moment = parse_instant(text)
    if moment is None:
        raise Refused(500, f"Internal server error: Text '{text}' could not be parsed")
    return "DATETIME", utc_text(moment, "milliseconds").replace(".000Z", "Z")


def _number(text: str, *, is_whole: bool) -> int | float | str:
    """Return a number as it is shown: -inf is the text -Infinity."""
    if not is_whole:
        raise Refused(500, "Internal server error: a bad character was encountered")
    if text.lstrip("-").isdecimal():
        return int(text)
    value = float(text.lower().replace("d", "e"))
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{value}inity".replace("i", "I", 1)
    return int(value) if value == int(value) and abs(value) < _LARGEST_INTEGER else value


def _json(text: str, start: int) -> tuple[str, Any]:
    """Return JSON, which may hold dates; what cannot be read is text as a whole."""
    if start == len(text):
        return _typed(None)
    readable = _DAY_WITHIN.sub(lambda found: found[1] or f'"{found[2]}"', text)
    try:
        return _typed(json.JSONDecoder(parse_constant=str).raw_decode(readable, start)[0])
    except ValueError:
        return "STRING", text


def _typed(value: Any) -> tuple[str, Any]:
    if isinstance(value, str) and _DURATION.fullmatch(value):
        with suppress(ValueError):
            return "DURATION", iso_duration(read_as("DURATION", value))
    return _TYPES.get(type(value), "JSON"), value
