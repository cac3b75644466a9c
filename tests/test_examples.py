"""Every example, run: its scripts in processes of their own, its flows task by task."""

import ast
import asyncio
import json
import platform
import re
import runpy
import shutil
import subprocess
import sys
import textwrap
from base64 import b64encode
from datetime import date
from pathlib import Path

import optional
import pytest
import yaml
from loopback import Loopback, answer, as_json, event, hang, stream
from tasks import Execution, all_tasks, assert_known, run, said

from kestra import Kestra, Namespace, testing
from kestra.testing import FakeKestra, parse

EXAMPLES = Path(__file__).parent.parent / "examples"
IN_TASK = EXAMPLES / "in_task"
CLIENT = EXAMPLES / "client"
NAMESPACE = EXAMPLES / "namespace"
FROM_AIRFLOW = EXAMPLES / "from_airflow"
FROM_PIPEDREAM = EXAMPLES / "from_pipedream"
FLOWS = sorted(EXAMPLES.rglob("*.yaml"))
SCRIPTS = sorted(EXAMPLES.rglob("*.py"))

# A clock that goes on by one second whenever it is read.
TICKING = """
import itertools, runpy, sys, time
seconds = itertools.count()
time.perf_counter = lambda: float(next(seconds))
runpy.run_path(sys.argv[1], run_name="__main__")
"""


# --- all of them -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*FLOWS, *SCRIPTS], ids=lambda path: path.name)
def test_every_example_says_what_it_shows_and_is_run(path):
    """An example begins with a comment, and a test, here or with the recipes, names it."""
    assert re.search(r"\A(# ///.*# ///\n)?# [A-Z]", path.read_text(), re.DOTALL)
    here = Path(__file__)
    others = ("test_logging_recipes.py", "test_notebook.py")
    tests = here.read_text() + "".join(here.with_name(name).read_text() for name in others)
    # A script beside a flow of its name is run as that flow runs it.
    assert path.name in tests or f"{path.stem}.yaml" in tests


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.name)
def test_flows_use_only_what_kestra_knows(path):
    """A flow has an id that it can be found by, and no property or type that Kestra refuses."""
    flow = yaml.safe_load(path.read_text())
    assert flow["id"] == path.stem
    assert flow["namespace"] == "company.team"
    assert_known(flow)


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.name)
def test_tasks_install_what_they_import(path):
    """A task whose code imports this package installs it into its container."""
    for task in all_tasks(yaml.safe_load(path.read_text())):
        if "uv run" in str(task.get("commands")) or task["id"] == "load":
            continue  # the script itself, or the image, says what it needs
        code = task.get("script", "")
        for name in task.get("namespaceFiles", {}).get("include", []):
            text = (path.parent / name).read_text()
            if name.endswith(".ipynb"):
                code += "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
            elif name.endswith(".py"):
                code += text
        installed = [
            *task.get("dependencies", []),
            *" ".join(task.get("beforeCommands", [])).split(),
        ]
        for package in ("kestra", "requests"):
            assert (package in installed) == bool(
                re.search(rf"^(from|import) {package}\b", code, re.MULTILINE)
            )


@pytest.mark.parametrize(
    "path",
    [*FROM_AIRFLOW.glob("*.yaml"), *FROM_PIPEDREAM.glob("*.yaml")],
    ids=lambda path: path.name,
)
def test_the_code_that_is_translated_is_python(path):
    """What stands in the comment, indented, as the code to come from, is Python."""
    (code,) = re.findall(r"There[^:]*:\n#\n((?:#(?:   .*)?\n)+)", path.read_text())
    assert ast.parse(textwrap.dedent(code.replace("#", ""))).body


# --- inside a task ---------------------------------------------------------------------------


def run_script(name):
    return run(IN_TASK / name, folder=EXAMPLES)


def test_orders():
    """The whole task script keeps its outputs, its counts by region, its duration and its log."""
    messages = run_script("orders.py")
    assert messages.outputs == {"orders": 5, "revenue": "457.74"}
    duration, *counts = messages.metrics
    assert (duration.name, duration.type) == ("read", "timer")
    assert [(count.tags["region"], count.value) for count in counts] == [
        ("north", 2),
        ("south", 2),
        ("east", 1),
    ]
    assert sorted(said(messages)) == [
        ("INFO", "6 orders read"),
        ("INFO", "revenue is 457.74"),
        ("WARN", "order 3 has no amount: left out"),
    ]


@pytest.mark.parametrize("name", ["World", 'Jane "J" O\'Neil'])
def test_script_task(name, tmp_path):
    """A Script task greets whom its input names, quotes in the name or not."""
    execution = Execution(IN_TASK / "script_task.yaml", tmp_path, name=name)
    assert execution.messages["greet"].outputs == {"greeting": f"Hello {name}!"}
    assert said(execution.messages["greet"]) == [("INFO", f"Hello {name}!")]


def test_commands_task(tmp_path):
    """A Commands task runs a namespace file on another one."""
    execution = Execution(IN_TASK / "commands_task.yaml", tmp_path)
    assert execution.messages["orders"].outputs == {"orders": 5, "revenue": "457.74"}


def test_outputs():
    """Outputs of several calls are joined; a date is ISO 8601."""
    assert run_script("outputs.py").outputs == {
        "day": "2026-01-31",
        "regions": ["north", "south"],
        "stats": {"rows": 5, "mean": 91.548},
    }


def test_outputs_are_read_by_the_flow(tmp_path):
    """A later task and the flow's own outputs read what the script sent."""
    execution = Execution(IN_TASK / "outputs.yaml", tmp_path)
    assert execution.log == ["5 rows of 2026-01-31, the first from the north"]
    (output,) = execution.flow["outputs"]
    assert execution.render(output["value"]) == "91.548"


def test_output_files(tmp_path):
    """A file that one task writes is read by the next."""
    execution = Execution(IN_TASK / "output_files.yaml", tmp_path)
    assert execution.messages["read"].outputs == {"sum": 0 + 1 + 4 + 9 + 16}


def test_metrics(tmp_path):
    """Every way to time takes one second of a clock that ticks by one, and a gauge its value."""
    path = tmp_path / "ticking.py"
    path.write_text(TICKING)
    messages = run(path, IN_TASK / "metrics.py", folder=EXAMPLES)
    assert [(each.name, each.type, each.value, each.tags) for each in messages.metrics] == [
        ("by_hand", "timer", 1, {}),
        ("called", "timer", 1, {}),
        ("block", "timer", 1, {"step": "sum"}),
        ("decorated", "timer", 2, {}),
        ("mean", "gauge", sum(number**2 for number in range(1_000)) / 1_000, {}),
    ]


def test_log_levels():
    """Each of the five levels arrives as itself; from WARN on through stderr."""
    messages = run_script("log_levels.py")
    assert sorted(said(messages)) == [
        ("DEBUG", "DEBUG"),
        ("ERROR", "ERROR, and so is CRITICAL"),
        ("INFO", "INFO"),
        ("TRACE", "below DEBUG: TRACE"),
        ("WARN", "WARNING is called WARN"),
    ]


def test_odd_even():
    """Counts of one name add up."""
    metrics = run_script("odd_even.py").metrics
    assert {each.name: each.value for each in metrics} == {"odd": 4, "even": 3}


def test_continue_trace(tmp_path):
    """The span of the task belongs to the trace of the server."""
    optional.require("opentelemetry")
    execution = Execution(IN_TASK / "continue_trace.yaml", tmp_path)
    trace = execution.messages["load"].outputs["trace"]
    assert trace in execution.variables["trace"]["parent"]


USING_COPY = """
from without_package import log, metric, outputs
import json
print(u"started")
texts = json.loads('["\\\\u00e9 \\\\u2028 ::{}::", "\\\\ud83d\\\\ude00"]')
values = texts + json.loads('[2, -0.5, true, null, {"a": []}]')
outputs({"long": -(10 ** 1000 - 1), "text": "\\\"" + "1" * 1001})
outputs({"values": values[:-2], "more": values[-1]})
metric("counter", "rows", 2, table="orders", day=None)
metric("counter", "rows", 1, table="orders")
metric("timer", "load", 1.5)
log("WARN", u"3 rows have no key\\nof all")
"""
REFUSED_BY_COPY = {
    "outputs([1])": "TypeError",
    "outputs({'a': float('nan')})": "ValueError",
    "outputs({'a': u'\\ud800'})": "UnicodeEncodeError",
    "outputs({'a': 'x' * 5000000})": "ValueError",
    "outputs({'a': [-(10 ** 1000)]})": "ValueError",
    "outputs({'a': object()})": "TypeError",
    "metric('counter', 'a', None)": "TypeError",
    "metric('counter', 'a', float('inf'))": "ValueError",
    "metric('COUNTER', 'a', 1)": "ValueError",
    "metric('gauge', 'a' * 151, 1)": "ValueError",
    "metric('timer', 'a', 1e12)": "ValueError",
    "metric('timer', 'rows', 1, table='x')": "ValueError",
    "log('WARNING', 'a')": "ValueError",
}


def old_pythons():
    """Every interpreter that is found, older than this package takes, too."""
    found = {sys.executable: sys.executable}
    for minor in range(6, 15):
        versions = Path("~/.pyenv/versions").expanduser().glob(f"3.{minor}.*/bin/python")
        found[f"3.{minor}"] = next(map(str, versions), shutil.which(f"python3.{minor}"))
    return [path for path in found.values() if path]


def run_copy(python, folder):
    """Run a script beside a copy of the file, which sends and then tries what is refused."""
    shutil.copy(IN_TASK / "without_package.py", folder)
    lines = ["refused = []"]
    for code in REFUSED_BY_COPY:
        lines += ["try:", f"    {code}", "except Exception as error:"]
        lines += ["    refused.append(type(error).__name__)"]
    (folder / "script.py").write_text(
        "\n".join([USING_COPY, *lines, "outputs({'refused': refused})"]), "utf-8"
    )
    return subprocess.run(
        [python, "script.py"], cwd=folder, capture_output=True, check=True, timeout=180
    )


def assert_copy_is_kept(messages):
    assert messages.outputs == {
        "long": -(10**1000 - 1),
        "text": '"' + "1" * 1001,
        "values": ["\u00e9 \u2028 ::{}::", "\U0001f600", 2, -0.5, True],
        "more": {"a": []},
        "refused": [*REFUSED_BY_COPY.values()],
    }
    assert [(each.name, each.type, each.value, each.tags) for each in messages.metrics] == [
        ("rows", "counter", 3, {"table": "orders"}),
        ("load", "timer", 1.5, {}),
    ]
    assert said(messages) == [("INFO", "started"), ("WARN", "3 rows have no key\nof all")]


def test_without_package(tmp_path):
    """The file to copy sends what the package sends, and refuses what an engine dies of."""
    run_copy(sys.executable, tmp_path)
    assert_copy_is_kept(run(tmp_path / "script.py", folder=tmp_path))


@pytest.mark.parametrize("python", old_pythons())
def test_without_package_on_old_pythons(python, tmp_path):
    """So it does on every Python that is there."""
    done = run_copy(python, tmp_path)
    assert done.stderr == b""
    assert_copy_is_kept(testing.parse(done.stdout))


@pytest.mark.parametrize("python", old_pythons())
def test_without_package_refuses_what_is_nested_too_deep(python, tmp_path):
    """By itself, where the encoder of that Python goes deeper than the engine."""
    shutil.copy(IN_TASK / "without_package.py", tmp_path)
    code = """
from without_package import outputs
deep = []
outputs({"a": ["[[" * 600, [[]] * 600]})
for _ in range(998):
    deep = [deep]
try:
    outputs({"b": deep})
except (RecursionError, ValueError):
    outputs({"refused": True})
"""
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path, capture_output=True, check=True, timeout=180
    )
    assert {*testing.parse(done.stdout).outputs} == {"a", "refused"}


def test_without_package_is_short_and_old_python():
    """At most 40 lines, in the syntax of Python 3.6."""
    source = (IN_TASK / "without_package.py").read_text()
    assert len(source.splitlines()) <= 40
    assert ast.parse(source, feature_version=(3, 6)).body


# --- translated ------------------------------------------------------------------------------


@pytest.fixture
def web():
    """A web server that answers with JSON: `web.answers` in turn, then `web.answer`."""

    def handler(_):
        return as_json(server.answers.pop(0) if server.answers else server.answer)

    with Loopback(handler) as server:
        server.answers = []
        yield server


def test_hello_world(tmp_path):
    """What the function printed is in the log, what it returned is an output."""
    execution = Execution(FROM_AIRFLOW / "hello_world.yaml", tmp_path)
    assert said(execution.messages["greet"]) == [("INFO", "Hello World!")]
    assert execution.messages["greet"].outputs == {"length": 5}


def test_pip_dependency(tmp_path, web):
    """The script uses a package of its own to ask an API."""
    web.answer = {"stargazers_count": 12_345}
    execution = Execution(FROM_AIRFLOW / "pip_dependency.yaml", tmp_path, url=web.url)
    assert execution.messages["count_stars"].outputs == {"stars": 12_345}


def test_old_python(tmp_path):
    """A frame that is printed by hand is read by the next task."""
    execution = Execution(FROM_AIRFLOW / "old_python.yaml", tmp_path)
    assert execution.log == [f"Python {platform.python_version()}"]
    version, _ = execution.flow["tasks"]
    assert version["containerImage"].startswith("python:2.7")


def test_the_script_for_an_old_python_runs_there(tmp_path):
    """Python 2.7 prints a frame that an engine keeps."""
    flow = yaml.safe_load((FROM_AIRFLOW / "old_python.yaml").read_text())
    (tmp_path / "script.py").write_text(flow["tasks"][0]["script"])
    installed = sorted(Path.home().glob(".pyenv/versions/2.7*/bin/python2.7"))
    python = installed[-1] if installed else shutil.which("python2.7")
    if python is None:
        pytest.skip("needs Python 2.7")
    process = subprocess.run([python, tmp_path / "script.py"], capture_output=True, check=True)
    assert re.fullmatch(r"2\.7\.\d+", parse(process.stdout).outputs["version"])


def test_xcom(tmp_path):
    """What one task has sent, the next one reads, and an expression shows it as JSON."""
    execution = Execution(FROM_AIRFLOW / "xcom.yaml", tmp_path)
    assert said(execution.messages["report"]) == [("INFO", "The north has 80.5")]
    assert execution.log == ['{"north": 80.5, "south": 12}']


def test_image(tmp_path):
    """The script runs with what the Dockerfile installs."""
    execution = Execution(FROM_AIRFLOW / "image.yaml", tmp_path)
    assert execution.messages["load"].outputs == {"regions": ["north", "south"]}
    dockerfile = (FROM_AIRFLOW / "Dockerfile").read_text()
    assert len(dockerfile.splitlines()) == 5
    (load,) = execution.flow["tasks"]
    assert f"docker build -t {load['containerImage']} ." in dockerfile
    assert re.search(r"pip install 'kestra>=3' 'PyYAML", dockerfile)
    assert (FROM_AIRFLOW / "image.py").name in load["namespaceFiles"]["include"]


def test_sensor(tmp_path, web):
    """The probe runs until what it asks for is there."""
    web.answers = [{"ready": False}, {"ready": False}, {"ready": True}]
    execution = Execution(FROM_AIRFLOW / "sensor.yaml", tmp_path, url=web.url)
    assert execution.messages["probe"].outputs == {"is_ready": True}
    assert web.answers == []


def test_export_value(tmp_path):
    """An exported value is read by the next step."""
    assert Execution(FROM_PIPEDREAM / "export_value.yaml", tmp_path).log == ["80.5"]


def test_read_step_data(tmp_path):
    """A script reads an earlier step's data and the inputs from the execution context."""
    execution = Execution(FROM_PIPEDREAM / "read_step_data.yaml", tmp_path, customer="Jane")
    assert said(execution.messages["invoice"]) == [("INFO", "Order 7 for Jane")]
    assert execution.messages["invoice"].outputs == {"gross": 96.6}


def test_read_step_data_without_a_server():
    """The command in the flow's comment finds the data in the file beside it."""
    text = (FROM_PIPEDREAM / "read_step_data.yaml").read_text()
    (command,) = re.findall(r"^#   (python -m kestra .*\\\n#     .*)", text, re.MULTILINE)
    words = command.replace("\\\n#", "").split()
    assert words[-1] == "examples/from_pipedream/read_step_data.py"
    process = subprocess.run(
        [sys.executable, *words[1:4], "--json", *words[4:]],
        cwd=EXAMPLES.parent,
        capture_output=True,
        timeout=180,
        check=True,
    )
    assert json.loads(process.stdout)["outputs"] == {"gross": 96.6}


@pytest.mark.parametrize(
    ("orders", "log"), [([], []), ([{"id": 7}, {"id": 8}], ["Working on 2 orders"])]
)
def test_end_early(orders, log, tmp_path, web):
    """Without orders the execution ends in SUCCESS, and the steps after that do not run."""
    web.answer = orders
    execution = Execution(FROM_PIPEDREAM / "end_early.yaml", tmp_path, url=web.url)
    assert said(execution.messages["fetch"]) == [("INFO", f"{len(orders) or 'No'} new orders")]
    assert execution.log == log
    assert execution.state == "SUCCESS"


REQUEST = json.loads((FROM_PIPEDREAM / "request.json").read_text())["trigger"]


def test_respond(tmp_path):
    """The script reads the request that started the execution; the outputs are the answer."""
    execution = Execution(FROM_PIPEDREAM / "respond.yaml", tmp_path, trigger=REQUEST)
    assert said(execution.messages["add_up"]) == [("INFO", "Asked by shop/1.0")]
    answer = {each["id"]: execution.render(each["value"]) for each in execution.flow["outputs"]}
    assert answer == {"total": "20.0", "currency": "CHF"}


def test_read_request_1_3(tmp_path):
    """An expression hands a part of the request to the script."""
    trigger = {"body": {"customer": 'Jane "J"'}}
    execution = Execution(FROM_PIPEDREAM / "read_request_1_3.yaml", tmp_path, trigger=trigger)
    assert execution.messages["read"].outputs == {"customer": 'Jane "J"'}


def test_api_key(tmp_path, web):
    """The secret of the server goes into the header of the request, and nowhere else."""
    web.answer = [{"id": 7}]
    execution = Execution(
        FROM_PIPEDREAM / "api_key.yaml", tmp_path, url=web.url, secrets={"SHOP_API_KEY": "s3cret"}
    )
    (request,) = web.requests
    assert request.headers["authorization"] == "Bearer s3cret"
    assert execution.messages["fetch"].outputs == {"orders": 1}
    assert "s3cret" not in str(execution.messages["fetch"])


@pytest.fixture
def task_context(tmp_path, monkeypatch):
    """The execution context of a task in company.team."""
    context = tmp_path / "context.json"
    context.write_text(json.dumps({"flow": {"namespace": "company.team", "tenantId": "main"}}))
    monkeypatch.setenv("KESTRA_EXECUTION_CONTEXT_FILE", str(context))


def test_order_counter(fake, task_context, kestra_messages):
    """Each run of order_counter.yaml counts on from the last one, and others read the number."""
    for number in (1, 2):
        runpy.run_path(str(FROM_PIPEDREAM / "order_counter.py"), run_name="__main__")
        assert kestra_messages.outputs == {"orders": number}
    assert Namespace("company.team").kv["orders"] == 2


def test_tmp_files(tmp_path):
    """Tasks in a WorkingDirectory share a file; a later one gets what was kept."""
    execution = Execution(FROM_PIPEDREAM / "tmp_files.yaml", tmp_path)
    assert execution.messages["read"].outputs == {"rows": 1}
    assert execution.messages["later"].outputs == {"first": "7,80.50"}


def test_send_file(tmp_path, web):
    """The file that was an input is uploaded as it is."""
    web.answer = {}
    execution = Execution(
        FROM_PIPEDREAM / "send_file.yaml", tmp_path, url=web.url, orders=IN_TASK / "orders.csv"
    )
    (upload,) = web.requests
    contents, filenames = upload.parts
    assert contents["orders"] == (IN_TASK / "orders.csv").read_bytes()
    assert filenames["orders"] == "orders.csv"
    assert execution.messages["send"].outputs == {"status": 200}


def test_retry_and_delay(tmp_path, web):
    """The task does what it is to do; how often, and when, is in the flow."""
    web.answer = [{"id": 7}, {"id": 8}]
    execution = Execution(FROM_PIPEDREAM / "retry_and_delay.yaml", tmp_path, url=web.url)
    assert execution.messages["fetch"].outputs == {"orders": 2}


def test_uv_packages(tmp_path, web):
    """The script says itself what it needs, by PEP 723, and runs with that."""
    web.answer = [{"id": 7}]
    execution = Execution(FROM_PIPEDREAM / "uv_packages.yaml", tmp_path, url=web.url)
    assert execution.messages["fetch"].outputs == {"orders": 1}
    header = re.match(
        r"# /// script\n((?:# .*\n)+)# ///\n", (FROM_PIPEDREAM / "uv_packages.py").read_text()
    )[1]
    assert '# dependencies = ["kestra", "requests"]\n' in header


# --- from outside ----------------------------------------------------------------------------


@pytest.fixture
def fake(environment):
    """A server with the flow that the scripts execute, as it declares its inputs."""
    flow = yaml.safe_load((CLIENT / "report.yaml").read_text())

    def report(inputs):
        Kestra.logger().info("Report of %s", inputs["day"])

    with FakeKestra(strict=True) as fake:
        inputs = {each["id"]: each for each in flow["inputs"]}
        fake.flow(flow["namespace"], flow["id"], report, inputs=inputs)
        yield fake


def executed(name, fake):
    """Run a script that executes the flow once, and return the execution."""
    runpy.run_path(str(CLIENT / name), run_name="__main__")
    (execution,) = fake.executions
    return execution


@pytest.fixture
def server(server, slept, environment, monkeypatch):
    """An engine on the loopback that the environment points to; sleeping takes no time."""
    monkeypatch.setenv("KESTRA_HOSTNAME", server.url)
    return server


def execute(name, server):
    """Run a script that executes the flow once, and return the request that did it."""
    runpy.run_path(str(CLIENT / name), run_name="__main__")
    (creation,) = [request for request in server.requests if request.method == "POST"]
    assert creation.path == "/api/v1/executions/company.team/report"
    contents, filenames = creation.parts
    declared = {
        each["id"]: each for each in yaml.safe_load((CLIENT / "report.yaml").read_text())["inputs"]
    }
    assert set(contents) <= set(declared)
    for id_, each in declared.items():
        assert id_ in contents or "defaults" in each or not each.get("required", True)
        assert (filenames.get(id_) is not None) == (each["type"] == "FILE" and id_ in contents)
    return creation


def test_with_inputs(fake, capsys):
    """Inputs arrive as what they are; the end is waited for, and the log is shown."""
    execution = executed("with_inputs.py", fake)
    assert execution.inputs["day"] == date(2026, 1, 31)
    assert execution.inputs["draft"] is True
    assert execution.inputs["regions"] == ["north", "south"]
    state, entry = capsys.readouterr().out.splitlines()
    assert state == "SUCCESS"
    assert entry.endswith("Report of 2026-01-31")


def test_with_file(fake, capsys, monkeypatch):
    """The file arrives under the id of the input, as it is."""
    monkeypatch.chdir(IN_TASK)
    orders = executed("with_file.py", fake).inputs["orders"]
    assert orders == (IN_TASK / "orders.csv").read_bytes()
    assert orders.name == "orders"
    assert capsys.readouterr().out == "SUCCESS\n"


def test_labels_from_inputs(fake, capsys):
    """Each input is a label too."""
    labels = executed("labels_from_inputs.py", fake).labels
    assert {"day": "2026-01-31", "draft": "false"}.items() <= labels.items()
    assert capsys.readouterr().out == "SUCCESS\n"


def test_fire_and_forget(server, capsys):
    """One request, and no poll after it."""
    execute("fire_and_forget.py", server)
    assert server.methods() == {"POST": 1}
    assert capsys.readouterr().out == "execution0 STARTED\n"


@pytest.mark.parametrize("example", ["execute_many.py", "async_fan_out.py"])
def test_many_executions(server, capsys, example):
    """Every day of the month is executed once; an error of one day is shown beside the others."""
    server.upset("POST", answer(422, b'{"message": "no data"}'))
    runpy.run_path(str(CLIENT / example), run_name="__main__")
    lines = sorted(capsys.readouterr().out.splitlines())
    days = [f"2026-01-{day:02}" for day in range(1, 32)]
    assert [line.partition(" ")[0] for line in lines] == days
    assert sum(line.endswith(" SUCCESS") for line in lines) == 30
    assert sum(line.endswith("no data") for line in lines) == 1
    sent = sorted(each.parts[0]["day"].decode() for each in server.requests if each.parts[0])
    assert sent == days


def test_fastapi_endpoint(monkeypatch):
    """A good day, one that fails, and one that takes too long."""
    pytest.importorskip("fastapi")
    httpx2 = pytest.importorskip("httpx2")

    def report(inputs):
        if inputs["day"] == "2026-02-01":
            raise ValueError("no data")
        return {"pages": 3}

    async def ask():
        app = runpy.run_path(str(CLIENT / "fastapi_endpoint.py"))["app"]
        transport = httpx2.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://app") as client,
        ):
            responses = [await client.post(f"/reports/2026-0{month}-01") for month in (1, 2)]
            fake.state(("RUNNING", 600))
            responses.append(await client.post("/reports/2026-03-01"))
        return [(each.status_code, each.json()) for each in responses]

    with FakeKestra() as fake:
        fake.flow("company.team", "report", report)
        good, bad, late = asyncio.run(ask())
    assert good == (200, {"pages": 3})
    assert bad[0] == 502
    assert "no data" in bad[1]["detail"]
    assert late == (504, {"detail": "still running: execution3"})


def test_user_and_password(server, monkeypatch, capsys):
    """User and password of the object are what every request bears."""
    monkeypatch.setattr("getpass.getpass", lambda _: "s3cret")
    execute("user_and_password.py", server)
    pair = b64encode(b"jane@example.com:s3cret").decode()
    assert {request.headers["authorization"] for request in server.requests} == {f"Basic {pair}"}
    assert capsys.readouterr().out == "SUCCESS\n"


def test_follow(server, capsys):
    """States and entries are shown while the execution runs."""
    states = ("CREATED", "RUNNING", "SUCCESS")
    histories = [{"state": state} for state in states]
    shown = [{"state": {"current": s, "histories": histories[:n]}} for n, s in enumerate(states, 1)]
    line = {"level": "INFO", "message": "Report of 2026-01-31", "taskId": "report"}
    server.engine.entries = [line]
    server.engine.states = ["CREATED"]
    server.upset("GET /api/v1/executions/execution0/follow", stream(*map(event, shown)))
    server.upset("GET /api/v1/logs/execution0/follow", stream(event(line), then=hang))
    execute("follow.py", server)
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "--- CREATED ---",
        "--- RUNNING ---",
        "--- SUCCESS ---",
        "INFO  report: Report of 2026-01-31",
    ]


def test_the_flow_that_is_executed(tmp_path):
    """The flow of these scripts writes the report of a day, and has its pages as an output."""
    execution = Execution(CLIENT / "report.yaml", tmp_path, day="2026-01-31")
    assert said(execution.messages["render"]) == [("WARN", "there is no logo")]
    assert [each.name for each in execution.messages["render"].metrics] == ["render"]
    pages, report = (execution.render(each["value"]) for each in execution.flow["outputs"])
    assert pages == "3"
    assert Path(report).read_text() == "Report of 2026-01-31\n"


# --- a namespace -----------------------------------------------------------------------------


def in_namespace(name, monkeypatch, *arguments):
    """Run an example of the namespace."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(NAMESPACE / name), run_name="__main__")


def test_data_store(fake, monkeypatch, tmp_path, kestra_messages):
    """Each run goes on where the last one ended."""
    context = tmp_path / "context.json"
    context.write_text(json.dumps({"flow": {"namespace": "company.team", "tenantId": "main"}}))
    monkeypatch.setenv("KESTRA_EXECUTION_CONTEXT_FILE", str(context))
    ns = Namespace("company.team")
    ns.files.write("rates.csv", "EUR,1\nUSD,2\n")
    in_namespace("data_store.py", monkeypatch)
    in_namespace("data_store.py", monkeypatch)
    assert kestra_messages.outputs == {"day": "2026-01-02", "rates": 2}
    assert ns.kv["next_day"] == date(2026, 1, 3)
    assert ns.files.read("reports/2026-01-01.txt") == b"2 rates\n"


def test_deploy_from_ci(fake, monkeypatch, capsys):
    """Flows are validated, shown, deployed, executed, and gone in the end."""
    in_namespace("deploy_from_ci.py", monkeypatch, CLIENT)
    printed = capsys.readouterr().out
    assert "created report\n" in printed
    assert "+namespace: company.team.ci" in printed
    assert printed.endswith("SUCCESS\n")
    assert Namespace("company.team.ci").flows.list() == []
    assert fake.executions[-1].namespace == "company.team.ci"


def test_nightly_sync(fake, monkeypatch, capsys, tmp_path):
    """What has changed is sent, and shown."""
    (tmp_path / "a.py").write_text("a")
    in_namespace("nightly_sync.py", monkeypatch, tmp_path)
    in_namespace("nightly_sync.py", monkeypatch, tmp_path)
    assert capsys.readouterr().out == "created a.py\n1 changes\n0 changes\n"
    ns = Namespace("company.team")
    assert ns.files.read("etl/a.py") == b"a"
    assert ns.kv["last_sync"].microsecond == 0


def test_webhook_round_trip(fake, monkeypatch, capsys):
    """The outputs come back, and what has failed is listed."""
    monkeypatch.setenv("ORDERS_KEY", "k3y")
    fake.state("FAILED")
    fake.flow("company.team", "orders", lambda inputs: {"n": 1}, webhook="k3y")
    failed = Namespace("company.team").webhook("orders", "k3y").execution_id
    in_namespace("webhook_round_trip.py", monkeypatch)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "SUCCESS {'n': 1}"
    assert second.startswith(failed)
