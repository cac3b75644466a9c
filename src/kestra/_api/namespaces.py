"""What a namespace holds, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kestra._api.models import TERMINAL_STATES
from kestra.exceptions import ExecutionFailed

if TYPE_CHECKING:
    from datetime import datetime

    from kestra._api.models import State

_GOOD = frozenset({"SUCCESS", "WARNING"})
_FIRST_BAD_STATUS = 400


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What the key-value store says of a key beside its value.

    Attributes:
        key: The key.
        type: `STRING`, `NUMBER`, `BOOLEAN`, `DATETIME`, `DATE`, `DURATION` or `JSON`.
        revision: How many times it was put. Of puts at the same moment, some may not count.
        description: Its description, `None` for none.
        created: When this revision was made.
        updated: When it was put last.
        expires: When it expires, `None` for never.
    """

    key: str
    type: str | None = None
    revision: int | None = None
    description: str | None = None
    created: datetime | None = None
    updated: datetime | None = None
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution as a search shows it. `Flow.get_execution` shows more of it.

    Attributes:
        id: Its id.
        namespace: The namespace of its flow.
        flow: The id of its flow.
        revision: The revision of its flow.
        state: Its state, with the history.
        labels: Its labels, those of the system included.
        inputs: Its inputs by id, as the server shows them.
        trigger: The id of what started it: of a trigger of its flow, or of the flow that it is a
            subflow of; `None` where somebody did.
        parent_id: The execution that started it as a subflow, or that it is an iteration of.
        original_id: Of a replay, the execution that it repeats; else its own id.
        url: Where the user interface shows it.
    """

    id: str
    namespace: str
    flow: str
    revision: int | None
    state: State
    labels: dict[str, str]
    inputs: dict[str, Any] = field(default_factory=dict, repr=False)
    trigger: str | None = None
    parent_id: str | None = None
    original_id: str | None = None
    url: str | None = field(default=None, compare=False)

    @property
    def status(self) -> str | None:
        """The name of its present state."""
        return self.state.current

    @property
    def ok(self) -> bool:
        """Whether it has ended, and in SUCCESS or WARNING."""
        return self.state.current in _GOOD

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self.state.current in TERMINAL_STATES


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """What a webhook has answered.

    Attributes:
        http_status: The HTTP status; a flow may choose it, and one that failed answers 500.
        execution_id: The id of the execution, `None` where the answer is its outputs alone.
        status: The state of the execution, likewise; CREATED where the webhook does not wait.
        outputs: The outputs of the flow, `None` where there are none yet.
        body: The whole body: JSON, or text.
        url: Where the user interface shows the execution.
    """

    http_status: int
    execution_id: str | None = None
    status: str | None = None
    outputs: dict[str, Any] | None = None
    body: Any = field(default=None, repr=False)
    url: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the HTTP status is a good one, and the flow has not ended badly as yet."""
        ended_badly = self.status in TERMINAL_STATES and self.status not in _GOOD
        return self.http_status < _FIRST_BAD_STATUS and not ended_badly

    def raise_for_status(self) -> None:
        """Raise an error if the flow has ended badly.

        Raises:
            ExecutionFailed: It is not `ok`.
        """
        if not self.ok:
            said = f"ended in the state {self.status}" if self.status else "has failed"
            raise ExecutionFailed(
                f"the flow of the webhook {said} (HTTP {self.http_status})",
                execution_id=self.execution_id,
                status=self.status,
            )
