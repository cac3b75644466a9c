# Behind a queue: who logs does not wait for the pipe of a slow reader.
import logging
from logging.handlers import QueueHandler, QueueListener
from queue import SimpleQueue

from kestra import KestraHandler

queue: SimpleQueue[logging.LogRecord] = SimpleQueue()
listener = QueueListener(queue, KestraHandler())
logger = logging.getLogger("orders")
logger.setLevel(logging.INFO)
logger.addHandler(QueueHandler(queue))

listener.start()
try:
    logger.info("6 orders read")
    try:
        float("12,50")
    except ValueError:
        logger.exception("order 4 is left out")
finally:
    listener.stop()  # else the last records may not be delivered
