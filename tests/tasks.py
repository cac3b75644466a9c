"""Scripts and flows run as the engine runs them, as far as the examples need an engine."""

import json
import os
import re
import shlex
import shutil
from unittest import mock

import yaml

from kestra import testing

# What the plugins know of a flow and of its tasks, as far as examples and documentation use it.
_FLOW_PROPERTIES = {
    "concurrency",
    "description",
    "id",
    "inputs",
    "labels",
    "namespace",
    "outputs",
    "tasks",
    "triggers",
}
_TASK_PROPERTIES = {"id", "retry", "runIf", "timeout", "type"}
_TRIGGER_PROPERTIES = {
    "id",
    "key",
    "responseCode",
    "responseContentType",
    "returnOutputs",
    "type",
    "wait",
}
_SCRIPT_PROPERTIES = {
    "beforeCommands",
    "containerImage",
    "dependencies",
    "env",
    "executionContext",
    "inputFiles",
    "namespaceFiles",
    "outputFiles",
    "taskRunner",
}
_PROPERTIES = {
    "io.kestra.plugin.scripts.python.Script": {"script", *_SCRIPT_PROPERTIES},
    "io.kestra.plugin.scripts.python.Commands": {"commands", *_SCRIPT_PROPERTIES},
    "io.kestra.plugin.core.flow.ForEach": {"tasks", "values"},  # 1.3
    "io.kestra.plugin.core.flow.Loop": {"tasks", "values"},  # 2.0
    "io.kestra.plugin.core.flow.LoopUntil": {"checkFrequency", "condition", "tasks"},
    "io.kestra.plugin.core.flow.Sleep": {"duration"},
    "io.kestra.plugin.core.flow.WorkingDirectory": {"tasks"},
    "io.kestra.plugin.core.kv.Set": {"key", "value"},
    "io.kestra.plugin.core.log.Log": {"message"},
    "io.kestra.plugin.core.execution.Exit": {"state"},
}
_TRACE = {"parent": "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"}
_INPUT_TYPES = {"ARRAY", "BOOL", "DATE", "FILE", "STRING", "URI"}


def assert_known(flow):
    """Assert that a flow has no property or type that Kestra refuses."""
    assert set(flow) <= _FLOW_PROPERTIES
    assert {each["type"] for each in flow.get("inputs", [])} <= _INPUT_TYPES
    for trigger in flow.get("triggers", []):
        assert trigger["type"] == "io.kestra.plugin.core.trigger.Webhook"
        assert set(trigger) <= _TRIGGER_PROPERTIES
    tasks = list(all_tasks(flow))
    ids = [task["id"] for task in tasks]
    assert len(ids) == len(set(ids))
    for task in tasks:
        assert set(task) <= _TASK_PROPERTIES | _PROPERTIES[task["type"]]


def all_tasks(node):
    """The tasks of a flow, those in other tasks too."""
    for task in node.get("tasks", []):
        yield task
        yield from all_tasks(task)


def run(script, *arguments, folder, **variables):
    """What Kestra keeps of a script that succeeds, and of which nothing is lost."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("KESTRA_")}
    with mock.patch.dict(os.environ, inherited, clear=True):
        messages = testing.run_script(
            script, *arguments, cwd=folder, env={"PYTHONWARNINGS": "error", **variables}
        )
    assert messages.state == "SUCCESS"
    return messages


def said(messages):
    """The log: levels and texts, without the time that the logger puts before them."""
    return [(entry.level, re.sub(r"^\S+Z - ", "", entry.message)) for entry in messages.logs]


class Execution:
    """A flow, carried out as the engine does, as far as the examples need one.

    Besides its inputs it is given what else its expressions name: `trigger`, and `secrets`.

    Attributes:
        messages: What each Python task said, by its id.
        log: What Log tasks said.
        state: How it ended.
    """

    def __init__(self, path, folder, *, trigger=None, secrets=None, **inputs):
        self.flow = yaml.safe_load(path.read_text())
        self.namespace_files = path.parent
        self.folder = folder
        defaults = {each["id"]: each.get("defaults") for each in self.flow.get("inputs", [])}
        self.variables = {
            "inputs": {**defaults, **inputs},
            "outputs": {},
            "trace": _TRACE,
            "trigger": trigger,
        }
        self.secrets = secrets or {}
        self.shared = None
        self.messages = {}
        self.log = []
        self.state = None
        for task in self.flow["tasks"]:
            if self.state is None and self.render(task.get("runIf", "true")) != "false":
                self.carry_out(task)
        self.state = self.state or "SUCCESS"

    def carry_out(self, task):
        kind = task["type"].rpartition(".")[2]
        carry_out = _KINDS.get(kind, Execution.run_python)
        carry_out(self, task)

    def log_message(self, task):
        self.log.append(self.render(task["message"]))

    def exit(self, task):
        self.state = task["state"]

    def sleep(self, task):
        """A pause: it takes no time."""

    def share_directory(self, task):
        self.shared = self.folder / task["id"]
        self.shared.mkdir()
        self.carry_out_all(task)
        self.shared = None

    def repeat_until(self, task):
        self.carry_out_all(task)
        while self.render(task["condition"]) != "true":
            self.carry_out_all(task)

    def repeat_for_each(self, task):
        for value in task["values"]:
            name = "item" if task["type"].endswith(".Loop") else "taskrun"
            self.variables[name] = {"value": value}
            self.carry_out_all(task)

    def carry_out_all(self, parent):
        for task in parent["tasks"]:
            self.carry_out(task)

    def run_python(self, task):
        folder = self.shared or self.folder / task["id"]
        folder.mkdir(exist_ok=True)
        self.put_files(task, folder)
        if "script" in task:
            (folder / "script.py").write_text(self.render(task["script"]))
        (command,) = task.get("commands", ["python script.py"])
        program, script, *arguments = shlex.split(self.render(command))
        if program == "uv":  # `uv run` does what `python` does where the packages are there
            assert script == "run"
            script, *arguments = arguments
        else:
            assert program == "python"
        environment = {k: self.render(v) for k, v in task.get("env", {}).items()}
        messages = run(folder / script, *arguments, folder=folder, **environment)
        files = {name: str(folder / name) for name in task.get("outputFiles", [])}
        self.variables["outputs"][task["id"]] = {"vars": messages.outputs, "outputFiles": files}
        self.messages[task["id"]] = messages

    def put_files(self, task, folder):
        for name in task.get("namespaceFiles", {}).get("include", []):
            shutil.copy(self.namespace_files / name, folder)
        for name, file in task.get("inputFiles", {}).items():
            shutil.copy(self.render(file), folder / name)
        if task.get("executionContext"):
            (folder / ".kestra-execution-context.json").write_text(json.dumps(self.variables))

    def render(self, text):
        """A text with its expressions replaced: `{{ outputs.task.outputFiles['name'] }}`."""
        return re.sub(r"\{\{ (.+?) \}\}", lambda match: _text(self.value(match[1])), text)

    def value(self, path):
        if secret := re.fullmatch(r"secret\('(\w+)'\)", path):
            return self.secrets[secret[1]]
        if path.endswith(" | toJson"):
            return json.dumps(self.value(path.removesuffix(" | toJson")))
        assert re.fullmatch(r"\w+(\.\w+|\['[^']+'\]|\[\d+\])*", path), path
        value = self.variables
        for name, key, index in re.findall(r"(\w+)|\['(.+?)'\]|\[(\d+)\]", path):
            value = value[int(index)] if index else value[name or key]
        return value


def _text(value):
    return json.dumps(value) if isinstance(value, bool) else str(value)


_KINDS = {
    "Exit": Execution.exit,
    "ForEach": Execution.repeat_for_each,
    "Log": Execution.log_message,
    "Loop": Execution.repeat_for_each,
    "LoopUntil": Execution.repeat_until,
    "Sleep": Execution.sleep,
    "WorkingDirectory": Execution.share_directory,
}
