"""The routes of the files of a namespace."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from kestra._testing.fake.messages import (
    Refused,
    Reply,
    UnexpectedError,
    as_file,
    as_json,
    as_zip,
    check_uri,
    not_found,
)

if TYPE_CHECKING:
    from kestra._testing.fake.engine import Engine
    from kestra._testing.fake.messages import Request

    _Files = dict[str, "StoredFile"]

_LONGEST_NAME = 255


@dataclass
class StoredFile:
    """A file: its content, and when it was made and written, by the fake's clock."""

    content: bytes
    created: float
    modified: float


def get(engine: Engine, request: Request, namespace: str) -> Reply:
    if request.value("revision") is not None:
        raise UnexpectedError("revisions of files are not imitated")
    path, known = _path(request.value("path")), engine.files[namespace]
    _check_access(path)
    if path not in known:
        if _below(known, path):
            raise not_found(f"'{path}' is a directory in namespace '{namespace}'")
        raise not_found(f"File '{path}' was not found in namespace '{namespace}'.")
    return as_file(known[path].content)


def put(engine: Engine, request: Request, namespace: str) -> Reply:
    """Write a file. One that is sent under the name of a zip would be unpacked."""
    path, known = _path(request.value("path")), engine.files[namespace]
    request.check_kind("multipart/form-data")
    sent = [(name, content) for part, name, content in request.parts() if part == "fileContent"]
    if not sent:
        raise Refused(500, "Internal server error: Required Part [fileContent] not specified")
    name, content = sent[0]
    if (name or "").endswith(".zip"):
        raise UnexpectedError("a zip that is unpacked is not imitated: send another filename")
    if path.startswith("/_flows/"):
        raise UnexpectedError("flows that are sent as files are not imitated: deploy them")
    if path == "/" and not engine.is_new:
        raise not_found("<path> (Is a directory)")
    if path == "/" or (_below(known, path) and engine.is_new):
        text = f"Cannot create file '{path}' in namespace '{namespace}': a directory already exists"
        raise Refused(409, f"Conflict: {text} at this path.")
    if _below(known, path):  # the folder stays what it is
        return Reply()
    now = engine.clock.now()
    created = known[path].created if path in known else now
    known[path] = StoredFile(content, created, now)
    return Reply()


def move(engine: Engine, request: Request, namespace: str) -> Reply:
    """Move a file or a folder; one that is not there is ignored."""
    request.check_kind("application/json")
    source, target = _path_of_uri(request.value("from")), _path_of_uri(request.value("to"))
    known = engine.files[namespace]
    if _at_or_below(known, target):
        text = f"File '{target}' already exists in namespace '{namespace}'."
        raise Refused(500, f"Internal server error: {text}")
    for path in _at_or_below(known, source):
        known[target + path.removeprefix(source)] = known.pop(path)
    return Reply()


def delete(engine: Engine, request: Request, namespace: str) -> Reply:
    """Delete a file, or a folder with all that is in it; one that is not there is ignored."""
    path, known = _path(request.value("path")), engine.files[namespace]
    _check_access(path)
    for each in _at_or_below(known, path):
        del known[each]
    return Reply()


def stats(engine: Engine, request: Request, namespace: str) -> Reply:
    path, known = _path(request.value("path")), engine.files[namespace]
    place = path.rstrip("/")
    if not _at_or_below(known, place):
        raise not_found(f"File '{path}' was not found in namespace '{namespace}'.")
    return as_json(_entry(engine, known, place))


def directory(engine: Engine, request: Request, namespace: str) -> Reply:
    path, known = _path(request.value("path")).rstrip("/"), engine.files[namespace]
    below = _below(known, path)
    if path and not below:
        raise not_found(f"Directory not found: {path}")
    names = dict.fromkeys(each.removeprefix(f"{path}/").partition("/")[0] for each in below)
    return as_json([_entry(engine, known, f"{path}/{name}") for name in names])


def search(engine: Engine, request: Request, namespace: str) -> Reply:
    """Show the paths of all files; other searches are not imitated."""
    if request.value("q") != "/":
        raise UnexpectedError("files/search is imitated for q=/ only")
    return as_json(sorted(engine.files[namespace]))


def export(engine: Engine, _: Request, namespace: str) -> Reply:
    files = sorted(engine.files[namespace].items())
    return as_zip((path.removeprefix("/"), file.content) for path, file in files)


def _below(known: _Files, path: str) -> list[str]:
    return sorted(each for each in known if each.startswith(f"{path}/"))


def _at_or_below(known: _Files, path: str) -> list[str]:
    return [each for each in known if f"{each}/".startswith(f"{path}/")]


def _path(text: str | None) -> str:
    """Return a path as the server keeps it."""
    path = "/" + "/".join(each for each in (text or "").replace("\\", "/").split("/") if each)
    if ".." in path.split("/"):
        raise Refused(422, "Illegal argument: File should be accessed with their full path")
    if any(len(each) > _LONGEST_NAME for each in path.split("/")):
        text = f"A file or folder name exceeds the maximum length of {_LONGEST_NAME} characters."
        raise Refused(422, f"Illegal argument: {text}")
    return path.replace(" ", "+")


def _path_of_uri(text: str | None) -> str:
    check_uri(text or "")
    return _path(unquote(re.split("[?#]", text or "")[0]))


def _check_access(path: str) -> None:
    if path.startswith("/_flows/"):
        raise Refused(422, f"Illegal argument: Forbidden path: {path}")


def _entry(engine: Engine, known: _Files, path: str) -> dict[str, Any]:
    file, files = known.get(path), [known[each] for each in _at_or_below(known, path)]
    date = engine.clock.date
    return {
        "type": "File" if file else "Directory",
        "size": len(file.content) if file else 0,
        "fileName": path.rpartition("/")[2] or "_files",  # the root
        "lastModifiedTime": int(date(max(each.modified for each in files)).timestamp() * 1000),
        "creationTime": int(date(min(each.created for each in files)).timestamp() * 1000),
        "metadata": {},
    }
