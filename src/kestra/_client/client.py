"""One server as `Flow` sees it: where it is, and the requests to it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import urllib3

from kestra._api.paths import (
    DEFAULT_HOSTNAME,
    MAIN,
    base_url,
    endpoints,
    root,
    segment,
    ui_url,
    under_main,
)
from kestra._http.credentials import (
    checked_headers,
    credentials,
    displayed,
    without_userinfo,
)
from kestra._http.retry import published_retry
from kestra._http.session import Access, Sessions, is_replaced
from kestra._http.transport import request
from kestra.exceptions import KestraError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    import requests
    from typing_extensions import Self

# The statuses of a path that this version of the server does not have.
NO_SUCH_PATH = frozenset({404, 405})


class Client:
    """The base of all parts of `Flow`: its attributes, and the requests that it sends."""

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
            request_timeout: Seconds to connect and seconds to read an answer, or one for both. The
                latter also limits how long the server may pause while it takes a body.
            retries: How often to try, and how long to pause; five attempts and pauses of 1, 2, 4,
                8 and 16 seconds by default. Statuses and methods that yours leaves unsaid are as
                by default.
            idempotent: Whether an execution gets a correlation label of its own, by which it is
                found again when the answer to its creation is lost.
            log_settle: How long to ask again for a log that is not complete yet, in seconds. One
                that cannot be had is given up ten seconds later.
        """
        self.wait_for_completion = wait_for_completion
        self.poll_interval = poll_interval
        self.labels_from_inputs = labels_from_inputs
        self.hostname = hostname or os.environ.get("KESTRA_HOSTNAME") or DEFAULT_HOSTNAME
        self.user = os.environ.get("KESTRA_USER") if user is None else user
        self.password = os.environ.get("KESTRA_PASSWORD") if password is None else password
        self.api_token = os.environ.get("KESTRA_API_TOKEN") if api_token is None else api_token
        self.headers = checked_headers(headers)
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
        shown = displayed(str(self.hostname))
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
            ValueError: The credentials, the hostname or the headers cannot be used.
        """
        base, host_userinfo = self._server
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
            raise ValueError("request_timeout must be more than 0 seconds")
        return Access(
            credentials=credentials(self.api_token, self.user, self.password, userinfo),
            headers=checked_headers(self.headers) or {},
            verify=self.verify,
            proxies=self.proxies,
            timeout=(connect, read),
            policy=self._policy(),
        )

    def _policy(self) -> urllib3.Retry:
        """Return how often to try, and how long to wait in between."""
        policy = published_retry() if self.retries is None else self.retries
        if not isinstance(policy, urllib3.Retry):
            raise TypeError(f"retries must be a urllib3.Retry, not {type(policy).__name__}")
        return policy

    def _move_to_main(self) -> None:
        """Remember that paths need the tenant `main`; those that somebody has changed stay."""
        self._needs_main = True
        names = ("CREATE", "STATUS", "LOG")
        for name, old, new in zip(names, endpoints(None), endpoints(MAIN), strict=True):
            if getattr(self, f"API_ENDPOINT_EXECUTION_{name}") == old:
                setattr(self, f"API_ENDPOINT_EXECUTION_{name}", new)

    def _url(self, template: str, **names: object) -> str:
        return self._server[0] + template.format(**{k: segment(k, v) for k, v in names.items()})

    def _api(self, template: str, **names: object) -> str:
        """Return the URL of what the attributes have no path of."""
        return self._url(root(self._root_tenant) + template, **names)

    @property
    def _server(self) -> tuple[str, tuple[str, str] | None]:
        """The address of the server, and the user and the password that `hostname` holds."""
        return without_userinfo(base_url(self.hostname))

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

    def _address(self, execution: dict[str, Any]) -> str | None:
        """Return where an execution is shown; the server knows best."""
        address = execution.get("url")
        if isinstance(address, str):
            return without_userinfo(address)[0]
        names = [execution.get(key) for key in ("namespace", "flowId", "id")]
        if not all(names):
            return None
        return ui_url(self._server[0], self._root_tenant, *map(str, names))


@contextmanager
def naming_execution(execution_id: str) -> Iterator[None]:
    """Let every error of this block say which execution it is about."""
    try:
        yield
    except KestraError as error:
        error.execution_id = execution_id
        raise
