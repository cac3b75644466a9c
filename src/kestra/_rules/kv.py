"""The key-value store of a namespace."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kestra._api.namespaces import KeyInfo
from kestra._api.parsing import body_of
from kestra._api.stored import checked_key, value_of
from kestra._rules.pages import address, ready, results, server_time
from kestra._rules.problems import json_of
from kestra._values.times import parse_instant
from kestra.exceptions import APIError, NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from kestra._rules.io import IO

_VALUE = "namespaces/{namespace}/kv/{key}"
_EXPIRED = 410  # once; then 404
_NO_VALUE = "No value found"  # else the whole path is unknown
_NO_ROUTE = frozenset({404, 405})
_MOST_DELETED = 1_000  # keys in one request


async def get(io: IO, namespace: str, key: str) -> dict[str, Any]:
    """Return an entry of the store.

    Raises:
        KeyError: There is none, or it has expired.
    """
    checked_key(key)
    url = await address(io, _VALUE, namespace=namespace, key=key)
    try:
        response = await io.request("get", url)
    except APIError as error:
        if error.status != _EXPIRED and _NO_VALUE not in (error.message or ""):
            raise
    else:
        return json_of(response, dict, "get", url)  # type: ignore[no-any-return]
    raise KeyError(key)


async def get_value(io: IO, namespace: str, key: str) -> Any:
    """Return the value of a key."""
    return value_of(await get(io, namespace, key))


async def put(io: IO, namespace: str, key: str, body: bytes, headers: dict[str, str]) -> None:
    """Store a value. Repeated, it makes another revision of the same."""
    url = await address(io, _VALUE, namespace=namespace, key=key)
    headers = {"Content-Type": "text/plain; charset=utf-8", **headers}
    await io.request("put", url, data=body, headers=headers)


async def delete(io: IO, namespace: str, key: str) -> None:
    """Delete a key.

    Raises:
        KeyError: It is not there.
    """
    checked_key(key)
    url = await address(io, _VALUE, namespace=namespace, key=key)
    response = await io.request("delete", url)
    # Where an earlier attempt was lost, that one may have deleted it.
    if body_of(response) is False and io.attempts <= 1:
        raise KeyError(key)


async def entries(io: IO, namespace: str, text: str = "") -> AsyncGenerator[dict[str, Any], None]:
    """Yield what the server lists of each key, without the values.

    Args:
        io: Input and output.
        namespace: The namespace.
        text: Leave out keys that do not match this. The server compares loosely.
    """
    await ready(io)
    query = {"filters[namespace][EQUALS]": namespace, "sort": "key:asc"}
    if text:
        query["filters[q][EQUALS]"] = text
    known: set[str] = set()
    try:
        async for entry in results(io, io.server.url("kv"), query):
            if _is_shown(io, namespace, entry) and entry["key"] not in known:
                known.add(entry["key"])
                yield entry
    except APIError as error:
        if known or error.status not in _NO_ROUTE:
            raise
    else:
        return
    url = io.server.url("namespaces/{namespace}/kv", namespace=namespace)  # before 1.x
    for entry in json_of(await io.request("get", url), list, "get", url):
        if _is_shown(io, namespace, {"namespace": namespace, **entry}):
            yield entry


def _is_shown(io: IO, namespace: str, entry: dict[str, Any]) -> bool:
    """Return True for a key of this namespace that has not expired."""
    expires = parse_instant(entry.get("expirationDate"))
    expired = expires is not None and expires <= server_time(io)
    return entry.get("namespace") == namespace and isinstance(entry.get("key"), str) and not expired


async def keys(io: IO, namespace: str) -> AsyncGenerator[str, None]:
    """Yield the keys, all of which are known before the first: whoever iterates may delete them."""
    for key in [entry["key"] async for entry in entries(io, namespace)]:
        yield key


async def infos(io: IO, namespace: str) -> list[KeyInfo]:
    """Return what the server lists of all keys."""
    return [_info(entry) async for entry in entries(io, namespace)]


async def info(io: IO, namespace: str, key: str) -> KeyInfo:
    """Return what the store says of a key.

    Raises:
        KeyError: It is not there, or has expired.
    """
    entry = await get(io, namespace, key)
    shown = {"key": key, "updateDate": entry.get("updated"), "revision": entry.get("revision")}
    for text in (key, ""):
        async for listed in entries(io, namespace, text):
            if listed["key"] == key:
                return replace(_info({**shown, **listed}), type=entry.get("type"))
    return replace(_info(shown), type=entry.get("type"))


def _info(entry: dict[str, Any]) -> KeyInfo:
    return KeyInfo(
        entry["key"],
        revision=entry.get("version", entry.get("revision")),  # up to 1.x it is the version
        description=entry.get("description"),
        created=parse_instant(entry.get("creationDate")),
        updated=parse_instant(entry.get("updateDate")),
        expires=parse_instant(entry.get("expirationDate")),
    )


async def clear(io: IO, namespace: str) -> None:
    """Delete all keys, many with one request."""
    found = [key async for key in keys(io, namespace)]
    url = io.server.url("namespaces/{namespace}/kv", namespace=namespace)
    for start in range(0, len(found), _MOST_DELETED):
        some = found[start : start + _MOST_DELETED]
        try:
            await io.request("delete", url, json={"keys": some})
        except NotFound:  # a server that has no such route
            for key in some:
                await io.request("delete", io.server.url(_VALUE, namespace=namespace, key=key))
