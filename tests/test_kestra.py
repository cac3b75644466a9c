"""The calls of a task script: what each prints, and what tests of scripts may replace."""

import asyncio
import builtins
import datetime as dt
import decimal
import inspect
import logging
import math
import time
from unittest import mock

import pytest

from kestra import Kestra, testing
from kestra._task import sink
from kestra._task.metric_types import MetricTypes


@pytest.fixture(autouse=True)
def no_metrics_yet(monkeypatch):
    """A process that has sent no metric."""
    monkeypatch.setattr(sink.stdout, "metric_types", MetricTypes())


@pytest.fixture
def kept(capsys):
    """Return a function that tells what the engine keeps of what was printed since the last call.

    Nothing may be lost, nothing printed to standard error, and one line each.
    """

    def read(lines=1):
        out, err = capsys.readouterr()
        messages = testing.parse(out, enterprise=True)
        assert (messages.rejected, err, out.count("\n")) == ([], "", lines)
        return messages

    return read


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still, and is moved by adding to its first item."""
    now = [1_000.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_outputs(kept):
    """Outputs are merged, the last value of a key wins."""
    Kestra.outputs({"a": 1, "b": {"c": [1, 2]}})
    Kestra.outputs({"a": [math.nan]})
    assert kept(2).outputs == {"a": [None], "b": {"c": [1, 2]}}


def test_assets(kept):
    """Assets arrive where an engine takes them."""
    assets = {"inputs": [{"id": "a"}], "outputs": [{"id": "b", "type": "TABLE"}]}
    Kestra.assets(assets)
    assert kept().assets == [assets]


@pytest.mark.parametrize("type_", ["counter", "timer", "gauge"])
def test_metrics(kept, type_):
    """Counters, timers and gauges have a name, a value, and tags if they are given."""
    send = getattr(Kestra, type_)
    send("a", 1.5)
    send("b", decimal.Decimal("1.5"), {"c": "d", "e": None})
    send("c", "2", tags={})
    assert kept(3).metrics == [
        testing.TaskMetric("a", type_, 1.5, {}),
        testing.TaskMetric("b", type_, 1.5, {"c": "d"}),
        testing.TaskMetric("c", type_, 2, {}),
    ]


def test_wire(capsys):
    """A metric is sent with all of its keys, in the order that they always had."""
    Kestra.counter("a", 1)
    Kestra.metrics("b", "timer", "PT1S", {"c": 1})
    assert capsys.readouterr().out == (
        '::{"metrics": [{"name": "a", "type": "counter", "value": 1, "tags": {}}]}::\n'
        '::{"metrics": [{"name": "b", "type": "timer", "value": "PT1S", "tags": {"c": 1}}]}::\n'
    )


def test_format_prints_nothing(capsys):
    """`format` only returns the frame."""
    assert Kestra.format({"outputs": {"a": "é"}}) == '::{"outputs": {"a": "\\u00e9"}}::'
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "call",
    [
        lambda: Kestra.outputs({"a": b""}),
        lambda: Kestra.outputs([1]),
        lambda: Kestra.assets([1]),
        lambda: Kestra.counter("", 1),
        lambda: Kestra.counter("a", None),
        lambda: Kestra.gauge("a", math.nan),
        lambda: Kestra.timer("a", 1e12),
        lambda: Kestra.timer("a", None),
        lambda: Kestra.timer("a", dt.date.min),
        lambda: Kestra.timer("x" * 151, "PT1S"),
        lambda: Kestra.send({"outputs": {"a": 1}, "metrics": [{"name": "a"}]}),
        lambda: Kestra.send(None),
    ],
)
def test_nothing_is_printed_of_what_is_refused(call, capsys):
    """A refusal comes before the first byte."""
    with pytest.raises((TypeError, ValueError)):
        call()
    assert capsys.readouterr() == ("", "")


# One name, one type.


CLASHES = [
    ("counter", {}, "timer", {}),
    ("timer", None, "gauge", {}),
    ("gauge", {}, "counter", {"a": None}),
    ("counter", {"a": 1, "b": "c"}, "gauge", {"b": "c", "a": 1}),
    ("counter", {"a": 1}, "timer", {"a": 1, "b": None}),
]


@pytest.mark.parametrize(("first", "tags", "second", "other_tags"), CLASHES)
def test_a_second_type_is_refused(kept, first, tags, second, other_tags):
    """A name with the same tag keys under a second type is refused, naming both types."""
    getattr(Kestra, first)("rows", 1, tags)
    with pytest.raises(ValueError, match=f'"rows".* {first} before, and now as a {second}: '):
        getattr(Kestra, second)("rows", 1, other_tags)
    getattr(Kestra, first)("rows", 1, tags)
    assert len(kept(2).metrics) == 1


@pytest.mark.parametrize(("first", "tags", "second", "other_tags"), CLASHES)
def test_the_engine_would_lose_lines(first, tags, second, other_tags):
    """What is refused as a second type is what ends the engine's reading."""
    frames = [
        Kestra.format({"metrics": [{"name": "a", "type": type_, "value": 1, "tags": with_tags}]})
        for type_, with_tags in ((first, tags), (second, other_tags), (first, tags))
    ]
    assert [line.line_number for line in testing.parse(frames).rejected] == [2, 3]


@pytest.mark.parametrize("tags", [{"a": "x"}, {"b": "y", "a": "x"}])
def test_tags_that_are_left_out_at_times(capsys, tags):
    """What is sent counts: with a None one set of tag keys is sent, without it another."""
    Kestra.counter("rows", 1, {"a": "x", "b": None})
    Kestra.counter("rows", 1, {"a": "x", "b": "y"})
    with pytest.raises(ValueError, match="counter before, and now as a timer"):
        Kestra.timer("rows", 1, tags)


def test_other_values_of_the_same_tags_are_refused_too(capsys):
    """A server that registers metrics by their tag keys is not put to the test."""
    Kestra.counter("rows", 1, {"a": 1})
    with pytest.raises(ValueError, match="counter before, and now as a timer"):
        Kestra.timer("rows", 1, {"a": 2})
    assert capsys.readouterr().out.count("\n") == 1


def test_different_tag_keys_are_different_metrics(kept):
    """Other tag keys make another metric, which may have another type."""
    Kestra.counter("rows", 1)
    Kestra.timer("rows", 1, {"a": 1})
    Kestra.gauge("rows", 1, {"a": 1, "b": 1})
    Kestra.timer("rows", 1, {"a": 2})
    assert len(kept(4).metrics) == 4


def test_two_types_in_one_message(capsys):
    """The clash is found inside one message, too, and nothing of that is printed."""
    metric = {"name": "a", "value": 1}
    with pytest.raises(ValueError, match="counter before, and now as a gauge"):
        Kestra.send({"metrics": [{**metric, "type": "counter"}, {**metric, "type": "gauge"}]})
    assert capsys.readouterr().out == ""


def test_a_refused_metric_takes_no_name(kept):
    """A call that was refused does not stand in the way of a later one."""
    with pytest.raises(TypeError):
        Kestra.counter("rows", None)
    Kestra.timer("rows", 1)
    assert kept().metrics["rows"] == 1


# Timers.


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [(1.5, 1.5), (2, 2), (dt.timedelta(minutes=1), 60), ("1.5", 1.5), ("PT1M", 60)],
)
def test_timer_of_a_duration(kept, duration, seconds):
    """A duration is a number of seconds, a timedelta, or text that is either."""
    assert Kestra.timer("load", duration) is None
    assert kept().metrics["load"] == seconds


def test_timer_calls(kept, clock):
    """What can be called is called, its result returned, and its seconds sent."""

    def load():
        clock[0] += 1.25
        return "rows"

    assert Kestra.timer("load", load, {"a": "b"}) == "rows"
    assert kept().metrics == [testing.TaskMetric("load", "timer", 1.25, {"a": "b"})]


def test_timer_around_a_block(kept, clock):
    """`with` times a block, again and again with one object, and inside of itself."""
    timing = Kestra.timer("load", tags={"a": "b"})
    with timing:
        clock[0] += 1
    with timing:
        clock[0] += 2
        with Kestra.timer("inner"):
            clock[0] += 4
    metrics = kept(3).metrics
    assert [(metric.name, metric.value) for metric in metrics] == [("load", 7), ("inner", 4)]


def test_timer_as_a_decorator(kept, clock):
    """A decorated function keeps its name and result, and is timed at each call."""

    @Kestra.timer("load")
    def load(seconds, *, times=1):
        """Load."""
        clock[0] += seconds * times
        return load(seconds / 2) if times == 2 else seconds

    assert (load.__name__, load.__doc__) == ("load", "Load.")
    assert load(1.0) == 1
    assert load(2.0, times=2) == 1
    messages = kept(3)
    assert messages.metrics == [testing.TaskMetric("load", "timer", 1 + 5 + 1, {})]


def test_timer_of_a_method(kept, clock):
    """A decorated method gets its object."""

    class Loader:
        seconds = 3

        @Kestra.timer("load")
        def load(self):
            clock[0] += self.seconds
            return self

    loader = Loader()
    assert loader.load() is loader
    assert kept().metrics["load"] == 3


def test_timer_of_a_coroutine_function(kept, clock):
    """A decorated coroutine function stays one, and is timed until it has returned."""

    @Kestra.timer("load")
    async def load(seconds):
        await asyncio.sleep(0)
        clock[0] += seconds
        return "rows"

    assert inspect.iscoroutinefunction(load)
    assert asyncio.run(load(3)) == "rows"
    assert kept().metrics["load"] == 3


def generate():
    yield


async def generate_later():
    yield


async def work_later():
    return None


def test_a_timer_without_parentheses():
    """`@Kestra.timer` is refused where it stands: a metric needs a name."""
    with pytest.raises(TypeError, match=r'name is a function: .* @Kestra.timer\("name"\)$'):
        Kestra.timer(work_later)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Kestra.timer("load", generate), "duration is a generator function"),
        (lambda: Kestra.timer("load", generate_later), "duration is a generator function"),
        (lambda: Kestra.timer("load", work_later), "duration is a coroutine function"),
        (lambda: Kestra.timer("load")(generate), "the decorated function is a generator function"),
        (lambda: Kestra.timer("load")(generate_later), "function is a generator function"),
    ],
)
def test_what_works_after_its_call_is_not_timed(capsys, call, message):
    """A generator, or a coroutine that nobody awaits: the time would be that of nothing."""
    with pytest.raises(TypeError, match=f"{message}: .* `with Kestra.timer"):
        call()
    assert capsys.readouterr().out == ""


def test_coroutines_are_timed_apart(kept, clock):
    """Calls of a decorated coroutine function that overlap have a start each."""

    async def both():
        entered = asyncio.Event()

        @Kestra.timer("load")
        async def load(is_first):
            if is_first:
                await entered.wait()
            else:
                clock[0] += 1
                entered.set()

        await asyncio.gather(load(True), load(False))

    asyncio.run(both())
    assert kept(2).metrics["load"] == 2


class Failure(Exception):
    pass


def fail():
    raise Failure


async def fail_later():
    raise Failure


def in_block():
    with Kestra.timer("load"):
        fail()


@pytest.mark.parametrize(
    "call",
    [
        lambda: Kestra.timer("load", fail),
        in_block,
        Kestra.timer("load")(fail),
        lambda: asyncio.run(Kestra.timer("load")(fail_later)()),
    ],
    ids=["callable", "block", "decorator", "coroutine"],
)
def test_a_failure_is_timed_too(kept, call):
    """Where the timed code raises, its time is sent and the exception passed on."""
    with pytest.raises(Failure):
        call()
    assert kept().metrics["load"] >= 0


@pytest.mark.parametrize(
    "call",
    [
        lambda load: Kestra.timer("", load),
        lambda load: Kestra.timer("load", load, {"a": []}),
        lambda load: Kestra.timer("x" * 151)(load)(),
        lambda load: Kestra.timer("taken", load),
    ],
)
def test_a_timer_that_is_refused_does_not_begin(capsys, call):
    """A wrong name or tag is reported before the timed code has run, not after."""
    Kestra.counter("taken", 1)
    capsys.readouterr()
    load = mock.Mock(__name__="load")
    with pytest.raises((TypeError, ValueError)):
        call(load)
    load.assert_not_called()
    assert capsys.readouterr().out == ""


def test_the_clock_is_real(kept):
    """A timer is the seconds of a clock that never goes back."""
    before = time.perf_counter()
    Kestra.timer("load", lambda: None)
    assert 0 <= kept().metrics["load"] <= time.perf_counter() - before


# What tests of scripts replace.


@pytest.fixture
def sent(monkeypatch):
    """What `Kestra._send` was called with; nothing is printed."""
    messages = []
    monkeypatch.setattr(Kestra, "_send", messages.append)
    return messages


def test_a_replaced_send_receives_the_callers_dict(sent, capsys):
    """`Kestra._send` gets what the caller gave, before any conversion or check."""
    outputs, assets, tags = {"a": b"", "b": {1}}, {"id": 1}, {"a": None}
    Kestra.outputs(outputs)
    Kestra.assets(assets)
    Kestra.counter("a", decimal.Decimal(1), tags)
    Kestra.gauge("a", math.nan)
    Kestra.timer("a", dt.timedelta(1))
    Kestra.metrics("b", "histogram", None)
    assert sent[0]["outputs"] is outputs
    assert sent[1]["assets"] is assets
    assert sent[2]["metrics"][0]["tags"] is tags
    assert sent[2:] == [
        {"metrics": [{"name": name, "type": type_, "value": value, "tags": tags}]}
        for name, type_, value, tags in [
            ("a", "counter", decimal.Decimal(1), {"a": None}),
            ("a", "gauge", mock.ANY, {}),
            ("a", "timer", dt.timedelta(1), {}),
            ("b", "histogram", None, {}),
        ]
    ]
    assert capsys.readouterr().out == ""


def test_a_replaced_send_receives_what_was_timed(sent, clock):
    """So does it where a timer calls, or times a block."""

    def load():
        clock[0] += 2

    Kestra.timer("a", load)
    with Kestra.timer("b"):
        load()
    assert [message["metrics"][0]["value"] for message in sent] == [2, 2]


def test_a_mocked_send():
    """`unittest.mock.patch.object` works, too."""
    with mock.patch.object(Kestra, "_send") as send:
        Kestra.outputs({"a": 1})
    send.assert_called_once_with({"outputs": {"a": 1}})


def test_a_replaced_print_receives_the_frame(monkeypatch):
    """Where a test has replaced `print`, the frame goes there, in one argument."""
    printed = mock.Mock()
    monkeypatch.setattr(builtins, "print", printed)
    Kestra.outputs({"a": 1})
    assert printed.mock_calls == [mock.call('::{"outputs": {"a": 1}}::')]


def test_a_replaced_format_makes_the_frame(monkeypatch, capsys):
    """Every message is formatted through the class."""
    monkeypatch.setattr(Kestra, "format", lambda message: f"<{message}>")
    Kestra.outputs({"a": 1})
    assert capsys.readouterr().out == "<{'outputs': {'a': 1}}>\n"


def test_the_logger_starts_afresh(capsys):
    """After `Kestra._logger = None` there is a new logger, which says everything once."""
    for _ in range(3):
        Kestra._logger = None
        assert Kestra.logger() is Kestra.logger() is logging.getLogger("Kestra")
    Kestra.logger().info("text")
    assert len(testing.parse(capsys.readouterr().out).logs) == 1


def test_instances_are_of_no_use_but_work(capsys):
    """Scripts that make a `Kestra()` get the same methods."""
    Kestra().outputs({"a": 1})
    assert testing.parse(capsys.readouterr().out).outputs == {"a": 1}
