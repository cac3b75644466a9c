"""A message and its frame: `::{"outputs": {"rows": 42}}::`. Pure.

A frame that the engine would drop, or crash on, is refused here, before anything is written. What
an engine does with each part of a message was measured on running servers; where they differ,
the strictest one rules.

The rules check values and return what they stand for; all is encoded once, at the end.
"""

from __future__ import annotations

from _collections_abc import Mapping

from kestra._values.loading import load
from kestra._values.text import (
    MAX_DIGITS,
    MAX_TEXT,
    RefusedError,
    check_text,
    converted,
    json_text,
    members,
    path_piece,
    quote,
    scalar_text,
    type_name,
    utf16_length,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    Rules: TypeAlias = Mapping[str, Callable[[Any], Any]]

LOG_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR")
METRIC_TYPES = ("counter", "timer", "gauge")
MAX_NAME = 150  # characters of a metric's name; a longer one takes the server down


def encode(map_: Mapping[str, Any]) -> str:
    """The frame of a message, without its line end; nothing is printed.

    Args:
        map_: `{"outputs": {…}}`, `{"metrics": […]}`, `{"logs": […]}`, `{"assets": {…}}`, or
            several of them in one, in the shapes that the engine reads. It ignores other keys;
            they are carried along.

    Raises:
        TypeError: A value of a type that JSON cannot hold, or that the engine drops there.
        ValueError: A value that the engine drops, or crashes on. Both name the path of the value,
            `outputs.stats[3].ratio`, and never show the value.
    """
    if not isinstance(map_, Mapping):
        raise TypeError(
            f"the message is of type {type_name(map_)}: it must be a dict, "
            'such as {"outputs": {"rows": 42}}'
        )
    try:
        message = _check(members(map_), _PARTS)
    except RefusedError as refusal:
        raise refusal.at("") from None
    return f"::{json_text(message, '', 0)}::"


def metric_frame(name: object, metric_type: object, value: object, tags: object) -> str:
    """The frame of one metric; errors name the arguments: `value`, not `metrics[0].value`."""
    metric = {"name": name, "type": metric_type, "value": value, "tags": tags}
    try:
        metric = _metric(metric, "duration" if metric_type == "timer" else "value")
    except RefusedError as refusal:
        raise refusal.at("") from None
    return f"::{json_text({'metrics': [metric]}, '', 0)}::"


# --- the usual frames, sooner -----------------------------------------------------------------
#
# Measured with CPython 3.11 on a call that takes 2 us in all, the write included: outputs take
# 0.8 us here and 2.6 in `encode`, a metric 0.4 and 15, a log entry 0.2 and 10.

_FEW = 6  # outputs, up to which the C encoder takes longer to set up
_MOST_USUAL = 1_000_000_000  # of a value: the seconds of a timer end above
_MOST_KEPT = 1_000  # names without end must not fill the memory


def small_outputs_frame(outputs: object) -> str | None:
    """`encode({"outputs": outputs})` of a few plain values, sooner; None of others."""
    if type(outputs) is not dict or len(outputs) > _FEW:
        return None
    members = ""
    try:
        for key, value in outputs.items():
            kind = type(value)
            if type(key) is not str:
                return None
            if kind is str and len(value) <= MAX_DIGITS:
                member = f"{quote(key)}: {quote(value)}"
            elif kind is int or (kind is float and value - value == 0):
                member = f"{quote(key)}: {value!r}"
            elif kind is bool:
                member = f"{quote(key)}: true" if value else f"{quote(key)}: false"
            else:
                return None
            members = f"{members}, {member}" if members else member
    except ValueError as error:  # an integer too long for `repr`
        from kestra._values.signals import is_interruption

        if is_interruption(error):
            raise
        return None
    if len(members) > MAX_DIGITS or "\\ud" in members:
        return None
    return f'::{{"outputs": {{{members}}}}}::'


def usual_metric_frame(name: Any, metric_type: Any, value: Any, tags: Any) -> str | None:
    """`metric_frame` of a metric whose name and tags are short text; None of any other."""
    if type(tags) is not dict:
        return None
    key = (name, metric_type, *tags.items()) if tags else (name, metric_type)
    around: tuple[str, str] | None
    try:
        around = _around[key]
    except KeyError:
        around = _text_around(key)
    except TypeError:  # an unhashable one is no text
        return None
    if (
        around is not None
        and (type(value) is float or type(value) is int)
        and -_MOST_USUAL <= value <= _MOST_USUAL
    ):
        head, tail = around
        return f"{head}{value!r}{tail}"
    return None


_around: dict[tuple[Any, ...], tuple[str, str]] = {}  # the value of a metric, by all else


def _text_around(key: tuple[Any, ...]) -> tuple[str, str] | None:
    name, metric_type, *tags = key
    if not (
        type(name) is type(metric_type) is str
        and name.isascii()
        and 0 < len(name) <= MAX_NAME
        and metric_type in METRIC_TYPES
    ):
        return None
    members = ""
    for tag, value in tags:
        if not (type(tag) is type(value) is str and tag and tag.isascii() and value.isascii()):
            return None
        member = f"{quote(tag)}: {quote(value)}"
        members = f"{members}, {member}" if members else member
    if len(members) > MAX_DIGITS:
        return None
    head = f'::{{"metrics": [{{"name": {quote(name)}, "type": "{metric_type}", "value": '
    if len(_around) >= _MOST_KEPT:
        _around.clear()
    _around[key] = around = head, f', "tags": {{{members}}}}}]}}::'
    return around


def log_frame(level: str, message: str) -> str:
    """`encode({"logs": [{"level": level, "message": message}]})`, for the many of them."""
    text = quote(message)
    if "\\ud" in text or len(text) >= MAX_TEXT:
        return encode({"logs": [{"level": level, "message": message}]})
    return f'::{{"logs": [{{"level": "{level}", "message": {text}}}]}}::'


# --- the rules: what a value stands for, or `RefusedError` ------------------------------------


def _check(fields: dict[str, Any], rules: Rules, value_name: str = "value") -> dict[str, Any]:
    """Put what a value stands for in its place; fields without a rule are carried along."""
    for name, value in fields.items():
        if name in rules:
            try:
                fields[name] = rules[name](value)
            except RefusedError as refusal:
                raise refusal.within(f".{value_name if name == 'value' else name}") from None
    return fields


def _mapping(value: object) -> object:
    plain = value if type(value) is dict else converted(value)
    if not isinstance(plain, Mapping):
        reason = f"is of type {type_name(value)}: it must be a dict of names and values"
        raise RefusedError(TypeError, reason)
    return plain


def _list_of(check: Callable[[dict[str, Any]], object]) -> Callable[[Any], object]:
    def check_list(items: Any) -> list[object]:
        if not isinstance(items, (list, tuple)):
            reason = f"is of type {type_name(items)}: it must be a list of dicts"
            raise RefusedError(TypeError, reason)
        checked: list[object] = []
        for item in items:
            try:
                checked.append(check(_fields(item)))
            except RefusedError as refusal:
                raise refusal.within(f"[{len(checked)}]") from None
        return checked

    return check_list


def _fields(item: object) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise RefusedError(TypeError, f"is of type {type_name(item)}: it must be a dict")
    return members(item)


def _metric(fields: dict[str, Any], value_name: str = "value") -> dict[str, Any]:
    load("kestra._task.numbers")
    from kestra._task import numbers

    type_ = fields.get("type")
    is_timer = isinstance(type_, str) and type_ == "timer"
    rules = {
        "name": _name,
        "type": _one_of(METRIC_TYPES),
        "value": numbers.seconds if is_timer else numbers.finite_number,
        "tags": _tags,
        "timestamp": numbers.instant,
    }
    _check(fields, rules, value_name)
    for key in ("name", "type", "value"):
        if key not in fields:
            reason = "is missing: a metric has a name, a type and a value"
            raise RefusedError(ValueError, reason, f".{key}")
    return fields


def _log(fields: dict[str, Any]) -> dict[str, Any]:
    _check(fields, _LOG_RULES)
    if "level" not in fields:
        reason = f"is missing: it must be one of {', '.join(LOG_LEVELS)}"
        raise RefusedError(ValueError, reason, ".level")
    return fields


def _one_of(choices: tuple[str, ...]) -> Callable[[Any], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise RefusedError(ValueError, f"must be one of {', '.join(choices)}")
        return value

    return check


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise RefusedError(TypeError, f"is of type {type_name(name)}: it must be text")
    check_text(name)
    length = utf16_length(name)
    if not 0 < length <= MAX_NAME:
        raise RefusedError(
            ValueError,
            f"is {length:,} characters long: it must have 1 to {MAX_NAME} "
            "(the server goes down at a longer one)",
        )
    return name


def _tags(tags: object) -> dict[str, Any] | None:
    """Scalars by name; a null, of which the task's reader would die, is left out."""
    if tags is None:
        return None
    if not isinstance(tags, Mapping):
        raise RefusedError(TypeError, f"is of type {type_name(tags)}: it must be a dict of scalars")
    if sum(len(value) for value in tags.values() if isinstance(value, str)) >= MAX_TEXT:
        raise RefusedError(ValueError, f"has {MAX_TEXT:,} characters or more: shorten them")
    kept: dict[str, Any] = {}
    for name, value in members(tags).items():
        if not name:
            raise RefusedError(
                ValueError,
                "has a tag without a name, after which the engine reads nothing more of the task: "
                "name it",
            )
        try:
            plain = _tag(value)
        except RefusedError as refusal:
            raise refusal.within(path_piece(name)) from None
        if plain is not None:
            kept[name] = plain
    return kept


def _tag(value: object) -> object:
    plain = converted(value)
    if plain is not None and scalar_text(plain) in {None, "null"}:
        raise RefusedError(
            TypeError,
            f"is of type {type_name(value)}: a tag is text, a boolean or a finite number",
        )
    return plain


def _message(message: object) -> object:
    """A log message: text, in which U+FFFD replaces lone surrogates, or another scalar."""
    plain = converted(message)
    if isinstance(plain, str):
        text = plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        check_text(text)
        return text
    if scalar_text(plain) is None:
        raise RefusedError(TypeError, f"is of type {type_name(message)}: it must be text")
    return plain


_LOG_RULES: Rules = {"level": _one_of(LOG_LEVELS), "message": _message}
_PARTS: Rules = {
    "outputs": _mapping,
    "assets": _mapping,
    "metrics": _list_of(_metric),
    "logs": _list_of(_log),
    "otlp": _mapping,
}
