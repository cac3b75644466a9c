"""The public surface: what code written for kestra 2.0.0 imports, calls and patches."""

import inspect
import pickle
import subprocess
import sys
import time

import pytest
import requests
from optional import HAS_ION

import exceptions
import kestra
import kestra.exceptions

# name: its parameters with their defaults, as kestra 2.0.0 has them; `...` stands for no default.
PUBLISHED = {
    "Kestra._send": {"map_": ...},
    "Kestra.format": {"map_": ...},
    "Kestra._metrics": {"name": ..., "type_": ..., "value": ..., "tags": None},
    "Kestra.outputs": {"map_": ...},
    "Kestra.assets": {"map_": ...},
    "Kestra.counter": {"name": ..., "value": ..., "tags": None},
    "Kestra.timer": {"name": ..., "duration": ..., "tags": None},
    "Kestra.gauge": {"name": ..., "value": ..., "tags": None},
    "Kestra.logger": {},
    "Kestra.read": {"path_": ...},
    "LogFormatter.formatTime": {"self": ..., "record": ..., "datefmt": None},
    "JsonFormatter.format": {"self": ..., "record": ...},
    "JsonFormatter._logger_level": {"level": ...},
    "Flow.__init__": {
        "self": ...,
        "wait_for_completion": True,
        "poll_interval": 1,
        "labels_from_inputs": False,
        "tenant": None,
    },
    "Flow.execute": {"self": ..., "namespace": ..., "flow": ..., "inputs": None},
    "Flow.check_status": {"self": ..., "execution_id": ...},
    "Flow.get_logs": {"self": ..., "execution_id": ...},
    "Flow._make_request": {"self": ..., "method": ..., "url": ...},
    "FlowExecution.__init__": {
        "self": ...,
        "execution_id": ...,
        "status": ...,
        "log": ...,
        "error": ...,
    },
    "ExecutionContext.__init__": {"self": ..., "data": ...},
    "ExecutionContext.to_dict": {"self": ...},
    "load_execution_context": {"path": None},
}
NAMES = {
    "CONTEXT_FILE",
    "AsyncFlow",
    "AsyncKeyValueStore",
    "AsyncNamespace",
    "AsyncNamespaceFiles",
    "AsyncNamespaceFlows",
    "Change",
    "Execution",
    "ExecutionContext",
    "ExecutionOutcome",
    "ExecutionRequest",
    "FailedExponentialBackoff",
    "FileInfo",
    "Flow",
    "FlowExecution",
    "FlowSource",
    "JsonFormatter",
    "Kestra",
    "KestraHandler",
    "KeyInfo",
    "KeyValueStore",
    "LogEntry",
    "LogFormatter",
    "Metric",
    "Namespace",
    "NamespaceFiles",
    "NamespaceFlows",
    "State",
    "StateChange",
    "TaskRun",
    "Violation",
    "WebhookResponse",
    "__version__",
    "load_execution_context",
}
HEAVY = {
    "requests",
    "urllib3",
    "amazon",
    "numpy",
    "pythonjsonlogger",
    "dateutil",
    "logging",
    "typing",
}


def resolve(path):
    value = kestra
    for name in path.split("."):
        value = getattr(value, name)
    return value


@pytest.mark.parametrize("path", PUBLISHED)
def test_published_signatures_still_bind(path):
    """Every parameter of 2.0.0 is there, in its place, under its name, with its default.

    What came after is optional: code that does not know of it goes on working.
    """
    parameters = dict(inspect.signature(resolve(path)).parameters)
    positional = [n for n, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional[: len(PUBLISHED[path])] == list(PUBLISHED[path])
    for name, default in PUBLISHED[path].items():
        parameter = parameters.pop(name)
        if default is not ...:
            assert parameter.default == default
    assert all(
        p.default is not p.empty or p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        for p in parameters.values()
    )


def test_exported_names_are_pinned():
    """`__all__` is exactly the documented surface, and every name of it resolves."""
    assert set(kestra.__all__) == NAMES
    for name in NAMES:
        assert getattr(kestra, name) is not None
    assert set(dir(kestra)) >= NAMES
    assert not {"TYPE_CHECKING", "annotations"} & set(dir(kestra))
    assert set(dir(kestra.testing)) == set(kestra.testing.__all__)


def test_every_name_that_is_listed_resolves(tmp_path, monkeypatch):
    """`dir` has no `context`, which there may not be: some tools look at all names of a module."""
    monkeypatch.chdir(tmp_path)
    for name in dir(kestra):
        getattr(kestra, name)


def test_import_star_brings_the_exported_names_where_there_is_no_context(tmp_path):
    """`from kestra import *` works outside of a task, as it did in 2.0.0."""
    code = "from kestra import *; print(*sorted(globals()))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert set(run.stdout.split()) >= NAMES


def test_both_spellings_are_one():
    """`send` and `metrics` are `_send` and `_metrics`."""
    assert kestra.Kestra.send is kestra.Kestra._send
    assert kestra.Kestra.metrics is kestra.Kestra._metrics


def test_unknown_names_raise_attribute_error():
    """A name that the package does not have is an AttributeError that says so."""
    with pytest.raises(AttributeError, match="has no attribute 'flow'"):
        _ = kestra.flow


def test_exceptions_are_the_same_objects_wherever_they_are_imported_from():
    """`exceptions` and `kestra.exceptions` give the same classes, and so does `kestra`."""
    for name in kestra.exceptions.__all__:
        assert getattr(exceptions, name) is getattr(kestra.exceptions, name)
    with pytest.raises(AttributeError, match="has no attribute 'KestraErr'"):
        _ = exceptions.KestraErr
    assert kestra.FailedExponentialBackoff is kestra.exceptions.FailedExponentialBackoff


@pytest.mark.parametrize("name", ["exceptions", "testing"])
def test_public_modules_need_no_import_of_their_own(name):
    """`except kestra.exceptions.IonError` works after `import kestra`, in a handler above all."""
    code = f"import kestra, types; assert type(kestra.{name}) is types.ModuleType"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_modules_that_tests_patch_resolve():
    """`kestra.time`, `kestra.sys`, … are the modules, for `patch("kestra.time.sleep")`."""
    assert kestra.time is time
    assert kestra.requests is requests
    for name in ("base64", "json", "logging", "os", "re", "sys"):
        assert getattr(kestra, name) is sys.modules[name]


def test_context_is_loaded_once_and_afresh_after_a_reset(tmp_path, monkeypatch):
    """`kestra.context` is a value: loaded on first use, kept, and reset through `_context`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kestra, "_context", None)
    file = tmp_path / kestra.CONTEXT_FILE
    file.write_text('{"labels": {"team": "a"}}')
    first = kestra.context
    file.write_text('{"labels": {"team": "b"}}')
    assert kestra.context is first
    assert kestra.context.labels.team == "a"
    monkeypatch.setattr(kestra, "_context", None)
    assert kestra.context.labels.team == "b"


def test_a_replaced_load_execution_context_makes_the_context(monkeypatch):
    """`kestra.context` is what `kestra.load_execution_context` returns, a test's stand-in too."""
    monkeypatch.setattr(kestra, "_context", None)
    context = kestra.ExecutionContext({"labels": {"team": "a"}})
    monkeypatch.setattr(kestra, "load_execution_context", lambda: context)
    assert kestra.context is context


def test_no_submodule_shadows_a_public_name():
    """Importing any submodule leaves every public name what it was."""
    code = (
        "import importlib, pkgutil, kestra\n"
        "for module in pkgutil.iter_modules(kestra.__path__):\n"
        "    assert module.name not in {*kestra.__all__, 'context', '_context'}, module.name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_flow_execution_pickles():
    """A result crosses a process boundary."""
    result = kestra.FlowExecution("id", "SUCCESS", "log", None)
    assert pickle.loads(pickle.dumps(result)) == result


def loaded(code):
    """The top-level modules that running `code` adds to a bare interpreter."""
    program = (
        f"import sys\nbefore = set(sys.modules)\n{code}\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before}, file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True
    )
    return set(run.stderr.split())


def test_import_loads_nothing_else():
    """`import kestra` loads this one module."""
    assert loaded("import kestra") <= {"kestra", "__future__"}


@pytest.mark.parametrize(
    "code",
    [
        "from kestra import Kestra",
        "from kestra import Kestra; Kestra.outputs({'rows': 42})",
        "from kestra import Kestra; Kestra.counter('rows', 42, {'table': 'orders'})",
        "from kestra import Kestra; Kestra.timer('load', 1.5)",
    ],
)
def test_a_task_pays_for_what_it_uses(code):
    """Outputs and metrics load no HTTP library, no Ion, no logging, not even `typing` or `json`."""
    assert not loaded(code) & HEAVY


def test_exceptions_load_no_requests():
    """`import kestra.exceptions` is free of requests, although HTTP errors are its errors too."""
    assert not loaded("import kestra.exceptions") & {"requests", "urllib3"}


def test_a_scripts_own_exceptions_module_breaks_nothing(tmp_path):
    """An `exceptions.py` beside a script shadows ours, and nothing of the package minds."""
    (tmp_path / "exceptions.py").write_text("raise RuntimeError('not this one')\n")
    script = tmp_path / "script.py"
    script.write_text("from kestra import Kestra, Flow, FailedExponentialBackoff\nFlow()\n")
    subprocess.run([sys.executable, str(script)], check=True)


def modules_of(code):
    """This package's modules that running `code` loads."""
    run = subprocess.run(
        [sys.executable, "-I", "-c", f"{code}\nimport sys; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    return {name for name in run.stdout.split() if name.partition(".")[0] == "kestra"}


def test_the_rooms_share_nothing_but_the_errors():
    """What runs in a task, what talks to a server and the rules of an engine stay apart.

    What a value stands for is the same in a task and outside.
    """
    task = modules_of("import kestra._task.kestra, kestra._task.logging_config")
    task |= modules_of("import kestra._task.ion") if HAS_ION else set()
    task |= modules_of("import kestra._task.execution_context")
    client = modules_of("import kestra._client.flow")
    engine = modules_of("import kestra._engine.reader")
    shared = {name for name in task & client if not name.startswith("kestra._values")}
    assert shared == {"kestra", "kestra.exceptions"}
    assert task & engine == {"kestra"}
    assert client & engine == {"kestra"}


IMPORT_ALL = f"""
import pathlib, pkgutil, kestra, exceptions
for path in [exceptions.__file__, *pathlib.Path(kestra.__file__).parent.rglob("*.py")]:
    compile(pathlib.Path(path).read_bytes(), path, "exec")
for module in pkgutil.walk_packages(kestra.__path__, "kestra."):
    if not module.name.endswith({("__main__", ".ion")[: 2 - HAS_ION]}):
        __import__(module.name)
for name in kestra.__all__:
    getattr(kestra, name)
for name in exceptions.__all__:
    getattr(exceptions, name)
"""


def test_no_module_warns():
    """Compiling and importing all there is raises no warning, with every warning an error."""
    run = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", IMPORT_ALL],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
