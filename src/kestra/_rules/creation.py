"""No second execution: a creation whose response is lost is found again by its label.

A request that changes nothing, or the same thing every time, is simply repeated. A POST may have
been carried out although its response was lost, and a second one would start a second execution.
What is known about that is a `Doubt`; what a search for the execution brought is a `Finding`;
`after_search` says what follows from the two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from kestra._api.dialects import search_queries
from kestra._api.models import CORRELATION
from kestra._api.parsing import body_of, labels_on, start_of
from kestra._rules.io import Failure
from kestra._rules.policy import RETRIED_STATUSES
from kestra._rules.problems import body_text, status_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kestra._rules.io import IO, Request, Response

# The last two segments are namespace and flow, whatever they and the segments before are called.
_PATH = re.compile(r"(.*/executions)/([^/]+)/([^/]+)")
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
# A POST that, sent again, does the same again: it overwrites a file, or changes nothing.
_HARMLESS = re.compile(r".*/(namespaces/[^/]+/files|flows/validate|flows/(enable|disable)/by-ids)")
_LATEST = datetime.max.replace(tzinfo=timezone.utc)
# What a 500 says that another attempt does not change.
_FINAL = (
    # Inputs or a flow are larger than the queue of a server of 2.0 takes.
    "MessageTooBig",
    "message-protection.limit",
    "already exists in namespace",  # the target of a move
)
# A server of 2.0 says so, with the status 404, of an execution that runs.
DISAPPEARED = "Execution disappeared after create"


class Doubt(Enum):
    """Whether a request may have been carried out, as far as is known after an attempt."""

    NONE = "it was not, or repeating it does no harm"
    RESPONDED = "the server responded, but with a failure"
    NO_RESPONSE = "it was sent, and nothing came back"


class Finding(Enum):
    """What a search for the execution brought."""

    FOUND = "it is there"
    MISSING = "it is not there"
    UNKNOWN = "the search failed"
    UNREADABLE = "the response to the search was something else, such as a page"
    IMPOSSIBLE = "there is nothing to search with"


class Step(Enum):
    ADOPT = "hand out the execution that was found"
    SEND = "send the request again"
    SEARCH = "search again"
    GIVE_UP = "raise"


@dataclass(frozen=True, slots=True)
class Creation:
    """A request that creates an execution which can be found again by its correlation label."""

    namespace: str
    flow: str
    correlation_id: str
    search_url: str

    @classmethod
    def of(cls, request: Request) -> Creation | None:
        """Recognise a creation by its URL.

        By the URL, and not by who sends it: so a caller who wraps `Flow._make_request`, or calls
        it directly, is protected too.
        """
        if request.method.upper() != "POST":
            return None
        parts = urlsplit(request.url)
        match = _PATH.fullmatch(parts.path)
        labels = [value for name, value in parse_qsl(parts.query) if name == "labels"]
        ids = [each.partition(":")[2] for each in labels if each.startswith(f"{CORRELATION}:")]
        if match is None or not ids:
            return None
        search = urlunsplit(parts._replace(path=f"{match[1]}/search", query=""))
        return cls(unquote(match[2]), unquote(match[3]), ids[0], search)

    @property
    def where_to_look(self) -> str:
        return (
            f"The execution may exist: look in {self.namespace}.{self.flow} for the label "
            f"{CORRELATION}:{self.correlation_id}"
        )

    def bears_label(self, execution: Any) -> bool:
        return labels_on(execution).get(CORRELATION) == self.correlation_id

    def found_in(self, executions: Iterable[Any]) -> dict[str, Any] | None:
        """Return the execution that this request created.

        Subflows and replays inherit the label: it is the earliest one of the right flow that is no
        replay.
        """
        own = [
            execution
            for execution in executions
            if self.bears_label(execution)
            and execution.get("namespace") == self.namespace
            and execution.get("flowId") == self.flow
            and execution.get("id")
            and "system.replay" not in labels_on(execution)
        ]
        return min(own, key=lambda each: start_of(each) or _LATEST, default=None)


async def search(
    io: IO, request: Request, creation: Creation
) -> tuple[Finding, dict[str, Any] | None]:
    """Ask the server whether the execution of a request exists, and return it."""
    asked = {"labels": {CORRELATION: creation.correlation_id}}
    for _, query in search_queries(io.server, asked, sort="state.startDate:asc", size=100):
        url = f"{creation.search_url}?{urlencode(query, safe=':')}"
        asking = replace(request, method="get", url=url, arguments={}, upload=None)
        outcome = await io.attempt(asking)
        if isinstance(outcome, Failure):
            return (Finding.UNKNOWN if outcome.is_network else Finding.IMPOSSIBLE), None
        status = outcome.status_code
        if status in {404, 405}:
            break
        if status in {400, 422}:
            continue
        body = body_of(outcome) if status == 200 else None  # noqa: PLR2004  # OK
        results = body.get("results") if isinstance(body, dict) else None
        if not isinstance(results, list):
            return (Finding.UNREADABLE if status == 200 else Finding.UNKNOWN), None  # noqa: PLR2004  # OK
        found = creation.found_in(results)
        if found is not None:
            return Finding.FOUND, found
        if all(creation.bears_label(execution) for execution in results):
            return Finding.MISSING, None
    # No form of the query was understood: it was refused, or everything came back.
    return Finding.IMPOSSIBLE, None


def doubt_after(request: Request, outcome: Response | Failure) -> Doubt:
    if request.method.upper() in _REPEATABLE or _HARMLESS.fullmatch(urlsplit(request.url).path):
        return Doubt.NONE
    if isinstance(outcome, Failure):
        return Doubt.NONE if outcome.unsent else Doubt.NO_RESPONSE
    status = status_of(outcome)
    is_failure = (status >= 500 or status in RETRIED_STATUSES) and not is_final(outcome)  # noqa: PLR2004  # 5xx
    if status == 404 and DISAPPEARED in body_text(outcome):  # noqa: PLR2004  # Not Found
        return Doubt.NO_RESPONSE  # that a search does not show it either proves nothing
    return Doubt.RESPONDED if is_failure else Doubt.NONE


def after_search(
    doubt: Doubt, finding: Finding, *, stand_in: bool = False, repeatable: bool = True
) -> Step:
    """Return what follows from a doubt and a search.

    No execution is at stake where the last attempt failed in a stand-in for the network.
    """
    send = Step.SEND if repeatable else Step.GIVE_UP
    if finding is Finding.FOUND:
        return Step.ADOPT
    if doubt is Doubt.NONE:
        return send
    if finding in {Finding.UNKNOWN, Finding.UNREADABLE}:
        # The server may be restarting. Nothing is known until it responds.
        return Step.SEARCH
    if doubt is Doubt.RESPONDED:
        # A server that responded to a POST with a failure, and does not know the execution, has
        # not created it. One that cannot be asked gets what 2.0.0 sent.
        return send
    if finding is Finding.MISSING:
        # The POST may be on its way still.
        return Step.SEARCH
    return send if stand_in else Step.GIVE_UP


def without_correlation(url: str) -> str:
    """Return a URL without its correlation label, as 2.0.0 would have sent it."""
    path, _, query = url.partition("?")
    label = f"labels={CORRELATION}:"
    kept = "&".join(pair for pair in query.split("&") if not unquote(pair).startswith(label))
    return f"{path}?{kept}" if kept else path


def is_final(response: Response) -> bool:
    """Return True for a 500 that another attempt does not change."""
    text = body_text(response) if status_of(response) == 500 else ""  # noqa: PLR2004
    return any(each in text for each in _FINAL)
