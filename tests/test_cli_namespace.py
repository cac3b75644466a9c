"""The commands for what lives in a namespace, against `FakeKestra`."""

import io
import json
import sys
from datetime import date, datetime, timedelta, timezone

import pytest

from kestra import Flow, Namespace
from kestra.__main__ import main
from kestra.testing import FakeKestra

REPORT = "id: report\nnamespace: company.team\ntasks:\n  - {id: render, type: x.Script}\n"


@pytest.fixture
def fake():
    with FakeKestra() as fake:
        yield fake


@pytest.fixture
def ns(fake):
    return Namespace("company.team")


@pytest.fixture
def run(fake, capfdbinary):
    """Run a command, and return its exit status, standard output and standard error."""

    def run(*arguments):
        status = main([str(each) for each in arguments])
        printed = capfdbinary.readouterr()
        return status, printed.out.decode(), printed.err.decode()

    return run


@pytest.mark.parametrize(
    ("value", "options", "stored", "shown"),
    [
        ("7", [], 7, "7"),
        ("some text", [], "some text", '"some text"'),
        ("7", ["--type", "text"], "7", '"7"'),
        ("ü ☃ \u009b\u200b", [], "ü ☃ \u009b\u200b", r'"ü ☃ \u009b\u200b"'),
        ('{"rows": 1}', ["--type", "json"], {"rows": 1}, '{"rows": 1}'),
        ("2026-01-31", ["--type", "date"], date(2026, 1, 31), '"2026-01-31"'),
        ("PT90S", ["--type", "duration"], timedelta(seconds=90), '"PT1M30S"'),
        ("90", ["--type", "duration"], timedelta(seconds=90), '"PT1M30S"'),
        (
            "2026-01-31T08:00:00Z",
            ["--type", "datetime"],
            datetime(2026, 1, 31, 8, tzinfo=timezone.utc),
            '"2026-01-31T08:00:00Z"',
        ),
    ],
)
def test_a_value_is_set_and_shown(run, ns, value, options, stored, shown):  # noqa: PLR0913, PLR0917  # the cases
    status, out, err = run("kv", "set", "company.team", "x", value, *options, "--dry-run")
    assert (status, out) == (0, "")
    kinds = {str: "text", timedelta: "duration", date: "date", datetime: "datetime"}
    assert err == f"x would be put as {kinds.get(type(stored), 'JSON')}.\n"
    assert "x" not in ns.kv
    assert run("kv", "set", "company.team", "x", value, *options)[0] == 0
    assert ns.kv["x"] == stored
    assert run("kv", "get", "company.team", "x") == (0, f"{shown}\n", "")


def test_keys_are_listed_and_deleted(run, ns):
    run("kv", "set", "company.team", "a", "1", "--ttl", "60", "--description", "mine")
    ns.kv["b"] = [1]
    status, out, _ = run("kv", "list", "company.team")
    lines = out.splitlines()
    assert status == 0
    assert lines[0].split() == ["KEY", "REVISION", "UPDATED", "EXPIRES", "DESCRIPTION"]
    assert lines[1].startswith("a    1")
    assert lines[1].endswith("mine")
    listed = [
        json.loads(line) for line in run("kv", "list", "company.team", "--json")[1].splitlines()
    ]
    assert [each["key"] for each in listed] == ["a", "b"]
    shown = json.loads(run("kv", "get", "company.team", "b", "--json")[1])
    assert (shown["value"], shown["type"], shown["expires"]) == ([1], "JSON", None)
    assert "would be deleted" in run("kv", "delete", "company.team", "a", "--dry-run")[2]
    assert run("kv", "delete", "company.team", "a", "b")[0] == 0
    assert list(ns.kv) == []
    for command in ("get", "delete"):
        status, out, err = run("kv", command, "company.team", "a")
        assert (status, out) == (3, "")
        assert "there is no key 'a' in the namespace company.team" in err
    assert run("kv", "delete", "company.team", "a", "--dry-run")[0] == 3
    assert run("kv", "list", "company.team") == (0, "", "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["{", "--type", "json"], "VALUE is not valid JSON"),
        (["7", "--type", "datetime"], "VALUE must be a date and time"),
        (["PT5S"], "VALUE is a text that the store takes for a duration: use --type duration"),
        (["null"], "must not be None"),
    ],
)
def test_a_value_that_cannot_be_put(run, options, said):
    status, _, err = run("kv", "set", "company.team", "x", *options)
    assert status == 2
    assert said in err


def test_files_are_sent_listed_and_fetched(run, ns, tmp_path):
    local = tmp_path / "a.txt"
    local.write_bytes(b"\xff\n")
    assert (
        "would be created: 2 bytes"
        in run("files", "put", "company.team", local, "etl/a.txt", "--dry-run")[2]
    )
    assert run("files", "put", "company.team", local, "etl/a.txt")[0] == 0
    assert ns.files.read("etl/a.txt") == b"\xff\n"
    assert "updated" in run("files", "put", "company.team", local, "etl/a.txt", "--dry-run")[2]
    assert run("files", "ls", "company.team", "-r")[1] == "etl/a.txt\n"
    assert run("files", "ls", "company.team")[1].splitlines()[1].startswith("etl/")
    assert json.loads(run("files", "ls", "company.team", "etl", "--json")[1])["size"] == 2
    assert run("files", "get", "company.team", "etl/a.txt", tmp_path / "b")[0] == 0
    assert (tmp_path / "b").read_bytes() == b"\xff\n"
    status, _, err = run("files", "get", "company.team", "missing")
    assert status == 3
    assert "was not found" in err
    assert run("files", "put", "company.team", tmp_path / "missing", "x")[0] == 2


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_a_dry_run_refuses_what_the_run_would(run, ns, tmp_path, options):
    """A file over a folder, and a folder as a file."""
    (tmp_path / "a").write_text("x")
    ns.files.write("etl/a", "1")
    status, _, err = run("files", "put", "company.team", tmp_path / "a", "etl", *options)
    assert (status, err) == (
        2, "error: path must not be that of a folder of the namespace: 'etl'\n")  # fmt: skip
    assert run("files", "put", "company.team", tmp_path, "etl/b", *options)[0] == 2
    assert [str(each) for each in ns.files.list(recursive=True)] == ["etl/a"]


def test_a_file_goes_to_standard_output_as_it_is(fake, ns, monkeypatch):
    ns.files.write("a", b"\xff\r\n")
    stream = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["files", "get", "company.team", "a"]) == 0
    assert stream.buffer.getvalue() == b"\xff\r\n"


def test_folders_are_synchronized(run, ns, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("a")
    command = ("files", "sync", "company.team", tmp_path / "src", "--to", "etl")
    status, out, err = run(*command, "--dry-run")
    assert (status, out) == (0, "created   a.py\n")
    assert err == "1 created, 0 updated, 0 deleted (dry run: nothing is changed).\n"
    assert run(*command) == (0, "created   a.py\n", "1 created, 0 updated, 0 deleted.\n")
    assert run(*command) == (0, "", "0 created, 0 updated, 0 deleted.\n")
    ns.files.write("etl/b.py", "b")
    status, out, _ = run(*command, "--down", "--json")
    assert json.loads(out)["name"] == "b.py"
    assert (tmp_path / "src" / "b.py").read_text() == "b"
    (tmp_path / "src" / "b.py").unlink()
    assert run(*command, "--delete")[1] == "deleted   b.py\n"


def test_flows_are_validated_deployed_and_shown(run, ns, tmp_path):
    path = tmp_path / "report.yml"
    path.write_bytes(REPORT.encode())
    assert run("flows", "validate", path) == (0, "", "0 violations, 0 warnings.\n")
    status, out, err = run("flows", "deploy", "company.team", tmp_path, "--dry-run")
    assert status == 0
    assert out.splitlines()[0] == "created   report"
    assert "+id: report" in out
    assert err == "1 created, 0 updated, 0 deleted (dry run: nothing is changed).\n"
    status, out, err = run("flows", "deploy", "company.team", tmp_path)
    assert out.splitlines()[0] == "created   report (revision 1)"
    assert run("flows", "deploy", "company.team", tmp_path) == (
        0, "unchanged report\n", "0 created, 0 updated, 0 deleted, 1 unchanged.\n")  # fmt: skip
    out = run("flows", "deploy", "company.team", tmp_path, "--json")[1]
    assert json.loads(out)["action"] == "unchanged"
    assert run("flows", "get", "company.team", "report")[1] == REPORT
    assert json.loads(run("flows", "get", "company.team", "report", "--json")[1])["revision"] == 1
    assert run("flows", "list", "company.team")[1].splitlines()[1].startswith("report  1")
    assert json.loads(run("flows", "list", "company.team", "--json")[1])["id"] == "report"
    ns.flows.disable("report")
    assert "disabled" in run("flows", "list", "company.team")[1]


def test_violations_are_an_exit_status(run, tmp_path):
    path = tmp_path / "bad.yml"
    path.write_text(REPORT.partition("tasks")[0])
    status, out, err = run("flows", "validate", path)
    assert (status, out) == (1, f"{path}: report: tasks: must not be empty\n")
    assert err == "1 violation, 0 warnings.\n"
    status, out, _ = run("flows", "validate", path, "--json")
    assert (status, json.loads(out)["flow"]) == (1, "report")
    status, _, err = run("flows", "deploy", "company.team", path)
    assert status == 3
    assert "done before: nothing" in err
    assert run("flows", "deploy", "company.other", path)[0] == 2


def test_a_diff_is_coloured_on_a_terminal(run, tmp_path, monkeypatch):
    (tmp_path / "report.yml").write_bytes(REPORT.encode())
    monkeypatch.setattr("kestra._cli.namespace_commands.is_live", lambda _: True)
    out = run("flows", "deploy", "company.team", tmp_path, "--dry-run")[1]
    assert "\x1b[32m+id: report\x1b[0m" in out
    assert "\x1b[36m@@ " in out


def test_without_an_extra_the_error_says_what_to_install(run, tmp_path, monkeypatch):
    (tmp_path / "report.yml").write_bytes(REPORT.encode())
    monkeypatch.setitem(sys.modules, "yaml", None)
    status, _, err = run("flows", "validate", tmp_path)
    assert status == 2
    assert "pip install 'kestra[namespace]'" in err


def test_executions_are_listed(run, fake):
    fake.flow("company.team", "report")
    with Flow(wait_for_completion=False) as flow:
        first = flow.execute("company.team", "report", labels={"team": "sales"}).execution_id
        fake.sleep(7200)
        second = flow.execute("company.team", "report").execution_id
    fake.sleep(10)
    status, out, _ = run("executions", "company.team", "--flow", "report")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == ["ID", second, first]
    assert "SUCCESS" in out

    def ids(*options):
        lines = run("executions", "company.team", "--json", *options)[1].splitlines()
        return [json.loads(line)["id"] for line in lines]

    assert ids() == [second, first]
    assert ids("--limit", "1") == [second]
    assert ids("-l", "team:sales") == [first]
    assert ids("--since", "1h") == [second]
    assert ids("--until", "90m", "--state", "SUCCESS", "--state", "FAILED") == [first]
    assert ids("--since", "2026-01-31T08:00:00Z") in ([second, first], [])
    assert run("executions", "company.team", "--state", "NOPE")[0] == 2
    for options in (["--since", "yesterday"], ["--since", f"{10**12}d"], ["--limit", "0"]):
        with pytest.raises(SystemExit):
            run("executions", "company.team", *options)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x", "--type", "date"], "VALUE must be a date such as"),
        (["x", "--type", "duration"], "VALUE must be a duration such as PT90S"),
        (["nan", "--type", "duration"], "VALUE must be a duration such as PT90S"),
        (["1", "--dry-run", "--ttl", "0"], "ttl must be more than 0"),
        (["1", "--dry-run", "--description", "☃"], "description must be one line"),
        (["null", "--dry-run"], "kv['a'] must not be None"),
    ],
)
def test_a_value_that_cannot_be_put_is_refused(run, arguments, said):
    status, _, err = run("kv", "set", "company.team", "a", *arguments)
    assert (status, said in err) == (2, True)


def test_a_table_fits_the_terminal(run, fake, monkeypatch):
    fake.flow("company.team", "report")
    with Flow(wait_for_completion=False) as flow:
        flow.execute("company.team", "report")
    monkeypatch.setattr("kestra._cli.namespace_commands.room_on", lambda _: 30)
    for line in run("executions", "company.team")[1].splitlines():
        assert len(line) <= 30
        assert line.endswith("…")


def test_a_webhook_is_called(run, fake, monkeypatch):
    def fail(inputs):
        raise RuntimeError

    hook = {"key": "k1", "wait": True}
    fake.flow("company.team", "orders", lambda inputs: inputs["trigger"]["body"], webhook=hook)
    status, _, err = run("webhook", "company.team", "orders")
    assert status == 2
    assert "KESTRA_WEBHOOK_KEY must hold the key" in err
    monkeypatch.setenv("KESTRA_WEBHOOK_KEY", "k1")
    assert run("webhook", "company.team", "orders", '{"id": 7}') == (0, '{"id": 7}\n', "")
    shown = json.loads(run("webhook", "company.team", "orders", '{"id": 7}', "--json")[1])
    assert (shown["status"], shown["outputs"]) == ("SUCCESS", {"id": 7})
    fake.flow("company.team", "orders", lambda inputs: {"n": 1}, webhook="k1")
    status, out, _ = run("webhook", "company.team", "orders", "text", "--wait", "60")
    assert (status, out) == (0, '{"n": 1}\n')
    fake.flow("company.team", "orders", fail, webhook=hook)
    assert run("webhook", "company.team", "orders")[0] == 1


def test_a_server_that_refuses(run, fake):
    fake.fail(1, status=403)
    status, _, err = run("kv", "get", "company.team", "x", "--tenant", "main")
    assert status == 3
    assert "403" in err
