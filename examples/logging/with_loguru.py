# With loguru: a KestraHandler is a sink like any other.
from loguru import logger

from kestra import KestraHandler

logger.remove()  # the one that prints to stderr
logger.add(KestraHandler(), format="{message}", level="TRACE", backtrace=False)

logger.trace("reading")
logger.debug("6 lines")
logger.info("6 orders read")
logger.success("between INFO and WARNING: INFO")
logger.warning("order {} has no amount", 3)
try:
    float("12,50")
except ValueError:
    logger.exception("order 4 is left out")
logger.critical("CRITICAL is ERROR")
