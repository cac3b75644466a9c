"""Messages and their frames: metrics, logs, assets, and what an engine would do with them."""

import collections
import datetime as dt
import decimal
import enum
import fractions
import json
import math
import types

import optional
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kestra import Kestra, testing
from kestra._task.frames import log_frame

optional.require("numpy")
import numpy as np  # noqa: E402

SECRET = "hunter2"  # no value may be seen in an error


def metric(value=1, type_="counter", name="rows", **keys):
    return {"metrics": [{"name": name, "type": type_, "value": value, **keys}]}


def kept(message):
    """The one metric that the engine keeps of a message, and nothing lost of it."""
    messages = testing.parse(Kestra.format(message))
    assert not messages.rejected
    (only,) = messages.metrics
    return only


def refusal(message):
    """The type and the text of the error for a message."""
    with pytest.raises((TypeError, ValueError)) as caught:
        Kestra.format(message)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return caught.type, str(caught.value)


class Named(str, enum.Enum):
    INFO = "INFO"
    METRICS = "metrics"
    NAME = "name"
    ROWS = "rows"
    TIMER = "timer"


# Whole messages.


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"outputs": {}},
        {"outputs": {"a": 1}, "metrics": [], "logs": []},
        {"metrics": [{"name": "a", "type": "counter", "value": 1, "tags": {}}]},
        {"metrics": [{"value": 1.5, "name": "a", "type": "gauge"}]},
        {"metrics": [{"name": "é", "type": "timer", "value": 2, "tags": {"é": "ü", "n": 1.5}}]},
        {"metrics": [{"name": "a", "type": "timer", "value": "PT1.5S", "tags": {"b": True}}]},
        {"metrics": [{"name": "a", "type": "counter", "value": 1, "tags": None}]},
        {"metrics": [{"name": "a", "type": "counter", "value": 10**300, "timestamp": 1.5}]},
        {"metrics": [{"name": "a", "type": "counter", "value": 1}] * 3},
        {"logs": [{"level": "INFO", "message": "a\nb\u2028é😀\x00"}]},
        {"logs": [{"message": "a", "level": "WARN"}, {"level": "ERROR", "message": None}]},
        {"logs": [{"level": "TRACE"}]},
        {"assets": {"inputs": [{"id": "a"}], "outputs": [{"id": "b", "type": "TABLE"}]}},
        {"otlp": {"resourceLogs": []}, "a key": [1, {"b": None}]},
        {1: None},
        types.MappingProxyType({"outputs": types.MappingProxyType({"a": 1})}),
    ],
    ids=lambda message: str(message)[:60],
)
def test_same_bytes_as_json(message):
    """A message has the bytes of `json.dumps`, its keys in their order."""
    plain = json.dumps(message, default=dict)
    assert Kestra.format(message) == f"::{plain}::"
    assert not any("dropped" in line.reason for line in testing.parse(f"::{plain}::").rejected)


@pytest.mark.parametrize("message", [None, [], SECRET, 1, [("outputs", {})]])
def test_a_message_is_a_mapping(message):
    """What is no mapping is no message."""
    error, text = refusal(message)
    assert error is TypeError
    assert text.startswith("the message is of type ")


@pytest.mark.parametrize(
    ("message", "error", "start"),
    [
        ({b"key": 1}, TypeError, "the message has a key of type bytes: use text as keys"),
        ({1: 1, "1": 2}, ValueError, 'the message has two keys that become "1": rename one'),
        ({"\ud800": 1}, ValueError, "the message has a key with a lone surrogate"),
        ({"extra": {"a": [math.inf, b""]}}, TypeError, "extra.a[1] is of type bytes"),
        ({"metrics": {"name": "a"}}, TypeError, "metrics is of type dict: it must be a list"),
        ({"metrics": None}, TypeError, "metrics is of type NoneType: it must be a list"),
        ({"metrics": [[SECRET]]}, TypeError, "metrics[0] is of type list: it must be a dict"),
        ({"metrics": [metric()["metrics"][0], 7]}, TypeError, "metrics[1] is of type int"),
        ({"metrics": [{"type": "counter", "value": 1}]}, ValueError, "metrics[0].name is missing"),
        ({"metrics": [{"name": "a", "value": 1}]}, ValueError, "metrics[0].type is missing"),
        ({"metrics": [{"name": "a", "type": "gauge"}]}, ValueError, "metrics[0].value is missing"),
        (metric(note=b""), TypeError, "metrics[0].note is of type bytes"),
        (metric(**{"a b": {"c": {b"": 1}}}), TypeError, 'metrics[0]["a b"].c has a key of type'),
        ({"metrics": [{1: 1, "1": 1}]}, ValueError, 'metrics[0] has two keys that become "1"'),
        ({"metrics": [{b"": 1}]}, TypeError, "metrics[0] has a key of type bytes"),
        ({"logs": SECRET}, TypeError, "logs is of type str: it must be a list of dicts"),
        ({"logs": [SECRET]}, TypeError, "logs[0] is of type str: it must be a dict"),
        ({"logs": [{"level": "info"}]}, ValueError, "logs[0].level must be one of TRACE, DEBUG,"),
        ({"logs": [{"level": None}]}, ValueError, "logs[0].level must be one of TRACE"),
        ({"logs": [{"level": ["INFO"]}]}, ValueError, "logs[0].level must be one of TRACE"),
        ({"logs": [{"message": "a"}]}, ValueError, "logs[0].level is missing: it must be one of"),
        ({"otlp": SECRET}, TypeError, "otlp is of type str: it must be a dict"),
        (
            {"logs": [{"level": "INFO", "message": [1]}]},
            TypeError,
            "logs[0].message is of type list",
        ),
        ({"logs": [{"message": "x" * 20_000_000}]}, ValueError, "logs[0].message is a text of 20,"),
        ({"assets": [{"id": "a"}]}, TypeError, "assets is of type list: it must be a dict"),
        ({"assets": {"inputs": [{"id": b""}]}}, TypeError, "assets.inputs[0].id is of type bytes"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refused(message, error, start):
    """What the engine would drop is refused, with its path."""
    caught, text = refusal(message)
    assert caught is error
    assert text.startswith(start)


def test_depth_of_what_is_carried_along():
    """Inside a metric, too, 1,000 levels pass, and one more is refused."""
    inside = []
    for _ in range(996):
        inside = [inside]
    frame = Kestra.format(metric(note=inside))
    assert frame.count("[") + frame.count("{") == 1_000
    assert refusal(metric(note=[inside]))[1].startswith("metrics[0].note[0][0]")


# Metrics.


VALUES = [
    (3, 3),
    (-2.5, -2.5),
    (0, 0),
    (1e308, 1e308),
    (10**300, 1e300),
    (1e-320, 1e-320),
    (decimal.Decimal("1.25"), 1.25),
    (fractions.Fraction(1, 4), 0.25),
    (np.int64(3), 3),
    (np.uint8(3), 3),
    (np.float32(0.5), 0.5),
    (np.longdouble(0.5), 0.5),
    (np.array(7), 7),
    (enum.IntEnum("Number", "ONE").ONE, 1),
    ("3", 3),
    (" 1.5\t", 1.5),
    ("+1.", 1),
    ("-.5", -0.5),
]


@pytest.mark.parametrize("type_", ["counter", "timer", "gauge"])
@pytest.mark.parametrize(("value", "read"), VALUES, ids=lambda value: repr(value)[:20])
def test_values(value, read, type_):
    """Any finite number, of any library, and text that is one, is read as that number."""
    is_beyond = type_ == "timer" and (abs(read) > 1e9 or value == "-.5")  # misread, as text
    if not is_beyond:
        expected = pytest.approx(read, abs=1e-9) if type_ == "timer" else read
        assert kept(metric(value, type_)) == testing.TaskMetric("rows", type_, expected, {})


SECONDS = [
    (1.5, 1.5),
    (dt.timedelta(milliseconds=1_500), 1.5),
    (dt.timedelta(days=-1), -86_400),
    (np.timedelta64(1_500, "ms"), 1.5),
    ("PT1.5S", 1.5),
    ("-PT1M", -60),
    ("P1DT1H1M1S", 90_061),
    ("pt-1.5s", -1.5),
    ("1.5", 1.5),
    ("-2", -2),
    (9_223_372_036, 9_223_372_036),
    (-9_223_372_036.0, -9_223_372_036),
    ("PT9223372036S", 9_223_372_036),
]


@pytest.mark.parametrize(("value", "seconds"), SECONDS, ids=repr)
def test_seconds(value, seconds):
    """A timer is a number of seconds, a timedelta, or text that is either."""
    assert kept(metric(value, "timer")).value == seconds


@pytest.mark.parametrize("value", ["1e3", "1.5", "3", "PT1.5S", " 2 "])
@pytest.mark.parametrize("type_", ["counter", "timer"])
def test_text_is_sent_unchanged(value, type_):
    """A text that is read as a number goes out as it is; one that is not is refused."""
    reads = not value.startswith("P") if type_ == "counter" else "e" not in value
    if reads:
        assert f'"value": {json.dumps(value)}' in Kestra.format(metric(value, type_))
    else:
        assert refusal(metric(value, type_))[1].startswith("metrics[0].value is text that is n")


def test_text_of_many_digits():
    """A counter as text of 1,000 characters passes, one of 1,001 is refused."""
    assert kept(metric("0" * 999 + "1")).value == 1
    assert refusal(metric("0" * 1_000 + "1"))[0] is ValueError


BAD_VALUES = {
    "boolean": (True, TypeError, "is of type bool: it must be a finite number"),
    "numpy boolean": (np.True_, TypeError, "is of type numpy.bool"),
    "None": (None, TypeError, "is of type NoneType: it must be a finite number"),
    "list": ([1], TypeError, "is of type list"),
    "array": (np.array([1]), TypeError, "is of type numpy.ndarray"),
    "complex": (1j, TypeError, "is of type complex"),
    "bytes": (SECRET.encode(), TypeError, "is of type bytes"),
    "date": (dt.date(2026, 1, 2), TypeError, "is of type datetime.date"),
    "NaN": (math.nan, ValueError, "is not finite"),
    "infinity": (-math.inf, ValueError, "is not finite"),
    "Decimal NaN": (decimal.Decimal("NaN"), ValueError, "is not finite"),
    "signalling NaN": (decimal.Decimal("sNaN"), ValueError, "is not finite"),
    "large Decimal": (decimal.Decimal("1e400"), ValueError, "is not finite"),
    "large Fraction": (fractions.Fraction(10**400), ValueError, "is not finite"),
    "large integer": (10**400, ValueError, "is not finite"),
    "numpy NaN": (np.float32("nan"), ValueError, "is not finite"),
    "NaT": (np.timedelta64("NaT", "s"), TypeError, "is of type "),
    "text": (SECRET, ValueError, "is text that is n"),
    "empty text": ("", ValueError, "is text that is n"),
    "NaN as text": ("NaN", ValueError, "is text that is n"),
    "hexadecimal": ("0x10", ValueError, "is text that is n"),
    "underscore": ("1_000", ValueError, "is text that is n"),
    "other digits": ("\u0661", ValueError, "is text that is n"),
    "point": (".", ValueError, "is text that is n"),
    "comma": ("1,5", ValueError, "is text that is n"),
    "surrogate": ("1\ud800", ValueError, "is text that is n"),
}


@pytest.mark.parametrize("type_", ["counter", "timer", "gauge"])
@pytest.mark.parametrize("name", BAD_VALUES)
def test_bad_values(name, type_):
    """What is no finite number is refused, whatever the type of the metric."""
    value, error, reason = BAD_VALUES[name]
    caught, text = refusal(metric(value, type_))
    assert caught is error
    assert text.startswith(f"metrics[0].value {reason}")


@pytest.mark.parametrize(
    "value",
    [
        9_223_372_037,
        -9_223_372_036.5,
        10**19,
        1e12,
        dt.timedelta.max,
        "9223372037",
        "PT2562047H47M17S",
        "-P106752D",
        decimal.Decimal("1e10"),
        np.timedelta64(2**40, "s"),
    ],
    ids=repr,
)
def test_timers_beyond_what_the_engine_counts(value):
    """A timer whose nanoseconds do not fit into 64 bits is refused; as a counter it may pass."""
    error, text = refusal(metric(value, "timer"))
    assert error is ValueError
    assert text.startswith("metrics[0].value is beyond 9,223,372,036 seconds")


@pytest.mark.parametrize(
    "timestamp",
    [
        dt.datetime(2026, 1, 2, 3, 4, 5, 6, dt.timezone.utc),
        dt.datetime(2026, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=-3.5))),
        "2026-01-02T03:04:05.678Z",
        "2026-01-02T03:04+02:00",
        "2026-01-02t03:04:05.+18:00",
        1_767_312_245,
        1e300,
        None,
    ],
    ids=repr,
)
def test_timestamps(timestamp):
    """The instant of a metric is kept."""
    message = {"metrics": [{"name": "a", "type": "counter", "value": 1, "timestamp": timestamp}]}
    assert not testing.parse(Kestra.format(message)).rejected


@pytest.mark.parametrize(
    "timestamp",
    [
        dt.datetime(2026, 1, 2),  # noqa: DTZ001  # has to be refused
        dt.date(2026, 1, 2),
        "2026-01-02T03:04:05",
        "2026-13-01T00:00Z",
        "2026-02-30T10:00:00Z",
        "2026-01-01T25:00:00Z",
        "2026-01-01T00:00:00+18:30",
        dt.datetime(2026, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=19))),
        "now",
        "",
        True,
        [],
        SECRET,
    ],
    ids=repr,
)
def test_timestamps_that_are_no_instant(timestamp):
    """A datetime without a zone would cost the whole frame."""
    metrics = [{"name": "a", "type": "counter", "value": 1, "timestamp": timestamp}]
    error, text = refusal({"outputs": {"a": 1}, "metrics": metrics})
    assert issubclass(error, (TypeError, ValueError))
    assert text.startswith("metrics[0].timestamp ")
    assert "time zone" in text


@pytest.mark.parametrize("value", ["-1.5", "-0.5", " -1.50 "])
def test_negative_fractions_as_text(value):
    """The engine misreads -1.5 as text: a timer of it is refused, a counter passes."""
    assert "negative fraction" in refusal(metric(value, "timer"))[1]
    assert kept(metric(value)).value == float(value)


@pytest.mark.parametrize("value", ["P", "PT", "PT1", "1S", "P1Y", "P1W", "P1DT", "PT 1S", "PT1.1M"])
def test_text_that_is_no_duration(value):
    """What the engine does not read as an ISO 8601 duration is refused."""
    assert refusal(metric(value, "timer"))[0] is ValueError
    assert testing.parse(f"::{json.dumps(metric(value, 'timer'))}::").rejected


NUMBER_LIKE = st.from_regex(
    r"[ +\-]?[0-9]{0,3}\.?[0-9]{0,3}([eE][+-]?[0-9]{1,3})?[ \n]?", fullmatch=True
)
DURATION_LIKE = st.from_regex(
    r"-?P([+-]?[0-9]{1,2}D)?(T([0-9]{1,2}H)?(-?[0-9]{1,2}M)?(-?[0-9]{0,2}(\.[0-9]{1,3})?S)?)?",
    fullmatch=True,
)


@example("\x00 0\x1f", "counter")
@example("1.5\x1f", "timer")
@given(st.text(max_size=6) | NUMBER_LIKE | DURATION_LIKE, st.sampled_from(["counter", "timer"]))
def test_any_text_value(text, type_):
    """A text is sent where the engine reads a finite number of it, and refused otherwise."""
    try:
        frame = Kestra.format(metric(text, type_))
    except ValueError:
        messages = testing.parse(f"::{json.dumps(metric(text, type_))}::")
        misread = type_ == "timer" and ("-" in text or "," in text)
        assert messages.rejected or misread or not math.isfinite(messages.metrics["rows"])
    else:
        messages = testing.parse(frame)
        assert not messages.rejected
        assert math.isfinite(messages.metrics["rows"])


@given(
    st.integers(-(2**70), 2**70)
    | st.floats()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.timedeltas(),
    st.sampled_from(["counter", "timer", "gauge"]),
)
def test_any_number(value, type_):
    """Any number is kept, unless it is not finite, or a timer that is too long."""
    seconds = value.total_seconds() if isinstance(value, dt.timedelta) else value
    try:
        frame = Kestra.format(metric(value, type_))
    except TypeError:
        assert isinstance(value, dt.timedelta)
        assert type_ != "timer"
        return
    except ValueError:
        assert not math.isfinite(float(seconds)) or (
            type_ == "timer" and abs(float(seconds)) > 9_223_372_036
        )
        return
    messages = testing.parse(frame)
    assert not messages.rejected
    tolerance = 1e-9 if type_ == "timer" else 0
    assert messages.metrics["rows"] == pytest.approx(float(seconds), rel=1e-15, abs=tolerance)


# Names.


@pytest.mark.parametrize("name", ["a", "x" * 150, "é" * 150, "😀" * 75, "\ud83d\ude00", Named.ROWS])
def test_names(name):
    """A name has 1 to 150 characters, as Java counts them."""
    expected = str(name.value if isinstance(name, enum.Enum) else name)
    assert kept(metric(name=name)).name == expected.encode("utf-16", "surrogatepass").decode(
        "utf-16"
    )


@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        ("", ValueError, "is 0 characters long: it must have 1 to 150"),
        ("x" * 151, ValueError, "is 151 characters long: it must have 1 to 150"),
        ("😀" * 76, ValueError, "is 152 characters long"),
        ("a\ud800", ValueError, "has a lone surrogate"),
        (None, TypeError, "is of type NoneType: it must be text"),
        (7, TypeError, "is of type int: it must be text"),
        (SECRET.encode(), TypeError, "is of type bytes: it must be text"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_bad_names(name, error, reason):
    """A name that is none, or that takes the server down, is refused."""
    caught, text = refusal(metric(name=name))
    assert caught is error
    assert text.startswith(f"metrics[0].name {reason}")


@pytest.mark.parametrize("type_", ["Counter", "histogram", "", None, 1, ["counter"]])
def test_types(type_):
    """A metric is a counter, a timer or a gauge."""
    text = refusal(metric(type_=type_))[1]
    assert text == "metrics[0].type must be one of counter, timer, gauge"


def test_an_enum_of_text():
    """Wherever a text is wanted, an Enum of text is what it stands for, not its name."""
    assert kept(metric("PT1S", Named.TIMER)).type == "timer"
    assert kept({Named.METRICS: [{Named.NAME: "a", "type": "gauge", "value": 1}]}).name == "a"
    frame = Kestra.format({"logs": [{"level": Named.INFO, "message": Named.ROWS}]})
    assert testing.parse(frame).logs == [testing.TaskLog("INFO", "rows", "frame")]
    assert refusal({Named.METRICS: [{Named.NAME: ""}]})[1].startswith("metrics[0].name is 0 char")


@pytest.mark.parametrize(
    ("call", "start"),
    [
        (lambda: Kestra.counter("rows", None), "value is of type NoneType: it must be a finite"),
        (lambda: Kestra.gauge("rows", math.nan), "value is not finite"),
        (lambda: Kestra.timer("rows", None), "duration is of type NoneType"),
        (lambda: Kestra.counter("", 1), "name is 0 characters long"),
        (lambda: Kestra.counter("rows", 1, {"a b": []}), 'tags["a b"] is of type list'),
        (lambda: Kestra.counter("rows", 1, [SECRET]), "tags is of type list"),
        (lambda: Kestra.counter("rows", 1, {b"": 1}), "tags has a key of type bytes"),
        (lambda: Kestra.metrics("rows", "sum", 1), "type must be one of counter, timer, gauge"),
        (Kestra.timer(None).__enter__, "name is of type NoneType"),
        (lambda: Kestra.send(metric(None)), "metrics[0].value is of type NoneType"),
    ],
)
def test_errors_name_the_arguments(capsys, call, start):
    """By the names that the caller knows: those of the call, or the path in the message."""
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert str(caught.value).startswith(start)
    assert SECRET not in str(caught.value)
    assert capsys.readouterr().out == ""


# Tags.


TAGS = [
    ({}, {}),
    (None, {}),
    ({"a": "b", "é": "ü"}, {"a": "b", "é": "ü"}),
    ({"n": 1, "f": 0.5, "b": False}, {"n": "1", "f": "0.5", "b": "false"}),
    ({"a": None, "b": "c"}, {"b": "c"}),
    ({"a": None}, {}),
    ({"d": dt.date(2026, 1, 2), "e": Named.ROWS}, {"d": "2026-01-02", "e": "rows"}),
    ({"n": np.int64(1), "s": np.str_("a")}, {"n": "1", "s": "a"}),
    ({1: "a", dt.date(2026, 1, 2): "b"}, {"1": "a", "2026-01-02": "b"}),
    ({np.str_("a"): "b"}, {"a": "b"}),
    ({"a": ""}, {"a": ""}),
    (collections.UserDict(a="b"), {"a": "b"}),
]


@pytest.mark.parametrize(("tags", "read"), TAGS, ids=lambda tags: str(tags)[:30])
def test_tags(tags, read):
    """Tags are scalars by name; one that is None is left out."""
    assert kept(metric(tags=tags)).tags == read


@pytest.mark.parametrize(
    ("tags", "error", "reason"),
    [
        ([SECRET], TypeError, " is of type list: it must be a dict of scalars"),
        (SECRET, TypeError, " is of type str: it must be a dict of scalars"),
        ({"a": [SECRET]}, TypeError, ".a is of type list: a tag is text, a boolean or a finite"),
        ({"a b": {"c": 1}}, TypeError, '["a b"] is of type dict: a tag is text'),
        ({"a": math.nan}, TypeError, ".a is of type float: a tag is text"),
        ({"a": SECRET.encode()}, TypeError, ".a is of type bytes, which JSON cannot hold"),
        ({"a": 10**1000}, ValueError, ".a is an integer of more than 1,000 digits"),
        ({"a": f"{SECRET}\ud800"}, ValueError, ".a has a lone surrogate"),
        ({"\ud800": 1}, ValueError, " has a key with a lone surrogate"),
        ({b"a": 1}, TypeError, " has a key of type bytes"),
        ({"": "a"}, ValueError, " has a tag without a name"),
        ({"1": "a", 1: "b"}, ValueError, ' has two keys that become "1": rename one'),
        ({1: "a", "1": "b"}, ValueError, ' has two keys that become "1": rename one'),
        ({True: "a", "é": "ü", "true": "é"}, ValueError, ' has two keys that become "true"'),
        ({"a": "x" * 20_000_000}, ValueError, " has 20,000,000 characters or more"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_tags(tags, error, reason):
    """What an engine drops, or crashes on, is refused among the tags, too."""
    caught, text = refusal(metric(tags=tags))
    assert caught is error
    assert text.startswith(f"metrics[0].tags{reason}")


# Logs.


@pytest.mark.parametrize("level", ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"])
@pytest.mark.parametrize(
    ("message", "read"),
    [
        ("text", "text"),
        ("two\nlines\r\n", "two\nlines\r\n"),
        ("é\u2028😀\x00::", "é\u2028😀\x00::"),
        ("\ud83d\ude00", "😀"),
        ("a\ud800b\udc00", "a\ufffdb\ufffd"),
        ("", ""),
    ],
    ids=ascii,
)
def test_logs(level, message, read):
    """A message arrives in one entry; half of a surrogate pair in it as U+FFFD."""
    for frame in (
        log_frame(level, message),
        Kestra.format({"logs": [{"level": level, "message": message}]}),
        Kestra.format({"logs": [{"message": message, "level": level}]}),
    ):
        messages = testing.parse(frame)
        assert not messages.rejected
        assert messages.logs == [testing.TaskLog(level, read, "frame")]


@pytest.mark.parametrize(
    ("message", "read"),
    [
        (7, "7"),
        (True, "true"),
        (0.5, "0.5"),
        (dt.date.min, "0001-01-01"),
        (Named.ROWS, "rows"),
    ],
)
def test_messages_that_are_no_text(message, read):
    """A scalar is a message, too."""
    frame = Kestra.format({"logs": [{"level": "INFO", "message": message}]})
    assert testing.parse(frame).logs == [testing.TaskLog("INFO", read, "frame")]


def test_long_messages():
    """A message that escapes make long is sent; the engine counts its characters."""
    message = "é" * 4_000_000
    assert testing.parse(log_frame("INFO", message), engine="2.0").logs[0].message == message


@given(st.text(st.characters()))
def test_any_message(message):
    """Whatever a message holds, the entry is kept."""
    messages = testing.parse(log_frame("INFO", message))
    assert not messages.rejected
    assert len(messages.logs) == 1
    assert messages.logs[0].message == message.encode("utf-16", "surrogatepass").decode(
        "utf-16", "replace"
    )


def test_many_names_and_tags():
    """However many there were before, each metric says its own name, type and tags."""
    for number in range(1_100):
        tags = {f"tag {number % 7}": f"{number}", "same": "x"}
        frame = Kestra.format(
            {"metrics": [{"name": f"n{number}", "type": "gauge", "value": 1, "tags": tags}]}
        )
        (sent,) = testing.parse(frame).metrics
        assert (sent.name, sent.type, sent.tags) == (f"n{number}", "gauge", tags)
