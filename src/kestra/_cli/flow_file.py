"""A task of a flow in a file, as far as it can be run without a server."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kestra._cli.files import matching

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_EXPRESSION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_STATEMENT = re.compile(r"\{%")
_PATH = re.compile(r"\w+(\.\w+|\[\s*(\d+|'[^']*'|\"[^\"]*\")\s*\])*")
_STEP = re.compile(r"(\w+)|\[\s*(?:(\d+)|'([^']*)'|\"([^\"]*)\")\s*\]")
_LISTS_OF_TASKS = ("tasks", "errors", "finally", "afterExecution", "then", "else", "defaults")
_PROPERTIES = ("script", "commands", "beforeCommands", "env", "inputFiles", "outputFiles",
               "namespaceFiles")  # fmt: skip


class NeedsServer(ValueError):
    """A task cannot be run from its flow's file alone; the message says why, and what helps."""


@dataclass(frozen=True)
class Task:
    """What is run: in a directory of its own where there are patterns of files to keep."""

    command: list[str]
    variables: dict[str, str]
    folder: str = "."
    patterns: list[str] = field(default_factory=list)


def prepare(file: str, task_id: str, context: str | None, folder: str) -> Task:
    """Put the files of a task into its working directory, and return what is run there.

    `context` is a JSON file with the values of expressions such as `{{ inputs.day }}`.
    """
    kind, properties = _read(file, task_id, context)
    input_files = _mapping(properties, "inputFiles")
    for name, content in input_files.items():
        if content.startswith(("kestra://", "nsfile://")):
            raise NeedsServer(f"inputFiles.{name} is a file of a server: {content}")
        if not Path(folder, name).resolve().is_relative_to(Path(folder).resolve()):
            raise NeedsServer(
                f"inputFiles.{name} is outside of the working directory: give a path inside"
            )
    # In the environment, `python` is this interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    variables = {"PATH": path, **_mapping(properties, "env")}
    _copy_namespace_files(properties.get("namespaceFiles"), Path(file).absolute().parent, folder)
    for name, content in input_files.items():
        target = _place(folder, name)
        if os.path.isfile(content):  # noqa: PTH113  # False too for text of any length
            shutil.copy(content, target)
        else:
            target.write_text(content, "utf-8")
    command = _command(kind, properties, folder)
    return Task(command, variables, folder, _texts(properties, "outputFiles"))


def _read(file: str, task_id: str, context: str | None) -> tuple[str, dict[str, Any]]:
    """Return the type of a task, and its properties with their expressions replaced."""
    try:
        import yaml
    except ImportError:
        raise NeedsServer("--flow needs PyYAML: pip install 'kestra[cli]'") from None
    try:
        flow = yaml.load(Path(file).read_text("utf-8"), _as_written(yaml.BaseLoader))  # noqa: S506
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise NeedsServer(f"{file} cannot be read: {error}") from None
    tasks = {str(task.get("id")): task for task in _tasks_in(flow)}
    if task_id not in tasks:
        raise NeedsServer(f"{file} has no task {task_id!r}; there are {', '.join(tasks) or 'none'}")
    task = tasks[task_id]
    inputs = flow.get("inputs") or []
    if not isinstance(inputs, list) or not all(isinstance(it, dict) for it in inputs):
        raise NeedsServer(f"{file}: inputs must be a list of mappings, each with an id")
    given = json.loads(Path(context).read_text("utf-8")) if context else {}
    own = {name: flow[name] for name in ("id", "namespace") if name in flow}
    values = given | {
        name: {**known, **_dict(given.get(name))}
        for name, known in (("flow", own), ("vars", _dict(flow.get("variables"))))
    }
    defaults = {}
    for each in inputs:
        with suppress(KeyError, NeedsServer):  # without one, the context has to have a value
            defaults[_text(each.get("id"))] = _rendered(each["defaults"], "", values)
    values["inputs"] = {**defaults, **_dict(given.get("inputs"))}
    return str(task.get("type")), {
        name: _rendered(task[name], name, values)
        for name in _PROPERTIES
        if task.get(name) is not None
    }


def _as_written(base: type[Any]) -> type[Any]:
    """Return a loader that keeps the text of `3.10` or `12:30:00` as it is written.

    Numbers, truth values and null, where JSON writes them in the same way, are what they are.
    """

    class Loader(base):  # type: ignore[misc]
        def construct_scalar(self, node: Any) -> Any:
            text = super().construct_scalar(node)
            if node.style is not None:  # in quotes, or a block
                return text
            with suppress(ValueError):
                value = json.loads(text)
                if json.dumps(value) == text:
                    return value
            return None if text in {"", "~"} else text

    return Loader


def _copy_namespace_files(wanted: Any, source: Path, folder: str) -> None:
    if isinstance(wanted, dict) and wanted.get("enabled"):
        patterns = _texts(wanted, "include") or ["**"]
        patterns += [f"**/{name}" for name in patterns]  # it is found in every folder
        for file in matching(str(source), patterns, skip=True)[0]:
            shutil.copy(source / file.path, _place(folder, file.path))


def _place(folder: str, path: str) -> Path:
    target = Path(folder, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _command(kind: str, properties: dict[str, Any], folder: str) -> list[str]:
    commands = _texts(properties, "beforeCommands")
    script = properties.get("script")
    if script is None:
        commands += _texts(properties, "commands")
        if not commands:
            raise NeedsServer(f"a task of the type {kind} has neither a script nor commands")
    elif ".shell." in kind:
        commands.append(_plain(script, "script"))
    elif ".python." in kind:
        Path(folder, "script.py").write_text(_plain(script, "script"), "utf-8")
        if not commands:
            return [sys.executable, "script.py"]
        commands.append("python script.py")
    else:
        raise NeedsServer(f"a script of the type {kind} cannot be run here: only Python and shell")
    shell = shutil.which("sh")
    if shell is None:
        raise NeedsServer("its commands need a POSIX shell, and there is no `sh` here")
    return [shell, "-c", "\n".join(["set -e", *commands])]


def _tasks_in(node: Any) -> Iterator[dict[str, Any]]:
    """Yield the tasks of a flow, also those in others, with the files that they share."""
    if not isinstance(node, dict):
        return
    cases = node.get("cases")
    lists = [node.get(name) for name in _LISTS_OF_TASKS]
    lists += cases.values() if isinstance(cases, dict) else ()
    for item in chain.from_iterable(it for it in lists if isinstance(it, list)):
        task = item.get("task", item) if isinstance(item, dict) else None  # of a Dag
        if isinstance(task, dict):
            for name in ("inputFiles", "namespaceFiles"):  # of a WorkingDirectory
                shared, own = node.get(name), task.get(name) or {}
                if isinstance(shared, dict) and isinstance(own, dict):
                    task[name] = {**shared, **own}
            yield task
            yield from _tasks_in(task)


def _texts(properties: Mapping[str, Any], name: str) -> list[str]:
    value = properties.get(name) or []
    return [_plain(it, name) for it in (value if isinstance(value, list) else [value])]


def _plain(value: Any, name: str) -> str:
    if isinstance(value, (dict, list)):
        raise NeedsServer(
            f"{name} holds a mapping or a list where text is needed: put it in quotes"
        )
    return _text(value)


def _mapping(properties: Mapping[str, Any], name: str) -> dict[str, str]:
    value = properties.get(name) or {}
    if not isinstance(value, dict):
        raise NeedsServer(f"{name} must be a mapping to be used here")
    return {_text(key): _text(it) for key, it in value.items()}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _rendered(value: Any, where: str, values: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _rendered(it, f"{where}.{key}", values) for key, it in value.items()}
    if isinstance(value, list):
        return [_rendered(it, f"{where}[{i}]", values) for i, it in enumerate(value)]
    if not isinstance(value, str):
        return value
    if _STATEMENT.search(value):
        raise NeedsServer(f"{where} holds a statement between {{% and %}}, which needs a server")
    text = _EXPRESSION.sub(lambda match: _text(_value(match[1], where, values)), value)
    if "\0" in where + text:
        raise NeedsServer(f"{where} holds a NUL character: leave it out")
    return text


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
