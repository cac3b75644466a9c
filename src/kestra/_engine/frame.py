"""What stands in a frame, part by part; `Refused` where the engine drops the whole frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kestra._engine.jackson import Refused, as_list, as_object, as_text, trim

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kestra._engine.rules import Rules

LEVELS = ("ERROR", "WARN", "INFO", "DEBUG", "TRACE")
_LEVEL_OF = {**{name: name for name in LEVELS}, **dict(zip("01234", LEVELS, strict=True))}

Log = tuple[str | None, str | None]  # level and message


def unread(
    frame: dict[str, Any], rest: str, keys: tuple[str, ...], *, enterprise: bool
) -> Iterator[str]:
    """Yield which parts the engine ignores."""
    if "::{" in rest:
        yield "a second frame on the line is not read: give each a line of its own"
    elif rest.strip():
        yield "text after the JSON object, inside the frame, is not read"
    for key in frame:
        if key not in keys and not (enterprise and key == "encryptedOutputs"):
            yield f"{key!r} is not read: the keys are {', '.join(keys)}"


def read_log(entry: Any, where: str) -> Log:
    entry = as_object(entry, where)
    level, message = entry.get("level"), as_text(entry, "message", f"{where}.")
    if level is None:
        return None, message
    if isinstance(level, str):
        level = trim(level)
    if type(level) not in {str, int} or str(level) not in _LEVEL_OF:
        raise Refused(f"{where}.level must be one of {', '.join(LEVELS)}")
    return _LEVEL_OF[str(level)], message


def read_assets(frame: dict[str, Any], rules: Rules) -> dict[str, Any] | None:
    if "assets" not in rules.keys or frame.get("assets") is None:
        return None
    assets = as_object(frame["assets"], "assets")
    for where, asset in as_list(assets, "inputs", "assets."):
        as_text(as_object(asset, where), "id", f"{where}.")
    for where, asset in as_list(assets, "outputs", "assets."):
        if isinstance(asset, dict):  # anything else passes, strange to say
            as_text(asset, "id", f"{where}.")
            as_object(asset.get("metadata"), f"{where}.metadata")
            if rules.typed_assets and asset.get("type") is None:
                raise Refused(f"{where}.type is missing")
    return assets
