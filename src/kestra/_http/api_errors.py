"""The errors that are errors of `requests` too.

`kestra.exceptions` hands them out, and is what they say they are defined in.
"""

from __future__ import annotations

from typing import Any

import requests

from kestra.exceptions import FailedExponentialBackoff, KestraError


class ConnectionFailed(FailedExponentialBackoff, requests.ConnectionError):
    """No connection could be made, or it broke before the whole answer was there."""


class RequestTimeout(FailedExponentialBackoff, requests.Timeout):
    """The whole answer was not there in time."""


class ConnectTimeout(ConnectionFailed, RequestTimeout):
    """No connection could be made in time."""


class APIError(KestraError, requests.HTTPError):
    """The server refused a request.

    Attributes:
        status: The HTTP status.
        message: The server's own message, `None` if it gave none. Input values are masked.
        errors: The single problems that it lists, as `(path, message)`.
        method: The method of the request, in upper case.
        path: The path of the request, without its query.
        response: The whole answer, as `requests` has it; it is left behind when the error is
            pickled, since the request that it holds bears the credentials.
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
    ) -> None:
        super().__init__(*args)
        self.response = response
        self.request = getattr(response, "request", None)
        self.status = status
        self.message = message
        self.errors = errors
        self.method = method
        self.path = path

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
    """An answer that is no JSON object, or lacks what it must have: often a proxy's own page."""


for _error in (ConnectionFailed, RequestTimeout, ConnectTimeout, APIError, AuthenticationError,
               PermissionDenied, NotFound, Conflict, InvalidInput, ServerError,
               MalformedResponse):  # fmt: skip
    # Tracebacks and pickles name the public module.
    _error.__module__ = "kestra.exceptions"
