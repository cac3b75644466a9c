"""The execution context: what a task may know about the execution that it is part of.

From Kestra 2.0 on, a task with the property `executionContext: true` finds it in its working
directory as JSON: inputs, outputs, labels, vars, trigger, flow, execution, task, taskrun. It may
hold secrets. So no error here shows a value; `repr` does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from kestra.exceptions import ExecutionContextNotFound, InvalidExecutionContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

CONTEXT_FILE = ".kestra-execution-context.json"
"""The file in the working directory of a task that holds its execution context."""

FILE_VARIABLE = "KESTRA_EXECUTION_CONTEXT_FILE"
_VARIABLE = "KESTRA_CONTEXT"


class ExecutionContext(Mapping[str, "Any"]):
    """A read-only view of an execution context.

    By attribute or by item, at any depth, lists included::

        context.outputs.extract.files[0].uri
        context["labels"]["team"]

    By item only: keys that are not identifiers, that begin with an underscore, or that are the name
    of a method, such as `items`. What is not there is an `AttributeError` that lists what is, or,
    by item, a `KeyError`. Equal to a dict with the same content.
    """

    __slots__ = ("_data",)

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data

    def __getitem__(self, key: str) -> Any:
        return _view(self._data[key])

    def __getattr__(self, name: str) -> Any:
        # `copy` and `pickle` ask for private names before there is any data.
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._data:
            keys = ", ".join(sorted(map(str, self._data))) or "none"
            raise AttributeError(f"the execution context has no {name!r} here; its keys: {keys}")
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __dir__(self) -> Iterable[str]:
        return {*super().__dir__(), *filter(str.isidentifier, self._data)}

    def __repr__(self) -> str:
        return repr(self._data)

    def to_dict(self) -> dict[str, Any]:
        """The content as dicts and lists: a copy, down to the last of them."""
        from copy import deepcopy

        return deepcopy(self._data)


def load_execution_context(path: str | os.PathLike[str] | None = None) -> ExecutionContext:
    """Read the execution context of the task that this script runs in.

    Args:
        path: Its file; else the one that `KESTRA_EXECUTION_CONTEXT_FILE` names, else
            `.kestra-execution-context.json` in the working directory. Where that file does not
            exist, the environment variable `KESTRA_CONTEXT` is read: the same JSON, in base64.

    Raises:
        ExecutionContextNotFound: There is neither; also a `FileNotFoundError`.
        InvalidExecutionContext: What is there is not a JSON object; also a `ValueError`.
    """
    path = path or os.environ.get(FILE_VARIABLE) or CONTEXT_FILE
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # pathlib takes long to import
            content = file.read()
    except (FileNotFoundError, NotADirectoryError):
        pass
    else:
        return _parsed(content, f"the file '{path}'")
    if encoded := os.environ.get(_VARIABLE):
        return _parsed(_decoded(encoded), f"the environment variable {_VARIABLE} (base64)")
    place = os.path.abspath(path)  # noqa: PTH100  # pathlib takes long to import
    raise ExecutionContextNotFound(
        f"no execution context: neither the file '{place}' nor the environment variable "
        f"{_VARIABLE} is there. The task needs the property `executionContext: true` "
        f"(Kestra 2.0); elsewhere, {FILE_VARIABLE} may name a file"
    )


def _decoded(base64: str) -> bytes:
    from base64 import b64decode

    try:
        return b64decode(base64)
    except ValueError:
        return b""  # not valid JSON either


def _parsed(content: bytes, source: str) -> ExecutionContext:
    from json import loads

    try:
        data = loads(content)
    except (ValueError, RecursionError):
        data = None
    # Raised out here, so that no error carries along the one above, which holds the content.
    if not isinstance(data, dict):
        raise InvalidExecutionContext(
            f"{source} is not a valid execution context: it must hold a JSON object"
        )
    return ExecutionContext(data)


def _view(value: Any) -> Any:
    if isinstance(value, dict):
        return ExecutionContext(value)
    if isinstance(value, list):
        return [_view(item) for item in value]
    return value
