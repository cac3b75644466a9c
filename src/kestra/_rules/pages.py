"""Results that come in pages, and what has to be known of a server before it is asked."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kestra._rules.actions import learn_configuration
from kestra._rules.problems import json_of, malformed
from kestra.exceptions import KestraError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
    from datetime import datetime

    from kestra._api.namespaces import Change
    from kestra._rules.io import IO

PAGE = 500  # results


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
        server.needs_main = not server.version.startswith("0.")


async def address(io: IO, template: str, **names: object) -> str:
    """Return the URL of a path, with the tenant that it needs.

    Raises:
        ValueError: A name cannot be one; nothing was sent then.
    """
    io.server.url(template, **names)
    await ready(io)
    return io.server.url(template, **names)


async def results(
    io: IO, url: str, query: Mapping[str, Any], size: int = PAGE
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the results of all pages."""
    page, known = 1, 0
    while True:
        response = await io.request("get", url, params={**query, "size": size, "page": page})
        body = json_of(response, dict, "get", url)
        found = body.get("results")
        if not isinstance(found, list):
            raise malformed("get", url, response, "lacks the list of results")
        for each in found:
            if isinstance(each, dict):
                yield each
        known, page = known + len(found), page + 1
        total = body.get("total")
        if not found or (isinstance(total, int) and known >= total):
            return


def server_time(io: IO) -> datetime:
    """Return what time it is on the server, as far as that is known."""
    return io.clock.utcnow() + timedelta(seconds=io.server.offset or 0)


async def fetched(io: IO, kind: type, url: str, **arguments: Any) -> Any:
    """Return the JSON object (`dict`) or list that the server has there."""
    return json_of(await io.request("get", url, **arguments), kind, "get", url)


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
            text = f"{change.name}{where} is not {change.action}, and none after it"
            error.args = (f"{error}; {text}; before: {before or 'nothing'}", *error.args[1:])
            raise
    return done
