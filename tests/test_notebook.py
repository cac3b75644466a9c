"""Notebooks that a task runs, by each of the three tools: their frames reach the task, once."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from kestra import testing

EXAMPLES = Path(__file__).parent.parent / "examples" / "notebooks"

CELLS = [
    """
from kestra import Kestra
print("rows: ", end="")
Kestra.outputs({"rows": 42})
Kestra.counter("files", 1)
""",
    """
Kestra.logger().warning("careful")
Kestra.logger().info("x" * 100_000)
print("printed")
""",
    """
Kestra.configure_logging(capture_prints=True)
print("an entry")
Kestra.restore_logging()
""",
]
# Each tool, and the notebook that it writes.
TOOLS = {
    "papermill": ["papermill", "in.ipynb", "out.ipynb"],
    "papermill_that_logs": ["papermill", "--log-output", "in.ipynb", "out.ipynb"],
    "papermill_to_file": ["papermill", "--stdout-file", "/dev/stdout", "in.ipynb", "out.ipynb"],
    "nbconvert": ["nbconvert", "--to", "notebook", "--execute", "in.ipynb", "--output", "out"],
    "execute": ["nbclient.cli", "in.ipynb", "--output", "out.ipynb"],
}


@pytest.fixture
def folder(tmp_path):
    """A folder with the notebook."""
    cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    notebook = {
        "cells": [{**cell, "id": f"c{n}", "source": text} for n, text in enumerate(CELLS)],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (tmp_path / "in.ipynb").write_text(json.dumps(notebook))
    return tmp_path


def require(package):
    """Skip the test where a tool, or a kernel, is not installed."""
    for name in (package, "ipykernel"):
        if find_spec(name) is None:
            pytest.skip(f"needs {name}")


def run(tool, folder, **variables):
    """What a tool prints, and what the cells show."""
    module, *arguments = TOOLS[tool]
    require(module.partition(".")[0])
    started = ["-c", "from nbclient.cli import main; main()"] if "nbclient" in module else None
    done = subprocess.run(
        [sys.executable, *(started or ["-m", module]), *arguments],
        cwd=folder,
        env={**os.environ, "JUPYTER_PLATFORM_DIRS": "1", **variables},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    cells = json.loads((folder / "out.ipynb").read_text())["cells"]
    texts = [
        "".join(output.get("text", ""))
        for cell in cells
        for output in cell["outputs"]
        if output["output_type"] == "stream"
    ]
    return testing.parse(done.stdout, stderr=done.stderr), "".join(texts)


@pytest.mark.parametrize("tool", TOOLS)
def test_frames_reach_the_task_once_and_the_cell_shows_them(tool, folder):
    """Also where the tool prints what the cells show."""
    messages, shown = run(tool, folder, WORKING_DIR=str(folder))
    assert messages.outputs == {"rows": 42}
    assert [(metric.name, metric.value) for metric in messages.metrics] == [("files", 1)]
    logs = [(e.level, e.message[-8:]) for e in messages.logs if e.source == "frame"]
    assert logs == [("WARN", " careful"), ("INFO", "xxxxxxxx"), ("INFO", "an entry")]
    assert 'rows:  ::{"outputs": {"rows": 42}}::\n' in shown
    assert ' ::{"metrics"' in shown
    assert "printed" in shown


@pytest.mark.parametrize("variables", [{}, {"WORKING_DIR": "/", "JPY_SESSION_NAME": "a.ipynb"}])
def test_nothing_changes_where_people_work_with_a_notebook(folder, variables):
    """No frame goes past the cell, which shows it as it is."""
    messages, shown = run("execute", folder, **variables)
    assert messages.outputs == {}
    assert '\n::{"metrics"' in shown


# --- the examples ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("notebook_papermill.yaml", "papermill"),
        ("notebook_nbconvert.yaml", "nbconvert"),
        ("notebook_execute.yaml", "nbclient"),
    ],
)
def test_examples(name, package, tmp_path):
    """Each flow runs the notebook, and reads its outputs; the kernel logs nothing of its own."""
    require(package)
    flow = yaml.safe_load((EXAMPLES / name).read_text())
    task = flow["tasks"][0]
    shutil.copy(EXAMPLES / "report.ipynb", tmp_path)
    for path, content in task["inputFiles"].items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(content)
    (command,) = task["commands"]
    variables = {**task["env"], "WORKING_DIR": str(tmp_path), "DAY": "2026-02-01"}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        shell=True,
        cwd=tmp_path,
        env={**os.environ, **variables, "PATH": programs},
        capture_output=True,
        timeout=120,
        check=True,
    )
    messages = testing.parse(done.stdout, stderr=done.stderr)
    day = "2026-02-01" if "inputs" in flow else "2026-01-31"
    assert messages.outputs == {"day": day, "rows": 6}
    assert [metric.value for metric in messages.metrics] == [3]
    said = [e.message for e in messages.logs if e.source == "frame"]
    assert said == [f"3 rows of {day}"]
    assert b"IPKernelApp" not in done.stderr
    assert (tmp_path / task["outputFiles"][0]).exists()


# --- without the tools -----------------------------------------------------------------------

KERNEL = """
import os, sys
class OutStream:
    closed = False
    def __init__(self, name, descriptor):
        self.name, self._original_stdstream_copy = name, descriptor
    def write(self, text):
        shown.append(text)
    def flush(self):
        pass
OutStream.__module__ = "ipykernel.iostream"
shown = []
own = [os.dup(1), os.dup(2)] if sys.argv[1] == "led away" else [None, None]
sys.stdout, sys.stderr = OutStream("stdout", own[0]), OutStream("stderr", own[1])
from kestra import Kestra
Kestra.outputs({"rows": 42})
Kestra.logger().warning("careful")
if hasattr(os, "fork") and not os.fork():
    Kestra.outputs({"child": True})
    os._exit(0)
Kestra.gauge("shown", len([text for text in shown if text.startswith(" ::{")]))
"""


@pytest.mark.parametrize("kind", ["led away", "in its place"])
@pytest.mark.parametrize("is_task", [True, False])
def test_the_kernel_s_own_stream(kind, is_task, tmp_path):
    """The frame goes to where it leads, on standard output, and to the cell."""
    script = tmp_path / "kernel.py"
    script.write_text(KERNEL)
    variables = {k: v for k, v in os.environ.items() if k != "WORKING_DIR"}
    done = subprocess.run(
        [sys.executable, script, kind],
        env={**variables, **({"WORKING_DIR": "/"} if is_task else {})},
        capture_output=True,
        timeout=180,
        check=True,
    )
    messages = testing.parse(done.stdout, stderr=done.stderr)
    assert done.stderr == b""
    if not is_task:
        assert done.stdout == b""
        return
    child = {"child": True} if hasattr(os, "fork") else {}
    assert messages.outputs == {"rows": 42, **child}
    assert [metric.value for metric in messages.metrics] == [2]
    assert [entry.level for entry in messages.logs] == ["WARN"]
