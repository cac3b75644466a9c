"""What a request proves its caller's identity with, and what must never be shown of it. Pure."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from os.path import commonprefix
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "***"

# A shorter value is masked only where it stands alone, or "a" would blacken every sentence.
_SHORTEST_ANYWHERE = 8
# Parsers quote the beginning of a long value: so many equal characters are the value's.
_TELLING_START = 16
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"([!-~\x80-\xff][\t -~\x80-\xff]*)?")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Credentials of one request; `secrets` have to be masked wherever they turn up."""

    kind: str  # in words fit for an error
    authorization: str | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    basic: tuple[str, str] | None = field(default=None, repr=False)


NO_CREDENTIALS = Credentials("no credentials; set api_token, or user and password")


def _basic(user: str, password: str, kind: str) -> Credentials:
    """Return Basic credentials; UTF-8, as RFC 7617 has it and as the server reads them."""
    for name, value in (("user", user), ("password", password)):
        if any("\ud800" <= character <= "\udfff" for character in str(value)):
            raise ValueError(f"{name}: it has a lone surrogate, which cannot be sent")
    pair = b64encode(f"{user}:{password}".encode()).decode()
    return Credentials(kind, f"Basic {pair}", (password, pair), (user, password))


def credentials(
    api_token: str | None,
    user: str | None,
    password: str | None,
    userinfo: tuple[str, str] | None = None,
) -> Credentials:
    """Choose what to send: the token before user and password before those of the hostname.

    An empty string counts as none. No error holds a value.
    """
    api_token = _text("api_token", api_token)
    user, password = _text("user", user), _text("password", password)
    if api_token and api_token.strip(" "):
        if not re.fullmatch(r"[!-~]+", api_token):
            raise ValueError(
                "api_token: the token holds a control character, a space or a character that is "
                "not ASCII; it was perhaps read from a file together with its line end (strip it)"
            )
        return Credentials("an API token", f"Bearer {api_token}", (api_token,))
    if user and password:
        if ":" in user:
            raise ValueError("user: a user name with a colon cannot be sent (RFC 7617)")
        return _basic(user, password, "user and password")
    if user or password:
        given, missing = ("user", "password") if user else ("password", "user")
        raise ValueError(
            f"{missing}: only the {given} is set; set both (flow.user and flow.password, or "
            "KESTRA_USER and KESTRA_PASSWORD), or neither"
        )
    if userinfo is None:
        return NO_CREDENTIALS
    return _basic(*userinfo, "user and password of the hostname")


def _text(name: str, value: Any) -> str | None:
    """Return a value as text, as 2.0.0 took numbers."""
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str | None):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}")
    return value


def checked_headers(headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Return headers as they are, if they can be sent. No error holds a value."""
    if not isinstance(headers, Mapping | None):
        raise TypeError(f"headers must be a mapping by name, not {type(headers).__name__}")
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"headers: {name!r} is not a valid name of a header")
        if value is None:  # leaves out what `requests` would send
            continue
        if not isinstance(value, str | bytes):
            raise TypeError(f"headers[{name!r}] must be a string, not {type(value).__name__}")
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if not _HEADER_VALUE.fullmatch(text):
            raise ValueError(
                f"headers[{name!r}] begins with a space, or holds a control character or one "
                "outside of Latin-1; it was perhaps read from a file together with its line end "
                "(strip it)"
            )
    return headers


def displayed(url: str) -> str:
    """Return a URL for display, also one that cannot be parsed: nothing up to an `@` is shown."""
    return re.sub(r"\A(\w+://)?.*@", r"\1", url, flags=re.DOTALL)


def without_userinfo(url: str) -> tuple[str, tuple[str, str] | None]:
    """Return a URL without `user:password@`, and that pair; a mask for what is not a URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK, None
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None
    user, _, password = userinfo.partition(":")
    pair = (unquote(user), unquote(password))
    return urlunsplit(parts._replace(netloc=host)), pair if any(pair) else None


def redact(text: str, secrets: Iterable[str]) -> str:
    """Mask every secret in a text that somebody else wrote.

    Long secrets are masked anywhere, and their beginning too; short ones where they stand alone.
    """
    for secret in sorted({s.strip() for s in secrets} - {""}, key=len, reverse=True):
        if len(secret) >= _SHORTEST_ANYWHERE:
            text = text.replace(secret, MASK).replace(json.dumps(secret)[1:-1], MASK)
            text = _without_start(text, secret)
        else:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
    return text


def _without_start(text: str, secret: str) -> str:
    """Mask the beginning of a secret that is cut short in a text."""
    start = text.find(secret[:_TELLING_START]) if len(secret) > _TELLING_START else -1
    while start >= 0:
        length = len(commonprefix([text[start:], secret]))  # noqa: RUF071  # characters, not paths
        text = text[:start] + MASK + text[start + length :]
        start = text.find(secret[:_TELLING_START], start)
    return text
