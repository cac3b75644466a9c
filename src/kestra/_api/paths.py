"""The executions API: where requests are sent. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from urllib.parse import SplitResult


DEFAULT_HOSTNAME = "http://localhost:8080"
API = "/api/v1/"
# The one tenant of an open-source server.
MAIN = "main"
# What callers know a part of a template by.
_ARGUMENTS = {"flow_id": "flow"}


def segment(name: str, value: object) -> str:
    """Return a value as one segment of a path.

    Raises:
        ValueError: It is empty, or would leave its place in the path.
    """
    text = str(value)
    name = _ARGUMENTS.get(name, name)
    if value is None or not text or text in {".", ".."}:
        raise ValueError(f"{name} must be a name, not {value!r}")
    if any(character in "/\\" or not character.isprintable() for character in text):
        raise ValueError(f"{name} must not contain a slash or an unprintable character: {text!r}")
    return quote(text, safe="")


def base_url(hostname: object) -> str:
    """Return the address that API paths are appended to; user and password stay in it.

    Raises:
        TypeError: It is not a string.
        ValueError: It has no scheme, no host, or more than a path. What stands before an `@` is
            not shown.
    """
    if not isinstance(hostname, str):
        raise TypeError(
            "hostname must be a string such as 'http://localhost:8080', "
            f"not {type(hostname).__name__}"
        )
    shown = hostname.rpartition("@")[2]
    parts = _split(hostname.strip())
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


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL, `None` if it is none: the errors of parsing quote a password."""
    try:
        parts = urlsplit(url)
        # Of one with `@` in its path, the port is a part of the password.
        _ = "@" in parts.path or parts.port
    except ValueError:
        return None
    return parts


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
