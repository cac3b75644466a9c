"""The files of a namespace."""

from __future__ import annotations

import re
import tempfile
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import datetime, timezone
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kestra._api.dialects import FROM_2
from kestra._api.namespaces import FileInfo
from kestra._api.stored import utf8
from kestra._rules.downloads import checked_target, fetch_zip, replace
from kestra._rules.pages import address, fetched, objects, ready
from kestra.exceptions import APIError, Conflict, NotFound

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, Iterator

    from kestra._rules.io import IO

    Where = str | os.PathLike[str]

_FILES = "namespaces/{namespace}/files"
# What a server says where it has no such route, instead of a sentence about a file.
_NO_ROUTE = frozenset({None, "", "Not Found", "Page Not Found"})
_LONGEST_NAME = 255
_CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
FLOWS = "_flows"  # the folder with the sources of flows


def checked_path(path: Any, name: str = "path") -> str:
    """Return the path of a file, without a slash at its beginning."""
    text = checked_folder(path, name)
    if not text:
        raise ValueError(f"{name} must name a file, not the root of the namespace")
    return text


def checked_folder(path: Any, name: str = "path") -> str:
    """Return the path of a folder, empty for the root.

    What a server would change, merge with another, or refuse is refused here.
    """
    if isinstance(path, PurePath):
        path = path.as_posix()
    if not isinstance(path, str):
        raise TypeError(f"{name} must be a path in the namespace, not {type(path).__name__}")
    text = path.removeprefix("/").removesuffix("/")
    parts = text.split("/")
    faults = {
        "must have no space, which a server stores as '+', so that two files become one": (
            " " in text
        ),
        "must have no backslash, which a server takes for a slash": "\\" in text,
        "must have no control characters": bool(_CONTROL.search(text)),
        "must have no empty part, and no '.' or '..'": (
            bool(text) and not {"", ".", ".."}.isdisjoint(parts)
        ),
        f"must have no part of more than {_LONGEST_NAME} characters": (
            max(map(len, parts)) > _LONGEST_NAME
        ),
        "must not be in _flows, where a file becomes a flow: use namespace.flows.deploy": (
            parts[0] == FLOWS
        ),
    }
    for fault, is_so in faults.items():
        if is_so:
            raise ValueError(f"{name} {fault}: {path!r}")
    return text


async def read(io: IO, namespace: str, path: Where) -> bytes:
    with temporary_file() as local:
        await download(io, namespace, path, local)
        return await io.call(Path.read_bytes, local)


async def download(io: IO, namespace: str, path: Where, to: Where) -> Path:
    query = {"path": f"/{checked_path(path)}"}
    target = await io.call(checked_target, to)
    return await replace(io, await address(io, _FILES, namespace=namespace), target, params=query)


async def write(io: IO, namespace: str, path: Where, content: str | bytes) -> None:
    if isinstance(content, str):
        content = utf8(content, "content")
    if not isinstance(content, bytes):
        raise TypeError(f"content must be text or bytes, not {type(content).__name__}")
    await _put(io, namespace, checked_path(path), content)


async def upload(io: IO, namespace: str, local: Where, to: Where) -> None:
    await _put(io, namespace, checked_path(to, "to"), Path(local))


async def _put(io: IO, namespace: str, path: str, content: bytes | Path) -> None:
    """Write a file, but not over a folder, as 1.3 would."""
    await ready(io)
    if io.server.dialect is not FROM_2:
        await write_action(io, namespace, path)
    try:
        await send(io, namespace, path, content)
    except Conflict as error:
        raise _folder_in_place(path) from error


async def write_action(io: IO, namespace: str, path: str) -> str:
    """Return what would become of a file that is written: `created`, or `updated`."""
    found = await _stats(io, namespace, checked_path(path))
    if found is not None and found.is_folder:
        raise _folder_in_place(path)
    return "created" if found is None else "updated"


def _folder_in_place(path: str) -> IsADirectoryError:
    return IsADirectoryError(f"path must not be that of a folder of the namespace: {path!r}")


async def send(io: IO, namespace: str, path: str, content: bytes | Path) -> None:
    """Send a file. It gets another name on the way: one that ends in `.zip` would be unpacked."""
    url = io.server.url(_FILES, namespace=namespace)
    with ExitStack() as opened:  # also closes what is opened while the task is cancelled
        file = await io.call(_opened, content, opened)
        part = {"fileContent": ("content", file, "application/octet-stream")}
        await io.request("post", url, params={"path": f"/{path}"}, files=part)


def _opened(content: bytes | Path, opened: ExitStack) -> Any:
    return opened.enter_context(content.open("rb")) if isinstance(content, Path) else content


async def _stats(io: IO, namespace: str, path: str) -> FileInfo | None:
    """Return what the server says of a file or a folder, `None` if there is neither."""
    url = await address(io, f"{_FILES}/stats", namespace=namespace)
    try:
        return _info(path, await fetched(io, dict, url, params={"path": f"/{path}"}))
    except NotFound as error:
        if error.message in _NO_ROUTE:
            raise
    return None


async def _there(io: IO, namespace: str, path: str) -> FileInfo:
    found = await _stats(io, namespace, path)
    if found is None:
        raise FileNotFoundError(f"there is no file or folder {path!r} in the namespace {namespace}")
    return found


async def exists(io: IO, namespace: str, path: Where) -> bool:
    return await _stats(io, namespace, checked_path(path)) is not None


async def listed(io: IO, namespace: str, path: Where, *, recursive: bool) -> list[FileInfo]:
    folder = checked_folder(path)
    start = f"{folder}/" if folder else ""
    if recursive:
        # All paths come in one response, without sizes. The server compares loosely.
        url = await address(io, f"{_FILES}/search", namespace=namespace)
        found = await fetched(io, list, url, params={"q": "/"})
        paths = sorted(str(each).removeprefix("/") for each in found)
        return [FileInfo(each) for each in paths if each.startswith(start)]
    url = await address(io, f"{_FILES}/directory", namespace=namespace)
    entries = await objects(io, url, params={"path": f"/{folder}"})
    infos = [_info(f"{start}{each.get('fileName')}", each) for each in entries]
    return sorted(infos, key=lambda each: each.path)


def _info(path: str, entry: dict[str, Any]) -> FileInfo:
    is_folder = entry.get("type") == "Directory"
    size, modified = entry.get("size"), entry.get("lastModifiedTime")
    time = None
    if isinstance(modified, int | float):
        time = datetime.fromtimestamp(modified / 1000, timezone.utc)
    size = size if isinstance(size, int) and not is_folder else None
    return FileInfo(path, is_folder, size, time)


async def move(io: IO, namespace: str, path: Where, to: Where) -> None:
    """Move a file or a folder; a server accepts one that is not there, and fails at a target."""
    path, to = checked_path(path), checked_path(to, "to")
    if to.startswith(f"{path}/"):
        raise ValueError(f"to must not be below path, which cannot be moved into itself: {to!r}")
    await _there(io, namespace, path)
    if await _stats(io, namespace, to) is not None:
        raise FileExistsError(f"to must be a path where nothing is as yet: {to!r}")
    url = io.server.url(_FILES, namespace=namespace)
    # Here alone a server reads paths as URIs: of `/a#b` it would move `/a`.
    query = {"from": quote(f"/{path}"), "to": quote(f"/{to}")}
    try:
        await io.request("put", url, params=query)
    except APIError as error:
        # An earlier attempt may have done it, whose response was lost.
        if error.attempts == 1 or await _stats(io, namespace, path) is not None:
            raise
        await _there(io, namespace, to)


async def delete(io: IO, namespace: str, path: Where, *, recursive: bool) -> None:
    path = checked_path(path)
    found = await _there(io, namespace, path)
    if found.is_folder and not recursive:
        raise IsADirectoryError(f"{path!r} is a folder: recursive=True deletes all that is in it")
    await remove(io, namespace, path)


async def remove(io: IO, namespace: str, path: str) -> None:
    """Delete what is at a path, if anything is."""
    url = io.server.url(_FILES, namespace=namespace)
    await io.request("delete", url, params={"path": f"/{path}"})


@asynccontextmanager
async def exported(io: IO, namespace: str) -> AsyncGenerator[Path, None]:
    """Fetch a zip of all files of the namespace; an empty file where there are none."""
    url = await address(io, f"{_FILES}/export", namespace=namespace)
    with temporary_file() as archive:
        try:
            await fetch_zip(io, url, archive)
        except NotFound as error:
            if error.message in _NO_ROUTE:
                raise
            await io.call(archive.write_bytes, b"")
        yield archive


@contextmanager
def temporary_file() -> Iterator[Path]:
    """Make a path in a folder that is there for a while."""
    with tempfile.TemporaryDirectory() as folder:  # by no thread, whose result could be lost
        yield Path(folder, "content")
