"""Calling the webhook of a flow: sent once; no response of the flow is an error of the server."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from kestra._api.models import TERMINAL_STATES
from kestra._api.namespaces import WebhookResponse
from kestra._api.parsing import body_of, outputs_in, state_of
from kestra._api.servers import segment
from kestra._api.stored import utf8
from kestra._rules import executing
from kestra._rules.pages import address
from kestra._rules.problems import body_text, status_of
from kestra._rules.waiting import LAST_POLL, MOST_SECONDS
from kestra._values.text import json_text
from kestra.exceptions import APIError, FailedExponentialBackoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from kestra._rules.io import IO, Response
    from kestra._rules.waiting import Options

_AS_FILE = "upload it to the namespace as a file"
_PATH = "executions/webhook/{namespace}/{flow}/{key}"


async def call(  # noqa: PLR0913, PLR0917  # what `Namespace.webhook` is given
    io: IO,
    namespace: str,
    flow: str,
    key: str,
    body: Any,
    wait: bool | float,
    make_options: Callable[..., Options],
) -> WebhookResponse:
    """Call a webhook, and wait for the end of the execution where that is wanted."""
    sent, options = _content(body), _options(wait, make_options)
    _check(key)
    url = await address(io, _PATH, namespace=namespace, flow=flow, key=key)
    if options is not None:
        # The response may come at the end of the flow.
        connect = io.flow.request_timeout
        connect = connect[0] if isinstance(connect, tuple) else connect
        longest = math.inf if options.timeout is None else max(options.timeout, LAST_POLL)
        sent = {**sent, "timeout": (connect, min(longest, MOST_SECONDS))}
    start = io.clock.now()
    try:
        response = await io.request("post", url, once=True, **sent)
    except Exception as error:
        given = error.response if isinstance(error, APIError) else None
        if given is None or not _is_from_flow(given):
            _hide(error, url)
            raise
        response = given
    called = _read(io, response)
    if options is None or called.execution_id is None or called.status in TERMINAL_STATES:
        return called
    if options.timeout is not None:
        spent = io.clock.now() - start
        options = replace(options, timeout=max(options.timeout - spent, 0.0))
    ended = await executing.wait(io, called.execution_id, options)
    return replace(called, status=ended.status, outputs=ended.outputs, url=ended.url or called.url)


def _content(body: Any) -> dict[str, Any]:
    """Return a body as arguments of a request, unless a webhook would get it as something else."""
    if body is None:
        return {}
    if isinstance(body, str):
        kind, text = "text/plain; charset=utf-8", body
    elif isinstance(body, bytes | bytearray | memoryview):
        raise TypeError(
            "body must be text or JSON: a webhook damages bytes; upload a file to the namespace, "
            "or send base64.b64encode(body).decode()"
        )
    else:
        kind, text = "application/json", json_text(body, "body", as_file=_AS_FILE)
        if text[0] not in "{[":
            raise TypeError(
                "body must be a dict, a list or text: a webhook gets other JSON as text, so send "
                "str(body)"
            )
    return {"data": utf8(text, "body"), "headers": {"Content-Type": kind}}


def _options(wait: Any, make: Callable[..., Options]) -> Options | None:
    """Return how to wait for the end of the execution, `None` for not at all."""
    if wait is False:
        return None
    try:
        return make(timeout=None if wait is True else wait, fetch_log=False)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("timeout", "wait", 1)) from None


def _check(key: Any) -> None:
    try:
        segment("key", key)
    except ValueError:
        raise ValueError(
            "key must be that of a webhook, with neither a slash nor an unprintable character such "
            "as the end of a line (it is not shown)"
        ) from None


def _is_from_flow(response: Response) -> bool:
    """Return True if the flow has chosen this status, or has failed; servers' own errors differ."""
    body = body_of(response)
    return isinstance(body, dict) and not ("message" in body and "_embedded" in body)


def _read(io: IO, response: Response) -> WebhookResponse:
    body, status = body_of(response), status_of(response)
    if not isinstance(body, dict):
        return WebhookResponse(status, body=body_text(response) if body is None else body)
    if not (isinstance(body.get("id"), str) and "flowId" in body and "namespace" in body):
        return WebhookResponse(status, outputs=body, body=body)
    return WebhookResponse(
        status,
        execution_id=body["id"],
        status=state_of(body) or "CREATED",
        outputs=outputs_in(body),
        body=body,
        url=io.server.address(body),
    )


def _hide(error: Exception, url: str) -> None:
    """Keep the key of a webhook out of an error: whoever knows it can start the flow."""
    key = url.rpartition("/")[2]

    def without(text: Any) -> Any:
        if not isinstance(text, str):
            return text
        return text.replace(f"/{key}", "/***").replace(f"/{unquote(key)}", "/***")

    error.args = tuple(map(without, error.args))
    if isinstance(error, APIError | FailedExponentialBackoff):
        error.message = without(error.message)
    if isinstance(error, APIError):
        error.path = without(error.path)
        error.errors = tuple((without(path), without(said)) for path, said in error.errors)
    for name in ("request", "response"):  # errors of the libraries have them too
        # A response of httpx2 has the URL of its request, and an error of it may have no request.
        with suppress(AttributeError, RuntimeError, TypeError):
            each = getattr(error, name)
            each.url = type(each.url)(without(str(each.url)))
