"""Sending a request once with `requests`: sessions, reading the response."""

from __future__ import annotations

import copy
import logging
import os
import re
from dataclasses import replace
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests
import requests.auth

from kestra._api.credentials import NO_CREDENTIALS
from kestra._http.adapter import LimitedAdapter, wire
from kestra._rules.problems import MOST_REDIRECTS, keeps_method

if TYPE_CHECKING:
    from collections.abc import Callable

    from kestra._rules.io import Request

# As many threads as the thread pools of a busy service have.
MOST_CONNECTIONS = 100
_PIECE = 1 << 20

# 2.0.0 had a new session for every request: cookies were not kept.
NO_COOKIES = DefaultCookiePolicy(allowed_domains=[])
_KEY = re.compile(r"(/executions/webhook/[^/]+/[^/]+/)[^/?#\s]+")


def hide_keys(record: logging.LogRecord) -> bool:
    """Show `***` for the key of a webhook, as a filter of a library that logs whole URLs."""
    text = record.getMessage()
    if "/executions/webhook/" in text:
        record.msg, record.args = _KEY.sub(r"\1***", text), ()
    return True


logging.getLogger("urllib3.connectionpool").addFilter(hide_keys)


class Sessions:
    """A session for each process, made when it is first needed.

    A session holds open connections, which must not be shared with a forked process.
    """

    def __init__(self, given: requests.Session | None = None) -> None:
        if given is not None and not callable(getattr(given, "request", None)):
            raise TypeError(f"session must be a requests.Session, not {type(given).__name__}")
        self.given = given
        self._of: dict[int, requests.Session] = {} if given is None else {os.getpid(): given}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.given,)

    def current(self) -> requests.Session:
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
    session.cookies.set_policy(NO_COOKIES)
    for scheme in ("http://", "https://"):
        session.mount(scheme, LimitedAdapter(pool_maxsize=MOST_CONNECTIONS))
    return session


def _unconnected(given: requests.Session) -> requests.Session:
    """Return the session that the parent process was given, without its connections."""
    try:
        return copy.deepcopy(given)
    except Exception:  # noqa: BLE001  # of an adapter that cannot be copied, with its TLS context
        given.close()  # closes the descriptors of this process only, and new connections are made
        return given


class Hop:
    """A place that a request is sent to, of those that redirects lead to."""

    def __init__(self, request: Request, arguments: dict[str, Any]) -> None:
        self.url = request.url
        self._request = request
        self._settings = request.settings
        self._arguments = arguments
        self._count = 1
        request.redirected_to = None

    def follow(self, status: int, target: str, strips: Callable[[str, str], bool]) -> bool:
        """Become the place that a redirect leads to; return False if it is not to be followed.

        Redirects are followed where that does not change the method: a POST that comes back as a
        GET starts nothing. A host that the caller did not name gets no credentials: `strips`
        returns True if those for one URL are not for another.
        """
        request = self._request
        if self._count == MOST_REDIRECTS or not (
            keeps_method(request.method, status) and request.repeatable
        ):
            return False
        target = urljoin(self.url, target)
        self._arguments.pop("params", None)  # the target has a query of its own
        if strips(self.url, target):
            parts = urlsplit(target)
            request.redirected_to = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
            self._settings = replace(self._settings, credentials=NO_CREDENTIALS, headers={})
            self._arguments |= _ANONYMOUS
        self.url = target
        self._count += 1
        return True

    def prepared(self, left: float) -> dict[str, Any]:
        """Return the keyword arguments for one sending, which may take some seconds.

        Those of the caller go before ours.
        """
        settings, prepared = self._settings, dict(self._arguments)
        headers = {**settings.headers, **(prepared.pop("headers", None) or {})}
        if upload := self._request.upload:
            del prepared["files"]
            prepared["data"], headers["Content-Type"] = upload.body()
        given = [value for name, value in headers.items() if name.lower() == "authorization"]
        authorization = settings.credentials.authorization or next(iter(given), None)
        if authorization is not None:
            prepared.setdefault("auth", _Authorization(authorization))
        if settings.verify is not None:
            prepared.setdefault("verify", settings.verify)
        if settings.proxies is not None:
            prepared.setdefault("proxies", dict(settings.proxies))  # `requests` adds to it
        left = max(left, 0.001)  # zero would mean something else
        connect, read = settings.timeout
        prepared.setdefault("timeout", (min(connect, left), min(read, left)))
        if not any(name.lower() == "cache-control" for name in headers):
            headers["Cache-Control"] = "no-cache"  # a poll is to reach the server
        return {**prepared, "headers": headers}


def send(session: requests.Session, request: Request, left: float) -> requests.Response:
    """Send a request once, and return the response, read completely unless `stream` is set.

    A redirect that is not followed is the response.
    """
    arguments = dict(request.arguments)
    follow = arguments.pop("allow_redirects", True)
    stream = arguments.pop("stream", False)
    hop = Hop(request, arguments)
    while True:
        prepared = hop.prepared(left)
        timeout = prepared["timeout"]
        limit = timeout[1] if isinstance(timeout, tuple) else timeout
        wire.write_timeout = limit if isinstance(limit, int | float) else None
        response = session.request(
            request.method, hop.url, allow_redirects=False, stream=True, **prepared
        )
        redirects = follow and isinstance(response, requests.Response)  # a mock's never does
        target = session.get_redirect_target(response) if redirects else None
        if not target or not hop.follow(response.status_code, target, session.should_strip_auth):
            return response if stream else read(response)
        read(response)  # so that its connection can be used again


class _Authorization(requests.auth.AuthBase):
    """Credentials as a header. As an `auth`, so that `.netrc` does not replace them."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._value
        return request


# What a host gets that the caller did not name: an `auth` that keeps `requests` from searching
# another one, and `None`, which removes a header of the session.
_ANONYMOUS: dict[str, Any] = {
    "auth": lambda request: request,
    "headers": {"Authorization": None},
}


def read(response: requests.Response) -> requests.Response:
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
