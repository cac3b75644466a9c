"""Times that servers write, and durations."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kestra._values.times import iso_duration, parse_instant

UTC = timezone.utc


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T10:00:00Z", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31t10:00:00z", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31 10:00+01:00", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        ("2026-01-31T10:00:00+0130", datetime(2026, 1, 31, 8, 30, tzinfo=UTC)),
        ("2026-01-31T10:00:00-05", datetime(2026, 1, 31, 15, tzinfo=UTC)),
        ("2026-01-31T10:00:00.1Z", datetime(2026, 1, 31, 10, 0, 0, 100_000, UTC)),
        ("2026-01-31T10:00:00.123456789Z", datetime(2026, 1, 31, 10, 0, 0, 123_456, UTC)),
        ("2026-01-31T10:00:00.1234567890123Z", datetime(2026, 1, 31, 10, 0, 0, 123_456, UTC)),
    ],
)
def test_instants(text, moment):
    """With `Z` or an offset, with or without seconds, and with any number of decimals."""
    assert parse_instant(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T10:00:00",
        "2026-01-31",
        "2026-02-31T10:00:00Z",
        "2026-01-31T25:00:00Z",
        "2026-01-31T10:00:00+99:00",
        "2026-01-31T10:00:00.Z",
        "٢026-01-31T10:00:00Z",
        "2026-01-31T10:00:00Z\n",
        "now",
        "",
        None,
        5,
    ],
)
def test_what_is_not_an_instant(text):
    """Without an offset, on a day that there is not, or no text at all: None."""
    assert parse_instant(text) is None


@given(st.datetimes(timezones=st.timezones()))
def test_every_instant_is_read_back(moment):
    """What `isoformat` writes is read as the same instant, where the offset is in minutes."""
    text = moment.isoformat()
    read = parse_instant(text)
    if moment.utcoffset() % timedelta(minutes=1):
        assert read is None
    else:
        assert read.isoformat() == text


@given(st.integers(0, 2**63))
def test_nanoseconds(count):
    """A duration in nanoseconds agrees with one of the standard library."""
    whole = count // 1_000 * 1_000
    assert iso_duration(whole) == iso_duration(timedelta(microseconds=whole // 1_000))
    assert iso_duration(-count) == f"{'-' * bool(count)}{iso_duration(count)}"
