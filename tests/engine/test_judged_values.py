"""Values of every type, sent by scripts that the engine runs: it keeps what is documented."""

import collections
import datetime as dt
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import type_table
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from real_engine import VERSIONS, as_text
from test_values import BAD, JSON_SCALARS, KEY_TEXTS, Colour, Point, as_kept

from kestra import testing

pytestmark = pytest.mark.engine

TABLE = Path(type_table.__file__)


@pytest.fixture(scope="module")
def tables(engines):
    """What each engine keeps of the table's cases."""
    return {version: each.keep([sys.executable, TABLE]) for version, each in engines.items()}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_type(tables, version):
    """Each case of the tests of values, keys and metrics arrives as what it is said to become."""
    kept = tables[version]
    assert (kept.status, kept.stderr) == (0, [])
    metrics = [testing.TaskMetric(*metric) for metric in kept.metrics]
    for case in type_table.cases():
        arrived = case.arrived(kept.outputs, metrics)
        if case.section in {type_table.VALUES, type_table.SECONDS}:
            assert arrived == case.reading, case
        else:
            assert as_text(arrived) == as_text(case.reading), case


def test_the_table(tables, request):
    """docs/types.md is what the engines keep, and what `testing.parse` says of the servers."""
    values = [type_table.evaluated(source) for source, _ in type_table.FROM_LIBRARIES]
    is_missing = any(value is type_table.MISSING for value in values)
    assert not is_missing, "the table has rows of pandas and pydantic: install them"
    # Each engine has agreed already on what its task side keeps.
    columns = type_table.parsed(tables["1.3.31"].stdout)
    columns["2.0.0"] = type_table.parsed(tables["2.0.0"].stdout)["2.0.0"]
    text = type_table.render(columns)
    if request.config.option.rewrite_types:
        type_table.FILE.parent.mkdir(exist_ok=True)
        type_table.FILE.write_text(text, "utf-8")
    assert type_table.FILE.read_text("utf-8") == text, f"run: {type_table.REWRITE}"


# 500 values of any depth, each drawn together with what it is documented to become.

REFUSED = object()
SCALARS = st.one_of(
    JSON_SCALARS.map(lambda it: (it, as_kept(it))),
    st.one_of(st.dates(), st.times(), st.datetimes(timezones=st.timezones())).map(
        lambda it: (it, it.isoformat())
    ),
    st.integers(0, 59).map(lambda it: (dt.timedelta(seconds=it), f"PT{it}S")),
    st.uuids().map(lambda it: (it, str(it))),
    st.decimals().map(lambda it: (it, str(it) if it.is_finite() else None)),
    st.integers(-(2**63), 2**63 - 1).map(lambda it: (np.int64(it), it)),
    st.floats(width=32).map(lambda it: (np.float32(it), as_kept(it))),
    st.sampled_from([(Colour.RED, "red"), (Colour.SINCE, "2026-01-02"), (np.True_, True)]),
    st.frozensets(st.integers(), max_size=1).map(lambda it: (it, list(it))),
    BAD.map(lambda it: (it, REFUSED)),
)


def together(make, keys, pairs):
    """A container of pairs, and its reading; one that holds what is refused is refused."""
    values, readings = [value for value, _ in pairs], [reading for _, reading in pairs]
    if any(reading is REFUSED for reading in readings):
        return make(values), REFUSED
    return make(values), dict(zip(keys, readings, strict=True)) if keys else readings


def containers(inner):
    several = st.lists(inner, max_size=4)
    return st.one_of(
        *(
            several.map(lambda pairs, kind=kind: together(kind, None, pairs))
            for kind in (list, tuple, collections.deque)
        ),
        st.dictionaries(KEY_TEXTS, inner, min_size=1, max_size=4).map(
            lambda it: together(lambda values: dict(zip(it, values, strict=True)), it, it.values())
        ),
        st.tuples(inner, inner).map(lambda it: together(lambda xy: Point(*xy), ("x", "y"), it)),
    )


def generated(count):
    """The same values in every run."""
    values = []

    @settings(max_examples=count, derandomize=True, database=None, phases=[Phase.generate])
    @given(st.recursive(SCALARS, containers, max_leaves=12))
    def collect(pair):
        values.append(pair)

    collect()
    return values


SEND = """
import pickle, sys
from kestra import Kestra

with open(sys.argv[1], "rb") as file:
    values = pickle.load(file)
for number, value in enumerate(values):
    try:
        Kestra.outputs({str(number): value})
    except (TypeError, ValueError):
        Kestra.counter("refused", 1)
"""


@pytest.fixture(scope="module")
def pairs():
    """500 values and what they are documented to become."""
    return generated(500)


def test_any_value(pairs, engine, tmp_path):
    """Of 500 generated values each arrives as it is documented to, or was refused as documented."""
    file = tmp_path / "values"
    file.write_bytes(pickle.dumps([value for value, _ in pairs]))
    path = os.pathsep.join([str(TABLE.parent), os.environ.get("PYTHONPATH", "")])
    kept = engine.keep([sys.executable, "-c", SEND, file], PYTHONPATH=path)
    assert (kept.status, kept.stderr) == (0, [])
    expected = {
        str(number): reading for number, (_, reading) in enumerate(pairs) if reading is not REFUSED
    }
    assert as_text(kept.outputs) == as_text(expected)
    assert kept.metrics == [["refused", "counter", 500 - len(expected), {}]]
    assert 100 < len(expected) < 490
