"""The request that creates an execution, which is found again by its correlation label. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

CORRELATION = "system.correlationId"
# The last two segments are namespace and flow, whatever they and the segments before are called.
_PATH = re.compile(r"(.*/executions)/([^/]+)/([^/]+)")


@dataclass(frozen=True, slots=True)
class Creation:
    """A request that creates an execution which can be found again by its correlation label.

    Attributes:
        namespace: The namespace asked for.
        flow: The flow asked for.
        correlation_id: The value of the label `system.correlationId`.
        search_url: Where executions are searched.
    """

    namespace: str
    flow: str
    correlation_id: str
    search_url: str

    @classmethod
    def of(cls, method: str, url: str) -> Creation | None:
        """Recognise a creation by its URL.

        By the URL, and not by who sends it: so a caller who wraps `Flow._make_request`, or calls
        it directly, is protected too.
        """
        parts = urlsplit(url)
        match = _PATH.fullmatch(parts.path)
        labels = [v for k, v in parse_qsl(parts.query) if k == "labels"]
        ids = [v.partition(":")[2] for v in labels if v.startswith(f"{CORRELATION}:")]
        if method.upper() != "POST" or match is None or not ids:
            return None
        search = urlunsplit(parts._replace(path=f"{match[1]}/search", query=""))
        return cls(unquote(match[2]), unquote(match[3]), ids[0], search)

    @property
    def questions(self) -> tuple[str, str]:
        """The URLs that ask for the label: in the form of 0.21 to 1.x, and in that of 2.0.

        Either form is ignored by the servers that do not know it, and everything comes back.
        """
        page = "sort=state.startDate:asc&size=100"
        value = quote(self.correlation_id, safe="")
        return (
            f"{self.search_url}?labels={CORRELATION}:{value}&{page}",
            f"{self.search_url}?filters%5Blabels%5D%5BEQUALS%5D%5B{CORRELATION}%5D={value}&{page}",
        )

    def bears_label(self, execution: Any) -> bool:
        """Say whether an execution of a search bears the correlation label."""
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
        return min(own, key=_start, default=None)


def without_correlation(url: str) -> str:
    """Return a URL without its correlation label."""
    path, _, query = url.partition("?")
    kept = [
        pair for pair in query.split("&") if not unquote(pair).startswith(f"labels={CORRELATION}:")
    ]
    return path + ("?" + "&".join(kept) if kept else "")


def labels_on(execution: Any) -> dict[str, str]:
    """Return the labels of an execution; a list of pairs or, on old servers, an object."""
    labels = execution.get("labels") if isinstance(execution, dict) else None
    if isinstance(labels, dict):
        return labels
    if not isinstance(labels, list):
        return {}
    return {str(x.get("key")): str(x.get("value")) for x in labels if isinstance(x, dict)}


def _start(execution: dict[str, Any]) -> tuple[str, str]:
    """Return a sort key for the start: fractions of a second come in any number of digits."""
    state = execution.get("state")
    start = state.get("startDate") if isinstance(state, dict) else None
    whole, _, fraction = str(start or "9999").removesuffix("Z").partition(".")
    return whole, fraction.ljust(9, "0")
