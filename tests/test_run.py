import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from recorded import CASES, comparable, kept, printed

import kestra
from kestra.__main__ import main
from kestra._cli import arguments, files, streams

DEADLINE = 180
COMMAND = [sys.executable, "-m", "kestra"]
NEEDS_SH = pytest.mark.skipif(shutil.which("sh") is None, reason="needs a POSIX shell")
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
    # The arguments of the other commands cost more than all the rest.
    monkeypatch.setattr("kestra.__main__.add_commands", arguments._add_run)
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
  WARN  Invalid outputs 'NaN is not valid JSON: send null'

Lost
  stdout 5       the whole frame is dropped: NaN is not valid JSON: send null
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
        r"         TypeError: value is of type dict: it must be a finite number\n",
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
        "output_files": [],
        "unmatched": [],
        "written": [],
    }


def test_characters_are_shown_as_they_are(script):
    """In tables, with every column at one place; what steers a terminal is escaped."""
    code = """
from kestra import Kestra
Kestra.outputs({"name": "M\u00fcller \x1b[2J", "\u65e5\u672c": ["\u6771\u4eac"]})
Kestra.counter("\u6570", 1, {"stra\u00dfe": "\u00e9"})
"""
    run = kestra_run(
        script(code), encoding="utf-8", env={**os.environ, "PYTHONIOENCODING": "utf-8"}
    )
    assert (
        run.stdout.partition("\n\nKestra")[0]
        == """Outputs
  name  "M\u00fcller \\u001b[2J"
  \u65e5\u672c  ["\u6771\u4eac"]

Metrics
  \u6570  counter  1.0  {"stra\u00dfe": "\u00e9"}"""
    )


WRITES = """
import os
open("new \u00e9.txt", "w").write("x" * 1234)
open("old.txt", "a").write("more")
os.mkdir("folder")
open("folder/b.csv", "w").close()
os.mkdir(".hidden")
open(".hidden/c", "w").close()
open(".hidden.txt", "w").close()
os.symlink("nowhere", "link")
open("same.txt").read()
"""


@POSIX_ONLY
def test_files_that_were_written(script, tmp_path):
    """They are named, since the engine keeps none without `outputFiles`."""
    for name in ("old.txt", "same.txt"):
        (tmp_path / name).write_text("text")
    options = {"cwd": tmp_path, "env": {**_environment(), "PYTHONIOENCODING": "utf-8"}}
    run = kestra_run(script(WRITES), encoding="utf-8", **options)
    assert (
        run.stdout.partition("\n\nKestra")[0]
        == """Files written, which outputFiles could keep
  folder/b.csv  0 bytes
  new \u00e9.txt     1,234 bytes
  old.txt       8 bytes"""
    )
    for name in ("folder", ".hidden"):
        shutil.rmtree(tmp_path / name)
    (tmp_path / "link").unlink()
    run = kestra_run("--json", script(WRITES), **options)
    assert {"path": "new \u00e9.txt", "size": 1234} not in json.loads(run.stdout)["output_files"]
    assert [file["path"] for file in json.loads(run.stdout)["written"]] == [
        "folder/b.csv",
        "new \u00e9.txt",
        "old.txt",
    ]


def test_a_long_list_of_files_is_cut(script, tmp_path):
    """A script that writes thousands does not hide its outputs."""
    code = "for i in range(1000): open(f'{i:03}', 'w').close()"
    run = kestra_run(script(code), cwd=tmp_path, env=_environment())
    assert "  019  0 bytes\n       and 980 more files\n\nKestra" in run.stdout


def test_no_files_are_named_in_a_directory_of_too_many(script, tmp_path, monkeypatch, capfd):
    """To walk through all of a home directory would take longer than the script."""
    monkeypatch.setattr(files, "_MOST_FILES", 1)
    monkeypatch.chdir(tmp_path)
    assert main(["run", script("open('a', 'w'); open('b', 'w')")]) == 0
    assert "Files" not in capfd.readouterr().out
    assert main(["run", "--json", script("open('c', 'w')")]) == 0
    assert json.loads(capfd.readouterr().out)["written"] is None


@POSIX_ONLY
def test_what_cannot_be_read_is_left_out(tmp_path):
    """A directory without permission, a link that leads nowhere, and one to a directory."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "a").touch()
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "twice").symlink_to("kept")
    assert list(files.snapshot(str(tmp_path))) == ["kept/a"]
    assert files.snapshot(str(tmp_path / "gone")) == {}


@POSIX_ONLY
def test_output_files(script, tmp_path):
    """The script has a directory of its own, and what `outputFiles` would keep is shown."""
    code = (
        "import os; open('a.txt', 'w').write('1'); print(os.listdir(), os.environ['WORKING_DIR'])"
    )
    (tmp_path / "other.txt").write_text("text")
    patterns = ["--output-files", "*.txt", "--output-files", "b/*.csv"]
    run = kestra_run(*patterns, script(code), cwd=tmp_path, env=_environment())
    assert run.stdout.startswith("['a.txt'] ")
    assert "Output files\n  a.txt    1 byte\n  b/*.csv  matches no file\n" in run.stdout
    folder = run.stdout.partition("] ")[2].partition("\n")[0]
    assert not Path(folder).exists()
    assert not (tmp_path / "a.txt").exists()
    assert run.returncode == 0
    assert kestra_run("--strict", *patterns, script(code)).returncode == 1
    report = json.loads(kestra_run("--json", *patterns, script(code)).stdout)
    assert report["output_files"] == [{"path": "a.txt", "size": 1}]
    assert (report["unmatched"], report["written"]) == (["b/*.csv"], None)


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("*.csv", {"a.csv"}),
        ("/a.csv", {"a.csv"}),
        ("**.csv", {"a.csv", "b/a.csv", "b/c/d.csv"}),
        ("**/*.csv", {"b/a.csv", "b/c/d.csv"}),
        ("b/**", {"b/a.csv", "b/c/d.csv"}),
        ("?.{csv,txt}", {"a.csv", "e.txt"}),
        ("[a-d].csv", {"a.csv"}),
        ("[!a].txt", {"e.txt"}),
        ("glob:e.txt", set()),
        ("glob:/w/e.*", {"e.txt"}),
        ("glob:**/e.txt", {"e.txt"}),
        ("[^a].txt", set()),
        ("e,f.txt", {"e,f.txt"}),
        ("*}.txt", set()),
        (r"?g\].txt", {"[g].txt"}),
        (r"\[g\].txt", set()),
        ("b", set()),
        ("regex:.*/d.csv", {"b/c/d.csv"}),
        ("[", set()),
        ("regex:(", set()),
    ],
)
def test_patterns_of_output_files(pattern, matched):
    """They are Java's, from the working directory on: `*` stays in one directory."""
    paths = {"a.csv", "b/a.csv", "b/c/d.csv", "e.txt", "e,f.txt", "[g].txt"}
    assert {path for path in paths if files.matches(pattern, path, "/w")} == matched


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


def test_wrapped(script):
    """A wrapper that makes a log record of each line keeps no frame, and the state is SUCCESS."""
    run = kestra_run("--wrapped", script(f"print('text')\nprint({FRAME!r})"))
    assert "stdout 2  kotlp, which wraps the task, turns the frame into a log entry" in run.stdout
    assert "would keep 0 outputs, 0 metrics, 2 log entries; 1 loss; state SUCCESS" in run.stdout


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
    """A context that is missing or not a JSON object: exit status 2, and why."""
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
    process.stdout = None  # or `communicate` reads it on Windows
    _, stderr = process.communicate("go\n", timeout=DEADLINE)
    assert (process.returncode, stderr) == (3, "")
    assert done.exists()


@POSIX_ONLY
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(number, script):
    """A signal is passed on to the script, whose end is shown as ever."""
    code = f"""
import os, signal, time
def end(*_):
    os.write(1, {FRAME.encode()!r} + b"\\n")  # inside the print below, no other can
    raise SystemExit(7)
signal.signal({int(number)}, end)
print("ready", flush=True)
while True:  # a signal that comes right before a pause would not end it
    time.sleep(0.05)
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


@POSIX_ONLY
def test_killed_as_the_engine_does_it(script):
    """With --kill-after, the script has nothing to read, and its state is KILLED."""
    run = kestra_run(
        "--kill-after", "0", "--grace", "3600", script("import signal; signal.pause()")
    )
    assert run.returncode == 143
    assert "state KILLED, exit status 143." in run.stdout
    run = kestra_run("--kill-after", "3600", script("import sys; print(repr(sys.stdin.read()))"))
    assert run.stdout.startswith("''\n")
    assert "state SUCCESS" in run.stdout


@POSIX_ONLY
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
@pytest.mark.parametrize(("code", "status"), [("print('x')", 5), ("exit(3)", 3)])
def test_a_full_disk(code, status, script, tmp_path):
    """It is one sentence, and the script goes on to its end."""
    done = tmp_path / "done"
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [*COMMAND, "run", script(f"open({str(done)!r}, 'w'); {code}")],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    assert run.stderr == "error: standard output: No space left on device\n"
    assert run.returncode == status
    assert done.exists()


def test_a_reader_that_is_gone_on_windows(monkeypatch):
    """Windows has no EPIPE there."""
    monkeypatch.setattr(streams, "_READER_IS_GONE", {errno.EINVAL})
    monkeypatch.setattr(streams, "discard_from_now_on", lambda _: None)

    class Gone(io.StringIO):
        def write(self, _):
            raise OSError(errno.EINVAL, "Invalid argument")

        def fileno(self):
            return 1

    monkeypatch.setattr(sys, "stdout", Gone())
    assert not streams.show("text", sys.stdout)


def test_version(capsys):
    """As `--version` of other commands."""
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"kestra {kestra.__version__}\n"


FLOW = """
id: etl
namespace: company.team
inputs:
  - {id: day, type: DATE}
  - {id: word, type: STRING, defaults: hello}
tasks:
  - id: both
    type: io.kestra.plugin.core.flow.Parallel
    tasks:
      - id: load
        type: io.kestra.plugin.scripts.python.Script
        env:
          DAY: "{{ inputs.day }}"
        inputFiles:
          data/names.txt: "{{ outputs['fetch'].names[0] }}"
        outputFiles: ["*.csv", "none"]
        script: |
          import os
          from kestra import Kestra, context
          with open("data/names.txt") as file:
              Kestra.outputs({"name": file.read(), "day": os.environ["DAY"]})
          open("rows.csv", "w").close()
      - id: command
        type: io.kestra.plugin.scripts.shell.Commands
        namespaceFiles:
          enabled: true
          include: ["*.py"]
        inputFiles:
          copied: helper.txt
          text: "{{ inputs.word }}"
        beforeCommands:
          - WORD=$(cat copied text)
        commands:
          - python helper.py $WORD
          - exit 4
          - echo never
      - id: shell
        type: io.kestra.plugin.scripts.shell.Script
        script: echo "{{ inputs.day }} {{ inputs.word }}"
      - id: r
        type: io.kestra.plugin.scripts.r.Script
        script: "1"
      - id: remote
        type: io.kestra.plugin.scripts.python.Script
        inputFiles: {a: "kestra:///a"}
        script: "1"
      - id: call
        type: io.kestra.plugin.scripts.python.Script
        script: print("{{ now() }}")
      - id: loop
        type: io.kestra.plugin.scripts.python.Script
        script: "{% for i in x %}"
      - id: list
        type: io.kestra.plugin.scripts.python.Script
        inputFiles: [a]
        script: "1"
  - id: log
    type: io.kestra.plugin.core.log.Log
    message: text
"""


@pytest.fixture
def flow(tmp_path):
    """Return a function that runs a task of the flow above."""
    (tmp_path / "flow.yaml").write_text(FLOW)
    (tmp_path / "helper.py").write_text("import sys; print(sys.argv[1:])")
    (tmp_path / "helper.txt").write_text("not a namespace file")
    context = {"inputs": {"day": "2026-01-31"}, "outputs": {"fetch": {"names": ["Ada"]}}}
    (tmp_path / "context.json").write_text(json.dumps(context))

    def run(task, *options, context=True):
        given = ["--context", "context.json"] if context else []
        arguments = ["--flow", "flow.yaml", "--task", task, *given, *options]
        return kestra_run(*arguments, cwd=tmp_path, env=_environment())

    return run


@NEEDS_SH
@POSIX_ONLY
def test_a_task_of_a_flow(flow):
    """Its script runs with its files and its environment, expressions replaced."""
    run = flow("load", "--json", "--output-files", "data/*")
    report = json.loads(run.stdout)
    assert report["outputs"] == {"name": "Ada", "day": "2026-01-31"}
    assert [file["path"] for file in report["output_files"]] == ["data/names.txt", "rows.csv"]
    assert report["unmatched"] == ["none"]
    assert flow("shell").stdout.startswith("2026-01-31 hello\n")


@NEEDS_SH
@POSIX_ONLY
@pytest.mark.parametrize(
    ("name", "task", "shown"),
    [
        ("script_task", "greet", 'Outputs\n  greeting  "Hello World!"'),
        ("output_files", "write", "Output files\n  squares.csv  26 bytes"),
        ("outputs", "send", 'Outputs\n  day      "2026-01-31"'),
    ],
)
def test_the_flows_of_the_examples(name, task, shown):
    """They run as they are, where they install nothing."""
    path = Path(__file__).parents[1] / "examples" / "in_task" / f"{name}.yaml"
    run = kestra_run("--strict", "--flow", str(path), "--task", task, env=_environment())
    assert run.returncode == 0
    assert shown in run.stdout


@NEEDS_SH
@POSIX_ONLY
def test_the_commands_of_a_task(flow):
    """They run in one shell, which the first that fails ends, after those that come before."""
    run = flow("command")
    assert run.stdout.startswith("['not', 'a', 'namespace', 'filehello']\n")
    assert "never" not in run.stdout
    assert run.returncode == 4


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        ("load", "env.DAY holds the expression {{ inputs.day }}: give its value in the file of"),
        ("nope", "flow.yaml has no task 'nope'; there are both, load, command,"),
        ("log", "a task of the type io.kestra.plugin.core.log.Log has neither a script nor"),
        ("r", "a script of the type io.kestra.plugin.scripts.r.Script cannot be run here"),
        ("remote", "inputFiles.a is a file of a server: kestra:///a"),
        ("call", "script holds the expression {{ now() }}, which needs a server"),
        ("loop", "script holds a statement between {% and %}, which needs a server"),
        ("list", "inputFiles must be a mapping to be used here"),
    ],
)
def test_a_task_that_needs_a_server(task, sentence, flow):
    """It is refused in one sentence, with what helps."""
    run = flow(task, context=False)
    assert run.returncode == 2
    assert run.stderr.startswith(f"error: {sentence}")
    assert run.stderr.count("\n") == 1


OF_ITS_OWN = """
id: etl
namespace: company.team
variables:
  base: /data
  many: [1, "{{ now() }}"]
inputs:
  - {id: path, type: STRING, defaults: "{{ vars.base }}/{{ flow.id }}"}
  - {id: at, type: DATETIME, defaults: "{{ now() }}"}
tasks:
  - id: a
    type: io.kestra.plugin.scripts.python.Script
    script: print("{{ inputs.path }}", "{{ vars.many[1] }}", "{{ flow.namespace }}")
  - id: b
    type: io.kestra.plugin.scripts.python.Script
    script: print("{{ inputs.at }}")
"""


@pytest.mark.parametrize(
    ("context", "shown"),
    [
        ({}, "/data/etl {{ now() }} company.team"),
        ({"flow": {"id": "other"}}, "/data/other {{ now() }} company.team"),
        ({"vars": {"base": "{{ x }}", "many": [0, 1]}}, "{{ x }}/etl 1 company.team"),
    ],
)
def test_what_a_flow_says_of_itself(context, shown, tmp_path, capfd):
    """Its id, namespace, variables, and the expressions of defaults; a context says it better."""
    (tmp_path / "flow.yaml").write_text(OF_ITS_OWN)
    (tmp_path / "context.json").write_text(json.dumps(context))
    given = ["run", "--flow", "flow.yaml", "--context", "context.json", "--task"]
    assert main([*given, "a"]) == 0
    assert capfd.readouterr().out.startswith(f"{shown}\n")
    assert main([*given, "b"]) == 2  # its default needs a server
    assert capfd.readouterr().err.startswith("error: script holds the expression {{ inputs.at }}: ")


@NEEDS_SH
@POSIX_ONLY
def test_a_script_after_commands(tmp_path):
    """They run in one shell with it; without `include`, all files beside the flow are there."""
    (tmp_path / "helper.py").write_text("WORD = 'helped'")
    (tmp_path / "flow.yaml").write_text("""
tasks:
  - id: a
    type: io.kestra.plugin.scripts.python.Script
    namespaceFiles: {enabled: true}
    beforeCommands: [export OTHER=before]
    script: |
      import os, helper
      print(os.environ["OTHER"], helper.WORD)
""")
    run = kestra_run("--flow", str(tmp_path / "flow.yaml"), "--task", "a")
    assert run.stdout.startswith("before helped\n")


AS_WRITTEN = """
inputs:
  - {id: day, type: DATE, defaults: 2026-01-31}
  - {id: flag, type: BOOL, defaults: true}
  - {id: many, type: ARRAY, itemType: INT, defaults: [1, 2]}
tasks:
  - id: a
    type: io.kestra.plugin.scripts.python.Script
    env:
      AT: 12:30:00
      VERSION: 3.10
      YES: 0755
      true: 1_000
      DAY: 2026-01-31
      INPUTS: "{{ inputs.day }} {{ inputs.flag }} {{ inputs.many }}"
    inputFiles: {version: 3.10}
    script: |
      import os
      print(*map(os.environ.get, ("AT", "VERSION", "YES", "true", "DAY", "INPUTS")))
      print(open("version").read())
  - {id: b, type: io.kestra.plugin.scripts.shell.Commands, commands: [false]}
"""


@NEEDS_SH
@POSIX_ONLY
def test_values_are_the_text_that_stands_in_the_file(tmp_path):
    """A time, a date, an octal number or a version is what somebody has written."""
    path = tmp_path / "flow.yaml"
    path.write_text(AS_WRITTEN)
    run = kestra_run("--flow", str(path), "--task", "a")
    assert run.stderr == ""
    assert run.stdout.splitlines()[:2] == [
        "12:30:00 3.10 0755 1_000 2026-01-31 2026-01-31 true [1, 2]",
        "3.10",
    ]
    run = kestra_run("--flow", str(path), "--task", "b")
    assert (run.returncode, run.stderr) == (1, "")


IN_OTHERS = """
tasks:
  - id: switch
    type: io.kestra.plugin.core.flow.Switch
    cases:
      "1":
        - {id: case, type: io.kestra.plugin.scripts.python.Script, script: print("case")}
    defaults:
      - {id: default, type: io.kestra.plugin.scripts.python.Script, script: print("default")}
  - id: dag
    type: io.kestra.plugin.core.flow.Dag
    tasks:
      - task: {id: of_dag, type: io.kestra.plugin.scripts.python.Script, script: print("of_dag")}
        dependsOn: [other]
  - id: directory
    type: io.kestra.plugin.core.flow.WorkingDirectory
    inputFiles: {shared: shared, both: shared}
    tasks:
      - id: inside
        type: io.kestra.plugin.scripts.python.Script
        inputFiles: {both: inside}
        script: print(open("shared").read(), open("both").read())
"""


@pytest.mark.parametrize(
    ("task", "shown"),
    [
        ("case", "case"),
        ("default", "default"),
        ("of_dag", "of_dag"),
        ("inside", "shared inside"),
    ],
)
def test_tasks_in_others(task, shown, tmp_path):
    """In the cases of a Switch, in a Dag, and in a WorkingDirectory, with its files."""
    (tmp_path / "flow.yaml").write_text(IN_OTHERS)
    run = kestra_run("--flow", "flow.yaml", "--task", task)
    assert run.stdout.startswith(f"{shown}\n")
    run = kestra_run("--flow", "flow.yaml", "--task", "nope")
    assert run.stderr == (
        "error: flow.yaml has no task 'nope'; there are "
        "switch, default, case, dag, of_dag, directory, inside\n"
    )


TASK = "tasks: [{id: a, type: io.kestra.plugin.scripts.python.Script, script: print(1), %s}]"


@pytest.mark.parametrize(
    ("flow", "sentence"),
    [
        (TASK % 'env: {A: "x\\0y"}', "env.A holds a NUL character: leave it out"),
        (TASK % "inputFiles: {../evil: x}", "inputFiles.../evil is outside of the working dir"),
        (TASK % "inputFiles: {/tmp/evil: x}", "inputFiles./tmp/evil is outside of the working"),
        (TASK % "inputFiles: {'': x}", "[Errno"),
        (TASK % "beforeCommands: [echo a: b]", "beforeCommands holds a mapping or a list where"),
        (TASK % "outputFiles: {a: b}", "outputFiles holds a mapping or a list where text is"),
        (TASK.replace("print(1)", "[1, 2]") % "env: {}", "script holds a mapping or a list where"),
        ("inputs: [a]\n" + TASK % "env: {}", "flow.yaml: inputs must be a list of mappings"),
        ("inputs: {a: 1}\n" + TASK % "env: {}", "flow.yaml: inputs must be a list of mappings"),
        (TASK % 'env: {A: "{{ inputs.a }}"}', "env.A holds the expression {{ inputs.a }}: give"),
    ],
)
def test_a_flow_that_is_wrong(flow, sentence, tmp_path, capsys):
    """It is refused in one sentence, and nothing is written outside of the task's directory."""
    (tmp_path / "flow.yaml").write_text(flow)
    (tmp_path / "context.json").write_text('{"inputs": null}')
    assert main(["run", "--flow", "flow.yaml", "--task", "a", "--context", "context.json"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {sentence}")


def test_commands_need_a_shell(tmp_path, monkeypatch, capsys):
    """Where there is none, that is the sentence."""
    path = tmp_path / "flow.yaml"
    path.write_text(
        "tasks: [{id: a, type: io.kestra.plugin.scripts.shell.Commands, commands: [ls]}]"
    )
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert main(["run", "--flow", str(path), "--task", "a"]) == 2
    assert "its commands need a POSIX shell" in capsys.readouterr().err


def test_flow_needs_yaml(flow, tmp_path, monkeypatch, capsys):
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--flow", "flow.yaml", "--task", "load"]) == 2
    assert capsys.readouterr().err == "error: --flow needs PyYAML: pip install 'kestra[cli]'\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--flow", __file__], "--flow FILE and --task ID belong together"),
        (["--task", "x", __file__], "--flow FILE and --task ID belong together"),
        (["--flow", __file__, "--task", "x", __file__], "--flow takes the place of SCRIPT"),
        (["--kill-after", "soon", __file__], "--kill-after"),
    ],
)
def test_options_that_do_not_fit(arguments, sentence, capsys):
    """Exit status 2, and which they are."""
    with pytest.raises(SystemExit, match="2"):
        main(["run", *arguments])
    assert sentence in capsys.readouterr().err


def test_a_flow_that_cannot_be_read(tmp_path, capsys):
    """What is not YAML, or not a flow, is reported."""
    path = tmp_path / "flow.yaml"
    for text, sentence in (("a: [", "cannot be read"), ("[1]", "has no task 'x'; there are none")):
        path.write_text(text)
        assert main(["run", "--flow", str(path), "--task", "x"]) == 2
        assert sentence in capsys.readouterr().err


def _environment():
    """Return an environment in which this package is found from any directory."""
    paths = [path for path in sys.path if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
