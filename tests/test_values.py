"""What values become in outputs, and which are refused."""

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import io
import itertools
import json
import math
import pathlib
import subprocess
import sys
import types
import uuid
from pipes import DEADLINE
from typing import NamedTuple

import optional
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kestra import Kestra, testing
from kestra._engine.reader import TaskReader, read
from kestra._values import text as text_module

optional.require("numpy")
import numpy as np  # noqa: E402

SECRET = "hunter2"  # no value may be seen in an error
UTC = dt.timezone.utc


def encoded(value):
    """The JSON text of a value among the outputs."""
    frame = Kestra.format({"outputs": {"it": value}})
    return frame.removeprefix('::{"outputs": {"it": ').removesuffix("}}::")


def refusal(outputs):
    """The type and the text of the error for these outputs."""
    with pytest.raises((TypeError, ValueError)) as caught:
        Kestra.format({"outputs": outputs})
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    return caught.type, str(caught.value)


class Colour(enum.Enum):
    RED = "red"
    SINCE = dt.date(2026, 1, 2)
    PARTS = ("a", 1)
    NESTED = None


class Number(enum.IntEnum):
    ONE = 1


class Text(str, enum.Enum):
    A = "a"


class Labelled(str, enum.Enum):
    """An Enum of text whose value is not the text: `json.dumps` writes the text."""

    def __new__(cls, text):
        member = str.__new__(cls, text)
        member._value_ = f"value {text}"
        return member

    A = "a"


class Bits(enum.Flag):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Point:
    x: object
    y: object = None


@dataclasses.dataclass(slots=True)
class Slotted:
    x: object


class Pair(NamedTuple):
    a: int
    b: object


class Words(str):
    __slots__ = ()


class Whole(int):
    def __repr__(self):
        return SECRET


class Table(dict):
    pass


# What `json.dumps` writes, byte for byte.

SAME = [
    None,
    True,
    0,
    -1,
    2**70,
    10**1000 - 1,
    0.1,
    -0.0,
    1e308,
    5e-324,
    "",
    "plain",
    'quotes " and \\ and /',
    "\x00\x1f\x7f\n\r\t",
    "é€😀",
    "\u0085\u2028\u2029\ufeff",
    "\ud83d\ude00",
    "::{}:: }::",
    "\\ud800",
    [],
    {},
    (),
    [[], {}, ()],
    {"": ""},
    {"b": 1, "a": 2, "é": {"c": [1, {"d": (2.5, None)}]}},
    {1: 1, 2.5: 2, False: 3, None: 4, "x": 5},
    {math.inf: 1, -math.inf: 2},
    {math.nan: 1},
    {Number.ONE: Number.ONE, Text.A: Text.A},
    Pair(1, (2, 3)),
    collections.OrderedDict(b=1, a=2),
    collections.defaultdict(list, a=[1]),
    collections.Counter("aab"),
    Words("text"),
    Table(a=1),
    {Words("key"): 1},
    Whole(7),
    {Whole(7): 7},
    ["x" * 5_000, "\\" * 5_000, "9" * 5_000],
    {str(n): {"row": n, "text": "é" * n} for n in range(500)},
    [[n, n + 0.5, str(n)] for n in range(2_000)],
    {"x": "x" * 100_000},
    "😀" * 1_000,
    "\\ud800" * 1_000,
    {"a": ["[{", {"}]": "["}]},
    {"a": [np.float64(0.5), Text.A, Number.ONE, np.str_("é")], "b": {"c": [[], Words("[")]}},
    Labelled.A,
]


@pytest.mark.parametrize("value", SAME, ids=lambda value: repr(value)[:40])
def test_same_bytes_as_json(value):
    """What `json.dumps` writes correctly is written the same, alone and inside."""
    assert encoded(value) == json.dumps(value)
    assert text_module.json_text(value, "it") == json.dumps(value)
    assert encoded([value, {"inside": value}]) == json.dumps([value, {"inside": value}])
    if isinstance(value, dict):
        assert Kestra.format({"outputs": value}) == f"::{json.dumps({'outputs': value})}::"


def test_values_are_not_changed():
    """What is sent stays as it is."""
    value = {"a": [math.nan, {1: {2}}], "b": (1,)}
    encoded(value)
    assert repr(value) == "{'a': [nan, {1: {2}}], 'b': (1,)}"


# What has one obvious reading.

READINGS = [
    (dt.datetime(2026, 1, 2, 3, 4, 5, 678_900, UTC), "2026-01-02T03:04:05.678900+00:00"),
    (dt.datetime(2026, 1, 2), "2026-01-02T00:00:00"),  # noqa: DTZ001  # is sent as it is
    (dt.date(2026, 1, 2), "2026-01-02"),
    (dt.time(3, 4, tzinfo=UTC), "03:04:00+00:00"),
    (dt.timedelta(0), "PT0S"),
    (dt.timedelta(seconds=1.5), "PT1.5S"),
    (dt.timedelta(days=1, hours=1, minutes=1, seconds=1), "PT25H1M1S"),
    (dt.timedelta(minutes=90), "PT1H30M"),
    (dt.timedelta(days=-1, microseconds=1), "-PT23H59M59.999999S"),
    (dt.timedelta.max, "PT23999999999H59M59.999999S"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (pathlib.PurePosixPath("/a/é"), "/a/é"),
    (pathlib.Path("a"), "a"),
    (pathlib.PureWindowsPath("C:\\a"), "C:\\a"),
    (decimal.Decimal("1.10"), "1.10"),
    (decimal.Decimal("1E+400"), "1E+400"),
    (decimal.Decimal("NaN"), None),
    (decimal.Decimal("-Infinity"), None),
    (math.nan, None),
    (math.inf, None),
    (-math.inf, None),
    (Colour.RED, "red"),
    (Colour.SINCE, "2026-01-02"),
    (Colour.PARTS, ["a", 1]),
    (Colour.NESTED, None),
    (Bits.LOW, 1),
    (Bits.LOW | Bits.HIGH, 3),
    ({3}, [3]),
    (frozenset([None]), [None]),
    (collections.deque([1, 2]), [1, 2]),
    (range(3), [0, 1, 2]),
    ((n for n in range(2)), [0, 1]),
    (map(str, [1]), ["1"]),
    (zip([1], [2], strict=True), [[1, 2]]),
    (itertools.chain([1], [2]), [1, 2]),
    (iter([1]), [1]),
    ({"a": 1}.keys(), ["a"]),
    ({"a": 1}.values(), [1]),
    ({"a": 1}.items(), [["a", 1]]),
    (collections.OrderedDict(a=1).values(), [1]),
    (array.array("d", [0.5]), [0.5]),
    (collections.UserList([1]), [1]),
    (collections.UserString("text"), "text"),
    (collections.UserDict(a=1), {"a": 1}),
    (types.MappingProxyType({"a": 1}), {"a": 1}),
    (collections.ChainMap({"a": 1}, {"b": 2}), {"b": 2, "a": 1}),
    (Point(1, Point({2})), {"x": 1, "y": {"x": [2], "y": None}}),
    (Slotted(math.nan), {"x": None}),
    ([(), {"a": {dt.date(2026, 1, 2)}}], [[], {"a": ["2026-01-02"]}]),
    ({"a": [float("nan"), 1]}, {"a": [None, 1]}),
    (sys.version_info[:2], list(sys.version_info[:2])),
    (np.int64(3), 3),
    (np.uint64(2**64 - 1), 2**64 - 1),
    (np.float32(0.5), 0.5),
    (np.float64(0.1), 0.1),
    (np.float16(np.inf), None),
    (np.longdouble(0.5), 0.5),
    (np.bool_(True), True),
    (np.str_("é"), "é"),
    (np.datetime64("2026-01-02T03:04:05.123456789"), "2026-01-02T03:04:05.123456789"),
    (np.datetime64("2026-01-02"), "2026-01-02"),
    (np.datetime64("NaT", "s"), None),
    (np.timedelta64(1_500, "ns"), "PT0.0000015S"),
    (np.timedelta64(-36, "h"), "-PT36H"),
    (np.timedelta64(2, "W"), "PT336H"),
    (np.timedelta64(2**60, "s"), "PT320255973501901H56M16S"),
    (np.timedelta64("NaT", "s"), None),
    (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    (np.array([0.5, np.nan, -np.inf]), [0.5, None, None]),
    (np.array([], dtype=float), []),
    (np.array(5), 5),
    (np.array("text"), "text"),
    (np.array(["a", "b"]), ["a", "b"]),
    (np.array([1, 2], dtype=np.longdouble), [1.0, 2.0]),
    (np.array([None, {"a": {1}}], dtype=object), [None, {"a": [1]}]),
    (
        np.array(["2026-01-02", "NaT"], dtype="datetime64[ns]"),
        ["2026-01-02T00:00:00.000000000", None],
    ),
    (np.array(np.datetime64("2026-01-02")), "2026-01-02"),
    (np.array([1, 2], dtype="timedelta64[s]"), ["PT1S", "PT2S"]),
    (np.array([(1, "a")], dtype=[("n", int), ("s", "U1")]), [[1, "a"]]),
    (np.ma.masked, None),
    (np.ma.masked_array([1, 2], [True, False]), [None, 2]),
    ([np.int64(1)] * 2, [1, 1]),
]


@pytest.mark.parametrize(
    ("value", "reading"), READINGS, ids=lambda it: repr(it).partition(" at 0x")[0][:40]
)
def test_readings(value, reading):
    """A value that JSON does not know is sent as what it stands for, and the engine keeps that."""
    frame = Kestra.format({"outputs": {"it": value}})
    messages = read(frame, (), TaskReader(server=False))  # a server would drop nulls
    assert messages.outputs == {"it": reading}
    assert not messages.rejected


class Quantity(np.ndarray):
    """An array that never gives a bare number, as some libraries' quantities."""

    def __getitem__(self, index):
        return self


def test_an_array_that_gives_itself():
    """An array of no dimension which is its own element is sent as its number."""
    assert encoded(np.array(3.5).view(Quantity)) == "3.5"


KEYS = [
    (dt.date(2026, 1, 2), "2026-01-02"),
    (dt.datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (pathlib.PurePosixPath("a/b"), "a/b"),
    (Colour.RED, "red"),
    (Colour.SINCE, "2026-01-02"),
    (Colour.NESTED, "null"),
    (np.str_("text"), "text"),
    (10**999, str(10**999)),
]


@pytest.mark.parametrize(("key", "text"), KEYS, ids=repr)
def test_keys(key, text):
    """A date, UUID, Path or Enum is its text as a key, too."""
    assert Kestra.format({"outputs": {key: {key: 1}}}) == (
        f'::{{"outputs": {{"{text}": {{"{text}": 1}}}}}}::'
    )


def test_pandas():
    """Moments and durations are text, what is missing is null, tables and columns are refused."""
    pd = pytest.importorskip("pandas")
    value = [pd.Timestamp("2026-01-02T03:04:05.123456789Z"), pd.NaT, pd.NA, pd.Timedelta("1.5s")]
    assert json.loads(encoded(value)) == [
        "2026-01-02T03:04:05.123456789+00:00",
        None,
        None,
        "PT1.5S",
    ]
    frame = pd.DataFrame({"a": [SECRET]})
    for table, remedy in [(frame, "outputFiles"), (frame["a"], "tolist"), (frame.index, "tolist")]:
        error, message = refusal({"a": [table]})
        assert error is TypeError
        assert message.startswith("outputs.a[0] is of type pandas.")
        assert remedy in message
    assert refusal(frame)[1].startswith("outputs is of type pandas.")
    assert json.loads(encoded(frame.to_dict("records"))) == [{"a": SECRET}]


def test_pydantic():
    """A pydantic model is an object, whose values are read in turn."""
    pydantic = pytest.importorskip("pydantic")
    inner = pydantic.create_model("inner", since=dt.date, tags=set[int])
    outer = pydantic.create_model("outer", inner=inner, ratio=float)
    model = outer(inner=inner(since=dt.date(2026, 1, 2), tags={1}), ratio=math.nan)
    expected = {"inner": {"since": "2026-01-02", "tags": [1]}, "ratio": None}
    assert json.loads(encoded([model])) == [expected]
    messages = read(Kestra.format({"outputs": model}), (), TaskReader(server=False))
    assert messages.outputs == expected


def test_import_without_the_accelerator():
    """An interpreter that has no C encoder at all sends the same bytes."""
    outputs = "{'é': [1.5, None, float('nan'), True], 'b': {'c': 'd'}}"
    code = (
        "import sys; sys.modules['_json'] = None\n"
        f"from kestra import Kestra; Kestra.outputs({outputs})"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, timeout=DEADLINE
    )
    assert run.stdout == (
        b'::{"outputs": {"\\u00e9": [1.5, null, null, true], "b": {"c": "d"}}}::\n'
    )


def test_a_model_of_the_first_pydantic():
    """A model without `model_dump` has `dict`."""
    model = type("BaseModel", (), {"__module__": "pydantic.main", "dict": lambda _: {"a": {1}}})
    assert encoded(model()) == '{"a": [1]}'


def test_no_library_is_imported_for_a_reading():
    """What the script has not imported is not imported."""
    code = (
        "import sys, datetime, kestra\n"
        "kestra.Kestra.outputs({'a': [datetime.date(2026, 1, 2), {1}, float('nan')]})\n"
        "print(sorted(sys.modules.keys() & {'numpy', 'pandas', 'pydantic', 'decimal', 'uuid',"
        " 'dataclasses', 'json', 're', 'pathlib'}))"
    )
    command = [sys.executable, "-S", "-c", code]
    path = str(pathlib.Path(text_module.__file__).parents[2])
    out = subprocess.run(
        command, env={"PYTHONPATH": path}, check=True, capture_output=True, timeout=DEADLINE
    ).stdout
    assert out.splitlines()[-1] == b"[]"


# What is refused.


def circle():
    value = [SECRET]
    value.append({"again": value})
    return value


def circle_of_points():
    point = Point(SECRET)
    point.y = point
    return point


def nested(levels, leaf=SECRET):
    value = leaf
    for _ in range(levels):
        value = [value]
    return value


FILE = "outputFiles"
REFUSED = {
    "bytes": (SECRET.encode, TypeError, FILE),
    "bytearray": (lambda: bytearray(SECRET.encode()), TypeError, FILE),
    "memoryview": (lambda: memoryview(SECRET.encode()), TypeError, FILE),
    "numpy bytes": (lambda: np.bytes_(SECRET), TypeError, FILE),
    "numpy void": (lambda: np.void(SECRET.encode()), TypeError, FILE),
    "complex": (lambda: 1j, TypeError, "value.real"),
    "numpy complex": (lambda: np.complex64(1j), TypeError, "value.real"),
    "numpy year": (lambda: np.timedelta64(1, "Y"), TypeError, "timedelta64[ns]"),
    "object": (object, TypeError, "convert it"),
    "class": (lambda: Point, TypeError, "convert it"),
    "function": (lambda: len, TypeError, "convert it"),
    "file": (lambda: io.StringIO(SECRET), TypeError, "convert it"),
    "Fraction": (lambda: fractions.Fraction(1, 3), TypeError, "convert it"),
    "namespace": (lambda: types.SimpleNamespace(a=SECRET), TypeError, "convert it"),
    "circle": (circle, ValueError, "send a copy"),
    "circle of objects": (circle_of_points, ValueError, "send a copy"),
    "depth": (lambda: nested(1_000), ValueError, "flatten it"),
    "digits": (lambda: 10**1000, ValueError, "as text"),
    "very many digits": (lambda: -(10**5000), ValueError, "as text"),
    "digits of a subclass": (lambda: Whole(10**1000), ValueError, "as text"),
    "high surrogate": (lambda: f"{SECRET}\ud800", ValueError, "replace it"),
    "low surrogate": (lambda: f"\udc00\ud800{SECRET}", ValueError, "replace it"),
    "text": (lambda: SECRET + "x" * 20_000_000, ValueError, FILE),
    "astral text": (lambda: "😀" * 10_000_000, ValueError, FILE),
    "surrogate key": (lambda: {"\ud800": SECRET}, ValueError, "replace it"),
    "bytes key": (lambda: {b"key": SECRET}, TypeError, "use text as keys"),
    "tuple key": (lambda: {(1, 2): SECRET}, TypeError, "use text as keys"),
    "tuple Enum key": (lambda: {Colour.PARTS: SECRET}, TypeError, "use text as keys"),
    "Decimal key": (lambda: {decimal.Decimal(1): SECRET}, TypeError, "use text as keys"),
    "numpy key": (lambda: {np.int64(1): SECRET}, TypeError, "use text as keys"),
    "number twice": (lambda: {1: SECRET, "1": 2}, ValueError, "rename one"),
    "boolean twice": (lambda: {True: SECRET, "true": 2}, ValueError, "rename one"),
    "None twice": (lambda: {None: SECRET, "null": 2}, ValueError, "rename one"),
    "date twice": (lambda: {dt.date.min: SECRET, "0001-01-01": 2}, ValueError, "rename one"),
    "long key": (lambda: {"k" * 20_000_000: SECRET}, ValueError, FILE),
    "digits in key": (lambda: {10**1000: SECRET}, ValueError, "as text"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    """What the engine would drop, or crash on, is refused, with its path and the remedy."""
    make, error, remedy = REFUSED[name]
    value = make()
    plain = {"a": 1, "stats": [0, {"not a name": value}]}
    converted = {"stats": {"set": {1}, "ratio": value}}
    for outputs, path in (
        (plain, 'outputs.stats[1]["not a name"]'),
        (converted, "outputs.stats.ratio"),
    ):
        kind, message = refusal(outputs)
        assert kind is error
        assert message.startswith(path)
        assert remedy in message.partition(": ")[2]
        assert len(message) < 400


@pytest.mark.parametrize(
    "value", [None, [1], "text", 7, SECRET.encode(), {1}, Colour.RED, object(), iter([("a", 1)])]
)
@pytest.mark.parametrize("key", ["outputs", "assets"])
def test_outputs_that_are_no_mapping(key, value):
    """Outputs, and assets, are a mapping of names and values."""
    with pytest.raises(TypeError, match=rf"^{key} is of type .*: ") as caught:
        Kestra.format({key: value})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "outputs",
    [collections.UserDict(a=1), Point(1), types.MappingProxyType({"a": 1}), Table(a=1)],
)
def test_outputs_that_stand_for_a_mapping(outputs):
    """Any mapping will do, and what becomes an object."""
    assert testing.parse(Kestra.format({"outputs": outputs})).outputs.keys() <= {"a", "x", "y"}


# The engine's limits, on both ways through.


@pytest.mark.parametrize("leaf", [1, dt.date.min], ids=["plain", "converted"])
@pytest.mark.parametrize("wrap", [lambda it: [it], lambda it: (it,), lambda it: {"k": it}])
def test_depth(leaf, wrap):
    """1,000 levels pass, the message's own object counted in; one more is refused."""
    value = leaf
    for _ in range(998):
        value = wrap(value)
    frame = Kestra.format({"outputs": {"it": value}})
    assert frame.count("[") + frame.count("{") == 1_000
    error, message = refusal({"it": wrap(value)})
    assert error is ValueError
    assert "deeper than 1,000 levels" in message


@pytest.mark.parametrize("limit", [None, 100_000])
def test_depth_and_circles_under_any_recursion_limit(limit):
    """Circles and very deep values are refused, not crashed on, also under a raised limit."""
    code = f"""
import sys
if {limit}:
    sys.setrecursionlimit({limit})
from kestra import Kestra

circle = []
circle.append(circle)
deep = []
for _ in range(20_000):
    deep = [deep]
for value in (circle, deep):
    try:
        Kestra.format({{"it": value}})
    except ValueError as error:
        print(str(error).partition(": ")[0], flush=True)
"""
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=DEADLINE)
    first, second = run.stdout.splitlines()
    assert first.endswith("contains itself (a circular reference)")
    assert second.endswith("is nested deeper than 1,000 levels")


def test_a_value_at_the_end_of_the_stack():
    """What is sent from deep inside a recursion needs little of what is left of the stack."""

    def descend():
        try:
            return descend()
        except RecursionError:
            return None

    def at(depth):
        return encoded({"a": [{1}]}) if depth == 0 else at(depth - 1)

    descend()
    assert at(sys.getrecursionlimit() // 2) == '{"a": [[1]]}'


def test_a_long_integer_anywhere():
    """An integer of 1,001 digits is found wherever it stands, and whatever stands around it."""
    for before in range(0, 1_300, 7):
        value = {"pad": "x" * before, "near": 987_654_321, "it": 10**1000 + 7, "end": "x" * 1_000}
        assert refusal(value)[1].startswith("outputs.it ")
        value["it"] //= 10
        Kestra.format({"outputs": value})


def test_digits_in_texts():
    """Long texts of digits are no long numbers."""
    value = {"a": "1" * 30_000, "b": ["2" * 600, {"3" * 3_000: 4}]}
    assert encoded(value) == json.dumps(value)


@pytest.mark.parametrize(
    "text", ["x" * 19_999_999, "é" * 19_999_999, "😀" * 9_999_999], ids=lambda text: text[:1]
)
def test_long_texts(text):
    """A text of 19,999,999 characters, as Java counts them, passes."""
    assert len(encoded(text)) == len(json.dumps(text))


@pytest.mark.parametrize("size", [10, 1_200, 60_000])
@pytest.mark.parametrize("bad", ["\ud800", "\ude00\ud83d", "\\ud800\ude00"], ids=ascii)
def test_lone_surrogates(bad, size):
    """Half of a surrogate pair is refused in small and large outputs, as value and as key."""
    for value in ("x" * size + bad, ["x" * size, {"a": bad}], {"é" * size: {bad: 1}}):
        assert refusal({"it": value})[0] is ValueError
        assert refusal({"it": [value, {1}]})[0] is ValueError
    for value in ("😀" * size, {"😀" * size: 1}, ["\ud83d\ude00" * size]):
        assert encoded(value) == json.dumps(value)


# Any value.

JSON_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.integers(1, 10**1000 - 1)
    | st.floats()
    | st.text(st.characters(codec="utf-8"))
    | st.sampled_from(["\ud83d\ude00", "é\ud83d\ude00", "}::", "::{", "\\ud800"])
)
KEY_TEXTS = st.text(st.characters(codec="utf-8"), max_size=4)
JSON_VALUES = st.recursive(
    JSON_SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(KEY_TEXTS, inner)
        | st.dictionaries(
            st.integers() | st.booleans() | st.none() | st.floats(), inner, max_size=1
        )
    ),
    max_leaves=30,
)
BAD = st.sampled_from(
    [SECRET.encode(), object(), 1j, f"{SECRET}\ud800", 10**1000, {b"": SECRET}, {1: 1, "1": 2}]
)


def as_kept(value):
    """A value of JSON types as the engine keeps it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16")
    if isinstance(value, (list, tuple)):
        return [as_kept(item) for item in value]
    if isinstance(value, dict):
        keys = (json.loads(json.dumps({key: 0})).popitem()[0] for key in value)
        return {as_kept(key): as_kept(item) for key, item in zip(keys, value.values(), strict=True)}
    return value


@given(st.dictionaries(KEY_TEXTS, JSON_VALUES, max_size=4))
def test_any_value_arrives(outputs):
    """The engine keeps any nested value of JSON types as it was, NaN and infinities as null."""
    messages = read(Kestra.format({"outputs": outputs}), (), TaskReader(server=False))
    assert messages.outputs == as_kept(outputs)
    assert not messages.rejected


@given(JSON_VALUES, st.booleans())
def test_any_value_has_the_bytes_of_json(value, is_walked):
    """Where `json.dumps` writes JSON, the bytes are the same on both ways through."""
    try:
        text = json.dumps({"a": value}, allow_nan=False)
    except ValueError:
        return
    outputs = types.MappingProxyType({"a": value}) if is_walked else {"a": value}
    assert Kestra.format({"outputs": outputs}) == f'::{{"outputs": {text}}}::'


@given(
    st.lists(
        st.tuples(KEY_TEXTS | st.integers(0, 3), st.lists(JSON_VALUES, max_size=3)), max_size=8
    ),
    KEY_TEXTS,
    BAD,
)
def test_any_refusal_names_the_path(steps, name, bad):
    """Whatever surrounds one bad value, the error begins with the path of that value."""
    value, path = bad, ""
    for step, others in steps:
        if isinstance(step, int):
            place = min(step, len(others))
            value, path = [*others[:place], value, *others[place:]], f"[{place}]{path}"
        else:
            around = {f"_{number}": other for number, other in enumerate(others)}
            value, path = {**around, step: value}, piece(step) + path
    message = refusal({"first": 1, name: value})[1]
    assert message.startswith(f"outputs{piece(name)}{path} ")


def piece(key):
    return f".{key}" if key.isascii() and key.isidentifier() else f"[{json.dumps(key)}]"


def test_a_long_path_is_shortened():
    """Of a path of very many pieces the error shows both ends."""
    message = refusal({"start": nested(500, {"end": object()})})[1]
    assert message.startswith("outputs.start[0][0]")
    assert "[0]…[0]" in message
    assert "[0].end is of type object" in message
    assert refusal({"k " * 99: object()})[1].startswith('outputs["k k k ')
    assert "…] is of type object" in refusal({"k " * 99: object()})[1]


def test_without_the_accelerator(monkeypatch):
    """An interpreter without the C encoder of `json` writes and refuses the same."""
    monkeypatch.setattr(text_module, "_encode", None)
    for value in SAME:
        assert encoded(value) == json.dumps(value)
    for make, error, _ in REFUSED.values():
        assert refusal({"it": make()})[0] is error
