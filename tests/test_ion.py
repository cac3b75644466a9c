"""`Kestra.read` and `Kestra.read_rows`: the values of Ion files, text and binary."""
# ruff: noqa: DTZ001, E402  # naive datetimes are among the values; not every machine has Ion

import math
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import optional
import pytest

from kestra import Kestra
from kestra.exceptions import IonError

optional.require("amazon")
from amazon.ion import simpleion
from amazon.ion.core import Timestamp, TimestampPrecision
from amazon.ion.symbols import SymbolToken

DATA = Path(__file__).parent / "data"
# Two rows with a value of each Java type, as the engine's own writer wrote them: 1.3.31 as text,
# 2.0.0 in binary, once row by row and once as one stream.
KESTRA_FILES = ["rows-1.3.ion", "rows-2.0.ion", "rows-2.0-stream.ion"]
UTC = timezone.utc


def binary(text):
    """The same values in binary Ion."""
    values = simpleion.loads(text, single_value=False, text_buffer_size_limit=2**24)
    return simpleion.dumps(values, sequence_as_stream=True)


def types(value):
    """The type of a value, and of all that is in it."""
    if isinstance(value, dict):
        return type(value), {key: types(item) for key, item in value.items()}
    if isinstance(value, list):
        return type(value), [types(item) for item in value]
    return type(value)


@pytest.fixture(params=["text", "binary"])
def rows_of(request, tmp_path):
    """A function that writes values, given as text, to a file and reads it."""

    def read(text):
        path = tmp_path / "rows.ion"
        path.write_bytes(text.encode() if request.param == "text" else binary(text))
        return Kestra.read(path)

    return read


@pytest.fixture(params=["read", "read_rows"])
def read(request):
    """Both ways to read, each as a function that returns a list."""
    return lambda path: list(getattr(Kestra, request.param)(path))


@pytest.mark.parametrize("name", KESTRA_FILES)
def test_values_that_kestra_writes(name, read):
    """What Kestra writes of each Java type is the Python value that a user expects."""
    instant = Timestamp(
        *(2024, 4, 21, 13, 43, 24, 345000, UTC),
        precision=TimestampPrecision.SECOND,
        fractional_precision=3,
    )
    expected = {
        "id": 0,
        "name": "Renée € 😀 0",
        "amount": 12345.6789,
        "ratio": 0.0,
        "active": True,
        "nothing": None,
        "big": 123456789012345678901234567890,
        "instant": instant,
        "date": datetime(2024, 4, 21),
        "localDateTime": datetime(2024, 4, 21, 13, 43, 24, 340000),
        "localDateTimeNoSeconds": datetime(2024, 4, 21, 13, 43),
        "localDateTimeNanos": datetime(2024, 4, 21, 13, 43, 24, 123456),
        "offsetDateTime": datetime.fromisoformat("2024-04-21T13:43:24.500000+02:00"),
        "zonedDateTime": "2024-04-21T13:43:24+02:00[Europe/Paris]",
        "localTime": "13:43:24",
        "offsetTime": "13:43:24+02:00",
        "utilDate": instant,
        "sqlTs": instant,
        "duration": 90.0,
        "uuid": "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2",
        "bytes": "héllo",
        "raw": b"\xff\0\xfe",
        "iso": datetime(2024, 4, 21, 13, 43, 24, 123000, UTC),
        "enum": "RED",
        "nested": {"list": [1, {"when": datetime(2024, 1, 1)}]},
        "multi\nline key": 'two\nlines "quoted" \\',
        "char": "c",
        "float": 1.5,
        "long": 2**63 - 1,
        "zone": "Europe/Paris",
        "empty": "",
    }
    first, second = read(DATA / name)
    assert math.isnan(first.pop("nan"))
    assert first == expected
    assert second["id"] == 1
    for key, value in expected.items():
        assert isinstance(first[key], type(value)), key


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        ("null.int", None),
        ("null.struct", None),
        ("note::null", None),
        ("true", True),
        ("note::false", False),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("1d400", math.inf),
        ("note::1.5", 1.5),
        ("0.1234567890123456789012345678901234567890", 0.12345678901234568),
        ("1.5e0", 1.5),
        ("{{aMOpbGxv}}", "héllo"),
        ('{{"clob"}}', "clob"),
        ("{{}}", ""),
        ("note::{{aGVsbG8=}}", "hello"),
        ("{{/w==}}", b"\xff"),
        ("'''long ''' '''text'''", "long text"),
        ("{}", {}),
        ("[]", []),
        ("(1 [2.5] null.int)", [1, [2.5], None]),
        ("note::{a: [note::{b: null.list}]}", {"a": [{"b": None}]}),
        ("{a: 1, b: 2, a: 3}", {"a": 3, "b": 2}),
    ],
)
def test_value_and_type(rows_of, text, value):
    """A value has Python's own type, wherever it stands, whatever its annotation."""
    expected = [value, {"field": value}, [value]]
    rows = rows_of(f"{text} {{field: {text}}} [{text}]")
    assert rows == expected
    assert types(rows) == types(expected)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-03-04T05:06:07", datetime(2024, 3, 4, 5, 6, 7)),
        ("2024-03-04T05:06:07Z", datetime(2024, 3, 4, 5, 6, 7, tzinfo=UTC)),
        ("2024-03-04T05:06:07.1", datetime(2024, 3, 4, 5, 6, 7, 100000)),
        ("2024-03-04T05:06:07.1234569Z", datetime(2024, 3, 4, 5, 6, 7, 123456, UTC)),
        (
            "2024-03-04T05:06:07.12-05:30",
            datetime(2024, 3, 4, 5, 6, 7, 120000, timezone(-timedelta(hours=5, minutes=30))),
        ),
        ("2024-12-31T24:00:00.0000001", datetime(2025, 1, 1)),
        ("2024-12-31T24:00:00Z", datetime(2025, 1, 1, tzinfo=UTC)),
        ('LocalDateTime::\\"2024-04-21T13:43:24.34\\"', datetime(2024, 4, 21, 13, 43, 24, 340000)),
        ("LocalDateTime::2024-04-21T13:43:24", datetime(2024, 4, 21, 13, 43, 24)),
    ],
)
def test_iso_text_is_a_datetime(rows_of, text, value):
    """Text that is an ISO 8601 date and time is a datetime, aware if it has an offset."""
    (row,) = rows_of(f'{{when: "{text}"}}')
    assert type(row["when"]) is datetime
    assert row["when"] == value
    assert row["when"].utcoffset() == value.utcoffset()


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-04",
        "2024-03-04T05:06",
        "2024-03-04 05:06:07",
        "2024-03-04T05:06:07.",
        "2024-03-04T05:06:07+0200",
        "2024-03-04T05:06:07 and more",
        "2024-02-30T00:00:00",
        "2024-12-31T24:00:00.000001",
        "9999-12-31T24:00:00",
        "0000-01-01T00:00:00",
        "2024-03-04T05:06:07+24:00",
        "\u0662024-03-04T05:06:07",
        "LocalDateTime::yesterday, or so",
    ],
)
def test_other_text_stays_text(rows_of, text):
    """Text that merely resembles a date and time, or names one that is none, stays as it is."""
    assert rows_of(f'"{text}"') == [text]


def test_annotation_of_local_date_times(rows_of):
    """The annotation `LocalDateTime` is a naive datetime; other annotations do not matter."""
    (row,) = rows_of('{a: LocalDateTime::"2024-04-21T13:43:24.34", b: LocalTime::"13:43:24"}')
    assert row == {"a": datetime(2024, 4, 21, 13, 43, 24, 340000), "b": "13:43:24"}
    assert type(row["a"]) is datetime


def test_timestamps_keep_their_precision(rows_of):
    """A timestamp is the library's datetime: it knows its precision; unknown offset is naive."""
    year, nanos, unknown = rows_of(
        "2024T 2024-03-04T05:06:07.123456789+02:30 2024-03-04T05:06:07-00:00"
    )
    assert {type(value) for value in (year, nanos, unknown)} == {Timestamp}
    assert (year, year.precision) == (datetime(2024, 1, 1), TimestampPrecision.YEAR)
    assert nanos.isoformat() == "2024-03-04T05:06:07.123456+02:30"
    assert str(nanos.fractional_seconds) == "0.123456789"
    assert unknown == datetime(2024, 3, 4, 5, 6, 7)


def test_symbols_are_tokens(rows_of):
    """A symbol, even one without text, is the library's token; a field may be one as well."""
    assert rows_of("sym") == [SymbolToken("sym", None)]
    assert rows_of("$0") == [SymbolToken(None, 0)]
    assert rows_of("{'a b': 1, $0: 2}") == [{"a b": 1, None: 2}]


@pytest.mark.parametrize("content", [b"", b" \n", b"// a comment\n/* one more */", b"$ion_1_0\n"])
def test_file_without_values(tmp_path, read, content):
    """A file with nothing, or only comments, has no rows."""
    path = tmp_path / "empty.ion"
    path.write_bytes(content)
    assert read(path) == []


def test_long_text(rows_of):
    """A text of a megabyte is read, in text files as in binary ones."""
    text = "x" * 2**20
    assert rows_of(f'{{a: "{text}"}}') == [{"a": text}]


def test_str_paths(tmp_path, read):
    """A path may be a str."""
    path = tmp_path / "rows.ion"
    path.write_text("{a: 1} {a: 2}")
    assert read(str(path)) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("name", KESTRA_FILES)
def test_truncation_at_every_byte(tmp_path, read, name):
    """A file that is cut short raises, except between two rows, where nothing can be missed."""
    content = (DATA / name).read_bytes()
    path = tmp_path / "cut.ion"
    path.write_bytes(content)
    counts = set()
    for length in reversed(range(len(content))):
        os.truncate(path, length)
        try:
            rows = read(path)
        except IonError:
            continue
        counts.add(len(rows))
        assert all(row["empty"] == "" for row in rows)  # its last field
    assert counts <= {0, 1, 2}
    assert {0, 1} <= counts


CORRUPT = {
    "text": b"{a: 1}\n{a: 2}\n{a: {{secret-}}}\n",
    "binary": binary("{a: 1} {a: 2}") + b"\xde\x84\x8a\x86secret",
}


@pytest.mark.parametrize("c_extension", [True, False])
@pytest.mark.parametrize("content", CORRUPT.values(), ids=CORRUPT)
def test_corrupt_file(tmp_path, read, monkeypatch, content, c_extension):
    """The error names the file and the row, and shows nothing of what the file holds."""
    monkeypatch.setattr(simpleion, "c_ext", c_extension)
    path = tmp_path / "orders.ion"
    path.write_bytes(content)
    with pytest.raises(IonError, match=r"row 3 of '.*orders\.ion'") as raised:
        read(path)
    assert isinstance(raised.value, ValueError)
    assert raised.value.__suppress_context__
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "content", [b'"cr\xe8me"', b"\x1f\x8b\x08\0", b"[1, 2", b"\xe0\x01\0\xea\xff"]
)
def test_file_that_is_no_ion(tmp_path, read, content):
    """Another encoding, a compressed file and the like raise."""
    path = tmp_path / "rows.ion"
    path.write_bytes(content)
    with pytest.raises(IonError, match="row 1"):
        read(path)


def test_rows_before_the_corrupt_one(tmp_path):
    """Rows are handed out as they are read: those before a corrupt one arrive."""
    path = tmp_path / "orders.ion"
    path.write_bytes(CORRUPT["text"])
    rows = Kestra.read_rows(path)
    assert [next(rows), next(rows)] == [{"a": 1}, {"a": 2}]
    with pytest.raises(IonError, match="row 3"):
        next(rows)


def test_deep_nesting_is_an_error(tmp_path, read):
    """Nesting that would exhaust the stack raises."""
    path = tmp_path / "deep.ion"
    path.write_text("[" * 100_000)
    with pytest.raises(IonError, match="row 1"):
        read(path)


def test_field_name_that_is_no_utf8(tmp_path):
    """A field name that is no UTF-8 raises; the C extension alone would crash the process."""
    path = tmp_path / "latin.ion"
    path.write_bytes(b'{"caf\xe9": 1}')
    script = (
        "import sys, kestra, kestra.exceptions\n"
        "try: kestra.Kestra.read(sys.argv[1])\n"
        "except kestra.exceptions.IonError: print('raised')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, timeout=180, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"raised\n")


def test_missing_file(tmp_path, read):
    """A file that is not there raises what `open` raises."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read(tmp_path / "nowhere.ion")


def test_leaving_early_closes_the_file(tmp_path):
    """A loop that ends early leaves no file open: an open one would warn."""
    path = tmp_path / "rows.ion"
    path.write_text("{a: 1} " * 10_000)
    for row in Kestra.read_rows(path):
        assert row == {"a": 1}
        break


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_memory_is_bounded(tmp_path, kind):
    """Reading the rows of 64 MB takes far less memory than 64 MB."""
    pytest.importorskip("resource")
    row = '{a: "' + "x" * 100_000 + '"}\n'
    path = tmp_path / "large.ion"
    path.write_bytes((row.encode() if kind == "text" else binary(row)) * 640)
    script = (
        "import resource, sys, kestra._task.ion\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "print(sum(1 for _ in kestra._task.ion.read_rows(sys.argv[1])), peak() / before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, timeout=180, check=True
    )
    count, growth = done.stdout.split()
    assert int(count) == 640
    assert float(growth) < 2  # of some 13 MB


@pytest.mark.parametrize("name", KESTRA_FILES)
def test_without_the_c_extension(monkeypatch, read, name):
    """Where the library has no C extension, the values are the same."""
    with_extension = read(DATA / name)
    monkeypatch.setattr(simpleion, "c_ext", False)
    without = read(DATA / name)
    for row in with_extension + without:
        assert math.isnan(row.pop("nan"))
    assert without == with_extension
    assert type(without[0]["active"]) is bool
    assert type(without[0]["nested"]) is dict


def test_without_the_extra(monkeypatch):
    """Without the Ion library, one line says how to install it."""
    monkeypatch.delitem(sys.modules, "kestra._task.ion", raising=False)
    monkeypatch.setitem(sys.modules, "amazon.ion", None)
    for read in Kestra.read, Kestra.read_rows:
        with pytest.raises(ModuleNotFoundError) as raised:
            read("rows.ion")
        assert str(raised.value).endswith("pip install 'kestra[ion]'")
        assert "\n" not in str(raised.value)
        assert raised.value.__suppress_context__


def test_library_is_imported_on_use():
    """Importing `Kestra` imports no Ion library."""
    script = "import sys; from kestra import Kestra; print('amazon.ion' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"False\n"
