"""The log of an execution that has ended: complete, or known as perhaps incomplete."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kestra._api.models import TERMINAL_STATES
from kestra._api.parsing import (
    checked_level,
    count_entries,
    header_of,
    in_order,
    is_shown,
    ordered_log,
    state_of,
)
from kestra._rules.problems import body_text, harmless, malformed
from kestra._rules.reading import poll, stored_entries
from kestra._rules.settling import Settling
from kestra._values.signals import is_interruption
from kestra.exceptions import NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kestra._api.models import LogEntry
    from kestra._rules.io import IO, Response
    from kestra._rules.waiting import Options

logger = logging.getLogger("kestra")

_FETCH = 10.0  # seconds that fetching the log may take longer than settling
_MOST_PAGES = 3  # of a proxy, in the place of a log
_PAGE_PAUSE = 1.0  # seconds, until it is fetched again


async def fetch(settling: Settling) -> tuple[str | None, bool | None]:
    """Return the log of an execution that has ended, and whether it is complete.

    Where it cannot be had, there is a warning: no failure costs the result, which is known by now,
    and worth more.
    """
    io, execution_id = settling.io, settling.execution_id
    log, pages = None, 0
    try:
        while True:
            await settling.wait()
            log = None  # a large one is not kept while it is fetched again
            within = max(settling.left, 0.0) + _FETCH
            response = await io.fetch_log(execution_id, within=within)
            if _is_page(response):
                pages += 1
                if pages < _MOST_PAGES:
                    await io.sleep(_PAGE_PAUSE)
                    continue
                url = io.server.url("logs/{execution_id}/download", execution_id=execution_id)
                raise malformed("get", url, response, "is a page, and not a log")  # noqa: TRY301
            log, count = await io.call(_ordered, response, settling.not_stored)
            if not await settling.is_short(count):
                break
    except Exception as error:  # whatever a caller's own `get_logs` raises
        if is_interruption(error):
            raise
        text = "The log of execution %s could not be fetched: %s"
        logger.warning(text, execution_id, harmless(error))
        return log, False
    settling.warn()
    return log, settling.complete


def _ordered(response: Response, not_stored: Sequence[LogEntry]) -> tuple[str, int]:
    log = ordered_log(str(response.text), not_stored)
    return log, count_entries(log)


def _is_page(response: Response) -> bool:
    """Return True if it is a page of a proxy; some users' stubs call a log HTML too."""
    is_html = str(header_of(response, "Content-Type")).startswith("text/html")
    return is_html and body_text(response).lstrip().startswith("<")


async def get_log(io: IO, execution_id: str, options: Options, min_level: str) -> list[LogEntry]:
    """Return the log entries of an execution from a level on, in the order of logging.

    One that has just ended is waited for until its log is stored.
    """
    level = checked_level(min_level)
    try:
        execution = await poll(io, execution_id)
    except NotFound:
        execution = {}
    limit = options.log_settle if state_of(execution) in TERMINAL_STATES else 0
    settling = Settling(io, execution_id, execution, limit)
    if not settling.pending:
        entries = await stored_entries(io, execution_id, level)
    else:
        while True:
            await settling.wait()
            entries = await stored_entries(io, execution_id)
            if not await settling.is_short(len(entries)):
                break
        settling.warn()
        entries = [entry for entry in entries if is_shown(entry.level, level)]
    return in_order(entries)
