"""What the command line is given: inputs, labels, times, and what makes no sense."""

import os
import re
import sys

import pytest
from optional import UNDER_WINE

from kestra.__main__ import main
from kestra._cli.values import input_pair, label_pair, seconds

# The words of Wine; those of Windows are in its language.
NOT_FOUND = "File not found" if UNDER_WINE else "" if sys.platform == "win32" else "No such file"

pytestmark = pytest.mark.usefixtures("environment")


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("day=2026-01-31", ("day", "2026-01-31")),
        ("text=a=b", ("text", "a=b")),
        ("text=", ("text", "")),
        ("text=@@x", ("text", "@x")),
        ("text=@@", ("text", "@")),
        ("text=a@b", ("text", "a@b")),
        ("number=-1", ("number", "-1")),
        ('json={"a": "b=c"}', ("json", '{"a": "b=c"}')),
    ],
)
def test_an_input_is_a_key_and_a_text(text, pair):
    """Only the first = and the first @ count."""
    assert input_pair(text) == pair


def test_an_input_may_be_a_file(tmp_path):
    """What follows the @ is a path."""
    path = tmp_path / "a=b@c"
    path.write_text("content")
    assert input_pair(f"data=@{path}") == ("data", path)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_pipe_is_not_opened(tmp_path):
    """To open one and close it again would end whoever writes to it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert input_pair(f"data=@{path}") == ("data", path)


@pytest.mark.parametrize(
    ("text", "pair"), [("team:sales", ("team", "sales")), ("url:http://x", ("url", "http://x"))]
)
def test_a_label_is_split_at_the_first_colon(text, pair):
    """As the server does it."""
    assert label_pair(text) == pair


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("1.5", 1.5), ("90", 90)])
def test_times_are_seconds(text, value):
    """Fractions too."""
    assert seconds(text) == value


EXECUTE = ["execute", "company.team", "report"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-i", "secret"], "-i/--input: must be KEY=VALUE"),
        (["-i", "=secret"], "-i/--input: must be KEY=VALUE"),
        (["-i", "a=secret", "-i", "a=2"], "-i/--input: a is given twice"),
        (["-l", "secret"], "-l/--label: must be KEY:VALUE"),
        (["-l", "a:"], "-l/--label: must be KEY:VALUE"),
        (["-l", "a:secret", "-l", "a:2"], "-l/--label: a is given twice"),
        (["-i", "a=@missing.csv"], f"a=@missing.csv: {NOT_FOUND}"),
        (["-i", "a=@."], "a=@. must name a file"),
        (["-i", "a=@"], "a=@ must name a file"),
        (["--timeout", "-1"], "--timeout: must be 0 or more seconds"),
        (["--timeout", "nan"], "--timeout: must be 0 or more seconds"),
        (["--timeout", "5m"], "--timeout: must be 0 or more seconds"),
        (["--kill-on-timeout"], "--kill-on-timeout needs --timeout"),
        (["--no-wait", "--follow"], "--follow cannot be used with --no-wait"),
        (["--no-wait", "--timeout", "0"], "--timeout cannot be used with --no-wait"),
        (["--revision", "latest"], "--revision"),
        (["--follow", "--min-level", "info"], "--min-level"),
        (["--password", "secret"], "unrecognized arguments"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message, capsys):
    """Exit status 2 and a sentence that names the option, not the value."""
    with pytest.raises(SystemExit, match="2"):
        main([*EXECUTE, *arguments])
    *_, sentence = capsys.readouterr().err.splitlines()
    assert message in sentence
    assert "secret" not in sentence or "--password" in arguments


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch, capsys):
    """Before anything is sent."""
    path = tmp_path / "data"
    path.touch()
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read anything
    with pytest.raises(SystemExit, match="2"):
        main([*EXECUTE, "-i", f"data=@{path}"])
    assert "that can be read" in capsys.readouterr().err


def test_a_timeout_of_logs_needs_follow(capsys):
    """There is nothing to wait for."""
    with pytest.raises(SystemExit, match="2"):
        main(["logs", "id1", "--timeout", "5"])
    assert "--timeout needs --follow" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hostname", "localhost:8080"], "hostname must begin with"),
        (["--revision", "0"], "revision must be 1 or more"),
        (["--schedule-date", "2026-01-31T08:00:00"], "schedule_date"),
        (["-l", "system.x:y"], "labels['system.x']"),
    ],
)
def test_what_the_client_refuses_is_an_argument_too(arguments, message, capsys, server):
    """Exit status 2, and nothing has been sent."""
    assert main([*EXECUTE, "--hostname", server.url, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert server.requests == []


@pytest.mark.parametrize("command", ["execute", "status", "logs", "outputs", "kill"])
def test_help_is_enough_to_work_from(command, capsys):
    """Examples that parse, units, environment variables and exit statuses; 100 columns wide."""
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    text = capsys.readouterr().out
    assert f"  python -m kestra {command} " in text
    for word in ("KESTRA_HOSTNAME", "KESTRA_PASSWORD", "KESTRA_API_TOKEN", "exit status:", "130"):
        assert word in text
    assert ("--timeout SECONDS" in text) == (command in {"execute", "logs"})
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("command", ["execute", "status", "logs", "outputs", "kill"])
def test_there_is_no_option_for_a_credential(command, capsys):
    """It would be in the list of processes; the help says so."""
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    text = capsys.readouterr().out
    assert not re.search(r"--(user|password|api-token|token)\b", text)
    assert "list of processes" in re.sub(r"\s+", " ", text)
