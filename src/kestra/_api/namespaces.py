"""What a namespace holds, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kestra._api.models import GOOD_STATES, TERMINAL_STATES
from kestra.exceptions import ExecutionFailed

if TYPE_CHECKING:
    from datetime import datetime

    from kestra._api.models import State

_FIRST_BAD_STATUS = 400


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What the key-value store says of a key beside its value.

    Attributes:
        key: The key.
        type: `STRING`, `NUMBER`, `BOOLEAN`, `DATETIME`, `DATE`, `DURATION` or `JSON`;
            `None` in a list.
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
        return self.state.current in GOOD_STATES

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self.state.current in TERMINAL_STATES


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """The response of a webhook.

    Attributes:
        http_status: The HTTP status; a flow may choose it, and a failed one responds with 500.
        execution_id: The id of the execution, `None` where the response has the outputs alone.
        status: Its state, `None` where the id is; CREATED where the webhook does not wait.
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
        ended_badly = self.status in TERMINAL_STATES and self.status not in GOOD_STATES
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


@dataclass(frozen=True, slots=True)
class FlowSource:
    """A flow as it is written.

    Attributes:
        id: Its id.
        namespace: Its namespace.
        revision: The revision.
        disabled: Whether it cannot be executed.
        updated: When this revision was made.
        source: Its YAML, byte for byte; `None` in a list.
    """

    id: str
    namespace: str
    revision: int | None = None
    disabled: bool = False
    updated: datetime | None = None
    source: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Violation:
    """What a server finds wrong with the source of a flow. As text, it is a line for people.

    Attributes:
        path: The file.
        message: What is wrong, in the server's words.
        flow: The id of the flow, `None` where its source cannot be read.
        line: The line of the file, from 1 on, where the server says one: for YAML errors.
        is_warning: Whether the flow can be deployed all the same.
    """

    path: str
    message: str
    flow: str | None = None
    line: int | None = None
    is_warning: bool = False

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        flow = "" if self.flow is None else f" {self.flow}:"
        return f"{place}:{flow} {'warning: ' if self.is_warning else ''}{self.message}"


@dataclass(frozen=True, slots=True)
class Change:
    """What a deployment or a synchronization does, or would do. As text: `created report`.

    Attributes:
        action: `created`, `updated`, `unchanged` or `deleted`.
        name: The id of the flow, or the path of the file.
        path: The local file that it comes from, `None` for none.
        diff: For a flow, the difference as a unified diff; empty where there is none.
        revision: For a flow that was created or updated, its new revision.
    """

    action: str
    name: str
    path: str | None = None
    diff: str = field(default="", repr=False)
    revision: int | None = None

    def __str__(self) -> str:
        return f"{self.action} {self.name}"


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file or a folder of a namespace. As text, it is its path.

    Attributes:
        path: Its path, from the root of the namespace, without a slash at its beginning.
        is_folder: Whether it is a folder.
        size: Its size in bytes, `None` for a folder, or where the server lists names only.
        modified: When it was written last, `None` where the size is.
    """

    path: str
    is_folder: bool = False
    size: int | None = None
    modified: datetime | None = None

    def __str__(self) -> str:
        return self.path
