"""What keeps the keys of webhooks out of the log of the libraries that send requests."""

from __future__ import annotations

import logging
import re
from typing import Any

# These libraries log whole URLs: httpx2 at INFO, urllib3 at DEBUG.
_KEY = re.compile(r"(/executions/webhook/[^/]+/[^/]+/)[^/?#\s]+")


def hide_keys(logger: str) -> None:
    """Let a logger show `***` in the place of the key of a webhook."""
    logging.getLogger(logger).addFilter(_without_key)


def _without_key(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(map(_hidden, record.args))
    return True


def _hidden(value: Any) -> Any:
    if isinstance(value, int | float | bytes):
        return value
    text = str(value)
    return _KEY.sub(r"\1***", text) if "/executions/webhook/" in text else value
