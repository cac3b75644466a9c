"""What goes on beside a call that blocks: streams of events that are read, and jobs."""

from __future__ import annotations

import socket
from contextlib import closing, suppress
from queue import Empty, Queue, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from kestra._http.sse import Event, events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        self._thread = Thread(target=self._read, name="kestra-follow", daemon=True)
        self._thread.start()

    def close(self) -> None:
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
    read = getattr(response.raw, "read1", None)  # not there in urllib3 before 2.2
    return response.iter_content(1) if read is None else iter(lambda: read(_PIECE), b"")


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


class Workers:
    """As many threads as there were ever jobs at once; a new one for each job takes too long.

    The threads are daemons, unlike those of `concurrent.futures`: a server that never responds
    keeps no interpreter from exiting.
    """

    def __init__(self) -> None:
        self._threads = 0
        self._busy = 0
        self._jobs: SimpleQueue[tuple[Callable[[], Any], Any] | None] = SimpleQueue()
        # No SimpleQueue: given a timeout that is already over, its `get` may never return.
        self._done: Queue[tuple[Any, Any, BaseException | None]] = Queue()

    def start(self, job: Callable[[], Any], tag: Any) -> None:
        if self._busy == self._threads:
            self._threads += 1
            Thread(target=self._work, name="kestra-worker", daemon=True).start()
        self._busy += 1
        self._jobs.put((job, tag))

    def finished(self, timeout: float) -> tuple[Any, Any, Exception | None] | None:
        try:
            tag, value, error = self._done.get(timeout=timeout)
        except Empty:
            return None
        self._busy -= 1
        if error is not None and not isinstance(error, Exception):
            raise error
        return tag, value, error

    def stop(self) -> None:
        for _ in range(self._threads):
            self._jobs.put(None)

    def _work(self) -> None:
        while (task := self._jobs.get()) is not None:
            job, tag = task
            value = error = None
            try:
                value = job()
            except BaseException as raised:  # noqa: BLE001  # `finished` raises it, or hands it out
                error = raised
            self._done.put((tag, value, error))
            # What was handed over is not kept until the next job.
            del task, job, tag, value, error
