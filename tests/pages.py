"""The pages of the documentation, the README among them: their blocks, and what each one does."""

import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import shell
import yaml
from tasks import Execution, assert_known

from kestra import testing

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
HOSTNAME = "https://kestra.example.com"
DEADLINE = 180
# Of all plugins of pytest, by its entry point: the others take a second to load.
ONLY_OURS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p kestra"}

_FENCE = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
# (The form with quotes would be taken for Python by formatters: --8 < --"…".)
INCLUDE = re.compile(r"^--8<--\n(.+)\n--8<--$", re.MULTILINE)
# What a console block may show besides what is run: it would change this machine.
_NOT_RUN = re.compile(r"(\S*pip install|python3 -m venv|docker run) |export \w+=")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page.

    Attributes:
        page: The page.
        line: Where it begins.
        language: What the fence says.
        title: The title; with a dot it is the name of a file.
        text: The content, includes carried out.
        is_included: Whether it is one whole file of the examples, which other tests run.
        is_named: Whether it is a file that another block runs or imports.
        printed: The block of plain text right below, which is what this one prints.
    """

    page: Path
    line: int
    language: str
    title: str
    text: str
    is_included: bool
    is_named: bool
    printed: str

    @property
    def kind(self):
        """How it is run: the name of a function below."""
        if self.language != "python":
            return self.language
        if "def test_" in self.text:
            return "pytest"
        return "client" if re.search(r"\b(Async)?(Flow|Namespace)\(", self.text) else "task"


def blocks_of(page):
    """The blocks of a page, in order."""
    source = page.read_text("utf-8")
    found = list(_FENCE.finditer(source))
    blocks = []
    for match, following in pairwise([*found, None]):
        language, title, text = match.groups(default="")
        is_below = following and not source[match.end() : following.start()].strip()
        prints = is_below and following[1] == "text" and not following[2]
        blocks.append(
            Block(
                page,
                line=source.count("\n", 0, match.start()) + 1,
                language=language,
                title=title,
                text=INCLUDE.sub(
                    lambda include: (ROOT / include[1]).read_text("utf-8").rstrip(), text
                ),
                is_included=bool(INCLUDE.fullmatch(text.strip())),
                is_named=any(_names(other[3], title) for other in found if other is not match),
                printed=following[3] if prints else "",
            )
        )
    return blocks


def _names(text, title):
    stem, _, is_file = title.partition(".")
    return bool(is_file) and (title in text or f"from {stem} import" in text)


def run(block, folder, servers):
    """Do what a reader of the page would do with a block, in the folder of the page."""
    if "." in block.title:
        (folder / block.title).write_text(block.text)
    if not block.is_included and not block.is_named:
        _RUNS[block.kind](block, folder, servers)


# --- by kind ---------------------------------------------------------------------------------


def task(block, folder, _servers):
    """A script of a task: it loses nothing, and prints what is shown below it."""
    process = python(block, folder)
    assert process.returncode == 0, process.stderr
    messages = testing.parse(process.stdout, stderr=process.stderr)
    assert not messages.rejected
    if "::{" in block.printed:
        assert process.stdout == block.printed
    elif block.printed:
        lines = [entry.message for entry in messages.logs if entry.source == "stdout"]
        assert lines == block.printed.splitlines()


def python(block, folder):
    """Run a block in a process of its own, with an execution context."""
    name = block.title or f"block_{block.line}.py"
    (folder / name).write_text(block.text)
    context = ROOT / "examples" / "from_pipedream" / "context.json"
    variables = {"KESTRA_EXECUTION_CONTEXT_FILE": str(context)}
    return _run([sys.executable, name], folder, **variables, PYTHONWARNINGS="error")


def client(block, folder, servers):
    """A program that calls the server; it prints what is shown below it."""
    printed = io.StringIO()
    code = block.text.replace(HOSTNAME, servers.fake.hostname)
    before = Path.cwd()
    os.chdir(folder)
    try:
        with redirect_stdout(printed):
            exec(compile(code, str(block.page), "exec"), {"__name__": "__main__"})
    finally:
        os.chdir(before)
    if block.printed:
        assert printed.getvalue().splitlines() == block.printed.splitlines()


def tests(block, folder, _servers):
    """Tests of a reader's own: they pass."""
    name = block.title or f"test_block_{block.line}.py"
    (folder / name).write_text(block.text)
    options = ["-q", "-p", "no:cacheprovider", "-W", "error", "--rootdir", str(folder)]
    process = _run([sys.executable, "-m", "pytest", *options, name], folder)
    assert process.returncode == 0, process.stdout


def console(block, folder, servers):
    """Commands after `$`, and what they print; those that set a machine up are not run."""
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
        if _NOT_RUN.match(command):
            continue
        variables = {"KESTRA_HOSTNAME": servers.loopback.url, "COLUMNS": "100"}
        printed, status = shell.run(command, folder, _environment(variables))
        assert shown or status == 0, printed
        if shown:
            assert comparable(printed) == comparable(shown)


def comparable(printed):
    """Its lines without times, in no order, since those of stderr may overtake those of stdout."""
    printed = re.sub(r"http://127\.0\.0\.1:\d+", "http://localhost:8080", printed)
    printed = re.sub(r"\S+ s ", "(seconds) ", re.sub(r"\d\S+Z\b", "(time)", printed))
    printed = re.sub(r" in \d\S*s( \(.*?\))?", " in (seconds)", printed)
    return sorted(re.sub(" +", " ", line).rstrip() for line in printed.splitlines() if line.strip())


def flow(block, folder, _servers):
    """A flow: nothing in it that Kestra would refuse, and its tasks do what they are to do."""
    assert_known(yaml.safe_load(block.text))
    path = folder / f"block_{block.line}.yaml"
    path.write_text(block.text)
    (folder / path.stem).mkdir()
    assert Execution(path, folder / path.stem).state == "SUCCESS"


def _run(command, folder, **variables):
    return subprocess.run(
        command,
        cwd=folder,
        env=_environment(variables),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def _environment(variables):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("KESTRA_")}
    return {**kept, **ONLY_OURS, **variables}


_RUNS = {
    "task": task,
    "client": client,
    "pytest": tests,
    "console": console,
    "yaml": flow,
    "json": lambda block, *_: json.loads(block.text),
    "csv": lambda *_: None,  # a file for the other blocks
    "dockerfile": lambda *_: None,  # the tests of the examples read it
    "text": lambda *_: None,  # compared where it is printed
    "sh": lambda *_: None,  # the set-up commands of the README have a test of their own
}
