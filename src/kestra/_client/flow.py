"""`Flow`: start executions from any Python program, and see what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from kestra._api.parsing import checked_level
from kestra._api.requests import ExecutionOutcome, ExecutionRequest
from kestra._client.connection import Connection
from kestra._http.blocking import make_request, perform, perform_each, publish
from kestra._http.sessions import Sessions
from kestra._rules import actions, downloads, executing, following, log, many, reading

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    import requests
    from typing_extensions import Self

    from kestra._api.models import FlowExecution, LogEntry, Metric, StateChange
    from kestra._client.namespace import Namespace

    Given = (
        ExecutionRequest
        | tuple[str, str]
        | tuple[str, str, Mapping[str, Any] | None]
        | Mapping[str, Any]
    )
    T = TypeVar("T")


class Flow(Connection):
    """Starts executions of flows, follows them, reads what they produce, and acts on them.

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
        poll_interval: The longest pause between two polls of a running execution, in seconds.
        labels_from_inputs: Whether inputs become labels of the execution too.
        API_ENDPOINT_EXECUTION_CREATE: Path, with `{namespace}` and `{flow_id}`.
        API_ENDPOINT_EXECUTION_STATUS: Path, with `{execution_id}`.
        API_ENDPOINT_EXECUTION_LOG: Path, with `{execution_id}`.

    The other attributes, `tenant`, `headers`, `verify`, `proxies`, `request_timeout`, `retries`,
    `idempotent` and `log_settle`, mean what the arguments of these names do.
    """

    _sessions: Sessions

    def _open(self, session: Any) -> Sessions:
        return Sessions(session)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. The next request opens new ones."""
        self._sessions.close()

    def namespace(self, name: str) -> Namespace:
        """Return a namespace, with these connections and attributes.

        Args:
            name: The name of the namespace.

        Raises:
            TypeError: The name is not a string.
            ValueError: It is not valid.
        """
        from kestra import Namespace

        return Namespace._of(self, name)  # noqa: SLF001  # made for this

    # --- executing ---

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

        An execution that fails is not an error here: the result has its state. Call
        `raise_for_status` of the result to raise one.

        Args:
            namespace: The namespace of the flow.
            flow: The id of the flow.
            inputs: Values by input id. Booleans, dates, durations, dicts and lists become what the
                engine reads them from; `None` is left out; a path, an open file or bytes become a
                file; a tuple is `(filename, file, content type)` as in `requests`, and its file may
                be a path too.
            labels: Labels of the execution. Your own `system.correlationId` takes the place of the
                generated one, by which an execution is found when the response to its creation is
                lost: use each value only once for a flow.
            timeout: How long to wait for the end, in seconds from the creation. Set one in
                production: after a worker was killed, its task stays RUNNING and never ends.
            kill_on_timeout: Whether to kill the execution when that time is over.
            revision: The revision of the flow, instead of the latest.
            schedule_date: When to run it, instead of now; the wait lasts until it has run. A
                datetime without an offset is local.
            fetch_log: Whether to fetch the log at the end, once the server has stored it: usually
                within a second, on a busy server later; see `log_settle`.
            on_log: Called with each log entry as it arrives, in this thread, such as `print`. An
                exception that it raises ends the wait, not the execution.
            on_state: Called with each new state of the execution, in this thread; with the
                terminal one after the last log entry.
            follow: Whether to learn of the end from the server's stream of events instead of
                polling. `on_log` and `on_state` use the stream too. See the method `follow` for
                servers without such a stream.

        Returns:
            The id and the terminal state, the outputs, the log if it could be fetched, and
            everything else that the server reports.

        Raises:
            ExecutionTimeout: It has not ended in time.
            NotFound: There is no such flow or revision.
            Conflict: The flow is disabled.
            InvalidInput: The server does not accept an input.
            AuthenticationError: The credentials are wrong or missing.
            MalformedResponse: A response is not what a Kestra server sends.
            FailedExponentialBackoff: Every attempt failed. If `correlation_id` is set, the
                execution may exist all the same.
            TypeError: An argument is of the wrong type.
            ValueError: An argument cannot be sent.
        """
        waits = self.wait_for_completion
        options = self._options(
            timeout, kill_on_timeout, fetch_log, on_log, on_state, follow, waits=waits
        )
        request = ExecutionRequest(namespace, flow, inputs, labels, revision, schedule_date)
        return perform(self, executing.execute, request, options, waits=waits)

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
            kill_on_timeout: As for `execute`; the same holds for the arguments below.
            fetch_log: Whether to fetch the log at the end.
            on_log: Called with each log entry.
            on_state: Called with each state.
            follow: Whether to use the server's stream of events.

        Returns:
            The result, as that of `execute`.

        Raises:
            ExecutionTimeout: It has not ended in time.
            NotFound: There is no such execution. A new one may be unknown to the server for a
                moment, so this is raised after `poll_interval`, and after a second at least.
            MalformedResponse: A response is not what a Kestra server sends.
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed.
            TypeError: The timeout, `poll_interval` or `log_settle` is not a number.
            ValueError: One of them is negative, or the id is not valid.
        """
        options = self._options(timeout, kill_on_timeout, fetch_log, on_log, on_state, follow)
        return perform(self, executing.wait, execution_id, options)

    def execute_all(
        self,
        requests: Iterable[Given],
        *,
        max_concurrent: int = 10,
        timeout: float | None = None,
        kill_on_timeout: bool = False,
        fetch_log: bool = False,
    ) -> Generator[ExecutionOutcome, None, None]:
        """Start many executions, a few at a time, and yield the outcome of each as it ends.

        It takes at most ten connections, whatever `max_concurrent` is. All executions of a flow
        are polled with one search. Where there is no search, or it does not show them, they are
        polled one by one.

        Nothing is sent before the first outcome is asked for; while none is asked for, only
        requests that have begun go on. An error of one request is its outcome, and does not disturb
        the others. The end of the iteration, by `close`, Ctrl-C or an error of `requests`, kills
        nothing: a log record or a note names the executions that are still running.

        Methods that a subclass overrides, such as `check_status`, are called from several threads.

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
                there is a free slot: it may be a generator, also one that never ends.
            max_concurrent: How many executions may run at a time, counted from their creation
                until their outcome is yielded.
            timeout: How long each may take from its creation, in seconds. The error of one that
                takes longer is `ExecutionTimeout`.
            kill_on_timeout: Whether to kill it then.
            fetch_log: Whether to fetch the log of each. That costs some requests, and half a
                second or more, for each; `get_logs` fetches a single one.

        Yields:
            The outcome of each request, in the order in which the executions end; where
            `wait_for_completion` is off, as soon as they are created.

        Raises:
            TypeError: An argument is of the wrong type. For one of a request, this is the error of
                its outcome.
            ValueError: `max_concurrent` is not positive, or the timeout, `poll_interval` or
                `log_settle` is negative.
        """
        waits = self.wait_for_completion
        options = self._options(timeout, kill_on_timeout, fetch_log, waits=waits)
        return perform_each(
            self,
            many.outcomes,
            many.checked_requests(requests),
            options,
            max_concurrent=many.checked_slots(max_concurrent),
            waits=waits,
        )

    def follow(
        self, execution_id: str, *, min_level: str = "TRACE", timeout: float | None = None
    ) -> Generator[LogEntry | StateChange, None, None]:
        """Yield each state and each log entry of an execution, once, until it has ended.

        First come the states so far and the log entries that are stored. Everything else comes as
        it arrives: nothing is held back for order, so late log entries come last. The very last is
        the terminal state, when the log is complete; if it may be incomplete, the logger `kestra`
        warns.

        It reads the two streams of events of the server, opens them again when they break, and at
        the end compares with the stored log, since the stream of the log loses entries. Where
        there are no such streams, or a proxy holds them back, it polls, as `wait` does; most
        servers then show log entries only after the end.

        The entries and changes print as lines: `print(event)`. Closing the generator, or dropping
        it, closes the connections.

        Args:
            execution_id: The id of the execution.
            min_level: The least level: `TRACE`, `DEBUG`, `INFO`, `WARN` or `ERROR`.
            timeout: How long to wait for the end, in seconds.

        Yields:
            A `LogEntry` for what was logged, and a `StateChange` for each state.

        Raises:
            ExecutionTimeout: It has not ended in time.
            NotFound: There is no such execution.
            MalformedResponse: A response is not what a Kestra server sends.
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed.
            TypeError: The level is not a string, or the timeout not a number.
            ValueError: There is no such level, the timeout is negative, or the id is not valid.
        """
        options = self._options(timeout=timeout, fetch_log=False, grace=False)
        level = checked_level(min_level)
        self._server.url("{execution_id}", execution_id=execution_id)  # refuses what is not an id
        return perform_each(self, following.events, execution_id, options, level)

    # --- reading ---

    def get_execution(self, execution_id: str) -> FlowExecution:
        """Get an execution as it is now, without its log.

        `check_status` returns the server's response itself. The result has the outputs if the
        execution has ended; on 2.0 they cost a second request.

        Args:
            execution_id: The id of the execution.

        Raises:
            NotFound: There is no such execution.
            MalformedResponse: The response is not what a Kestra server sends.
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed.
            ValueError: The id is not valid.
        """
        return self._of(reading.get_execution, execution_id)

    def get_outputs(self, execution_id: str, *, task_id: str | None = None) -> dict[str, Any]:
        """Get the outputs of a flow, or of one of its tasks.

        Up to 1.x they are part of the execution; for 2.0 this costs more requests.

        Args:
            execution_id: The id of the execution.
            task_id: The id of a task, for its outputs instead of the flow's. A Script task has
                those that it sent under `vars`. A task in a loop has them by the value that it ran
                for, as text, or by its index: `{"a": {…}, "b": {…}}`. On 2.0, where each iteration
                of a `Loop` is an execution of its own, those are searched for the task. Of
                two runs for the same value, or for none, the later one counts.

        Returns:
            Outputs by name; nothing where there are none (yet).

        Raises:
            NotFound: There is no such execution, or no run of the task in it.
            MalformedResponse: A response is not what a Kestra server sends.
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed.
            ValueError: The id is not valid.
        """
        return self._of(reading.get_outputs, execution_id, task_id)

    def get_metrics(self, execution_id: str) -> list[Metric]:
        """Get the metrics that the tasks of an execution have sent.

        The server stores them a second or two after the execution has ended.

        Args:
            execution_id: The id of the execution.

        Returns:
            The metrics in the server's order, timers in seconds; none for an unknown execution.

        Raises:
            MalformedResponse: The response is not what a Kestra server sends.
            APIError: The server refused.
            FailedExponentialBackoff: Every attempt failed.
            ValueError: The id is not valid.
        """
        return self._of(reading.get_metrics, execution_id)

    def iter_logs(self, execution_id: str, *, min_level: str = "TRACE") -> Iterator[LogEntry]:
        """Get the log of an execution, entry by entry, in the order of logging.

        The requests are sent at once. If the execution has ended within the last two minutes, this
        waits until the server has stored its log, `log_settle` seconds at most, as `execute` does;
        if it may still be incomplete, the logger `kestra` warns.

        Args:
            execution_id: The id of the execution.
            min_level: The least level: `TRACE`, `DEBUG`, `INFO`, `WARN` or `ERROR`.

        Returns:
            The entries; none for an unknown execution.

        Raises:
            MalformedResponse: A response is not what a Kestra server sends.
            APIError: The server refused.
            FailedExponentialBackoff: Every attempt failed.
            TypeError: The level is not a string.
            ValueError: There is no such level, or the id is not valid.
        """
        return iter(self._of(log.get_log, execution_id, self._options(), min_level))

    def download(self, execution_id: str, uri: str, to: str | os.PathLike[str]) -> Path:
        """Download a file of an execution.

        It is written to a file of another name beside the target, and renamed when it is complete:
        after an error nothing is left behind, and the target is as it was. On Windows, a file that
        another program has open cannot be replaced.

        Args:
            execution_id: The id of the execution.
            uri: Where the server keeps it, as in the outputs: `kestra:///…`.
            to: The file to write. A file of that name is replaced; its folder has to be there.

        Returns:
            The path of the file.

        Raises:
            NotFound: There is no such file.
            InvalidInput: The URI is not one of the server's storage.
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed.
            OSError: The file cannot be written.
            TypeError: The URI is not a string, or the target not a path.
            ValueError: The URI, the id or the target is not valid.
        """
        return self._of(downloads.download, execution_id, uri, to)

    # --- acting ---

    def kill(self, execution_id: str) -> None:
        """Kill an execution, and the subflows that it has started.

        The server accepts at once; the state is KILLING for a while, and then KILLED. To kill an
        execution that has ended does nothing; some servers may refuse it as a `Conflict`.

        Args:
            execution_id: The id of the execution.

        Raises:
            NotFound: There is no such execution.
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed.
            ValueError: The id is not valid.
        """
        self._of(actions.act, execution_id, "kill")

    def pause(self, execution_id: str) -> None:
        """Pause a running execution: tasks that run go on, and no other starts.

        Args:
            execution_id: The id of the execution.

        Raises:
            NotFound: There is no such execution.
            InvalidInput: It is not running (up to 1.x).
            Conflict: It is not running (from 2.0 on).
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed, or it is not known whether one did.
            ValueError: The id is not valid.
        """
        self._of(actions.act, execution_id, "pause")

    def resume(self, execution_id: str, inputs: Mapping[str, Any] | None = None) -> None:
        """Resume a paused execution.

        Args:
            execution_id: The id of the execution.
            inputs: What the task that paused it asks for (`onResume`), by id; values as those of
                `execute`. Where one that is required is missing, 0.21 never responds.

        Raises:
            NotFound: There is no such execution.
            Conflict: It is not paused.
            InvalidInput: The server does not accept an input.
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed, or it is not known whether one did.
            TypeError: An input is of the wrong type.
            ValueError: An input cannot be sent, or the id is not valid.
        """
        self._of(actions.resume, execution_id, inputs)

    def restart(self, execution_id: str, *, revision: int | None = None) -> str:
        """Run a failed execution again, from the tasks that failed on.

        The request is sent once: with a revision, repeating it might start two executions.

        Args:
            execution_id: The id of the execution.
            revision: The revision of the flow to go on with, instead of its own. Up to 1.x, a new
                execution is made for it.

        Returns:
            The id of the execution that runs: the same, or that of the new one.

        Raises:
            NotFound: There is no such execution, or no such revision.
            InvalidInput: Nothing has failed (up to 1.x).
            Conflict: It cannot be restarted (from 2.0 on).
            APIError: The server refused for another reason.
            FailedExponentialBackoff: No response came; it may have been restarted.
            MalformedResponse: With a revision, the response lacks the id.
            TypeError: The revision is not an integer.
            ValueError: The revision or the id is not valid.
        """
        return self._of(actions.restart, execution_id, revision)

    def replay(
        self, execution_id: str, *, task_run_id: str | None = None, revision: int | None = None
    ) -> str:
        """Run an execution again, as a new one with the same inputs.

        The request is sent once: repeating it might start two executions.

        Args:
            execution_id: The id of the execution.
            task_run_id: The run of a task to begin at; those before it keep their outputs.
            revision: The revision of the flow, instead of the execution's own.

        Returns:
            The id of the new execution.

        Raises:
            NotFound: There is no such execution, or no such revision.
            InvalidInput: There is no such task run.
            Conflict: It cannot be replayed (from 2.0 on).
            ServerError: The server failed.
            FailedExponentialBackoff: No response came; the new execution may exist.
            MalformedResponse: The response lacks the new id.
            TypeError: The revision is not an integer, or the task run's id not a string.
            ValueError: The revision or an id is not valid.
        """
        return self._of(actions.replay, execution_id, task_run_id, revision)

    def set_labels(self, execution_id: str, labels: Mapping[str, Any]) -> None:
        """Add labels to an execution that has ended; those of the same key get the new value.

        Args:
            execution_id: The id of the execution.
            labels: Values by key.

        Raises:
            NotFound: There is no such execution.
            InvalidInput: It has not ended, or the server does not accept a label.
            Conflict: The labels cannot be set.
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed, or it is not known whether one did.
            TypeError: The labels are not a mapping.
            ValueError: The server would refuse a label, or the id is not valid.
        """
        self._of(actions.set_labels, execution_id, labels)

    def _of(self, rule: Callable[..., Coroutine[Any, Any, T]], execution_id: str, *args: Any) -> T:
        """Carry out a rule about an execution, which every error names."""
        return perform(self, reading.about, execution_id, rule, *args)  # type: ignore[no-any-return]

    # --- what users of 2.0.0 call, override and patch ---

    @publish
    def _make_request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        """Send a request, repeat it as `retries` says, and return the response.

        Everything that this object sends goes through here. A POST that creates an execution is
        recognised by the correlation label in its URL, and never carried out twice.

        Args:
            method: The HTTP method.
            url: The URL.
            **kwargs: For `requests`, such as `params`, `headers` or `timeout`.

        Raises:
            APIError: The server refused.
            FailedExponentialBackoff: Every attempt failed.
            ValueError: The credentials, the hostname or the headers cannot be used.
        """
        return make_request(self, method, url, kwargs)

    @publish
    def check_status(self, execution_id: str) -> requests.Response:
        """Get an execution as the server has it: `id`, `state`, `taskRunList`, and more.

        Args:
            execution_id: The id of the execution.

        Raises:
            NotFound: There is no such execution.
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed.
        """
        url = self._server.url(self.API_ENDPOINT_EXECUTION_STATUS, execution_id=execution_id)
        return self._make_request("get", url)

    @publish
    def get_logs(self, execution_id: str) -> requests.Response:
        """Get the log of an execution as text, one line an entry, as the server has it now.

        The server stores the log in the seconds after the execution has ended.

        Args:
            execution_id: The id of the execution.

        Raises:
            NotFound: There is no such execution (older servers send an empty log instead).
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed.
        """
        url = self._server.url(self.API_ENDPOINT_EXECUTION_LOG, execution_id=execution_id)
        return self._make_request("get", url)
