"""What tests put in the place of something that the client uses: the clock, the network."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeVar

import requests

if TYPE_CHECKING:
    from kestra._rules.io import Request

T = TypeVar("T")


class Clock:
    """The time of one call: how late it is, and how to let time pass.

    What was slept counts as passed, also where a test has replaced `time.sleep` by something that
    returns at once: a wait with a limit ends there too. Threads may share a clock.
    """

    def __init__(self) -> None:
        self._skipped = 0.0  # seconds by which sleeps fell short
        self._lock = threading.Lock()

    def now(self) -> float:
        return time.monotonic() + self._skipped

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            end = self.now() + seconds
            time.sleep(seconds)  # through the module, so that a test may replace it
            with self._lock:
                self._skipped += max(end - self.now(), 0.0)

    async def pause(self, seconds: float) -> None:
        import asyncio

        end = self.now() + max(seconds, 0.0)
        await asyncio.sleep(seconds)  # through the module, so that a test may replace it
        self._skipped += max(end - self.now(), 0.0)

    def utcnow(self) -> datetime:
        return datetime.now(timezone.utc) + timedelta(seconds=self._skipped)


# Sends a request of the asynchronous client, or gives it to what would send it otherwise.
Exchange = Callable[[Any, Callable[[Any], Awaitable[Any]]], Awaitable[Any]]

# What tests have installed, the last one last; by what undoes it, since one may be there twice.
_clocks: dict[object, Clock] = {}
_exchanges: dict[object, Exchange] = {}


def clock() -> Clock:
    """Return the clock for a new call: the one that a test has installed last, or its own."""
    return next(reversed(_clocks.values()), None) or Clock()


def use_clock(clock: Clock) -> Callable[[], object]:
    """Let each call that begins from now on take this clock; return what undoes that."""
    return _installed(_clocks, clock)


def exchange() -> Exchange | None:
    """Return what a test has put in the place of the asynchronous client's network, if anything."""
    return next(reversed(_exchanges.values()), None)


def use_exchange(exchange: Exchange) -> Callable[[], object]:
    """Let every request of the asynchronous client go through this; return what undoes that."""
    return _installed(_exchanges, exchange)


def _installed(place: dict[object, T], thing: T) -> Callable[[], object]:
    key = object()
    place[key] = thing
    return lambda: place.pop(key, None)


# --- requests and its mocks ---


# Where `requests.request` is another, a test has put that in its place.
original_request = requests.api.request


def send_as_published(request: Request) -> Any:
    """Call a replaced `requests.request` with what 2.0.0 called it with."""
    settings = request.settings
    headers = {**settings.headers, **(request.arguments.get("headers") or {})}
    ours = {"verify": settings.verify, "proxies": settings.proxies}
    published = {k: v for k, v in ours.items() if v is not None} | dict(request.arguments)
    if settings.credentials.basic is not None:
        published["auth"] = _published_pair(*settings.credentials.basic)
    elif settings.credentials.authorization is not None:
        headers["Authorization"] = settings.credentials.authorization
    if headers:
        published["headers"] = headers
    return requests.request(request.method, request.url, **published)  # noqa: S113  # 2.0.0 had no timeout


def _published_pair(user: str, password: str) -> tuple[str | bytes, str | bytes]:
    # As UTF-8 where `requests` cannot encode the text: its error would show it.
    text = f"{user}{password}"
    return (user, password) if max(text) <= "\xff" else (user.encode(), password.encode())


def is_from_mock(error: Exception) -> bool:
    return type(error).__module__.startswith("requests_mock")


def is_unknown_to_mock(error: Exception) -> bool:
    """Return True if a stand-in for the network has no response for this very request."""
    broken = isinstance(error, requests.RequestException)
    return type(error) is requests.ConnectionError or not broken


def has_no_route(error: Exception) -> bool:
    """Return True if the library `responses` knows no such request: it will not either, later."""
    return str(error).startswith("Connection refused by Responses")
