"""A message and its frame: `::{"outputs": {"rows": 42}}::`. Pure.

A frame that the engine would drop, or die of, is refused here, before anything is written. What
an engine does with each part of a message was measured on running servers; where they differ,
the strictest one rules.
"""

from __future__ import annotations

from _collections_abc import Mapping

from kestra._values.text import (
    MAX_DIGITS,
    MAX_TEXT,
    RefusedError,
    converted,
    is_finite,
    json_text,
    key_text,
    path_piece,
    quote,
    scalar_text,
    two_keys,
    type_name,
    utf16_length,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LOG_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR")
METRIC_TYPES = ("counter", "timer", "gauge")
MAX_NAME = 150  # characters of a metric's name; a longer one takes the server down
MAX_SECONDS = 9_223_372_036  # of a timer: the engine counts its nanoseconds in 64 bits

_LEAST_SECONDS = -MAX_SECONDS
_FEW = 6  # outputs, up to which the C encoder takes longer to set up
_MOST_KEPT = 1_000  # texts of each kind: names without end must not fill the memory
_LARGEST_FLOAT = 1.7976931348623157e308
_DECIMAL = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_NUMBER = rf"(?a:\s*{_DECIMAL}(?:[eE][+-]?[0-9]+)?\s*)"
_SECONDS = rf"(?a:\s*{_DECIMAL}\s*)"
_ISO_DURATION = (
    r"(?i:[+-]?P(?=.)(?:([+-]?[0-9]+)D)?"
    r"(?:T(?=.)(?:([+-]?[0-9]+)H)?(?:([+-]?[0-9]+)M)?(?:([+-]?[0-9]+(?:\.[0-9]{1,9})?)S)?)?)"
)
_INSTANT = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]*)?)?"
    r"(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)"
)


def encode(map_: Mapping[str, Any]) -> str:
    """The frame of a message, without its line end; nothing is printed.

    Args:
        map_: `{"outputs": {…}}`, `{"metrics": […]}`, `{"logs": […]}`, `{"assets": {…}}`, or
            several of them in one, in the shapes that the engine reads. It ignores other keys;
            they are carried along.

    Raises:
        TypeError: A value of a type that JSON cannot hold, or that the engine drops there.
        ValueError: A value that the engine drops, or dies of. Both name the path of the value,
            `outputs.stats[3].ratio`, and never show the value.
    """
    if not isinstance(map_, Mapping):
        raise TypeError(
            f"the message is of type {type_name(map_)}: it must be a dict, "
            'such as {"outputs": {"rows": 42}}'
        )
    pieces: list[str] = []  # joined once: they may be large
    names: set[str] = set()
    for key, part in map_.items():
        name = _key(key, names, "the message")
        pieces += ", ", quote(name), ": ", _PARTS.get(name, json_text)(part, name)
    return "".join(("::{", *pieces[1:], "}::"))


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
    except ValueError:  # an integer too long for `repr`
        return None
    if len(members) > MAX_DIGITS or "\\ud" in members:
        return None
    return f'::{{"outputs": {{{members}}}}}::'


def usual_metric_frame(name: object, metric_type: object, value: Any, tags: object) -> str | None:
    """`encode` of one metric of which a glance shows that all is well; None of any other."""
    text = _metric_text(name, metric_type, value, tags)
    return None if text is None else f'::{{"metrics": [{text}]}}::'


def log_frame(level: str, message: str) -> str:
    """`encode({"logs": [{"level": level, "message": message}]})`, for the many of them."""
    entry = {"level": level, "message": message}
    return f'::{{"logs": [{_usual_log(entry) or _log(entry, "logs[0]")}]}}::'


def _key(key: object, known: set[str], path: str) -> str:
    """The text of a key of the object at `path`, which has the `known` ones before it."""
    try:
        text = key_text(key)
        if text in known:
            raise two_keys(text)
    except RefusedError as refusal:
        raise refusal.at(path) from None
    known.add(text)
    return text


def _mapping(value: object, path: str) -> str:
    if type(value) is not dict:
        try:
            plain = converted(value)
        except RefusedError as refusal:
            raise refusal.at(path) from None
        if not isinstance(plain, Mapping):
            raise TypeError(
                f"{path} is of type {type_name(value)}: it must be a dict of names and values"
            )
    return json_text(value, path)


def _metrics(metrics: Any, path: str) -> str:
    return _list(metrics, path, _usual_metric, _metric)


def _logs(entries: Any, path: str) -> str:
    return _list(entries, path, _usual_log, _log)


def _list(
    items: Any,
    path: str,
    write_usual: Callable[[Any], str | None],
    write: Callable[[Any, str], str],
) -> str:
    if type(items) is not list and not isinstance(items, (list, tuple)):
        raise TypeError(f"{path} is of type {type_name(items)}: it must be a list of dicts")
    texts = [write_usual(item) or write(item, f"{path}[{n}]") for n, item in enumerate(items)]
    return f"[{', '.join(texts)}]"


def _usual_metric(metric: Any) -> str | None:
    """The text of a metric of which a glance shows that all is well; None of any other."""
    if type(metric) is not dict or tuple(metric) != ("name", "type", "value", "tags"):
        return None
    return _metric_text(*metric.values())


def _metric_text(name: Any, metric_type: Any, value: Any, tags: Any) -> str | None:
    """As `_usual_metric`, of its parts."""
    head: str | None
    try:
        head = _heads[name, metric_type]
    except (KeyError, TypeError):  # not seen before, or nothing that could be
        head = _head(name, metric_type)
    if (
        head is not None
        and (type(value) is float or type(value) is int)
        and _LEAST_SECONDS <= value <= MAX_SECONDS
        and type(tags) is dict
    ):
        members = _usual_tags(tags) if tags else ""
        if members is not None:
            return f'{head}{value!r}, "tags": {{{members}}}}}'
    return None


# A script sends few metrics and tags, and each often.
_heads: dict[tuple[str, str], str] = {}
_tag_members: dict[tuple[str, str], str] = {}


def _head(name: Any, metric_type: Any) -> str | None:
    """The text of a metric up to its value; None where its name or type is unusual."""
    if not (
        type(name) is type(metric_type) is str
        and name.isascii()
        and 0 < len(name) <= MAX_NAME
        and metric_type in METRIC_TYPES
    ):
        return None
    head = f'{{"name": {quote(name)}, "type": "{metric_type}", "value": '
    if len(_heads) < _MOST_KEPT:
        _heads[name, metric_type] = head
    return head


def _usual_tags(tags: dict[Any, Any]) -> str | None:
    """The members of tags that are all short text; None of any other."""
    text = ""
    for tag in tags.items():
        member: str | None
        try:
            member = _tag_members[tag]
        except (KeyError, TypeError):  # as above
            member = _tag_member(*tag)
        if member is None:
            return None
        text = f"{text}, {member}" if text else member
    return text if len(text) < MAX_TEXT else None


def _tag_member(key: Any, value: Any) -> str | None:
    """A tag as a member of an object; None where it is unusual."""
    if not (type(key) is type(value) is str and key and key.isascii() and value.isascii()):
        return None
    member = f"{quote(key)}: {quote(value)}"
    if len(_tag_members) < _MOST_KEPT and len(member) <= MAX_NAME:
        _tag_members[key, value] = member
    return member


def _usual_log(entry: Any) -> str | None:
    """As `_usual_metric`, of a log entry."""
    if type(entry) is not dict or tuple(entry) != ("level", "message"):
        return None
    level, message = entry.values()
    if type(level) is not str or level not in LOG_LEVELS or type(message) is not str:
        return None
    text = quote(message)
    if "\\ud" in text or len(text) >= MAX_TEXT:
        return None
    return f'{{"level": "{level}", "message": {text}}}'


def _object(item: object, path: str, rules: Mapping[str, Callable[[Any], str]]) -> str:
    """An object whose members have rules of their own; the others are carried along."""
    if not isinstance(item, Mapping):
        raise TypeError(f"{path} is of type {type_name(item)}: it must be a dict")
    members = []
    names: set[str] = set()
    for key, value in item.items():
        name = _key(key, names, path)
        where = f"{path}{path_piece(name)}"
        rule = rules.get(name)
        try:
            text = rule(value) if rule is not None else json_text(value, where, 3)
        except RefusedError as refusal:
            raise refusal.at(where) from None
        members.append(f"{quote(name)}: {text}")
    return f"{{{', '.join(members)}}}"


def _metric(metric: Any, path: str) -> str:
    is_timer = isinstance(metric, Mapping) and metric.get("type") == "timer"
    text = _object(metric, path, _TIMER_RULES if is_timer else _METRIC_RULES)
    for key in ("name", "type", "value"):
        if key not in metric:
            raise ValueError(f"{path}.{key} is missing: a metric has a name, a type and a value")
    return text


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise RefusedError(TypeError, f"is of type {type_name(name)}: it must be text")
    text = scalar_text(name)
    length = utf16_length(name)
    if not 0 < length <= MAX_NAME:
        raise RefusedError(
            ValueError,
            f"is {length:,} characters long: it must have 1 to {MAX_NAME} "
            "(the server goes down at a longer one)",
        )
    return text or ""


def _type(metric_type: object) -> str:
    return _one_of(METRIC_TYPES, metric_type)


def _level(level: object) -> str:
    return _one_of(LOG_LEVELS, level)


def _one_of(choices: tuple[str, ...], value: object) -> str:
    if not isinstance(value, str) or value not in choices:
        raise RefusedError(ValueError, f"must be one of {', '.join(choices)}")
    return quote(value)


def _value(value: Any) -> str:
    """A counter's or gauge's: a finite number, or text that is one (an environment variable)."""
    if isinstance(value, str):
        import re

        if not (
            len(value) <= MAX_DIGITS and re.fullmatch(_NUMBER, value) and is_finite(float(value))
        ):
            raise RefusedError(ValueError, "is text that is no finite number: convert it first")
        return quote(value)
    return _number_text(_number(value))


def _seconds(value: Any) -> str:
    """A timer's: seconds, a timedelta, or text that is either (`"1.5"`, `"PT1.5S"`)."""
    if type_name(value) == "numpy.timedelta64":
        value = converted(value)
    if isinstance(value, str):
        seconds = _seconds_of_text(value)
        text = quote(value)
    else:
        seconds = _number(value.total_seconds() if hasattr(value, "total_seconds") else value)
        text = _number_text(seconds)
    if not -MAX_SECONDS <= seconds <= MAX_SECONDS:
        raise RefusedError(
            ValueError,
            f"is beyond {MAX_SECONDS:,} seconds, more than the engine can count: "
            "a timer is given in seconds",
        )
    return text


def _seconds_of_text(text: str) -> float:
    import re

    if re.fullmatch(_SECONDS, text):
        if "-" in text and "." in text:
            raise RefusedError(
                ValueError,
                "is a negative fraction as text, which the engine misreads: send a number",
            )
        return float(text)
    duration = re.fullmatch(_ISO_DURATION, text)
    if duration is None:
        raise RefusedError(
            ValueError,
            "is text that is neither seconds nor an ISO 8601 duration: send a number of seconds",
        )
    return sum(
        float(amount or 0) * unit
        for amount, unit in zip(duration.groups(), (86_400, 3_600, 60, 1), strict=True)
    )


def _number(value: Any) -> int | float:
    """A finite number of any library: int, float, Decimal, Fraction, a NumPy scalar."""
    # All numbers have this method but NumPy's integers.
    plain: Any = value if hasattr(value, "as_integer_ratio") else converted(value)
    if isinstance(plain, bool) or not hasattr(plain, "as_integer_ratio"):
        raise RefusedError(TypeError, f"is of type {type_name(value)}: it must be a finite number")
    try:
        number = plain if isinstance(plain, int) else float(plain)
        if abs(number) <= _LARGEST_FLOAT:
            return number
    except (OverflowError, ValueError):  # a Fraction beyond it; a signalling NaN
        pass
    raise RefusedError(ValueError, "is not finite: leave such a metric out")


def _number_text(number: float) -> str:
    return int.__repr__(number) if isinstance(number, int) else float.__repr__(number)


def _tags(tags: object) -> str:
    if tags is None:
        return "null"
    if not isinstance(tags, Mapping):
        raise RefusedError(TypeError, f"is of type {type_name(tags)}: it must be a dict of scalars")
    members: dict[str, str] = {}
    for key, value in tags.items():
        if type(value) is str and type(key) is str and value.isascii() and key.isascii() and key:
            members[key] = f"{quote(key)}: {quote(value)}"
            continue
        name = key_text(key)
        if not name:
            raise RefusedError(
                ValueError,
                "has a tag without a name, after which the engine reads nothing of the task "
                "any more: name it",
            )
        if name in members or (not isinstance(key, str) and name in tags):
            raise two_keys(name)
        try:
            text = _tag(value)
        except RefusedError as refusal:
            raise RefusedError(refusal.error, refusal.reason, path_piece(name)) from None
        if text is not None:
            members[name] = f"{quote(name)}: {text}"
    text = ", ".join(members.values())
    if len(text) >= MAX_TEXT:
        raise RefusedError(ValueError, f"has {MAX_TEXT:,} characters or more: shorten them")
    return f"{{{text}}}"


def _tag(value: object) -> str | None:
    """None for a null, of which the task's reader would die: such a tag is left out."""
    plain = converted(value)
    text = scalar_text(plain)
    if plain is not None and text in {None, "null"}:
        raise RefusedError(
            TypeError,
            f"is of type {type_name(value)}: a tag is text, a boolean or a finite number",
        )
    return None if plain is None else text


def _message(message: object) -> str:
    plain = converted(message)
    if isinstance(plain, str):
        return scalar_text(_mended(plain)) or ""
    text = scalar_text(plain)
    if text is None:
        raise RefusedError(TypeError, f"is of type {type_name(message)}: it must be text")
    return text


def _mended(text: str) -> str:
    """`text` with U+FFFD for lone surrogates, which take the engine down."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _timestamp(value: object) -> str:
    """A metric's: an instant; seconds since 1970 are one, a datetime without a zone is none."""
    import re

    plain = converted(value)
    text = scalar_text(plain)
    is_no_text = not isinstance(plain, (str, bool))
    if text is None or not (is_no_text or re.fullmatch(_INSTANT, str(plain))):
        raise RefusedError(
            ValueError,
            "must be an instant: a datetime with a time zone, such as datetime.now(timezone.utc)",
        )
    return text


_METRIC_RULES = {
    "name": _name,
    "type": _type,
    "value": _value,
    "tags": _tags,
    "timestamp": _timestamp,
}
_TIMER_RULES = {**_METRIC_RULES, "value": _seconds}
_LOG_RULES = {"level": _level, "message": _message}


def _log(entry: Any, path: str) -> str:
    text = _object(entry, path, _LOG_RULES)
    if "level" not in entry:
        raise ValueError(f"{path}.level is missing: it must be one of {', '.join(LOG_LEVELS)}")
    return text


_PARTS: dict[str, Callable[[Any, str], str]] = {
    "outputs": _mapping,
    "assets": _mapping,
    "metrics": _metrics,
    "logs": _logs,
    "otlp": _mapping,
}
