"""Reading an answer's body, and the error for one that makes no sense."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests

from kestra._http.api_errors import MalformedResponse


def body_of(response: Any) -> Any:
    """Return the JSON of an answer, `None` if it is none."""
    try:
        return response.json()
    except ValueError:
        return None


def json_object(response: Any, method: str, url: str) -> dict[str, Any]:
    """Return the JSON object that an answer is.

    Raises:
        MalformedResponse: It is none.
    """
    body = body_of(response)
    if not isinstance(body, dict):
        raise malformed(method, url, response, "is no JSON object")
    return body


def json_list(response: Any, method: str, url: str) -> list[Any]:
    """Return the JSON list that an answer is.

    Raises:
        MalformedResponse: It is none.
    """
    body = body_of(response)
    if not isinstance(body, list):
        raise malformed(method, url, response, "is no JSON list")
    return body


def malformed(method: str, url: str, response: Any, what: str) -> MalformedResponse:
    """Return the error for an answer.

    Args:
        method: The method of the request.
        url: The URL of the request; its query is not shown.
        response: The answer.
        what: What is wrong with it, as in "the answer …".
    """
    path = urlsplit(url).path
    status = getattr(response, "status_code", None)
    return MalformedResponse(
        f"{method.upper()} {path}: the answer {what}; is this the address of a Kestra server?",
        status=status if isinstance(status, int) else None,
        method=method.upper(),
        path=path,
        response=response if isinstance(response, requests.Response) else None,
    )
