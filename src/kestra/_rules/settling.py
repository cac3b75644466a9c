"""Whether the log of an execution that has ended is complete, as far as that can be known.

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
import math
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from kestra._api.parsing import has_milliseconds, log_entries, run_ends_of, whole_state
from kestra._api.servers import MAIN
from kestra._rules.pages import BRIEFLY, learn_configuration
from kestra._rules.problems import malformed, page_of
from kestra._rules.reading import stored_entries
from kestra._values.signals import is_interruption
from kestra._values.times import utc_text
from kestra.exceptions import APIError, KestraError

if TYPE_CHECKING:
    from kestra._api.models import LogEntry
    from kestra._rules.io import IO

logger = logging.getLogger("kestra")

_NEAR = timedelta(milliseconds=20)
_NEWEST = 4  # entries that a count brings along
_MOST_FAILURES = 3  # searches in a row; then the log itself is read
_MOST_FETCHES = 3  # that bring less than was counted
_NO_SEARCH = frozenset({400, 403, 404, 405, 422})  # statuses of a server without that search
_REFUSED = _NO_SEARCH | {401}  # of one that does not show the log
# Seconds.
_OLD = 120.0  # after the end, by which a log is stored
_QUIET = 0.5
_QUIET_ELSEWHERE = 5.0
_QUIET_ENTERPRISE = 2.0  # servers on Elasticsearch may show what is new only once a second
_SHORTEST_PAUSE = 0.25
_SHORTEST_READ = 0.5  # where the whole log has to be read to count it
_WINDOW = 5  # executions that ended within so long share the count of all logs
_TOTAL_AGAIN = 1.0  # between two counts of all logs, for all waits of a client
_LONGEST_TURN = 30.0
_LONGEST_CONFIGS = 2.0


@dataclass(slots=True)
class _Count:
    """A count, since when it has not changed, and when it was last made."""

    value: int | None = None
    since: float = 0.0
    made: float = 0.0
    due: float | None = None  # when to make it again, if that is planned
    has_grown: bool = False

    def note(self, value: int, now: float) -> None:
        if value != self.value:
            self.has_grown = self.value is not None
            self.value, self.since = value, now
        self.made = now

    def has_rested(self, seconds: float, begin: float = 0.0) -> bool:
        return self.value is not None and self.made - max(self.since, begin) >= seconds


@dataclass(slots=True)
class _Counts:
    """Counts entries: by a search, or where there is none by reading the log."""

    io: IO
    execution_id: str
    failures: int  # searches in a row

    @property
    def searches(self) -> bool:
        return self.io.server.has_log_search is not False and self.failures < _MOST_FAILURES

    async def own(self) -> tuple[int, list[LogEntry]]:
        """Return how many entries are stored, and the newest of them."""
        server = self.io.server
        if self.searches:
            asked = {
                "filters[executionId][EQUALS]": self.execution_id,
                "sort": "timestamp:desc",
                "size": _NEWEST,
            }
            try:
                total, results = await self._search(asked)
            except KestraError as error:
                self.failures += 1
                if getattr(error, "status", None) in _NO_SEARCH:
                    server.has_log_search = False
                if self.searches:
                    raise
            else:
                self.failures = 0
                if all(each.get("executionId") == self.execution_id for each in results):
                    return total, log_entries(results)
                server.has_log_search = False
        entries = await stored_entries(self.io, self.execution_id, **BRIEFLY)
        return len(entries), entries

    async def all_until(self, end: datetime) -> _Count:
        """Return the count of what the server has of all logs up to about a moment.

        It may be a backlog before this one. Those who wait for executions that ended at about the
        same time share it, and each such count has its turn.
        """
        server, now = self.io.server, self.io.clock.now()
        window = math.ceil(end.timestamp() / _WINDOW)
        count: _Count | None = server.log_totals.get(window)
        if count is None:
            for old in [each for each in list(server.log_totals) if each < window - _OLD]:
                server.log_totals.pop(old, None)
            count = server.log_totals[window] = _Count()
        if count.due is None:
            count.due = min(max(server.next_total, now), now + _LONGEST_TURN)
            server.next_total = count.due + _TOTAL_AGAIN
        if now >= count.due:
            count.due = None
            end = datetime.fromtimestamp(window * _WINDOW, timezone.utc)
            start = end - timedelta(minutes=10)
            asked = {
                "filters[startDate][GREATER_THAN_OR_EQUAL_TO]": utc_text(start),
                "filters[endDate][LESS_THAN_OR_EQUAL_TO]": utc_text(end),
                "size": 1,
            }
            total, _ = await self._search(asked)
            count.note(total, self.io.clock.now())
        return count

    async def _search(self, asked: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
        url = self.io.server.url("logs/search")
        response = await self.io.request("get", url, params=asked, **BRIEFLY)
        results, total = page_of(response, url, "the log entries")
        if not isinstance(total, int):
            raise malformed("get", url, response, "lacks the total of the log entries")
        return total, [each for each in results if isinstance(each, dict)]


class Settling:
    """Finds out when the log of an execution that has ended is complete."""

    def __init__(
        self, io: IO, execution_id: str, execution: dict[str, Any], log_settle: float
    ) -> None:
        self.io = io
        self.execution_id = execution_id
        self.limit = 0.0 if io.has_own_log else log_settle
        # True once the end of the log is known; None if it no longer grows but nothing marks the
        # end, or if nothing can be known; False if it may lack something, and why.
        self.complete: bool | None = None
        self.why = ""
        self.not_stored: list[LogEntry] = []  # of those that were reported
        self._begin = io.clock.now()
        self._age = 0.0
        end, offset = whole_state(execution).end, io.server.offset
        if end is not None and offset is not None:
            utcnow = io.clock.utcnow() + timedelta(seconds=offset)
            self._age = max((utcnow - end).total_seconds(), 0.0)
        self._last = max(((end, run_id) for run_id, end in run_ends_of(execution)), default=None)
        # Without the end of a task run, it is the response of a mock, or no task has run.
        self.is_known = self.limit > 0 and self._last is not None and self._age <= _OLD
        self.pending = self.is_known  # the count has to be asked for again
        self._own = _Count()
        self._is_near = False
        self._fetches = 0
        # 0.21 ignores what is searched for.
        failures = _MOST_FAILURES if has_milliseconds(execution) else 0
        self._counts = _Counts(io, execution_id, failures)

    @property
    def elapsed(self) -> float:
        """Seconds since the execution has ended, by the server's clock and then by ours."""
        return self._age + self.io.clock.now() - self._begin

    @property
    def left(self) -> float:
        return self._begin + self.limit - self.io.clock.now()

    @property
    def pause(self) -> float:
        least = _SHORTEST_PAUSE if self._counts.searches else _SHORTEST_READ
        return max(min(max(least, 0.1 * self.elapsed), self.left), 0.0)

    async def wait(self) -> None:
        """Poll until `complete` is decided."""
        while self.pending:
            await self.poll()
            if self.pending:
                await self.io.sleep(self.pause)

    async def poll(self) -> None:
        """Count the entries once, and decide what follows."""
        try:
            flow = self.io.flow  # API tokens, and tenants, are of the Enterprise Edition
            if (flow.api_token or flow.tenant not in {None, MAIN}) and not self.io.server.was_asked:
                await learn_configuration(self.io, _LONGEST_CONFIGS)
            total, newest = await self._counts.own()
            self._own.note(total, self.io.clock.now())
            self._is_near = any(self._marks_end(entry) for entry in newest)
            rests = await self._rests()
        except Exception as error:  # of a mock too, which knows no such request
            if is_interruption(error):
                raise
            logger.debug("Log entries could not be counted: %s", type(error).__name__)
            if not isinstance(error, KestraError) or getattr(error, "status", None) in _REFUSED:
                self.is_known = self.pending = False  # nor will they be later
                return
            self.why, rests = "its entries could not be counted", False
        else:
            self.why = "it was still growing"
        if rests:
            self.complete, self.pending = True if self._is_near else None, False
        elif self.left <= 0:
            self.complete, self.pending = False, False

    async def fetch_again(self, why: str) -> bool:
        """Return True, after a pause, if what was fetched is less than there is, and time is left.

        Where it stays less, the server counts what it does not send: that ends after a few times.
        """
        self.complete, self.why = False, why
        self._fetches += 1
        if not self.is_known or self.left <= 0 or self._fetches >= _MOST_FETCHES:
            return False
        await self.io.sleep(self.pause)
        self.pending = True
        return True

    async def is_short(self, count: float) -> bool:
        """Return True if that many entries are less than there are, and time is left."""
        if self._own.value is None or count >= self._own.value:
            return False
        return await self.fetch_again("the server has stored more than it sent")

    async def has_grown(self) -> bool:
        """Wait for entries that were reported to be stored; return True once more are."""
        before = self._own.value
        while self.is_known and self._own.value == before:
            if self.left <= 0 or self._own.has_rested(max(_QUIET_ELSEWHERE, 0.5 * self.elapsed)):
                break
            await self.io.sleep(self.pause)
            await self.poll()
        if not self.is_known:
            return False
        self.complete, self.why = False, "entries that were reported have not been stored"
        self.pending = self._own.value != before
        return self.pending

    def warn(self) -> None:
        if self.complete is False:
            text = "The log of execution %s may be incomplete: %s"
            logger.warning(text, self.execution_id, self.why)

    async def _rests(self) -> bool:
        """Return True if the count has not changed for long enough."""
        if self._is_near:
            is_enterprise = self.io.server.edition not in {None, "OSS"}
            least = _QUIET_ENTERPRISE if is_enterprise else _QUIET
            return self._own.has_rested(max(least, 0.2 * self.elapsed))
        seconds = max(_QUIET_ELSEWHERE, 0.5 * self.elapsed)
        if self.left <= 0 and not self._own.has_grown:
            seconds = _QUIET_ELSEWHERE  # it was watched for as long as may be
        others = None
        if self._counts.searches and self._last is not None:
            try:
                others = await self._counts.all_until(self._last[0])
            except APIError as error:
                if error.status not in _NO_SEARCH:
                    raise
                self.io.server.has_log_search = False
        # Where very many wait, the others may not have been counted often enough in time.
        is_alone = (
            others is None
            or others.has_rested(seconds, self._begin)
            or (self.left <= 0 and not others.has_grown)
        )
        return is_alone and self._own.has_rested(seconds)

    def _marks_end(self, entry: LogEntry) -> bool:
        if self._last is None or entry.time is None:
            return False
        end, run_id = self._last
        return entry.task_run_id == run_id and timedelta(0) <= end - entry.time <= _NEAR
