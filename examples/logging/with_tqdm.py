# With tqdm: the bar never gets into an entry, nor an entry into the bar.
import logging
import sys

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from kestra import Kestra

Kestra.configure_logging()  # before the first bar
logger = logging.getLogger("orders")

# In a task each redraw of a bar is an entry of its own, on stderr at level ERROR. `disable=None`
# leaves it out where there is no terminal, and shows it where you work at one.
for order in tqdm([1, 2, 3], disable=None):
    logger.info("order %d, no bar", order)

for order in tqdm([1, 2, 3], file=sys.stdout, mininterval=0):
    logger.info("order %d, bar on stdout", order)

for order in tqdm([1, 2, 3], mininterval=0):
    logger.info("order %d, bar on stderr", order)

with logging_redirect_tqdm():  # does no harm, and is not needed
    for order in tqdm([1, 2, 3], mininterval=0):
        logger.info("order %d, bar of tqdm's own handler", order)
