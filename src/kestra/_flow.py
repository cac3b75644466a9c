"""`Flow`: start executions from any Python program, and wait for them."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import requests
import urllib3

from kestra._api_errors import APIError, MalformedResponse
from kestra._credentials import credentials, without_userinfo
from kestra._executions import (
    MAIN,
    TERMINAL_STATES,
    base_url,
    creation_query,
    endpoints,
    segment,
    state_of,
    ui_url,
    under_main,
)
from kestra._inputs import CORRELATION, checked_labels, form, labels_of
from kestra._retry import published_retry
from kestra._session import Access, Sessions, is_replaced, within
from kestra._transport import annotate, request
from kestra._waiting import last_state, settled_log
from kestra.exceptions import ExecutionTimeout, FailedExponentialBackoff, KestraError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from types import TracebackType

    from typing_extensions import Self

logger = logging.getLogger("kestra")

_DEFAULT_HOSTNAME = "http://localhost:8080"
_LONGEST_KILL = 10.0  # seconds that a timeout may take longer for it
_LEVELS = {"SUCCESS": logging.INFO, "RETRIED": logging.INFO, "SKIPPED": logging.INFO,
           "FAILED": logging.ERROR}  # fmt: skip


@dataclass(slots=True)
class FlowExecution:
    """What became of an execution.

    Attributes:
        execution_id: Its id.
        status: The terminal state that it ended in, or `STARTED` if nobody waited.
        log: Its log, one line an entry; `None` if it was not fetched or could not be.
        error: Always `None`; part of the published interface.
    """

    execution_id: str
    status: str | None
    log: str | None
    error: str | None


class Flow:
    """Starts executions of flows, and waits for them.

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
    """

    def __init__(  # noqa: PLR0913 - each is independent, and all but the first four keyword-only
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
        self.hostname = hostname or os.environ.get("KESTRA_HOSTNAME") or _DEFAULT_HOSTNAME
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
        policy = published_retry() if self.retries is None else self.retries
        if not isinstance(policy, urllib3.Retry):
            raise TypeError(f"retries: a urllib3.Retry, not {type(policy).__name__}")
        return Access(
            credentials=credentials(self.api_token, self.user, self.password, userinfo),
            headers=self.headers or {},
            verify=self.verify,
            proxies=self.proxies,
            timeout=(connect, read),
            policy=policy,
        )

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

    def execute(  # noqa: PLR0913 - each is independent, and all but the first three keyword-only
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
    ) -> FlowExecution:
        """Start an execution and, unless `wait_for_completion` is off, wait until it has ended.

        An execution that fails is no error here: its state says so.

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

        Returns:
            The id and the terminal state, and the log if it could be fetched.

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
        inputs = {} if inputs is None else inputs
        with ExitStack() as opened:
            files = form(inputs, opened)
            query = creation_query(self._labels(labels, inputs), revision, schedule_date)
            url = self._url(self.API_ENDPOINT_EXECUTION_CREATE, namespace=namespace, flow_id=flow)
            # The published package sends no `files` at all where there are no inputs.
            body: dict[str, Any] = {"files": files} if files else {}
            response = self._make_request("post", url + query, **body)
        created = _json_object(response, "post", url)
        execution_id = created.get("id")
        if not execution_id:
            raise _malformed("post", url, response, "lacks the id of the execution")
        address = self._address(created, namespace, flow)
        logger.info("Execution %s of %s.%s created: %s", execution_id, namespace, flow, address)
        if not self.wait_for_completion:
            return FlowExecution(execution_id, "STARTED", None, None)
        with _noted(execution_id, address):
            state = self._wait(execution_id, timeout, kill=kill_on_timeout)
            logger.log(
                _LEVELS.get(state, logging.WARNING),
                "Execution %s of %s.%s ended: %s", execution_id, namespace, flow, state,
            )  # fmt: skip
            log = None
            if fetch_log:
                log = settled_log(
                    execution_id,
                    lambda: str(self.get_logs(execution_id).text),
                    poll_interval=self.poll_interval,
                    settle=self.log_settle,
                )
        return FlowExecution(execution_id, state, log, None)

    def _labels(
        self, explicit: Mapping[str, Any] | None, inputs: Mapping[str, Any]
    ) -> dict[str, str]:
        """Return all labels of an execution; an explicit one goes before one from an input."""
        labels = labels_of(inputs) if self.labels_from_inputs else {}
        labels |= checked_labels(explicit or {})
        if self.idempotent and CORRELATION not in labels:
            labels = {CORRELATION: str(uuid4()), **labels}
        return labels

    def _address(self, created: Mapping[str, Any], namespace: str, flow: str) -> str:
        """Return where an execution is shown; the server knows best."""
        address = created.get("url")
        if isinstance(address, str):
            return without_userinfo(address)[0]
        base, _ = without_userinfo(base_url(self.hostname))
        tenant = self.tenant or (MAIN if self._needs_main else None)
        return ui_url(base, tenant, namespace, flow, created["id"])

    def _wait(self, execution_id: str, timeout: float | None, *, kill: bool) -> str:
        """Wait until an execution has ended, and return the state that it ended in."""
        state = last_state(
            execution_id,
            lambda: self._state(execution_id),
            poll_interval=self.poll_interval,
            timeout=timeout,
        )
        if state not in TERMINAL_STATES:
            raise self._timed_out(execution_id, timeout, state, kill=kill)
        return state

    def _state(self, execution_id: str) -> str:
        response = self.check_status(execution_id)
        url = self._url(self.API_ENDPOINT_EXECUTION_STATUS, execution_id=execution_id)
        state = state_of(_json_object(response, "get", url))
        if state is None:
            raise _malformed("get", url, response, "lacks the state of the execution")
        return state

    def _timed_out(
        self, execution_id: str, timeout: float | None, state: str | None, *, kill: bool
    ) -> ExecutionTimeout:
        text = f"execution {execution_id} has not ended after {timeout:g} s"
        text += "" if state is None else f"; its last state is {state}"
        killed = kill and self._kill(execution_id)
        if kill:
            text += "; it is being killed" if killed else "; it could not be killed"
        return ExecutionTimeout(
            text, execution_id=execution_id, state=state, timeout=timeout, killed=killed
        )

    def _kill(self, execution_id: str) -> bool:
        """Ask the server to kill an execution; say whether it will."""
        url = self._url(self.API_ENDPOINT_EXECUTION_STATUS, execution_id=execution_id)
        for path in ("/kill", "/actions/kill"):  # until 1.x, and from 2.0 on
            try:
                with within(_LONGEST_KILL):
                    self._make_request("delete", url + path)
            except APIError as error:
                if error.status in {404, 405}:
                    continue
                logger.warning("Execution %s could not be killed: %s", execution_id, error)
            except FailedExponentialBackoff as error:
                logger.warning("Execution %s could not be killed: %s", execution_id, error)
            else:
                return True
            break
        return False


@contextmanager
def _noted(execution_id: str, address: str) -> Iterator[None]:
    """Let every exception say which execution it left behind."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, KestraError):
            error.execution_id = execution_id
        annotate(error, f"Execution {execution_id}: {address}")
        raise


def _json_object(response: Any, method: str, url: str) -> dict[str, Any]:
    """Return the JSON object that an answer is."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise _malformed(method, url, response, "is no JSON object")
    return body


def _malformed(method: str, url: str, response: Any, what: str) -> MalformedResponse:
    path = urlsplit(url).path
    status = getattr(response, "status_code", None)
    return MalformedResponse(
        f"{method.upper()} {path}: the answer {what}; is this the address of a Kestra server?",
        status=status if isinstance(status, int) else None,
        method=method.upper(),
        path=path,
        response=response if isinstance(response, requests.Response) else None,
    )
