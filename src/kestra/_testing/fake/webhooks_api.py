"""The route of webhooks."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kestra._testing.fake import executions_api
from kestra._testing.fake.messages import Reply, Request, as_json
from kestra._testing.fake.refused import Refused, not_found
from kestra._testing.fake.shown import json_ready

if TYPE_CHECKING:
    from kestra._testing.fake.api import Api

_GOOD = {"SUCCESS", "WARNING"}


def call(api: Api, request: Request, namespace: str, flow: str, key: str) -> Reply:
    """Start an execution; what its function is called with is under `trigger`."""
    engine = api.engine
    known = engine.flows.get((namespace, flow))
    if known is None or known.webhook is None or known.webhook.get("key") != key:
        raise not_found("Flow not found")
    if known.disabled:
        is_new = engine.version == "2.0"
        new, old = (
            "Conflict: Cannot execute flow: flow is disabled.",
            "Cannot execute a disabled flow",
        )
        raise Refused(409, new if is_new else f"Illegal state: {old}")
    trigger: dict[str, Any] = {"parameters": request.values}
    if request.body:
        trigger["body"] = _read(request.body)
    definition = replace(known, inputs=None)
    execution = engine.create(definition, None, (), {}, None)
    execution.labels["system.from"] = "trigger"
    execution.inputs = {"trigger": trigger}
    names = ("executions", namespace, flow, execution.id)
    address = f"{api.base}/ui/{api.tenant}/" + "/".join(quote(name, safe="") for name in names)
    status = 200
    if known.webhook.get("wait"):
        executions_api.await_end(engine, execution, request)
        execution.was_seen_ended = True
        status = int(known.webhook.get("responseCode", 200))
        if execution.state not in _GOOD:
            status = 500
        if known.webhook.get("returnOutputs"):
            return as_json(json_ready(execution.outputs), status)
    shown = executions_api.shown_execution(engine, execution)
    variables = {"id": "webhook", "type": "io.kestra.plugin.core.trigger.Webhook"}
    shown["trigger"] = {**variables, "variables": trigger}
    shown.pop("taskRunList", None)
    shown.pop("inputs", None)
    if known.webhook.get("wait"):
        shown["outputs"] = json_ready(execution.outputs)
    return as_json({**shown, "url": address}, status)


def nothing(_api: Api, _request: Request, *_path: str) -> Reply:
    """Refuse a path that goes on after the key."""
    raise not_found()


def _read(body: bytes) -> Any:
    """Return an object or a list parsed, and all else as text."""
    text = body.decode(errors="replace")
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, dict | list) else text
