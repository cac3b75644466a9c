import json
import math
import subprocess
import sys
from dataclasses import asdict

import pytest
from recorded import CASES, comparable, kept, printed

from kestra import Kestra
from kestra._engine import jackson
from kestra._engine.reader import TaskReader, read
from kestra.testing import TaskLog, TaskMetric, parse


def frame(**keys):
    return f"::{json.dumps(keys)}::"


def counter(value=1, name="rows", **keys):
    return frame(metrics=[{"name": name, "type": "counter", "value": value, **keys}])


def timer(value, name="elapsed", **keys):
    return frame(metrics=[{"name": name, "type": "timer", "value": value, **keys}])


def reasons(messages):
    return [line.reason for line in messages.rejected]


@pytest.mark.parametrize("case", CASES)
def test_recorded(case):
    """Of every recorded case, `parse` keeps what the engine kept."""
    for engine, expected in kept(case):
        messages = parse(printed(case, "stdout"), stderr=printed(case, "stderr"), engine=engine)
        if "crash" in expected:
            assert messages.state == "CRASH", engine
            assert messages.rejected, engine
        else:
            assert comparable(asdict(messages)) == expected, engine


def test_the_side_that_runs_the_task():
    """Asked for that alone, nothing is in what a server does: it was recorded of 2.0."""
    for case in CASES:
        expected = dict(kept(case, server=False))["2.0"]
        reader = TaskReader("2.0", server=False)
        messages = read(printed(case, "stdout"), printed(case, "stderr"), reader)
        assert comparable(asdict(messages)) == expected, case


def test_engines():
    """An engine whose rules are not known is refused, and the message names those that are."""
    with pytest.raises(ValueError, match=r"0\.21, 1\.3, 2\.0.*'0\.20'"):
        parse("", engine="0.20")


@pytest.mark.parametrize(
    "lines",
    [
        "a\n\nb\r\nc\rd",
        b"a\n\nb\r\nc\rd\n",
        bytearray(b"a\n\nb\nc\nd"),
        ["a", "", "b\n", b"c\r\n", "d\r"],
        iter(["a\n\nb", b"c\rd"]),
    ],
)
def test_lines(lines):
    """Lines come as one text or one by one, as bytes too, and end as they do for the engine."""
    assert [entry.message for entry in parse(lines).logs] == ["a", "", "b", "c", "d"]


def test_nothing_printed():
    """Nothing printed is nothing kept and nothing lost."""
    messages = parse("")
    assert (messages.outputs, messages.metrics, messages.logs) == ({}, [], [])
    assert (messages.assets, messages.rejected, messages.state) == ([], [], "SUCCESS")


def test_what_this_package_prints(capsys):
    """What a task sends with this package is kept, and nothing of it is lost."""
    Kestra.outputs({"rows": 3})
    Kestra.counter("rows", 3)
    Kestra.timer("elapsed", 0.25)
    messages = parse(capsys.readouterr().out)
    assert messages.outputs == {"rows": 3}
    assert messages.metrics["rows"] == 3
    assert messages.metrics["elapsed"] == 0.25
    assert not messages.rejected


def test_sources_of_the_log():
    """Each entry tells whether it was an ordinary line, a frame, or the engine that wrote it."""
    stdout = ["out", frame(logs=[{"level": "DEBUG", "message": "m"}]), "::{no}::"]
    assert [(entry.level, entry.source) for entry in parse(stdout, stderr="err").logs] == [
        ("INFO", "stdout"),
        ("DEBUG", "frame"),
        ("WARN", "engine"),
        ("ERROR", "stderr"),
    ]


def test_a_metric_by_its_name():
    """The value of a metric is found by its name, and a metric by its position."""
    metrics = parse([counter(2), timer("PT1.5S"), counter(1)]).metrics
    assert metrics["rows"] == 3
    assert metrics["elapsed"] == 1.5
    assert metrics[0] == TaskMetric("rows", "counter", 3, {})
    assert metrics[:1] == [metrics[0]]
    assert "rows" in metrics
    assert metrics[0] in metrics
    assert "row" not in metrics


def test_no_such_metric():
    """A name that is not there, or there several times, is a KeyError that says so."""
    metrics = parse([counter(tags={"a": 1}), counter(tags={"a": 2})]).metrics
    with pytest.raises(KeyError, match=r"'row'.*\['rows', 'rows'\]"):
        metrics["row"]
    with pytest.raises(KeyError, match="2 metrics are called 'rows'"):
        metrics["rows"]


FRAME = '::{"outputs": {"a": 1}}::'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"INFO {FRAME}", "text before the frame"),
        (f"\x1b[0m{FRAME}", "text before the frame"),
        (f"{FRAME} done", "text after the frame"),
        (f" {FRAME}", "spaces around the frame"),
        (f"{FRAME}\t", "spaces around the frame"),
        (f"\ufeff{FRAME}", "a byte-order mark"),
        ("\0".join(FRAME), "not UTF-16"),
        ("\ufffd\ufffd" + "\0".join(FRAME), "not UTF-16"),
        (FRAME.replace("1", '"\u2028"'), "escape it"),
        (FRAME.replace("1", '"\u2029"'), "escape it"),
        (FRAME.replace("1", '"\x85"'), "escape it"),
        ("::{", "does not end on its line"),
        ("::{}", "does not end on its line"),
        ('::{"outputs": {', "does not end on its line"),
        ('  ::{"outputs": {"a": 1}}:', "does not end on its line"),
        (':: {"outputs": {}}::', "a space between"),
        (FRAME + FRAME, "a second frame"),
        (f"{FRAME} {FRAME}", "a second frame"),
        ('::{"outputs": {"a": 1}} }::', "text after the JSON object"),
    ],
)
def test_lookalikes(line, reason):
    """A line that was meant as a frame and is none, or only in part, is reported with a remedy."""
    messages = parse(["first", line])
    (rejected,) = messages.rejected
    assert reason in rejected.reason
    assert (rejected.line_number, rejected.stream, rejected.text) == (2, "stdout", line)
    assert messages.logs[1:] in ([], [TaskLog("INFO", line, "stdout")])


@pytest.mark.parametrize(
    "line",
    ["use std::{io, fs};", "a::b", "::set-output name=x::y", "::", "}::", "\0", '{"outputs": 1}'],
)
def test_ordinary_lines(line):
    """Colons and braces alone make no frame that failed."""
    messages = parse(line)
    assert messages.logs == [TaskLog("INFO", line, "stdout")]
    assert not messages.rejected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('::{"outputs": {"a": NaN}}::', "NaN is not valid JSON: send null"),
        ('::{"outputs": {"a": -Infinity}}::', "-Infinity is not valid JSON"),
        ("::{'outputs': {}}::", "strings take double quotes"),
        ('::{"outputs": {} /* x */}::', "JSON has no comments"),
        ('::{"outputs": [1]}::', "outputs must be an object"),
        ('::{"metrics": {}}::', "metrics must be a list"),
        (
            '::{"metrics": [{"type": "gauge"}, {"type": "COUNTER"}]}::',
            r"metrics[1].type must be one of",
        ),
        (
            '::{"metrics": [{"type": "counter", "value": true}]}::',
            "metrics[0].value must be a number",
        ),
        ('::{"metrics": [{"type": "timer", "value": "1 s"}]}::', "metrics[0].value is text"),
        (
            '::{"metrics": [{"type": "gauge", "tags": {"a": []}}]}::',
            "metrics[0].tags.a must be text",
        ),
        *(
            (
                f'::{{"metrics": [{{"type": "gauge", "timestamp": "{it}"}}]}}::',
                "metrics[0].timestamp",
            )
            for it in ("now", "2026-02-30T10:00Z", "2026-01-01T25:00Z", "2026-01-01T00:00+18:30")
        ),
        ('::{"logs": [{"level": "WARNING"}]}::', "logs[0].level must be one of ERROR, WARN"),
        ('::{"logs": [{"level": true}]}::', "logs[0].level must be one of ERROR, WARN"),
        ('::{"logs": [{"level": "INFO", "message": {}}]}::', "logs[0].message must be text"),
    ],
)
def test_dropped_frames(text, reason):
    """A frame that the engine drops is reported with the path of what is wrong in it."""
    messages = parse(text)
    assert [(entry.level, entry.source) for entry in messages.logs] == [("WARN", "engine")]
    assert reasons(messages)[0].startswith("the whole frame is dropped: ")
    assert reason in reasons(messages)[0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (counter(None), "metrics[0].value is null"),
        (counter(tags={"a": None}), "a tag of metrics[0] is null"),
        (counter(tags={"": 1}), "an empty name"),
        (timer(1e12), "a timer's value is in seconds"),
        (frame(metrics=[None]), "one of metrics is null"),
        (frame(assets={"outputs": []}), "only the Enterprise Edition takes assets"),
        (counter() + "\n" + counter(type="gauge"), "has the name and the tags of a counter"),
        (counter() + "\n" + counter(None), "metrics[0].value is null"),
    ],
)
def test_death_of_the_reader(line, reason):
    """After what kills the engine's reader, every later line of the stream is lost, not others."""
    lines = [*line.split("\n"), "text", FRAME]
    messages = parse(lines, stderr=["kept", frame(outputs={"e": 1})])
    death, *rest = reasons(messages)
    assert reason in death
    assert rest == [f"stdout is not read after line {len(lines) - 2}"] * 2
    assert [line.line_number for line in messages.rejected[-2:]] == [len(lines) - 1, len(lines)]
    assert messages.outputs == {"e": 1}
    assert messages.logs[-1] == TaskLog("ERROR", "kept", "stderr")


@pytest.mark.parametrize(("engine", "losses"), [("0.21", 2), ("1.3", 2), ("2.0", 0)])
def test_types_with_other_values_of_the_same_tags(engine, losses):
    """They clash on a server; the side that runs the task, all that is known of 2.0, keeps both."""
    lines = [counter(tags={"a": 1}), timer(1, name="rows", tags={"a": 2}), FRAME]
    assert len(parse(lines, engine=engine).rejected) == losses
    other_tag = timer(1, name="rows", tags={"b": 1})
    assert not parse([lines[0], other_tag, FRAME], engine=engine).rejected


@pytest.mark.parametrize(
    ("engine", "state"), [("0.21", "WARNING"), ("1.3", "SUCCESS"), ("2.0", "SUCCESS")]
)
def test_state_after_stderr(engine, state):
    """A line on stderr, even a frame, makes a WARNING on 0.21 only."""
    assert parse("x", stderr=FRAME, engine=engine).state == state
    assert parse("x", stderr="text", engine=engine).state == state
    assert parse(counter(None), engine=engine).state == state
    assert parse("x", engine=engine).state == "SUCCESS"


@pytest.mark.parametrize(
    "line",
    [
        counter(name="n" * 151),
        timer(None),
        frame(outputs={"a": "\ud800"}),
        frame(outputs={"\udc00": 1}),
    ],
)
@pytest.mark.parametrize("engine", ["0.21", "1.3", "2.0"])
def test_crashes(line, engine):
    """What a server does not survive is a CRASH, and on 2.0, where it is not known, a loss."""
    messages = parse([line, "more"], stderr="x", engine=engine)
    assert messages.rejected
    assert (messages.state == "CRASH") == (engine != "2.0")


def test_names_of_150_characters():
    """A metric's name may have 150 characters."""
    assert not parse(counter(name="n" * 150), engine="1.3").rejected


def test_assets():
    """The Enterprise Edition takes assets, with their numbers as they are; 0.21 reads none."""
    assets = {
        "inputs": [{"id": "a"}],
        "outputs": [{"id": "b", "type": "T", "metadata": {"n": 0.5}}],
    }
    line = frame(assets=assets, outputs={"a": 1}, encryptedOutputs={})
    messages = parse(line, enterprise=True)
    assert messages.assets == [assets]
    assert type(messages.assets[0]["outputs"][0]["metadata"]["n"]) is float
    assert messages.outputs == {"a": 1}
    assert not messages.rejected
    assert parse(line, engine="0.21").outputs == {"a": 1}
    assert reasons(parse(line, engine="0.21"))[0].startswith("'assets' is not read")


LOST_NULL = "null is not kept: leave the key out, or send a value (outputs.a.b and 1 more)"


@pytest.mark.parametrize(
    ("engine", "nul", "losses"),
    [
        ("1.3", "", ["NUL characters are not kept (outputs.e)", LOST_NULL]),
        ("2.0", "\0", [LOST_NULL]),
    ],
)
def test_outputs_that_a_server_changes(engine, nul, losses):
    """What the servers of 1.3 and 2.0 do not keep of outputs is reported with its path."""
    outputs = {"a": {"b": None, "c": [None, {"d": None}]}, "e": "x\0y", "f": 1.5}
    messages = parse(frame(outputs=outputs), engine=engine)
    assert messages.outputs == {"a": {"c": [None, {}]}, "e": f"x{nul}y", "f": 1.5}
    assert sorted(reasons(messages)) == losses
    task = read(frame(outputs=outputs), (), TaskReader(engine, server=False))
    assert (task.outputs, task.rejected) == (outputs, [])


def test_numbers():
    """A number beyond a double becomes text; all others come back as plain int and float."""
    messages = parse('::{"outputs": {"a": [1e400, -1e400, 1e3, 10, -0.0]}}::')
    assert messages.outputs["a"] == ["Infinity", "-Infinity", 1000.0, 10, 0]
    assert [type(value) for value in messages.outputs["a"][2:]] == [float, int, float]
    assert math.copysign(1, messages.outputs["a"][4]) == -1
    assert reasons(messages) == ["a number beyond a double becomes text (outputs.a[0] and 1 more)"]


def nested(levels):
    """Return a frame of so many levels: two objects, and lists in them."""
    return f'::{{"outputs": {{"a": {"[" * (levels - 2)}{"]" * (levels - 2)}}}}}::'


@pytest.mark.parametrize("levels", [1_001, 5_000, 500_000])
def test_nested_too_deeply(levels):
    """JSON of more than 1,000 levels is dropped, however deep it is."""
    assert "nested" in reasons(parse(nested(levels)))[0]


@pytest.mark.parametrize("calls", [0, 800])
def test_nesting_to_the_limit(calls):
    """However deep the caller is, 1,000 levels are kept and one more is not, on every Python."""

    def parsed(levels, calls=calls):
        return parsed(levels, calls - 1) if calls else parse(nested(levels))

    limit = sys.getrecursionlimit()
    assert not parsed(1_000).rejected
    assert "deeper than 1,000 levels" in reasons(parsed(1_001))[0]
    assert sys.getrecursionlimit() == limit


def test_many_brackets_are_no_depth():
    """It is the nesting that counts."""
    assert not parse(frame(outputs={"a": [[]] * 2_000})).rejected


@pytest.mark.parametrize(
    ("text", "is_kept"),
    [
        ("x" * 100, True),
        ("x" * 101, False),
        ("\\n" * 51, True),
        ("\U0001f600" * 50, True),
        ("\U0001f600" * 51, False),
    ],
)
def test_long_strings(text, is_kept, monkeypatch):
    """A string beyond the limit, in UTF-16 units, drops the frame, wherever it stands."""
    assert jackson.MAX_STRING == 20_000_000
    monkeypatch.setattr(jackson, "MAX_STRING", 100)
    for line in (f'::{{"outputs": {{"a": "{text}"}}}}::', f'::{{"outputs": {{"{text}": 1}}}}::'):
        assert bool(parse(line).outputs) == is_kept


def test_split_log_messages():
    """A server cuts long messages into entries of 10,240 or 15,360 characters."""
    line = frame(logs=[{"level": "INFO", "message": "x" * 20_000}])
    for engine, sizes in (("0.21", [10_240, 9_760]), ("1.3", [15_360, 4_640]), ("2.0", [20_000])):
        assert [len(entry.message) for entry in parse(line, engine=engine).logs] == sizes


def test_frames_of_other_engines():
    """A gauge drops the frame on 0.21, and otlp is read from 2.0 on."""
    gauge = frame(metrics=[{"name": "g", "type": "gauge", "value": 1}])
    assert "metrics[0].type" in reasons(parse(gauge, engine="0.21"))[0]
    assert "'otlp' is not read" in reasons(parse(frame(otlp={}), engine="1.3"))[0]


WHOLE = {
    "outputs": {"a": [1.5, "x", None]},
    "metrics": [{"name": "n", "type": "timer", "value": "PT1S", "tags": {"a": 1}, "timestamp": 1}],
    "logs": [{"level": "INFO", "message": "m"}],
    "assets": {"inputs": [{"id": "a"}], "outputs": [{"id": "b", "metadata": {}}]},
    "otlp": {
        "resourceLogs": [
            {"scopeLogs": [{"logRecords": [{"severityText": "x", "body": {"stringValue": "x"}}]}]}
        ],
        "resourceMetrics": [
            {
                "scopeMetrics": [
                    {
                        "metrics": [
                            {
                                "name": "n",
                                "sum": {
                                    "aggregationTemporality": 1,
                                    "dataPoints": [
                                        {
                                            "asInt": "1",
                                            "attributes": [{"key": "k", "value": {"intValue": 1}}],
                                        }
                                    ],
                                },
                            }
                        ]
                    }
                ]
            }
        ],
    },
}


def altered(value):
    """Yield `value` with one of its parts replaced by each kind of JSON value."""
    yield from (None, True, 0, -1.5, "", "x", [], [None], [[]], {}, {"": None})
    if isinstance(value, dict):
        for key, part in value.items():
            yield from ({**value, key: other} for other in altered(part))
    if isinstance(value, list):
        for i, part in enumerate(value):
            yield from ([*value[:i], other, *value[i + 1 :]] for other in altered(part))


@pytest.mark.parametrize("engine", ["0.21", "1.3", "2.0"])
@pytest.mark.parametrize("key", WHOLE)
def test_any_json(key, engine):
    """Whatever stands where the engine expects something else, the parser takes it."""
    for value in altered(WHOLE[key]):
        messages = parse(frame(**{key: value}), engine=engine, enterprise=True)
        assert set(messages.outputs) <= {"", "a"}


def test_light_import():
    """Loading `kestra.testing` loads neither pytest nor what only HTTP needs."""
    code = "import sys, kestra.testing; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pytest", "requests", "urllib3", "asyncio"} & set(run.stdout.split())
