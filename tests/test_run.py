import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from recorded import CASES, comparable, kept, printed

from kestra.__main__ import main

DEADLINE = 60
POSIX_ONLY = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and terminals")

FRAME = '::{"outputs": {"a": 1}}::'


@pytest.fixture(autouse=True)
def folder_of_its_own(tmp_path, monkeypatch):
    """The working directory, which the command looks through for files that are written."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def script(tmp_path):
    """Return a function that writes a script and returns its path."""

    def write(code):
        path = tmp_path / "script.py"
        path.write_text(code, "utf-8")
        return str(path)

    return write


def kestra_run(*arguments, **options):
    """Run the real command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "kestra", "run", *arguments],
        capture_output=True,
        timeout=DEADLINE,
        check=False,
        **{"text": True, **options},
    )


def started(*arguments, **options):
    """Start the real command in a session of its own, without a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "kestra", "run", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
        **options,
    )


class Printed:
    """In place of a process, which costs its start: one that has printed a file, and ended."""

    returncode = 0

    def __init__(self, command, **_):
        self.stdout = io.BytesIO(Path(command[1]).read_bytes())
        self.stderr = io.BytesIO()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def wait(self, _timeout=None):
        return self.returncode


@pytest.mark.parametrize("case", [case for case in CASES if "stderr" not in CASES[case]])
def test_recorded(case, tmp_path, monkeypatch, capfd):
    """Of every recorded case, the command keeps what the engine kept."""
    monkeypatch.setattr(subprocess, "Popen", Printed)
    path = tmp_path / "printed"
    path.write_bytes(printed(case, "stdout"))
    for engine, expected in kept(case):
        assert main(["run", "--json", "--engine", engine, str(path)]) == 0
        report = json.loads(capfd.readouterr().out)
        if "crash" in expected:
            assert report["state"] == "CRASH", engine
            assert report["rejected"], engine
        else:
            assert comparable(report) == expected, engine


def test_tables(script):
    """Ordinary lines come first, then tables of what is kept and lost, and a line to sum up."""
    code = """
import sys
print("hello")
print("oops", file=sys.stderr)
print('::{"outputs": {"rows": 3, "long": "' + "x" * 200 + '"}}::')
print('::{"metrics": [{"name": "rows", "type": "counter", "value": 2, "tags": {"a": "b"}},'
      ' {"name": "t", "type": "timer", "value": 1.5}, {"name": "g", "type": "gauge"}]}::')
print('::{"logs": [{"level": "WARN", "message": "two\\\\nlines"}]}::')
print('::{"outputs": {"a": NaN}}::')
print('INFO ::{}::')
print('::{"assets": {}}::')
print("lost")
print("lost as well")
"""
    run = kestra_run(script(code))
    assert run.returncode == 0
    assert run.stderr == "oops\n"
    assert (
        run.stdout
        == f"""hello
INFO ::{{}}::
lost
lost as well
Outputs
  rows  3
  long  "{"x" * 99}... (202 characters)

Metrics
  rows  counter  2.0    {{"a": "b"}}
  t     timer    1.5 s  {{}}
  g     gauge    None   {{}}

Logs
  WARN  two\\nlines
  WARN  Invalid outputs 'NaN is no JSON: send null'

Lost
  stdout 5       the whole frame is dropped: NaN is no JSON: send null
                 ::{{"outputs": {{"a": NaN}}}}::
  stdout 6       text before the frame: end it with a newline, so that the frame has its own line
                 INFO ::{{}}::
  stdout 7       the engine's reader of stdout dies of it: only the Enterprise Edition takes assets
                 ::{{"assets": {{}}}}::
  stdout 8 to 9  stdout is not read after line 7
                 lost

Kestra 2.0 would keep 2 outputs, 3 metrics, 5 log entries; 5 losses; state SUCCESS, exit status 0.
"""
    )


def test_an_uncaught_exception_is_told(script):
    """Of a traceback that was logged, the table has the last line, which says what went wrong."""
    run = kestra_run(
        script("""
from kestra import Kestra

Kestra.configure_logging()
Kestra.counter("rows", {"table": "orders"})
""")
    )
    assert run.returncode == 1
    assert re.search(
        r"  ERROR  Uncaught TypeError\\nTraceback .* characters\)\n"
        r"         TypeError: metrics\[0\]\.value is of type dict: it must be a finite number\n",
        run.stdout,
    )


def test_nothing_kept(script):
    """A silent script gets the last line only."""
    run = kestra_run("--engine", "1.3", script(""))
    assert run.stdout == (
        "Kestra 1.3 would keep 0 outputs, 0 metrics, 0 log entries; no loss; "
        "state SUCCESS, exit status 0.\n"
    )


def test_assets(script):
    """With --enterprise, assets are kept and shown."""
    run = kestra_run("--enterprise", script("""print('::{"assets": {"inputs": []}}::')"""))
    assert 'Assets\n  {"inputs": []}\n' in run.stdout
    assert "no loss" in run.stdout


def test_json(script):
    """With --json, stdout is one JSON object, and the script's ordinary lines are on stderr."""
    code = f"""
print("hello")
print({FRAME!r})
print('::{{"metrics": [{{"name": "n", "type": "gauge", "value": "NaN"}}]}}::')
"""
    run = kestra_run("--json", script(code))
    assert run.stderr == "hello\n"
    assert json.loads(run.stdout) == {
        "engine": "2.0",
        "exit_status": 0,
        "state": "SUCCESS",
        "outputs": {"a": 1},
        "metrics": [{"name": "n", "type": "gauge", "value": "NaN", "tags": {}}],
        "logs": [{"level": "INFO", "message": "hello", "source": "stdout"}],
        "assets": [],
        "rejected": [],
    }


def test_line_by_line(script):
    """An ordinary line is shown while the script runs, and stdin is the script's."""
    process = started(script("print('ready', flush=True); print(input())"))
    assert process.stdout.readline() == "ready\n"
    stdout, _ = process.communicate("answer\n", timeout=DEADLINE)
    assert stdout.startswith("answer\n")


def test_bytes_as_printed(script):
    """Lines end, and bytes that are no UTF-8 are read, as the engine does it."""
    code = r"""
import sys
sys.stdout.buffer.write(b'a\rb\r\nc\xff\xed\xa0\x80\n::{"outputs": {"a": "\xff\xc3\xa9"}}::')
"""
    report = json.loads(kestra_run("--json", script(code)).stdout)
    assert [entry["message"] for entry in report["logs"]] == ["a", "b", "c\ufffd\ufffd"]
    assert report["outputs"] == {"a": "\ufffd\u00e9"}


@pytest.mark.parametrize("options", [["--json"], []])
def test_outputs_as_deep_as_the_engine_takes_them(script, options):
    """A message of 1,000 levels is shown like any other."""
    nested = "[" * 998 + "]" * 998
    run = kestra_run(*options, script(f'print(\'::{{"outputs": {{"a": {nested}}}}}::\')'))
    assert run.stderr == ""
    assert run.returncode == 0
    assert ("no loss" in run.stdout) if not options else (f'"a": {nested}' in run.stdout)


def test_much_on_both_streams(script):
    """Neither stream blocks the other, however much is printed."""
    code = """
import sys
for stream in (sys.stderr, sys.stdout):
    stream.write(("x" * 99 + "\\n") * 20_000)
"""
    run = kestra_run(script(code))
    assert (len(run.stderr), run.stdout.count("x\n")) == (2_000_000, 20_000)


def test_ascii_terminal(script):
    """What the terminal cannot show is escaped."""
    code = "import sys; sys.stdout.buffer.write('\\u2713\\n'.encode())"
    run = kestra_run(script(code), env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert run.stdout.startswith("\\u2713\n")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        pytest.param("import os; os.kill(os.getpid(), 15)", 143, marks=POSIX_ONLY),
    ],
)
def test_exit_status(code, status, script):
    """The exit status is the script's; 128 + N where signal N ended it."""
    run = kestra_run(script(f"print({FRAME!r}, flush=True)\n{code}"))
    assert run.returncode == status
    assert run.stdout.startswith("Outputs\n  a  1\n")
    assert f"state {'FAILED' if status else 'SUCCESS'}, exit status {status}." in run.stdout


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (f"print({FRAME!r})", 0),
        ("print(' ::{}::')", 1),
        ("print(' ::{}::'); raise SystemExit(3)", 3),
    ],
)
def test_strict(code, status, script):
    """With --strict, a script that succeeds but loses something exits with 1."""
    assert kestra_run("--strict", script(code)).returncode == status


def test_crash(script):
    """A crash of the server is the state, whatever the script's exit status."""
    code = """print('::{"outputs": {"a": "\\\\ud800"}}::'); raise SystemExit(3)"""
    run = kestra_run("--engine", "0.21", script(code))
    assert "half of a surrogate pair takes the server down (outputs.a)" in run.stdout
    assert "state CRASH, exit status 3." in run.stdout


def test_arguments_of_the_script(script):
    """All that follows the script is the script's, options too."""
    path = script("import sys; print(sys.argv[1:])")
    run = kestra_run(path, "--json", "--engine", "9", "--", "-x", "run")
    assert run.stdout.startswith("['--json', '--engine', '9', '--', '-x', 'run']\n")


def test_context(script, tmp_path):
    """The context's absolute path is in the script's environment."""
    (tmp_path / "context.json").write_text('{"execution": {"id": "1"}}')
    path = script("import os; print(os.environ['KESTRA_EXECUTION_CONTEXT_FILE'])")
    run = kestra_run("--context", "context.json", path, cwd=tmp_path, env=_environment())
    assert run.stdout.startswith(f"{tmp_path / 'context.json'}\n")


@pytest.mark.parametrize("content", [None, b"", b"[1]", b"{", b"\xff"])
def test_bad_context(content, script, tmp_path):
    """A context that is missing or no JSON object: exit status 2, and why."""
    path = tmp_path / "context.json"
    if content is not None:
        path.write_bytes(content)
    run = kestra_run("--context", str(path), script(""))
    assert run.returncode == 2
    reason = "cannot read" if content is None else "must contain a JSON object"
    assert reason in run.stderr
    assert str(path) in run.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.py"], "missing.py does not exist"),
        ([], "SCRIPT"),
        (["--engine", "9", "missing.py"], "--engine"),
    ],
)
def test_usage(arguments, sentence):
    """What cannot be run: exit status 2, and why."""
    run = kestra_run(*arguments)
    assert run.returncode == 2
    assert sentence in run.stderr


def test_no_command(capsys):
    """Without a command, the usage and exit status 2."""
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "COMMAND" in capsys.readouterr().err


def test_closed_stdout(script, tmp_path):
    """That nobody reads the report does not disturb the script."""
    done = tmp_path / "done"
    code = f"input()\nprint('text\\n' * 20_000)\nopen({str(done)!r}, 'w').close()\nexit(3)"
    process = started(script(code))
    process.stdout.close()
    _, stderr = process.communicate("go\n", timeout=DEADLINE)
    assert (process.returncode, stderr) == (3, "")
    assert done.exists()


@POSIX_ONLY
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(number, script):
    """A signal is passed on to the script, whose end is shown as ever."""
    code = f"""
import os, signal
def end(*_):
    os.write(1, {FRAME.encode()!r} + b"\\n")  # inside the print below, no other can
    raise SystemExit(7)
signal.signal({int(number)}, end)
print("ready", flush=True)
while True:
    signal.pause()
"""
    process = started(script(code))
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    stdout, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 7
    assert stdout.startswith("Outputs\n  a  1\n")


@POSIX_ONLY
def test_interrupted_from_the_terminal(script):
    """Ctrl-C, which the terminal sends to all of its job, reaches the script once."""
    code = """
import os, signal
hits = []
signal.signal(signal.SIGINT, lambda *_: hits.append(1))
reader, writer = os.pipe()  # which holds a signal that comes before anybody waits for it
os.set_blocking(writer, False)
signal.set_wakeup_fd(writer)
print("ready", flush=True)
os.read(reader, 1)
print("interrupted", flush=True)
input()
print("hits:", len(hits))
"""
    # A process of its own leads the session of a new terminal, and types.
    driver = """
import os, pty, sys
pid, terminal = pty.fork()
if not pid:
    os.execv(sys.executable, [sys.executable, "-m", "kestra", "run", sys.argv[1]])
seen = b""
for word, keys in ((b"ready", b"\\x03"), (b"interrupted", b"\\n"), (b"exit status", b"")):
    while word not in seen:
        seen += os.read(terminal, 1024)
    os.write(terminal, keys)
print(seen.decode())
os.waitpid(pid, 0)
"""
    run = subprocess.run(
        [sys.executable, "-c", driver, script(code)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    assert "hits: 1" in run.stdout


def _environment():
    """Return an environment in which this package is found from any directory."""
    paths = [path for path in sys.path if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
