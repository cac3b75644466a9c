"""`Namespace`: what lives around the flows of a namespace."""
# ruff: noqa: SLF001  # a namespace and its parts, and the Flow that it shares

from __future__ import annotations

import os
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from kestra._api.credentials import displayed
from kestra._client.key_values import KeyValueStore
from kestra._http.blocking import perform, perform_each
from kestra._task.execution_context import load_execution_context
from kestra.exceptions import (
    AuthenticationError,
    ExecutionContextNotFound,
    FailedExponentialBackoff,
    InvalidExecutionContext,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
    from types import TracebackType

    import urllib3
    from typing_extensions import Self

    from kestra._client.flow import Flow

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Namespace:
    """A namespace in hand: its key-value store.

    ::

        with Namespace("company.team") as ns:
            ns.kv["cursor"] = date(2026, 1, 31)

    In a task with `executionContext: true`, `Namespace()` is the namespace of its flow. One object
    serves any number of threads, and `with` or `close` closes its connections; that of
    `flow.namespace("…")` shares those of the `Flow`.

    Attributes:
        name: The name of the namespace.
        kv: Its key-value store.
    """

    def __init__(  # noqa: PLR0913  # each is independent, and all but the first keyword-only
        self,
        name: str | None = None,
        *,
        tenant: str | None = None,
        hostname: str | None = None,
        user: str | None = None,
        password: str | None = None,
        api_token: str | None = None,
        session: Any = None,
        headers: Mapping[str, str] | None = None,
        verify: bool | str | None = None,
        proxies: Mapping[str, str] | None = None,
        request_timeout: float | tuple[float, float] = (10, 60),
        retries: int | urllib3.Retry | None = None,
    ) -> None:
        """Set how to reach the server; nothing is sent.

        Args:
            name: The namespace. By default it is that of the task which this runs in, from its
                execution context, and so is the tenant, where `KESTRA_TENANT` is not set.
            tenant: As for `Flow`, and so are the following.
            hostname: The server; `KESTRA_HOSTNAME` by default. Only where that is not set, and
                `name` is not given, the address in the execution context counts.
            user: For Basic authentication; from the environment by default.
            password: Its password.
            api_token: For Bearer authentication; from the environment by default.
            session: A session of yours.
            headers: Headers for every request.
            verify: How certificates are checked.
            proxies: Proxies by scheme.
            request_timeout: Seconds to connect and to read a response.
            retries: How many attempts to make.

        Raises:
            ExecutionContextNotFound: There is neither a name nor an execution context.
            InvalidExecutionContext: The execution context names no namespace.
            TypeError: The name is not a string.
            ValueError: It cannot be one.
        """
        from kestra._client.flow import Flow

        self._origin = "the argument hostname" if hostname else _default_origin()
        if name is None:
            name, context_tenant, url = _from_context()
            tenant = tenant or os.environ.get("KESTRA_TENANT") or context_tenant
            if url and not hostname and not os.environ.get("KESTRA_HOSTNAME"):
                hostname, self._origin = url, "kestra.url of the execution context"
        self.name = checked_name(name)
        self._owns_flow = True
        self._flow = Flow(
            tenant=tenant,
            hostname=hostname,
            user=user,
            password=password,
            api_token=api_token,
            session=session,
            headers=headers,
            verify=verify,
            proxies=proxies,
            request_timeout=request_timeout,
            retries=retries,
        )

    @classmethod
    def _of(cls, flow: Flow, name: str) -> Self:
        """Return a namespace that shares the connections of a `Flow`."""
        namespace = cls.__new__(cls)
        namespace.name = checked_name(name)
        namespace._origin = "its Flow"
        namespace._owns_flow = False
        namespace._flow = flow
        return namespace

    def __repr__(self) -> str:
        hostname = displayed(str(self._flow.hostname))
        return (
            f"{type(self).__name__}({self.name!r}, hostname={hostname!r} (from {self._origin}), "
            f"tenant={self._flow.tenant!r})"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, unless they are those of a `Flow`."""
        if self._owns_flow:
            self._flow.close()

    @cached_property
    def kv(self) -> KeyValueStore:
        """The key-value store of the namespace."""
        return KeyValueStore(self)

    # --- for its parts ---

    def _perform(self, rule: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        try:
            return perform(self._flow, rule, self.name, *args, **kwargs)
        except (FailedExponentialBackoff, AuthenticationError) as error:
            raise self._with_origin(error)  # noqa: B904  # it is the same error

    def _perform_each(
        self, rule: Callable[..., AsyncGenerator[T, None]], *args: Any, **kwargs: Any
    ) -> Generator[T, None, None]:
        try:
            yield from perform_each(self._flow, rule, self.name, *args, **kwargs)
        except (FailedExponentialBackoff, AuthenticationError) as error:
            raise self._with_origin(error)  # noqa: B904  # it is the same error

    def _with_origin(self, error: Exception) -> Exception:
        """Say in an error where the address of the server came from."""
        error.args = (f"{error}; the address is from {self._origin}", *error.args[1:])
        return error


def checked_name(name: Any) -> str:
    """Return the name of a namespace.

    Raises:
        TypeError: It is not a string.
        ValueError: It cannot be one.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be the name of a namespace, not {type(name).__name__}")
    if not _NAME.fullmatch(name):
        raise ValueError(
            "name must be the name of a namespace, of ASCII letters, digits, '.', '_' and '-': "
            f"{name!r}"
        )
    return name


def _default_origin() -> str:
    return "KESTRA_HOSTNAME" if os.environ.get("KESTRA_HOSTNAME") else "the default"


def _from_context() -> tuple[str, str | None, str | None]:
    """Return what the execution context says: the namespace, the tenant, and the server."""
    try:
        context = load_execution_context().to_dict()
    except ExecutionContextNotFound as error:
        raise ExecutionContextNotFound(
            "Namespace() needs the name of a namespace, as in Namespace('company.team'), where "
            f"there is no execution context to take it from: {error}"
        ) from None
    flow = _object(context, "flow")
    name = flow.get("namespace")
    if not isinstance(name, str):
        raise InvalidExecutionContext(
            "Namespace() needs the name of a namespace: the execution context has no flow.namespace"
        )
    tenant, url = flow.get("tenantId"), _object(context, "kestra").get("url")
    return (
        name,
        tenant if isinstance(tenant, str) else None,
        url if isinstance(url, str) else None,
    )


def _object(context: dict[str, Any], key: str) -> dict[str, Any]:
    value = context.get(key)
    return value if isinstance(value, dict) else {}
