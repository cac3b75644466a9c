"""`Flow`: start executions from any Python program, and wait for them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kestra._api.models import TERMINAL_STATES, FlowExecution
from kestra._api.parsing import state_of
from kestra._api.requests import ExecutionRequest
from kestra._client.client import naming_execution
from kestra._client.following import Following, checked_callbacks
from kestra._client.many import Many
from kestra._client.waiting import last_state
from kestra._http.transport import annotate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from kestra._api.models import LogEntry, StateChange
    from kestra._client.following import Callbacks


class Flow(Following, Many):
    """Starts executions of flows, follows them, reads what they produce, and steers them.

    An execution is created once, however often a request has to be repeated, and every wait ends.
    One object serves any number of threads, and keeps its connections open between calls: `with`
    closes them, and so does `close`.

    Every attribute may be assigned to at any time; the next request goes by it.

    Example:
        ::

            with Flow(hostname="https://kestra.example.com", api_token=token) as flow:
                result = flow.execute("company.team", "report", {"day": date(2026, 1, 31)})
                print(result.status)

    Attributes:
        hostname: Where the server is: scheme, host, and a path if there is one.
        user: User name for Basic authentication.
        password: Its password.
        api_token: Token for Bearer authentication; goes before user and password.
        wait_for_completion: Whether `execute` waits for the end.
        poll_interval: The longest pause between two looks at a running execution, in seconds.
        labels_from_inputs: Whether inputs become labels of the execution too.
        API_ENDPOINT_EXECUTION_CREATE: Path, with `{namespace}` and `{flow_id}`.
        API_ENDPOINT_EXECUTION_STATUS: Path, with `{execution_id}`.
        API_ENDPOINT_EXECUTION_LOG: Path, with `{execution_id}`.

    The other attributes, `tenant`, `headers`, `verify`, `proxies`, `request_timeout`, `retries`,
    `idempotent` and `log_settle`, mean what the arguments of these names do.
    """

    def execute(  # noqa: PLR0913  # each is independent, and all but the first three keyword-only
        self,
        namespace: str,
        flow: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        labels: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        kill_on_timeout: bool = False,
        revision: int | None = None,
        schedule_date: datetime | str | None = None,
        fetch_log: bool = True,
        on_log: Callable[[LogEntry], object] | None = None,
        on_state: Callable[[StateChange], object] | None = None,
        follow: bool = False,
    ) -> FlowExecution:
        """Start an execution and, unless `wait_for_completion` is off, wait until it has ended.

        An execution that fails is no error here: its state says so. `raise_for_status` of the
        result makes it one.

        Args:
            namespace: The namespace of the flow.
            flow: The id of the flow.
            inputs: Values by input id. Booleans, dates, durations, dicts and lists become what the
                engine reads them from; `None` is left out; a path, an open file or bytes become a
                file; a tuple is `(filename, file, content type)` as in `requests`, and its file may
                be a path too.
            labels: Labels of the execution. Your own `system.correlationId` takes the place of the
                one that is otherwise made up, and is by what an execution whose creation was not
                answered is recognised: use one only once for a flow.
            timeout: How long to wait for the end, in seconds from the creation.
            kill_on_timeout: Whether to kill the execution when that time is over.
            revision: The revision of the flow, instead of the latest.
            schedule_date: When to run it, instead of now; the wait lasts until it has. A datetime
                without an offset is local.
            fetch_log: Whether to fetch the log at the end. That may take `log_settle` and, where
                the server does not send it, ten seconds more.
            on_log: Called with each log entry as it is logged, in this thread; `print` will do.
                What it raises ends the waiting, not the execution.
            on_state: Called with each state that the execution comes into, likewise; with the
                terminal one after the last log entry.
            follow: Whether to let the server tell when it has ended, by its stream of events,
                instead of looking now and then; so it is with `on_log` and `on_state`, too. The
                method `follow` says what happens where there is no such stream.

        Returns:
            The id and the terminal state, the log if it could be fetched, and what else the last
            look showed.

        Raises:
            ExecutionTimeout: It has not ended in time.
            NotFound: There is no such flow or revision.
            Conflict: The flow is disabled.
            InvalidInput: The server does not accept an input.
            AuthenticationError: The credentials are wrong or missing.
            MalformedResponse: An answer is not what a Kestra server sends.
            FailedExponentialBackoff: Every attempt failed. If `correlation_id` is set, the
                execution may exist all the same.
            TypeError: An argument is of the wrong type.
            ValueError: An argument cannot be sent.
        """
        self._check_waiting(timeout, waits=self.wait_for_completion)
        callbacks = checked_callbacks(on_log, on_state, follow=follow)
        created, address = self._create(
            ExecutionRequest(namespace, flow, inputs, labels, revision, schedule_date)
        )
        execution_id = created["id"]
        if not self.wait_for_completion:
            return FlowExecution(execution_id, "STARTED", None, None, url=address)
        with _noted(execution_id, address):
            ended = self._wait(execution_id, timeout, kill=kill_on_timeout, callbacks=callbacks)
            name = f"{execution_id} of {namespace}.{flow}"
            return self._ended(
                execution_id,
                ended,
                name,
                url=address,
                fetch_log=fetch_log,
                at_once=callbacks is not None,
            )

    def wait(  # noqa: PLR0913  # each is independent, and all but the first two keyword-only
        self,
        execution_id: str,
        timeout: float | None = None,
        *,
        kill_on_timeout: bool = False,
        fetch_log: bool = True,
        on_log: Callable[[LogEntry], object] | None = None,
        on_state: Callable[[StateChange], object] | None = None,
        follow: bool = False,
    ) -> FlowExecution:
        """Wait until an execution has ended, whoever started it.

        Args:
            execution_id: The id of the execution.
            timeout: How long to wait for the end, in seconds.
            kill_on_timeout: Whether to kill the execution when that time is over.
            fetch_log: Whether to fetch the log at the end. That may take `log_settle` and, where
                the server does not send it, ten seconds more.
            on_log: Called with each log entry as it is logged, in this thread; `print` will do.
                What it raises ends the waiting, not the execution.
            on_state: Called with each state that the execution comes into, likewise; with the
                terminal one after the last log entry.
            follow: Whether to let the server tell when it has ended, by its stream of events,
                instead of looking now and then; so it is with `on_log` and `on_state`, too. The
                method `follow` says what happens where there is no such stream.

        Returns:
            The result, as that of `execute`.

        Raises:
            ExecutionTimeout: It has not ended in time.
            NotFound: There is no such execution; for `poll_interval`, and for a second at least,
                it may be about to be.
            MalformedResponse: An answer is not what a Kestra server sends.
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed.
            TypeError: The timeout, `poll_interval` or `log_settle` is no number.
            ValueError: One of them is negative, or the id cannot be one.
        """
        self._check_waiting(timeout)
        callbacks = checked_callbacks(on_log, on_state, follow=follow)
        address = self._url(self.API_ENDPOINT_EXECUTION_STATUS, execution_id=execution_id)
        with _noted(execution_id, address):
            ended = self._wait(
                execution_id, timeout, kill=kill_on_timeout, callbacks=callbacks, look_first=True
            )
            return self._ended(
                execution_id,
                ended,
                execution_id,
                fetch_log=fetch_log,
                at_once=callbacks is not None,
            )

    def _wait(
        self,
        execution_id: str,
        timeout: float | None,
        *,
        kill: bool,
        callbacks: Callbacks | None,
        look_first: bool = False,
    ) -> dict[str, Any]:
        """Wait until an execution has ended, and return it as the server showed it last.

        Args:
            execution_id: Its id.
            timeout: How long to wait, in seconds.
            kill: Whether to kill it then.
            callbacks: Who is to be told what happens; `None` for looking now and then.
            look_first: Whether to ask for it before it is followed.
        """
        if callbacks is not None:
            return self._watch(execution_id, timeout, callbacks, kill=kill, look_first=look_first)
        seen: list[dict[str, Any]] = []

        def look() -> str:
            seen[:] = [self._look(execution_id)]
            return str(state_of(seen[0]))

        state = last_state(execution_id, look, poll_interval=self.poll_interval, timeout=timeout)
        if state not in TERMINAL_STATES:
            raise self._timed_out(execution_id, timeout, state, kill=kill)
        return seen[0]


@contextmanager
def _noted(execution_id: str, address: str | None) -> Iterator[None]:
    """Let every exception say which execution it left behind."""
    try:
        with naming_execution(execution_id):
            yield
    except BaseException as error:
        annotate(error, f"Execution {execution_id}: {address}")
        raise
