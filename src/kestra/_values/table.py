"""What a Python value stands for: the one table, for outputs and inputs. Pure.

Loaded with the first value that is not of a JSON type.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeAlias

    Readings: TypeAlias = Mapping[tuple[str, str], Callable[[Any], Any]]


class Unreadable:
    """In the place of a value that has no obvious lossless reading: why, and what to do."""

    __slots__ = ("reason", "value")

    def __init__(self, value: object, reason: str) -> None:
        self.value = value
        self.reason = reason


def reading(value: object, readings: Readings) -> object:
    """What a value stands for; itself where nothing is known of it.

    Until no reading fits: the value of an Enum may be a date.
    """
    while (read := _reading_of(type(value), readings)) is not None:
        value = read(value)
    return value


def own_text(value: object) -> str | None:
    """The text of an object whose class defines one; None of others, and of arrays and tables."""
    if type(value).__str__ is object.__str__ or hasattr(value, "__array__"):
        return None
    text = str(value)
    return None if text.startswith("<") and " at 0x" in text else text


def _reading_of(kind: type, readings: Readings) -> Callable[[Any], Any] | None:
    """The reading of the nearest base class that has one."""
    for base in kind.__mro__:
        if read := readings.get((base.__module__.partition(".")[0], base.__qualname__)):
            return read
    return readings.get(_DATACLASS) if hasattr(kind, "__dataclass_fields__") else None


def _unreadable(reason: str) -> Callable[[Any], Unreadable]:
    return lambda value: Unreadable(value, reason)


def _fields(value: Any) -> dict[str, Any]:
    from dataclasses import fields

    return {field.name: getattr(value, field.name) for field in fields(value)}


def _duration(value: Any) -> str:
    from kestra._values.times import iso_duration

    return iso_duration(value)


def _isoformat(value: Any) -> str:
    return str(value.isoformat())


def _null(_: object) -> None:
    return None


def _list(value: Any) -> object:
    return value.tolist()


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
        return Unreadable(
            value, 'whose unit has no ISO 8601 text: send value.astype("timedelta64[ns]")'
        )
    return _duration(int(count) * _NANOSECONDS[unit])


def _numpy_array(value: Any) -> object:
    if value.dtype.kind not in "mM":
        return value.tolist()  # of an array without dimensions: its one element
    return list(value) if value.ndim else value[()]  # not bare numbers of nanoseconds


def _pydantic_model(value: Any) -> object:
    return value.model_dump() if hasattr(value, "model_dump") else value.dict()


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

_AS_FILE = "{as a file}"  # a remedy that differs: see `RefusedError`
_binary = _unreadable(f"which JSON cannot hold: decode it to text, or {_AS_FILE}")
_complex = _unreadable("which JSON cannot hold: send its parts, [value.real, value.imag]")
_table = _unreadable(f"which is too large: {_AS_FILE}")
_column = _unreadable("whose index would be lost: send value.tolist() or value.to_dict()")
_index = _unreadable("which JSON cannot hold: send value.tolist()")
_query = _unreadable("which has no value yet: send its result")

_DATACLASS = ("dataclasses", "dataclass")  # which has no class of its own
# By name, so that none of the libraries is imported: (top-level package, class).
READINGS: Readings = {
    _DATACLASS: _fields,
    ("builtins", "bytes"): _binary,
    ("builtins", "bytearray"): _binary,
    ("builtins", "memoryview"): _binary,
    ("builtins", "complex"): _complex,
    ("collections", "UserString"): str,
    ("datetime", "date"): _isoformat,
    ("datetime", "time"): _isoformat,
    ("datetime", "timedelta"): _duration,
    ("decimal", "Decimal"): lambda number: str(number) if number.is_finite() else None,
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
    # Not its `isoformat()`: of the durations that begin with days, servers read none as input.
    ("pandas", "Timedelta"): lambda duration: _duration(duration.value),
    ("pandas", "DataFrame"): _table,
    ("pandas", "Series"): _column,
    ("pandas", "Index"): _index,
    ("pandas", "ExtensionArray"): _list,
    ("polars", "DataFrame"): _table,
    ("polars", "LazyFrame"): _table,
    ("polars", "Series"): lambda series: series.to_list(),
    ("polars", "Expr"): _query,
    ("pyarrow", "Table"): _table,
    ("pyarrow", "RecordBatch"): _table,
    ("pyarrow", "ChunkedArray"): _list,
    ("pyarrow", "Array"): _list,
    ("pyarrow", "Scalar"): lambda scalar: scalar.as_py(),
    ("pydantic", "BaseModel"): _pydantic_model,
}
KEY_READINGS: Readings = {
    name: READINGS[name]
    for name in (("datetime", "date"), ("enum", "Enum"), ("pathlib", "PurePath"), ("uuid", "UUID"))
}
