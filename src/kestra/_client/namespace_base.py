"""A namespace by its name, and how its server is reached: for `Namespace` and `AsyncNamespace`."""
# ruff: noqa: SLF001  # a namespace that shares the connections of another object

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kestra._api.credentials import displayed
from kestra._api.parsing import at
from kestra._client.connection import unknown_argument
from kestra._task.execution_context import load_execution_context
from kestra.exceptions import (
    AuthenticationError,
    ExecutionContextNotFound,
    FailedExponentialBackoff,
    InvalidExecutionContext,
    KestraError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import NoReturn

    import urllib3
    from typing_extensions import Self

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class NamespaceBase:
    """The name of a namespace, and what its requests are sent with."""

    name: str
    _flow: Any
    _origin: str
    _owns_flow: bool
    _connect: Callable[..., Any]  # what makes a `Flow`

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
        **unknown: NoReturn,
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
            **unknown: Nothing else is an argument; the error says what may be meant.

        Raises:
            ExecutionContextNotFound: There is neither a name nor an execution context.
            InvalidExecutionContext: The execution context names no namespace.
            TypeError: The name is not a string, or there is no such argument.
            ValueError: The name is not valid.
        """
        for argument in unknown:
            raise TypeError(unknown_argument(type(self), argument))
        is_set = bool(os.environ.get("KESTRA_HOSTNAME"))
        self._origin = "KESTRA_HOSTNAME" if is_set else "the default"
        if hostname:
            self._origin = "the argument hostname"
        if name is None:
            name, context_tenant, url = _from_context()
            tenant = tenant or os.environ.get("KESTRA_TENANT") or context_tenant
            if url and not hostname and not is_set:
                hostname, self._origin = url, "kestra.url of the execution context"
        self.name = _checked_name(name)
        self._owns_flow = True
        self._flow = self._connect(
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
    def _of(cls, flow: Any, name: str) -> Self:
        """Return a namespace that shares the connections of a `Flow`."""
        namespace = cls.__new__(cls)
        namespace.name = _checked_name(name)
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

    @contextmanager
    def _naming_origin(self) -> Iterator[None]:
        """Say in an error where the address of the server came from."""
        try:
            yield
        except (FailedExponentialBackoff, AuthenticationError, ValueError) as error:
            # Of the arguments that are refused, one is the address.
            if isinstance(error, KestraError) or str(error).startswith("hostname "):
                error.args = (f"{error}; the address is from {self._origin}", *error.args[1:])
            raise


def _checked_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"name must be the name of a namespace, not {type(name).__name__}")
    if not _NAME.fullmatch(name):
        raise ValueError(
            "name must be the name of a namespace, of ASCII letters, digits, '.', '_' and '-': "
            f"{name!r}"
        )
    return name


def _from_context() -> tuple[str, str | None, str | None]:
    """Return what the execution context says: the namespace, the tenant, and the server."""
    try:
        context = load_execution_context().to_dict()
    except ExecutionContextNotFound as error:
        raise ExecutionContextNotFound(
            "Namespace() needs the name of a namespace, as in Namespace('company.team'), where "
            f"there is no execution context to take it from: {error}"
        ) from None
    name, tenant = at(str, context, "flow", "namespace"), at(str, context, "flow", "tenantId")
    if name is None:
        raise InvalidExecutionContext(
            "Namespace() needs the name of a namespace: the execution context has no flow.namespace"
        )
    return name, tenant, at(str, context, "kestra", "url")
