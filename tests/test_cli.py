"""The commands that talk to a server, as a shell meets them: pipes, signals, exit statuses."""

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests
from commands import COMMAND, DEADLINE, POSIX_ONLY, environment, interrupt, kestra, started
from loopback import Engine, answer, carried_out, close, event, hang, stream

from kestra import Namespace
from kestra.__main__ import main
from kestra._cli import exits

TASKS = [
    {
        "id": "r1",
        "taskId": "load",
        "outputs": {"vars": {"rows": 3}},
        "state": {"current": "SUCCESS"},
    },
    {"id": "r2", "taskId": "send", "outputs": {}, "state": {"current": "RUNNING"}},
]
ENTRIES = [
    {
        "timestamp": "2026-01-31T08:00:00.123Z",
        "level": level,
        "message": f"a message of {level}",
        "taskId": "load",
        "taskRunId": "r1",
    }
    for level in ("DEBUG", "INFO", "WARN", "ERROR")
]
LINES = [
    f"2026-01-31T08:00:00.123Z {level:<5} load: a message of {level}"
    for level in ("DEBUG", "INFO", "WARN", "ERROR")
]
EXECUTE = ["execute", "company.team", "report"]


@pytest.fixture
def engine(server):
    """An engine on which a flow has two tasks, an output, and a log."""
    server.engine.shown = {"outputs": {"rows": 3, "name": "\u00e9"}, "taskRunList": TASKS}
    server.engine.entries = ENTRIES
    return server.engine


@pytest.fixture
def run(server, engine):
    """Run a command against the server."""
    return lambda *arguments, **variables: kestra(*arguments, env=environment(server, **variables))


@pytest.fixture
def running(flow, engine):
    """The id of an execution that has been started."""
    flow.wait_for_completion = False
    return flow.execute("company.team", "report").execution_id


@pytest.fixture
def here(server, slept, environment, monkeypatch):
    """The command in this process, where no pause takes any time."""
    monkeypatch.setenv("KESTRA_HOSTNAME", server.url)
    return lambda *arguments: main(arguments)


# --- execute ---


def test_execute_shows_progress_on_stderr_and_outputs_on_stdout(run, server, engine):
    """Without a terminal each state is a line."""
    engine.states = ["CREATED", "RUNNING", "SUCCESS"]
    done = run(*EXECUTE)
    assert done.returncode == 0
    assert done.stdout == 'rows  3\nname  "\u00e9"\n'
    address = f"{server.url}/ui/main/executions/company.team/report/execution0"
    assert done.stderr.splitlines() == [
        f"Execution execution0 of company.team.report: {address}",
        "CREATED",
        "RUNNING",
        "SUCCESS, 1 of 2 tasks done",
    ]


def test_execute_sends_inputs_labels_and_files(run, server, tmp_path):
    """Text as it is, a file by its path, and an @ by two."""
    path = tmp_path / "orders.csv"
    path.write_bytes(b"\x00\xff")
    inputs = ["-i", "day=2026-01-31", "-i", "text=@@x=y", "-i", f"orders=@{path}"]
    labels = ["-l", "team:sales", "-l", "url:http://x"]
    assert run(*EXECUTE, *inputs, *labels, "--revision", "2").returncode == 0
    contents, names = server.requests[0].parts
    assert contents == {"day": b"2026-01-31", "text": b"@x=y", "orders": b"\x00\xff"}
    assert names == {"day": None, "text": None, "orders": "orders"}
    assert {"team:sales", "url:http://x"} <= set(server.requests[0].query["labels"])
    assert server.requests[0].query["revision"] == ["2"]


def test_execute_as_json_is_one_object(run, engine):
    """And progress stays on stderr."""
    done = run(*EXECUTE, "--json", "--follow")
    shown = json.loads(done.stdout)
    assert (shown["execution_id"], shown["status"]) == ("execution0", "SUCCESS")
    assert shown["outputs"] == {"rows": 3, "name": "\u00e9"}
    assert [run["task"] for run in shown["task_runs"]] == ["load", "send"]
    assert "SUCCESS" in done.stderr


def test_execute_follows_the_log(run, engine):
    """It is progress: stdout is for what the flow has produced."""
    engine.states = ["RUNNING", "SUCCESS"]
    done = run(*EXECUTE, "--follow", "--min-level", "WARN")
    assert [line for line in done.stderr.splitlines() if "load: " in line] == LINES[2:]
    assert done.stdout.startswith("rows")


def test_execute_shows_the_log_while_it_is_written(server, engine):
    """By the streams of a server that has them."""
    seen = threading.Event()
    running, ended = (
        {"id": "execution0", "state": {"current": state}, "taskRunList": []}
        for state in ("RUNNING", "SUCCESS")
    )
    wait = lambda _: seen.wait(DEADLINE)  # noqa: E731
    states = stream(event(running), wait, event(ended, "end"))
    server.upset("GET /api/v1/executions/execution0/follow", states)
    log = stream(event({}, "start"), event(ENTRIES[0]), wait, event(ENTRIES[1]), then=hang)
    server.upset("GET /api/v1/logs/execution0/follow", log)
    engine.states = ["RUNNING"]
    engine.entries = []
    with started(*EXECUTE, "--follow", env=environment(server)) as process:
        while process.stderr.readline() != LINES[0] + "\n":
            assert process.poll() is None
        engine.entries = ENTRIES[:2]
        seen.set()
        rest = process.stderr.read()
        assert process.wait(DEADLINE) == 0
    assert LINES[1] in rest
    assert "SUCCESS" in rest


@pytest.mark.parametrize(
    ("state", "status"), [("WARNING", 0), ("FAILED", 1), ("KILLED", 1), ("SKIPPED", 1)]
)
def test_execute_exits_with_what_became_of_it(state, status, here, engine, capsys):
    """What failed is said."""
    engine.states = [state]
    failed = {**TASKS[0], "state": {"current": state}}
    engine.shown = {"taskRunList": [failed]}
    assert here(*EXECUTE) == status
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert ("a message of ERROR" in stderr) == (state in {"FAILED", "KILLED"})
    assert stderr.count(f"{state}, 1 of 1 task done") == 1
    assert "ended:" not in stderr


def test_execute_without_waiting_shows_the_id(run, server):
    """As a shell wants it: `id=$(…)`."""
    done = run(*EXECUTE, "--no-wait")
    assert (done.returncode, done.stdout) == (0, "execution0\n")
    assert len(server.requests) == 1
    shown = json.loads(run(*EXECUTE, "--no-wait", "--json").stdout)
    assert (shown["execution_id"], shown["status"]) == ("execution1", "STARTED")


def test_outputs_that_a_server_shows_elsewhere(here, engine, server, capsys):
    """From 2.0 on they cost another request."""
    server.engine = Engine("2.0")
    server.engine.shown = {"taskRunList": TASKS}
    found = answer(200, b'{"rows": 5}', Content_Type="application/json")
    server.upset("GET /api/v1/outputs/", found)
    assert here(*EXECUTE) == 0
    assert capsys.readouterr().out == "rows  5\n"


def test_outputs_that_cannot_be_had_do_not_cost_the_result(here, engine, server, capsys):
    """A line says so."""
    server.engine = Engine("2.0")
    server.engine.shown = {"taskRunList": TASKS}
    server.upset("GET /api/v1/outputs/", answer(403))
    assert here(*EXECUTE, "--json") == 0
    stdout, stderr = capsys.readouterr()
    assert json.loads(stdout)["outputs"] is None
    assert "The outputs of execution execution0 could not be fetched" in stderr


def test_a_timeout_is_exit_status_4(run, engine):
    """The last state is reported, and as JSON it is an object too."""
    engine.states = ["RUNNING"]
    done = run(*EXECUTE, "--timeout", "0", "--json")
    assert done.returncode == 4
    shown = json.loads(done.stdout)
    assert (shown["execution_id"], shown["status"]) == ("execution0", "RUNNING")
    assert shown["url"].endswith("/execution0")
    *_, error = done.stderr.splitlines()
    assert error == f"error: {shown['error']}"
    assert "execution0 has not ended after 0 s" in error
    assert engine.killed == []


def test_a_timeout_may_kill(here, engine, capsys):
    """Where that is asked for."""
    engine.states = ["RUNNING"]
    assert here(*EXECUTE, "--timeout", "0", "--kill-on-timeout") == 4
    assert engine.killed == ["execution0"]
    assert "it is being killed" in capsys.readouterr().err


# --- what goes wrong ---


@pytest.mark.parametrize(
    ("status", "message"), [(401, ""), (404, "Flow not found"), (422, "Missing required input:s")]
)
def test_a_refusal_is_exit_status_3(status, message, run, server):
    """In the words of the server, and without a traceback."""
    body = json.dumps({"message": message}).encode() if message else b""
    refusal = answer(status, body, Content_Type="application/json")
    server.upset("POST", refusal, refusal)
    done = run(*EXECUTE, "--json", "-i", "s=a secret value")
    assert (done.returncode, done.stdout) == (3, "")
    (error,) = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert "a secret value" not in error


def test_a_server_that_cannot_be_reached_is_exit_status_3(slept, environment, capsys):
    """What is tried again is said while it is."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert main(["status", "id1", "--hostname", f"http://127.0.0.1:{port}"]) == 3
    stdout, stderr = capsys.readouterr()
    *notes, error = stderr.splitlines()
    assert stdout == ""
    assert len(notes) == len(slept) > 0
    assert error.startswith("error: ")


def test_redirects_in_a_circle_are_exit_status_3(here, server, capsys):
    """They are the server's doing; the error says what to check."""
    server.upset("GET", *[answer(302, Location="/login")] * 10)
    assert here("status", "id1") == 3
    assert "redirected to /login" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (requests.exceptions.ContentDecodingError("gzip"), 3),
        (requests.exceptions.InvalidProxyURL("no URL"), 2),
        (FileNotFoundError(2, "No such file or directory", "orders.csv"), 2),
    ],
)
def test_errors_of_others_are_told_apart(error, status):
    """What is about an argument is 2, what comes of the network is 3."""
    assert exits.after(error) == status


def test_a_connection_that_is_lost_leaves_the_id(here, server, engine, capsys):
    """The execution goes on; the JSON object says which one, and what is wrong."""
    server.upset("GET", *[close] * 5)
    assert here(*EXECUTE, "--json") == 3
    stdout, stderr = capsys.readouterr()
    shown = json.loads(stdout)
    assert (shown["execution_id"], shown["status"]) == ("execution0", None)
    assert f"error: {shown['error']}" in stderr


def test_credentials_come_from_the_environment(run, server):
    """The same as for `Flow`."""
    run("status", "x", KESTRA_API_TOKEN="a-token", KESTRA_TENANT="a tenant")
    request = server.requests[0]
    assert request.headers["authorization"] == "Bearer a-token"
    assert request.path == "/api/v1/a%20tenant/executions/x"


def test_half_a_pair_of_credentials_is_an_argument(run):
    """Exit status 2, and the variable that is missing."""
    done = run("status", "x", KESTRA_USER="me")
    assert done.returncode == 2
    assert "KESTRA_PASSWORD" in done.stderr


def test_options_go_before_the_environment(here, server, capsys):
    """Server and tenant."""
    here("status", "x", "--tenant", "t")
    assert server.requests[0].path == "/api/v1/t/executions/x"


# --- status, logs, outputs, kill ---


def test_status_is_a_report(run, running, server):
    """Exit status 0 for one that is running."""
    server.engine.states = ["RUNNING"]
    done = run("status", running)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"execution0: RUNNING, 1 of 2 tasks done\n{server.url}/ui/")
    assert "  load  SUCCESS\n" in done.stdout


def test_status_of_one_that_failed(here, running, engine, capsys):
    """Exit status 1."""
    engine.states = ["FAILED"]
    assert here("status", running, "--json") == 1
    assert json.loads(capsys.readouterr().out)["status"] == "FAILED"


def test_logs(run, running):
    """They are what was asked for: on stdout."""
    done = run("logs", running, "--min-level", "INFO")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == LINES[1:]


def test_logs_as_json_are_one_object_a_line(run, running):
    """For `jq` and the like."""
    shown = [json.loads(line) for line in run("logs", running, "--json").stdout.splitlines()]
    assert [entry["level"] for entry in shown] == ["DEBUG", "INFO", "WARN", "ERROR"]


def test_logs_of_an_unknown_execution(run, engine):
    """A server shows an empty log; the command does not."""
    engine.entries = []
    assert run("logs", "nope").returncode == 3


def test_logs_that_are_empty(here, running, engine, capsys):
    """No line, and no error."""
    engine.entries = []
    assert here("logs", running) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("state", "status"), [("SUCCESS", 0), ("FAILED", 1)])
def test_logs_that_are_followed_end_with_the_execution(state, status, run, running, engine):
    """The exit status is what became of it."""
    engine.states = ["RUNNING", "RUNNING", state]
    done = run("logs", "-f", running, "--min-level", "WARN")
    assert done.returncode == status
    assert done.stdout.splitlines() == LINES[2:]
    assert f"{state}, 1 of 2 tasks done" in done.stderr.splitlines()


def test_logs_that_are_followed_as_json(run, running, engine):
    """One object a line, as they come."""
    engine.states = ["RUNNING", "RUNNING", "SUCCESS"]
    done = run("logs", "-f", running, "--json")
    assert [json.loads(line)["message"] for line in done.stdout.splitlines()] == [
        entry["message"] for entry in ENTRIES
    ]


def test_logs_that_are_followed_for_too_long(run, running, engine):
    """Exit status 4."""
    engine.states = ["RUNNING"]
    done = run("logs", "-f", running, "--timeout", "0")
    assert done.returncode == 4
    assert "has not ended after 0 s" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "stdout"),
    [
        ([], 'rows  3\nname  "\u00e9"\n'),
        (["--json"], '{"rows": 3, "name": "\\u00e9"}\n'),
        (["--task", "load"], 'vars  {"rows": 3}\n'),
        (["--task", "load", "--json"], '{"vars": {"rows": 3}}\n'),
        (["--task", "send", "--json"], "{}\n"),
        (["--task", "send"], ""),
    ],
)
def test_outputs(arguments, stdout, here, running, capsys):
    """Of the flow, or of a task."""
    assert here("outputs", running, *arguments) == 0
    shown = capsys.readouterr()
    assert shown.out == stdout
    assert ("There are no outputs." in shown.err) == (not stdout)


def test_outputs_of_a_task_that_has_not_run(run, running):
    """Exit status 3, and those that have."""
    done = run("outputs", running, "--task", "nope")
    assert done.returncode == 3
    assert "those that have: load, send" in done.stderr


def test_kill(run, running, engine):
    """It is a request, and said to be one."""
    done = run("kill", running)
    assert (done.returncode, done.stdout) == (0, "")
    assert "is being killed" in done.stderr
    assert engine.killed == [running]


# --- pipes and signals ---


def test_what_nobody_reads_is_no_traceback(running, server, engine):
    """As after `| head -1`: the rest of the log is not shown."""
    engine.entries = ENTRIES * 5_000
    with started("logs", running, env=environment(server)) as process:
        assert process.stdout.readline() == LINES[0] + "\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(DEADLINE) == 0


def test_following_ends_when_nobody_reads(running, server, engine):
    """Although the execution goes on."""
    engine.states = ["RUNNING"]
    with started("logs", "-f", running, env=environment(server)) as process:
        assert process.stdout.readline() == LINES[0] + "\n"
        process.stdout.close()
        engine.entries = [*ENTRIES, {**ENTRIES[0], "message": "one more"}]
        assert process.wait(DEADLINE) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_result_that_nobody_reads_keeps_its_exit_status(server, engine):
    """The outputs go nowhere, and the state counts."""
    engine.states = ["RUNNING"]
    with started(*EXECUTE, env=environment(server)) as process:
        process.stdout.close()
        engine.states = ["SUCCESS"]
        assert process.wait(DEADLINE) == 0
        assert "Traceback" not in process.stderr.read()


@POSIX_ONLY
def test_ctrl_c_without_a_terminal_leaves_the_execution_running(server, engine):
    """It says which one, and where; exit status 130."""
    engine.states = ["RUNNING"]
    with started(*EXECUTE, env=environment(server)) as process:
        while process.stderr.readline() != "RUNNING\n":
            assert process.poll() is None
        interrupt(process)
        last = process.stderr.read().splitlines()[-1]
        assert process.wait(DEADLINE) == 130
    address = f"{server.url}/ui/main/executions/company.team/report/execution0"
    assert last == f"Execution execution0 keeps running: {address}"
    assert engine.killed == []


@POSIX_ONLY
def test_ctrl_c_ends_following(running, server, engine):
    """Exit status 130, and no traceback."""
    engine.states = ["RUNNING"]
    with started("logs", "-f", running, env=environment(server)) as process:
        assert process.stdout.readline() == LINES[0] + "\n"
        interrupt(process)
        stderr = process.stderr.read()
        assert process.wait(DEADLINE) == 130
    assert "execution0 keeps running: http" in stderr
    assert "Traceback" not in stderr


def test_ctrl_c_during_the_creation(here, server, monkeypatch, capsys):
    """Nobody knows yet whether it exists."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("kestra.Flow._make_request", interrupted)
    assert here(*EXECUTE) == 130
    assert "may have been created" in capsys.readouterr().err


def test_ctrl_c_while_a_creation_is_repeated(here, server, monkeypatch, capsys):
    """By the label it can be found."""

    def interrupted(*_):
        raise KeyboardInterrupt

    server.upset("POST", carried_out(close))
    monkeypatch.setattr("time.sleep", interrupted)
    assert here(*EXECUTE) == 130
    assert "system.correlationId:" in capsys.readouterr().err


def test_a_closed_stderr(server, engine):
    """Progress is not shown, and what counts is on stdout."""
    code = "import os, sys; os.close(2); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", code, sys.executable, "-m", "kestra"]
    done = kestra(*EXECUTE, command=command, env=environment(server))
    assert (done.returncode, done.stdout) == (0, 'rows  3\nname  "\u00e9"\n')


# --- what it costs ---


def test_a_local_run_imports_no_client(tmp_path):
    """Neither does the help: a script that is run locally needs none."""
    path = tmp_path / "script.py"
    path.touch()
    code = """
import sys
from kestra.__main__ import main
main(["run", sys.argv[1]])
assert not {"requests", "urllib3", "rich", "logging"} & set(sys.modules), sys.modules
"""
    command = [sys.executable, "-c", code, str(path)]
    subprocess.run(command, cwd=tmp_path, env=environment(), check=True, timeout=DEADLINE)


def test_plain_lines_need_no_rich(server):
    """It is an extra, and imported for a terminal only."""
    code = """
import sys
from kestra.__main__ import main
assert main(["execute", "a", "b"]) == 0
assert "rich" not in sys.modules
"""
    command = [sys.executable, "-c", code]
    assert kestra(command=command, env=environment(server)).returncode == 0


# --- a full disk ---

FULL = Path("/dev/full")
NEEDS_FULL = pytest.mark.skipif(
    sys.platform == "win32" or not FULL.exists(), reason=f"needs {FULL}"
)


@pytest.fixture
def onto_full(server, engine):
    """Run a command with one of its streams on a full disk; return its status, and the other."""

    def run(stream, *arguments):
        with FULL.open("w") as full:
            streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {stream: full}
            done = subprocess.run(
                [*COMMAND, *arguments],
                env=environment(server),
                stdin=subprocess.DEVNULL,
                text=True,
                timeout=DEADLINE,
                check=False,
                **streams,
            )
        return done.returncode, done.stdout or done.stderr

    return run


@NEEDS_FULL
def test_a_full_disk_for_messages_does_not_end_a_watch(onto_full, engine):
    """What is lost on standard error is progress; the end and the outputs count."""
    engine.states = ["CREATED", "RUNNING", "SUCCESS"]
    status, shown = onto_full("stderr", *EXECUTE, "--follow", "--json")
    assert (status, json.loads(shown)["status"]) == (0, "SUCCESS")
    engine.states = ["FAILED"]
    assert onto_full("stderr", *EXECUTE)[0] == 1


@NEEDS_FULL
@pytest.mark.parametrize(
    "arguments", [[*EXECUTE, "--json"], EXECUTE, [*EXECUTE, "--no-wait"], ["logs", "execution0"]]
)
def test_a_full_disk_for_results_has_a_status_of_its_own(onto_full, running, arguments):
    """It is done, which is not to be done again; the error says why nothing is shown."""
    status, shown = onto_full("stdout", *arguments)
    assert status == exits.UNWRITTEN
    assert shown.endswith("error: standard output: No space left on device\n")


@NEEDS_FULL
def test_a_full_disk_for_a_file_of_a_namespace_has_the_same_status(onto_full, server):
    with Namespace("company.team", hostname=server.url) as ns:
        ns.files.write("a", b"x" * 100_000)
    assert onto_full("stdout", "files", "get", "company.team", "a") == (
        exits.UNWRITTEN, "error: standard output: No space left on device\n")  # fmt: skip


@NEEDS_FULL
def test_a_full_disk_does_not_hide_a_timeout(onto_full, engine):
    """That it has not ended matters more."""
    engine.states = ["RUNNING"]
    assert onto_full("stdout", *EXECUTE, "--json", "--timeout", "0")[0] == exits.TIMED_OUT
