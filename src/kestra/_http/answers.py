"""Reading the body of a response, and the error for one that makes no sense."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests

from kestra._http.api_errors import MalformedResponse


def body_of(response: Any) -> Any:
    """Return the JSON in a response, `None` if there is none."""
    try:
        return response.json()
    except ValueError:
        return None


def json_object(response: Any, method: str, url: str) -> dict[str, Any]:
    """Return the JSON object in a response.

    Raises:
        MalformedResponse: There is none.
    """
    body = body_of(response)
    if not isinstance(body, dict):
        raise malformed(method, url, response, "is not a JSON object")
    return body


def json_list(response: Any, method: str, url: str) -> list[Any]:
    """Return the JSON list in a response.

    Raises:
        MalformedResponse: There is none.
    """
    body = body_of(response)
    if not isinstance(body, list):
        raise malformed(method, url, response, "is not a JSON list")
    return body


def malformed(method: str, url: str, response: Any, what: str) -> MalformedResponse:
    """Return the error for a response that makes no sense.

    Args:
        method: The method of the request.
        url: The URL of the request; its query is not shown.
        response: The response.
        what: What is wrong with it, to follow "the response …".
    """
    path = urlsplit(url).path
    status = getattr(response, "status_code", None)
    return MalformedResponse(
        f"{method.upper()} {path}: the response {what}; is this the address of a Kestra server?",
        status=status if isinstance(status, int) else None,
        method=method.upper(),
        path=path,
        response=response if isinstance(response, requests.Response) else None,
    )
