"""An execution context for the length of a test, as the engine provides one to a task."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import kestra
from kestra._task.execution_context import CONTEXT_FILE, FILE_VARIABLE
from kestra._values.text import json_text


@contextmanager
def kestra_context(context: Mapping[str, Any]) -> Iterator[None]:
    """Provide an execution context until the block ends.

    ::

        with kestra_context({"inputs": {"day": "2026-01-31"}}):
            main()

    `kestra.context` and `load_execution_context()` read it, in processes that are started in the
    block too. It is for the whole process, threads included. A module that has done
    `from kestra import context` before keeps what it got then.

    Args:
        context: Any part of one, such as `{"inputs": {…}, "outputs": {…}}`. Values that JSON does
            not know are converted as `Kestra.outputs` does it.

    Raises:
        TypeError: It is not a mapping, or holds what JSON cannot hold.
        ValueError: It holds what the engine could not.
    """
    with context_file(context) as path:
        file, loaded = os.environ.get(FILE_VARIABLE), kestra._context  # noqa: SLF001  # its reset
        os.environ[FILE_VARIABLE] = path
        kestra._context = None  # noqa: SLF001
        try:
            yield
        finally:
            kestra._context = loaded  # noqa: SLF001
            if file is None:
                os.environ.pop(FILE_VARIABLE, None)
            else:
                os.environ[FILE_VARIABLE] = file


@contextmanager
def context_file(context: Mapping[str, Any]) -> Iterator[str]:
    """Yield the path of a file with the context, which only this user can read."""
    if not isinstance(context, Mapping):
        raise TypeError(f"context is of type {type(context).__name__}: it must be a dict")
    with TemporaryDirectory(prefix="kestra-") as folder:
        path = Path(folder, CONTEXT_FILE)
        as_file = "write it to a file and give its path"
        path.write_text(json_text(context, "context", as_file=as_file), "ascii")
        yield str(path)
