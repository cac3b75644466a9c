"""What is small enough to be done in an event loop."""

from __future__ import annotations

from collections.abc import KeysView, ValuesView
from contextlib import ExitStack
from typing import Any

import httpx2

from kestra._api.requests import ExecutionRequest

_LIGHT = 1 << 16  # characters, bytes or values: less than a millisecond
_SMALL = (bool, int, float, type(None), ExitStack)


def is_light(value: Any) -> bool:
    """Return True if a value is small, and nothing has to be read for it."""
    return _weighed(value, _LIGHT) >= 0


def _weighed(value: Any, left: int) -> int:
    """Return what is left of a limit; less than zero if that is too little."""
    if isinstance(value, str | bytes):
        return left - len(value)
    if isinstance(value, httpx2.Response):
        return left - len(value.content)
    if isinstance(value, ExecutionRequest):
        value = (value.inputs, value.labels)
    if isinstance(value, dict):
        value = (value.keys(), value.values())
    if isinstance(value, list | tuple | KeysView | ValuesView):
        left -= len(value)
        for each in value:
            left = _weighed(each, left) if left >= 0 else left
        return left
    is_small = isinstance(value, _SMALL) or type(value).__module__ in {"datetime", "uuid"}
    return left - 1 if is_small else -1
