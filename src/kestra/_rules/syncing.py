"""Making the files of a namespace what a folder has, or the reverse: what differs, nothing else.

No listing of a server has a hash. One export has the CRC-32 of each file, and, to bring files
here, the files themselves.
"""

from __future__ import annotations

import logging
import os
import shutil
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from zlib import crc32

from kestra._api.namespaces import Change
from kestra._rules import files
from kestra._rules.io import tell
from kestra._rules.pages import carry_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet

    from kestra._rules.io import IO

    Sums = dict[str, tuple[int, int]]  # size and CRC by path

logger = logging.getLogger("kestra")

_IGNORE_FILES = (".gitignore", ".kestraignore")  # the last one has the last word
_PIECE = 1 << 20


@dataclass(slots=True)
class Sync:
    """What to make the same. The attributes are the arguments of `NamespaceFiles.sync`."""

    local: Path
    to: Any
    direction: str
    delete: bool
    dry_run: bool
    on_change: Callable[[Change], Any] | None

    def __post_init__(self) -> None:
        if self.direction not in {"up", "down"}:
            raise ValueError(f"direction must be 'up' or 'down', not {self.direction!r}")
        self.to = files.checked_folder(self.to, "to")

    def remote(self, path: str) -> str:
        """Return the path in the namespace of a path below the local folder."""
        return f"{self.to}/{path}" if self.to else path


async def synchronize(io: IO, namespace: str, sync: Sync) -> list[Change]:
    """Make the changes, and return them."""
    ignored = _Ignored(sync.local)
    here: Sums = await io.call(_local, sync, ignored)
    async with files.exported(io, namespace) as archive:
        known, there = await io.call(_remote, archive, sync, ignored)
        if sync.direction == "up":
            source, target, others = here, there, known.keys()
            done, place = "sent", sync.to or "the namespace"
        else:
            source, target, others = there, here, here.keys()
            done, place = "fetched", str(sync.local)
        kept = others - (target.keys() if sync.delete else set()) - source.keys()
        if sync.direction == "down":
            kept |= await io.call(_in_the_way, sync.local)
        _check_places(source, kept, done, place)
        plan = _plan(source, target, sync)

        async def make(change: Change) -> Change:
            path = sync.remote(change.name)
            logger.info("Namespace file %s: %s", path, change.action)
            await tell(sync.on_change, change)
            if sync.direction == "down":
                await io.call(_take, archive, sync, change)
            elif change.action == "deleted":
                await files.remove(io, namespace, path)
            else:
                await files.send(io, namespace, path, sync.local / change.name)
            return change

        return plan if sync.dry_run else await carry_out(plan, make)


class _Ignored:
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
            if spec is not None:
                found = spec.check_file("/".join(parts[depth:]) + end).include
                if found is not None:
                    return bool(found)
        return False

    def _spec(self, folder: str) -> Any:
        if folder not in self._specs:
            paths = [self._root / folder / name for name in _IGNORE_FILES]
            specs = [_spec_of(path) for path in paths if path.is_file()]
            self._specs[folder] = sum(specs[1:], specs[0]) if specs else None
        return self._specs[folder]


def _spec_of(path: Path) -> Any:
    try:
        from pathspec import GitIgnoreSpec
    except ImportError:
        raise ImportError(
            "to honour .kestraignore and .gitignore, install pathspec: "
            "pip install 'kestra[namespace]'"
        ) from None
    try:
        lines = path.read_text("utf-8-sig").splitlines()
        # Of a folder's `/**`, only what is in it is left out: else nothing could be let in again.
        lines = [f"{x.rstrip()}/*" if x.rstrip().endswith("/**") else x for x in lines]
        return GitIgnoreSpec.from_lines(lines)
    except ValueError as error:  # no text, or no pattern
        raise ValueError(f"local: {str(path)!r} is not a valid ignore file: {error}") from None


def _local(sync: Sync, ignored: _Ignored) -> Sums:
    """Return the local files that are not ignored, without those below links to folders."""
    is_up = sync.direction == "up"
    if not is_up and not sync.local.exists():
        return {}
    if not sync.local.is_dir():
        raise NotADirectoryError(f"local must be a folder: {str(sync.local)!r}")
    found = [Path(folder, name) for folder, _, names in os.walk(sync.local) for name in names]
    paths = sorted(path.relative_to(sync.local).as_posix() for path in found)
    kept = [path for path in paths if not ignored(path)]
    for path in kept if is_up else ():
        files.checked_path(sync.remote(path), "local: the path of a file")
    for path in kept:
        if not (sync.local / path).is_file():  # a pipe would be read without end
            raise ValueError(
                f"local: {path!r} is neither a regular file nor a link to one: delete it, or name "
                "it in .kestraignore"
            )
    return {path: _size_and_sum(sync.local / path) for path in kept}


def _in_the_way(local: Path) -> set[str]:
    """Return where no file can be put: links to folders, and, with a slash, empty folders."""
    found = set()
    for folder, inner, names in os.walk(local):
        below = Path(folder).relative_to(local)
        found |= {(below / name).as_posix() for name in inner if Path(folder, name).is_symlink()}
        if not inner and not names:
            found.add(f"{below.as_posix()}/")
    return found


def _size_and_sum(path: Path) -> tuple[int, int]:
    """Return the size of a file, and its CRC-32, as zip files have it."""
    size = total = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            size += len(piece)
            total = crc32(piece, total)
    return size, total


def _remote(archive: Path, sync: Sync, ignored: _Ignored) -> tuple[Sums, Sums]:
    """Return all files of the namespace, and those that are not ignored."""
    if not archive.stat().st_size:
        return {}, {}
    with zipfile.ZipFile(archive) as opened:
        entries = _entries(opened, sync)
    known = {path: (entry.file_size, entry.CRC) for path, entry in entries.items()}
    return known, {path: known[path] for path in known if not ignored(path)}


def _entries(opened: zipfile.ZipFile, sync: Sync) -> dict[str, zipfile.ZipInfo]:
    """Return the files of an export below the folder in question, by their paths from there."""
    start = sync.remote("")
    named = {entry.filename.removeprefix("/"): entry for entry in opened.infolist()}
    wrong = next((path for path in named if start.startswith(f"{path}/")), None)
    if wrong is not None:
        raise ValueError(f"to must be a folder of the namespace, and {wrong!r} is a file")
    found = {}
    for path, entry in named.items():
        parts = path.split("/")
        if ".." in parts or "\\" in path or "" in parts[:-1]:
            raise ValueError(f"the server has a file with a path that cannot be used: {path!r}")
        if parts[-1] and parts[0] != files.FLOWS and path.startswith(start):
            found[path.removeprefix(start)] = entry
    return found


def _plan(source: Sums, target: Sums, sync: Sync) -> list[Change]:
    """Return the changes that make the target what the source is; deletions come first."""
    surplus = sorted(target.keys() - source.keys()) if sync.delete else []
    changed = [
        Change("updated" if path in target else "created", path, str(sync.local / path))
        for path in sorted(source)
        if source[path] != target.get(path)
    ]
    return [Change("deleted", path) for path in surplus] + changed


def _check_places(source: Iterable[str], kept: AbstractSet[str], done: str, target: str) -> None:
    """Refuse a file in the place of a folder, and the reverse, unless that is to be deleted."""
    folders = {folder for path in kept for folder in _folders(path)}
    for path in source:
        wrong = path if path in folders else next((x for x in _folders(path) if x in kept), None)
        if wrong is not None:
            kind = "a folder" if wrong == path else "a file or a link"
            raise ValueError(
                f"local: {path!r} cannot be {done}, since {wrong!r} is {kind} in {target}: "
                "delete it first, or use delete=True where it is not ignored"
            )


def _folders(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _take(archive: Path, sync: Sync, change: Change) -> None:
    """Make a change to the local folder; a file is there either whole or as it was."""
    path = sync.local / change.name
    if change.action == "deleted":
        path.unlink()
        for folder in path.relative_to(sync.local).parents[:-1]:
            with suppress(OSError):  # there is something left in it
                (sync.local / folder).rmdir()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid4().hex}.part")
    try:
        with (
            zipfile.ZipFile(archive) as opened,
            opened.open(_entries(opened, sync)[change.name]) as source,
            part.open("wb") as target,
        ):
            shutil.copyfileobj(source, target)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
