"""The key-value store of a namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kestra._api.namespaces import KeyInfo
from kestra._api.parsing import body_of
from kestra._api.stored import checked_key, put_request, value_of
from kestra._rules.pages import address, fetched, objects, ready, results, server_time
from kestra._values.times import parse_instant
from kestra.exceptions import APIError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from kestra._rules.io import IO

_VALUES = "namespaces/{namespace}/kv"
_VALUE = f"{_VALUES}/{{key}}"
_EXPIRED = 410  # once; then 404
_NO_VALUE = "No value found"  # else the whole path is unknown
_NO_ROUTE = frozenset({404, 405})
_MOST_DELETED = 1_000  # keys in one request


async def get(io: IO, namespace: str, key: str) -> dict[str, Any]:
    """Return an entry of the store; a `KeyError` is one that is missing, or has expired."""
    url = await address(io, _VALUE, namespace=namespace, key=checked_key(key))
    try:
        return await fetched(io, dict, url)  # type: ignore[no-any-return]
    except APIError as error:
        if error.status != _EXPIRED and _NO_VALUE not in (error.message or ""):
            raise
    raise KeyError(key)


async def get_value(io: IO, namespace: str, key: str) -> Any:
    return value_of(await get(io, namespace, key))


async def put(io: IO, namespace: str, key: str, value: Any, *options: Any) -> None:
    """Store a value, with a `ttl` and a description. Repeated, it makes another revision."""
    content, headers = put_request(key, value, *options)
    url = await address(io, _VALUE, namespace=namespace, key=key)
    await io.request("put", url, data=content, headers=headers)


async def delete(io: IO, namespace: str, key: str) -> None:
    url = await address(io, _VALUE, namespace=namespace, key=checked_key(key))
    response = await io.request("delete", url)
    # Where an earlier attempt was lost, that one may have deleted it.
    if body_of(response) is False and io.attempts <= 1:
        raise KeyError(key)


async def clear(io: IO, namespace: str) -> None:
    found = [entry["key"] async for entry in _entries(io, namespace)]
    url = io.server.url(_VALUES, namespace=namespace)
    for start in range(0, len(found), _MOST_DELETED):
        some = found[start : start + _MOST_DELETED]
        try:
            await io.request("delete", url, json={"keys": some})
        except APIError as error:
            if error.status not in _NO_ROUTE:
                raise
            for key in some:
                await io.request("delete", io.server.url(_VALUE, namespace=namespace, key=key))


async def infos(io: IO, namespace: str) -> list[KeyInfo]:
    return [_info(entry) async for entry in _entries(io, namespace)]


async def info(io: IO, namespace: str, key: str) -> KeyInfo:
    """Return what the store says of a key: the value has its type, the list all else."""
    entry = await get(io, namespace, key)
    shown = {"key": key, "updateDate": entry.get("updated"), "revision": entry.get("revision")}
    for text in (key, ""):
        async for listed in _entries(io, namespace, text):
            if listed["key"] == key:
                return _info({**shown, **listed}, entry.get("type"))
    return _info(shown, entry.get("type"))


def _info(entry: dict[str, Any], kind: str | None = None) -> KeyInfo:
    return KeyInfo(
        entry["key"],
        kind,
        revision=entry.get("version", entry.get("revision")),  # up to 1.x it is the version
        description=entry.get("description"),
        created=parse_instant(entry.get("creationDate")),
        updated=parse_instant(entry.get("updateDate")),
        expires=parse_instant(entry.get("expirationDate")),
    )


async def _entries(io: IO, namespace: str, text: str = "") -> AsyncGenerator[dict[str, Any], None]:
    """Yield what the server lists of each key; it compares loosely, so more than the text says."""
    known: set[str] = set()
    async for entry in _listed(io, namespace, text):
        key, expires = entry.get("key"), parse_instant(entry.get("expirationDate"))
        if not isinstance(key, str) or key in known or entry.get("namespace") != namespace:
            continue
        if expires is None or expires > server_time(io):
            known.add(key)
            yield entry


async def _listed(io: IO, namespace: str, text: str) -> AsyncGenerator[dict[str, Any], None]:
    await ready(io)
    query = {"filters[namespace][EQUALS]": namespace, "sort": "key:asc"}
    if text:
        query["filters[q][EQUALS]"] = text
    is_known = False
    try:
        async for entry in results(io, io.server.url("kv"), query):
            is_known = True
            yield entry
    except APIError as error:
        if is_known or error.status not in _NO_ROUTE:
            raise
    else:
        return
    for entry in await objects(io, io.server.url(_VALUES, namespace=namespace)):
        yield {"namespace": namespace, **entry}  # before 1.x
