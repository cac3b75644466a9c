"""The README: its commands, its snippets, and what it says of files and variables."""

import ast
import re
import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path

import pytest
from loopback import Loopback
from tasks import run, said

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
# Python, and what it prints where that is shown.
SNIPPETS = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", README, re.DOTALL)
IN_TASK = [(code, printed) for code, printed in SNIPPETS if "Flow(" not in code]
CLIENT = [code for code, _ in SNIPPETS if "Flow(" in code]
LISTED = {".json", ".py", ".yaml"}
HOSTNAME = "https://kestra.example.com"


def first_line_of_use(snippet):
    code = snippet if isinstance(snippet, str) else snippet[0]
    return code.split("\n\n")[1].splitlines()[0]


# --- commands --------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_can_be_pasted(command):
    """A command is one line that makes the environment, installs this tree into it and runs."""
    assert re.fullmatch(
        r"python3 -m venv \.venv && \.venv/bin/pip install -q (\.|-e '\.\[test\]')"
        r" && \.venv/bin/python -m (kestra run \S+|pytest)\n",
        command,
    )


def test_the_main_job_prints_what_is_shown():
    """The first command prints the report that follows it, but for times and their widths."""
    shown = README.partition(COMMANDS[0])[2].partition("```text\n")[2].partition("```")[0]
    arguments = COMMANDS[0].rpartition(" && .venv/bin/python ")[2].split()
    process = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert without_times(process.stdout) == without_times(shown)


def without_times(report):
    """Its lines in no order, since those of stderr may overtake those of stdout."""
    report = re.sub(r"\S+ s ", "(seconds) ", re.sub(r"\S+Z - ", "(time) ", report))
    return sorted(re.sub(" +", " ", line) for line in report.splitlines())


# --- snippets --------------------------------------------------------------------------------


def run_snippet(code, folder):
    """What Kestra keeps of a snippet, run beside the files that it reads."""
    path = folder / "snippet.py"
    path.write_text(code)
    (folder / "orders.ion").write_text("{id: 7, total: 80.5}\n{id: 8, total: 12.0}\n")
    context = ROOT / "examples" / "from_pipedream" / "context.json"
    return run(path, folder=folder, KESTRA_EXECUTION_CONTEXT_FILE=str(context))


@pytest.mark.parametrize(("code", "printed"), IN_TASK, ids=map(first_line_of_use, IN_TASK))
def test_in_task_snippets(code, printed, tmp_path):
    """A snippet runs, loses nothing, and prints what is shown below it."""
    messages = run_snippet(code, tmp_path)
    lines = [entry.message for entry in messages.logs if entry.source == "stdout"]
    assert not printed or lines == printed.splitlines()


def test_what_the_first_snippet_sends(tmp_path):
    """Outputs, metrics and a log entry arrive as the comments in the snippet say."""
    messages = run_snippet(IN_TASK[0][0], tmp_path)
    assert messages.outputs == {"rows": 42, "day": "2026-01-31"}
    assert [(each.name, each.type) for each in messages.metrics] == [
        ("rows", "counter"),
        ("fill", "gauge"),
        ("load", "timer"),
    ]
    assert said(messages) == [("WARN", "3 rows had no key")]


def test_what_the_logging_snippets_send(tmp_path):
    """Plain records arrive at their own levels, and with their fields through a JsonFormatter."""
    (code,) = [code for code, _ in IN_TASK if "configure_logging()" in code]
    info, warning, error = said(run_snippet(code, tmp_path))
    assert (info, warning) == (("INFO", "6 orders read"), ("WARN", "order 3 has no amount"))
    assert error[0] == "ERROR"
    assert error[1].startswith("order 4 is left out\nTraceback")
    (code,) = [code for code, _ in IN_TASK if "dictConfig" in code]
    assert said(run_snippet(code, tmp_path)) == [
        ("INFO", '{"message": "read", "name": "orders", "orders": 6}')
    ]


@pytest.fixture
def server(monkeypatch):
    """An engine on the loopback that the environment points to; sleeping takes no time."""
    for name in ("KESTRA_USER", "KESTRA_PASSWORD", "KESTRA_API_TOKEN", "KESTRA_TENANT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REPORTS_TOKEN", "t0ken")
    monkeypatch.setenv("REPORTS_PASSWORD", "s3cret")
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with Loopback() as server:
        monkeypatch.setenv("KESTRA_HOSTNAME", server.url)
        rendered = {"outputFiles": {"report.pdf": "kestra:///company/team/report.pdf"}}
        run = {"id": "run1", "taskId": "render", "outputs": rendered}
        server.engine.shown = {"taskRunList": [run], "outputs": {"pages": 3}}
        timer = {"name": "pdf", "type": "timer", "value": 1500.0, "taskId": "render"}
        server.engine.metrics = [timer]
        server.engine.entries = [{"level": "WARN", "message": "no logo", "taskId": "render"}]
        server.engine.file = b"%PDF"
        yield server


def execute(code, server):
    exec(compile(code.replace(HOSTNAME, server.url), "README.md", "exec"), {})


@pytest.mark.parametrize("code", CLIENT, ids=map(first_line_of_use, CLIENT))
def test_client_snippets(code, server, tmp_path, monkeypatch):
    """A snippet creates each execution that it says, once, and waits until it has ended."""
    monkeypatch.chdir(tmp_path)
    Path("orders.csv").write_text("id,total\n7,80.5\n")
    execute(code, server)
    created = [x["flowId"] for x in server.engine.executions.values()]
    assert created == ["report"] * code.count(".execute(")
    assert server.count("GET /api/v1/executions/execution") >= len(created)


def test_what_the_snippet_about_results_shows(server, tmp_path, monkeypatch, capsys):
    """Outputs, metrics in seconds, log entries and a file arrive."""
    monkeypatch.chdir(tmp_path)
    (code,) = [code for code in CLIENT if "raise_for_status" in code]
    execute(code, server)
    printed = capsys.readouterr().out
    assert "{'pages': 3}" in printed
    assert "render pdf 1.5" in printed
    assert "render no logo" in printed
    assert Path("report.pdf").read_bytes() == b"%PDF"


def test_credentials_of_the_snippet(server):
    """First the token is sent, then user and password."""
    (code,) = [code for code in CLIENT if "flow.password" in code]
    execute(code, server)
    pair = b64encode(b"jane@example.com:s3cret").decode()
    sent = [each.headers["authorization"] for each in server.requests if each.method == "POST"]
    assert sent == ["Bearer t0ken", f"Basic {pair}"]


# --- files and variables ---------------------------------------------------------------------


def test_files_that_are_named_exist():
    """What a link leads to in this tree is there."""
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_every_example_is_listed():
    """Each example has its line in the list, and the list has no other."""
    listed = set(re.findall(r"\]\((examples/[^)]+)\)", README))
    files = {path for path in (ROOT / "examples").rglob("*.*") if path.suffix in LISTED}
    assert listed == {path.relative_to(ROOT).as_posix() for path in files}


def test_environment_variables_are_those_that_the_package_reads():
    """The table has every variable that the source names, and no other."""
    table = README.partition("## Environment variables")[2].partition("\n## ")[0]
    listed = set(re.findall(r"`(KESTRA_\w+)`", table))
    assert listed == {
        node.value
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Constant) and re.fullmatch(r"KESTRA_\w+", str(node.value))
    }
    assert set(re.findall(r"KESTRA_\w+", README)) == listed
