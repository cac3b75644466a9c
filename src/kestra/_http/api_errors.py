"""The errors that are errors of `requests` too.

`kestra.exceptions` exports them, and is the module that they name as theirs.
"""

from __future__ import annotations

from typing import Any

import requests

from kestra.exceptions import FailedExponentialBackoff, KestraError


class ConnectionFailed(FailedExponentialBackoff, requests.ConnectionError):
    """No connection could be made, or it broke before the response was complete."""


class RequestTimeout(FailedExponentialBackoff, requests.Timeout):
    """A timeout was over: a `ConnectTimeout` or a `ReadTimeout`."""


class ReadTimeout(RequestTimeout, requests.ReadTimeout):
    """The response was not complete within the timeout."""


class ConnectTimeout(ConnectionFailed, RequestTimeout, requests.ConnectTimeout):
    """No connection could be made within the timeout."""


class APIError(KestraError, requests.HTTPError):
    """The server refused a request.

    Attributes:
        status: The HTTP status.
        message: The server's own message, `None` if it gave none. Credentials are masked.
        errors: The single problems that it lists, as `(path, message)`.
        method: The method of the request, in upper case.
        path: The path of the request, without its query.
        response: The response, as `requests` has it, or `httpx2` for `AsyncFlow`. It is not
            pickled with the error: the request in it holds the credentials.
        attempts: How many times the request was sent.
        correlation_id: Set where the request may have created an execution nevertheless: it bears
            the label `system.correlationId` with this value.
    """

    def __init__(  # noqa: PLR0913  # one argument an attribute
        self,
        *args: object,
        status: int | None = None,
        message: str | None = None,
        errors: tuple[tuple[str, str], ...] = (),
        method: str | None = None,
        path: str | None = None,
        response: requests.Response | None = None,
        attempts: int = 1,
        correlation_id: str | None = None,
    ) -> None:
        super().__init__(*args)
        self.response = response
        self.request = getattr(response, "request", None)
        self.status = status
        self.message = message
        self.errors = errors
        self.method = method
        self.path = path
        self.attempts = attempts
        self.correlation_id = correlation_id

    def __reduce__(self) -> tuple[Any, ...]:
        state = {k: v for k, v in self.__dict__.items() if k not in {"request", "response"}}
        return type(self), self.args, state


class AuthenticationError(APIError):
    """401: no credentials were sent, or wrong ones; the message says which kind was sent."""


class PermissionDenied(APIError):
    """403: the credentials are right, but do not allow this."""


class NotFound(APIError):
    """404: no such flow, revision or execution."""


class Conflict(APIError):
    """409: not possible in the present state, such as starting a disabled flow."""


class InvalidInput(APIError):
    """400, 413, 415 or 422: the server does not accept an input, a label or an argument."""


class ServerError(APIError):
    """5xx: the server failed, in a way that repeating the request does not help."""


class MalformedResponse(APIError, ValueError):
    """A response that is not JSON, or lacks what it must have; often the page of a proxy."""


# Tracebacks and pickles name the public module.
_of_network = [ConnectionFailed, RequestTimeout, *RequestTimeout.__subclasses__()]
for _error in [*_of_network, APIError, *APIError.__subclasses__()]:
    _error.__module__ = "kestra.exceptions"
