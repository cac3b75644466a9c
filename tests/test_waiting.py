"""When to look again."""

import random
import time

import pytest

from kestra._rules.waiting import Stopwatch, log_is_settled, next_pause

LATENCY = 0.002


def looks(poll_interval, duration):
    """Return how late an execution is seen to have ended, and after how many looks."""
    elapsed, count = 0.0, 0
    while elapsed < duration or not count:
        elapsed += next_pause(poll_interval, elapsed) + LATENCY
        count += 1
    return elapsed - duration, count


def published(poll_interval, duration):
    """Return how many requests the published package makes: two a look, and the creation."""
    return 1 + 2 * max(1, -(-duration // poll_interval))


def test_short_executions_are_seen_soon_and_cheaply():
    """Of random durations up to 4 s: at most 0.2 s late, at most 4 times the published requests."""
    chance = random.Random(7)
    durations = [chance.uniform(0, 4) for _ in range(5_000)]
    late, counts = zip(*(looks(1, duration) for duration in durations), strict=True)
    assert sum(late) / len(late) <= 0.2
    assert sum(counts) + 3 * len(counts) <= 4 * sum(published(1, d) for d in durations)


@pytest.mark.parametrize("duration", [60, 90, 600, 3600])
@pytest.mark.parametrize("poll_interval", [0.5, 1, 2, 5, 10])
def test_long_executions_cost_fewer_requests_than_published(poll_interval, duration):
    """From a minute on; the creation and two downloads of the log are counted in."""
    _, count = looks(poll_interval, duration)
    assert 1 + count + 2 < published(poll_interval, duration)


@pytest.mark.parametrize("poll_interval", [0, 0.001, 0.1, 1, 30])
def test_pauses_grow_up_to_the_poll_interval(poll_interval):
    """No pause is longer than the interval, nor shorter than a fiftieth of a second."""
    pauses = [next_pause(poll_interval, elapsed / 10) for elapsed in range(1_000)]
    assert pauses == sorted(pauses)
    assert min(pauses) >= 0.02
    assert max(pauses) == max(poll_interval, 0.02)


def test_slept_time_has_passed_even_if_sleep_returns_at_once(monkeypatch):
    """A wait that is bounded by the stopwatch ends where a test has replaced `time.sleep`."""
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    watch = Stopwatch()
    watch.sleep(2)
    watch.sleep(0)
    watch.sleep(-1)
    assert watch.elapsed >= 2
    assert slept == [2]


def test_the_stopwatch_goes_by_the_monotonic_clock(monkeypatch):
    """Time that passes outside of `sleep` counts."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch = Stopwatch()
    now[0] = 107.5
    assert watch.elapsed == 7.5


@pytest.mark.parametrize(
    ("log", "before", "settled"),
    [
        ("", None, False),
        ("\n", None, False),
        ("a line\n", None, True),
        ("line\n" * 100, None, True),
        ("line\n" * 100 + "line", None, False),
        ("line\n" * 101, None, False),
        ("line\n" * 101, "line\n" * 100, False),
        ("line\n" * 101, "line\n" * 101, True),
    ],
)
def test_a_log_is_settled_when_it_is_short_or_stays_the_same(log, before, settled):
    """An empty log, and a long one that still grows, is worth another download."""
    assert log_is_settled(log, before and hash(before)) is settled
