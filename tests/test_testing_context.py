"""`kestra.testing.kestra_context`."""

import json
import os
import stat
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

import kestra
from kestra import CONTEXT_FILE, load_execution_context
from kestra.exceptions import ExecutionContextNotFound
from kestra.testing import kestra_context

VARIABLE = "KESTRA_EXECUTION_CONTEXT_FILE"
CONTEXT = {"inputs": {"day": "Monday"}, "outputs": {"fetch": {"files": [{"uri": "a"}]}}}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty working directory, and no context."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv("KESTRA_CONTEXT", raising=False)
    monkeypatch.setattr(kestra, "_context", None)


def test_it_is_there_in_the_block():
    """`kestra.context` and `load_execution_context` read it."""
    with kestra_context(CONTEXT):
        assert kestra.context.inputs.day == "Monday"
        assert kestra.context.outputs.fetch.files[0].uri == "a"
        assert load_execution_context() == CONTEXT


def test_child_processes_read_it():
    """A process that is started in the block finds it too."""
    code = "from kestra import context; print(context.inputs.day)"
    with kestra_context(CONTEXT):
        process = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert process.stdout.strip() == b"Monday"


def test_nothing_is_left_of_it():
    """After the block there is no context, no variable and no file, also where it raises."""
    paths = []

    def fail():
        with kestra_context(CONTEXT):
            paths.append(Path(os.environ[VARIABLE]))
            assert kestra.context.inputs
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        fail()
    assert VARIABLE not in os.environ
    assert not paths[0].exists()
    assert not paths[0].parent.exists()
    with pytest.raises(ExecutionContextNotFound):
        _ = kestra.context


def test_what_was_there_before_is_back(monkeypatch):
    """A context that was there before is hidden by the block, and there again after it."""
    Path("before.json").write_text('{"before": true}')
    monkeypatch.setenv(VARIABLE, "before.json")
    before = kestra.context
    with kestra_context(CONTEXT):
        with kestra_context({"inputs": {"day": "Tuesday"}}):
            assert kestra.context.inputs.day == "Tuesday"
        assert kestra.context.inputs.day == "Monday"
    assert os.environ[VARIABLE] == "before.json"
    assert kestra.context is before
    assert load_execution_context() == {"before": True}


def test_code_that_removes_the_variable():
    """Code may do what it likes with the variable."""
    with kestra_context(CONTEXT):
        del os.environ[VARIABLE]
    assert VARIABLE not in os.environ


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_nobody_else_can_read_it():
    """A context may hold secrets: its folder is this user's only."""
    with kestra_context(CONTEXT):
        path = Path(os.environ[VARIABLE])
        assert path.name == CONTEXT_FILE
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_values_that_json_does_not_know():
    """A date becomes text, as in outputs; what has no reading is refused by its path."""
    with kestra_context({"inputs": {"day": date(2026, 1, 31), "name": "crème"}}):
        text = Path(os.environ[VARIABLE]).read_text("ascii")
    assert json.loads(text) == {"inputs": {"day": "2026-01-31", "name": "crème"}}
    with (
        pytest.raises(
            TypeError,
            match=r"context\.inputs\.file is of type bytes, .* and give its path",
        ),
        kestra_context({"inputs": {"file": b""}}),
    ):
        pass
    assert VARIABLE not in os.environ


@pytest.mark.parametrize("context", [None, "context.json", [1]])
def test_what_is_no_mapping(context):
    """What is no mapping is refused, and the message says what it must be."""
    with (
        pytest.raises(TypeError, match=r"context is of type \w+: it must be a dict"),
        kestra_context(context),
    ):
        pass
