"""The log of an execution that has ended: complete, or known as perhaps incomplete.

Nothing marks the end of a log. The server stores it in batches after the execution has ended, out
of order, behind those of other executions; its stream of the log loses entries. So its entries are
counted until the count rests for long enough. How long that is was found on 72 measured runs of
1.3 and 2.0, quiet and busy:

- *near*: an entry of the task run that ended last lies within 20 ms before the end of that run, as
  a Script task writes them. The log is complete when its count has not changed for half a second,
  or for a fifth of the time since the end.
- Otherwise (a Subflow or a Sleep at the end, or no log at all), when neither its count nor that of
  all logs of the server has changed for five seconds, or half of the time since the end. That is
  not proved, but nothing more can be known.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from kestra._api.parsing import (
    count_entries,
    is_shown,
    log_entries,
    ordered_log,
    task_runs_of,
    whole_state,
)
from kestra._rules.problems import json_of
from kestra._rules.reading import LONGEST_ASKING, stored_entries
from kestra.exceptions import APIError, KestraError

if TYPE_CHECKING:
    from kestra._api.models import LogEntry
    from kestra._rules.io import IO

logger = logging.getLogger("kestra")

_NEAR = timedelta(milliseconds=20)
_OLD = 120.0  # seconds after the end, by which a log is stored
_NEWEST = 4  # entries that a count brings along
# Seconds.
_QUIET = 0.5
_QUIET_ELSEWHERE = 5.0
_QUIET_ENTERPRISE = 2.0  # servers on Elasticsearch may show what is new only once a second
_SHORTEST_PAUSE = 0.25
_SHORTEST_READ = 0.5  # where the whole log has to be read to count it
_TOTAL_AGAIN = 1.0  # between two counts of all logs, for all waits of a client
_FETCH = 10.0  # that fetching the log may take longer than settling
_NO_SEARCH = frozenset({400, 403, 404, 405, 422})  # statuses of a server without that search


@dataclass(slots=True)
class _Count:
    """A count, and since when it has not changed."""

    value: int | None = None
    since: float = 0.0

    def note(self, value: int, now: float) -> None:
        if value != self.value:
            self.value, self.since = value, now

    def has_rested(self, now: float, seconds: float) -> bool:
        return self.value is not None and now - self.since >= seconds


@dataclass(slots=True)
class Settling:
    """Finds out when the log of an execution that has ended is complete.

    Attributes:
        complete: True once the end of the log was seen; None if it rests, but nothing marks the
            end, or if nothing can be known; False if it may lack something.
        pending: Whether the count has to be asked for again.
        why: Why it may lack something.
        is_known: Whether anything could be known.
        not_stored: Entries that were reported, and that the server has not stored.
    """

    io: IO
    execution_id: str
    execution: dict[str, Any]
    limit: float
    complete: bool | None = None
    pending: bool = field(init=False, default=True)
    is_known: bool = field(init=False, default=True)
    why: str = field(init=False, default="")
    not_stored: list[LogEntry] = field(init=False, default_factory=list)
    _begin: float = field(init=False)
    _age: float = field(init=False)
    _own: _Count = field(init=False, default_factory=_Count)
    _all: _Count = field(init=False, default_factory=_Count)
    _is_near: bool = field(init=False, default=False)
    _last: tuple[str, datetime] | None = field(init=False)

    def __post_init__(self) -> None:
        self._begin = self.io.clock.now()
        self._last = _last_run(self.execution)
        end = whole_state(self.execution).end
        offset = self.io.server.offset
        self._age = 0.0
        if end is not None and offset is not None:
            utcnow = self.io.clock.utcnow() + timedelta(seconds=offset)
            self._age = max((utcnow - end).total_seconds(), 0.0)
        # Without the end of a task run, it is the response of a mock, or no task has run.
        self.is_known = self.limit > 0 and self._last is not None and self._age <= _OLD
        self.pending = self.is_known

    @property
    def total(self) -> int | None:
        """How many entries were counted; `None` where that is not known."""
        return self._own.value

    @property
    def elapsed(self) -> float:
        """Seconds since the execution has ended, by the server's clock and then by ours."""
        return self._age + self.io.clock.now() - self._begin

    @property
    def left(self) -> float:
        """Seconds until the limit."""
        return self._begin + self.limit - self.io.clock.now()

    @property
    def pause(self) -> float:
        """Seconds until the next poll."""
        least = _SHORTEST_READ if self.io.server.has_log_search is False else _SHORTEST_PAUSE
        return max(min(max(least, 0.1 * self.elapsed), self.left), 0.0)

    async def wait(self) -> None:
        """Poll until there is an answer."""
        while self.pending:
            await self.poll()
            if self.pending:
                await self.io.sleep(self.pause)

    async def poll(self) -> None:
        """Count the entries once, and see what follows."""
        try:
            total, newest = await self._counted()
        except KestraError as error:
            logger.debug("Log entries could not be counted: %s", type(error).__name__)
            self.why = "its entries could not be counted"
        except Exception as error:  # noqa: BLE001  # of a mock, which knows no such request
            logger.debug("Log entries cannot be counted: %s", type(error).__name__)
            self.is_known = self.pending = False
            return
        else:
            self.why = "it was still growing"
            self._own.note(total, self.io.clock.now())
            self._is_near = any(self._marks_end(entry) for entry in newest)
            if not self._is_near:
                await self._count_all()
        self._conclude()

    def expects_more(self, why: str) -> bool:
        """Take note that what was fetched is not all; return True if there is time for more."""
        self.complete, self.why = False, why
        self.pending = self.is_known and self.left > 0
        return self.pending

    def _conclude(self) -> None:
        now, elapsed = self.io.clock.now(), self.elapsed
        if self._is_near:
            enterprise = self.io.server.edition not in {None, "OSS"}
            least = _QUIET_ENTERPRISE if enterprise else _QUIET
            if self._own.has_rested(now, max(least, 0.2 * elapsed)):
                self.complete, self.pending = True, False
        else:
            quiet = max(_QUIET_ELSEWHERE, 0.5 * elapsed)
            counts_all = self.io.server.has_log_search
            if self._own.has_rested(now, quiet) and (
                not counts_all or self._all.has_rested(now, quiet)
            ):
                self.complete, self.pending = None, False
        if self.pending and self.left <= 0:
            self.complete, self.pending = False, False

    def _marks_end(self, entry: LogEntry) -> bool:
        if self._last is None or entry.time is None:
            return False
        run_id, end = self._last
        return entry.task_run_id == run_id and timedelta(0) <= end - entry.time <= _NEAR

    async def _counted(self) -> tuple[int, list[LogEntry]]:
        """Return how many entries are stored, and the newest of them."""
        server = self.io.server
        if server.has_log_search is not False:
            asked = {
                "filters[executionId][EQUALS]": self.execution_id,
                "sort": "timestamp:desc",
                "size": _NEWEST,
            }
            try:
                total, results = await self._search(asked)
            except APIError as error:
                if error.status not in _NO_SEARCH:
                    raise
                server.has_log_search = False
            else:
                own = [each for each in results if each.get("executionId") == self.execution_id]
                server.has_log_search = len(own) == len(results)
                if server.has_log_search:
                    return total, log_entries(own)
        entries = await stored_entries(self.io, self.execution_id, within=LONGEST_ASKING, once=True)
        return len(entries), entries

    async def _count_all(self) -> None:
        """Count what the server has of all logs, which may be a backlog before this one."""
        server, now = self.io.server, self.io.clock.now()
        if not server.has_log_search or self._last is None or now < server.next_total:
            return
        server.next_total = now + _TOTAL_AGAIN
        end = self._last[1].astimezone(timezone.utc)
        asked = {
            "filters[startDate][GREATER_THAN_OR_EQUAL_TO]": _instant(end - timedelta(minutes=10)),
            "filters[endDate][LESS_THAN_OR_EQUAL_TO]": _instant(end),
            "size": 1,
        }
        total, _ = await self._search(asked)
        self._all.note(total, self.io.clock.now())

    async def _search(self, asked: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
        url = self.io.server.url("logs/search")
        response = await self.io.request("get", url, params=asked, within=LONGEST_ASKING, once=True)
        body = json_of(response, dict, "get", url)
        results, total = body.get("results"), body.get("total")
        if not isinstance(total, int) or not isinstance(results, list):
            raise TypeError("the response lacks the total")
        return total, [each for each in results if isinstance(each, dict)]


async def fetch(settling: Settling) -> tuple[str | None, bool | None]:
    """Return the log of an execution that has ended, and whether it is complete.

    Returns:
        The log, `None` and a warning if it cannot be had: no failure costs the result of the
        execution, which is known by now, and worth more.
    """
    io, execution_id = settling.io, settling.execution_id
    log = None
    try:
        while True:
            await settling.wait()
            log = None  # a large one is not kept while it is fetched again
            within = max(settling.left, 0.0) + _FETCH
            response = await io.fetch_log(execution_id, within=within)
            log = ordered_log(str(response.text), settling.not_stored)
            is_short = settling.total is not None and count_entries(log) < settling.total
            if not (is_short and settling.expects_more("the server has stored more than it sent")):
                break
            await io.sleep(settling.pause)
    except Exception as error:  # noqa: BLE001  # whatever a caller's own `get_logs` raises
        # Only the texts of our own errors are known to hold no secret.
        why = str(error) if isinstance(error, KestraError) else type(error).__name__
        logger.warning("The log of execution %s could not be fetched: %s", execution_id, why)
        return log, False
    if settling.complete is False:
        warn(execution_id, settling.why)
    return log, settling.complete


async def settled_entries(
    io: IO, execution_id: str, min_level: str, settling: Settling | None
) -> list[LogEntry]:
    """Return the log entries of an execution from a level on; all of them if it has ended."""
    if settling is None or not settling.pending:
        return await stored_entries(io, execution_id, min_level)
    while True:
        await settling.wait()
        entries = await stored_entries(io, execution_id)
        is_short = settling.total is not None and len(entries) < settling.total
        if not (is_short and settling.expects_more("the server has stored more than it sent")):
            break
        await io.sleep(settling.pause)
    if settling.complete is False:
        warn(execution_id, settling.why)
    return [entry for entry in entries if is_shown(entry.level, min_level)]


def warn(execution_id: str, why: str) -> None:
    """Warn that a log may be incomplete."""
    logger.warning("The log of execution %s may be incomplete: %s", execution_id, why)


def _last_run(execution: dict[str, Any]) -> tuple[str, datetime] | None:
    """Return the task run that ended last: its id, and when that was."""
    ended = [(run.state.end, run.id) for run in task_runs_of(execution) if run.state.end]
    if not ended:
        return None
    end, run_id = max(ended)
    return run_id, end


def _instant(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
