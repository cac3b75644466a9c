"""What stands for `sys.stdout` and `sys.stderr` while a test collects what is printed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import RLock


class Tee:
    """Stands for a standard stream: what is written goes on to that, and is kept."""

    def __init__(self, keep: Callable[[bytes], None]) -> None:
        self._keep = keep
        self._line_is_open = False
        self._has_broken_line = False
        self.buffer = _Buffer(self)

    def stand_for(self, stream: TextIO, lock: RLock) -> None:
        self._stream = stream
        self._lock = lock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._lock:
            if self._has_broken_line:  # the line's own end would leave a blank line
                self._has_broken_line = False
                if text == "\n":
                    return 1
            count = self._stream.write(text)
            if text:
                self._line_is_open = text[-1] not in "\r\n"
            self._keep(text.encode(errors="replace"))
        return count

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def write_bytes(self, data: bytes) -> None:
        with self._lock:
            buffer = getattr(self._stream, "buffer", None)
            if buffer is None:
                self._stream.write(data.decode(errors="replace"))
            else:
                self._stream.flush()  # the text that came before
                buffer.write(data)
                self._stream.flush()
            self._keep(data)

    def _kestra_write_frame(self, frame: str) -> None:
        """Write a frame on a line of its own, as the sink does it to a real standard stream."""
        with self._lock:
            is_open = self._line_is_open
            self.write(f"\n{frame}\n" if is_open else f"{frame}\n")
            self._has_broken_line = is_open


class _Buffer(io.BufferedIOBase):
    """The bytes below a `Tee`; to close it, as a wrapper does that is deleted, closes nothing."""

    def __init__(self, tee: Tee) -> None:
        self._tee = tee

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._tee.write_bytes(piece)
        return len(piece)
