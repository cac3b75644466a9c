"""The routes of the files of a namespace."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kestra._testing.fake.messages import Reply, Request, as_json, parts_of
from kestra._testing.fake.refused import Refused, UnexpectedError, not_found

if TYPE_CHECKING:
    from kestra._testing.fake.api import Api

_LONGEST_NAME = 255


@dataclass
class StoredFile:
    """A file: its content, and when it was made and written, by the fake's clock."""

    content: bytes
    created: float
    modified: float


def get(api: Api, request: Request, namespace: str) -> Reply:
    """Show what is in a file."""
    path = _path(request.value("path"))
    file = _files(api, namespace).get(path)
    _check_access(path)
    if file is None:
        if _below(api, namespace, path):
            raise not_found(f"'{path}' is a directory in namespace '{namespace}'")
        raise not_found(f"File '{path}' was not found in namespace '{namespace}'.")
    return Reply(200, file.content, {"Content-Type": "application/octet-stream"})


def put(api: Api, request: Request, namespace: str) -> Reply:
    """Write a file. One that is sent under the name of a zip would be unpacked."""
    path = _path(request.value("path"))
    if not request.content_type.startswith("multipart/form-data"):
        kind = request.content_type.partition(";")[0]
        allowed = f"Content Type [{kind}] not allowed. Allowed types: [multipart/form-data]"
        raise Refused(415, f"Unsupported Media Type: {allowed}")
    sent = [(name, content) for part, name, content in parts_of(request) if part == "fileContent"]
    if not sent:
        raise Refused(500, "Internal server error: Required Part [fileContent] not specified")
    name, content = sent[0]
    if (name or "").endswith(".zip"):
        raise UnexpectedError("a zip that is unpacked is not imitated: send another filename")
    if path.startswith("/_flows/"):
        raise UnexpectedError("flows that are sent as files are not imitated: deploy them")
    if path == "/" and api.engine.version != "2.0":
        raise not_found("<path> (Is a directory)")
    if path == "/" or (_below(api, namespace, path) and api.engine.version == "2.0"):
        text = f"Cannot create file '{path}' in namespace '{namespace}': a directory already exists"
        raise Refused(409, f"Conflict: {text} at this path.")
    known, now = _files(api, namespace), api.engine.clock.now()
    created = known[path].created if path in known else now
    known[path] = StoredFile(content, created, now)
    return Reply()


def move(api: Api, request: Request, namespace: str) -> Reply:
    """Move a file or a folder; one that is not there is ignored."""
    source, target = _path(request.value("from")), _path(request.value("to"))
    known = _files(api, namespace)
    if target in known:
        text = f"File '{target}' already exists in namespace '{namespace}'."
        raise Refused(500, f"Internal server error: {text}")
    for path in [each for each in known if each == source or each.startswith(f"{source}/")]:
        known[target + path.removeprefix(source)] = known.pop(path)
    return Reply()


def delete(api: Api, request: Request, namespace: str) -> Reply:
    """Delete a file, or a folder with all that is in it; one that is not there is ignored."""
    path, known = _path(request.value("path")), _files(api, namespace)
    _check_access(path)
    for each in [each for each in known if each == path or each.startswith(f"{path}/")]:
        del known[each]
    return Reply()


def stats(api: Api, request: Request, namespace: str) -> Reply:
    """Show what is known of a file or a folder."""
    path = _path(request.value("path"))
    if path not in _files(api, namespace) and not _below(api, namespace, path):
        raise not_found(f"File '{path}' was not found in namespace '{namespace}'.")
    return as_json(_entry(api, namespace, path))


def directory(api: Api, request: Request, namespace: str) -> Reply:
    """Show what is in a folder."""
    path = _path(request.value("path")).rstrip("/")
    below = _below(api, namespace, path)
    if path and not below:
        raise not_found(f"Directory not found: {path}")
    names = dict.fromkeys(each.removeprefix(f"{path}/").partition("/")[0] for each in below)
    return as_json([_entry(api, namespace, f"{path}/{name}") for name in names])


def search(api: Api, request: Request, namespace: str) -> Reply:
    """Show the paths of all files; other searches are not imitated."""
    if request.value("q") != "/":
        raise UnexpectedError("files/search is imitated for q=/ only")
    return as_json(sorted(_files(api, namespace)))


def export(api: Api, _: Request, namespace: str) -> Reply:
    """Show all files as a zip."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for path, file in sorted(_files(api, namespace).items()):
            opened.writestr(path.removeprefix("/"), file.content)
    return Reply(200, archive.getvalue(), {"Content-Type": "application/octet-stream"})


def _files(api: Api, namespace: str) -> dict[str, StoredFile]:
    return api.engine.files.setdefault(namespace, {})


def _below(api: Api, namespace: str, path: str) -> list[str]:
    return sorted(each for each in _files(api, namespace) if each.startswith(f"{path}/"))


def _path(text: str | None) -> str:
    """Return a path as the server keeps it."""
    path = "/" + "/".join(each for each in (text or "").replace("\\", "/").split("/") if each)
    if ".." in path.split("/"):
        raise Refused(422, "Illegal argument: File should be accessed with their full path")
    if any(len(each) > _LONGEST_NAME for each in path.split("/")):
        text = f"A file or folder name exceeds the maximum length of {_LONGEST_NAME} characters."
        raise Refused(422, f"Illegal argument: {text}")
    return path.replace(" ", "+")


def _check_access(path: str) -> None:
    if path.startswith("/_flows/"):
        raise Refused(422, f"Illegal argument: Forbidden path: {path}")


def _entry(api: Api, namespace: str, path: str) -> dict[str, Any]:
    file = _files(api, namespace).get(path)
    files = [file] if file else [_files(api, namespace)[x] for x in _below(api, namespace, path)]
    date = api.engine.clock.date
    return {
        "type": "File" if file else "Directory",
        "size": len(file.content) if file else 0,
        "fileName": path.rpartition("/")[2],
        "lastModifiedTime": int(date(max(each.modified for each in files)).timestamp() * 1000),
        "creationTime": int(date(min(each.created for each in files)).timestamp() * 1000),
        "metadata": {},
    }
