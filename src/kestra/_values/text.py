"""A value as JSON text, and what is refused. Pure.

`json_text` keeps the bytes of `json.dumps` (default separators, ASCII escapes, keys as they come)
for all that `json.dumps` writes correctly, carries out what has one obvious lossless reading (a
datetime is ISO 8601, NaN is null), and refuses the rest, naming the path of the offending key.

Values of JSON types take the C encoder of the standard library, and its text is checked. All
others take `Walk`: it converts them by `kestra._values.table`, and knows where it is.

A script waits for what is imported here. So it is what an interpreter has loaded already, or
next to nothing: `json` and `collections` would take most of the start, through `re` and `enum`.
"""

from __future__ import annotations

from _collections_abc import Iterator, Mapping, Sequence, ValuesView
from _collections_abc import Set as AbstractSet
from sys import getrecursionlimit

from kestra._values.loading import load

try:
    from _json import encode_basestring_ascii, make_encoder
except ImportError:  # an interpreter without the accelerator
    from json.encoder import encode_basestring_ascii

    make_encoder = None  # type: ignore[assignment, misc]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, NoReturn, TypeGuard, TypeVar

    from kestra._values.table import Readings

    T = TypeVar("T")

quote = encode_basestring_ascii

# The limits of Jackson, the engine's JSON reader: it drops the frame that passes one of them.
MAX_DEPTH = 1_000
MAX_DIGITS = 1_000
MAX_TEXT = 20_000_000  # in UTF-16 units; a text must stay below
_ENDLESS = frozenset({"count", "cycle", "repeat"})
_AS_FILE = "{as a file}"  # in the place of a remedy that is another for inputs
_IN_OUTPUT_FILES = "write it to a file and declare that in outputFiles"

_SCALARS = (str, int, float, type(None))  # `json.dumps` writes subclasses of these as well
_CONTAINERS = frozenset({dict, list, tuple})
_FIRST_LONG_INTEGER = 10**MAX_DIGITS
_INFINITY = float("inf")
_USUAL_RECURSION = 10_000
_SHOWN_PIECES = 20  # of a path in an error


class RefusedError(Exception):
    """Why a value, or a `piece` of it, cannot be sent: a sentence that its path begins."""

    def __init__(self, error: type[Exception], reason: str, piece: str = "") -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason
        self.piece = piece

    def within(self, piece: str) -> RefusedError:
        """The refusal of what the value is a piece of."""
        return RefusedError(self.error, self.reason, piece + self.piece)

    def at(self, path: str, as_file: str = _IN_OUTPUT_FILES) -> Exception:
        """The error to raise for the value at `path`; an empty one is the message itself."""
        where = f"{path}{self.piece}".removeprefix(".") or "the message"
        return self.error(f"{where} {self.reason.replace(_AS_FILE, as_file)}")


# --- values of JSON types, by the C encoder ---------------------------------------------------


class _NotPlainError(Exception):
    """The C encoder met a value that is not of a JSON type."""


def _not_plain(_: object) -> NoReturn:
    raise _NotPlainError


def _encoder(open_containers: dict[int, object] | None) -> Callable[[object, int], tuple[str, ...]]:
    """`json.dumps`, without NaN. Only with a dict for the open containers it notices circles."""
    return make_encoder(  # pyright: ignore[reportOptionalCall]  # only called where it is one
        open_containers, _not_plain, quote, None, ": ", ", ", False, False, False
    )


_encode = _encoder(None) if make_encoder is not None else None  # not constructed for every call


def json_text(value: object, path: str, depth: int = 1, as_file: str = _IN_OUTPUT_FILES) -> str:
    """`value` as JSON text in ASCII; a `TypeError` or a `ValueError` says why it cannot be sent.

    The error names its `path`, and may advise `as_file`. `depth` objects and lists are around it.
    """
    if _encode is not None:
        # A circle ends at the recursion limit: where a script has raised that, with a crash.
        encode = _encode if getrecursionlimit() <= _USUAL_RECURSION else _encoder({})
        try:
            text = "".join(encode(value, 0))
        except _NotPlainError:
            pass  # the walk converts it
        except (TypeError, ValueError, RecursionError) as error:  # the walk says what is wrong
            from kestra._values.signals import is_interruption

            if is_interruption(error):
                raise
        else:
            is_flat = _is_flat(value)
            is_short = len(text) <= MAX_DIGITS and "\\ud" not in text
            if (is_flat and is_short) or _is_known(value, text, depth, is_flat, is_short):
                return text
    return Walk(path, depth).text(value, as_file)


def _is_flat(value: object, levels: int = 1) -> bool:
    """Return True for a dict of scalars with text as keys, or of such dicts: the usual case."""
    if type(value) is not dict:
        return False
    for key, item in value.items():
        is_flat = isinstance(item, _SCALARS) or (levels and _is_flat(item, 0))
        if type(key) is not str or not is_flat:
            return False
    return True


def _is_known(value: object, text: str, depth: int, is_flat: bool, is_short: bool) -> bool:
    try:
        load("kestra._values.encoded")
        from kestra._values.encoded import is_plain, is_safe

        return (is_flat or is_plain(value, text, MAX_DEPTH - depth)) and (
            is_short or is_safe(value, text, MAX_DIGITS, MAX_TEXT, is_flat=is_flat)
        )
    except ImportError:  # a `__del__` or a handler sends a frame while such an import goes on
        return False


# --- any value, part by part; each of these may raise `RefusedError` --------------------------


def converted(value: object, readings: Readings | None = None) -> object:
    """What a value stands for, as a value of a JSON type, or as it is where it has no reading."""
    if type(value) in _CONTAINERS or isinstance(value, _SCALARS):
        return value
    load("kestra._values.table")
    from kestra._values import table

    if isinstance(plain := table.reading(value, readings or table.READINGS), table.Unreadable):
        raise RefusedError(TypeError, f"is of type {type_name(plain.value)}, {plain.reason}")
    return plain


def key_text(key: object) -> str:
    """The text of an object's key: what `json.dumps` makes of it, or that of a date, UUID, …."""
    if type(key) is str and key.isascii() and len(key) < MAX_TEXT:
        return key
    plain = key
    if not isinstance(key, _SCALARS):
        load("kestra._values.table")
        from kestra._values import table

        plain = table.reading(key, table.KEY_READINGS)
    if isinstance(plain, str):
        check_text(plain, "has a key with", "has a key of")
        return str.__str__(plain)  # of an Enum of text: the text, whose hash is another
    if isinstance(plain, float) and not is_finite(plain):
        return {"inf": "Infinity", "-inf": "-Infinity"}.get(float.__repr__(plain), "NaN")
    if (scalar := scalar_text(plain)) is None:
        raise RefusedError(TypeError, f"has a key of type {type_name(key)}: use text as keys")
    return scalar


def members(mapping: Mapping[Any, T]) -> dict[str, T]:
    """The values of an object by the text of their keys; two may not become the same."""
    values: dict[str, T] = {}
    for key, value in mapping.items():
        text = key_text(key)
        if text in values:
            reason = f"has two keys that become {_short(quote(text))}: rename one"
            raise RefusedError(ValueError, reason)
        values[text] = value
    return values


def scalar_text(value: object) -> str | None:
    """A value of a JSON type as JSON text; None where it is not a scalar."""
    if isinstance(value, str):
        check_text(value)
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


def is_finite(number: float) -> bool:
    """`math.isfinite`, for integers of any length too, and without loading `math`."""
    return -_INFINITY < number < _INFINITY


def utf16_length(text: str) -> int:
    """The length of a text as the engine, a Java program, counts it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def check_text(text: str, has: str = "has", is_of: str = "is a text of") -> None:
    """Refuse a text that the engine does not read, or crashes on."""
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
            f"{is_of} {MAX_TEXT:,} characters or more, which the engine drops: {_AS_FILE}",
        )


class _Container:
    """An object or a list that is being written."""

    __slots__ = ("close", "key", "parts", "separator", "source")

    def __init__(self, parts: Iterator[tuple[Any, Any]], close: str, source: object) -> None:
        self.parts = parts  # each value, by its key or index
        self.close = close
        self.source = source
        self.key: Any = None  # of the value that is being written
        self.separator = ""


class Walk:
    """Writes a value part by part, converting and checking each.

    The open containers are a list, not the call stack: a deep value must not meet Python's
    recursion limit before it meets the engine's.
    """

    def __init__(self, path: str, depth: int = 0) -> None:
        self._path = path
        self._depth = depth
        self._open: list[_Container] = []

    # What inputs have others of.
    as_file = _IN_OUTPUT_FILES
    convert: Callable[[Any], object] = staticmethod(converted)
    scalar: Callable[[Any], str | None] = staticmethod(scalar_text)
    quote: Callable[[str], str] = staticmethod(quote)

    def text(self, value: object, as_file: str = "") -> str:
        try:
            return "".join(self._chunks(value))
        except RefusedError as refusal:
            pieces = [path_piece(container.key) for container in self._open]
            if len(pieces) > _SHOWN_PIECES:
                pieces[_SHOWN_PIECES // 2 : -_SHOWN_PIECES // 2] = ["…"]
            raise refusal.at(self._path + "".join(pieces), as_file or self.as_file) from None

    def _chunks(self, value: object) -> Iterator[str]:
        yield self._begin(value)
        while self._open:
            container = self._open[-1]
            container.key = None  # what the next step refuses is the container itself
            part = next(container.parts, None)
            if part is None:
                yield self._open.pop().close
                continue
            container.key, value = part
            yield container.separator
            if container.close == "}":
                yield f"{self.quote(container.key)}: "
            yield self._begin(value)
            container.separator = ", "

    def _begin(self, value: object) -> str:
        """All of a scalar; of a container the opening bracket."""
        plain = self.convert(value)
        scalar = self.scalar(plain)
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
            self._open.append(_Container(iter(members(plain).items()), "}", value))
            return "{"
        if not is_list_like(plain):
            raise RefusedError(
                TypeError,
                f"is of type {type_name(plain)}, which JSON cannot hold: "
                "convert it to text, a number, a list or a dict",
            )
        self._open.append(_Container(enumerate(plain), "]", value))
        return "["


def path_piece(key: str | int | None) -> str:
    """A key or an index as a part of a path: `.ratio`, `["a b"]`, `[3]`; None is no part."""
    if not isinstance(key, str):
        return "" if key is None else f"[{key}]"
    return f".{key}" if key.isascii() and key.isidentifier() else f"[{_short(quote(key))}]"


def is_list_like(value: Any) -> TypeGuard[Iterable[Any]]:
    """Return True if a value stands for its items: also a generator or map(), but no open file.

    Nor an iterator without an end.
    """
    if isinstance(value, Iterator):
        kind = type(value)
        return kind.__module__ == "builtins" or (
            kind.__module__ == "itertools" and kind.__name__ not in _ENDLESS
        )
    return isinstance(value, (Sequence, AbstractSet, ValuesView))


def type_name(value: object) -> str:
    """The name of a value's type, with its module unless that is `builtins`."""
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
