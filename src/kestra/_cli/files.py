"""The files that a script leaves in its working directory, and those that `outputFiles` keeps."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SKIPPED = {"__pycache__", "node_modules", "venv"}  # and what is hidden
_MOST_FILES = 20_000  # of a working directory that are checked for changes
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


def written(folder: str, before: dict[str, tuple[int, int, int]] | None) -> list[File]:
    """Return the files that are new or changed since `before`."""
    if before is None or (after := snapshot(folder)) is None:
        return []
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


def _walk(folder: str, *, skip: bool) -> Iterator[tuple[str, os.stat_result]]:
    for parent, folders, names in os.walk(folder):
        if skip:
            folders[:] = [it for it in folders if it not in _SKIPPED and not it.startswith(".")]
        for name in names:
            if skip and name.startswith("."):
                continue
            path = Path(parent, name)
            try:
                status = path.stat()
            except OSError:  # it has gone, or leads nowhere
                continue
            yield path.relative_to(folder).as_posix(), status
