"""A file from the server: there either whole, or not at all."""

from __future__ import annotations

import errno
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kestra._rules import problems
from kestra._rules.attempts import pause
from kestra._rules.policy import default_policy, next_attempt

if TYPE_CHECKING:
    import os

    from kestra._rules.io import IO

_STORAGE = "kestra://"


async def download(io: IO, execution_id: str, uri: str, to: str | os.PathLike[str]) -> Path:
    """Save a file of an execution, and return its path."""
    if not isinstance(uri, str):
        raise TypeError(f"uri must be a string, not {type(uri).__name__}")
    if not uri.startswith(_STORAGE):
        raise ValueError(f"uri must begin with {_STORAGE}, as those in outputs do")
    path = await io.call(checked_target, to)
    url = io.server.url("executions/{execution_id}/file", execution_id=execution_id)
    return await replace(io, url, path, params={"path": uri})


def checked_target(to: str | os.PathLike[str]) -> Path:
    """Return a local file that can be written."""
    path = Path(to)
    if path.is_dir() or not path.name:
        raise ValueError(f"to must name a file, not the folder {str(path)!r}")
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "to must be in a folder that exists", str(path))
    return path


async def replace(io: IO, url: str, path: Path, **arguments: Any) -> Path:
    """Save the body of a response to a file, which is there either whole or as it was.

    Where the connection breaks, it begins again: the server sends no ranges.
    """
    part = path.with_name(f".{uuid4().hex}.part")
    try:
        await fetch(io, url, part, **arguments)
        await io.call(part.replace, path)
    finally:
        await io.call(part.unlink, missing_ok=True)
    return path


async def fetch(io: IO, url: str, to: Path, **arguments: Any) -> None:
    """Save the body of a response to a file, from its beginning as often as it breaks off."""
    policy, attempts = None, 0
    while (broken := await io.save(url, to, **arguments)) is not None:
        request, failure = broken
        attempts += 1
        policy = policy or request.settings.policy or default_policy()
        spent, seconds = next_attempt(policy, failure)
        if spent is None or failure.final:
            raise problems.failed(request, failure, attempts)
        policy = spent
        await pause(io, request, failure, seconds)


async def fetch_zip(io: IO, url: str, to: Path, **arguments: Any) -> None:
    """Save a zip to a file, which is empty where the server has nothing."""
    await fetch(io, url, to, **arguments)
    if not await io.call(_is_zip_or_empty, to):
        raise problems.malformed("get", url, None, "is not a zip archive")


def _is_zip_or_empty(path: Path) -> bool:
    return not path.stat().st_size or zipfile.is_zipfile(path)
