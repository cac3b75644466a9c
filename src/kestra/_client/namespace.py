"""`Namespace`: what lives around the flows of a namespace, and its parts."""
# ruff: noqa: SLF001  # a namespace and its parts, and the Flow that it shares

from __future__ import annotations

import tempfile
from collections.abc import MutableMapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, overload

from kestra._api.stored import is_key
from kestra._client.flow import Flow
from kestra._client.namespace_base import NamespaceBase
from kestra._http.blocking import perform, perform_each
from kestra._rules import files, flows, kv, listing, syncing, webhook

if TYPE_CHECKING:
    import builtins  # of which methods below have names
    import os
    from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta
    from typing import TypeAlias

    from typing_extensions import Self

    from kestra._api.namespaces import (
        Change,
        Execution,
        FileInfo,
        FlowSource,
        KeyInfo,
        Violation,
        WebhookResponse,
    )

    Where: TypeAlias = str | PurePath
    Paths: TypeAlias = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

T = TypeVar("T")

_MODES = {"r", "rb", "w", "wb"}


class _Part:
    """What belongs to a namespace."""

    _name: ClassVar[str]

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._perform = namespace._perform

    def __repr__(self) -> str:
        return f"{self._namespace!r}.{self._name}"


class KeyValueStore(_Part, MutableMapping[str, Any]):
    """The key-value store of a namespace: a mapping whose values outlive executions.

    Values are what JSON holds, and `date`, `datetime` and `timedelta`. What is put comes back
    equal, and is right in `{{ kv('key') }}`; what would come back as something else is refused with
    the reason. The page on the key-value store has the table.

    Each operation is a request, and `update` one a key; `clear` deletes many keys with one.
    `list(kv)` asks for the length first: `list(iter(kv))` saves a request. A key that is missing or
    has expired is a `KeyError`. Of two tasks that put the same key the later one wins: the server
    has no compare-and-set, so a lock cannot be built on this. Limit the concurrency of the flow
    instead.

    Reading ignores parent namespaces, while `{{ kv('key') }}` searches them too.
    """

    _name = "kv"

    def __getitem__(self, key: str) -> Any:
        return self._perform(kv.get_value, key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        self._perform(kv.delete, key)

    def __iter__(self) -> Iterator[str]:
        yield from [info.key for info in self.list()]  # who iterates may delete them

    def __len__(self) -> int:
        return len(self.list())

    def __contains__(self, key: object) -> bool:
        return is_key(key) and super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Get the value of a key, or the default where it is missing or has expired."""
        return super().get(key, default) if is_key(key) else default

    def set(
        self,
        key: str,
        value: Any,
        *,
        ttl: timedelta | float | None = None,
        description: str | None = None,
    ) -> None:
        """Put a value, perhaps for some time only.

        Without a `ttl`, what was put before with one expires no more, and without a `description`
        the earlier one is gone: so it is for `kv[key] = value`, too.

        Args:
            key: The key: ASCII letters, digits, `.`, `_` and `-`, beginning with a letter or digit.
            value: The value.
            ttl: How long to keep it: a timedelta or seconds.
            description: What people see beside it: one line of Latin-1 characters.

        Raises:
            TypeError: An argument, or a part of the value, is of a type that cannot be kept.
            ValueError: An argument would be refused, or come back as something else.
            APIError: The server refused.
            FailedExponentialBackoff: Every attempt failed.
        """
        self._perform(kv.put, key, value, ttl, description)

    def info(self, key: str) -> KeyInfo:
        """Get what the store says of a key: type, revision, description, dates, expiry.

        Args:
            key: The key.

        Raises:
            KeyError: It is missing, or has expired.
            ValueError: It is not a valid key.
            APIError: The server refused.
            FailedExponentialBackoff: Every attempt failed.
        """
        return self._perform(kv.info, key)

    def list(self) -> builtins.list[KeyInfo]:
        """Get what the server lists of all keys: all of `info` but the types.

        Raises:
            APIError: The server refused.
            FailedExponentialBackoff: Every attempt failed.
        """
        return self._perform(kv.infos)

    def clear(self) -> None:
        """Delete all keys of the namespace, a thousand with one request.

        Raises:
            APIError: The server refused.
            FailedExponentialBackoff: Every attempt failed.
        """
        self._perform(kv.clear)


class NamespaceFiles(_Part):
    """The files of a namespace.

    Paths begin at the root of the namespace, with or without a slash. Those that a server would
    change or merge with others are refused with a `ValueError`: with a space, a backslash, an empty
    part or `..`. What a file is written over stays as a revision.

    Besides what is said of each method, it raises an `APIError` where the server refuses, and a
    `FailedExponentialBackoff` where every attempt failed.
    """

    _name = "files"

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
        return self._opened(files.checked_path(path), mode, None if "b" in mode else encoding)

    @contextmanager
    def _opened(self, path: str, mode: str, encoding: str | None) -> Generator[IO[Any], None, None]:
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder, "content")
            if "r" in mode:
                self._perform(files.download, path, local)
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
            ValueError: The path or the target is not valid.
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


class NamespaceFlows(_Part):
    """The flows of a namespace.

    `validate` and `deploy` need PyYAML: `pip install 'kestra[namespace]'`. Neither uses the bulk
    routes of the server, which delete flows that are not sent.

    Besides what is said of each method, it raises an `APIError` where the server refuses, and a
    `FailedExponentialBackoff` where every attempt failed.
    """

    _name = "flows"

    def get(self, flow: str, *, revision: int | None = None) -> FlowSource:
        """Get a flow with its source, byte for byte.

        Args:
            flow: The id of the flow.
            revision: The revision, instead of the latest.

        Raises:
            NotFound: There is no such flow or revision.
            TypeError: The revision is not an integer.
            ValueError: The revision or the id is not valid.
        """
        return self._perform(flows.get, flow, revision)

    def list(self) -> builtins.list[FlowSource]:
        """Get all flows by their ids, without their sources."""
        return self._perform(flows.listed)

    def revisions(self, flow: str) -> builtins.list[FlowSource]:
        """Get all revisions of a flow, with their sources; those of a deleted flow stay.

        Args:
            flow: The id of the flow.

        Raises:
            NotFound: There is no such flow.
            ValueError: The id is not valid.
        """
        return self._perform(flows.revisions, flow)

    def validate(self, paths: Paths) -> builtins.list[Violation]:
        """Let the server check the sources of flows, of any namespace; nothing is changed.

        A server does not check expressions, and names a line only where the YAML is wrong.

        Args:
            paths: Files, or folders with YAML files below them. A file may hold several documents.

        Returns:
            What is wrong, in the order of the files; nothing if all can be deployed. Those with
            `is_warning` are no reason not to.

        Raises:
            OSError: A file cannot be read.
            TypeError: `paths` is neither a path nor several.
            ValueError: There are no documents, or a file is not UTF-8.
        """
        return self._perform(flows.validate, paths)

    def deploy(
        self,
        paths: Paths,
        *,
        dry_run: bool = False,
        delete: bool = False,
        override_namespace: bool = False,
    ) -> builtins.list[Change]:
        """Make flows of the namespace what the sources of files say.

        What the server has already is left alone, so that there are no needless revisions. Flows
        come before those that call them. It stops at the first failure, whose error says what was
        done before.

        Args:
            paths: Files, or folders with YAML files below them. A file may hold several documents.
            dry_run: Only return the changes.
            delete: Whether to delete the flows of the namespace that are not among the sources.
            override_namespace: Whether to deploy sources of another namespace, with this one
                written into them; else they are refused.

        Returns:
            What was done to each flow, with the difference and the new revision.

        Raises:
            InvalidInput: The server does not accept a source.
            OSError: A file cannot be read.
            TypeError: `paths` is neither a path nor several.
            ValueError: A source cannot be read, or is of another namespace; or two are of one flow.
        """
        return self._perform(
            flows.deploy, paths, dry_run=dry_run, delete=delete, override=override_namespace
        )

    def delete(self, flow: str) -> None:
        """Delete a flow. Its executions and revisions stay.

        Args:
            flow: The id of the flow.

        Raises:
            NotFound: There is no such flow.
            ValueError: The id is not valid.
        """
        self._perform(flows.remove, flow)

    def enable(self, flow: str) -> None:
        """Let a flow be executed again. The server rewrites its source: a new revision.

        Args:
            flow: The id of the flow.

        Raises:
            NotFound: There is no such flow.
        """
        self._perform(flows.switch, flow, on=True)

    def disable(self, flow: str) -> None:
        """Let a flow be executed no more. The server writes `disabled: true` into its source.

        Args:
            flow: The id of the flow.

        Raises:
            NotFound: There is no such flow.
        """
        self._perform(flows.switch, flow, on=False)

    def export(self, to: str | os.PathLike[str]) -> builtins.list[Path]:
        """Write the source of each flow, byte for byte, to a file `<id>.yml` of a folder.

        Args:
            to: The folder, which is made where it is missing. Files of these names are replaced.

        Returns:
            The paths of the files.

        Raises:
            OSError: A file cannot be written.
        """
        return self._perform(flows.export, to)


class Namespace(NamespaceBase):
    """A namespace in hand: its key-value store, files, flows and executions.

    ::

        with Namespace("company.team") as ns:
            ns.kv["cursor"] = date(2026, 1, 31)
            ns.files.sync("src/", to="etl/")
            ns.flows.deploy("flows/")
            for execution in ns.executions("report", state="FAILED", since=timedelta(days=1)):
                print(execution.id, execution.url)
            print(ns.webhook("orders", key, {"id": 7}, wait=60).outputs)

    In a task with `executionContext: true`, `Namespace()` is the namespace of its flow. One object
    serves any number of threads, and `with` or `close` closes its connections; that of
    `flow.namespace("…")` shares those of the `Flow`.

    Attributes:
        name: The name of the namespace.
        kv: Its key-value store.
        files: Its files.
        flows: Its flows.
    """

    _connect = Flow

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, unless they are those of a `Flow`."""
        if self._owns_flow:
            self._flow.close()

    @cached_property
    def kv(self) -> KeyValueStore:
        """The key-value store of the namespace."""
        return KeyValueStore(self)

    @cached_property
    def files(self) -> NamespaceFiles:
        """The files of the namespace."""
        return NamespaceFiles(self)

    @cached_property
    def flows(self) -> NamespaceFlows:
        """The flows of the namespace: sources, validation, deployment."""
        return NamespaceFlows(self)

    def executions(  # noqa: PLR0913  # each is independent, and all but the first keyword-only
        self,
        flow: str | None = None,
        *,
        state: str | Iterable[str] | None = None,
        labels: Mapping[str, Any] | None = None,
        since: datetime | timedelta | None = None,
        until: datetime | timedelta | None = None,
        text: str | None = None,
        trigger: str | None = None,
        children: bool | None = None,
    ) -> Generator[Execution, None, None]:
        """Find executions of the namespace, the newest first.

        They are asked for while you iterate, a hundred at a time. Executions that are created
        meanwhile change nothing: each that was there at the beginning comes once. A new one is
        found a tenth of a second after its creation. What to do with them is in `Flow`: `kill`,
        `restart`, `get_outputs` and more.

        Args:
            flow: Only of this flow.
            state: Only in this state, or in one of these.
            labels: Only with all of these labels.
            since: Only those created since then; a timedelta is one before now, by the clock of the
                server, and a datetime without an offset is local.
            until: Only those created until then, given as for `since`.
            text: Only those which the server finds for this text: a piece of an id, of the
                namespace or the flow, and more by its version.
            trigger: Only those that this execution has started, by its id.
            children: True for those only that another execution has started, False for the others.

        Yields:
            Each execution as the search shows it.

        Raises:
            MalformedResponse: The response is not what a Kestra server sends.
            APIError: The server refused.
            FailedExponentialBackoff: Every attempt failed.
            TypeError: An argument is of the wrong type.
            ValueError: There is no such state, or a label is not valid.
        """
        search = listing.Search(flow, state, labels, since, until, text, trigger, children)
        return self._found(search)

    def last(
        self,
        flow: str | None = None,
        *,
        state: str | Iterable[str] | None = None,
        labels: Mapping[str, Any] | None = None,
    ) -> Execution | None:
        """Get the execution that was created last.

        Args:
            flow: Of this flow; of any by default.
            state: In this state, or in one of these.
            labels: With all of these labels.

        Returns:
            The execution, `None` where there is none.

        Raises:
            APIError: The server refused.
            FailedExponentialBackoff: Every attempt failed.
            TypeError: An argument is of the wrong type.
            ValueError: There is no such state, or a label is not valid.
        """
        return self._perform(listing.last, listing.Search(flow, state, labels))

    def webhook(
        self, flow: str, key: str, body: Any = None, *, wait: bool | float = False
    ) -> WebhookResponse:
        """Call the webhook of a flow.

        It is sent once, since a second one would start a second execution. A response of the flow
        is not an error, whatever its status: a flow that has failed responds with 500.

        Args:
            flow: The id of the flow.
            key: The key of its webhook. No error shows it.
            body: What to send: a dict or a list, of what `Kestra.outputs` takes as values; text;
                or nothing.
            wait: Whether to wait for the end of the execution where the webhook itself does not:
                True, or for how many seconds at most.

        Returns:
            The response; where this has waited, the state and the outputs at the end.

        Raises:
            NotFound: There is no such flow, or the key is not that of its webhook.
            Conflict: The flow is disabled; up to 1.x, also that an input is missing or wrong.
            InvalidInput: An input is missing or wrong.
            ExecutionTimeout: It has not ended in time.
            APIError: The server refused for another reason.
            FailedExponentialBackoff: No response came; the execution may exist all the same.
            TypeError: The body or `wait` is of the wrong type.
            ValueError: The body cannot be sent, or `wait`, the flow or the key is not valid.
        """
        return self._perform(webhook.call, flow, key, body, wait, self._flow._options)

    def _perform(self, rule: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        with self._naming_origin():
            return perform(self._flow, rule, self.name, *args, **kwargs)

    def _found(self, search: listing.Search) -> Generator[Execution, None, None]:
        with self._naming_origin():
            yield from perform_each(self._flow, listing.executions, self.name, search)
