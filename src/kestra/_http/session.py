"""Sending a request once: sessions, credentials, redirects, and reading the response."""

from __future__ import annotations

import copy
import math
import os
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import requests
import requests.auth

from kestra._http.adapter import BoundedAdapter
from kestra._http.credentials import NO_CREDENTIALS, Credentials
from kestra._http.retry import MOST_REDIRECTS, keeps_method, published_retry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from threading import Event

    import urllib3

    from kestra._http.multipart import Upload

# As many threads as the thread pools of a busy service have.
_MOST_CONNECTIONS = 100
_PIECE = 1 << 20
# 2.0.0 had a new session for every request: cookies were not kept.
_NO_COOKIES = DefaultCookiePolicy(allowed_domains=[])

_original_request = requests.api.request
_end: ContextVar[float] = ContextVar("kestra_end", default=math.inf)
_once: ContextVar[bool] = ContextVar("kestra_once", default=False)
_stop: ContextVar[Event | None] = ContextVar("kestra_stop", default=None)


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach the server, read anew for every request.

    Attributes:
        credentials: What proves the caller's identity.
        headers: Sent with every request.
        verify: As `requests` has it; `None` leaves it to the session.
        proxies: As `requests` has it; `None` leaves it to the session and the environment.
        timeout: Seconds to connect, and seconds to read a complete response.
        policy: How often to try, and how long to wait in between.
    """

    credentials: Credentials = NO_CREDENTIALS
    headers: Mapping[str, str] = field(default_factory=dict)
    verify: bool | str | None = None
    proxies: Mapping[str, str] | None = None
    timeout: tuple[float, float] = (10.0, 60.0)
    policy: urllib3.Retry = field(default_factory=published_retry)


class Sessions:
    """A session for each process, made when it is first needed.

    A session holds open connections, which must not be shared with a forked process.
    """

    def __init__(self, given: requests.Session | None = None) -> None:
        self.given = given
        self._of: dict[int, requests.Session] = {} if given is None else {os.getpid(): given}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.given,)

    def current(self) -> requests.Session:
        """Return the session of this process."""
        session = self._of.get(os.getpid())
        if session is None:
            # No lock: another thread could hold one while the process forks. Of two threads that
            # come here at once, one makes a session that nobody uses.
            new = _new_session() if self.given is None else _unconnected(self.given)
            session = self._of.setdefault(os.getpid(), new)
        return session

    def close(self) -> None:
        """Close the connections of this process; a session that was given is its owner's."""
        if self.given is None and (session := self._of.pop(os.getpid(), None)):
            session.close()


def _new_session() -> requests.Session:
    session = requests.Session()
    session.cookies.set_policy(_NO_COOKIES)
    for scheme in ("http://", "https://"):
        session.mount(scheme, BoundedAdapter(pool_maxsize=_MOST_CONNECTIONS))
    return session


def _unconnected(given: requests.Session) -> requests.Session:
    """Return a session like the one that the parent process was given, without its connections."""
    try:
        return copy.deepcopy(given)
    except Exception:  # noqa: BLE001  # of an adapter that cannot be copied, with its TLS context
        given.close()  # closes the descriptors of this process only, and new connections are made
        return given


def is_replaced() -> bool:
    """Say whether a test has put something else in the place of `requests.request`."""
    return requests.request is not _original_request


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Limit the time that a request in this block may take, its retries included."""
    token = _end.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _end.reset(token)


def stop_at(event: Event) -> None:
    """Make the requests of this thread give up, retries included, once an event is set."""
    _stop.set(event)


def remaining() -> float:
    """Return how many seconds the block of `within` has left; outside of one, infinity."""
    if (stop := _stop.get()) is not None and stop.is_set():
        return 0.0
    return max(_end.get() - time.monotonic(), 0.0)


@contextmanager
def once() -> Iterator[None]:
    """Send each request in this block at most once."""
    token = _once.set(True)
    try:
        yield
    finally:
        _once.reset(token)


def is_once() -> bool:
    """Say whether this is a block of `once`."""
    return _once.get()


def send(  # noqa: PLR0913, PLR0917  # what makes up a request
    session: requests.Session,
    method: str,
    url: str,
    access: Access,
    arguments: Mapping[str, Any],
    upload: Upload,
) -> requests.Response:
    """Send a request once, and return the response, read completely.

    Redirects are followed where that does not change the method: a POST that comes back as a GET
    starts nothing. One that is not followed is the response. A host that the caller did not name
    gets no credentials.

    Args:
        session: The session to send with.
        method: The HTTP method.
        url: The URL.
        access: How to reach the server.
        arguments: Keyword arguments for `requests`. With `stream` the response is not read.
        upload: Its files.
    """
    arguments = dict(arguments)
    follow = arguments.pop("allow_redirects", True)
    stream = arguments.pop("stream", False)
    sent = 0
    while True:
        response = session.request(
            method, url, allow_redirects=False, stream=True, **_prepared(access, arguments, upload)
        )
        sent += 1
        redirects = follow and isinstance(response, requests.Response)  # a mock's never does
        target = session.get_redirect_target(response) if redirects else None
        kept = keeps_method(method, response.status_code) and upload.repeatable
        if target is None or not kept or sent == MOST_REDIRECTS:
            return response if stream else _read(response)
        _read(response)  # so that its connection can be used again
        target = urljoin(url, target)
        arguments.pop("params", None)  # the target has a query of its own
        if session.should_strip_auth(url, target):  # type: ignore[no-untyped-call]
            access = replace(access, credentials=NO_CREDENTIALS, headers={})
            arguments |= _ANONYMOUS
        url = target


def send_as_published(method: str, url: str, access: Access, arguments: Mapping[str, Any]) -> Any:
    """Call a replaced `requests.request` with what 2.0.0 called it with."""
    headers = {**access.headers, **(arguments.get("headers") or {})}
    ours = {"verify": access.verify, "proxies": access.proxies}
    published = {k: v for k, v in ours.items() if v is not None} | dict(arguments)
    if access.credentials.basic is not None:
        published["auth"] = _published_pair(*access.credentials.basic)
    elif access.credentials.authorization is not None:
        headers["Authorization"] = access.credentials.authorization
    if headers:
        published["headers"] = headers
    return requests.request(method, url, **published)  # noqa: S113  # 2.0.0 had no timeout


def _published_pair(user: str, password: str) -> tuple[str | bytes, str | bytes]:
    """Return user and password as text, or as UTF-8 where `requests` cannot encode the text.

    Its error would show it.
    """
    text = f"{user}{password}"
    return (user, password) if max(text) <= "\xff" else (user.encode(), password.encode())


def _prepared(access: Access, arguments: Mapping[str, Any], upload: Upload) -> dict[str, Any]:
    """Return the keyword arguments for one sending; those of the caller go before ours."""
    prepared = dict(arguments)
    headers = {**access.headers, **(prepared.pop("headers", None) or {})}
    if upload:
        del prepared["files"]
        prepared["data"], headers["Content-Type"] = upload.body()
    given = next((v for k, v in headers.items() if k.lower() == "authorization"), None)
    authorization = access.credentials.authorization or given
    if authorization is not None:
        prepared.setdefault("auth", _Authorization(authorization))
    if access.verify is not None:
        prepared.setdefault("verify", access.verify)
    if access.proxies is not None:
        prepared.setdefault("proxies", dict(access.proxies))  # `requests` adds to it
    left = max(remaining(), 0.001)  # zero would mean something else
    prepared.setdefault("timeout", tuple(min(seconds, left) for seconds in access.timeout))
    return {**prepared, "headers": headers}


class _Authorization(requests.auth.AuthBase):
    """Credentials as a header. As an `auth`, so that `.netrc` does not replace them."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._value
        return request


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


# What a host gets that the caller did not name. `None` removes a header of the session.
_ANONYMOUS: dict[str, Any] = {"auth": _as_it_is, "headers": {"Authorization": None}}


def _read(response: requests.Response) -> requests.Response:
    """Read a response completely; one that names no charset is UTF-8.

    In large pieces: `requests` takes ten thousand bytes at a time, and the memory of the many
    pieces of a large log is not given back.
    """
    # One that a test has made may be a mock, or have no body.
    if getattr(response, "_content", None) is False and response.raw is not None:
        response._content = b"".join(response.iter_content(_PIECE))  # noqa: SLF001  # as its `content` does
        response._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001
        if "charset" not in response.headers.get("Content-Type", "").lower():
            response.encoding = "utf-8"
    return response
