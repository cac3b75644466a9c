# Plain logging, warnings and uncaught exceptions: one call makes entries of them.
import logging
import threading
import warnings

from kestra import Kestra

Kestra.configure_logging()  # from INFO on; KESTRA_LOGGING_LEVEL=DEBUG in the task's env shows more

logger = logging.getLogger("orders")
logger.debug("not shown")
logger.info("6 orders read")
logger.warning("order %d has no amount", 3)
try:
    float("12,50")
except ValueError:
    logger.exception("order 4 is left out")  # one entry, with its traceback
warnings.warn("semicolons are deprecated", FutureWarning, stacklevel=1)
thread = threading.Thread(target=lambda: {"rows": 6}["amount"], name="totals")
thread.start()
thread.join()
raise SystemExit(3)  # stays the exit status of the task
