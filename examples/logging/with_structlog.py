# With structlog: events become log records, their values fields of a JSON object.
import logging

import structlog

from kestra import JsonFormatter, Kestra, KestraHandler

handler = KestraHandler()
handler.setFormatter(JsonFormatter("%(message)s"))
logging.basicConfig(level=logging.INFO, handlers=[handler])
Kestra.configure_logging()  # leaves the handler; warnings and uncaught exceptions go there too

structlog.configure(
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.render_to_log_kwargs,
    ],
)

log = structlog.get_logger("orders").bind(region="north")
log.debug("not shown")
log.info("orders read", orders=6)
log.warning("no amount", order=3)
try:
    float("12,50")
except ValueError:
    log.exception("left out", order=4)
