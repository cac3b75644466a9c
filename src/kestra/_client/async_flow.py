"""`AsyncFlow`: what `Flow` does, for programs with an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from kestra._api.parsing import checked_level
from kestra._api.requests import ExecutionRequest
from kestra._client.connection import Connection
from kestra._rules import actions, downloads, executing, following, log, many, reading

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    import httpx2
    from typing_extensions import Self

    from kestra._api.models import FlowExecution, LogEntry, Metric, StateChange
    from kestra._api.requests import ExecutionOutcome
    from kestra._client.async_namespace import AsyncNamespace
    from kestra._client.flow import Given
    from kestra._http.async_sessions import AsyncSessions
    from kestra._http.asynchronous import AsyncIO

    T = TypeVar("T")


class AsyncFlow(Connection):
    """`Flow` for an event loop of asyncio: the same arguments, guarantees, results and errors.

    Needs `pip install 'kestra[async]'`. A `session` is an `httpx2.AsyncClient`, and so is the
    `response` of an error one of `httpx2`. Certificates are checked by the system's store, unless
    `verify` or the environment names a bundle. `async with` closes the connections, and ends what
    is still under way; without it, `await flow.close()` does.

    Example:
        ::

            async with AsyncFlow() as flow:
                result = await flow.execute("company.team", "report", timeout=600)
                async for event in flow.follow(execution_id):
                    print(event)
    """

    _sessions: AsyncSessions

    def _open(self, session: Any) -> AsyncSessions:
        try:
            from kestra._http.async_sessions import AsyncSessions
        except ModuleNotFoundError as error:
            if error.name not in {"anyio", "httpx2"}:
                raise
            text = "AsyncFlow needs httpx2: pip install 'kestra[async]'"
            raise ModuleNotFoundError(text, name=error.name) from None
        return AsyncSessions(session)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """As `Flow.close`; calls that are still under way end."""
        await self._sessions.close()

    def namespace(self, name: str) -> AsyncNamespace:
        """As `Flow.namespace`."""
        from kestra import AsyncNamespace

        return AsyncNamespace._of(self, name)  # noqa: SLF001  # made for this

    # --- executing ---

    async def execute(  # noqa: PLR0913  # as `Flow.execute`
        self,
        namespace: str,
        flow: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        labels: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        kill_on_timeout: bool = False,
        revision: int | None = None,
        schedule_date: datetime | str | None = None,
        fetch_log: bool = True,
        on_log: Callable[[LogEntry], object] | None = None,
        on_state: Callable[[StateChange], object] | None = None,
        follow: bool = True,
    ) -> FlowExecution:
        """As `Flow.execute`, following by default; callbacks may be coroutine functions."""
        waits = self.wait_for_completion
        options = self._options(
            timeout, kill_on_timeout, fetch_log, on_log, on_state, follow, waits=waits
        )
        request = ExecutionRequest(namespace, flow, inputs, labels, revision, schedule_date)
        return await executing.execute(self._io(), request, options, waits=waits)

    async def wait(  # noqa: PLR0913  # as `Flow.wait`
        self,
        execution_id: str,
        timeout: float | None = None,
        *,
        kill_on_timeout: bool = False,
        fetch_log: bool = True,
        on_log: Callable[[LogEntry], object] | None = None,
        on_state: Callable[[StateChange], object] | None = None,
        follow: bool = True,
    ) -> FlowExecution:
        """As `Flow.wait`, following by default."""
        options = self._options(timeout, kill_on_timeout, fetch_log, on_log, on_state, follow)
        return await executing.wait(self._io(), execution_id, options)

    def execute_all(
        self,
        requests: Iterable[Given],
        *,
        max_concurrent: int = 10,
        timeout: float | None = None,
        kill_on_timeout: bool = False,
        fetch_log: bool = False,
    ) -> AsyncGenerator[ExecutionOutcome, None]:
        """As `Flow.execute_all`, for `async for`, with tasks in the place of threads."""
        waits = self.wait_for_completion
        options = self._options(timeout, kill_on_timeout, fetch_log, waits=waits)
        checked, slots = many.checked_requests(requests), many.checked_slots(max_concurrent)
        return many.outcomes(self._io(), checked, options, max_concurrent=slots, waits=waits)

    def follow(
        self, execution_id: str, *, min_level: str = "TRACE", timeout: float | None = None
    ) -> AsyncGenerator[LogEntry | StateChange, None]:
        """As `Flow.follow`, for `async for`; who leaves it early leaves nothing behind."""
        options = self._options(timeout=timeout, fetch_log=False, grace=False)
        level = checked_level(min_level)
        self._server.url("{execution_id}", execution_id=execution_id)  # refuses what is not an id
        return following.events(self._io(), execution_id, options, level)

    # --- reading ---

    async def get_execution(self, execution_id: str) -> FlowExecution:
        """As `Flow.get_execution`."""
        return await self._of(reading.get_execution, execution_id)

    async def get_outputs(self, execution_id: str, *, task_id: str | None = None) -> dict[str, Any]:
        """As `Flow.get_outputs`."""
        return await self._of(reading.get_outputs, execution_id, task_id)

    async def get_metrics(self, execution_id: str) -> list[Metric]:
        """As `Flow.get_metrics`."""
        return await self._of(reading.get_metrics, execution_id)

    async def iter_logs(
        self, execution_id: str, *, min_level: str = "TRACE"
    ) -> AsyncGenerator[LogEntry, None]:
        """As `Flow.iter_logs`, for `async for`; the requests are made when it begins."""
        options = self._options()
        for entry in await self._of(log.get_log, execution_id, options, min_level):
            yield entry

    async def download(self, execution_id: str, uri: str, to: str | os.PathLike[str]) -> Path:
        """As `Flow.download`, written by a thread."""
        return await self._of(downloads.download, execution_id, uri, to)

    # --- acting ---

    async def kill(self, execution_id: str) -> None:
        """As `Flow.kill`."""
        await self._of(actions.act, execution_id, "kill")

    async def pause(self, execution_id: str) -> None:
        """As `Flow.pause`."""
        await self._of(actions.act, execution_id, "pause")

    async def resume(self, execution_id: str, inputs: Mapping[str, Any] | None = None) -> None:
        """As `Flow.resume`."""
        await self._of(actions.resume, execution_id, inputs)

    async def restart(self, execution_id: str, *, revision: int | None = None) -> str:
        """As `Flow.restart`."""
        return await self._of(actions.restart, execution_id, revision)

    async def replay(
        self, execution_id: str, *, task_run_id: str | None = None, revision: int | None = None
    ) -> str:
        """As `Flow.replay`."""
        return await self._of(actions.replay, execution_id, task_run_id, revision)

    async def set_labels(self, execution_id: str, labels: Mapping[str, Any]) -> None:
        """As `Flow.set_labels`."""
        await self._of(actions.set_labels, execution_id, labels)

    async def check_status(self, execution_id: str) -> httpx2.Response:
        """As `Flow.check_status`."""
        return await self._io().poll(execution_id)

    async def get_logs(self, execution_id: str) -> httpx2.Response:
        """As `Flow.get_logs`."""
        return await self._io().fetch_log(execution_id)

    # --- how ---

    def _io(self) -> AsyncIO:
        from kestra._http.asynchronous import AsyncIO

        return AsyncIO(self)

    async def _of(
        self, rule: Callable[..., Coroutine[Any, Any, T]], execution_id: str, *args: Any
    ) -> T:
        """Carry out a rule about an execution, which every error names."""
        return await reading.about(self._io(), execution_id, rule, *args)
