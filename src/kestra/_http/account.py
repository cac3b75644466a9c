"""Describing a request that failed, without revealing a secret."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.models import REDIRECT_STATI

from kestra._http.answers import body_of, malformed
from kestra._http.api_errors import (
    APIError,
    AuthenticationError,
    Conflict,
    ConnectionFailed,
    ConnectTimeout,
    InvalidInput,
    NotFound,
    PermissionDenied,
    RequestTimeout,
    ServerError,
)
from kestra._http.credentials import Credentials, redact, submitted_values, without_userinfo
from kestra._http.retry import MOST_REDIRECTS, Answer, Failure, keeps_method
from kestra.exceptions import FailedExponentialBackoff

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kestra._http.creation import Creation

_BY_STATUS: dict[int, type[APIError]] = {
    400: InvalidInput,
    401: AuthenticationError,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    413: InvalidInput,
    415: InvalidInput,
    422: InvalidInput,
}

# A page of text would bury the sentence that matters.
_LONGEST_MESSAGE = 2_000


class Account:
    """What may be shown of a request: method, path, outcome, and the server that did not respond.

    Neither the query, which may hold input values, nor the error of `requests`, which quotes it.
    """

    def __init__(
        self, method: str, url: str, credentials: Credentials, arguments: Mapping[str, Any]
    ) -> None:
        self.method = method.upper()
        self.path = urlsplit(url).path
        self._url = url
        self._credentials = credentials
        self._arguments = arguments

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def _server(self) -> str:
        parts = urlsplit(without_userinfo(self._url)[0])
        return f"{parts.scheme}://{parts.netloc}"

    def of(self, outcome: Answer | Failure) -> str:
        """Describe the outcome of an attempt."""
        if isinstance(outcome, Failure):
            return self._masked(str(outcome)) if outcome.mocked else str(outcome)
        message, _ = self._message(outcome)
        said = status_text(outcome.status)
        return f"{said}: {message}" if message else said

    def failed(
        self,
        outcome: Answer | Failure,
        attempts: int,
        *,
        notes: tuple[str, ...] = (),
        correlation_id: str | None = None,
    ) -> FailedExponentialBackoff:
        """Return the error for the end of all attempts.

        Args:
            outcome: What the last one brought.
            attempts: How many there were.
            notes: Sentences to add to the message.
            correlation_id: That of an execution that may exist.
        """
        cls: type[FailedExponentialBackoff] = FailedExponentialBackoff
        status = message = None
        told = self.of(outcome)
        if isinstance(outcome, Failure):
            late = ConnectTimeout if outcome.unsent else RequestTimeout
            cls = late if outcome.timed_out else ConnectionFailed
            told += f" (server: {self._server})"
        else:
            status = outcome.status
            message, _ = self._message(outcome)
        times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        return cls(
            ". ".join((f"{self} failed after {times}: {told}", *notes)),
            attempts=attempts,
            status=status,
            message=message,
            correlation_id=correlation_id,
        )

    def refused(
        self, answer: Answer, creation: Creation | None = None, *, repeatable: bool = True
    ) -> APIError:
        """Return the error for a response that another attempt does not change.

        Args:
            answer: The response.
            creation: What may have been created nevertheless.
            repeatable: Whether the request could have been sent to where a redirect leads.
        """
        message, errors = self._message(answer)
        text = f"{self}: {self.of(answer)}"
        if answer.status == HTTPStatus.UNAUTHORIZED:
            text += f" (sent: {self._credentials.kind})"
        if target := _target(answer):
            text += f": redirected to {target}, and not followed"
            if not keeps_method(self.method, answer.status):
                text += f", because it would not remain a {self.method}"
            elif not repeatable:
                text += ", because one of its files cannot be read twice"
            else:
                text += f" after {MOST_REDIRECTS} redirects: check the hostname of the server"
        response = answer.response
        server_error = (
            ServerError if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR else APIError
        )
        return _BY_STATUS.get(answer.status, server_error)(
            _with_whereabouts(text, creation),
            status=answer.status,
            message=message,
            errors=errors,
            method=self.method,
            path=self.path,
            response=response if isinstance(response, requests.Response) else None,
            correlation_id=creation.correlation_id if creation else None,
        )

    def invalid(self, error: Exception) -> Exception:
        """Return an error about an argument without what it quotes."""
        said = re.split(r"[:('\"]", str(error))[0].strip(" .")
        text = f"{self}: {said or 'it cannot be sent'}; check the hostname, headers and proxies"
        return type(error)(text)

    def unreadable(self, answer: Answer, creation: Creation) -> APIError:
        """Return the error for a good response that does not tell what was created."""
        body = body_of(answer.response)
        is_object = isinstance(body, dict)
        what = "lacks the id of the execution" if is_object else "is not a JSON object"
        error = malformed(self.method, self.path, answer.response, what)
        error.args = (_with_whereabouts(str(error), creation),)
        error.correlation_id = creation.correlation_id
        return error

    def _message(self, answer: Answer) -> tuple[str | None, tuple[tuple[str, str], ...]]:
        said, listed = server_message(answer.response)
        errors = tuple((self._masked(where), self._masked(what)) for where, what in listed)
        return None if said is None else self._masked(said), errors

    def _masked(self, text: str) -> str:
        values = submitted_values(self._url, self._arguments)
        return redact(text, (*self._credentials.secrets, *values))


def _with_whereabouts(text: str, creation: Creation | None) -> str:
    if creation is None:
        return text
    return f"{text}{'' if text.endswith(('.', '?', '!')) else '.'} {where_to_look(creation)}"


def where_to_look(creation: Creation) -> str:
    """Return how to find an execution whose creation was not confirmed."""
    return (
        f"The execution may exist: look in {creation.namespace}.{creation.flow} for the label "
        f"system.correlationId:{creation.correlation_id}"
    )


def server_message(response: Any) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """Return what the server says of a failed request, and the single problems that it lists.

    Neither a page (HTML) nor what cannot be parsed counts as a message. Nothing is raised: this
    runs while an error is being built.
    """
    text = getattr(response, "text", None)
    if not isinstance(text, str):
        return None, ()
    try:
        body = json.loads(text)
    except ValueError:
        plain = text.strip()
        return (None if plain.startswith("<") else plain[:_LONGEST_MESSAGE] or None), ()
    if isinstance(body, str):
        return body[:_LONGEST_MESSAGE] or None, ()
    if not isinstance(body, dict):
        return None, ()
    message = body.get("message")
    embedded = body.get("_embedded")
    listed = embedded.get("errors") if isinstance(embedded, dict) else None
    errors = tuple(
        (str(error.get("path") or ""), str(error.get("message") or ""))
        for error in (listed if isinstance(listed, list) else ())
        if isinstance(error, dict)
    )
    return (message[:_LONGEST_MESSAGE] if isinstance(message, str) else None), errors


def status_text(status: int) -> str:
    """Return a status as people know it: `404 Not Found`."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _target(answer: Answer) -> str | None:
    """Return where a redirect leads, without what may be secret in it; else `None`."""
    is_redirect = answer.status in REDIRECT_STATI
    location = answer.response.headers.get("Location") if is_redirect else None
    if not isinstance(location, str):
        return None
    return urlsplit(without_userinfo(location)[0])._replace(query="", fragment="").geturl()
