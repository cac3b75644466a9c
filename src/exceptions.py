"""The top-level module that `kestra` 2.0.0 installed: the same classes as `kestra.exceptions`.

Kept so that `from exceptions import FailedExponentialBackoff` goes on working. Nothing inside
the package imports it: a script may have an `exceptions.py` of its own beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kestra.exceptions

if TYPE_CHECKING:
    from kestra.exceptions import *  # noqa: F403  # at run time one by one: some import requests

__all__ = kestra.exceptions.__all__  # pyright: ignore[reportUnsupportedDunderAll]  # those above


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(kestra.exceptions, name)
