"""One server as a client sees it: where it is, how it is reached, and what is known of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from kestra._api.credentials import checked_headers, credentials, displayed, without_userinfo
from kestra._api.servers import DEFAULT_HOSTNAME, Server, root, under_main
from kestra._rules.io import Request, Settings
from kestra._rules.policy import checked_policy
from kestra._rules.waiting import MOST_SECONDS, Options

if TYPE_CHECKING:
    from typing import NoReturn

    import urllib3

# What other clients call an argument, where that is spelled in another way.
_OTHER_NAMES = {"base_url": "hostname", "server": "hostname", "url": "hostname"}


class Connection:
    """The attributes of a client, and what its requests are made of.

    Every attribute may be assigned to at any time; the next request goes by it.
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
        session: Any = None,
        headers: Mapping[str, str] | None = None,
        verify: bool | str | None = None,
        proxies: Mapping[str, str] | None = None,
        request_timeout: float | tuple[float, float] = (10, 60),
        retries: int | urllib3.Retry | None = None,
        idempotent: bool = True,
        log_settle: float = 60,
        **unknown: NoReturn,
    ) -> None:
        """Set the attributes; nothing is sent.

        Args:
            wait_for_completion: Whether `execute` waits for the end.
            poll_interval: The longest pause between two polls, in seconds. The first come sooner.
            labels_from_inputs: Whether inputs become labels of the execution too.
            tenant: The tenant; `KESTRA_TENANT` by default. Without one, paths without a tenant are
                tried, then those of the tenant `main`.
            hostname: The server; `KESTRA_HOSTNAME`, or `http://localhost:8080`, by default.
            user: For Basic authentication; `KESTRA_USER` by default.
            password: For Basic authentication; `KESTRA_PASSWORD` by default.
            api_token: For Bearer authentication; `KESTRA_API_TOKEN` by default.
            session: A session of yours to send requests with, which you close. Only the default
                one limits the time for a whole response; yours limits the wait for the next bytes.
            headers: Headers for every request.
            verify: Whether, or with which CA bundle, certificates are checked, as in `requests`.
            proxies: Proxies by scheme, as in `requests`.
            request_timeout: Seconds to connect and seconds to read a response, or one for both.
                The latter also limits how long the server may pause while it takes a body.
            retries: How many attempts to make, five by default, with pauses of 1, 2, 4, 8 and 16
                seconds; or a `urllib3.Retry`. Statuses and methods that it leaves unsaid are as by
                default.
            idempotent: Whether an execution gets a correlation label of its own, by which it is
                found again when the response to its creation is lost.
            log_settle: How long to wait at most, after the end, until the server has stored the
                whole log, in seconds; 0 fetches at once what there is. It comes on top of a
                `timeout`. Fetching the log may take ten seconds more.
            **unknown: Nothing else is an argument; the error says what may be meant.
        """
        for name in unknown:
            raise TypeError(unknown_argument(type(self), name))
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
        self._servers: dict[tuple[str, str | None], Server] = {}  # by hostname and tenant
        self._sessions = self._open(session)
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
        self._tenant = str(tenant) if tenant else None
        start = root(self._tenant)
        self.API_ENDPOINT_EXECUTION_CREATE = f"{start}executions/{{namespace}}/{{flow_id}}"
        self.API_ENDPOINT_EXECUTION_STATUS = f"{start}executions/{{execution_id}}"
        self.API_ENDPOINT_EXECUTION_LOG = f"{start}logs/{{execution_id}}/download"

    def _open(self, session: Any) -> Any:
        """Return what sends requests, by a session of the caller's or its own."""
        raise NotImplementedError

    # --- what a request is made of ---

    @property
    def _server(self) -> Server:
        """The server at the present address, with what is known of it."""
        key = (self.hostname, self._tenant)
        server = self._servers.get(key) if isinstance(self.hostname, str) else None
        if server is None:
            server = self._servers[key] = Server.at(self.hostname, self._tenant)
        return server

    def _request(
        self, method: str, url: str, arguments: Mapping[str, Any]
    ) -> tuple[Request, str | None]:
        """Return a request, from the attributes as they are now, and where else it may belong."""
        server = self._server
        userinfo = server.userinfo
        if "@" in url:
            url, own = without_userinfo(url)
            userinfo = own or userinfo
        timeout = _checked_timeout(self.request_timeout)
        headers = checked_headers(self.headers) or {}
        if not isinstance(self.proxies, Mapping | None):
            raise TypeError(
                f"proxies must be a mapping by scheme, not {type(self.proxies).__name__}"
            )
        trace = sys.modules.get("opentelemetry.trace")
        if trace is not None:
            headers = _with_traceparent(headers, arguments.get("headers") or {}, trace)
        settings = Settings(
            credentials=credentials(self.api_token, self.user, self.password, userinfo),
            headers=headers,
            verify=self.verify,
            proxies=self.proxies,
            timeout=timeout,
            policy=None if self.retries is None else checked_policy(self.retries),
        )
        is_known = self._tenant or server.needs_main is False
        other_url = None if is_known else under_main(url, server.base)
        if other_url is not None and server.needs_main:
            url, other_url = other_url, None
        return Request(method, url, settings, arguments), other_url

    def _options(self, *arguments: Any, waits: bool = True, **others: Any) -> Options:
        """Return how to wait, from the attributes and these, in their order from `timeout` on."""
        return Options(  # type: ignore[misc]  # there are never that many
            self.poll_interval,
            self.log_settle,
            *arguments,
            labels_from_inputs=self.labels_from_inputs,
            idempotent=self.idempotent,
            **others,
        ).checked(waits=waits)


def _with_traceparent(
    headers: Mapping[str, str], others: Mapping[str, str], trace: Any
) -> Mapping[str, str]:
    """Return headers with the current span of OpenTelemetry, unless one of them names another."""
    if any(str(name).lower() == "traceparent" for name in (*headers, *others)):
        return headers
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:  # there is none
        return headers
    parent = f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
    return {**headers, "traceparent": parent}


def _checked_timeout(timeout: Any) -> tuple[float, float]:
    """Return how many seconds connecting and reading may take."""
    both = timeout if isinstance(timeout, tuple) else (timeout, timeout)
    if len(both) != 2 or any(  # noqa: PLR2004  # both
        isinstance(each, bool) or not isinstance(each, int | float) for each in both
    ):
        raise TypeError(
            "request_timeout must be a number of seconds, or two in a tuple, to connect and to "
            f"read, not {timeout!r}"
        )
    if not all(0 < each <= MOST_SECONDS for each in both):
        raise ValueError(
            f"request_timeout must be more than 0 and at most {MOST_SECONDS:,} seconds, "
            f"not {timeout!r}"
        )
    return both


def unknown_argument(cls: type, name: str) -> str:
    """Return what is wrong about an argument that a class does not have, and what may be meant."""
    annotations = cls.__init__.__annotations__  # type: ignore[misc]  # of the class as it is
    known = [each for each in annotations if each not in {"unknown", "return"}]
    meant = _OTHER_NAMES.get(name) or next(iter(get_close_matches(name, known, 1)), None)
    hint = f"did you mean {meant}?" if meant else f"the arguments are {', '.join(known)}"
    return f"{cls.__name__}() has no argument {name!r}: {hint}"
