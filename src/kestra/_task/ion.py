"""Ion files: the rows that Kestra tasks hand on to each other. Text, and binary from 2.0 on.

Importing this module imports the Ion library, which is an extra; `Kestra.read` does so on use. The
library's C extension does the work, and its bare value model makes it fast: Python's own types
where they lose nothing, the library's for the rest. `_plain` turns those into Python's too.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal
from io import BufferedReader, BytesIO, FileIO, TextIOWrapper

from kestra.exceptions import IonError

try:
    from amazon.ion import simpleion
    from amazon.ion.simple_types import (
        IonPyBool,
        IonPyBytes,
        IonPyDecimal,
        IonPyDict,
        IonPyList,
        IonPyNull,
        IonPyStdDict,
        IonPyText,
    )
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "reading Ion files needs the Ion library: pip install 'kestra[ion]'", name=error.name
    ) from None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from os import PathLike
    from typing import Any

_BARE = simpleion.IonPyValueModel.MAY_BE_BARE | simpleion.IonPyValueModel.STRUCT_AS_STD_DICT
_BINARY_START = b"\xe0\x01\x00\xea"
_MAX_TEXT = 64 * 2**20  # bytes of one value in a text file; the library's default is 32 KiB

_ISO_LENGTH = len("2024-04-21T13:43:24")
_ISO = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?"
    r"(Z|[+-][0-9]{2}:[0-5][0-9])?"
).fullmatch


def read(path: str | PathLike[str]) -> list[Any]:
    """See `Kestra.read`."""
    with FileIO(path) as file:
        data = file.readall()
    try:
        with _source(BytesIO(data)) as source:
            rows = _load(source, eagerly=True)
    except Exception:  # noqa: BLE001  # without its C extension, the library raises all sorts
        with _source(BytesIO(data)) as source:
            rows = list(_numbered(source, path))  # once more, for the number of the row
    return [_plain(row) for row in rows]


def read_rows(path: str | PathLike[str]) -> Iterator[Any]:
    """See `Kestra.read_rows`."""
    with _source(FileIO(path)) as source:
        for row in _numbered(source, path):
            yield _plain(row)


def _source(raw: FileIO | BytesIO) -> BufferedReader | TextIOWrapper:
    """What the library reads from. Binary Ion begins with a marker, text does not."""
    file: BufferedReader = BufferedReader(raw)
    if file.peek(len(_BINARY_START)).startswith(_BINARY_START):
        return file
    # Decoded here, because the C extension crashes on a field name that is not UTF-8.
    return TextIOWrapper(file, encoding="utf-8", newline="")


def _load(source: BufferedReader | TextIOWrapper, *, eagerly: bool) -> Iterable[Any]:
    rows: Iterable[Any] = simpleion.load(  # pyright: ignore[reportAssignmentType]  # of any value
        source,
        single_value=False,
        parse_eagerly=eagerly,
        text_buffer_size_limit=_MAX_TEXT,
        value_model=_BARE,
    )
    return rows


def _numbered(source: BufferedReader | TextIOWrapper, path: str | PathLike[str]) -> Iterator[Any]:
    number = 0
    try:
        rows = enumerate(_load(source, eagerly=False), start=1)
        for number, row in rows:  # noqa: B007  # the error below uses it
            yield row
    except Exception as error:  # noqa: BLE001  # without its C extension, all sorts
        # Only the C extension's messages are sure to show nothing of the file.
        reason = str(error).strip() if simpleion.c_ext else type(error).__name__
        raise IonError(
            f"cannot read row {number + 1} of '{path}' ({reason}): "
            "the file may be cut short, corrupt, or not Ion at all"
        ) from None


def _plain(value: Any) -> Any:
    convert = _CONVERSIONS.get(type(value))
    return value if convert is None else convert(value)


def _struct(value: dict[str, Any]) -> dict[str, Any]:
    for key, item in value.items():
        convert = _CONVERSIONS.get(type(item))
        if convert is not None:
            value[key] = convert(item)
    return value


def _copied_struct(value: IonPyDict | IonPyStdDict) -> dict[str, Any]:
    return _struct(dict(value.items()))


def _list(value: list[Any]) -> list[Any]:
    return [_plain(item) for item in value]


def _lob(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _text(value: str) -> str | datetime:
    if len(value) < _ISO_LENGTH:
        return value
    iso = value.split("::")[1].strip('"') if value.startswith("LocalDateTime::") else value
    match = _ISO(iso)
    if match is None:
        return value
    try:
        return datetime.fromisoformat(iso)
    except ValueError:
        return _unusual(*match.groups("")) or value


def _unusual(day: str, time: str, fraction: str, offset: str) -> datetime | None:
    """What `fromisoformat` refuses: 24:00:00 before Python 3.14, much before 3.11."""
    end_of_day = time == "24:00:00" and not fraction[:6].strip("0")
    if end_of_day:
        time = "00:00:00"
    if offset == "Z":
        offset = "+00:00"
    try:
        moment = datetime.fromisoformat(f"{day}T{time}.{fraction:0<6.6}{offset}")
        return moment + timedelta(days=end_of_day)
    except (ValueError, OverflowError):  # the 30th of February, say
        return None


_CONVERSIONS: dict[type, Callable[[Any], Any]] = {
    str: _text,
    Decimal: float,
    bytes: _lob,
    dict: _struct,
    list: _list,
    # What is annotated, or has no bare form; and all that the library reads without C extension.
    IonPyText: _text,
    IonPyDecimal: float,
    IonPyBytes: _lob,
    IonPyStdDict: _copied_struct,
    IonPyDict: _copied_struct,
    IonPyList: _list,
    IonPyBool: bool,
    IonPyNull: lambda _: None,
}
