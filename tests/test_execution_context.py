"""`ExecutionContext` and `load_execution_context`."""

import copy
import json
import pickle
import subprocess
import sys
from base64 import b64encode

import pytest

from kestra import CONTEXT_FILE, ExecutionContext, load_execution_context
from kestra.exceptions import (
    ExecutionContextError,
    ExecutionContextNotFound,
    InvalidExecutionContext,
)

DATA = {
    "flow": {"id": "orders", "namespace": "company.team", "revision": 3},
    "labels": {"system.correlationId": "abc", "team": "data"},
    "outputs": {"extract": {"files": [{"uri": "kestra:///a.ion"}, [{"uri": "kestra:///b.ion"}]]}},
    "trigger": None,
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty working directory, and no variable that names a context."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KESTRA_EXECUTION_CONTEXT_FILE", raising=False)
    monkeypatch.delenv("KESTRA_CONTEXT", raising=False)


@pytest.fixture
def context():
    """A context with `DATA`."""
    return ExecutionContext(copy.deepcopy(DATA))


def write(path, data):
    """A context file."""
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


# More than a reader of JSON follows. On Windows a variable holds at most 32,767 characters.
DEEP = 20_000 if sys.platform == "win32" else 10**6


def encoded(content):
    """What the variable `KESTRA_CONTEXT` holds."""
    return b64encode(content).decode()


def test_attributes_and_items_at_any_depth(context):
    """Keys are attributes and items alike, through dicts and lists."""
    assert context.flow.id == context["flow"]["id"] == "orders"
    assert context.flow["revision"] == 3
    assert context.outputs.extract.files[0].uri == "kestra:///a.ion"
    assert context["outputs"].extract.files[1][0]["uri"] == "kestra:///b.ion"
    assert context.labels["system.correlationId"] == "abc"
    assert context.trigger is None


def test_it_is_a_mapping(context):
    """A context has the methods of a mapping, and equals one with the same content."""
    assert list(context) == list(DATA)
    assert len(context) == 4
    assert "flow" in context
    assert context.get("nothing", "else") == "else"
    assert {**context.flow} == DATA["flow"]
    assert context == DATA == context
    assert context.flow == ExecutionContext(DATA["flow"])
    assert context != {"flow": {}}


def test_methods_win_over_keys():
    """A key that is named like a method is an item only."""
    context = ExecutionContext({"items": 1, "_private": 2})
    assert callable(context.items)
    assert context["items"] == 1
    with pytest.raises(AttributeError):
        _ = context._private
    assert context["_private"] == 2


def test_unknown_attribute_names_the_keys(context):
    """The error for a missing attribute says which keys there are, and shows no value."""
    with pytest.raises(AttributeError, match=r"'nam'.*: id, namespace, revision$") as raised:
        _ = context.flow.nam
    assert "orders" not in str(raised.value)
    with pytest.raises(AttributeError, match="none"):
        _ = ExecutionContext({}).flow
    with pytest.raises(KeyError, match="nam"):
        _ = context["flow"]["nam"]
    assert not hasattr(context, "__html__")


def test_it_cannot_be_changed(context):
    """Neither assignment nor what `to_dict` and lists hand out changes a context."""
    with pytest.raises(AttributeError):
        context.flow = {}
    with pytest.raises(TypeError):
        context["flow"] = {}
    context.to_dict()["flow"]["id"] = "other"
    context.outputs.extract.files.clear()
    assert context == DATA


def test_to_dict_is_plain(context):
    """`to_dict` gives dicts and lists, at any depth."""
    assert context.to_dict() == DATA
    assert type(context.outputs.to_dict()["extract"]) is dict
    assert json.loads(json.dumps(context.to_dict())) == DATA


def test_repr_is_that_of_the_dict(context):
    """`repr` shows the content as a dict does, nested contexts too."""
    assert repr(context) == repr(DATA)
    assert str(context.outputs) == str(DATA["outputs"])


def test_dir_lists_keys(context):
    """`dir` offers the keys that are identifiers, for completion."""
    assert {"flow", "outputs", "items", "to_dict"} <= set(dir(context))
    assert "system.correlationId" not in dir(context.labels)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_copy_and_pickle(context, protocol):
    """Copies and pickles are contexts with the same content."""
    copies = [copy.copy(context), copy.deepcopy(context)]
    for other in [*copies, pickle.loads(pickle.dumps(context, protocol))]:
        assert type(other) is ExecutionContext
        assert other == context
        assert other.flow.id == "orders"


def test_pickles_of_the_published_package():
    """A pickle that the published 2.0.0 made is read."""
    pickled = (
        b"\x80\x02ckestra\nExecutionContext\n)\x81N}X\x05\0\0\0_data}X\x01\0\0\0aK\x01ss\x86b."
    )
    assert pickle.loads(pickled).a == 1


def test_default_file(tmp_path):
    """Without further notice, the file in the working directory is read."""
    assert CONTEXT_FILE == ".kestra-execution-context.json"
    write(tmp_path / CONTEXT_FILE, {"flow": {"id": "crème"}})
    assert load_execution_context().flow.id == "crème"


def test_precedence(tmp_path, monkeypatch):
    """A path comes before the file of the variable, before the default file, before the content."""
    monkeypatch.setenv("KESTRA_CONTEXT", encoded(b'{"from": "content"}'))
    assert load_execution_context()["from"] == "content"
    write(tmp_path / CONTEXT_FILE, {"from": "default"})
    assert load_execution_context()["from"] == "default"
    named = write(tmp_path / "named.json", {"from": "variable"})
    monkeypatch.setenv("KESTRA_EXECUTION_CONTEXT_FILE", str(named))
    assert load_execution_context()["from"] == "variable"
    path = write(tmp_path / "path.json", {"from": "path"})
    assert load_execution_context(path)["from"] == "path"
    assert load_execution_context(str(path))["from"] == "path"


def test_empty_variables_count_for_nothing(tmp_path, monkeypatch):
    """An empty variable is as good as none."""
    monkeypatch.setenv("KESTRA_EXECUTION_CONTEXT_FILE", "")
    monkeypatch.setenv("KESTRA_CONTEXT", "")
    with pytest.raises(ExecutionContextNotFound):
        load_execution_context()
    write(tmp_path / CONTEXT_FILE, {"from": "default"})
    assert load_execution_context()["from"] == "default"


@pytest.mark.parametrize("missing", ["missing.json", "file/context.json"])
def test_content_when_the_named_file_is_missing(tmp_path, monkeypatch, missing):
    """Only that file counts; where it is missing, the content of the variable counts."""
    (tmp_path / "file").touch()
    write(tmp_path / CONTEXT_FILE, {"from": "default"})
    monkeypatch.setenv("KESTRA_CONTEXT", encoded(b'{"from": "content"}'))
    assert load_execution_context(missing)["from"] == "content"


def test_nothing_found(tmp_path):
    """The error says where it looked and what the task needs."""
    with pytest.raises(ExecutionContextNotFound) as raised:
        load_execution_context()
    message = str(raised.value)
    assert str(tmp_path / CONTEXT_FILE) in message
    assert "KESTRA_CONTEXT" in message
    assert "executionContext: true" in message
    assert isinstance(raised.value, FileNotFoundError)
    assert isinstance(raised.value, ExecutionContextError)
    assert raised.value.__context__ is None


@pytest.mark.parametrize(
    "content",
    [b"", b"secret", b'["secret"]', b'"secret"', b"null", b'{"a": "secret"', b"\xffsecret"],
)
def test_file_without_an_object(tmp_path, content):
    """A file without a JSON object is named, its content is not shown."""
    path = tmp_path / "context.json"
    path.write_bytes(content)
    with pytest.raises(InvalidExecutionContext, match=r"context\.json.*a JSON object") as raised:
        load_execution_context(path)
    assert "secret" not in str(raised.value)
    assert isinstance(raised.value, ValueError)
    assert raised.value.__context__ is None


@pytest.mark.parametrize(
    "value", ["secret", "sécret", encoded(b"secret"), encoded(b'["secret"]'), encoded(b"[" * DEEP)]
)
def test_variable_without_an_object(monkeypatch, value):
    """A variable without a JSON object in base64 is named, its content is not shown."""
    monkeypatch.setenv("KESTRA_CONTEXT", value)
    with pytest.raises(InvalidExecutionContext, match="KESTRA_CONTEXT") as raised:
        load_execution_context()
    assert value not in str(raised.value)
    assert "secret" not in str(raised.value)
    assert raised.value.__context__ is None


def test_import_is_cheap():
    """Importing the module imports neither `json` nor `pathlib`."""
    script = (
        "import sys; before = {*sys.modules}; import kestra._task.execution_context\n"
        "print({'json', 'base64', 'pathlib', 'requests'} & ({*sys.modules} - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.strip() == b"set()"
