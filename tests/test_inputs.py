"""What becomes of a value on its way to the server."""

import collections
import dataclasses
import io
import ipaddress
import json
import re
import time as time_module
import types
from contextlib import ExitStack
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import quote
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kestra._api.forms import (
    CORRELATION,
    checked_labels,
    creation_query,
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


class Missing(Enum):
    VALUE = None


SECRET = "hunter2"  # no value may be seen in an error


def refusal(**inputs):
    """The type and the text of the error for these inputs."""
    with ExitStack() as opened, pytest.raises((TypeError, ValueError)) as caught:
        form(inputs, opened)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.type, str(caught.value)


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
        (timedelta(days=1, seconds=1.5), "PT24H1.5S"),
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


@pytest.mark.skipif(not hasattr(time_module, "tzset"), reason="no other time zone on Windows")
@pytest.mark.parametrize(
    ("zone", "naive", "fold", "offset"),
    [
        ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-07-01T12:00:00", 0, "+02:00"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-01-31T01:02:03.000004", 0, "+01:00"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-10-25T02:30:00", 0, "+02:00"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-10-25T02:30:00", 1, "+01:00"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "0001-01-01T00:00:00", 0, None),
        ("EST5", "9999-12-31T23:00:00", 0, None),
    ],
)
def test_local_time(monkeypatch, zone, naive, fold, offset):
    """The offset is that of the day and hour; the first and the last possible day have none."""
    value = datetime.fromisoformat(naive).replace(fold=fold)
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time_module.tzset()
        try:
            if offset is None:
                message = refusal(i=[value])[1]
                assert message.startswith("inputs['i'][0] is of type datetime.datetime, whose loca")
            else:
                assert fields(i=value) == {"i": naive + offset}
        finally:
            patch.undo()
            time_module.tzset()


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "PT0S"),
        (timedelta(microseconds=1), "PT0.000001S"),
        (timedelta(seconds=-1.5), "-PT1.5S"),
        (timedelta(days=-1), "-PT24H"),
        (timedelta(milliseconds=-1), "-PT0.001S"),
        (1, "PT0.000000001S"),
        (-90_000_000_000, "-PT1M30S"),
    ],
)
def test_durations_are_exact(duration, text):
    """A timedelta is written to the microsecond, a number of nanoseconds to the last one."""
    assert iso_duration(duration) == text


@given(st.timedeltas())
def test_every_duration_can_be_read_back(duration):
    """What is written has the value that was meant."""
    sign, hours, minutes, seconds = re.fullmatch(
        r"(-?)PT(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?", iso_duration(duration)
    ).groups(default="0")
    length = int(hours) * 3_600 + int(minutes) * 60 + Decimal(seconds)
    microseconds = duration // timedelta(microseconds=1)
    assert length * 1_000_000 == abs(microseconds)
    assert (sign == "-") is (microseconds < 0)


def test_none_is_left_out():
    """An input that is `None` is not sent, so that its default applies."""
    assert fields(a=None, b=1) == {"b": "1"}


@dataclasses.dataclass
class Version:
    major: int

    def __str__(self):
        return f"v{self.major}"


class Ratio(float, Enum):
    HALF = 0.5


class Url(NamedTuple):
    host: str

    def __str__(self):
        return f"http://{self.host}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (ipaddress.ip_address("10.0.0.1"), "10.0.0.1"),
        (ipaddress.ip_network("10.0.0.0/8"), "10.0.0.0/8"),
        (Version(3), "v3"),
        (Url("h"), "http://h"),
        (Fraction(1, 3), "1/3"),
        (Ratio.HALF, "0.5"),
        ([Version(3), {"at": Url("h")}], '["v3", {"at": "http://h"}]'),
    ],
    ids=str,
)
def test_an_object_is_sent_as_the_text_that_its_class_defines(value, text):
    """So it is in 2.0.0; versions, addresses and URLs are meant to be read so."""
    assert fields(i=value) == {"i": text}
    assert labels_of({"i": value}) == {"i": text}


@dataclasses.dataclass
class Order:
    id: int
    amount: object


LIKE_OUTPUTS = [
    (np.int64(2), "2"),
    (np.float32(0.5), "0.5"),
    (np.float32(0.1), "0.1"),
    (np.float16(0.1), "0.1"),
    ([np.float32(0.1)], "[0.1]"),
    (np.longdouble(0.5), "0.5"),
    (np.bool_(True), "true"),
    (np.str_("text"), "text"),
    ({"n": np.int64(2)}, '{"n": 2}'),
    (np.array([1, 2]), "[1, 2]"),
    (np.array(3), "3"),
    (np.array([1.5, np.nan]), "[1.5, null]"),
    (np.datetime64("2026-01-31"), "2026-01-31"),
    (np.timedelta64(3, "s"), "PT3S"),
    ({1}, "[1]"),
    ((n for n in range(2)), "[0, 1]"),
    (range(3), "[0, 1, 2]"),
    (map(str, [1]), '["1"]'),
    ({"a": 1}.keys(), '["a"]'),
    (Order(7, Decimal("80.50")), '{"id": 7, "amount": 80.50}'),
    ([Order(7, None)], '[{"id": 7, "amount": null}]'),
    (collections.UserString("text"), "text"),
    (collections.deque([1]), "[1]"),
    ([Decimal("1E+2"), Decimal("0.1000000000000000000001")], "[100, 0.1000000000000000000001]"),
    ("\ud83d\ude00", "😀"),
    (["\ud83d\ude00"], '["😀"]'),
]


@pytest.mark.parametrize(
    ("value", "text"), LIKE_OUTPUTS, ids=lambda it: repr(it).partition(" at 0x")[0][:40]
)
def test_values_are_read_as_in_outputs(value, text):
    """NumPy's values, sets, generators, dataclasses: what they stand for, never their `repr`."""
    assert fields(i=value) == {"i": text}


@pytest.mark.parametrize(
    "value", [np.datetime64("NaT", "s"), np.timedelta64("NaT", "s"), np.ma.masked, Missing.VALUE]
)
def test_what_is_missing_is_left_out(value):
    """An input without a value is not sent, so that its default applies."""
    assert fields(a=value, b=1) == {"b": "1"}
    assert labels_of({"a": value}) == {}
    with pytest.raises(ValueError, match=r"^labels\['a'\] must have a value"):
        checked_labels({"a": value})


def test_moments_of_numpy_are_local():
    """They have no offset, which a server insists on; nanoseconds are kept."""
    offset = datetime(2026, 7, 1, 12).astimezone().isoformat()[-6:]  # local
    sent = fields(
        s=np.datetime64("2026-07-01T12"), n=np.datetime64("2026-07-01T12:00:00.000000007")
    )
    assert sent == {
        "s": f"2026-07-01T12:00:00{offset}",
        "n": f"2026-07-01T12:00:00.000000007{offset}",
    }


def test_pandas():
    """Its timestamps, durations and arrays, with a time zone and without one."""
    pd = pytest.importorskip("pandas")
    sent = fields(
        aware=pd.Timestamp("2026-01-31T10:00:00.000000001", tz="Europe/Berlin"),
        naive=[pd.Timestamp("2026-07-01T12:00")],
        exact=pd.Timestamp("2026-07-01T12:00:00.000000007"),
        nat=pd.NaT,
        na=pd.NA,
        missing=[pd.NaT, pd.NA],
        duration=pd.Timedelta("1.5s"),
        array=pd.array([1, None]),
        period=pd.Period("2026-01"),
    )
    offset = datetime(2026, 7, 1, 12).astimezone().isoformat()[-6:]  # local
    assert sent == {
        "aware": "2026-01-31T10:00:00.000000001+01:00",
        "naive": f'["2026-07-01T12:00:00{offset}"]',
        "exact": f"2026-07-01T12:00:00.000000007{offset}",
        "missing": "[null, null]",
        "duration": "PT1.5S",
        "array": "[1, null]",
        "period": "2026-01",
    }
    day = pd.Timestamp("2026-07-01T12:00")
    assert checked_labels({"day": day}) == {"day": f"2026-07-01T12:00:00{offset}"}
    query = creation_query({}, None, day)
    assert query == f"?scheduleDate=2026-07-01T12:00:00{quote(offset, safe=':')}"
    frame = pd.DataFrame({"a": [SECRET]})
    for value, path in [
        (frame, ""),
        ([frame], "[0]"),
        ((each for each in [frame]), "[0]"),
        ({"a": frame}, ".a"),
    ]:
        error, message = refusal(i=value)
        assert error is TypeError
        assert message.startswith(f"inputs['i']{path} is of type pandas.")
        assert "DataFrame, which is too large" in message
        assert message.endswith(": write it to a file and send its path")
    assert "value.tolist()" in refusal(i=frame["a"])[1]


def test_polars():
    """A series is a list, a table a file, and an expression has no value."""
    pl = pytest.importorskip("polars")
    assert fields(i=pl.Series([1, 2])) == {"i": "[1, 2]"}
    table = pl.DataFrame({"a": [SECRET]})
    assert "send its path" in refusal(i=table)[1]
    assert "send its path" in refusal(i=table.lazy())[1]
    assert "has no value yet" in refusal(i=pl.col("a"))[1]


def test_pydantic():
    """A model is an object, a URL its text."""
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Order", day=date, url=pydantic.HttpUrl)
    order = model(day=date(2026, 1, 2), url="http://h/a")
    assert fields(i=order) == {"i": '{"day": "2026-01-02", "url": "http://h/a"}'}
    assert fields(i=order.url) == {"i": "http://h/a"}


class Bare:
    pass


class Shown:
    def __str__(self):
        return repr(self)


class Arrow:
    def __str__(self):
        return "[1 2]"

    def __array__(self):
        raise AssertionError("is not asked for")


HELD = "which JSON cannot hold: convert it to text, a number, a list or a dict"
NOT_SENT = [
    (float("nan"), ValueError, " is not finite: leave it out"),
    (float("-inf"), ValueError, " is not finite: leave it out"),
    (np.float32("inf"), ValueError, " is not finite: leave it out"),
    (Decimal("sNaN"), ValueError, " is not finite: leave it out"),
    (Decimal("1E+5000"), ValueError, " is a number of more than 1,000 digits: send it as text"),
    (10**5000, ValueError, " is an integer of more than 1,000 digits: send it as text"),
    ([10**5000], ValueError, "[0] is an integer of more than 1,000 digits: send it as text"),
    (object(), TypeError, f" is of type object, {HELD}"),
    (Bare(), TypeError, f" is of type test_inputs.Bare, {HELD}"),
    (Shown(), TypeError, f" is of type test_inputs.Shown, {HELD}"),
    (Arrow(), TypeError, f" is of type test_inputs.Arrow, {HELD}"),
    (Bare, TypeError, f" is of type type, {HELD}"),
    (len, TypeError, f" is of type builtin_function_or_method, {HELD}"),
    ({"n": [0, 1, Bare()]}, TypeError, f".n[2] is of type test_inputs.Bare, {HELD}"),
    (np.array([Bare()]), TypeError, f"[0] is of type test_inputs.Bare, {HELD}"),
    ((Bare() for _ in "a"), TypeError, f"[0] is of type test_inputs.Bare, {HELD}"),
    (1j, TypeError, " is of type complex, which JSON cannot hold: send its parts, "),
    ([b""], TypeError, "[0] is of type bytes, which JSON cannot hold: decode it to text, or write"),
    ({(1, 2): 1}, TypeError, " has a key of type tuple: use text as keys"),
    ({1: 1, "1": 2}, ValueError, ' has two keys that become "1": rename one'),
    (np.timedelta64(1, "Y"), TypeError, " is of type numpy.timedelta64, whose unit has no ISO"),
    (np.datetime64("20000-01-01T00"), TypeError, " is of type numpy.datetime64, whose local off"),
    ("\ud800", ValueError, " has a lone surrogate, which takes the engine down: replace it"),
    (["\ud800"], ValueError, "[0] has a lone surrogate"),
    ((1, 2), TypeError, " must be a tuple of filename, file, and perhaps content type and header"),
]


@pytest.mark.parametrize(
    ("value", "error", "reason"), NOT_SENT, ids=lambda it: it if isinstance(it, str) else ""
)
def test_what_no_engine_reads_is_refused(value, error, reason):
    """The error names the input, the place in it, the type, and what to do."""
    kind, message = refusal(i=value)
    assert kind is error
    assert message.startswith(f"inputs['i']{reason}")


def test_a_circle():
    """It is refused where it closes."""
    circle = [{}]
    circle[0]["again"] = circle
    assert refusal(i=circle)[1].startswith("inputs['i'][0].again contains itself")


def test_a_generator_is_for_the_input_alone():
    """A label made of it would take the values away from the input."""
    numbers, nested = (n for n in range(2)), [iter([1])]
    assert labels_of({"i": numbers, "j": nested, "k": 1}) == {"k": "1"}
    assert fields(i=numbers, j=nested) == {"i": "[0, 1]", "j": "[[1]]"}


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
        ((1, 2), "be a tuple of filename, file"),
        (("f", b"x", 5), "be a tuple of filename, file"),
        (("f", b"x", "a", 5), "be a tuple of filename, file"),
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


@pytest.mark.parametrize(
    ("name", "error"), [("nope.csv", OSError), ("", OSError), ("a\0", ValueError)]
)
@pytest.mark.parametrize("in_a_tuple", [False, True])
def test_a_path_that_cannot_be_opened(tmp_path, name, error, in_a_tuple):
    """A missing file, a folder: the error names the input, and its type is what it was."""
    path = tmp_path / name
    with pytest.raises(error, match=r"inputs\['f'\] cannot be opened: ") as caught:
        form({"f": ("f", path) if in_a_tuple else path}, ExitStack())
    if name == "nope.csv":
        assert isinstance(caught.value, FileNotFoundError)
        assert caught.value.filename == str(path)


def test_files_that_cannot_be_read(tmp_path):
    """A file that is closed, or open for writing only, is refused by the input's name."""
    path = tmp_path / "f"
    with path.open("w") as file:
        assert refusal(f=file)[1].startswith("inputs['f'] is a file that is open for writing only")
        file.write("x")
    for value in (file, ("name", file)):
        error, message = refusal(f=value)
        assert error is ValueError
        assert message.startswith("inputs['f'] is a closed file: open it again")


def test_empty_files(tmp_path):
    """The server drops an empty file silently: it is refused, and so is one read to its end."""
    path = tmp_path / "empty"
    path.touch()
    read = io.BytesIO(b"x")
    read.read()
    empty = [b"", bytearray(), memoryview(b""), path, io.BytesIO(), io.StringIO(), read]
    for value in [*empty, ("name", b""), ("name", path), ("name", "")]:
        error, message = refusal(f=value)
        assert error is ValueError
        assert message.startswith("inputs['f'] is an empty file, or one that was read to its end")


def test_a_file_is_left_where_it_stood(tmp_path):
    """Whether it is empty is asked without moving it; of a stream nobody asks."""
    path = tmp_path / "f"
    path.write_text("äbc")
    stream = types.SimpleNamespace(read=lambda *_: b"")
    with path.open() as file:
        file.read(1)
        with ExitStack() as opened:
            assert form({"f": file, "s": stream}, opened)["s"] == ("s", stream)
        assert file.read() == "bc"


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ({1: "x"}, TypeError, "inputs must have strings as ids, not int"),
        ({"s": "se\ud800cret"}, ValueError, r"inputs\['s'\] has a lone surrogate"),
        ({"j": ["se\ud800cret"]}, ValueError, r"inputs\['j'\]\[0\] has a lone surrogate"),
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
        ({"\ud800": "v"}, "lone surrogate"),
        ({"k": float("nan")}, "is not finite"),
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
