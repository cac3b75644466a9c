"""Requests and replies, what their bodies are made of, and refusals. Pure."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import dataclass, field
from email import message_from_string
from email.utils import collapse_rfc2231_value
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NOT_IN_URI = r'\s\[\]"<>\\^`{|}'
Part = tuple[str, "str | None", bytes]  # name, filename (of a file only) and content


class UnexpectedError(Exception):
    """A request that the test has not prepared for, or that is not imitated."""


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str  # below that of the server
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)  # looked up in lower case
    body: bytes = b""
    read_timeout: float | None = None  # seconds that the client waits for a response

    @property
    def values(self) -> dict[str, list[str]]:
        return parse_qs(self.query, keep_blank_values=True)

    def value(self, name: str) -> str | None:
        return self.values.get(name, [None])[0]

    @property
    def kind(self) -> str:
        """The type of the body."""
        return self.headers.get("content-type", "").partition(";")[0]

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            raise UnexpectedError(f"{self.path}: a body that is not JSON is not imitated") from None

    def text(self) -> str:
        """Return the body, by its `charset`."""
        head = message_from_string(f"Content-Type: {self.headers.get('content-type', '')}")
        return self.body.decode(head.get_content_charset("utf-8"), "replace")

    def check_kind(self, allowed: str) -> None:
        """Refuse a body of another type; one without a type is let in."""
        if self.kind not in {"", allowed}:
            text = f"Content Type [{self.kind}] not allowed. Allowed types: [{allowed}]"
            raise Refused(415, f"Unsupported Media Type: {text}")

    def require_body(self, name: str) -> None:
        if not self.body:
            raise not_given(name)

    def parts(self) -> list[Part]:
        head = message_from_string(f"Content-Type: {self.headers.get('content-type', '')}")
        boundary = str(head.get_param("boundary", ""))
        pieces = self.body.split(f"--{boundary}".encode())[1:-1] if boundary else []
        return [_part(piece) for piece in pieces]


def _part(piece: bytes) -> Part:
    headers, _, content = piece.partition(b"\r\n\r\n")
    part = message_from_string(headers.decode().strip())
    parameter = part.get_param("name", "", "Content-Disposition")
    return collapse_rfc2231_value(parameter), part.get_filename(), content.removesuffix(b"\r\n")


@dataclass(frozen=True, slots=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def is_on(content: Mapping[str, Any], name: str) -> bool:
    """Return True if a property is on, as a value or as text."""
    return str(content.get(name)).lower() == "true"


def as_json(value: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def as_file(content: bytes) -> Reply:
    return Reply(200, content, {"Content-Type": "application/octet-stream"})


def as_zip(files: Iterable[tuple[str, bytes]]) -> Reply:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in files:
            opened.writestr(name, content)
    return as_file(archive.getvalue())


def as_stream(events: Iterable[tuple[str, Any]]) -> Reply:
    """Return a stream of server-sent events; the kind of each is in its `id`."""
    lines = (f"id: {kind}\ndata: {json.dumps(data)}\n\n" for kind, data in events)
    return Reply(200, "".join(lines).encode(), {"Content-Type": "text/event-stream"})


class Refused(Exception):  # not an error of this package: a response
    """What a server responds with where it refuses a request.

    It may list single problems, as `(path, message)`; `None` is for a body that is the message.
    """

    def __init__(
        self, status: int, message: str, errors: Iterable[tuple[str, str]] | None = ()
    ) -> None:
        super().__init__(message)
        listed = [{"message": text, "path": path, "_embedded": {}} for path, text in errors or ()]
        embedded = {"errors": listed} if listed else {}
        body = {"message": message, "path": None, "_embedded": embedded}
        self.status = status
        self.reply = as_json(message if errors is None else body, status)


def not_given(body: str) -> Refused:
    return Refused(422, f"Invalid route params: Required Body [{body}] not specified")


def not_allowed(request: Request) -> Refused:
    text = f"Method [{request.method}] not allowed for URI [{request.path}]"
    return Refused(405, f"Method Not Allowed: {text}")


def check_uri(uri: str, error: str = "") -> None:
    """Refuse a path that is no URI as it is."""
    if match := re.search(f"[{NOT_IN_URI}]", uri):
        text = f"Illegal character in path at index {match.start()}: {uri}"
        raise Refused(422, f"Illegal argument: {error}{text}")


def not_found(what: str = "") -> Refused:
    return Refused(404, f"Not Found: {what}" if what else "Not Found")


def invalid(*errors: tuple[str, str]) -> Refused:
    """Return the refusal of values, by the path of each."""
    listed = ", ".join(f"{path}: {text}" for path, text in errors)
    return Refused(422, f"Invalid entity: {listed}", errors)
