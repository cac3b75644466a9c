"""`namespace.files`: the files of a namespace."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING, Any, Literal, overload

from kestra._api.file_paths import checked_path
from kestra._client.namespace_base import Part
from kestra._rules import files, syncing

if TYPE_CHECKING:
    import builtins  # of which a method below has a name
    import os
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    from kestra._api.namespaces import Change, FileInfo

    Where: TypeAlias = str | PurePath

_MODES = {"r", "rb", "w", "wb"}


class NamespaceFiles(Part):
    """The files of a namespace.

    Paths begin at the root of the namespace, with or without a slash. Those that a server would
    change or merge with others are refused with a `ValueError`: with a space, a backslash, an empty
    part or `..`. What a file is written over stays as a revision.

    Besides what is said of each method, it raises an `APIError` where the server refuses, and a
    `FailedExponentialBackoff` where every attempt failed.
    """

    _name = "files"

    # --- one file ---

    def read(self, path: Where) -> bytes:
        """Get what is in a file.

        Args:
            path: The path of the file.

        Raises:
            NotFound: There is no such file.
        """
        return self._perform(files.read, path)

    def write(self, path: Where, content: str | bytes) -> None:
        """Write a file: text as UTF-8, or bytes. Its folders are made where they are missing.

        Args:
            path: The path of the file. One that ends in `.zip` is kept as it is.
            content: What to write.

        Raises:
            IsADirectoryError: There is a folder of this path.
            TypeError: The path is not one, or the content is neither text nor bytes.
        """
        self._perform(files.write, path, content)

    @overload
    def open(
        self, path: Where, mode: Literal["r", "w"] = ..., *, encoding: str = ...
    ) -> AbstractContextManager[IO[str]]: ...
    @overload
    def open(
        self, path: Where, mode: Literal["rb", "wb"], *, encoding: str = ...
    ) -> AbstractContextManager[IO[bytes]]: ...
    def open(self, path: Where, mode: str = "r", *, encoding: str = "utf-8") -> Any:
        """Open a file, for `with`: to read it, or to write it at the end of the block.

        It goes through a temporary file, not through memory. Where the block raises, nothing is
        written.

        Args:
            path: The path of the file.
            mode: `r` or `w` for text, `rb` or `wb` for bytes.
            encoding: The encoding of text.

        Raises:
            NotFound: There is no such file.
            IsADirectoryError: There is a folder of this path.
            ValueError: There is no such mode, or a server would change the path.
        """
        if mode not in _MODES:
            raise ValueError(f"mode must be one of {', '.join(sorted(_MODES))}, not {mode!r}")
        return self._opened(checked_path(path), mode, None if "b" in mode else encoding)

    @contextmanager
    def _opened(self, path: str, mode: str, encoding: str | None) -> Generator[IO[Any], None, None]:
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder, "content")
            if "r" in mode:
                self._perform(files.copy, path, local)
            with local.open(mode, encoding=encoding, newline=None if "b" in mode else "") as file:
                yield file
            if "w" in mode:
                self._perform(files.upload, local, path)

    def upload(self, local: str | os.PathLike[str], to: Where) -> None:
        """Send a local file, streamed.

        Args:
            local: The local file.
            to: The path in the namespace.

        Raises:
            IsADirectoryError: There is a folder of this path.
            OSError: The local file cannot be read.
        """
        self._perform(files.upload, local, to)

    def download(self, path: Where, to: str | os.PathLike[str]) -> Path:
        """Write a file to a local one, streamed; it is there either whole or as it was.

        Args:
            path: The path in the namespace.
            to: The local file. Its folder has to be there.

        Raises:
            NotFound: There is no such file.
            OSError: The local file cannot be written.
            ValueError: The path or the target cannot be one.
        """
        return self._perform(files.download, path, to)

    def exists(self, path: Where) -> bool:
        """Return True if there is a file or a folder of this path.

        Args:
            path: The path.
        """
        return self._perform(files.exists, path)

    def move(self, path: Where, to: Where) -> None:
        """Move a file with its revisions, or a folder with all that is in it.

        Args:
            path: Its path.
            to: The path that it gets.

        Raises:
            FileNotFoundError: It is not there.
            FileExistsError: Something is at the target already.
        """
        self._perform(files.move, path, to)

    def delete(self, path: Where, *, recursive: bool = False) -> None:
        """Delete a file, or a folder.

        Args:
            path: Its path.
            recursive: Whether to delete a folder with all that is in it.

        Raises:
            FileNotFoundError: It is not there.
            IsADirectoryError: It is a folder, and `recursive` is off.
        """
        self._perform(files.delete, path, recursive=recursive)

    # --- many ---

    def list(self, path: Where = "", *, recursive: bool = False) -> builtins.list[FileInfo]:
        """Get what is in a folder, by the paths.

        Args:
            path: The folder; the root of the namespace by default.
            recursive: Whether to get all files below it, instead of the files and folders in it.
                The server has them without their sizes.

        Raises:
            NotFound: There is no such folder; with `recursive`, the list is empty.
        """
        return self._perform(files.listed, path, recursive=recursive)

    def sync(  # noqa: PLR0913  # each is independent, and all but the first two keyword-only
        self,
        local: str | os.PathLike[str],
        to: Where = "",
        *,
        direction: Literal["up", "down"] = "up",
        delete: bool = False,
        dry_run: bool = False,
        on_change: Callable[[Change], object] | None = None,
    ) -> builtins.list[Change]:
        """Make a folder of the namespace what a local folder has, or the reverse.

        Only what differs is sent. To know it, one export of the namespace is fetched, which has
        a checksum of each file. What `.kestraignore` and `.gitignore` name in the local folder, and
        below it, is left alone on both sides (this needs `pip install 'kestra[namespace]'`), and
        so are these two files and `.git`.

        Args:
            local: The local folder.
            to: The folder of the namespace; its root by default.
            direction: `up` to send, `down` to fetch.
            delete: Whether to delete what only the target has.
            dry_run: Only return the changes.
            on_change: Called with each change before it is made: `print` will do.

        Returns:
            The changes, by the paths below the two folders; none if they are the same.

        Raises:
            APIError: The server refused; the error says what was done before.
            FailedExponentialBackoff: Every attempt failed; the error says the same.
            OSError: A local file cannot be read or written.
            ValueError: A server would change the path of a file, or a folder is in its place.
        """
        sync = syncing.Sync(Path(local), to, direction, delete, dry_run, on_change)
        return self._perform(syncing.synchronize, sync)
