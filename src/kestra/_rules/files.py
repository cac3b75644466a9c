"""The files of a namespace."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kestra._api.dialects import FROM_2
from kestra._api.namespaces import FileInfo
from kestra._rules.downloads import fetch
from kestra._rules.pages import address, ready
from kestra._rules.problems import json_of
from kestra.exceptions import Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from kestra._rules.io import IO

_FILES = "namespaces/{namespace}/files"
# What a server says where it has no such route, instead of a sentence about a file.
_NO_ROUTE = frozenset({None, "", "Not Found", "Page Not Found"})


async def fetched(io: IO, namespace: str, path: str, to: Path) -> None:
    """Write a file of the namespace to a new local one."""
    url = await address(io, _FILES, namespace=namespace)
    await fetch(io, url, to, params={"path": f"/{path}"})


async def read(io: IO, namespace: str, path: str) -> bytes:
    """Return what is in a file."""
    async with temporary_folder(io) as folder:
        part = folder / "content"
        await fetched(io, namespace, path, part)
        return await io.call(part.read_bytes)


async def download(io: IO, namespace: str, path: str, to: Path) -> Path:
    """Write a file to a local one, which is there either whole or as it was."""
    if await io.call(to.is_dir) or not to.name:
        raise ValueError(f"to must name a file, not the folder {str(to)!r}")
    part = to.with_name(f".{uuid4().hex}.part")
    try:
        await fetched(io, namespace, path, part)
        await io.call(part.replace, to)
    finally:
        await io.call(part.unlink, missing_ok=True)
    return to


def checked_content(content: Any) -> bytes:
    """Return what to write as bytes.

    Raises:
        TypeError: It is neither text nor bytes.
    """
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, bytes):
        return content
    raise TypeError(f"content must be text or bytes, not {type(content).__name__}")


async def write(io: IO, namespace: str, path: str, content: Any) -> None:
    """Write a file: bytes, or a path to read them from.

    Raises:
        IsADirectoryError: There is a folder of this name, over which 1.3 would write a file.
    """
    await ready(io)
    if io.server.dialect is not FROM_2 and await _is_folder(io, namespace, path):
        raise _is_a_folder(path)
    try:
        await send(io, namespace, path, content)
    except Conflict as error:
        raise _is_a_folder(path) from error


async def send(io: IO, namespace: str, path: str, content: Any) -> None:
    """Send a file. It gets another name on the way: one that ends in `.zip` would be unpacked."""
    url = io.server.url(_FILES, namespace=namespace)
    file = await io.call(content.open, "rb") if isinstance(content, Path) else content
    try:
        part = {"fileContent": ("content", file, "application/octet-stream")}
        await io.request("post", url, params={"path": f"/{path}"}, files=part)
    finally:
        if isinstance(content, Path):
            await io.call(file.close)


def _is_a_folder(path: str) -> IsADirectoryError:
    return IsADirectoryError(f"path must not be that of a folder of the namespace: {path!r}")


async def _is_folder(io: IO, namespace: str, path: str) -> bool:
    found = await stats(io, namespace, path)
    return found is not None and found.is_folder


async def stats(io: IO, namespace: str, path: str) -> FileInfo | None:
    """Return what the server says of a file or a folder, `None` if there is neither."""
    url = await address(io, f"{_FILES}/stats", namespace=namespace)
    try:
        response = await io.request("get", url, params={"path": f"/{path}"})
    except NotFound as error:
        if error.message in _NO_ROUTE:
            raise
        return None
    return _info(path, json_of(response, dict, "get", url))


async def there(io: IO, namespace: str, path: str) -> FileInfo:
    """Return what the server says of a file or a folder.

    Raises:
        FileNotFoundError: There is neither.
    """
    found = await stats(io, namespace, path)
    if found is None:
        raise FileNotFoundError(f"there is no file or folder {path!r} in the namespace {namespace}")
    return found


async def exists(io: IO, namespace: str, path: str) -> bool:
    """Return True if there is a file or a folder of this path."""
    return await stats(io, namespace, path) is not None


async def listed(io: IO, namespace: str, path: str, *, recursive: bool) -> list[FileInfo]:
    """Return what is in a folder, or all files below it."""
    await ready(io)
    start = f"{path}/" if path else ""
    if recursive:
        # All paths come in one response, without sizes. The server compares loosely.
        url = io.server.url(f"{_FILES}/search", namespace=namespace)
        found = json_of(await io.request("get", url, params={"q": "/"}), list, "get", url)
        paths = sorted(str(each).removeprefix("/") for each in found)
        return [FileInfo(each) for each in paths if each.startswith(start)]
    url = io.server.url(f"{_FILES}/directory", namespace=namespace)
    response = await io.request("get", url, params={"path": f"/{path}"})
    entries = json_of(response, list, "get", url)
    return sorted(
        (_info(f"{start}{each.get('fileName')}", each) for each in entries),
        key=lambda each: each.path,
    )


def _info(path: str, entry: dict[str, Any]) -> FileInfo:
    is_folder = entry.get("type") == "Directory"
    size, modified = entry.get("size"), entry.get("lastModifiedTime")
    return FileInfo(
        path,
        is_folder,
        size if isinstance(size, int) and not is_folder else None,
        datetime.fromtimestamp(modified / 1000, timezone.utc)
        if isinstance(modified, int | float)
        else None,
    )


async def move(io: IO, namespace: str, path: str, to: str) -> None:
    """Move a file or a folder.

    Raises:
        FileNotFoundError: It is not there; a server accepts that.
        FileExistsError: Something is at the target already; a server fails at that.
        ValueError: A folder would be moved into itself.
    """
    if to.startswith(f"{path}/"):
        raise ValueError(f"to must not be below path, which cannot be moved into itself: {to!r}")
    await there(io, namespace, path)
    if await stats(io, namespace, to) is not None:
        raise FileExistsError(f"to must be a path where nothing is as yet: {to!r}")
    url = io.server.url(_FILES, namespace=namespace)
    await io.request("put", url, params={"from": f"/{path}", "to": f"/{to}"})


async def delete(io: IO, namespace: str, path: str, *, recursive: bool) -> None:
    """Delete a file, or a folder with all that is in it.

    Raises:
        FileNotFoundError: It is not there.
        IsADirectoryError: It is a folder, and `recursive` is off.
    """
    found = await there(io, namespace, path)
    if found.is_folder and not recursive:
        raise IsADirectoryError(f"{path!r} is a folder: recursive=True deletes all that is in it")
    await remove(io, namespace, path)


async def remove(io: IO, namespace: str, path: str) -> None:
    """Delete what is at a path, if anything is."""
    url = io.server.url(_FILES, namespace=namespace)
    await io.request("delete", url, params={"path": f"/{path}"})


async def exported(io: IO, namespace: str, to: Path) -> None:
    """Write all files of the namespace to a zip; an empty file where there are none."""
    url = await address(io, f"{_FILES}/export", namespace=namespace)
    try:
        await fetch(io, url, to)
    except NotFound as error:
        if error.message in _NO_ROUTE:
            raise
        await io.call(to.write_bytes, b"")


@asynccontextmanager
async def temporary_folder(io: IO) -> AsyncGenerator[Path, None]:
    """Make a folder for a while."""
    folder = await io.call(tempfile.TemporaryDirectory)
    try:
        yield Path(folder.name)
    finally:
        await io.call(folder.cleanup)
