"""Multipart bodies that can be sent again, and that do not have to fit into memory.

`requests` reads every file of `files=` into memory, and sends an empty one on the second attempt.
"""

from __future__ import annotations

import io
import uuid
from typing import TYPE_CHECKING, Any

from requests.utils import guess_filename
from urllib3.fields import RequestField

from kestra._api.files import position_of

if TYPE_CHECKING:
    from collections.abc import Iterator

# A smaller body is sent as bytes: whoever inspects a request in a test finds what was sent.
_SMALL = 1 << 20
_PIECE = 1 << 16


class Upload:
    """The `files` of a request, made into a new body for every attempt.

    Every file is read from where it stood when the request was made.
    """

    def __init__(self, files: Any) -> None:
        named = files.items() if hasattr(files, "items") else files or ()
        parts = [_part(name, value) for name, value in named]
        # The head, the content, and where that starts: `None` if one cannot go back there.
        self._parts = [
            (head, content, position_of(content) if hasattr(content, "read") else 0)
            for head, content in parts
            if content is not None
        ]
        self._sent = False

    def __bool__(self) -> bool:
        return bool(self._parts)

    @property
    def repeatable(self) -> bool:
        """Whether the body can be sent now: the first time, or again."""
        return not self._sent or all(start is not None for *_, start in self._parts)

    def rewind(self) -> None:
        """Let every file that can be read again be read from where it stood."""
        self._sent = True
        for _, content, start in self._parts:
            if start is not None and hasattr(content, "seek"):
                content.seek(start)

    def body(self) -> tuple[bytes | _Body, str]:
        self.rewind()
        boundary = uuid.uuid4().hex
        pieces: list[Any] = []
        for head, content, start in self._parts:
            pieces += [f"--{boundary}\r\n".encode() + head, _sized(content, start), b"\r\n"]
        body = _Body([*pieces, f"--{boundary}--\r\n".encode()])
        kind = f"multipart/form-data; boundary={boundary}"
        return (body.read() if len(body) <= _SMALL else body), kind


class _Body:
    """Pieces one after the other, in the way that `requests` and `http.client` read a body.

    Each is bytes, or a stream and how much of it.
    """

    def __init__(self, pieces: list[bytes | tuple[Any, int]]) -> None:
        self._pieces = [
            (io.BytesIO(piece), len(piece)) if isinstance(piece, bytes) else piece
            for piece in pieces
        ]
        self._size = sum(size for _, size in self._pieces)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read(_PIECE):
            yield data

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes, everything by default; nothing means the end."""
        if size < 0:
            return b"".join(self)
        while self._pieces:
            stream, left = self._pieces[0]
            data: bytes = stream.read(min(size, left))
            if data:
                self._pieces[0] = stream, left - len(data)
                return data
            if left:
                raise OSError("a file became shorter while it was being sent")
            del self._pieces[0]
        return b""


def _part(name: str, value: Any) -> tuple[bytes, Any]:
    """Return the head of a part and its content; `value` as `requests` documents `files`."""
    content_type, headers = None, None
    if isinstance(value, tuple | list):
        filename, content, *rest = value
        content_type, headers = (*rest, None, None)[:2]
    else:
        filename, content = guess_filename(value) or name, value  # type: ignore[no-untyped-call]
    field = RequestField(name=name, data=b"", filename=filename, headers=headers)
    field.make_multipart(content_type=content_type)
    return field.render_headers().encode(), content


def _sized(content: Any, start: int | None) -> bytes | tuple[Any, int]:
    """Return a content from its start, and how much it is, which an upload needs to know.

    Of a stream without `seek`, or one that yields text, that is not known: it is read whole.
    """
    if hasattr(content, "read"):
        if start is not None and not isinstance(content.read(0), str):
            content.seek(0, io.SEEK_END)
            size = content.tell() - start
            content.seek(start)
            return content, size
        content = content.read()
    # `requests` takes an integer, too.
    return str(content).encode() if isinstance(content, str | int) else bytes(memoryview(content))
