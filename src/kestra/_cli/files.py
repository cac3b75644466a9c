"""The files that a script leaves in its working directory, and those that `outputFiles` keeps."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SKIPPED = {"__pycache__", "node_modules", "venv"}  # and what is hidden
# That are checked for changes, which takes milliseconds on a local disk. With ten times as many it
# took half a minute under Wine.
_MOST_FILES = 2_000
_JAVA_GLOB = {"**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", ",": "|", "}": ")"}
_JAVA_GLOB_PART = re.compile(r"\*\*|\*|\?|\\.|\[(?:!|\^)?[^\]]*\]|.", re.DOTALL)


class File(NamedTuple):
    """A file, by its path from the working directory with slashes."""

    path: str
    size: int


def snapshot(folder: str) -> dict[str, tuple[int, int, int]] | None:
    """Return what changes when a file is written, by path; None for too many files."""
    found = {}
    for path, status in _walk(folder, skip=True):
        found[path] = status.st_mtime_ns, status.st_size, status.st_ino
        if len(found) > _MOST_FILES:
            return None
    return found


def written(folder: str, before: dict[str, tuple[int, int, int]] | None) -> list[File] | None:
    """Return the files that are new or changed since `before`; None for too many files."""
    if before is None or (after := snapshot(folder)) is None:
        return None
    return sorted(File(path, it[1]) for path, it in after.items() if before.get(path) != it)


def matching(
    folder: str, patterns: Iterable[str], *, skip: bool = False
) -> tuple[list[File], list[str]]:
    """Return the files that `outputFiles` would keep, and the patterns that match none."""
    files = [File(path, status.st_size) for path, status in _walk(folder, skip=skip)]
    kept, unmatched = set(), []
    for pattern in patterns:
        found = {file for file in files if matches(pattern, file.path, folder)}
        kept |= found
        if not found:
            unmatched.append(pattern)
    return sorted(kept), unmatched


def matches(pattern: str, path: str, folder: str) -> bool:
    """Return True if Java's path matcher takes a path in a folder, as the engine asks it.

    A plain pattern begins in the folder: `**/a` does not match `a`, since a slash comes before.
    One that begins with `glob:` or `regex:` has to match the absolute path.
    """
    if pattern.startswith("\\"):
        return False
    if pattern.startswith(("glob:", "regex:")):
        path = f"{folder}/{path}"
    if pattern.startswith("regex:"):
        regex = pattern.removeprefix("regex:")
    elif pattern.startswith("glob:"):
        regex = _regex_of_glob(pattern.removeprefix("glob:"))
    else:
        regex = _regex_of_glob(pattern.removeprefix("/"))
    try:
        return re.fullmatch(regex, path) is not None
    except re.error:
        return False


def _regex_of_glob(glob: str) -> str:
    depth, found = 0, []
    for part in _JAVA_GLOB_PART.findall(glob):
        if part.startswith("[") and len(part) > 1:
            found += ["(?!/)", part.replace("[^", r"[\^", 1).replace("[!", "[^", 1)]
        elif part in _JAVA_GLOB and (depth or part not in ",}"):
            depth += (part == "{") - (part == "}")
            found.append(_JAVA_GLOB[part])
        else:
            found.append(re.escape(part.removeprefix("\\") if len(part) > 1 else part))
    return "".join(found)


def _walk(folder: str, *, skip: bool, parent: str = "") -> Iterator[tuple[str, os.stat_result]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:  # it has gone, or may not be read
        return
    for entry in entries:
        path = parent + entry.name
        if skip and entry.name.startswith("."):
            continue
        if entry.is_dir():
            if not (entry.is_symlink() or (skip and entry.name in _SKIPPED)):
                yield from _walk(entry.path, skip=skip, parent=f"{path}/")
            continue
        try:
            yield path, entry.stat()  # which Windows has told with the name
        except OSError:  # it has gone, or leads nowhere
            continue
