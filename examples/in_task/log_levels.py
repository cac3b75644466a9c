# The logger at the five levels that Kestra has.
from kestra import Kestra

logger = Kestra.logger()

logger.log(5, "below DEBUG: TRACE")
logger.debug("DEBUG")
logger.info("INFO")
logger.warning("WARNING is called WARN")
logger.error("ERROR, and so is CRITICAL")
