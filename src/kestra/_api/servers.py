"""One server as a client sees it: where it is, its paths, and what is known of it. Pure."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

from kestra._api.credentials import without_userinfo
from kestra._api.dialects import BEFORE_2, FROM_2, Dialect
from kestra._api.parsing import at

if TYPE_CHECKING:
    from datetime import datetime

DEFAULT_HOSTNAME = "http://localhost:8080"
API = "/api/v1/"
MAIN = "main"  # the one tenant of an open-source server
# What callers know a part of a template by.
_ARGUMENTS = {"flow_id": "flow"}


@dataclass(slots=True)
class Server:
    """A server at one address, and what is known of it from its responses: `None` is unknown."""

    base: str
    tenant: str | None = None  # that the caller has set
    userinfo: tuple[str, str] | None = field(default=None, repr=False)
    dialect: Dialect | None = None
    needs_main: bool | None = None  # paths have to name the tenant `main`
    was_asked: bool = False  # for its configuration
    version: str | None = None
    edition: str | None = None
    offset: float | None = None  # its clock minus ours, in seconds
    search_form: str | None = None  # that of the parameters of a search which it understood
    has_log_search: bool | None = None  # it counts log entries
    ui: str | None = None  # its user interface, down to the tenant
    # Counts of all its log entries, by the time up to which they were logged; when the next one
    # may be made, by the clock of a call.
    log_totals: dict[int, Any] = field(default_factory=dict, repr=False)
    next_total: float = 0.0

    @classmethod
    def at(cls, hostname: object, tenant: str | None) -> Server:
        base, userinfo = without_userinfo(base_url(hostname))
        return cls(base, tenant, userinfo)

    # --- addresses ---

    def url(self, template: str, **names: object) -> str:
        """Return the URL of a path: `/api/v1/…` with a slash, else one below the API's root."""
        for name, value in names.items():
            if not (type(value) is str and _is_plain(value)):
                names[name] = segment(name, value)
        path = template.format(**names)
        return self.base + (path if template[0] == "/" else root(self.root_tenant) + path)

    @property
    def root_tenant(self) -> str | None:  # the tenant in paths
        return self.tenant or (MAIN if self.needs_main else None)

    @property
    def is_before_1(self) -> bool:
        return self.version is not None and self.version.startswith("0.")

    @property
    def has_outputs_apart(self) -> bool:
        return self.dialect is not None and self.dialect.has_outputs_apart

    def address(self, execution: dict[str, Any]) -> str | None:
        """Return where the user interface shows an execution; the server knows best."""
        url = execution.get("url")
        if isinstance(url, str):
            return without_userinfo(url)[0] if "@" in url else url
        names = [execution.get(key) for key in ("namespace", "flowId", "id")]
        if not all(names):
            return None
        ui = self.ui
        if ui is None:
            tenant = self.root_tenant or execution.get("tenantId")
            if tenant is None and _has_microseconds(execution):
                tenant = MAIN  # from 1.x on, the user interface has it
            ui = ui_root(self.base, tenant)
            self.ui = None if tenant is None else ui
        return ui_url(ui, *map(str, names))

    # --- what responses show ---

    def learn_from(self, execution: dict[str, Any]) -> None:
        """Learn from the response to a poll: the task runs of 2.0 lack `executionId`."""
        runs = execution.get("taskRunList")
        if isinstance(runs, list) and runs and isinstance(runs[0], dict):
            self.dialect = BEFORE_2 if "executionId" in runs[0] else FROM_2

    def learn_date(self, date: str, utcnow: datetime) -> None:
        """Learn from the header `Date` how its clock differs from ours."""
        try:
            self.offset = (parsedate_to_datetime(date) - utcnow).total_seconds()
        except (TypeError, ValueError):  # not a date, or one without an offset
            self.offset = None

    def learn_configuration(self, configuration: Any) -> None:
        self.version = at(str, configuration, "version")
        self.edition = at(str, configuration, "edition")
        major = (self.version or "").partition(".")[0]
        if major.isdecimal():
            self.dialect = FROM_2 if int(major) >= 2 else BEFORE_2  # noqa: PLR2004  # 2.0

    def learn_creation(self, created: dict[str, Any]) -> None:
        """Learn from the response to a creation where the user interface is."""
        url = created.get("url")
        if isinstance(url, str) and "/executions/" in url:
            ui = url.partition("/executions/")[0]
            self.ui = without_userinfo(ui)[0] if "@" in ui else ui


def _has_microseconds(execution: dict[str, Any]) -> bool:
    """Return True if the times of an execution are finer than milliseconds: from 1.x on."""
    dates = [
        at(str, execution, "state", "startDate"),
        at(str, execution, "metadata", "originalCreatedDate"),
    ]
    return any(x is not None and len(x.partition(".")[2]) > len("123Z") for x in dates)


# --- addresses and paths ----------------------------------------------------------------------


def base_url(hostname: object) -> str:
    """Return what paths are appended to; no error shows the user and password, which stay in it."""
    if not isinstance(hostname, str):
        raise TypeError(
            "hostname must be a string such as 'http://localhost:8080', "
            f"not {type(hostname).__name__}"
        )
    shown = hostname.rpartition("@")[2]
    parts = None
    with suppress(ValueError):  # which quotes a password, and is not to be the context of ours
        found = urlsplit(hostname.strip())
        # Of one with `@` in its path, the port is a part of the password.
        _ = "@" in found.path or found.port
        parts = found
    if parts is None:
        raise ValueError(f"hostname must be a URL, with a port up to 65535 if any, not {shown!r}")
    if parts.scheme not in {"http", "https"}:
        host = shown.rpartition("://")[2]
        raise ValueError(f"hostname must begin with http:// or https://, as in 'https://{host}'")
    if "@" in parts.path:
        raise ValueError(
            "hostname must have special characters of the password encoded, such as '/' as '%2F'"
        )
    if not parts.hostname:
        raise ValueError(f"hostname must name a host, as in 'http://localhost:8080', not {shown!r}")
    if parts.query or parts.fragment:
        raise ValueError("hostname must not contain '?' or '#'")
    return urlunsplit(parts).rstrip("/")


def segment(name: str, value: object) -> str:
    text = str(value)
    name = _ARGUMENTS.get(name, name)
    if value is None or not text or text in {".", ".."}:
        raise ValueError(f"{name} must be a name, not {value!r}")
    if any(character in "/\\" or not character.isprintable() for character in text):
        raise ValueError(f"{name} must not contain a slash or an unprintable character: {text!r}")
    return quote(text, safe="")


def _is_plain(text: str) -> bool:
    """Return True if a name is a segment of a path as it is: those of nearly all are."""
    return text.isascii() and text.replace("-", "").replace("_", "").replace(".", "").isalnum()


def root(tenant: str | None) -> str:
    return API if tenant is None else f"{API}{segment('tenant', tenant)}/"


def under_main(url: str, base: str) -> str | None:
    """Return a URL's counterpart under the tenant `main`, `None` if there is no such thing."""
    start = base + API
    rest = url.removeprefix(start)
    if rest == url or rest.startswith(f"{MAIN}/") or rest == "configs":
        return None
    return f"{start}{MAIN}/{rest}"


def ui_root(base: str, tenant: str | None) -> str:
    """Return the address of the user interface, down to the tenant."""
    return f"{base}/ui" if tenant is None else f"{base}/ui/{quote(tenant, safe='')}"


def ui_url(root: str, namespace: str, flow: str, execution_id: str) -> str:
    """Return the address of an execution in the user interface."""
    names = ("executions", namespace, flow, execution_id)
    return "/".join([root, *(quote(name, safe="") for name in names)])
