"""What becomes of a value on its way to the server."""

import io
import json
from contextlib import ExitStack
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import PurePosixPath
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kestra._api.forms import (
    CORRELATION,
    checked_labels,
    form,
    is_file,
    labels_of,
    text_of,
)
from kestra._values.times import iso_duration

EAST = timezone(timedelta(hours=2))


class Colour(Enum):
    RED = "red"


class Number(IntEnum):
    TWO = 2


def fields(**inputs):
    """Return the form of inputs that are no files, as text by id."""
    with ExitStack() as opened:
        return {name: text for name, (_, text) in form(inputs, opened).items()}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        (True, "true"),
        (False, "false"),
        (3, "3"),
        (1.5, "1.5"),
        (2**70, str(2**70)),
        ({"a": [1, None, True]}, '{"a": [1, null, true]}'),
        ([1, "é"], '[1, "é"]'),
        ([float("nan"), float("inf")], "[null, null]"),
        ({"d": date(2026, 1, 2), "x": Decimal("1.5"), "n": Decimal(3)},
         '{"d": "2026-01-02", "x": 1.5, "n": 3}'),
        ({"t": (1, Colour.RED), "u": UUID(int=1), "p": PurePosixPath("/a"), "w": Decimal("NaN")},
         '{"t": [1, "red"], "u": "00000000-0000-0000-0000-000000000001", "p": "/a", "w": null}'),
        ({True: 1, Colour.RED: 2}, '{"true": 1, "red": 2}'),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=EAST), "2026-01-02T03:04:05+02:00"),
        (datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone.utc), "2026-01-02T03:04:05.000006+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4, 5), "03:04:05"),
        (timedelta(days=1, seconds=1.5), "PT86401.5S"),
        (Decimal("1E+2"), "100"),
        (Decimal("0.10"), "0.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        (Number.TWO, "2"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_value_is_sent_as_the_engine_reads_it(value, text):
    """Booleans, JSON, dates, durations, numbers and enums take the form that is accepted."""
    assert text_of(value) == text
    assert fields(i=value) == {"i": text}


def test_a_naive_datetime_is_local_time(monkeypatch):
    """The engine refuses a datetime without an offset; the local one is added."""
    naive = datetime(2026, 7, 1, 12)  # noqa: DTZ001  # the point of the test
    assert datetime.fromisoformat(text_of(naive)) == naive.astimezone()
    assert datetime.fromisoformat(text_of(naive)).utcoffset() is not None


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "PT0S"),
        (timedelta(microseconds=1), "PT0.000001S"),
        (timedelta(seconds=-1.5), "PT-1.5S"),
        (timedelta(days=-1), "PT-86400S"),
        (timedelta(milliseconds=-1), "PT-0.001S"),
    ],
)
def test_durations_are_exact(duration, text):
    """A duration is written in seconds, to the microsecond, negative ones too."""
    assert iso_duration(duration) == text


@given(st.timedeltas())
def test_every_duration_can_be_read_back(duration):
    """What is written has the value that was meant."""
    text = iso_duration(duration)
    assert (text[:2], text[-1]) == ("PT", "S")
    assert Decimal(text[2:-1]) * 1_000_000 == duration // timedelta(microseconds=1)


def test_none_is_left_out():
    """An input that is `None` is not sent, so that its default applies."""
    assert fields(a=None, b=1) == {"b": "1"}


def test_other_values_are_sent_as_their_text():
    """What the package knows nothing of goes as `str(value)`, as published."""

    class Own:
        def __str__(self):
            return "own"

    assert fields(i=Own()) == {"i": "own"}


def test_files_bear_the_inputs_id_as_part_name_and_filename(tmp_path):
    """Every engine finds a file whose part name and filename are both the input's id."""
    path = tmp_path / "some name.txt"
    path.write_bytes(b"from a path")
    opened_by_caller = io.BytesIO(b"from a file")
    with ExitStack() as opened:
        inputs = {"p": path, "f": opened_by_caller, "b": b"bytes", "m": memoryview(b"view")}
        parts = form(inputs, opened)
        assert [filename for filename, _ in parts.values()] == ["p", "f", "b", "m"]
        assert parts["p"][1].read() == b"from a path"
        assert parts["f"][1] is opened_by_caller
        assert (parts["b"][1], parts["m"][1]) == (b"bytes", b"view")
    assert parts["p"][1].closed
    assert not opened_by_caller.closed


def test_a_path_in_a_tuple_is_opened(tmp_path):
    """It used to be sent as the content; filename, type and headers stay."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b")
    with ExitStack() as opened:
        name, file, *rest = form({"f": ("myfile", path, "text/csv", {"X": "1"})}, opened)["f"]
        assert (name, file.read(), *rest) == ("myfile", b"a,b", "text/csv", {"X": "1"})
    assert file.closed


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (("f", (line for line in ())), "have a path, .* not generator"),
        (("f", {"t0psecret": 1}), "have a path, .* not dict"),
        (("f", 1.5), "have a path, .* not float"),
        (("f",), "be a tuple of filename, file"),
        ((), "be a tuple of filename, file"),
        (("f", b"", "a", {}, "t0psecret"), "be a tuple of filename, file"),
    ],
)
def test_a_tuple_that_is_no_file_is_refused(value, words):
    """The error names the input, and not its value."""
    with (
        ExitStack() as opened,
        pytest.raises(TypeError, match=rf"inputs\['f'\] must {words}") as caught,
    ):
        form({"f": value}, opened)
    assert "t0psecret" not in str(caught.value)


def test_a_tuple_is_passed_on_as_published():
    """`(filename, file, content type)` means what it means for `requests`."""
    given_tuple = ("myfile", io.BytesIO(b"x"), "text/plain")
    with ExitStack() as opened:
        assert form({"files": given_tuple}, opened) == {"files": given_tuple}


def test_a_path_that_is_not_there_is_an_error_before_anything_is_sent(tmp_path):
    """A missing file is `FileNotFoundError`."""
    with ExitStack() as opened, pytest.raises(FileNotFoundError):
        form({"f": tmp_path / "nope"}, opened)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ({1: "x"}, TypeError, "inputs must have strings as ids, not int"),
        (
            {"j": {"k": object()}},
            TypeError,
            r"inputs\['j'\] contains a value that JSON cannot express",
        ),
        ({"s": "se\ud800cret"}, ValueError, r"inputs\['s'\] has a lone surrogate"),
        ({"j": ["se\ud800cret"]}, ValueError, r"inputs\['j'\] has a lone surrogate"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_its_name(inputs, error, message):
    """The error names the input, and never shows its value."""
    with ExitStack() as opened, pytest.raises(error, match=message) as caught:
        form(inputs, opened)
    assert "cret" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# --- labels ---


def test_inputs_become_labels_where_the_server_takes_them():
    """What makes no label is left out: files, nothing, empty text, odd keys."""
    inputs = {
        "day": date(2026, 1, 2),
        "flag": True,
        "json": {"a": 1},
        "none": None,
        "empty": "",
        "blank": " ",
        "two words": "x",
        "a:b": "x",
        "": "x",
        "system.from": "x",
        CORRELATION: "x",
        "file": b"x",
        "tuple": ("f", b"x"),
        "path": PurePosixPath("/x"),
        "surrogate": "\ud800",
    }
    assert labels_of(inputs) == {"day": "2026-01-02", "flag": "true", "json": '{"a": 1}'}


def test_explicit_labels_are_text():
    """Labels take the same forms as inputs; one's own correlation id is welcome."""
    labels = checked_labels({"team": "x", "n": 3, "on": True, CORRELATION: "mine"})
    assert labels == {"team": "x", "n": "3", "on": "true", CORRELATION: "mine"}


def test_inputs_and_labels_are_mappings():
    """A list is refused by the name of the argument."""
    with ExitStack() as opened, pytest.raises(TypeError, match=r"^inputs must be .*, not list"):
        form(["a"], opened)
    with pytest.raises(TypeError, match=r"^labels must be .*, not list"):
        checked_labels(["a:b"])


@pytest.mark.parametrize(
    ("label", "fault"),
    [
        ({"k": ""}, "must have a value"),
        ({"k": None}, "must have a value"),
        ({"": "v"}, "not empty as its key"),
        ({1: "v"}, "must have a string"),
        ({"a b": "v"}, "must not have white space"),
        ({"a:b": "v"}, "must not have a colon"),
        ({"system.from": "v"}, "is reserved"),
        ({"k": "\ud800"}, "lone surrogate"),
    ],
)
def test_explicit_labels_that_the_server_would_refuse_are_refused_here(label, fault):
    """The error names the key and the reason."""
    with pytest.raises(ValueError, match=fault) as caught:
        checked_labels(label)
    assert repr(next(iter(label))) in str(caught.value)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_inputs_are_json(value):
    """Whatever is in a list, it is JSON that a parser reads back."""
    infinite = json.loads(json.dumps([value]), parse_constant=lambda _: None)
    assert json.loads(text_of([value])) == infinite


@pytest.mark.parametrize(
    ("value", "file"),
    [
        (b"", True),
        (io.BytesIO(), True),
        (("n", b""), True),
        (PurePosixPath("a"), True),
        ("a", False),
    ],
)
def test_files_are_told_from_values(value, file):
    """Bytes, paths, open files and tuples are files."""
    assert is_file(value) is file
