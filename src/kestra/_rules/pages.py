"""Results that come in pages, and what has to be known of a server before it is asked."""

from __future__ import annotations

import logging
import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kestra._api.parsing import body_of, header_of
from kestra._rules.problems import json_of, objects_of, page_of
from kestra._values.signals import is_interruption
from kestra.exceptions import KestraError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
    from datetime import datetime

    from kestra._api.namespaces import Change
    from kestra._rules.io import IO, Response

logger = logging.getLogger("kestra")

_PAGE = 500  # results
_DOUBT = 2  # seconds: a server says whole ones, and its response takes some time
# How to ask for what a result waits for, but not long: once, within some seconds.
BRIEFLY: dict[str, Any] = {"within": 10.0, "once": True}


async def learn_configuration(io: IO, within: float) -> None:
    """Ask for the server's version, once; where that cannot be had, nothing is known."""
    io.server.was_asked = True
    limits = {**BRIEFLY, "within": min(within, BRIEFLY["within"])}
    try:
        response = await io.request("get", io.server.url("/api/v1/configs"), **limits)
    except Exception as error:  # a mock's too: what follows shows what is wrong
        if is_interruption(error):
            raise
        logger.debug("The server's version is not known: %s", type(error).__name__)
    else:
        learn_time(io, response)
        io.server.learn_configuration(body_of(response))


async def ready(io: IO) -> None:
    """Learn whether paths need the tenant `main`, where nothing says so yet.

    Else a 404 would have two meanings: the key, file or flow is missing, or the tenant is.
    """
    server = io.server
    if server.tenant is not None or server.needs_main is not None:
        return
    if not server.was_asked:
        await learn_configuration(io, math.inf)
    if server.version is not None:
        server.needs_main = not server.is_before_1


async def address(io: IO, template: str, **names: object) -> str:
    io.server.url(template, **names)  # refuses what cannot be a name before anything is sent
    await ready(io)
    return io.server.url(template, **names)


async def results(
    io: IO, url: str, query: Mapping[str, Any], what: str = "the list of results"
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the results of all pages; the query may say how large they are."""
    page, known, size = 1, 0, query.get("size", _PAGE)
    while True:
        response = await io.request("get", url, params={**query, "size": size, "page": page})
        learn_time(io, response)
        found, total = page_of(response, url, what)
        for each in found:
            if isinstance(each, dict):
                yield each
        known, page = known + len(found), page + 1
        is_last = known >= total if isinstance(total, int) else len(found) < size
        if is_last or not found:
            return


def learn_time(io: IO, response: Response) -> None:
    """Learn what time it is on the server, from any of its responses."""
    date = header_of(response, "Date")
    if date is not None:
        io.server.learn_date(date, io.clock.utcnow())


def server_time(io: IO) -> datetime:
    """Return what time it is on the server, as far as that is known."""
    return io.clock.utcnow() + clock_offset(io)


def clock_offset(io: IO) -> timedelta:
    """Return how much the server's clock is known to differ from this one."""
    offset = io.server.offset or 0.0
    return timedelta(seconds=offset if abs(offset) > _DOUBT else 0)


async def fetched(io: IO, kind: type, url: str, **arguments: Any) -> Any:
    """Return the JSON object (`dict`) or list that the server has there."""
    return json_of(await io.request("get", url, **arguments), kind, "get", url)


async def objects(io: IO, url: str, **arguments: Any) -> list[dict[str, Any]]:
    """Return the list of JSON objects that the server has there."""
    return objects_of(await io.request("get", url, **arguments), "get", url)


async def carry_out(
    plan: Iterable[Change], make: Callable[[Change], Awaitable[Change]]
) -> list[Change]:
    """Make changes in turn; an error says which were made before it, and which were not."""
    done: list[Change] = []
    for change in plan:
        try:
            done.append(await make(change))
        except KestraError as error:
            before = ", ".join(str(each) for each in done if each.action != "unchanged")
            where = f" ({change.path})" if change.path else ""
            text = f"{change.name}{where} was not {change.action}, nor was what follows it"
            error.args = (f"{error}; {text}; done before: {before or 'nothing'}", *error.args[1:])
            raise
    return done
