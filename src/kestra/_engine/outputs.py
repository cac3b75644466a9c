"""What becomes of the values in outputs between the frame and the execution."""

from __future__ import annotations

import re
from collections import defaultdict
from math import inf
from typing import TYPE_CHECKING, Any

from kestra._engine.jackson import Double

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kestra._engine.rules import Rules

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def keep(outputs: dict[str, Any], rules: Rules) -> dict[str, list[str]]:
    """Turn what a frame held, in place, into what is kept of it.

    Returns:
        The paths of what is not kept as sent, by kind: `"null"`, `"NUL"`, `"infinite"` and
        `"surrogate"`.
    """
    found: dict[str, list[str]] = defaultdict(list)
    pending: list[tuple[str, Any]] = [("outputs", outputs)]
    while pending:  # no recursion: the engine nests deeper than Python's stack
        path, container = pending.pop()
        is_object = isinstance(container, dict)
        for key, value in list(container.items() if is_object else enumerate(container)):
            where = f"{path}.{key}" if is_object else f"{path}[{key}]"
            for kind in _losses(key, value, rules):
                found[kind].append(where)
            if isinstance(value, (dict, list)):
                pending.append((where, value))
            elif isinstance(value, Double):
                container[key] = _number(value, as_server=rules.server)
            elif rules.strips_nul and isinstance(value, str):
                container[key] = value.replace("\0", "")
            elif rules.drops_nulls and value is None and is_object:
                del container[key]
    return found


def _losses(key: str | int, value: Any, rules: Rules) -> Iterator[str]:
    if _has_lone_surrogate(key) or _has_lone_surrogate(value):
        yield "surrogate"
    if isinstance(value, Double) and abs(value) == inf:
        yield "infinite"
    if rules.drops_nulls and value is None and isinstance(key, str):
        yield "null"
    if rules.strips_nul and isinstance(value, str) and "\0" in value:
        yield "NUL"


def _has_lone_surrogate(value: Any) -> bool:
    return (
        isinstance(value, str) and not value.isascii() and _LONE_SURROGATE.search(value) is not None
    )


def _number(value: Double, *, as_server: bool) -> float | str:
    if abs(value) == inf:
        return "Infinity" if value > 0 else "-Infinity"
    # A server turns -0.0 into 0.0, as adding zero does.
    return float(value) + 0.0 if as_server else float(value)
