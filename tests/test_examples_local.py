"""The flows of the examples, task by task, by `python -m kestra run --flow`: without a server."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from loopback import Loopback, as_json
from tasks import all_tasks

EXAMPLES = Path(__file__).parent.parent / "examples"
ORDERS = str(EXAMPLES / "in_task" / "orders.csv")
FETCHED = {"fetch": {"vars": {"order": {"id": 7, "total": 80.5}}}}
TRIGGER = json.loads((EXAMPLES / "from_pipedream" / "request.json").read_text())["trigger"]

# Of each task: what its expressions and its context need, and which outputs it sends. {url} is the
# address of a server that answers with RESPONSE.
RESPONSE = {"ready": True, "stargazers_count": 12_345}
TASKS = [
    ("from_airflow/hello_world", "greet", {}, {"length": 5}),
    ("from_airflow/image", "load", {}, {"regions": ["north", "south"]}),
    ("from_airflow/old_python", "version", {}, {"version": sys.version.split()[0].rstrip("+")}),
    ("from_airflow/pip_dependency", "count_stars", {"inputs": {"url": "{url}"}}, None),
    ("from_airflow/sensor", "probe", {"inputs": {"url": "{url}"}}, {"is_ready": True}),
    ("from_airflow/xcom", "extract", {}, {"totals": {"north": 80.5, "south": 12}}),
    (
        "from_airflow/xcom",
        "report",
        {"outputs": {"extract": {"vars": {"totals": {"north": 1}}}}},
        {},
    ),
    ("from_pipedream/api_key", "fetch", {"inputs": {"url": "{url}"}}, None),
    (
        "from_pipedream/end_early",
        "fetch",
        {"inputs": {"url": "{url}"}},
        {"orders": 2, "is_empty": False},
    ),
    ("from_pipedream/export_value", "python", {}, {"order": {"id": 7, "total": 80.5}}),
    ("from_pipedream/order_counter", "count", {}, None),
    (
        "from_pipedream/read_request_1_3",
        "read",
        {"trigger": {"body": {"customer": "Jane"}}},
        {"customer": "Jane"},
    ),
    ("from_pipedream/read_step_data", "fetch", {}, {"order": {"id": 7, "total": 80.5}}),
    (
        "from_pipedream/read_step_data",
        "invoice",
        {"inputs": {"customer": "Jane"}, "outputs": FETCHED},
        {"gross": 96.6},
    ),
    ("from_pipedream/respond", "add_up", {"trigger": TRIGGER}, {"total": 20.0, "currency": "CHF"}),
    ("from_pipedream/retry_and_delay", "fetch", {"inputs": {"url": "{url}"}}, {"orders": 2}),
    (
        "from_pipedream/send_file",
        "send",
        {"inputs": {"url": "{url}", "orders": ORDERS}},
        {"status": 200},
    ),
    ("from_pipedream/tmp_files", "write", {}, {}),
    ("from_pipedream/tmp_files", "read", {}, None),
    (
        "from_pipedream/tmp_files",
        "later",
        {"outputs": {"write": {"outputFiles": {"orders.csv": ORDERS}}}},
        {"first": "1,north,120.50"},
    ),
    ("from_pipedream/uv_packages", "fetch", {"inputs": {"url": "{url}"}}, {"orders": 2}),
    ("in_task/commands_task", "orders", {}, {"orders": 5, "revenue": "457.74"}),
    ("in_task/output_files", "write", {}, {}),
    (
        "in_task/script_task",
        "greet",
        {"inputs": {"name": 'J "J" J'}},
        {"greeting": 'Hello J "J" J!'},
    ),
]
# Those that are not run alone.
REFUSED = {
    ("from_airflow/pip_dependency", "count_stars"),  # it would install
    ("from_pipedream/api_key", "fetch"),  # needs a server for its secret
    ("from_pipedream/order_counter", "count"),  # needs a server for its secrets, and its store
    ("from_pipedream/tmp_files", "read"),  # shares its directory with the one before
}


@pytest.fixture
def url():
    """The address of a web server that answers whatever is asked for."""
    with Loopback(lambda _: as_json(RESPONSE)) as server:
        yield server.url


def local_run(flow, task, folder, values):
    """Run a task of an example as a reader does, and return the process."""
    path = EXAMPLES / f"{flow}.yaml"
    context = folder / "context.json"
    context.write_text(json.dumps(values))
    if os.name == "posix":  # what `uv run` does where the packages are there
        uv = folder / "uv"
        uv.write_text(f'#!/bin/sh\nshift\nexec "{sys.executable}" "$@"\n')
        uv.chmod(0o755)
    command = [sys.executable, "-m", "kestra", "run", "--strict", "--json", "--flow", path]
    return subprocess.run(
        [*command, "--task", task, "--context", context],
        cwd=folder,
        env={**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_all_tasks_of_the_translated_flows_are_here():
    """No script of a flow that was translated is left out."""
    found = {
        (f"{path.parent.name}/{path.stem}", task["id"])
        for path in EXAMPLES.glob("from_*/*.yaml")
        for task in all_tasks(yaml.safe_load(path.read_text()))
        if ".scripts." in task["type"]
    }
    assert found == {
        (flow, task) for flow, task, *_ in TASKS if flow.partition("/")[0] != "in_task"
    }


@pytest.mark.parametrize(
    "case",
    [case for case in TASKS if case[:2] not in REFUSED],
    ids=lambda case: f"{case[0]}-{case[1]}",
)
def test_tasks_run_locally(case, url, tmp_path):
    """A task of a flow sends its outputs without a server, and nothing of them would be lost."""
    flow, task, values, outputs = case
    tasks = all_tasks(yaml.safe_load((EXAMPLES / f"{flow}.yaml").read_text()))
    if any(each["id"] == task and "commands" in each for each in tasks) and not shutil.which("sh"):
        pytest.skip("its commands need a POSIX shell")
    values = json.loads(json.dumps(values).replace("{url}", url))
    process = local_run(flow, task, tmp_path, values)
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout)["outputs"] == outputs


def test_a_secret_needs_a_server(tmp_path):
    """A task with `secret()` says so; the page shows how to run its script by itself."""
    process = local_run("from_pipedream/api_key", "fetch", tmp_path, {})
    assert process.returncode == 2
    assert "needs a server" in process.stderr
