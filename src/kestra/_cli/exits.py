"""Exit statuses, and what is said of an error. Pure."""

from __future__ import annotations

from requests import RequestException

from kestra._api.models import TERMINAL_STATES, FlowExecution
from kestra._cli.streams import UNWRITTEN, OutputLost
from kestra.exceptions import ExecutionTimeout, KestraError

GOOD, BAD, USAGE, REFUSED, TIMED_OUT, INTERRUPTED = 0, 1, 2, 3, 4, 130


def of(execution: FlowExecution) -> int:
    return BAD if execution.status in TERMINAL_STATES and not execution.ok else GOOD


def after(error: Exception) -> int:
    if isinstance(error, ExecutionTimeout):
        return TIMED_OUT
    if isinstance(error, OutputLost):
        return UNWRITTEN
    # Some errors of this package are a `ValueError` or an `OSError` too. Those of `requests` that
    # are about an argument, such as the address of a proxy, are a `ValueError`.
    of_server = isinstance(error, KestraError) or (
        isinstance(error, RequestException) and not isinstance(error, ValueError)
    )
    return REFUSED if of_server else USAGE


def sentence(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, KestraError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
