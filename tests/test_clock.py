"""The clock that a call takes, and the one that a test puts in its place."""

import time
from datetime import datetime, timedelta, timezone

import pytest

from kestra._http.stand_ins import Clock, clock, use_clock


@pytest.mark.usefixtures("slept")
def test_what_was_slept_has_passed():
    """Also where nothing really slept; a clock's other readings agree."""
    clock = Clock()
    start, date = clock.now(), clock.utcnow()
    clock.sleep(3600)
    assert clock.now() - start >= 3600
    assert clock.utcnow() - date >= timedelta(seconds=3600)


def test_sleeping_goes_through_the_module(slept):
    """So that tests see each pause; there is none of no or negative length."""
    clock = Clock()
    for seconds in (2, 0, -1, 0.5):
        clock.sleep(seconds)
    assert slept == [2, 0.5]


def test_time_that_really_passed_is_not_counted_twice(monkeypatch):
    """A sleep that takes its time leaves the clock at the time of everybody."""
    late = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: late[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: late.append(late.pop() + seconds))
    clock = Clock()
    clock.sleep(5)
    assert clock.now() == time.monotonic() == 5


def test_dates_are_aware():
    """They are in UTC, and those of everybody where nothing was skipped."""
    date = Clock().utcnow()
    assert date.tzinfo is timezone.utc
    assert abs(datetime.now(timezone.utc) - date) < timedelta(minutes=1)


def test_each_call_has_a_clock_of_its_own():
    """What one has skipped is nothing to another."""
    assert clock() is not clock()


def test_a_clock_that_is_installed():
    """The last one counts, in whatever order they are taken away again."""
    first, second = Clock(), Clock()
    undo_first = use_clock(first)
    assert clock() is first
    undo_second = use_clock(second)
    assert clock() is second
    undo_first()
    assert clock() is second
    undo_second()
    undo_second()  # changes nothing
    assert clock() not in (first, second)
