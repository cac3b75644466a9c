"""What went wrong with a request, as one of the errors, without revealing a secret. Pure.

Shown of a request are its method, its path, and the server's address: neither the query, which may
hold input values, nor the error of the library, which quotes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from http.client import responses
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kestra._api.credentials import redact, without_userinfo
from kestra._api.parsing import body_of, header_of
from kestra._rules.io import Failure
from kestra.exceptions import (
    APIError,
    AuthenticationError,
    Conflict,
    ConnectionFailed,
    ConnectTimeout,
    FailedExponentialBackoff,
    InvalidInput,
    KestraError,
    MalformedResponse,
    NotFound,
    PermissionDenied,
    ReadTimeout,
    ServerError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kestra._rules.creation import Creation
    from kestra._rules.io import Request, Response

MOST_REDIRECTS = 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})
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
# Headers that prove nobody's identity. Others of a request are masked where they are long enough.
_HARMLESS = frozenset({
    "accept", "accept-encoding", "accept-language", "cache-control", "connection", "content-length",
    "content-type", "description", "host", "traceparent", "transfer-encoding", "ttl", "user-agent",
})  # fmt: skip
_SHORTEST = 8  # characters
_MAY_BE_DONE = "It may have been carried out nevertheless"


def name_of(request: Request) -> str:
    return f"{request.method.upper()} {urlsplit(request.url).path}"


def text_of(request: Request, outcome: Response | Failure) -> str:
    if isinstance(outcome, Failure):
        return _redacted(request, outcome.text) if outcome.stand_in else outcome.text
    status = status_of(outcome)
    said = f"{status} {responses.get(status, '')}".rstrip()
    message, _ = _message(request, outcome)
    return f"{said}: {message}" if message else said


def failed(
    request: Request,
    outcome: Response | Failure,
    attempts: int,
    creation: Creation | None = None,
    may_be_done: bool = False,
) -> FailedExponentialBackoff:
    """Return the error for the end of all attempts, of which the last had this outcome.

    Its cause is never the library's own error, whose text holds the URL.
    """
    cls: type[FailedExponentialBackoff] = FailedExponentialBackoff
    status = message = cause = None
    said = text_of(request, outcome)
    if isinstance(outcome, Failure):
        late = ConnectTimeout if outcome.unsent else ReadTimeout
        cls = late if outcome.timed_out else ConnectionFailed
        cause = outcome.reason
        said += f" (server: {_server(request)})"
    else:
        status = status_of(outcome)
        message, _ = _message(request, outcome)
    times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    text = f"{name_of(request)} failed after {times}: {said}"
    text = _with_whereabouts(text, creation, may_be_done)
    if not request.repeatable:
        text += ". Not sent again: one of its files cannot be read twice"
    label = creation.correlation_id if creation else None
    error = cls(text, attempts=attempts, status=status, message=message, correlation_id=label)
    error.__cause__ = cause
    return error


def refused(
    request: Request,
    response: Response,
    attempts: int,
    creation: Creation | None,
    may_be_done: bool,
) -> APIError:
    """Return the error for a response that another attempt does not change."""
    status = status_of(response)
    message, errors = _message(request, response)
    text = f"{name_of(request)}: {text_of(request, response)}"
    withheld = status == HTTPStatus.FORBIDDEN and request.redirected_to is not None
    if status == HTTPStatus.UNAUTHORIZED or withheld:
        text += f" ({_credentials_sent(request, response)}; server: {_server(request)})"
    elif status == HTTPStatus.NOT_FOUND:
        text += f" (server: {_server(request)})"
    elif _is_too_big(request, body_text(response)):
        text += (
            ": the inputs together are larger than this server takes (1 MiB, unless "
            "kestra.queue.message-protection.limit says otherwise): send large data as a file in "
            "the namespace or the storage, and its address as the input"
        )
    if target := _redirect_target(response):
        text += f": redirected to {target}, and not followed"
        if not keeps_method(request.method, status):
            text += f", because it would not remain a {request.method.upper()}"
        elif not request.repeatable:
            text += ", because one of its files cannot be read twice"
        else:
            text += f" after {MOST_REDIRECTS} redirects: check the hostname of the server"
    other = ServerError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else APIError
    return _BY_STATUS.get(status, other)(
        _with_whereabouts(text, creation, may_be_done),
        status=status,
        message=message,
        errors=errors,
        method=request.method.upper(),
        path=urlsplit(request.url).path,
        response=_kept(response),
        attempts=attempts,
        correlation_id=creation.correlation_id if creation else None,
    )


def invalid(request: Request, error: Exception) -> Exception:
    """Return an error about an argument that does not quote it."""
    said = re.split(r"[:('\"]", str(error))[0].strip(" .")
    text = f"{name_of(request)}: {said or 'it cannot be sent'}"
    return type(error)(f"{text}; check the hostname, headers and proxies")


def malformed(
    method: str, url: str, response: Response | None, what: str, creation: Creation | None = None
) -> MalformedResponse:
    """Return the error for a response; `what` says what is wrong with it: "lacks the id"."""
    path = urlsplit(url).path
    status = getattr(response, "status_code", None)
    text = f"{method.upper()} {path}: the response {what}; is this the address of a Kestra server?"
    return MalformedResponse(
        _with_whereabouts(text, creation, may_be_done=creation is not None),
        status=status if isinstance(status, int) else None,
        method=method.upper(),
        path=path,
        response=_kept(response),
        correlation_id=creation.correlation_id if creation else None,
    )


def harmless(error: Exception) -> str:
    """Return what may be logged of an error: only our own are known to hold no secret."""
    return str(error) if isinstance(error, KestraError) else type(error).__name__


def json_of(response: Response, kind: type, method: str, url: str) -> Any:
    """Return the JSON object (`dict`) or list of a response; raise if it is something else."""
    body = body_of(response)
    if not isinstance(body, kind):
        what = "is not a JSON list" if kind is list else "is not a JSON object"
        raise malformed(method, url, response, what)
    return body


def objects_of(response: Response, method: str, url: str) -> list[dict[str, Any]]:
    """Return the list of JSON objects of a response; raise if it is something else."""
    body: list[dict[str, Any]] = json_of(response, list, method, url)
    if not all(isinstance(each, dict) for each in body):
        raise malformed(method, url, response, "is not a list of JSON objects")
    return body


def page_of(response: Response, url: str, what: str) -> tuple[list[Any], Any]:
    """Return the results on a page of a search, and how many there are on all of them."""
    body = json_of(response, dict, "get", url)
    results = body.get("results")
    if not isinstance(results, list):
        raise malformed("get", url, response, f"lacks {what}")
    return results, body.get("total")


# --- what a response shows -------------------------------------------------------------------


def status_of(response: Response) -> int:
    """Return the status; a test's stand-in that has none means success."""
    status = response.status_code
    return status if isinstance(status, int) else 200


def body_text(response: Response) -> str:
    """Return the text of a response; that of a test's stand-in may be anything."""
    text = getattr(response, "text", None)
    return text if isinstance(text, str) else ""


def is_fine(request: Request, response: Response) -> bool:
    redirects = request.arguments.get("allow_redirects", True)
    return status_of(response) < (300 if redirects else 400)


def _is_too_big(request: Request, text: str) -> bool:
    """Return True if a server of 2.0 cannot pass the inputs on, and not a flow, say."""
    is_creation = "/executions/" in urlsplit(request.url).path
    return is_creation and ("MessageTooBig" in text or "message-protection.limit" in text)


def keeps_method(method: str, status: int) -> bool:
    """Return True if a redirect keeps the method of a request; others turn a POST into a GET."""
    return method.upper() in {"GET", "HEAD"} or status in {307, 308}


# --- pieces of a message ---------------------------------------------------------------------


def _server(request: Request) -> str:
    parts = urlsplit(without_userinfo(request.url)[0])
    return f"{parts.scheme}://{parts.netloc}"


def _credentials_sent(request: Request, response: Response) -> str:
    if request.redirected_to is None:
        if request.settings.credentials.authorization is None and any(
            name == "authorization" for name, _ in _headers_sent(response)
        ):
            return "sent: the header Authorization of your headers, or of your session"
        return f"sent: {request.settings.credentials.kind}"
    return (
        f"redirected to {request.redirected_to}, which gets no credentials: if that is your "
        "server, set hostname to it"
    )


def _message(
    request: Request, response: Response
) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """Return what the server says of a failed request, and the single problems that it lists.

    A page (HTML) is no message. Nothing is raised: this runs while an error is being built.
    """
    text = body_text(response)
    try:
        body = json.loads(text)
    except ValueError:
        plain = text.strip()
        body = None if plain.startswith("<") else plain
    message, embedded = body, None
    if isinstance(body, dict):
        message, embedded = body.get("message"), body.get("_embedded")
    listed = embedded.get("errors") if isinstance(embedded, dict) else None
    secrets = {
        secret
        for name, value in _headers_sent(response)
        for secret in (value, value.partition(" ")[2])  # without `Bearer`, too
        if name not in _HARMLESS and len(secret) >= _SHORTEST
    }
    errors = tuple(
        (
            _redacted(request, error.get("path"), secrets),
            _redacted(request, error.get("message"), secrets),
        )
        for error in (listed if isinstance(listed, list) else ())
        if isinstance(error, dict)
    )
    said = message[:_LONGEST_MESSAGE] if isinstance(message, str) else ""
    return (_redacted(request, said, secrets) or None), errors


def _headers_sent(response: Response) -> list[tuple[str, str]]:
    """Return the headers that were sent, whoever has set them; of a mock there may be none."""
    sent = getattr(getattr(response, "request", None), "headers", None)
    return [
        (str(name).lower(), value.decode("latin-1") if isinstance(value, bytes) else str(value))
        for name, value in (sent.items() if isinstance(sent, Mapping) else ())
    ]


def _redacted(request: Request, text: Any, more: Iterable[str] = ()) -> str:
    return redact(str(text or ""), {*request.settings.credentials.secrets, *more})


def _redirect_target(response: Response) -> str | None:
    location = header_of(response, "Location") if status_of(response) in REDIRECTS else None
    if location is None:
        return None
    return urlsplit(without_userinfo(location)[0])._replace(query="", fragment="").geturl()


def _kept(response: Response | None) -> Any:
    """Return the response for an error; what a mock has made is none."""
    return response if hasattr(response, "headers") and hasattr(response, "request") else None


def _with_whereabouts(text: str, creation: Creation | None, may_be_done: bool) -> str:
    if not may_be_done:
        return text
    end = "" if text.endswith((".", "?", "!")) else "."
    return f"{text}{end} {_MAY_BE_DONE if creation is None else creation.where_to_look}"
