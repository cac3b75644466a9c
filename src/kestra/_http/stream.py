"""A stream of events that is being read while the program does something else."""

from __future__ import annotations

import socket
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from kestra._http.events import Event, events

if TYPE_CHECKING:
    from collections.abc import Iterator
    from queue import Queue

    import requests

_PIECE = 1 << 16
_LONGEST_END = 1.0  # seconds in which a thread whose connection is shut has ended
_EVENT_ENDS = (b"\n\n", b"\r\r", b"\r\n\r\n")


class Stream:
    """An answer that is a stream of events, read by a thread of its own.

    The thread puts each event into a queue, and `None` at the end, whatever the end was; each
    together with this object, because what came before a stream was closed may be in there still.
    """

    def __init__(
        self, response: requests.Response, inbox: Queue[tuple[Stream, Event | None]]
    ) -> None:
        self._response = response
        self._inbox = inbox
        self._end = b""  # the last bytes that came
        self._thread = threading.Thread(target=self._read, name="kestra-follow", daemon=True)
        self._thread.start()

    @property
    def is_cut(self) -> bool:
        """Whether what has come so far ends in the middle of an event."""
        return not self._end.endswith(_EVENT_ENDS)

    def close(self) -> None:
        """Close the connection, and wait until the thread has ended."""
        # To close an answer waits for the one who reads it, and that one waits for bytes.
        _shut(self._response)
        self._thread.join(_LONGEST_END)

    def _read(self) -> None:
        # Whatever breaks it off, of requests, urllib3, the system or a mock: it is at its end.
        with suppress(Exception), closing(self._response):
            for event in events(self._pieces()):
                self._inbox.put((self, event))
        self._inbox.put((self, None))

    def _pieces(self) -> Iterator[bytes]:
        for piece in _pieces(self._response):
            self._end = (self._end + piece)[-4:]
            yield piece


def _pieces(response: Any) -> Iterator[bytes]:
    """Yield the body of an answer as it comes, without waiting for a whole piece."""
    read = getattr(response.raw, "read1", None)
    if read is None:  # urllib3 before 2.2
        yield from response.iter_content(1)
        return
    while piece := read(_PIECE):
        yield piece


def _shut(response: Any) -> None:
    """Shut the connection of an answer down; whoever reads from it is at the end.

    One that has ended already has no connection any more, and that of a mocking library never had.
    """
    with suppress(AttributeError, OSError, ValueError):
        connection = socket.socket(fileno=response.raw.fileno())
        try:
            connection.shutdown(socket.SHUT_RDWR)
        finally:
            connection.detach()  # it is the answer's
