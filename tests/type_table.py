"""docs/types.md: what arrives of each type of value, in each engine.

Its rows are the cases of test_values.py and test_frames.py, as they stand there. `python
type_table.py` sends them all, as a task does; the tests in engine/ have that run by the engines.
"""

import ast
import datetime as dt
import importlib
import inspect
import json
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

import test_frames
import test_values

from kestra import Kestra, testing

FILE = Path(__file__).parent.parent / "docs" / "types.md"
REWRITE = "python -m pytest -m engine --rewrite-types tests/engine"
ENGINES = {"2.0.0": "2.0", "1.3.31": "1.3", "0.21": "0.21"}  # columns, and their rules in `parse`
LONGEST = 70  # characters of a value in the table, and of what arrives

OURS = ("test_", __name__)  # modules
MISSING = object()  # a library that is not installed
DROPPED = object()  # what an engine does not keep
FROM_LIBRARIES = [
    ("pandas.Timestamp('2026-01-02T03:04:05.123456789Z')", "2026-01-02T03:04:05.123456789+00:00"),
    ("pandas.Timedelta('1.5s')", "PT1.5S"),
    ("pandas.NaT", None),
    ("pandas.NA", None),
    ("pandas.array([1, None])", [1, None]),
    ("polars.Series([1, 2])", [1, 2]),
    ("pydantic.create_model('Order', day=dt.date)(day=dt.date(2026, 1, 2))", {"day": "2026-01-02"}),
]

HEAD = f"""\
<!-- Made by `{REWRITE}`: do not edit. -->

# What arrives of each type

Each value was sent by this package from a task, and what Kestra kept of it stands beside it, as
JSON. For the columns 2.0.0 and 1.3.31 those engines themselves, the published jars, ran the task
and read its lines: that is the side that runs tasks. What a server does afterwards was recorded on
running ones, and is in the columns too: those of 2.0.0 and 1.3.31 drop keys whose value is null,
nested ones too, that of 1.3.31 also drops NUL characters. The column 0.21 follows from exchanges
that were recorded on a running server, which keeps nulls.

`dt` is `datetime`, `np` is `numpy`, `UTC` is `datetime.timezone.utc`; `Colour`, `Number`, `Text`,
`Bits` and `Named` are enums, `Point` and `Slotted` dataclasses, `Pair` a named tuple. `=`: the
same as in 2.0.0. `—`: nothing, the key is left out.
"""

OUTPUTS, KEYS, VALUES, SECONDS, TAGS = (
    "Outputs",
    "Keys in outputs",
    "Values of counters",
    "Values of timers, in seconds",
    "Tags of metrics",
)


@dataclass(frozen=True)
class Case:
    """A row of the table: the source of a value, and where it is sent."""

    section: str
    number: int
    source: str
    value: Any
    reading: Any

    @property
    def is_shown(self):
        """Whether it is short, and the same for every interpreter."""
        return max(len(self.source), len(_json(self.reading))) <= LONGEST and (
            "sys." not in self.source
        )

    @property
    def name(self):
        return f"{self.section} {self.number}"

    @property
    def message(self):
        if self.section == OUTPUTS:
            return {"outputs": {self.name: self.value}}
        if self.section == KEYS:
            return {"outputs": {self.name: {self.value: True}}}
        metric = {"name": self.name, "type": "timer" if self.section == SECONDS else "counter"}
        if self.section == TAGS:
            return {"metrics": [{**metric, "value": 1, "tags": self.value}]}
        return {"metrics": [{**metric, "value": self.value}]}

    def arrived(self, outputs, metrics):
        """What of it is among the outputs and metrics that an engine has kept."""
        if self.section in {OUTPUTS, KEYS}:
            value = outputs.get(self.name, DROPPED)
            return next(iter(value)) if self.section == KEYS else value
        (metric,) = (metric for metric in metrics if metric.name == self.name)
        return metric.tags if self.section == TAGS else metric.value


def cases():
    """All rows but those of libraries that are not installed."""
    same = zip(_sources(test_values, "SAME"), test_values.SAME, strict=True)
    libraries = [(source, evaluated(source), reading) for source, reading in FROM_LIBRARIES]
    rows = {
        OUTPUTS: [
            *((source, value, test_values.as_kept(value)) for source, value in same),
            *_pairs(test_values, "READINGS"),
            *(row for row in libraries if row[1] is not MISSING),
        ],
        KEYS: _pairs(test_values, "KEYS"),
        VALUES: _pairs(test_frames, "VALUES"),
        SECONDS: _pairs(test_frames, "SECONDS"),
        TAGS: _pairs(test_frames, "TAGS"),
    }
    return [
        Case(section, number, *row)
        for section, rows_of_it in rows.items()
        for number, row in enumerate(rows_of_it)
    ]


def _pairs(module, name):
    """Of a list of pairs: the source of each first half, and both halves."""
    pairs = getattr(module, name)
    return [
        (source, *pair)
        for source, pair in zip(_sources(module, name, is_pairs=True), pairs, strict=True)
    ]


def _sources(module, name, *, is_pairs=False):
    """The source of each element of a list in a module, or of each one's first half."""
    text = inspect.getsource(module)
    (values,) = (
        node.value.elts
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    )
    nodes = [node.elts[0] for node in values] if is_pairs else values
    return [" ".join(ast.get_source_segment(text, node).split()) for node in nodes]


def evaluated(source):
    """A value of a library; MISSING where that is not installed."""
    library = source.partition(".")[0]
    try:
        names = {library: importlib.import_module(library), "dt": dt, "__name__": __name__}
    except ImportError:
        return MISSING
    return eval(source, names)


def render(kept):
    """The file, given the outputs and the metrics that each engine has kept."""
    parts = [HEAD]
    section = None
    for case in (case for case in cases() if case.is_shown):
        if case.section != section:
            section = case.section
            titles = ["type", "value", *ENGINES]
            parts += [f"\n## {section}\n\n", _row(titles), _row(["---"] * len(titles))]
        first, *others = (_json(case.arrived(*kept[engine])) for engine in ENGINES)
        cells = [first, *("=" if cell == first else cell for cell in others)]
        parts.append(_row([_type_name(case.value), _code(case.source), *cells]))
    parts.append("\n## Refused in outputs\n\n")
    parts += [_row(["value", "error", "message"]), _row(["---"] * 3)]
    for name, (make, error, _) in test_values.REFUSED.items():
        _, message = test_values.refusal({"it": make()})
        parts.append(_row([name, error.__name__, _code(message)]))
    return "".join(parts)


def parsed(lines):
    """The outputs and the metrics that `testing.parse` says each engine keeps of this script."""
    messages = ((name, testing.parse(lines, engine=engine)) for name, engine in ENGINES.items())
    return {name: (each.outputs, each.metrics) for name, each in messages}


def _row(cells):
    return f"| {' | '.join(cells)} |\n"


def _type_name(value):
    """The type, or what a class of the tests is made of."""
    if type(value).__module__.startswith(OURS) and is_dataclass(value):
        return "dataclass"
    bases = (base for base in type(value).__mro__ if not base.__module__.startswith(OURS))
    base = next(bases)
    library = base.__module__.partition(".")[0]
    return base.__qualname__ if library == "builtins" else f"{library}.{base.__qualname__}"


def _json(value):
    if value is DROPPED:
        return "—"
    text = json.dumps(value, ensure_ascii=False)
    return _code(text if text.isprintable() else json.dumps(value))


def _code(text):
    return f"`{_escaped(text)}`" if "`" not in text else f"`` {_escaped(text)} ``"


def _escaped(text):
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for case in cases():
        Kestra.send(case.message)
