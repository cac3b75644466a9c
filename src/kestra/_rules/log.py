"""The log of an execution that has ended: complete, or known as perhaps incomplete."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kestra._api.parsing import count_entries, header_of, is_shown, ordered_log
from kestra._rules.problems import body_text, malformed
from kestra._rules.reading import stored_entries
from kestra.exceptions import KestraError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kestra._api.models import LogEntry
    from kestra._rules.io import IO, Response
    from kestra._rules.settling import Settling

logger = logging.getLogger("kestra")

_FETCH = 10.0  # seconds that fetching the log may take longer than settling


async def fetch(settling: Settling) -> tuple[str | None, bool | None]:
    """Return the log of an execution that has ended, and whether it is complete.

    Where it cannot be had, there is a warning: no failure costs the result, which is known by now,
    and worth more.
    """
    io, execution_id = settling.io, settling.execution_id
    log = None
    try:
        while True:
            await settling.wait()
            log = None  # a large one is not kept while it is fetched again
            within = max(settling.left, 0.0) + _FETCH
            response = await io.fetch_log(execution_id, within=within)
            if _is_page(response):
                if await settling.fetch_again("a page came in its place"):
                    continue
                url = io.server.url("logs/{execution_id}/download", execution_id=execution_id)
                raise malformed("get", url, response, "is a page, and not a log")  # noqa: TRY301
            log, count = await io.call(_ordered, response, settling.not_stored)
            if not await settling.is_short(count):
                break
    except Exception as error:  # noqa: BLE001  # whatever a caller's own `get_logs` raises
        # Only the texts of our own errors are known to hold no secret.
        why = str(error) if isinstance(error, KestraError) else type(error).__name__
        logger.warning("The log of execution %s could not be fetched: %s", execution_id, why)
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


async def settled_entries(
    io: IO, execution_id: str, min_level: str, settling: Settling | None
) -> list[LogEntry]:
    """Return the log entries of an execution from a level on; all of them if it has ended."""
    if settling is None or not settling.pending:
        return await stored_entries(io, execution_id, min_level)
    while True:
        await settling.wait()
        entries = await stored_entries(io, execution_id)
        if not await settling.is_short(len(entries)):
            break
    settling.warn()
    return [entry for entry in entries if is_shown(entry.level, min_level)]
