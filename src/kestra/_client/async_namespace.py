"""`AsyncNamespace`: what `Namespace` does, for programs with an event loop."""
# ruff: noqa: SLF001  # a namespace, its parts, and the AsyncFlow that it shares

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from kestra._api.stored import is_key
from kestra._client.async_flow import AsyncFlow
from kestra._client.namespace_base import NamespaceBase
from kestra._rules import files, flows, kv, listing, syncing, webhook

if TYPE_CHECKING:
    import builtins  # of which methods below have names
    import os
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
    from datetime import datetime, timedelta

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
    from kestra._client.namespace import Paths, Where

    T = TypeVar("T")


class AsyncNamespace(NamespaceBase):
    """`Namespace` for an event loop of asyncio: the same arguments, guarantees, results and errors.

    Needs `pip install 'kestra[async]'`, and a `session` is an `httpx2.AsyncClient`, as for
    `AsyncFlow`.

    Example:
        ::

            async with AsyncNamespace("company.team") as ns:
                await ns.kv.set("cursor", date(2026, 1, 31))
                async for execution in ns.executions("report", state="FAILED"):
                    print(execution.id)

    Attributes:
        name: The name of the namespace.
        kv: Its key-value store.
        files: Its files.
        flows: Its flows.
    """

    _connect = AsyncFlow

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """As `Namespace.close`; calls that are still under way end."""
        if self._owns_flow:
            await self._flow.close()

    @cached_property
    def kv(self) -> AsyncKeyValueStore:
        """The key-value store of the namespace."""
        return AsyncKeyValueStore(self)

    @cached_property
    def files(self) -> AsyncNamespaceFiles:
        """The files of the namespace."""
        return AsyncNamespaceFiles(self)

    @cached_property
    def flows(self) -> AsyncNamespaceFlows:
        """The flows of the namespace: sources, validation, deployment."""
        return AsyncNamespaceFlows(self)

    def executions(  # noqa: PLR0913  # as `Namespace.executions`
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
    ) -> AsyncGenerator[Execution, None]:
        """As `Namespace.executions`, for `async for`."""
        search = listing.Search(flow, state, labels, since, until, text, trigger, children)
        return self._found(search)

    async def last(
        self,
        flow: str | None = None,
        *,
        state: str | Iterable[str] | None = None,
        labels: Mapping[str, Any] | None = None,
    ) -> Execution | None:
        """As `Namespace.last`."""
        return await self._perform(listing.last, listing.Search(flow, state, labels))

    async def webhook(
        self, flow: str, key: str, body: Any = None, *, wait: bool | float = False
    ) -> WebhookResponse:
        """As `Namespace.webhook`."""
        return await self._perform(webhook.call, flow, key, body, wait, self._flow._options)

    async def _perform(
        self, rule: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any
    ) -> T:
        with self._naming_origin():
            return await rule(self._flow._io(), self.name, *args, **kwargs)

    async def _found(self, search: listing.Search) -> AsyncGenerator[Execution, None]:
        with self._naming_origin():
            async for each in listing.executions(self._flow._io(), self.name, search):
                yield each


class _Part:
    """What belongs to a namespace."""

    def __init__(self, namespace: AsyncNamespace) -> None:
        self._namespace = namespace
        self._perform = namespace._perform


class AsyncKeyValueStore(_Part):
    """`KeyValueStore` with methods in the place of operators, which cannot be awaited."""

    async def get(self, key: str, default: Any = None) -> Any:
        """Get the value of a key, or the default where it is missing or has expired."""
        if not is_key(key):
            return default
        try:
            return await self._perform(kv.get_value, key)
        except KeyError:
            return default

    async def set(
        self,
        key: str,
        value: Any,
        *,
        ttl: timedelta | float | None = None,
        description: str | None = None,
    ) -> None:
        """As `KeyValueStore.set`."""
        await self._perform(kv.put, key, value, ttl, description)

    async def delete(self, key: str) -> None:
        """Delete a key.

        Raises:
            KeyError: It is missing, or has expired.
            ValueError: It is not a valid key.
        """
        await self._perform(kv.delete, key)

    async def exists(self, key: str) -> bool:
        """Return True if a key is there, and has not expired."""
        missing = object()
        return await self.get(key, missing) is not missing

    async def info(self, key: str) -> KeyInfo:
        """As `KeyValueStore.info`."""
        return await self._perform(kv.info, key)

    async def list(self) -> builtins.list[KeyInfo]:
        """As `KeyValueStore.list`: all keys, with what the server lists of them."""
        return await self._perform(kv.infos)

    async def clear(self) -> None:
        """As `KeyValueStore.clear`."""
        await self._perform(kv.clear)


class AsyncNamespaceFiles(_Part):
    """`NamespaceFiles`, whose local files are read and written by threads. It has no `open`."""

    async def read(self, path: Where) -> bytes:
        """As `NamespaceFiles.read`."""
        return await self._perform(files.read, path)

    async def write(self, path: Where, content: str | bytes) -> None:
        """As `NamespaceFiles.write`."""
        await self._perform(files.write, path, content)

    async def upload(self, local: str | os.PathLike[str], to: Where) -> None:
        """As `NamespaceFiles.upload`."""
        await self._perform(files.upload, local, to)

    async def download(self, path: Where, to: str | os.PathLike[str]) -> Path:
        """As `NamespaceFiles.download`."""
        return await self._perform(files.download, path, to)

    async def exists(self, path: Where) -> bool:
        """As `NamespaceFiles.exists`."""
        return await self._perform(files.exists, path)

    async def move(self, path: Where, to: Where) -> None:
        """As `NamespaceFiles.move`."""
        await self._perform(files.move, path, to)

    async def delete(self, path: Where, *, recursive: bool = False) -> None:
        """As `NamespaceFiles.delete`."""
        await self._perform(files.delete, path, recursive=recursive)

    async def list(self, path: Where = "", *, recursive: bool = False) -> builtins.list[FileInfo]:
        """As `NamespaceFiles.list`."""
        return await self._perform(files.listed, path, recursive=recursive)

    async def sync(  # noqa: PLR0913  # as `NamespaceFiles.sync`
        self,
        local: str | os.PathLike[str],
        to: Where = "",
        *,
        direction: Literal["up", "down"] = "up",
        delete: bool = False,
        dry_run: bool = False,
        on_change: Callable[[Change], object] | None = None,
    ) -> builtins.list[Change]:
        """As `NamespaceFiles.sync`; `on_change` may be a coroutine function."""
        sync = syncing.Sync(Path(local), to, direction, delete, dry_run, on_change)
        return await self._perform(syncing.synchronize, sync)


class AsyncNamespaceFlows(_Part):
    """`NamespaceFlows`, whose methods are awaited."""

    async def get(self, flow: str, *, revision: int | None = None) -> FlowSource:
        """As `NamespaceFlows.get`."""
        return await self._perform(flows.get, flow, revision)

    async def list(self) -> builtins.list[FlowSource]:
        """As `NamespaceFlows.list`."""
        return await self._perform(flows.listed)

    async def revisions(self, flow: str) -> builtins.list[FlowSource]:
        """As `NamespaceFlows.revisions`."""
        return await self._perform(flows.revisions, flow)

    async def validate(self, paths: Paths) -> builtins.list[Violation]:
        """As `NamespaceFlows.validate`."""
        return await self._perform(flows.validate, paths)

    async def deploy(
        self,
        paths: Paths,
        *,
        dry_run: bool = False,
        delete: bool = False,
        override_namespace: bool = False,
    ) -> builtins.list[Change]:
        """As `NamespaceFlows.deploy`."""
        return await self._perform(
            flows.deploy, paths, dry_run=dry_run, delete=delete, override=override_namespace
        )

    async def delete(self, flow: str) -> None:
        """As `NamespaceFlows.delete`."""
        await self._perform(flows.remove, flow)

    async def enable(self, flow: str) -> None:
        """As `NamespaceFlows.enable`."""
        await self._perform(flows.switch, flow, on=True)

    async def disable(self, flow: str) -> None:
        """As `NamespaceFlows.disable`."""
        await self._perform(flows.switch, flow, on=False)

    async def export(self, to: str | os.PathLike[str]) -> builtins.list[Path]:
        """As `NamespaceFlows.export`."""
        return await self._perform(flows.export, to)
