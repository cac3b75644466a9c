"""The recipes for logging, run as they stand: every entry once, and at its own level."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from scripts import DEADLINE, Script

RECIPES = Path(__file__).parent.parent / "examples" / "logging"
TRACEBACK = "Traceback (most recent call last):"
WARNS = {"PYTHONWARNINGS": "default"}  # for a recipe that is about warnings


def recipe(name, *arguments, status=0, **variables):
    """The recipe of this name, run; all that it prints are frames, unless a test says else."""
    ran = Script(RECIPES / name, *arguments, **variables)
    assert ran.status == status, ran.stderr
    return ran


def first_lines(entries):
    return [(level, message.partition("\n")[0]) for level, message in entries]


def test_plain_logging():
    """Records, a warning and the exception of a thread; the exit status is that of the script."""
    ran = recipe("plain_logging.py", status=3, **WARNS)
    warning = f"{RECIPES / 'plain_logging.py'}:18: FutureWarning: semicolons are deprecated"
    assert first_lines(ran.logs) == [
        ("INFO", "6 orders read"),
        ("WARN", "order 3 has no amount"),
        ("ERROR", "order 4 is left out"),
        ("WARN", warning),
        ("ERROR", "Uncaught KeyError in thread 'totals'"),
    ]
    for number, end in ((2, "to float: '12,50'"), (4, "KeyError: 'amount'")):
        message = ran.logs[number][1]
        assert message.split("\n")[1] == TRACEBACK
        assert message.endswith(end)


def test_plain_logging_in_detail():
    """The environment asks for DEBUG."""
    ran = recipe("plain_logging.py", status=3, KESTRA_LOGGING_LEVEL="debug", **WARNS)
    assert ran.logs[:2] == [("DEBUG", "not shown"), ("INFO", "6 orders read")]


def test_dict_config():
    """One entry with its fields; the file has the record below its level too."""
    assert recipe("dict_config.py").logs == [
        ("WARN", '{"message": "no amount", "logger": "orders", "order": 3, "region": "north"}'),
        ("INFO", "2 lines in the file"),
    ]


def test_file_config():
    """Entries with their fields, the error through standard error."""
    ran = recipe("file_config.py")
    assert ran.logs == [
        ("INFO", '{"message": "6 orders read", "name": "orders", "orders": 6}'),
        ("ERROR", '{"message": "no amount", "name": "orders", "order": 3}'),
    ]
    assert ran.stderr.count("\n") == 1


def test_queue_listener():
    """All that went through the queue, with its level and its traceback."""
    ran = recipe("queue_listener.py")
    assert first_lines(ran.logs) == [("INFO", "6 orders read"), ("ERROR", "order 4 is left out")]
    assert TRACEBACK in ran.logs[1][1]


def test_structlog():
    """Events with their values, those below the level left out, and the traceback."""
    pytest.importorskip("structlog")
    info, warning, error = recipe("with_structlog.py").logs
    assert info == ("INFO", '{"message": "orders read", "region": "north", "orders": 6}')
    assert warning == ("WARN", '{"message": "no amount", "region": "north", "order": 3}')
    assert error[0] == "ERROR"
    assert error[1].startswith(f'{{"message": "left out", "exc_info": "{TRACEBACK}')
    assert error[1].endswith('"region": "north", "order": 4}')


def test_loguru():
    """Each of loguru's levels at the threshold that it reaches, one traceback."""
    pytest.importorskip("loguru")
    logs = recipe("with_loguru.py").logs
    assert first_lines(logs) == [
        ("TRACE", "reading"),
        ("DEBUG", "6 lines"),
        ("INFO", "6 orders read"),
        ("INFO", "between INFO and WARNING: INFO"),
        ("WARN", "order 3 has no amount"),
        ("ERROR", "order 4 is left out"),
        ("ERROR", "CRITICAL is ERROR"),
    ]
    assert logs[5][1].count(TRACEBACK) == 1


def test_tqdm():
    """Every record is an entry, with bars on either stream; the first loop shows none."""
    pytest.importorskip("tqdm")
    ran = recipe("with_tqdm.py")
    assert ran.frames == [
        ("INFO", f"order {number}, {bar}")
        for bar in ("no bar", "bar on stdout", "bar on stderr", "bar of tqdm's own handler")
        for number in (1, 2, 3)
    ]
    assert ran.stdout.partition("order 3, no bar")[0].count("|") == 0
    for stream in (ran.stdout, ran.stderr):
        assert " 33%|" in stream
        assert "100%|" in stream


def test_library_that_configures():
    """Records of the script, the library and the task, before and after the library's set-up."""
    ran = recipe("with_library_that_configures.py")
    assert ran.frames == [
        ("INFO", "library, first"),
        ("INFO", "script, first"),
        ("INFO", "task, first"),
        ("INFO", "task, right after"),
        ("INFO", "library, second"),
        ("INFO", "script, second"),
        ("WARN", "task, second"),
    ]
    assert len(ran.logs) == len(ran.frames)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_multiprocessing(method):
    """Every record of every worker, one traceback, and the parent's own."""
    if method == "fork" and sys.platform == "win32":
        pytest.skip("there is no fork")
    logs = recipe("multiprocessing_workers.py", method).logs
    assert sorted(first_lines(logs)) == [
        ("ERROR", "worker 2 has failed"),
        ("INFO", "all workers are done"),
        ("INFO", "worker 1 has started"),
        ("INFO", "worker 2 has started"),
        ("INFO", "worker 3 has started"),
    ]
    (failed,) = (message for level, message in logs if level == "ERROR")
    assert TRACEBACK in failed


def test_asyncio():
    """What asyncio has to say in debug mode, slow callbacks of a busy machine aside."""
    logs = recipe("asyncio_debug.py", **WARNS).logs
    quick = [(level, line) for level, line in first_lines(logs) if "Executing <" not in line]
    assert [level for level, _ in quick] == ["DEBUG", "ERROR", "WARN", "INFO", "DEBUG"]
    assert quick[0][1].startswith("Using ")
    assert quick[1][1] == "Task exception was never retrieved"
    assert quick[2][1].endswith("RuntimeWarning: coroutine 'fail' was never awaited")
    assert quick[3][1] == "main is done"
    assert quick[4][1].startswith("Close ")
    (failed,) = (message for level, message in logs if level == "ERROR")
    assert failed.endswith("\nValueError: nobody awaits me")


def test_caplog():
    """A test with caplog, and one with kestra_messages, pass."""
    options = (
        "-W",
        "error",
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "kestra._testing.pytest_plugin",
    )
    process = subprocess.run(
        [sys.executable, *options, RECIPES / "test_with_caplog.py"],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert process.returncode == 0, process.stdout
    assert " 2 passed in " in process.stdout


def test_every_recipe_is_run():
    """Each file among the recipes begins with what it shows, and has a test in here."""
    tests = Path(__file__).read_text("utf-8")
    for path in RECIPES.iterdir():
        if path.suffix == ".py":
            assert path.read_text("utf-8").startswith("# "), path
            assert f'"{path.name}"' in tests, path
