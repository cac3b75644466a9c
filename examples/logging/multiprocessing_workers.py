# Workers of multiprocessing send their records to the parent, which delivers them.
#
# Workers may log through `Kestra.configure_logging()` themselves just as well: frames of several
# processes do not tear each other. A queue keeps one place that decides about levels and formats.
import logging
import multiprocessing
import sys
from logging.handlers import QueueHandler, QueueListener
from multiprocessing.queues import Queue

from kestra import Kestra, KestraHandler


def work(queue: Queue, number: int) -> None:
    root = logging.getLogger()
    root.handlers[:] = [QueueHandler(queue)]  # a forked worker has those of the parent
    root.setLevel(logging.INFO)
    logging.getLogger("worker").info("worker %d has started", number)
    try:
        1 / (number - 2)
    except ZeroDivisionError:
        logging.getLogger("worker").exception("worker %d has failed", number)


def main(method: str) -> None:
    Kestra.configure_logging()
    multiprocessing.set_start_method(method)
    queue: Queue = multiprocessing.Queue()
    listener = QueueListener(queue, KestraHandler())
    listener.start()
    workers = [multiprocessing.Process(target=work, args=(queue, number)) for number in (1, 2, 3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    listener.stop()
    logging.getLogger("parent").info("all workers are done")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "spawn")
