# From an ini file: the same handler and formatter; from WARNING on to stderr.
import logging
import logging.config
from io import StringIO

INI = """
[loggers]
keys = root

[handlers]
keys = kestra

[formatters]
keys = fields

[logger_root]
handlers = kestra
level = INFO

[handler_kestra]
class = kestra.KestraHandler
kwargs = {"split": True}
formatter = fields

[formatter_fields]
class = kestra.JsonFormatter
format = %(message)s %(name)s
"""

logging.config.fileConfig(StringIO(INI), disable_existing_loggers=False)

logging.getLogger("orders").info("6 orders read", extra={"orders": 6})
logging.getLogger("orders").error("no amount", extra={"order": 3})
