"""A task of a flow in a file, as far as it can be run without a server."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kestra._cli.files import matching

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_EXPRESSION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_STATEMENT = re.compile(r"\{%")
_PATH = re.compile(r"\w+(\.\w+|\[\s*(\d+|'[^']*'|\"[^\"]*\")\s*\])*")
_STEP = re.compile(r"(\w+)|\[\s*(?:(\d+)|'([^']*)'|\"([^\"]*)\")\s*\]")
_LISTS_OF_TASKS = ("tasks", "errors", "finally", "afterExecution", "then", "else")


class NeedsServer(ValueError):
    """A task cannot be run from its flow's file alone; the message says why, and what helps."""


@dataclass(frozen=True)
class Task:
    """What of a script task counts here, with its expressions replaced."""

    commands: list[str]
    script: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    input_files: dict[str, str] = field(default_factory=dict)
    output_files: list[str] = field(default_factory=list)
    namespace_files: list[str] = field(default_factory=list)
    namespace_folder: Path = Path()

    def prepare(self, folder: str) -> list[str]:
        """Put the files of the task into its working directory, and return its command."""
        if self.namespace_files:
            found, _ = matching(str(self.namespace_folder), self.namespace_files, skip=True)
            for file in found:
                _copy(self.namespace_folder / file.path, Path(folder, file.path))
        for path, content in self.input_files.items():
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            if os.path.isfile(content):  # noqa: PTH113  # False too for text of any length
                shutil.copy(content, target)
            else:
                target.write_text(content, "utf-8")
        commands = self.commands
        if self.script is not None:
            Path(folder, _SCRIPT).write_text(self.script, "utf-8")
            if not commands:
                return [sys.executable, _SCRIPT]
            commands = [*commands, f"python {_SCRIPT}"]
        shell = shutil.which("sh")
        if shell is None:
            raise NeedsServer("its commands need a POSIX shell, and there is no `sh` here")
        return [shell, "-c", "\n".join(["set -e", *commands])]

    def variables(self) -> dict[str, str]:
        """Return its environment, in which `python` is this interpreter."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        return {"PATH": path, **self.env}


_SCRIPT = "script.py"


def read_task(file: str, task_id: str, context: str | None) -> Task:
    """Return a task of a flow.

    Args:
        file: The flow, in YAML.
        task_id: The id of the task, which may stand in others.
        context: A JSON file with the values of its expressions, such as `{{ inputs.day }}`.

    Raises:
        NeedsServer: It cannot be run from the file.
    """
    try:
        import yaml
    except ImportError:
        raise NeedsServer("--flow needs PyYAML: pip install 'kestra[cli]'") from None
    try:
        flow = yaml.safe_load(Path(file).read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise NeedsServer(f"{file} cannot be read: {error}") from None
    tasks = {str(task.get("id")): task for task in _tasks_in(flow)}
    if task_id not in tasks:
        raise NeedsServer(f"{file} has no task {task_id!r}; there are {', '.join(tasks) or 'none'}")
    values = json.loads(Path(context).read_text("utf-8")) if context else {}
    values["inputs"] = {**_defaults(flow), **values.get("inputs", {})}
    properties = {
        name: _rendered(tasks[task_id][name], name, values)
        for name in ("script", "commands", "beforeCommands", "env", "inputFiles", "outputFiles",
                     "namespaceFiles")
        if tasks[task_id].get(name) is not None
    }  # fmt: skip
    return _task(str(tasks[task_id].get("type")), properties, Path(file).absolute().parent)


def _task(kind: str, properties: dict[str, Any], folder: Path) -> Task:
    commands = _texts(properties, "beforeCommands")
    script = properties.get("script")
    if script is None:
        commands += _texts(properties, "commands")
        if not commands:
            raise NeedsServer(f"a task of the type {kind} has neither a script nor commands")
    elif ".shell." in kind:
        commands, script = [*commands, str(script)], None
    elif ".python." not in kind:
        raise NeedsServer(f"a script of the type {kind} cannot be run here: only Python and shell")
    input_files = _mapping(properties, "inputFiles")
    for name, content in input_files.items():
        if content.startswith(("kestra://", "nsfile://")):
            raise NeedsServer(f"inputFiles.{name} is a file of a server: {content}")
    namespace_files = properties.get("namespaceFiles") or {}
    included = []
    if isinstance(namespace_files, dict) and namespace_files.get("enabled"):
        included = _texts(namespace_files, "include") or ["**"]
        included += [f"**/{name}" for name in included]  # it is found in every folder
    return Task(
        commands,
        script,
        _mapping(properties, "env"),
        input_files,
        _texts(properties, "outputFiles"),
        included,
        folder,
    )


def _tasks_in(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        for name in _LISTS_OF_TASKS:
            for task in node.get(name) or () if isinstance(node.get(name), list) else ():
                if isinstance(task, dict):
                    yield task
                    yield from _tasks_in(task)


def _defaults(flow: dict[str, Any]) -> dict[str, Any]:
    inputs = flow.get("inputs") or []
    return {it["id"]: it["defaults"] for it in inputs if {"id", "defaults"} <= it.keys()}


def _texts(properties: Mapping[str, Any], name: str) -> list[str]:
    value = properties.get(name) or []
    return [str(it) for it in ([value] if isinstance(value, str) else value)]


def _mapping(properties: Mapping[str, Any], name: str) -> dict[str, str]:
    value = properties.get(name) or {}
    if not isinstance(value, dict):
        raise NeedsServer(f"{name} must be a mapping to be used here")
    return {str(key): _text(it) for key, it in value.items()}


def _rendered(value: Any, where: str, values: dict[str, Any]) -> Any:
    """Return a property with its expressions replaced."""
    if isinstance(value, dict):
        return {key: _rendered(it, f"{where}.{key}", values) for key, it in value.items()}
    if isinstance(value, list):
        return [_rendered(it, f"{where}[{i}]", values) for i, it in enumerate(value)]
    if not isinstance(value, str):
        return value
    if _STATEMENT.search(value):
        raise NeedsServer(f"{where} holds a statement between {{% and %}}, which needs a server")
    return _EXPRESSION.sub(lambda match: _text(_value(match[1], where, values)), value)


def _value(expression: str, where: str, values: Any) -> Any:
    what = f"{where} holds the expression {{{{ {expression} }}}}"
    if not _PATH.fullmatch(expression):
        raise NeedsServer(f"{what}, which needs a server")
    for name, index, *keys in _STEP.findall(expression):
        step = int(index) if index else name or "".join(keys)
        try:
            values = values[step]
        except (LookupError, TypeError):
            raise NeedsServer(f"{what}: give its value in the file of --context") from None
    return values


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
