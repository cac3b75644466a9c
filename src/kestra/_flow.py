"""`Flow`: start executions from any Python program, and wait for them."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import urllib3

from kestra._client.batch import ExecutionRequest
from kestra._client.executions import (
    DEFAULT_HOSTNAME,
    MAIN,
    TERMINAL_STATES,
    base_url,
    creation_query,
    endpoints,
    root,
    segment,
    state_of,
    ui_url,
    under_main,
)
from kestra._client.following import Following, checked_callbacks
from kestra._client.inputs import checked_labels, form, labels_of
from kestra._client.many import Many
from kestra._client.parts import about
from kestra._client.reading import Reading
from kestra._client.results import FlowExecution
from kestra._client.steering import Steering
from kestra._client.waiting import check_timeout, last_state, settled_log
from kestra._http.answers import json_object, malformed
from kestra._http.api_errors import APIError
from kestra._http.creation import CORRELATION
from kestra._http.credentials import credentials, without_userinfo
from kestra._http.retry import published_retry
from kestra._http.session import Access, Sessions, is_replaced, within
from kestra._http.transport import annotate, request
from kestra.exceptions import ExecutionTimeout, FailedExponentialBackoff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from types import TracebackType

    import requests
    from typing_extensions import Self

    from kestra._client.following import Callbacks
    from kestra._client.results import LogEntry, StateChange

logger = logging.getLogger("kestra")

_LONGEST_KILL = 10.0  # seconds that a timeout may take longer for it
_ERRORS_SETTLE = 2.0  # seconds after the end, by which what failed is in the log
_LEVELS = {"SUCCESS": logging.INFO, "RETRIED": logging.INFO, "SKIPPED": logging.INFO,
           "FAILED": logging.ERROR}  # fmt: skip


class Flow(Many, Reading, Following, Steering):
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

    def __init__(  # noqa: PLR0913  # each is independent, and all but the first four keyword-only
        self,
        wait_for_completion: bool = True,
        poll_interval: float = 1,
        labels_from_inputs: bool = False,
        tenant: str | None = None,
        *,
        hostname: str | None = None,
        user: str | None = None,
        password: str | None = None,
        api_token: str | None = None,
        session: requests.Session | None = None,
        headers: Mapping[str, str] | None = None,
        verify: bool | str | None = None,
        proxies: Mapping[str, str] | None = None,
        request_timeout: float | tuple[float, float] = (10, 60),
        retries: urllib3.Retry | None = None,
        idempotent: bool = True,
        log_settle: float = 5,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            wait_for_completion: Whether `execute` waits for the end.
            poll_interval: The longest pause between two looks, in seconds. The first come sooner.
            labels_from_inputs: Whether inputs become labels of the execution too.
            tenant: The tenant; `KESTRA_TENANT` by default. Without one, paths without a tenant are
                tried, then those of the tenant `main`.
            hostname: The server; `KESTRA_HOSTNAME`, or `http://localhost:8080`, by default.
            user: For Basic authentication; `KESTRA_USER` by default.
            password: For Basic authentication; `KESTRA_PASSWORD` by default.
            api_token: For Bearer authentication; `KESTRA_API_TOKEN` by default.
            session: A session of yours to send requests with, which you close. Only the default
                one bounds the time for a whole answer; yours bounds the wait for the next bytes.
            headers: Headers for every request.
            verify: Whether, or with which CA bundle, certificates are checked, as in `requests`.
            proxies: Proxies by scheme, as in `requests`.
            request_timeout: Seconds to connect and seconds to read an answer, or one for both.
            retries: How often to try, and how long to pause; five attempts and pauses of 1, 2, 4,
                8 and 16 seconds by default. Statuses and methods that yours leaves unsaid are as
                by default.
            idempotent: Whether an execution gets a correlation label of its own, by which it is
                found again when the answer to its creation is lost.
            log_settle: How long to ask again for a log that is not complete yet, in seconds.
        """
        self.wait_for_completion = wait_for_completion
        self.poll_interval = poll_interval
        self.labels_from_inputs = labels_from_inputs
        self.hostname = hostname or os.environ.get("KESTRA_HOSTNAME") or DEFAULT_HOSTNAME
        self.user = os.environ.get("KESTRA_USER") if user is None else user
        self.password = os.environ.get("KESTRA_PASSWORD") if password is None else password
        self.api_token = os.environ.get("KESTRA_API_TOKEN") if api_token is None else api_token
        self.headers = headers
        self.verify = verify
        self.proxies = proxies
        self.request_timeout = request_timeout
        self.retries = retries
        self.idempotent = idempotent
        self.log_settle = log_settle
        self._sessions = Sessions(session)
        # Whether paths without a tenant are known to work, and whether only those of `main` do.
        self._tenantless = False
        self._needs_main = False
        self.tenant = tenant or os.environ.get("KESTRA_TENANT")

    def __repr__(self) -> str:
        shown = without_userinfo(str(self.hostname))[0]
        return f"{type(self).__name__}(hostname={shown!r}, tenant={self.tenant!r})"

    @property
    def tenant(self) -> str | None:
        """The tenant, `None` for none. Assigning one sets the paths."""
        return self._tenant

    @tenant.setter
    def tenant(self, tenant: str | None) -> None:
        self._tenant = tenant or None
        (
            self.API_ENDPOINT_EXECUTION_CREATE,
            self.API_ENDPOINT_EXECUTION_STATUS,
            self.API_ENDPOINT_EXECUTION_LOG,
        ) = endpoints(self._tenant)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. The next request opens new ones."""
        self._sessions.close()

    # --- requests ---

    def _make_request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        """Send a request, repeat it as `retries` says, and return the answer.

        Everything that this object sends goes through here. A POST that creates an execution is
        recognised by the correlation label in its URL, and never carried out twice.

        Args:
            method: The HTTP method.
            url: The URL.
            **kwargs: For `requests`, such as `params`, `headers` or `timeout`.

        Raises:
            APIError: The server refused.
            FailedExponentialBackoff: Every attempt failed.
            ValueError: The credentials, or the hostname, cannot be used.
        """
        base, host_userinfo = without_userinfo(base_url(self.hostname))
        url, userinfo = without_userinfo(url)
        main = None
        if not (self.tenant or self._tenantless or is_replaced()):
            main = under_main(url, base)
        access = self._access(userinfo or host_userinfo)
        response, moved = request(self._sessions, method, url, access, kwargs, otherwise=main)
        if moved:
            self._move_to_main()
        elif main is not None:
            self._tenantless = True
        return response

    def _access(self, userinfo: tuple[str, str] | None) -> Access:
        """Return how to reach the server, from the attributes as they are now."""
        timeout = self.request_timeout
        connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        if not (connect > 0 and read > 0):
            raise ValueError("request_timeout: seconds, and more than none")
        return Access(
            credentials=credentials(self.api_token, self.user, self.password, userinfo),
            headers=self.headers or {},
            verify=self.verify,
            proxies=self.proxies,
            timeout=(connect, read),
            policy=self._policy(),
        )

    def _policy(self) -> urllib3.Retry:
        """Return how often to try, and how long to wait in between."""
        policy = published_retry() if self.retries is None else self.retries
        if not isinstance(policy, urllib3.Retry):
            raise TypeError(f"retries: a urllib3.Retry, not {type(policy).__name__}")
        return policy

    def _move_to_main(self) -> None:
        """Remember that paths need the tenant `main`; those that somebody has changed stay."""
        self._needs_main = True
        names = ("CREATE", "STATUS", "LOG")
        for name, old, new in zip(names, endpoints(None), endpoints(MAIN), strict=True):
            if getattr(self, f"API_ENDPOINT_EXECUTION_{name}") == old:
                setattr(self, f"API_ENDPOINT_EXECUTION_{name}", new)

    def _url(self, template: str, **names: object) -> str:
        base, _ = without_userinfo(base_url(self.hostname))
        return base + template.format(**{k: segment(k, v) for k, v in names.items()})

    def _api(self, template: str, **names: object) -> str:
        """Return the URL of what the attributes have no path of."""
        return self._url(root(self._root_tenant) + template, **names)

    @property
    def _root_tenant(self) -> str | None:
        return self.tenant or (MAIN if self._needs_main else None)

    def check_status(self, execution_id: str) -> requests.Response:
        """Get an execution as the server has it: `id`, `state`, `taskRunList`, and more.

        Args:
            execution_id: The id of the execution.

        Raises:
            NotFound: There is no such execution.
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed.
        """
        url = self._url(self.API_ENDPOINT_EXECUTION_STATUS, execution_id=execution_id)
        return self._make_request("get", url)

    def get_logs(self, execution_id: str) -> requests.Response:
        """Get the log of an execution as text, one line an entry.

        The server stores the log a second or two after the execution has ended.

        Args:
            execution_id: The id of the execution.

        Raises:
            NotFound: There is no such execution (older servers send an empty log instead).
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed.
        """
        url = self._url(self.API_ENDPOINT_EXECUTION_LOG, execution_id=execution_id)
        return self._make_request("get", url)

    # --- executions ---

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
                file; a tuple is `(filename, file, content type)` as in `requests`.
            labels: Labels of the execution. Your own `system.correlationId` takes the place of the
                one that is otherwise made up, and is by what an execution whose creation was not
                answered is recognised: use one only once for a flow.
            timeout: How long to wait for the end, in seconds from the creation.
            kill_on_timeout: Whether to kill the execution when that time is over.
            revision: The revision of the flow, instead of the latest.
            schedule_date: When to run it, instead of now; the wait lasts until it has. A datetime
                without an offset is local.
            fetch_log: Whether to fetch the log at the end.
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
        check_timeout(timeout)
        told = checked_callbacks(on_log, on_state, follow=follow)
        created, address = self._create(
            ExecutionRequest(namespace, flow, inputs, labels, revision, schedule_date)
        )
        execution_id = created["id"]
        if not self.wait_for_completion:
            return FlowExecution(execution_id, "STARTED", None, None, url=address)
        with _noted(execution_id, address):
            ended = self._wait(execution_id, timeout, kill=kill_on_timeout, told=told)
            name = f"{execution_id} of {namespace}.{flow}"
            return self._ended(
                execution_id,
                ended,
                name,
                url=address,
                fetch_log=fetch_log,
                at_once=told is not None,
            )

    def _create(self, asked: ExecutionRequest) -> tuple[dict[str, Any], str | None]:
        """Create an execution; return the answer, which has an id, and where it is shown."""
        namespace, flow = asked.namespace, asked.flow
        inputs = {} if asked.inputs is None else asked.inputs
        with ExitStack() as opened:
            files = form(inputs, opened)
            labels = self._labels(asked.labels, inputs)
            query = creation_query(labels, asked.revision, asked.schedule_date)
            url = self._url(self.API_ENDPOINT_EXECUTION_CREATE, namespace=namespace, flow_id=flow)
            # 2.0.0 sends no `files` at all where there are no inputs.
            body: dict[str, Any] = {"files": files} if files else {}
            response = self._make_request("post", url + query, **body)
        created = json_object(response, "post", url)
        execution_id = created.get("id")
        if not execution_id:
            raise malformed("post", url, response, "lacks the id of the execution")
        address = self._address({**created, "namespace": namespace, "flowId": flow})
        logger.info("Execution %s of %s.%s created: %s", execution_id, namespace, flow, address)
        return created, address

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
            fetch_log: Whether to fetch the log at the end.
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
            NotFound: There is no such execution; for `poll_interval`, it may be about to be.
            MalformedResponse: An answer is not what a Kestra server sends.
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed.
            TypeError: The timeout is no number.
            ValueError: The timeout is negative, or the id cannot be one.
        """
        check_timeout(timeout)
        told = checked_callbacks(on_log, on_state, follow=follow)
        address = self._url(self.API_ENDPOINT_EXECUTION_STATUS, execution_id=execution_id)
        with _noted(execution_id, address):
            ended = self._wait(
                execution_id, timeout, kill=kill_on_timeout, told=told, look_first=True
            )
            return self._ended(
                execution_id, ended, execution_id, fetch_log=fetch_log, at_once=told is not None
            )

    def _ended(  # noqa: PLR0913 - each is independent, and all but the first three keyword-only
        self,
        execution_id: str,
        execution: dict[str, Any],
        name: str,
        *,
        url: str | None = None,
        fetch_log: bool,
        at_once: bool = False,
    ) -> FlowExecution:
        """Return the result of an execution that has ended, as the last look showed it.

        Args:
            execution_id: Its id.
            execution: How the server shows it.
            name: What it is called in the log.
            url: Where the user interface shows it, if that is known already.
            fetch_log: Whether to fetch its log.
            at_once: Whether to ask for the log without a pause: who follows does not wait.
        """
        state = state_of(execution)
        logger.log(_LEVELS.get(str(state), logging.WARNING), "Execution %s ended: %s", name, state)
        log = None
        if fetch_log:
            log = settled_log(
                execution_id,
                lambda: str(self.get_logs(execution_id).text),
                poll_interval=0 if at_once else self.poll_interval,
                settle=self.log_settle,
            )
        # Where there is a log, what was logged as ERROR is stored by now.
        wait_for_errors = log is None and state == "FAILED"
        settle = min(self.log_settle, _ERRORS_SETTLE) if wait_for_errors else 0
        return self._result(execution_id, execution, log=log, url=url, settle=settle)

    def _labels(
        self, explicit: Mapping[str, Any] | None, inputs: Mapping[str, Any]
    ) -> dict[str, str]:
        """Return all labels of an execution; an explicit one goes before one from an input."""
        labels = labels_of(inputs) if self.labels_from_inputs else {}
        labels |= checked_labels(explicit or {})
        if self.idempotent and CORRELATION not in labels:
            labels = {CORRELATION: str(uuid4()), **labels}
        return labels

    def _address(self, execution: dict[str, Any]) -> str | None:
        """Return where an execution is shown; the server knows best."""
        address = execution.get("url")
        if isinstance(address, str):
            return without_userinfo(address)[0]
        names = [execution.get(key) for key in ("namespace", "flowId", "id")]
        if not all(names):
            return None
        base, _ = without_userinfo(base_url(self.hostname))
        return ui_url(base, self._root_tenant, *map(str, names))

    def _wait(
        self,
        execution_id: str,
        timeout: float | None,
        *,
        kill: bool,
        told: Callbacks | None,
        look_first: bool = False,
    ) -> dict[str, Any]:
        """Wait until an execution has ended, and return it as the server showed it last.

        Args:
            execution_id: Its id.
            timeout: How long to wait, in seconds.
            kill: Whether to kill it then.
            told: Who is to be told what happens; `None` for looking now and then.
            look_first: Whether to ask for it before it is followed.
        """
        if told is not None:
            return self._watch(execution_id, timeout, told, kill=kill, look_first=look_first)
        seen: list[dict[str, Any]] = []

        def look() -> str:
            seen[:] = [self._look(execution_id)]
            return str(state_of(seen[0]))

        state = last_state(execution_id, look, poll_interval=self.poll_interval, timeout=timeout)
        if state not in TERMINAL_STATES:
            raise self._timed_out(execution_id, timeout, state, kill=kill)
        return seen[0]

    def _timed_out(
        self, execution_id: str, timeout: float | None, state: str | None, *, kill: bool
    ) -> ExecutionTimeout:
        text = f"execution {execution_id} has not ended after {timeout:g} s"
        text += "" if state is None else f"; its last state is {state}"
        killed = kill and self._is_killed(execution_id)
        if kill:
            text += "; it is being killed" if killed else "; it could not be killed"
        return ExecutionTimeout(
            text, execution_id=execution_id, state=state, timeout=timeout, killed=killed
        )

    def _is_killed(self, execution_id: str) -> bool:
        """Ask the server to kill an execution; say whether it will."""
        try:
            with within(_LONGEST_KILL):
                self.kill(execution_id)
        except (APIError, FailedExponentialBackoff) as error:
            logger.warning("Execution %s could not be killed: %s", execution_id, error)
            return False
        return True


@contextmanager
def _noted(execution_id: str, address: str | None) -> Iterator[None]:
    """Let every exception say which execution it left behind."""
    try:
        with about(execution_id):
            yield
    except BaseException as error:
        annotate(error, f"Execution {execution_id}: {address}")
        raise
