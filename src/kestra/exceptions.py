"""Every error that this package raises of its own.

::

    KestraError
    ├── FailedExponentialBackoff          every attempt of a request failed
    │   ├── ConnectionFailed              none made, or it broke (also a requests.ConnectionError)
    │   └── RequestTimeout                a timeout was over (also a requests.Timeout)
    │       ├── ConnectTimeout            no connection in time (also a ConnectionFailed)
    │       └── ReadTimeout               no complete response in time
    ├── APIError                          the server refused (also a requests.HTTPError)
    │   ├── AuthenticationError           401
    │   ├── PermissionDenied              403
    │   ├── NotFound                      404
    │   ├── Conflict                      409
    │   ├── InvalidInput                  400, 413, 415 and 422
    │   ├── ServerError                   5xx
    │   └── MalformedResponse             a response that makes no sense (also a ValueError)
    ├── ExecutionTimeout                  an execution outlasted its timeout (also a TimeoutError)
    ├── ExecutionFailed                   an execution ended badly (see `raise_for_status`)
    ├── ExecutionContextError             no usable execution context
    │   ├── ExecutionContextNotFound      (also a FileNotFoundError)
    │   └── InvalidExecutionContext       (also a ValueError)
    └── IonError                          an Ion file that cannot be read (also a ValueError)

Bad arguments raise the built-in `TypeError` and `ValueError`. No message holds a credential or an
input value of its own accord; `ExecutionFailed` repeats what a task has logged.

The classes that are also errors of `requests` are made on first use, so that importing this module
does not import `requests`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kestra._api.models import FlowExecution
    from kestra._http.api_errors import (
        APIError,
        AuthenticationError,
        Conflict,
        ConnectionFailed,
        ConnectTimeout,
        InvalidInput,
        MalformedResponse,
        NotFound,
        PermissionDenied,
        ReadTimeout,
        RequestTimeout,
        ServerError,
    )

__all__ = [
    "APIError",
    "AuthenticationError",
    "Conflict",
    "ConnectTimeout",
    "ConnectionFailed",
    "ExecutionContextError",
    "ExecutionContextNotFound",
    "ExecutionFailed",
    "ExecutionTimeout",
    "FailedExponentialBackoff",
    "InvalidExecutionContext",
    "InvalidInput",
    "IonError",
    "KestraError",
    "MalformedResponse",
    "NotFound",
    "PermissionDenied",
    "ReadTimeout",
    "RequestTimeout",
    "ServerError",
]


class KestraError(Exception):
    """Base of every error that this package raises of its own.

    Attributes:
        execution_id: The execution that the error is about, where there is one.
    """

    execution_id: str | None = None


class FailedExponentialBackoff(KestraError):
    """Every attempt of a request failed.

    Attributes:
        attempts: How many times the request was sent.
        status: The last HTTP status, `None` where there was no response.
        message: What the server said with it.
        correlation_id: Set when an execution may have been created although no response says so: it
            bears the label `system.correlationId` with this value.
    """

    def __init__(
        self,
        *args: object,
        attempts: int | None = None,
        status: int | None = None,
        message: str | None = None,
        correlation_id: str | None = None,
    ) -> None:
        super().__init__(*args)
        self.attempts = attempts
        self.status = status
        self.message = message
        self.correlation_id = correlation_id

    @property
    def cause(self) -> BaseException | None:
        """What made the last attempt fail, where that was not a response of the server."""
        return self.__cause__


class ExecutionTimeout(KestraError, TimeoutError):
    """An execution had not ended when the caller's timeout was over; it may still be running.

    Attributes:
        state: The last known state, `None` if the server reported none.
        timeout: The caller's timeout in seconds.
        killed: Whether the server accepted the request to kill it.
    """

    def __init__(
        self,
        *args: object,
        execution_id: str | None = None,
        state: str | None = None,
        timeout: float | None = None,
        killed: bool = False,
    ) -> None:
        super().__init__(*args)
        self.execution_id = execution_id
        self.state = state
        self.timeout = timeout
        self.killed = killed


class ExecutionFailed(KestraError):
    """An execution ended in another state than SUCCESS or WARNING: see `raise_for_status`.

    Attributes:
        status: The state that it ended in.
        error: Which task failed in which state, and the last message that it logged as ERROR;
            `None` if the server says nothing of it.
        result: The whole result: log, outputs, task runs, address, and more.
    """

    def __init__(
        self,
        *args: object,
        execution_id: str | None = None,
        status: str | None = None,
        error: str | None = None,
        result: FlowExecution | None = None,
    ) -> None:
        super().__init__(*args)
        self.execution_id = execution_id
        self.status = status
        self.error = error
        self.result = result


class ExecutionContextError(KestraError):
    """The execution context of the task cannot be used."""


class ExecutionContextNotFound(ExecutionContextError, FileNotFoundError):
    """Neither a context file nor the environment variable is there."""


class InvalidExecutionContext(ExecutionContextError, ValueError):
    """The execution context is not a JSON object."""


class IonError(KestraError, ValueError):
    """A file is not Ion, corrupt, or cut short; the message names it and the row, from 1 on."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return globals().setdefault(name, getattr(import_module("kestra._http.api_errors"), name))


def __dir__() -> list[str]:
    return __all__
