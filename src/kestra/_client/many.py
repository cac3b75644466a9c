"""Lifecycle many flows at once: few connections, and one look for all that run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kestra._api.requests import ExecutionOutcome, ExecutionRequest
from kestra._client.jobs import Jobs
from kestra._client.lifecycle import Lifecycle
from kestra._client.schedule import Schedule
from kestra._client.waiting import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    Given = (
        ExecutionRequest
        | tuple[str, str]
        | tuple[str, str, Mapping[str, Any] | None]
        | Mapping[str, Any]
    )


class Many(Lifecycle):
    """The part of `Flow` that executes many."""

    def execute_all(
        self,
        requests: Iterable[Given],
        *,
        max_concurrent: int = 10,
        timeout: float | None = None,
        kill_on_timeout: bool = False,
        fetch_log: bool = False,
    ) -> Generator[ExecutionOutcome, None, None]:
        """Start many executions, some at a time, and hand out what becomes of them as they end.

        It takes at most ten connections, whatever `max_concurrent` is. All executions of a flow
        are looked at with one search. Where there is no search, or it does not show them, they
        are looked at singly.

        Nothing happens before the first outcome is asked for, nor, but for what is on its way,
        while none is. An error of one request is its outcome, and does not disturb the others. The
        end of the iteration, be it `close`, Ctrl-C or an error of `requests`, kills nothing: a log
        record or a note tells which executions are running still.

        A subclass that overrides what this goes through is called from several threads.

        Example:
            ::

                days = (date(2026, 1, 1) + timedelta(number) for number in range(365))
                requests = (("company.team", "report", {"day": day}) for day in days)
                for outcome in flow.execute_all(requests, max_concurrent=20):
                    if not outcome.ok:
                        print(outcome.request.inputs, outcome.error or outcome.result)

        Args:
            requests: Each an `ExecutionRequest`, a tuple `(namespace, flow)` or
                `(namespace, flow, inputs)`, or a mapping with the attributes of an
                `ExecutionRequest`. They are read one by one, in the thread of the caller, when
                there is a place: it may be a generator, also one that never ends.
            max_concurrent: How many executions are between their creation and the moment when
                their outcome is handed out.
            timeout: How long each may take from its creation, in seconds. The error of one that
                takes longer is `ExecutionTimeout`.
            kill_on_timeout: Whether to kill it then.
            fetch_log: Whether to fetch the log of each. That costs a request or more, and a third
                of a second or more, for each; `get_logs` fetches a single one.

        Yields:
            The outcome of each request, in the order in which the executions end; where
            `wait_for_completion` is off, as soon as they are created.

        Raises:
            TypeError: An argument is of the wrong type. For one of a request, this is the error of
                its outcome.
            ValueError: `max_concurrent` is not positive, or the timeout, `poll_interval` or
                `log_settle` is negative.
        """
        self._check_waiting(timeout, waits=self.wait_for_completion)
        if isinstance(max_concurrent, bool) or not isinstance(max_concurrent, int):
            raise TypeError(
                f"max_concurrent must be an integer, not {type(max_concurrent).__name__}"
            )
        if max_concurrent < 1:
            raise ValueError("max_concurrent must be 1 or more")
        if isinstance(requests, str | Mapping | ExecutionRequest):
            raise TypeError("requests must be an iterable: put a single request into a list")
        jobs = Jobs(self, Stopwatch(), timeout, kill_on_timeout, fetch_log)
        return Schedule(jobs, iter(requests), max_concurrent).outcomes()
