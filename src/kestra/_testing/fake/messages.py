"""Requests and replies, and what their bodies are made of. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kestra._testing.fake.inputs import Part


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    Attributes:
        path: Its path, below that of the server.
        read_timeout: For how long the client waits for a response, in seconds.
        headers: All its headers; of text, as the client has written them.
    """

    method: str
    path: str
    query: str = ""
    content_type: str = ""
    body: bytes = b""
    authorization: str | None = None
    read_timeout: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, list[str]]:
        """The parameters of the query."""
        return parse_qs(self.query, keep_blank_values=True)

    def value(self, name: str) -> str | None:
        """Return a parameter of the query, if it is there."""
        return self.values.get(name, [None])[0]


@dataclass(frozen=True, slots=True)
class Reply:
    """A response."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def as_json(value: Any, status: int = 200) -> Reply:
    """Return a response in JSON."""
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def as_stream(events: Iterable[tuple[str, Any]]) -> Reply:
    """Return a stream of server-sent events; the kind of each is in its `id`."""
    lines = (f"id: {kind}\ndata: {json.dumps(data)}\n\n" for kind, data in events)
    return Reply(200, "".join(lines).encode(), {"Content-Type": "text/event-stream"})


def parts_of(request: Request) -> list[Part]:
    """Return the parts of a multipart body."""
    head = Message()
    head["Content-Type"] = request.content_type
    boundary = str(head.get_param("boundary", ""))
    pieces = request.body.split(f"--{boundary}".encode())[1:-1] if boundary else []
    return [_part(piece) for piece in pieces]


def _part(piece: bytes) -> Part:
    headers, _, content = piece.partition(b"\r\n\r\n")
    part = Message()
    for line in headers.decode().strip().splitlines():
        name, _, value = line.partition(":")
        part[name] = value.strip()
    parameter = part.get_param("name", "", "Content-Disposition")
    return collapse_rfc2231_value(parameter), part.get_filename(), content.removesuffix(b"\r\n")
