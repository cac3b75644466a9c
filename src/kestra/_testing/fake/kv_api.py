"""The routes of the key-value store, as 1.3 and 2.0 have them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kestra._api.stored import LARGEST, value_of
from kestra._testing.fake import search
from kestra._testing.fake.messages import Refused, Reply, as_json, not_found
from kestra._testing.fake.shown import iso
from kestra._values.times import iso_duration, parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kestra._testing.fake.engine import Engine
    from kestra._testing.fake.messages import Request

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LONGEST_KEY = 250
_LARGEST_INTEGER = 1e17  # that is shown in digits
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
_TYPES = {str: "STRING", type(None): "STRING", bool: "BOOLEAN"}
_DURATION = re.compile(r"P(?=[^T]|T.)(\d+D)?(T(\d+H)?(\d+M)?(\d+S)?)?")


@dataclass
class Stored:
    """What is known of a key; the times by the fake's clock."""

    kind: str
    value: Any
    revision: int
    at: float
    description: str | None = None
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
    value = {} if stored.value is None else {"value": stored.value}
    dated = {"revision": stored.revision, "updated": iso(engine.clock.date(stored.at))}
    return as_json({"type": stored.kind, **value, **dated})


def put(engine: Engine, request: Request, namespace: str, key: str) -> Reply:
    """Store a value; what was said of an earlier one is gone."""
    _check(key)
    request.check_kind("text/plain")
    if not request.body:
        raise Refused(422, "Invalid route params: Required Body [value] not specified")
    if len(request.body) > LARGEST:
        text = f"The content length [{len(request.body)}] exceeds the maximum [{LARGEST}]"
        raise Refused(500, f"Internal server error: {text}")
    known = engine.kv[namespace]
    now = engine.clock.now()
    ttl = request.headers.get("ttl")
    expires = None if ttl is None else now + _seconds(ttl)
    kind, value = _read(request.body.decode())
    revision = known[key].revision + 1 if key in known else 1
    known[key] = Stored(kind, value, revision, now, request.headers.get("description"), expires)
    return Reply()


def delete(engine: Engine, _: Request, namespace: str, key: str) -> Reply:
    stored = _there(engine, namespace, key)
    if stored is not None:
        stored.is_there = False
    return as_json(stored is not None and not stored.is_over(engine))


def delete_many(engine: Engine, request: Request, namespace: str) -> Reply:
    """Delete values, and say which were there."""
    asked = dict.fromkeys(json.loads(request.body or b"{}").get("keys", ()))
    known = engine.kv[namespace]
    deleted = [key for key in asked if key in known and known[key].is_there]
    for key in deleted:
        known[key].is_there = False
    return as_json({"keys": deleted})


def listed(engine: Engine, request: Request) -> Reply:
    if engine.is_old:
        raise not_found()
    wanted = request.value("filters[namespace][EQUALS]")
    text = (request.value("filters[q][EQUALS]") or "").lower()
    found = [
        entry
        for namespace in sorted(engine.kv)
        if wanted in {None, namespace}
        for entry in _entries(engine, namespace)
        if text in entry["key"].lower()
    ]
    return search.page(engine, request, found, "list")


def listed_of(engine: Engine, _: Request, namespace: str) -> Reply:
    """Show all keys of a namespace, where 1.3 and earlier do."""
    if engine.is_new:
        raise Refused(405, "Method Not Allowed: Method [GET] not allowed for this URI")
    return as_json(list(_entries(engine, namespace)))


def _entries(engine: Engine, namespace: str) -> Iterator[dict[str, Any]]:
    for key, stored in sorted(engine.kv[namespace].items()):
        if not stored.is_there or stored.is_over(engine):
            continue
        count = "revision" if engine.is_new else "version"
        entry = {"namespace": namespace, "key": key, count: stored.revision}
        if stored.description:
            entry["description"] = stored.description
        entry["creationDate"] = entry["updateDate"] = iso(engine.clock.date(stored.at))
        if stored.expires is not None:
            entry["expirationDate"] = iso(engine.clock.date(stored.expires))
        yield entry


def _there(engine: Engine, namespace: str, key: str) -> Stored | None:
    _check(key)
    stored = engine.kv[namespace].get(key)
    return stored if stored is not None and stored.is_there else None


def _check(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise Refused(422, "Illegal argument: Key must start with an alphanumeric character")
    if len(key) > _LONGEST_KEY:
        raise not_found("<path> (File name too long)")


def _seconds(ttl: str) -> float:
    if ttl.startswith("PT-"):
        raise Refused(422, "Illegal argument: ttl cannot be negative")
    duration = value_of({"type": "DURATION", "value": ttl})
    if not isinstance(duration, timedelta):
        raise Refused(500, "Internal server error: Text cannot be parsed to a Duration")
    return duration.total_seconds()


def _read(text: str) -> tuple[str, Any]:
    if _DAY.fullmatch(text):
        return "DATE", text
    if match := _MOMENT.fullmatch(text):
        if match[2] is None:
            raise Refused(500, "Internal server error: a bad character was encountered")
        if match[2] != "Z":
            return "JSON", text
        moment = parse_instant(text)
        if moment is None:
            raise Refused(500, f"Internal server error: Text '{text}' could not be parsed")
        return "DATETIME", iso(moment, "milliseconds").replace(".000Z", "Z")
    return _read_json(text)


def _read_json(text: str) -> tuple[str, Any]:
    try:
        value = json.loads(text, parse_constant=str)
    except ValueError:  # the first word counts
        words = re.sub(r"//.*", "", text).split()
        return "STRING", words[0] if words else None
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return "DURATION", iso_duration(value_of({"type": "DURATION", "value": value}))
    if isinstance(value, int | float) and not isinstance(value, bool):
        is_whole = value == int(value) and abs(value) < _LARGEST_INTEGER
        return "NUMBER", int(value) if is_whole else value
    return _TYPES.get(type(value), "JSON"), value
