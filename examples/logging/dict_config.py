# Through dictConfig: entries as JSON objects, with the fields of `extra`, and a file beside them.
import logging
import logging.config
import tempfile
from pathlib import Path

log_file = Path(tempfile.mkdtemp()) / "task.log"
logging.config.dictConfig(
    {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "fields": {
                "()": "kestra.JsonFormatter",
                "fmt": "%(message)s %(name)s",
                "rename_fields": {"name": "logger"},
            },
            "line": {"format": "%(asctime)s %(levelname)s %(message)s"},
        },
        "handlers": {
            "kestra": {"class": "kestra.KestraHandler", "formatter": "fields", "level": "INFO"},
            "file": {
                "class": "logging.FileHandler",
                "formatter": "line",
                "filename": str(log_file),
            },
        },
        "root": {"handlers": ["kestra", "file"], "level": "DEBUG"},
    }
)

logger = logging.getLogger("orders")
logger.debug("only in the file")
logger.warning("no amount", extra={"order": 3, "region": "north"})
print(len(log_file.read_text().splitlines()), "lines in the file")
