"""Paths of namespace files: which are kept as they are, and which local files are ignored."""

from __future__ import annotations

import os
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_NAME = 255
_FLOWS = "_flows"
_IGNORE_FILES = (".gitignore", ".kestraignore")  # the last one has the last word
_PIECE = 1 << 20


def checked_path(path: Any, name: str = "path") -> str:
    """Return the path of a file, without a slash at its beginning."""
    text = checked_folder(path, name)
    if not text:
        raise ValueError(f"{name} must name a file, not the root of the namespace")
    return text


def checked_folder(path: Any, name: str = "path") -> str:
    """Return the path of a folder, empty for the root; a slash at its end is allowed.

    Raises:
        TypeError: It is not a path.
        ValueError: A server would change it, merge it with another, or refuse it.
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
        "must have printable characters only": not text.isprintable(),
        "must have no empty part, and no '.' or '..'": (
            bool(text) and not {"", ".", ".."}.isdisjoint(parts)
        ),
        f"must have no part of more than {_LONGEST_NAME} characters": (
            max(map(len, parts)) > _LONGEST_NAME
        ),
        "must not be in _flows, where a file becomes a flow: use namespace.flows.deploy": (
            parts[0] == _FLOWS
        ),
    }
    for fault, is_so in faults.items():
        if is_so:
            raise ValueError(f"{name} {fault}: {path!r}")
    return text


def is_kept(path: str) -> bool:
    """Return True for a file in an export that is a file of the namespace, not one of its flows."""
    parts = path.split("/")
    if ".." in parts or "\\" in path or "" in parts[:-1]:
        raise ValueError(f"the server has a file with a path that cannot be used: {path!r}")
    return bool(parts[-1]) and parts[0] != _FLOWS


class Ignored:
    """What the ignore files in a folder, and in the folders below it, leave out."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._specs: dict[str, Any] = {}

    def __call__(self, path: str) -> bool:
        """Return True if a file, or one of the folders that it is in, is to be left alone."""
        parts = path.split("/")
        if ".git" in parts or parts[-1] in _IGNORE_FILES:
            return True
        # As of Git: a folder that is left out is so with all in it; else the deepest file decides.
        ends = range(1, len(parts) + 1)
        return any(self._is_named(parts[:end], is_folder=end < len(parts)) for end in ends)

    def _is_named(self, parts: list[str], *, is_folder: bool) -> bool:
        end = "/" if is_folder else ""
        for depth in reversed(range(len(parts))):
            spec = self._spec("/".join(parts[:depth]))
            found = spec and spec.check_file("/".join(parts[depth:]) + end).include
            if found is not None:
                return bool(found)
        return False

    def _spec(self, folder: str) -> Any:
        if folder not in self._specs:
            lines: list[str] = []
            for name in _IGNORE_FILES:
                path = self._root / folder / name
                if path.is_file():
                    lines += map(_contents, path.read_text("utf-8-sig").splitlines())
            self._specs[folder] = _pathspec().GitIgnoreSpec.from_lines(lines) if lines else None
        return self._specs[folder]


def _contents(line: str) -> str:
    """Return a pattern that leaves out what is in a folder, not the folder: else none is let in."""
    return f"{line.rstrip()}/*" if line.rstrip().endswith("/**") else line


def local_files(root: Path, ignored: Ignored) -> Iterator[str]:
    """Yield the files below a folder, but those that are ignored; no links to folders."""
    if not root.is_dir():
        raise NotADirectoryError(f"local must be a folder: {str(root)!r}")
    for folder, _, names in sorted(os.walk(root)):
        for name in sorted(names):
            path = Path(folder, name).relative_to(root).as_posix()
            if not ignored(path):
                yield path


def size_and_sum(path: Path) -> tuple[int, int]:
    """Return the size of a file, and its CRC-32, as zip files have it."""
    size = total = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            size += len(piece)
            total = crc32(piece, total)
    return size, total


def _pathspec() -> Any:
    try:
        import pathspec
    except ImportError:
        raise ImportError(
            "to honour .kestraignore and .gitignore, install pathspec: "
            "pip install 'kestra[namespace]'"
        ) from None
    return pathspec
