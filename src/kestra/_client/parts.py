"""What the parts of `Flow` have in common."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kestra.exceptions import KestraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests
    import urllib3

    from kestra._client.batch import ExecutionRequest
    from kestra._client.results import FlowExecution, LogEntry
    from kestra.exceptions import ExecutionTimeout

# The statuses of a path that this version of the server does not have.
NO_SUCH_PATH = frozenset({404, 405})


class FlowPart:
    """A part of `Flow`, which provides what stands here."""

    if TYPE_CHECKING:
        API_ENDPOINT_EXECUTION_STATUS: str
        poll_interval: float
        wait_for_completion: bool
        log_settle: float

        def check_status(self, execution_id: str) -> requests.Response: ...
        def _make_request(self, method: str, url: str, **kwargs: Any) -> requests.Response: ...
        def _url(self, template: str, **names: object) -> str: ...
        def _api(self, template: str, **names: object) -> str: ...
        def _address(self, execution: dict[str, Any]) -> str | None: ...
        def _create(self, asked: ExecutionRequest) -> tuple[dict[str, Any], str | None]: ...
        def _look(self, execution_id: str) -> dict[str, Any]: ...
        def _ended(
            self,
            execution_id: str,
            execution: dict[str, Any],
            name: str,
            *,
            url: str | None = None,
            fetch_log: bool,
        ) -> FlowExecution: ...
        def _log_entries(self, execution_id: str, min_level: str) -> list[LogEntry]: ...
        def _timed_out(
            self, execution_id: str, timeout: float | None, state: str | None, *, kill: bool
        ) -> ExecutionTimeout: ...
        def _policy(self) -> urllib3.Retry: ...


@contextmanager
def about(execution_id: str) -> Iterator[None]:
    """Let every error say which execution it is about."""
    try:
        yield
    except KestraError as error:
        error.execution_id = execution_id
        raise
