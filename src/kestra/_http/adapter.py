"""A transport adapter for `requests` that limits how long a complete response may take.

The timeouts of `requests` limit the wait for the next bytes, so that a server which sends one byte
now and then can hold a request forever. Here the time for all bytes is limited, headers included,
at the one place that they all pass: where they are read from the socket.
"""

from __future__ import annotations

import io
import threading
import time
from functools import cache
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

if TYPE_CHECKING:
    import socket

    from urllib3 import PoolManager

# A download may be long, but not slow.
_SLOWEST = 1_000  # bytes a second
_WINDOW = 60.0  # seconds
# A server begins a stream of events within milliseconds.
_BEGINNING = 3.0  # seconds
# A firewall or a proxy may drop a connection that is idle for longer. What is then sent over it is
# lost or, worse, carried out without a response.
_LONGEST_IDLE = 30.0  # seconds


class Deadline:
    """A response has to be complete within the read timeout."""

    def __init__(self, timeout: float) -> None:
        self._end = time.monotonic() + timeout

    def remaining(self) -> float:
        return self._end - time.monotonic()

    def received(self, count: int) -> None:
        pass


class MinimumRate:
    """A download has to keep up 1 kB/s, averaged over each minute."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._open_window()

    def _open_window(self) -> None:
        self._end = time.monotonic() + _WINDOW
        self._missing = _SLOWEST * _WINDOW

    def remaining(self) -> float:
        left = self._end - time.monotonic()
        if self._missing > 0:
            return min(self._timeout, left)
        if left <= 0:
            self._open_window()
        return self._timeout

    def received(self, count: int) -> None:
        self._missing -= count


class IdleLimit:
    """A stream of events may last as long as the execution; only its silence is limited.

    It begins at once, unless something in between buffers it.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._next = min(timeout, _BEGINNING)

    def remaining(self) -> float:
        return self._next

    def received(self, count: int) -> None:
        self._next = self._timeout if count else self._next


# What each says: how many seconds the next read may take.
Limit = Deadline | MinimumRate | IdleLimit
_LIMITS: dict[str, type[Limit]] = {
    "download": MinimumRate,
    "file": MinimumRate,
    "follow": IdleLimit,
}


def limit_of(method: str, url: str) -> type[Limit]:
    # Only where it reads: the path of a creation ends with the id of the flow.
    last = urlsplit(url).path.rpartition("/")[2] if method.upper() == "GET" else ""
    return _LIMITS.get(last, Deadline)


class _LimitedReads(io.RawIOBase):
    """A socket's stream, each read of which may take the time that is left for the response."""

    def __init__(self, stream: io.RawIOBase, sock: socket.socket, limit: Limit) -> None:
        self._stream = stream
        self._sock = sock
        self._limit = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        remaining = self._limit.remaining()
        if remaining <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(remaining)
        count = self._stream.readinto(buffer)
        self._limit.received(count or 0)
        return count

    def fileno(self) -> int:
        return self._stream.fileno()

    def close(self) -> None:
        self._stream.close()
        super().close()


class Wire(threading.local):
    """What this thread has done with connections of this module since it last asked."""

    used: bool | None = None  # has sent something; `None` if there was no connection at all
    mocked: bool = False  # by a test's stand-in for a socket, as Mocket has
    write_timeout: float | None = (
        None  # for a piece of a body; None: as long as connecting may take
    )


wire = Wire()


class _LimitedConnection(HTTPConnection):
    """A connection that reads each response within the limit of its request, and never idles long.

    Mixed into every kind of connection that urllib3 has: plain, encrypted, by way of a proxy.
    """

    _limit: type[Limit] = Deadline
    _last_used = 0.0

    @property
    def is_connected(self) -> bool:
        """Whether a pool may hand the connection out again; if not, the pool closes it first."""
        return super().is_connected and time.monotonic() - self._last_used <= _LONGEST_IDLE

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        self._last_used = time.monotonic()
        self._limit = limit_of(method, url)
        super().request(method, url, *args, **kwargs)

    def connect(self) -> None:
        wire.used = bool(wire.used)
        super().connect()

    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        # Not in `send`: the CONNECT request to a proxy goes through that too, and is not ours.
        if self.sock is None:
            self.connect()
        wire.used, wire.mocked = True, type(self.sock).__module__.startswith("mocket")
        # urllib3 grants the server no longer to take the body than to accept the connection.
        if self.sock is not None and wire.write_timeout is not None:
            self.sock.settimeout(wire.write_timeout)
        super().endheaders(*args, **kwargs)

    # `http.client` only ever calls it, once the request is sent.
    def response_class(  # type: ignore[override]
        self, sock: socket.socket, *args: Any, **kwargs: Any
    ) -> HTTPResponse:
        response = HTTPResponse(sock, *args, **kwargs)
        timeout = sock.gettimeout()
        # What stands in for a socket, as Mocket does, may have a stream of another kind.
        if timeout is not None and isinstance(response.fp, io.BufferedReader):
            reads = _LimitedReads(response.fp.detach(), sock, self._limit(timeout))
            response.fp = io.BufferedReader(reads)
        return response


class LimitedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _limit_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        _limit_pools(manager)
        return manager


def _limit_pools(manager: PoolManager) -> None:
    # Those that it has: one for a SOCKS proxy has pools of its own kind.
    pools = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {
        scheme: _mixed(_LimitedPool, pool) for scheme, pool in pools.items()
    }


class _LimitedPool:
    @property
    def ConnectionCls(self) -> Any:  # noqa: N802  # the name that urllib3 has for it
        # What records and replays traffic, as VCR.py does, sets a kind of its own on the pools of
        # urllib3 for a while: that is left as it is.
        kind = super().ConnectionCls  # type: ignore[misc]
        return _mixed(_LimitedConnection, kind) if kind.__module__.startswith("urllib3.") else kind


@cache
def _mixed(mixin: type, kind: type) -> type:
    return kind if issubclass(kind, mixin) else type(kind.__name__, (mixin, kind), {})
