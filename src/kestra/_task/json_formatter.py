"""Log records as frames, with fields of python-json-logger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pythonjsonlogger.json import JsonFormatter as _FieldsFormatter

from kestra._task.logging import TIMED, frame_of, level_name, log_frame

if TYPE_CHECKING:
    import logging
    from collections.abc import Sequence

_PLAIN_ARGUMENTS = {"datefmt", "style", "validate"}  # what logging.config passes to any formatter


class JsonFormatter(_FieldsFormatter):
    """Formats a record as a whole log frame: its level, and time and message as the text.

    By default the text is `2026-11-21T08:57:36.549Z - message`, a traceback included. Given a
    format, or another argument of `pythonjsonlogger.json.JsonFormatter`, it is the JSON object
    that one makes of the record, the fields of `extra` among it::

        JsonFormatter("%(message)s %(name)s", rename_fields={"name": "logger"})
    """

    _formatter: logging.Formatter = TIMED
    _makes_frames = True

    def __init__(self, fmt: str | Sequence[str] | None = None, *args: Any, **kwargs: Any) -> None:
        # Escapes are the frame's own business; the text of an entry is read by people.
        super().__init__(fmt, *args, **{"json_ensure_ascii": False, **kwargs})
        self._has_fields = fmt is not None or bool(kwargs.keys() - _PLAIN_ARGUMENTS)

    @staticmethod
    def _logger_level(level: int) -> str:
        return level_name(level)

    def format(self, record: logging.LogRecord) -> str:
        """Return the frame, without its line end."""
        if self._has_fields:
            return log_frame(record, super().format(record))
        if self._formatter is not TIMED:
            return log_frame(record, self._formatter.format(record))
        return frame_of(record)
