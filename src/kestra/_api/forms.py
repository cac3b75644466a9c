"""What a value becomes on its way to the server: a form field, a file part, a label, a query.

Pure but for files, which `form` opens. Values are read by the table of outputs
(`kestra._values.table`); what inputs do otherwise stands first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

from kestra._api.files import file_content, file_part, is_file
from kestra._api.models import CORRELATION
from kestra._values.table import READINGS, Unreadable, own_text
from kestra._values.text import (
    MAX_DIGITS,
    RefusedError,
    Walk,
    check_text,
    converted,
    is_finite,
    is_list_like,
    scalar_text,
    type_name,
)
from kestra._values.times import instant_text, parse_instant, with_nanoseconds

if TYPE_CHECKING:
    from contextlib import ExitStack

    from kestra._api.files import Part
    from kestra._api.requests import ExecutionRequest
    from kestra._values.table import Readings

# --- how inputs differ from outputs -----------------------------------------------------------
#
# A path, an open file, bytes or a tuple is a file. None, NaT and NA are left out. A NaN or an
# infinity is refused; inside a list or a dict it is null, as in outputs. A Decimal is a number.
# A date and time without an offset is local time: the server refuses it without one. An object
# whose class defines `__str__` is sent as that text, as in 2.0.0: addresses, versions, URLs.

_AS_FILE = "write it to a file and send its path"


def _local_time(value: Any) -> str | Unreadable:
    try:
        return instant_text(value)
    except (OSError, OverflowError, ValueError):  # in the year 1 or 9999; on Windows before 1970
        return Unreadable(value, "whose local offset is not known: give it a time zone")


def _numpy_moment(value: Any) -> str | Unreadable | None:
    """The text of a date; of a date and time, which NumPy keeps without an offset, with one."""
    text = str(value)
    if "T" not in text or text == "NaT":
        return None if text == "NaT" else text
    moment = value.astype("datetime64[us]").item()
    nanoseconds = int(text.partition(".")[2].ljust(9, "0")[6:9])
    try:
        return with_nanoseconds(moment.astimezone(), nanoseconds)
    except (AttributeError, OSError, OverflowError, ValueError):  # years that `datetime` lacks
        return Unreadable(value, "whose local offset is not known: send a datetime")


_READINGS: Readings = {
    **{name: read for name, read in READINGS.items() if name != ("decimal", "Decimal")},
    ("datetime", "datetime"): _local_time,
    ("numpy", "datetime64"): _numpy_moment,
    # Of a `float32` its own digits, as in 2.0.0, and not those of the double beside it.
    ("numpy", "floating"): lambda number: float(str(number)),
}


def _stands_for(value: object) -> object:
    """What an input stands for: a value of a JSON type, a Decimal, or what will be refused."""
    if isinstance(value, tuple) or hasattr(type(value), "__dataclass_fields__"):
        text = own_text(value)
        value = value if text is None else text
    plain = converted(value, _READINGS)
    if isinstance(plain, str | float | int | Decimal | Mapping | None) or is_list_like(plain):
        return plain
    text = own_text(plain)
    return plain if text is None else text


def _number_text(number: float | Decimal) -> str:
    text = float.__repr__(number) if isinstance(number, float) else format(number, "f")
    if len(text) > MAX_DIGITS:
        raise RefusedError(
            ValueError, f"is a number of more than {MAX_DIGITS:,} digits: send it as text"
        )
    return text


def _json_scalar(plain: Any) -> str | None:
    if isinstance(plain, str):
        check_text(plain)
        return encode_basestring(plain)  # not in ASCII: labels are read by people
    if isinstance(plain, Decimal):
        return _number_text(plain) if plain.is_finite() else "null"
    return scalar_text(plain)


class _InputJSON(Walk):
    as_file = _AS_FILE
    convert = staticmethod(_stands_for)
    scalar = staticmethod(_json_scalar)
    quote = staticmethod(encode_basestring)


def _readable_again(value: object) -> object:
    if isinstance(value, Iterator):
        raise RefusedError(TypeError, "")  # read by nobody: the label is left out
    return _stands_for(value)


class _LabelJSON(_InputJSON):
    """For labels from inputs: what a generator yields is for the input itself."""

    convert = staticmethod(_readable_again)


def text_of(value: Any, path: str = "the value") -> str:
    """The text that the engine reads a value from; None is empty. Errors begin with the path."""
    return _text_of(value, path) or ""


def _text_of(value: Any, path: str, walk: type[_InputJSON] = _InputJSON) -> str | None:
    """As `text_of`; None of what is left out."""
    try:
        plain = walk.convert(value)
        if plain is None:
            return None
        if isinstance(plain, str):
            check_text(plain)
            text = str.__str__(plain)
        elif isinstance(plain, float | Decimal):
            if not (plain.is_finite() if isinstance(plain, Decimal) else is_finite(plain)):
                raise RefusedError(ValueError, "is not finite: leave it out")  # noqa: TRY301
            text = _number_text(plain)
        else:
            text = scalar_text(plain) or walk(path).text(plain)
    except RefusedError as refusal:
        raise refusal.at(path, _AS_FILE) from None
    # Two surrogates that belong together become the character that they stand for.
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def _plain_text(value: Any) -> str | None:
    """As `text_of`, of the plain values that most are, which need no table; None of any other."""
    kind = type(value)
    if kind is str:
        return str(value) if value.isascii() and len(value) <= MAX_DIGITS else None
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value) if -(2**63) <= value < 2**63 else None
    return str(value.isoformat()) if kind is date else None


# --- inputs -----------------------------------------------------------------------------------


def form(inputs: Mapping[str, Any], opened: ExitStack) -> dict[str, Part]:
    """Return inputs as the `files` of a request.

    A file part bears the input's id twice, as part name and as filename: engines before 1.0 read
    the filename only, later ones the part name. Each error names the input. What is opened here,
    `opened` closes.
    """
    if not isinstance(inputs, Mapping):
        raise TypeError(f"inputs must be a mapping by input id, not {type_name(inputs)}")
    parts: dict[str, Part] = {}
    for name, value in inputs.items():
        if not isinstance(name, str):
            raise TypeError(f"inputs must have strings as ids, not {type_name(name)}")
        if (text := _plain_text(value)) is not None:
            parts[name] = (None, text)
            continue
        path = f"inputs[{name!r}]"
        if isinstance(value, tuple) and is_file(value):
            parts[name] = file_part(path, value, opened)
        elif is_file(value):
            parts[name] = (name, file_content(path, value, opened))
        else:
            text = _text_of(value, path)
            if text is not None:
                parts[name] = (None, text)
    return parts


# --- labels, and the query of a creation ------------------------------------------------------


def labels_of(inputs: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels that inputs make; those that the server would refuse are left out."""
    made = {}
    for key, value in inputs.items():
        if not is_file(value):
            try:
                made[key] = _text_of(value, "", _LabelJSON) or ""
            except (TypeError, ValueError):
                continue  # the input itself is refused, or its values can be read only once
    return {k: v for k, v in made.items() if k != CORRELATION and not _label_fault(k, v)}


def checked_labels(labels: Mapping[str, Any], *, sets: bool = True) -> dict[str, str]:
    """Return explicit labels as text; an error names the key. All may be searched for."""
    if not isinstance(labels, Mapping):
        raise TypeError(f"labels must be a mapping, not {type_name(labels)}")
    checked = {}
    for key, value in labels.items():
        text = text_of(value, f"labels[{key!r}]")
        if fault := _label_fault(key, text, sets=sets):
            raise ValueError(f"labels[{key!r}] {fault}")
        checked[key] = text
    return checked


def _label_fault(key: object, value: str, *, sets: bool = True) -> str:
    """Return why the server would refuse a label, or nothing."""
    if not isinstance(key, str) or not key:
        return "must have a string that is not empty as its key"
    faults = {
        "must not have white space in its key": any(character.isspace() for character in key),
        "must not have a colon in its key, where the server splits it": ":" in key,
        f"is reserved: of system labels, only {CORRELATION} may be set": (
            sets and key.startswith("system.") and key != CORRELATION
        ),
        "must have a value": not value.strip(),
        "has a lone surrogate in its key": any("\ud800" <= c <= "\udfff" for c in key),
    }
    return next((fault for fault, true in faults.items() if true), "")


def creation_query(labels: Mapping[str, str], revision: int | None, schedule_date: Any) -> str:
    """Return the query of a creation, with its question mark, or nothing."""
    query = [("labels", f"{key}:{value}") for key, value in labels.items()]
    if revision is not None:
        query.append(("revision", checked_revision(revision)))
    if schedule_date is not None:
        query.append(("scheduleDate", _schedule_date(schedule_date)))
    return "?" + "&".join(f"{k}={quote(v, safe=':')}" for k, v in query) if query else ""


def checked_revision(revision: int) -> str:
    """Return a revision as text, if the server would not ignore it, and run the latest."""
    if isinstance(revision, bool) or not isinstance(revision, int):
        raise TypeError(f"revision must be an integer, not {type_name(revision)}")
    if revision < 1:
        raise ValueError("revision must be 1 or more")
    return str(revision)


def _schedule_date(value: object) -> str:
    """Return a date that the server does not ignore: one with an offset."""
    if isinstance(value, str):
        moment = parse_instant(value)
        if moment is not None:
            return moment.isoformat()
        if parse_instant(f"{value}Z") is None:
            raise ValueError(
                "schedule_date must be a datetime, or text such as '2026-01-31T10:00:00+01:00'"
            )
        raise ValueError(
            "schedule_date must have an offset, such as Z or +02:00; without one, the server would "
            "run the flow at once"
        )
    text = None if is_file(value) else text_of(value, "schedule_date")
    if text is None or parse_instant(text) is None:
        raise TypeError(f"schedule_date must be a datetime, not {type_name(value)}")
    return text


def creation_of(
    request: ExecutionRequest, opened: ExitStack, *, labels_from_inputs: bool, idempotent: bool
) -> tuple[str, dict[str, Any]]:
    """Return what creates an execution: the query, with its question mark, and the form."""
    inputs = {} if request.inputs is None else request.inputs
    files = form(inputs, opened)
    labels = labels_of(inputs) if labels_from_inputs else {}
    labels |= checked_labels(request.labels or {})
    if idempotent and CORRELATION not in labels:
        labels = {CORRELATION: str(uuid4()), **labels}
    return creation_query(labels, request.revision, request.schedule_date), files
