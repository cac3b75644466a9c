"""Where a line ends for the engine, which line is a frame, and which one was only meant as one."""

from __future__ import annotations

import io
import re
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# What Java's "." does not match, apart from \n and \r, which no line holds. Java's "$" also
# matches in front of a last one.
_SEPARATORS = "\u0085\u2028\u2029"
_FRAME = re.compile(rf"::(\{{[^{_SEPARATORS}]*\}})::[{_SEPARATORS}]?")
_LINE_END = re.compile(r"\r\n|\r|\n")
_START = re.compile(r'::\s*\{\s*(["}]|$)')
_ENCODED_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")

_NEAR_MISSES = (
    (str.strip, "spaces around the frame: print nothing else on its line"),
    (
        lambda line: line.lstrip("\ufeff"),
        "a byte-order mark before the frame: write UTF-8 without one",
    ),
    (
        lambda line: re.sub(f"[{_SEPARATORS}]", " ", line),
        "a raw U+0085, U+2028 or U+2029 in the frame: escape it, as json.dumps does by default",
    ),
)


def read_lines(stream: IO[bytes]) -> Iterator[str]:
    """Yield the lines of `stream` as they come, without their ends, and close it after the last."""
    # Universal newlines end where the engine ends a line: CR LF, LF, or CR alone.
    with io.TextIOWrapper(stream, "utf-8", errors="surrogateescape", newline=None) as lines:
        for line in lines:
            text = line.removesuffix("\n")
            yield text if text.isascii() else decode(text.encode("utf-8", "surrogateescape"))


class Lines:
    """The lines of a stream whose bytes come in pieces."""

    def __init__(self) -> None:
        self._open = b""

    def feed(self, piece: bytes) -> list[str]:
        """Take a piece; return the lines that it ends, without their ends."""
        lines = (self._open + piece).splitlines(keepends=True)
        # A CR at the end may become CR LF.
        self._open = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        return [decode(line.rstrip(b"\r\n")) for line in lines]

    def end(self) -> list[str]:
        """Return the last line, if the stream does not end in a line end."""
        return self.feed(b"\n") if self._open else []


def split_lines(text: str) -> list[str]:
    """Split where the engine does; after the end of the last line there is no empty one."""
    lines = _LINE_END.split(text)
    return lines if lines[-1] else lines[:-1]


def decode(line: bytes) -> str:
    """Decode as Java does: other bytes than UTF-8 become U+FFFD, an encoded surrogate only one."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return _ENCODED_SURROGATE.sub("\ufffd".encode(), line).decode(errors="replace")


def frame_of(line: str) -> str | None:
    """Return the JSON of a frame, and `None` for an ordinary line."""
    match = _FRAME.fullmatch(line)
    return match and match[1]


def why_no_frame(line: str) -> str | None:
    """Return why an ordinary line that was meant as a frame is not one."""
    without_nul = line.replace("\0", "")
    if "::" not in without_nul:
        return None
    if line != without_nul and _START.search(without_nul):
        return "NUL characters on the line: write UTF-8, not UTF-16"
    for repair, reason in _NEAR_MISSES:
        if _FRAME.fullmatch(repair(line)):
            return reason
    return _why_misplaced(line)


def _why_misplaced(line: str) -> str | None:
    start = _START.search(line)
    if not start:
        return None
    end = line.rfind("}::") + len("}::")
    if end < start.end():
        return "the frame does not end on its line: print it on one line, without indent"
    if line[: start.start()].strip():
        return "text before the frame: end it with a newline, so that the frame has its own line"
    if line[end:].strip():
        return "text after the frame: print a newline right after the frame"
    return "a space between the colons and the brace: print ::{ and }:: without any"
