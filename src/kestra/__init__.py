"""Talk to Kestra, the orchestrator, from Python.

Inside a task: `Kestra.outputs(...)`, `Kestra.counter(...)`, `Kestra.logger()`. Outside:
`Flow().execute(namespace, flow, inputs)`.

Every name is imported on first use (PEP 562): `import kestra` loads nothing else, and a script
pays only for what it calls.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs more to import than the rest of this package
if TYPE_CHECKING:
    from typing import Any

    from kestra import exceptions as exceptions
    from kestra import testing as testing
    from kestra._api.models import FlowExecution, LogEntry, Metric, State, StateChange, TaskRun
    from kestra._api.namespaces import (
        Change,
        Execution,
        FileInfo,
        FlowSource,
        KeyInfo,
        Violation,
        WebhookResponse,
    )
    from kestra._api.requests import ExecutionOutcome, ExecutionRequest
    from kestra._client.async_flow import AsyncFlow
    from kestra._client.async_namespace import (
        AsyncKeyValueStore,
        AsyncNamespace,
        AsyncNamespaceFiles,
        AsyncNamespaceFlows,
    )
    from kestra._client.flow import Flow
    from kestra._client.namespace import (
        KeyValueStore,
        Namespace,
        NamespaceFiles,
        NamespaceFlows,
    )
    from kestra._task.execution_context import (
        CONTEXT_FILE,
        ExecutionContext,
        load_execution_context,
    )
    from kestra._task.json_formatter import JsonFormatter
    from kestra._task.kestra import Kestra
    from kestra._task.logging import KestraHandler, LogFormatter
    from kestra.exceptions import FailedExponentialBackoff

    context: ExecutionContext
    """The execution context of the task: `load_execution_context()`, read on first use and kept."""

__version__ = "3.0.0"
"""The version of this package."""

# Not `context`: outside of a task there is none, and `from kestra import *` is to work there too.
__all__ = [
    "CONTEXT_FILE",
    "AsyncFlow",
    "AsyncKeyValueStore",
    "AsyncNamespace",
    "AsyncNamespaceFiles",
    "AsyncNamespaceFlows",
    "Change",
    "Execution",
    "ExecutionContext",
    "ExecutionOutcome",
    "ExecutionRequest",
    "FailedExponentialBackoff",
    "FileInfo",
    "Flow",
    "FlowExecution",
    "FlowSource",
    "JsonFormatter",
    "Kestra",
    "KestraHandler",
    "KeyInfo",
    "KeyValueStore",
    "LogEntry",
    "LogFormatter",
    "Metric",
    "Namespace",
    "NamespaceFiles",
    "NamespaceFlows",
    "State",
    "StateChange",
    "TaskRun",
    "Violation",
    "WebhookResponse",
    "__version__",
    "load_execution_context",
]

_HOMES = {
    "_api.models": "FlowExecution LogEntry Metric State StateChange TaskRun",
    "_api.namespaces": "Change Execution FileInfo FlowSource KeyInfo Violation WebhookResponse",
    "_api.requests": "ExecutionOutcome ExecutionRequest",
    "_client.async_flow": "AsyncFlow",
    "_client.async_namespace": "AsyncKeyValueStore AsyncNamespace AsyncNamespaceFiles "
    "AsyncNamespaceFlows",
    "_client.flow": "Flow",
    "_client.namespace": "KeyValueStore Namespace NamespaceFiles NamespaceFlows",
    "_task.execution_context": "CONTEXT_FILE ExecutionContext load_execution_context",
    "_task.json_formatter": "JsonFormatter",
    "_task.kestra": "Kestra",
    "_task.logging": "KestraHandler LogFormatter",
    "exceptions": "FailedExponentialBackoff",
}
_MODULES = ("exceptions", "testing")
# Modules that tests reach through this one, as they could in 2.0.0: `kestra.time.sleep`.
_PATCHED = ("base64", "json", "logging", "os", "re", "requests", "sys", "time")

_context: ExecutionContext | None = None  # what `context` loaded; None: not yet


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names.split():
            value = globals()[name] = getattr(import_module(f"kestra.{module}"), name)
            return value
    if name in _MODULES:
        return import_module(f"kestra.{name}")
    if name in _PATCHED:
        return import_module(name)
    if name == "context":
        global _context  # noqa: PLW0603  # as in 2.0.0: setting it to None loads afresh
        if _context is None:
            from kestra import load_execution_context  # a test may have replaced it here

            _context = load_execution_context()
        return _context
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    # Not `context` either: some tools read each name of every module, as freezegun does.
    return sorted({*globals(), *__all__} - {"TYPE_CHECKING", "annotations"})
