"""Executions that are asked for, and what became of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime  # noqa: TC003  # whoever resolves the types of a request needs it
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kestra._api.models import FlowExecution


@dataclass(frozen=True, slots=True)
class ExecutionRequest:
    """An execution to start, for `Flow.execute_all`.

    Attributes:
        namespace: The namespace of the flow.
        flow: The id of the flow.
        inputs: Values by input id, as those of `Flow.execute`.
        labels: Labels of the execution, as those of `Flow.execute`.
        revision: The revision of the flow, instead of the latest.
        schedule_date: When to run it, instead of now.
    """

    namespace: str
    flow: str
    inputs: Mapping[str, Any] | None = field(default=None, repr=False)
    labels: Mapping[str, Any] | None = None
    revision: int | None = None
    schedule_date: datetime | str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class ExecutionOutcome:
    """What became of one request of `Flow.execute_all`: a result or an error.

    Attributes:
        request: The request; what was given, where that is none.
        result: As `Flow.execute` returns it; `None` if there is an error.
        error: What `Flow.execute` would have raised, `None` if there is a result.
        execution_id: The id of the execution, `None` if it was not created.
    """

    request: ExecutionRequest
    result: FlowExecution | None = None
    error: Exception | None = None
    execution_id: str | None = None

    def __repr__(self) -> str:
        # What was given in the place of a request may hold inputs, which no request shows.
        is_request = isinstance(self.request, ExecutionRequest)
        request = self.request if is_request else f"<{type(self.request).__name__}>"
        return (
            f"{type(self).__name__}(request={request}, result={self.result!r}, "
            f"error={self.error!r}, execution_id={self.execution_id!r})"
        )

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from kestra._api.html import outcome_html

        return outcome_html(self)

    @property
    def ok(self) -> bool:
        """Whether the execution has ended, and in SUCCESS or WARNING."""
        return self.result is not None and self.result.ok

    def raise_for_status(self) -> None:
        """Raise the error, if there is one, or that of an execution which ended badly.

        Raises:
            Exception: What `error` holds.
            ExecutionFailed: The execution ended in another state than SUCCESS or WARNING.
        """
        if self.error is not None:
            raise self.error
        if self.result is not None:
            self.result.raise_for_status()


_PARTS = tuple(each.name for each in fields(ExecutionRequest))


def request_of(given: Any) -> ExecutionRequest:
    if isinstance(given, ExecutionRequest):
        return given
    if isinstance(given, Mapping):
        unknown = [key for key in given if key not in _PARTS]
        missing = [key for key in _PARTS[:2] if key not in given]
        if unknown or missing:
            fault = f"{unknown[0]!r} is not one" if unknown else f"{missing[0]!r} is missing"
            raise TypeError(f"requests: a mapping has the keys {', '.join(_PARTS)}; {fault}")
        return ExecutionRequest(**given)
    if isinstance(given, tuple) and len(given) in {2, 3}:  # as the error says
        return ExecutionRequest(*given)
    raise TypeError(
        "requests: each must be an ExecutionRequest, a tuple (namespace, flow) or "
        f"(namespace, flow, inputs), or a mapping, not {type(given).__name__}"
    )
