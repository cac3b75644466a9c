"""A stream of events that is being read while the program does something else."""

from __future__ import annotations

import socket
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from kestra._http.sse import Event, events

if TYPE_CHECKING:
    from collections.abc import Iterator
    from queue import Queue

    import requests

_PIECE = 1 << 16
_LONGEST_END = 1.0  # seconds that a thread whose connection is shut down needs to end


class Stream:
    """A response that is a stream of events, read by a thread of its own.

    The thread puts each event into a queue, and `None` at the end, for whatever reason. Each comes
    with this object: the queue may still hold events of a stream that was closed.
    """

    def __init__(
        self, response: requests.Response, inbox: Queue[tuple[Stream, Event | None]]
    ) -> None:
        self._response = response
        self._inbox = inbox
        self._thread = threading.Thread(target=self._read, name="kestra-follow", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close the connection, and wait until the thread has ended."""
        # Closing the response would wait for the thread, which waits for bytes.
        _shut(self._response)
        self._thread.join(_LONGEST_END)

    def _read(self) -> None:
        # Whatever requests, urllib3, the system or a mock raises: the stream has ended.
        with suppress(Exception), closing(self._response):
            for event in events(_pieces(self._response)):
                self._inbox.put((self, event))
        self._inbox.put((self, None))


def _pieces(response: Any) -> Iterator[bytes]:
    """Yield the body of a response as it comes, without waiting for a full buffer."""
    read = getattr(response.raw, "read1", None)
    if read is None:  # urllib3 before 2.2
        yield from response.iter_content(1)
        return
    while piece := read(_PIECE):
        yield piece


def _shut(response: Any) -> None:
    """Shut down the connection of a response; whoever reads from it sees the end.

    One that has ended has no connection left, and that of a mocking library never had one.
    """
    with suppress(AttributeError, OSError, ValueError):
        connection = socket.socket(fileno=response.raw.fileno())
        try:
            connection.shutdown(socket.SHUT_RDWR)
        finally:
            connection.detach()  # the response owns the descriptor
