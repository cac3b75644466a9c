"""What the rules are given to do input and output with, and what it brings."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from kestra._api.credentials import NO_CREDENTIALS, Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from datetime import datetime
    from pathlib import Path

    import urllib3

    from kestra._api.servers import Server

# Of a response, rules use `status_code`, `headers`, `text` and `json()`: mocks have no more.
Response = Any
T = TypeVar("T")


class Clock(Protocol):
    """The time of one call; what was slept counts as passed."""

    def now(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...
    def utcnow(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """How to reach the server, read again for every request."""

    credentials: Credentials = NO_CREDENTIALS
    headers: Mapping[str, str] = field(default_factory=dict)
    verify: bool | str | None = None  # None leaves it to the session
    proxies: Mapping[str, str] | None = None  # None leaves them to the session and the environment
    timeout: tuple[float, float] = (10.0, 60.0)  # to connect, and to read a complete response
    policy: urllib3.Retry | None = None  # None for the default


@dataclass(slots=True)
class Request:
    """One request, with all its attempts."""

    method: str
    url: str
    settings: Settings
    arguments: Mapping[str, Any]  # as those of `requests`
    upload: Any = None  # its files, which can be sent again
    once: bool = False  # send it at most once
    until: float = math.inf  # when to give up, by the clock, pauses included
    sent: bool | None = None  # whether the last attempt has put anything on the wire, if known
    is_replaced: bool = False  # a test has put something in the place of what sends it
    redirected_to: str | None = None  # the origin, which gets no credentials

    @property
    def repeatable(self) -> bool:
        """Whether it can be sent now: every file of it can be read (again)."""
        return self.upload is None or bool(self.upload.repeatable)


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that got no complete response."""

    error: Exception
    reason: Exception  # what to name as the cause: its text holds no URL
    text: str
    is_network: bool = True  # else an argument, a hook or a test's stand-in is at fault
    unsent: bool = False  # no connection was made, so the server knows nothing of the request
    timed_out: bool = False
    stand_in: bool = False  # a test's stand-in for the network raised it; there is no connection
    unknown_to_mock: bool = False  # that stand-in has no response for this very request
    quotes_argument: bool = False  # the error quotes one that cannot be sent: a URL or a header
    final: bool = False  # another attempt cannot help


class Event(Protocol):
    """A server-sent event."""

    @property
    def data(self) -> str: ...


# A stream of events that is being read; rules hand it back to the `io` that has opened it.
Stream = Any


class IO(Protocol):
    """Input and output of one call. `within` is a limit in seconds, retries included."""

    flow: Any  # the client, whose attributes may change at any time
    server: Server
    shown: dict[str, Any]  # the execution that was polled last
    attempts: int  # how many times the last request was sent

    @property
    def clock(self) -> Clock: ...

    @property
    def has_own_log(self) -> bool:
        """Whether what fetches the log is not this package's own."""
        ...

    async def attempt(self, request: Request) -> Response | Failure:
        """Send a request once.

        It raises only what ends a program, and what a signal handler has raised.
        """

    def adopted(self, request: Request, execution: dict[str, Any]) -> Response:
        """Return an execution that was found as the response to its creation."""

    async def request(
        self, method: str, url: str, *, within: float = ..., once: bool = ..., **arguments: Any
    ) -> Response:
        """Send a request with all its attempts; raises what `attempts.send` does."""

    async def save(self, url: str, to: Path, **arguments: Any) -> tuple[Request, Failure] | None:
        """Write the body of a response to a new file, from its beginning; raises APIError.

        Where it broke off, return what was requested, and why.
        """

    async def poll(self, execution_id: str, *, within: float = ..., once: bool = ...) -> Response:
        """Get an execution as the server has it."""

    async def fetch_log(self, execution_id: str, *, within: float = ...) -> Response:
        """Get the whole log of an execution as text."""

    async def sleep(self, seconds: float) -> None: ...

    def left(self, until: float) -> float:
        """Return the seconds until a moment of the clock; none if the call was stopped."""
        ...

    async def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call what may read files, or take long."""
        ...

    async def listen(self, url: str, *, within: float, **arguments: Any) -> Stream | None:
        """Open a stream of events; `None` where the response is something else."""

    async def next_event(self, timeout: float) -> tuple[Stream, Event | None] | None:
        """Wait for the next event of the open streams; one without event is that stream's end."""

    async def close(self, stream: Stream) -> None: ...

    def start(self, job: Callable[[IO], Coroutine[Any, Any, Any]], tag: Any) -> None:
        """Begin a job beside this call."""

    async def finished(self, timeout: float) -> tuple[Any, Any, Exception | None] | None:
        """Wait for a job to end: its tag, and what it returned or raised."""

    async def stop(self) -> None:
        """Let the jobs send nothing more, and end."""


async def tell(callback: Callable[[Any], Any] | None, what: Any) -> None:
    """Call what the caller has given; in an event loop it may be a coroutine function."""
    called: Any = None if callback is None else callback(what)
    if hasattr(called, "__await__"):
        await called
