"""The executions API: where to send what, and what an answer means. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from kestra._inputs import CORRELATION, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TERMINAL_STATES = frozenset(
    {"SUCCESS", "WARNING", "FAILED", "KILLED", "CANCELLED", "RETRIED", "SKIPPED"}
)
OTHER_STATES = frozenset(
    {
        "CREATED",
        "SUBMITTED",
        "RUNNING",
        "PAUSED",
        "RESTARTED",
        "KILLING",
        "QUEUED",
        "RETRYING",
        "BREAKPOINT",
        "RESUBMITTED",
    }
)

API = "/api/v1/"
# The one tenant of an open-source server.
MAIN = "main"


# --- where -----------------------------------------------------------------------------------


def segment(name: str, value: object) -> str:
    """Return a value as one segment of a path.

    Raises:
        ValueError: It is empty, or would leave its place in the path.
    """
    text = str(value)
    if value is None or not text or text in {".", ".."}:
        raise ValueError(f"{name}: {text!r} is not the name of anything on the server")
    if any(character in "/\\" or not character.isprintable() for character in text):
        raise ValueError(f"{name}: {text!r} holds a slash or a character that cannot be shown")
    return quote(text, safe="")


def base_url(hostname: object) -> str:
    """Return the address that API paths are appended to; user and password stay in it.

    Raises:
        TypeError: It is no string.
        ValueError: It has no scheme, no host, or more than a path. What stands before an `@` is
            not shown.
    """
    if not isinstance(hostname, str):
        raise TypeError(
            f"hostname: a string such as 'http://localhost:8080', not {type(hostname).__name__}"
        )
    shown = hostname.rpartition("@")[2]
    try:
        parts = urlsplit(hostname.strip())
        host = parts.hostname
    except ValueError:
        raise ValueError(f"hostname: {shown!r} is no URL") from None
    if parts.scheme not in {"http", "https"}:
        raise ValueError(f"hostname: {shown!r} lacks its scheme: write 'https://{shown}' or http")
    if not host:
        raise ValueError(f"hostname: {shown!r} names no host")
    if parts.query or parts.fragment:
        raise ValueError("hostname: an address has no '?' or '#'")
    return urlunsplit(parts).rstrip("/")


def root(tenant: str | None) -> str:
    """Return the beginning of every path of the API."""
    return API if tenant is None else f"{API}{segment('tenant', tenant)}/"


def endpoints(tenant: str | None) -> tuple[str, str, str]:
    """Return the templates of the paths to create an execution, to see it, and to get its log."""
    start = root(tenant)
    return (
        f"{start}executions/{{namespace}}/{{flow_id}}",
        f"{start}executions/{{execution_id}}",
        f"{start}logs/{{execution_id}}/download",
    )


def under_main(url: str, base: str) -> str | None:
    """Return a URL's counterpart under the tenant `main`, `None` if there is no such thing."""
    start = base + API
    rest = url.removeprefix(start)
    if rest == url or rest.startswith(f"{MAIN}/"):
        return None
    return f"{start}{MAIN}/{rest}"


def ui_url(base: str, tenant: str | None, namespace: str, flow: str, execution_id: str) -> str:
    """Return the address of an execution in the user interface."""
    names = (*(() if tenant is None else (tenant,)), "executions", namespace, flow, execution_id)
    return f"{base}/ui/" + "/".join(quote(str(name), safe="") for name in names)


# --- what ------------------------------------------------------------------------------------


def creation_query(
    labels: Mapping[str, str], revision: int | None, schedule_date: datetime | str | None
) -> str:
    """Return the query of a creation, with its question mark, or nothing.

    Raises:
        TypeError: The revision is no integer. (The server would ignore it, and run the latest.)
        ValueError: The date has no offset, or the revision is not positive.
    """
    query = [("labels", f"{key}:{value}") for key, value in labels.items()]
    if revision is not None:
        query.append(("revision", checked_revision(revision)))
    if schedule_date is not None:
        query.append(("scheduleDate", _schedule_date(schedule_date)))
    return "?" + "&".join(f"{k}={quote(v, safe=':')}" for k, v in query) if query else ""


def checked_revision(revision: int) -> str:
    """Return a revision as text.

    Raises:
        TypeError: It is no integer. (The server would ignore it, and run the latest.)
        ValueError: It is not positive.
    """
    if isinstance(revision, bool) or not isinstance(revision, int):
        raise TypeError(f"revision: an integer, not {type(revision).__name__}")
    if revision < 1:
        raise ValueError("revision: revisions count from 1")
    return str(revision)


def _schedule_date(value: datetime | str) -> str:
    """Return a date that the server does not ignore: one with an offset."""
    if isinstance(value, datetime):
        return text_of(value)
    if not isinstance(value, str):
        raise TypeError(f"schedule_date: a datetime, not {type(value).__name__}")
    try:
        # Python 3.10 does not read Z.
        parsed = datetime.fromisoformat(value[:-1] + "+00:00" if value[-1:] in "Zz" else value)
    except ValueError:
        raise ValueError("schedule_date: an ISO 8601 date and time, or a datetime") from None
    if parsed.utcoffset() is None:
        raise ValueError(
            "schedule_date: the text has no offset, and the server would run the flow at once; "
            "add Z or an offset such as +02:00"
        )
    return parsed.isoformat()


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
        prefix, _, rest = parts.path.rpartition("/executions/")
        names = rest.split("/")
        bearing = [v for k, v in parse_qsl(parts.query) if k == "labels"]
        ids = [v.partition(":")[2] for v in bearing if v.startswith(f"{CORRELATION}:")]
        if method.upper() != "POST" or len(names) != 2 or not ids:  # noqa: PLR2004  # namespace, flow
            return None
        search = urlunsplit(parts._replace(path=f"{prefix}/executions/search", query=""))
        return cls(unquote(names[0]), unquote(names[1]), ids[0], search)

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


# --- answers ---------------------------------------------------------------------------------


def labels_on(execution: Any) -> dict[str, str]:
    """Return the labels of an execution; a list of pairs or, on old servers, an object."""
    labels = execution.get("labels") if isinstance(execution, dict) else None
    if isinstance(labels, dict):
        return labels
    if not isinstance(labels, list):
        return {}
    return {str(x.get("key")): str(x.get("value")) for x in labels if isinstance(x, dict)}


def state_of(execution: Any) -> str | None:
    """Return the state that an execution is in, `None` where there is none."""
    state = execution.get("state") if isinstance(execution, dict) else None
    current = state.get("current") if isinstance(state, dict) else None
    return current if isinstance(current, str) else None


def _start(execution: dict[str, Any]) -> tuple[str, str]:
    """Return a sort key for the start: fractions of a second come in any number of digits."""
    state = execution.get("state")
    start = state.get("startDate") if isinstance(state, dict) else None
    whole, _, fraction = str(start or "9999").removesuffix("Z").partition(".")
    return whole, fraction.ljust(9, "0")
