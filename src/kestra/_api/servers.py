"""One server as a client sees it: where it is, its paths, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from kestra._api.credentials import without_userinfo
from kestra._api.dialects import BEFORE_2, FROM_2, Dialect
from kestra._api.paths import MAIN, base_url, root, segment, ui_root, ui_url

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(slots=True)
class Server:
    """A server at one address, and what is known of it from its responses.

    Attributes:
        base: Its address, to which paths are appended.
        tenant: The tenant that the caller has set.
        userinfo: The user and the password that the address holds.
        dialect: How it is spoken to; `None` while that is not known.
        needs_main: Whether paths need the tenant `main`; `None` while that is not known.
        was_asked: Its configuration was asked for.
        version: Its version, where its configuration could be had.
        edition: Its edition, where its configuration could be had.
        offset: Its clock minus ours, in seconds; `None` while that is not known.
        search_form: How a parameter of a search is written, once one was understood.
        has_log_search: Whether it counts log entries; `None` while that is not known.
        ui: The address of its user interface, down to the tenant, where a response has shown it.
        log_totals: Counts of all its log entries, by the time up to which they were logged.
        next_total: When the next such count may be made, by the clock of a call.
    """

    base: str
    tenant: str | None = None
    userinfo: tuple[str, str] | None = field(default=None, repr=False)
    dialect: Dialect | None = None
    needs_main: bool | None = None
    was_asked: bool = False
    version: str | None = None
    edition: str | None = None
    offset: float | None = None
    search_form: str | None = None
    has_log_search: bool | None = None
    ui: str | None = None
    log_totals: dict[int, Any] = field(default_factory=dict, repr=False)
    next_total: float = 0.0

    @classmethod
    def at(cls, hostname: object, tenant: str | None) -> Server:
        """Return the server at an address.

        Raises:
            TypeError: The address is not a string.
            ValueError: It is not a URL with a host.
        """
        base, userinfo = without_userinfo(base_url(hostname))
        return cls(base, tenant, userinfo)

    # --- addresses ---

    def url(self, template: str, **names: object) -> str:
        """Return the URL of a path: `/api/v1/…` with a slash, else one below the API's root.

        Raises:
            ValueError: A name is empty, or would leave its place in the path.
        """
        for name, value in names.items():
            if not (type(value) is str and _is_plain(value)):
                names[name] = segment(name, value)
        path = template.format(**names)
        return self.base + (path if template[0] == "/" else root(self.root_tenant) + path)

    @property
    def root_tenant(self) -> str | None:
        """The tenant in paths."""
        return self.tenant or (MAIN if self.needs_main else None)

    @property
    def has_outputs_apart(self) -> bool:
        """Whether outputs are known to be no part of an execution, but to have their own paths."""
        return self.dialect is not None and self.dialect.has_outputs_apart

    def address(self, execution: dict[str, Any]) -> str | None:
        """Return where the user interface shows an execution; the server knows best."""
        url = execution.get("url")
        if isinstance(url, str):
            return without_userinfo(url)[0] if "@" in url else url
        names = [execution.get(key) for key in ("namespace", "flowId", "id")]
        if not all(names):
            return None
        if self.ui is None:
            tenant = self.root_tenant or execution.get("tenantId")
            if tenant is None and _has_microseconds(execution):
                tenant = MAIN  # from 1.x on, the user interface has it
            if tenant is None:
                return ui_url(ui_root(self.base, None), *map(str, names))
            self.ui = ui_root(self.base, tenant)
        return ui_url(self.ui, *map(str, names))

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
        """Learn from the response of `configs`."""
        if not isinstance(configuration, dict):
            return
        version, edition = configuration.get("version"), configuration.get("edition")
        self.version = version if isinstance(version, str) else None
        major = (self.version or "").partition(".")[0]
        if major.isdecimal():
            self.dialect = FROM_2 if int(major) >= 2 else BEFORE_2  # noqa: PLR2004  # 2.0
        self.edition = edition if isinstance(edition, str) else None

    def learn_creation(self, created: dict[str, Any]) -> None:
        """Learn from the response to a creation where the user interface is."""
        url = created.get("url")
        if isinstance(url, str) and "/executions/" in url:
            ui = url.partition("/executions/")[0]
            self.ui = without_userinfo(ui)[0] if "@" in ui else ui


def _is_plain(text: str) -> bool:
    """Return True if a name is a segment of a path as it is: those of nearly all are."""
    return text.isascii() and text.replace("-", "").replace("_", "").replace(".", "").isalnum()


def _has_microseconds(execution: dict[str, Any]) -> bool:
    """Return True if the times of an execution are finer than milliseconds: from 1.x on."""
    state, metadata = execution.get("state"), execution.get("metadata")
    dates = [
        state.get("startDate") if isinstance(state, dict) else None,
        metadata.get("originalCreatedDate") if isinstance(metadata, dict) else None,
    ]
    return any(isinstance(x, str) and len(x.partition(".")[2]) > len("123Z") for x in dates)
