"""What a Python value becomes as JSON text, and what is refused. Pure.

`json_text` keeps the bytes of `json.dumps` (default separators, ASCII escapes, keys as they come)
for all that `json.dumps` writes correctly, carries out what has one obvious lossless reading (a
datetime is ISO 8601, NaN is null), and refuses the rest, naming the path of the offending key.

Two ways lead to the same text. Values of exact JSON types take the C encoder of the standard
library, and the text is looked over for what an engine would drop or die of. All others take
`_Walk`: it converts on the way, and knows where it is when it has to refuse.

A script waits for what is imported here. So it is what an interpreter has loaded already, or
next to nothing: `json` and `collections` would take most of the start, through `re` and `enum`.
"""

from __future__ import annotations

from _collections_abc import Iterator, Mapping, Sequence, ValuesView
from _collections_abc import Set as AbstractSet
from itertools import chain, islice
from sys import getrecursionlimit

try:
    from _json import encode_basestring_ascii as quote
    from _json import make_encoder
except ImportError:  # an interpreter without the accelerator
    from json.encoder import encode_basestring_ascii as quote

    make_encoder = None  # type: ignore[assignment, misc]

__all__ = [
    "MAX_DIGITS",
    "MAX_TEXT",
    "RefusedError",
    "converted",
    "is_finite",
    "json_text",
    "key_text",
    "path_piece",
    "quote",
    "scalar_text",
    "two_keys",
    "type_name",
    "utf16_length",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, NoReturn

# The limits of Jackson, the engine's JSON reader: it drops the frame that passes one of them.
MAX_DEPTH = 1_000
MAX_DIGITS = 1_000
MAX_TEXT = 20_000_000  # in UTF-16 units; a text must stay below

_SCALARS = frozenset({str, int, float, bool, type(None)})
_CONTAINERS = frozenset({dict, list, tuple})
_PLAIN = _SCALARS | _CONTAINERS
_TEXT = frozenset({str})
_FIRST_LONG_INTEGER = 10**MAX_DIGITS
_INFINITY = float("inf")
_PIECE = 1 << 16
_USUAL_RECURSION = 10_000
_SHOWN_PIECES = 20  # of a path in an error


class _NotPlainError(Exception):
    """The C encoder met a value of no JSON type."""


def _not_plain(_: object) -> NoReturn:
    raise _NotPlainError


def _encoder(open_containers: dict[int, object] | None) -> Callable[[object, int], tuple[str, ...]]:
    """`json.dumps`, without NaN. Only with a dict for the open containers it notices circles."""
    return make_encoder(  # pyright: ignore[reportOptionalCall]  # only called where it is one
        open_containers, _not_plain, quote, None, ": ", ", ", False, False, False
    )


_encode = _encoder(None) if make_encoder is not None else None  # not constructed for every call


def is_finite(number: float) -> bool:
    """`math.isfinite`, for integers of any length too, and without loading `math`."""
    return -_INFINITY < number < _INFINITY


def json_text(value: object, path: str, depth: int = 1) -> str:
    """`value` as JSON text in ASCII.

    Args:
        value: What to write; nothing of it is changed.
        path: Where the value stands in the message, to name it in an error: `outputs`.
        depth: How many objects and lists are open around it.

    Raises:
        TypeError: A value or a key that JSON cannot hold.
        ValueError: One that JSON could hold, but the engine would drop, or die of.
    """
    if _encode is not None:
        # A circle ends at the recursion limit: where a script has raised that, with a crash.
        encode = _encode if getrecursionlimit() <= _USUAL_RECURSION else _encoder({})
        try:
            text = "".join(encode(value, 0))
        except (_NotPlainError, TypeError, ValueError, RecursionError):
            pass  # the walk converts it, or says what is wrong with it
        else:
            if (_is_flat(value) or _is_plain(value, depth)) and (
                (len(text) <= MAX_DIGITS and "\\ud" not in text) or _is_safe(text, value)
            ):
                return text
    return _Walk(path, depth).text(value)


def _is_flat(value: object) -> bool:
    """Whether it is a dict of scalars with text as keys: the usual case, told apart first."""
    if type(value) is not dict:
        return False
    for key, item in value.items():
        if type(key) is not str or type(item) not in _SCALARS:
            return False
    return True


def _is_plain(value: Any, depth: int) -> bool:
    """Whether all of it is of exact JSON types, with text as keys, and not too deep."""
    if type(value) not in _CONTAINERS:
        return type(value) in _SCALARS
    for dicts, lists in islice(_levels(value), MAX_DEPTH - depth):
        if not _TEXT.issuperset(map(type, chain.from_iterable(dicts))):
            return False
        kinds = set(map(type, _children(dicts, lists)))
        if kinds <= _SCALARS:
            return True
        if not kinds <= _PLAIN:
            return False
    return False


def _is_safe(text: str, value: Any) -> bool:
    """Whether the engine reads this text: no lone surrogate, no over-long number or text.

    `_is_unicode` is quick on few texts, however long, and the search on many.
    """
    if "\\" in text:
        import re

        if (_is_flat(value) or re.search(r"\\ud[89a-f]", text)) and not _is_unicode(value):
            return False
    if len(text) <= MAX_DIGITS:
        return True
    has_long_text = len(text) >= MAX_TEXT and _longest_text(value) >= MAX_TEXT // 2
    return not has_long_text and not _has_long_number(text)


def _has_long_number(text: str) -> bool:
    import re

    # A long number holds five neighbouring samples, and so a whole match of three.
    step = MAX_DIGITS // 5
    digits = re.compile(f"[0-9]{{{step * 2}}}")
    return any(
        digits.match(text, sample.start() * step)
        for sample in re.finditer("[0-9]{3}", text[::step])
    )


def _is_unicode(value: Any) -> bool:
    """Whether no text in it, of exact JSON types, has a surrogate."""
    try:
        for texts in _texts(value):
            is_any_large = max(map(len, texts), default=0) > _PIECE  # no second copy of that
            for _ in map(str.encode, _pieces(texts) if is_any_large else texts):
                pass
    except UnicodeEncodeError:
        return False
    return True


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    return (text[n : n + _PIECE] for text in texts for n in range(0, len(text), _PIECE))


def _longest_text(value: Any) -> int:
    return max(max(map(len, texts), default=0) for texts in _texts(value))


def _texts(value: Any) -> Iterator[list[str]]:
    """All texts, keys among them, of a value of exact JSON types: a level of nesting at a time."""
    if type(value) is str:
        yield [value]
        return
    for dicts, lists in _levels(value):
        yield [
            *(item for item in _children(dicts, lists) if type(item) is str),
            *chain.from_iterable(dicts),
        ]


def _levels(value: Any) -> Iterator[tuple[list[dict[str, Any]], list[Any]]]:
    """The dicts and the lists of each level of nesting.

    Only asked of what the C encoder went through, so there is no circle in it. By level, because
    whole levels are looked over at the speed of C.
    """
    level = [value]
    while level:
        dicts = [item for item in level if type(item) is dict]
        lists = [item for item in level if type(item) is not dict]
        yield dicts, lists
        level = [item for item in _children(dicts, lists) if type(item) in _CONTAINERS]


def _children(dicts: list[dict[str, Any]], lists: list[Any]) -> Iterator[Any]:
    return chain(chain.from_iterable(map(dict.values, dicts)), chain.from_iterable(lists))


class RefusedError(Exception):
    """Why a value, or a `piece` of it, cannot be sent: a sentence that its path begins."""

    def __init__(self, error: type[Exception], reason: str, piece: str = "") -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason
        self.piece = piece

    def at(self, path: str) -> Exception:
        """The error to raise for the value at `path`."""
        return self.error(f"{path}{self.piece} {self.reason}")


def two_keys(text: str) -> RefusedError:
    """Why an object cannot be sent in which two keys become the same text."""
    return RefusedError(ValueError, f"has two keys that become {_short(quote(text))}: rename one")


class _Container:
    """An object or a list that is being written."""

    __slots__ = ("close", "parts", "piece", "separator", "source")

    def __init__(self, parts: Iterator[tuple[str, str, Any]], close: str, source: object) -> None:
        self.parts = parts  # of each value: its piece of the path, the text before it, itself
        self.close = close
        self.source = source
        self.piece = ""
        self.separator = ""


class _Walk:
    """Writes a value part by part, converting and checking each.

    The open containers are a list, not the call stack: a deep value must not meet Python's
    recursion limit before it meets the engine's.
    """

    def __init__(self, path: str, depth: int) -> None:
        self._path = path
        self._depth = depth
        self._open: list[_Container] = []

    def text(self, value: object) -> str:
        try:
            return "".join(self._chunks(value))
        except RefusedError as refusal:
            pieces = [container.piece for container in self._open]
            if len(pieces) > _SHOWN_PIECES:
                pieces[_SHOWN_PIECES // 2 : -_SHOWN_PIECES // 2] = ["…"]
            raise refusal.at(self._path + "".join(pieces)) from None

    def _chunks(self, value: object) -> Iterator[str]:
        yield self._begin(value)
        while self._open:
            container = self._open[-1]
            container.piece = ""  # what the next step refuses is the container itself
            part = next(container.parts, None)
            if part is None:
                yield self._open.pop().close
                continue
            container.piece, before, value = part
            yield container.separator
            yield before
            yield self._begin(value)
            container.separator = ", "

    def _begin(self, value: object) -> str:
        """All of a scalar; of a container the opening bracket."""
        plain = converted(value)
        scalar = scalar_text(plain)
        if scalar is not None:
            return scalar
        if any(outer.source is value for outer in self._open):
            raise RefusedError(
                ValueError, "contains itself (a circular reference): send a copy without it"
            )
        if self._depth + len(self._open) >= MAX_DEPTH:
            raise RefusedError(
                ValueError, f"is nested deeper than {MAX_DEPTH:,} levels: flatten it"
            )
        if isinstance(plain, Mapping):
            self._open.append(_Container(_members(plain), "}", value))
            return "{"
        self._open.append(_Container(_items(plain), "]", value))
        return "["


def _members(mapping: Mapping[Any, Any]) -> Iterator[tuple[str, str, Any]]:
    seen = set()
    for key, value in mapping.items():
        text = key_text(key)
        if text in seen:
            raise two_keys(text)
        seen.add(text)
        yield path_piece(text), f"{quote(text)}: ", value


def path_piece(key: str) -> str:
    """A key as a part of a path: `.ratio`, or `["a b"]`."""
    return f".{key}" if key.isascii() and key.isidentifier() else f"[{_short(quote(key))}]"


def _items(values: Any) -> Iterator[tuple[str, str, Any]]:
    if not _is_list_like(values):
        raise RefusedError(
            TypeError,
            f"is of type {type_name(values)}, which JSON cannot hold: "
            "convert it to text, a number, a list or a dict",
        )
    return ((f"[{index}]", "", value) for index, value in enumerate(values))


def _is_list_like(value: object) -> bool:
    if isinstance(value, Iterator):
        # Generators and map() stand for their items; an open file does not.
        return type(value).__module__ in {"builtins", "itertools"}
    return isinstance(value, (Sequence, AbstractSet, ValuesView))


def key_text(key: object) -> str:
    """The text of an object's key: what `json.dumps` makes of it, or that of a date, UUID, ….

    Raises:
        RefusedError: It has none.
    """
    plain = key if type(key) is str else _converted(key, _KEY_READINGS)
    if isinstance(plain, str):
        _refuse_unreadable(plain, "has a key with", "has a key of")
        return plain
    if isinstance(plain, float) and not is_finite(plain):
        return {"inf": "Infinity", "-inf": "-Infinity"}.get(float.__repr__(plain), "NaN")
    scalar = scalar_text(plain)
    if scalar is None:
        raise RefusedError(TypeError, f"has a key of type {type_name(key)}: use text as keys")
    return scalar


def scalar_text(value: object) -> str | None:
    """A value of a JSON type as JSON text; None where it is no scalar.

    Raises:
        RefusedError: The engine would drop the frame, or die of it.
    """
    if isinstance(value, str):
        _refuse_unreadable(value, "has", "is a text of")
        return quote(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if not -_FIRST_LONG_INTEGER < value < _FIRST_LONG_INTEGER:
            raise RefusedError(
                ValueError, f"is an integer of more than {MAX_DIGITS:,} digits: send it as text"
            )
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value) if is_finite(value) else "null"
    return None


def utf16_length(text: str) -> int:
    """The length of a text as the engine, a Java program, counts it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _refuse_unreadable(text: str, has: str, is_of: str) -> None:
    try:
        if not text.isascii():
            text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise RefusedError(
            ValueError,
            f"{has} a lone surrogate, which takes the engine down: "
            'replace it (text.encode("utf-8", "replace").decode())',
        ) from None
    if len(text) >= MAX_TEXT // 2 and utf16_length(text) >= MAX_TEXT:
        raise RefusedError(
            ValueError,
            f"{is_of} {MAX_TEXT:,} characters or more, which the engine drops: "
            "write it to a file and declare that in outputFiles",
        )


def converted(value: object) -> object:
    """What a value stands for, as a value of a JSON type.

    Raises:
        RefusedError: It has no obvious lossless reading.
    """
    return value if type(value) in _PLAIN else _converted(value, _READINGS)


def _converted(value: object, readings: Mapping[tuple[str, str], Callable[[Any], Any]]) -> object:
    """Apply readings until none fits: the value of an Enum may be a date."""
    while (reading := _reading_of(type(value), readings)) is not None:
        value = reading(value)
    return value


def _reading_of(
    kind: type, readings: Mapping[tuple[str, str], Callable[[Any], Any]]
) -> Callable[[Any], Any] | None:
    """The reading of the nearest base class that has one.

    By name, so that none of the libraries is imported: (top-level package, class).
    """
    for base in kind.__mro__:
        reading = readings.get((base.__module__.partition(".")[0], base.__qualname__))
        if reading is not None:
            return reading
    if readings is _READINGS and hasattr(kind, "__dataclass_fields__"):
        return _fields
    return None


def _fields(value: Any) -> dict[str, Any]:
    from dataclasses import fields

    return {field.name: getattr(value, field.name) for field in fields(value)}


def _duration(value: Any) -> str:
    seconds = value.days * 86_400 + value.seconds
    return _duration_text(seconds * 1_000_000_000 + value.microseconds * 1_000)


def _duration_text(nanoseconds: int) -> str:
    """A duration as ISO 8601, in the hours, minutes and seconds that `java.time` writes."""
    sign = "-" if nanoseconds < 0 else ""
    seconds, fraction = divmod(abs(nanoseconds), 1_000_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}H" * bool(hours) + f"{minutes}M" * bool(minutes)
    if seconds or fraction or not text:
        text += f"{seconds}.{fraction:09d}".rstrip("0").rstrip(".") + "S"
    return f"{sign}PT{text}"


def _isoformat(value: Any) -> str:
    return str(value.isoformat())


def _decimal(value: Any) -> str | None:
    return str(value) if value.is_finite() else None


def _numpy_scalar(value: Any) -> object:
    item = value.item()
    return item if type(item) is not type(value) else float(value)  # long double has no other


def _numpy_moment(value: Any) -> object:
    text = str(value)  # `item()` would give a bare number of nanoseconds
    return None if text == "NaT" else text


def _numpy_duration(value: Any) -> object:
    count, _, unit = str(value).partition(" ")
    if count == "NaT":
        return None
    if unit not in _NANOSECONDS:  # a month has no length, an attosecond no ISO 8601 text
        raise RefusedError(TypeError, 'is of an unusual unit: send value.astype("timedelta64[ns]")')
    return _duration_text(int(count) * _NANOSECONDS[unit])


def _numpy_array(value: Any) -> object:
    if value.dtype.kind not in "mM":
        return value.tolist()  # of an array without dimensions: its one element
    return list(value) if value.ndim else value[()]  # not bare numbers of nanoseconds


def _pydantic_model(value: Any) -> object:
    return value.model_dump() if hasattr(value, "model_dump") else value.dict()


def _refused(reason: str) -> Callable[[Any], NoReturn]:
    def refuse(value: object) -> NoReturn:
        raise RefusedError(TypeError, f"is of type {type_name(value)}, {reason}")

    return refuse


_NANOSECONDS = {
    "weeks": 604_800_000_000_000,
    "days": 86_400_000_000_000,
    "hours": 3_600_000_000_000,
    "minutes": 60_000_000_000,
    "seconds": 1_000_000_000,
    "milliseconds": 1_000_000,
    "microseconds": 1_000,
    "nanoseconds": 1,
}

_AS_FILE = "write it to a file and declare that in outputFiles"
_binary = _refused(f"which JSON cannot hold: decode it to text, or {_AS_FILE}")
_table = _refused(f"too large a thing for an output: {_AS_FILE}")
_column = _refused("whose index would be lost: send value.tolist() or value.to_dict()")
_complex = _refused("which JSON cannot hold: send its parts, [value.real, value.imag]")


def _null(_: object) -> None:
    return None


_READINGS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("builtins", "bytes"): _binary,
    ("builtins", "bytearray"): _binary,
    ("builtins", "memoryview"): _binary,
    ("builtins", "complex"): _complex,
    ("collections", "UserString"): str,
    ("datetime", "date"): _isoformat,
    ("datetime", "time"): _isoformat,
    ("datetime", "timedelta"): _duration,
    ("decimal", "Decimal"): _decimal,
    ("enum", "Enum"): lambda member: member.value,
    ("pathlib", "PurePath"): str,
    ("uuid", "UUID"): str,
    ("numpy", "generic"): _numpy_scalar,
    ("numpy", "datetime64"): _numpy_moment,
    ("numpy", "timedelta64"): _numpy_duration,
    ("numpy", "complexfloating"): _complex,
    ("numpy", "ndarray"): _numpy_array,
    ("pandas", "NaTType"): _null,
    ("pandas", "NAType"): _null,
    ("pandas", "Timedelta"): _isoformat,
    ("pandas", "DataFrame"): _table,
    ("pandas", "Series"): _column,
    ("pandas", "Index"): _column,
    ("polars", "DataFrame"): _table,
    ("polars", "LazyFrame"): _table,
    ("pyarrow", "Table"): _table,
    ("pydantic", "BaseModel"): _pydantic_model,
}
_KEY_READINGS = {
    name: _READINGS[name]
    for name in (("datetime", "date"), ("enum", "Enum"), ("pathlib", "PurePath"), ("uuid", "UUID"))
}


def type_name(value: object) -> str:
    """The name of a value's type, with its module unless that is `builtins`."""
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
