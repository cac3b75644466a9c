"""Threads that do one job after the other."""

from __future__ import annotations

from queue import Empty, Queue, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from kestra._http.session import stop_at

if TYPE_CHECKING:
    from collections.abc import Callable

    Job = Callable[[], Any]
    # Gets what the job returned, or what it raised.
    Then = Callable[[Any, Any], None]


class Workers:
    """A few threads. What comes of their jobs is handled in the thread that asked for them.

    The threads are daemons, unlike those of `concurrent.futures`: a server that never answers
    keeps no interpreter from exiting.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._threads = 0
        self._stopped = Event()
        self._jobs: SimpleQueue[tuple[Job, Then] | None] = SimpleQueue()
        # No SimpleQueue: given a timeout that is over already, its `get` may wait for ever.
        self._done: Queue[tuple[Then, Any, BaseException | None]] = Queue()
        self.busy = 0

    @property
    def free(self) -> bool:
        """Whether a job would begin at once."""
        return self.busy < self._most

    def begin(self, job: Job, then: Then) -> None:
        """Let a thread do a job; `handle` calls `then` with what comes of it."""
        if self.busy == self._threads:
            self._threads += 1
            arguments = (self._jobs, self._done, self._stopped)
            Thread(target=_work, args=arguments, name="kestra-worker", daemon=True).start()
        self.busy += 1
        self._jobs.put((job, then))

    def handle(self, timeout: float) -> bool:
        """Wait for a job to be done, and handle what came of it; say whether there was one.

        Args:
            timeout: How long to wait, in seconds.
        """
        try:
            then, value, error = self._done.get(timeout=timeout)
        except Empty:
            return False
        self.busy -= 1
        if error is not None and not isinstance(error, Exception):
            raise error
        then(value, error)
        return True

    def stop(self) -> None:
        """Let every thread end after its present job, for which no more requests are sent."""
        self._stopped.set()
        for _ in range(self._threads):
            self._jobs.put(None)


def _work(
    jobs: SimpleQueue[tuple[Job, Then] | None],
    done: Queue[tuple[Then, Any, BaseException | None]],
    stopped: Event,
) -> None:
    stop_at(stopped)
    while (task := jobs.get()) is not None:
        job, then = task
        value = error = None
        try:
            value = job()
        except BaseException as raised:  # noqa: BLE001  # is raised or handed out by the other thread
            error = raised
        done.put((then, value, error))
        # What was handed over is not kept until the next job.
        del task, job, then, value, error
