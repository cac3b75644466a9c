"""Threads that do one job after the other."""

from __future__ import annotations

from queue import Empty, Queue, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Job = Callable[[], Any]


class Workers:
    """As many threads as there were ever jobs at once.

    The threads are daemons, unlike those of `concurrent.futures`: a server that never responds
    keeps no interpreter from exiting.
    """

    def __init__(self) -> None:
        self._threads = 0
        self._busy = 0
        self._jobs: SimpleQueue[tuple[Job, Any] | None] = SimpleQueue()
        # No SimpleQueue: given a timeout that is already over, its `get` may never return.
        self._done: Queue[tuple[Any, Any, BaseException | None]] = Queue()

    def start(self, job: Job, tag: Any) -> None:
        """Let a thread do a job."""
        if self._busy == self._threads:
            self._threads += 1
            arguments = (self._jobs, self._done)
            Thread(target=_work, args=arguments, name="kestra-worker", daemon=True).start()
        self._busy += 1
        self._jobs.put((job, tag))

    def finished(self, timeout: float) -> tuple[Any, Any, Exception | None] | None:
        """Wait for a job to be done, for some seconds: its tag, and what it returned or raised."""
        try:
            tag, value, error = self._done.get(timeout=timeout)
        except Empty:
            return None
        self._busy -= 1
        if error is not None and not isinstance(error, Exception):
            raise error
        return tag, value, error

    def stop(self) -> None:
        """Let every thread end after its present job."""
        for _ in range(self._threads):
            self._jobs.put(None)


def _work(
    jobs: SimpleQueue[tuple[Job, Any] | None],
    done: Queue[tuple[Any, Any, BaseException | None]],
) -> None:
    while (task := jobs.get()) is not None:
        job, tag = task
        value = error = None
        try:
            value = job()
        except BaseException as raised:  # noqa: BLE001  # is raised or handed out by the other thread
            error = raised
        done.put((tag, value, error))
        # What was handed over is not kept until the next job.
        del task, job, tag, value, error
