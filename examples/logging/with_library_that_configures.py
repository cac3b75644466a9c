# A library that configures logging itself, before and after: its records arrive all the same.
import logging
import logging.config
import sys

from kestra import Kestra


def library_configures() -> None:
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"console": {"class": "logging.StreamHandler"}},
            "root": {"handlers": ["console"], "level": "WARNING"},
        }
    )
    library = logging.getLogger("library")
    library.setLevel(logging.INFO)
    library.propagate = False
    library.addHandler(logging.StreamHandler(sys.stdout))


script = logging.getLogger("script")

library_configures()
Kestra.configure_logging()
logging.getLogger("library").info("library, first")
script.info("script, first")
Kestra.logger().info("task, first")

library_configures()
Kestra.logger().info("task, right after")  # once, whatever the library did
Kestra.configure_logging()  # once more, after the library: its handlers are set aside again
logging.getLogger("library").info("library, second")
script.info("script, second")
Kestra.logger().warning("task, second")
