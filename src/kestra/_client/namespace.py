"""`Namespace`: what lives around the flows of a namespace."""
# ruff: noqa: SLF001  # a namespace and its parts, and the Flow that it shares

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from kestra._client.flow import Flow
from kestra._client.key_values import KeyValueStore
from kestra._client.namespace_base import NamespaceBase
from kestra._client.namespace_files import NamespaceFiles
from kestra._client.namespace_flows import NamespaceFlows
from kestra._http.blocking import perform, perform_each
from kestra._rules import listing, webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
    from datetime import datetime, timedelta

    from typing_extensions import Self

    from kestra._api.namespaces import Execution, WebhookResponse

T = TypeVar("T")


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

    # --- executions ---

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
            ValueError: There is no such state, or a label cannot be one.
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
            ValueError: There is no such state, or a label cannot be one.
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
            body: What to send: a dict or a list, with what `execute` takes as an input of type
                JSON in it; text; or nothing.
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
            TypeError: The body cannot be sent, or a webhook would get it as something else.
            ValueError: The same, or the flow or the key cannot be one.
        """
        return self._perform(webhook.call, flow, key, body, wait, self._flow._options)

    # --- for its parts ---

    def _perform(self, rule: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        with self._telling_origin():
            return perform(self._flow, rule, self.name, *args, **kwargs)

    def _found(self, search: listing.Search) -> Generator[Execution, None, None]:
        with self._telling_origin():
            yield from perform_each(self._flow, listing.executions, self.name, search)
