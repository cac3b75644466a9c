"""The engine itself: the side of it that runs tasks, from its published jars, in one process.

`java/Tasks.java` is that process. Maven fetches the jars on the first run; class path and class
files are kept under `build/engine`.
"""

import contextlib
import hashlib
import json
import os
import pipes
import queue
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from kestra._engine.reader import TaskReader, read

VERSIONS = ("2.0.0", "1.3.31")
LEAST_JAVA = 25
JAVA_HOMES = ("/usr/lib/jvm", "/Library/Java/JavaVirtualMachines", "~/.sdkman/candidates/java")
SOURCES = Path(__file__).parent / "java"
BUILD = Path(__file__).parents[2] / "build" / "engine"
BUILD_DEADLINE = 600  # seconds; the first run downloads 100 MB
DEADLINE = 120  # for one answer; the first includes the start

OPTIONS = (
    "-XX:TieredStopAtLevel=1",  # it starts sooner, and does not run for long
    "--enable-native-access=ALL-UNNAMED",  # these two: no warnings about what its libraries do
    "--sun-misc-unsafe-memory-access=allow",
)

_of_the_runner = re.compile(r"Starting command with pid |Command succeed with exit code ").match


class Missing(Exception):
    """What the engine needs is not installed; one line says what."""


@dataclass(frozen=True)
class Kept:
    """What an engine has kept of a command.

    Attributes:
        status: How it ended, as `subprocess` says it: the number of a signal is negative.
        outputs: The outputs of all frames.
        metrics: Name, type, value (of a timer in seconds) and tags.
        logs: How many there are of each level and message.
        stdout: The lines that were read, without their ends. After what ends the reading of a
            stream there are none.
        stderr: The same, of standard error.
    """

    status: int
    outputs: dict
    metrics: list
    logs: Counter
    stdout: list
    stderr: list


class RealEngine:
    """A running engine, until the end of the block."""

    def __init__(self, version):
        self.version = version
        java, class_path = built(version)
        self._log = (BUILD / version / "engine.log").open("wb")
        self._storage = tempfile.TemporaryDirectory(prefix="engine")
        arguments = ["-cp", class_path, "Tasks", self._storage.name]
        self._process = subprocess.Popen(
            [java / "bin" / "java", *OPTIONS, *arguments],
            env=pipes.environment({}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self._answers = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(b"")

    def run(self, command, *, cwd=None, env=(), **_):
        """Take the place of `subprocess.run`: standard output and error as the engine read them."""
        kept = self.keep(command, cwd, **dict(env))
        stdout, stderr = (
            "".join(f"{line}\n" for line in lines).encode() for lines in (kept.stdout, kept.stderr)
        )
        return subprocess.CompletedProcess(command, kept.status, stdout, stderr)

    def keep(self, command, folder=None, **environment):
        """What the engine keeps of a command; `TaskReader` has to agree on each of its lines."""
        line = shlex.join(map(str, command))
        text = f"cd {shlex.quote(str(folder))} && exec {line}" if folder else f"exec {line}"
        kept = self._keep(text, environment)
        self._compare(kept, kept.stdout, kept.stderr)
        return kept

    def read(self, stdout, stderr=b""):
        """What the engine keeps of the bytes of a task; `TaskReader` has to agree on it."""
        out, err = (Path(self._storage.name, name) for name in ("stdout", "stderr"))
        out.write_bytes(stdout)
        err.write_bytes(stderr)
        kept = self._keep(f"cat {out}; exec cat {err} >&2" if stderr else f"exec cat {out}", {})
        self._compare(kept, stdout, stderr)
        return kept

    def _keep(self, text, environment):
        request = json.dumps({"command": _not_rendered(text), "environment": environment})
        assert self._process.poll() is None, f"the engine has ended, see {self._log.name}"
        self._process.stdin.write(f"{request}\n".encode())
        self._process.stdin.flush()
        try:
            answer = self._answers.get(timeout=DEADLINE)
        except queue.Empty:
            self._process.kill()
            raise TimeoutError(f"no answer within {DEADLINE} s, see {self._log.name}") from None
        assert answer, f"the engine has ended, see {self._log.name}"
        return _kept(json.loads(answer))

    def _compare(self, kept, stdout, stderr):
        # There is no server that would drop nulls, split messages or cut timers to milliseconds:
        # recorded exchanges hold `parse` to that.
        reader = TaskReader(self.version.rpartition(".")[0], server=False)
        parsed = read(stdout, stderr, reader)
        assert as_text(parsed.outputs) == as_text(kept.outputs)
        metrics = [
            [metric.name, metric.type, metric.value, metric.tags] for metric in parsed.metrics
        ]
        assert sorted(map(as_text, metrics)) == sorted(map(as_text, kept.metrics))
        complaints = Counter(entry.level for entry in parsed.logs if entry.source == "engine")
        said = Counter(
            (entry.level, entry.message) for entry in parsed.logs if entry.source != "engine"
        )
        assert said - kept.logs == Counter()
        # The engine's own words are not imitated, only their levels.
        assert Counter(level for level, _ in (kept.logs - said).elements()) == complaints

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(DEADLINE)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._log.close()
            self._storage.cleanup()


def as_text(value):
    """A value as JSON, in which 1 and 1.0, and two NaN, are told apart or alike."""
    return json.dumps(value, sort_keys=True)


def _not_rendered(text):
    """A text of which the engine's templates leave everything alone."""
    assert not re.search("{[{%#]", text), "an expression in a command: put it into a file"
    return text


def _kept(answer):
    status = answer["exitCode"]
    assert status is not None, answer["error"]
    logs = Counter((entry["level"], entry["message"]) for entry in answer["logs"])
    metrics = [
        [metric["name"], metric["type"], _number(metric["value"]), metric["tags"] or {}]
        for metric in answer["metrics"]
    ]
    streams = {False: [], True: []}
    for line in answer["lines"]:
        streams[line["stderr"]].append(line["text"])
    return Kept(
        status=128 - status if status > 128 else status,
        outputs=answer["outputs"],
        metrics=metrics,
        logs=Counter({key: n for key, n in logs.items() if not _of_the_runner(str(key[1]))}),
        stdout=streams[False],
        stderr=streams[True],
    )


def _number(value):
    return None if value is None else float(value)  # "NaN" is text in JSON


def built(version):
    """The home of a JDK, and the class path of `Tasks`, with all that it needs.

    Raises:
        Missing: No JDK, or no Maven.
    """
    java, maven = _java_home(), shutil.which("mvn")
    if java is None or maven is None:
        raise Missing(f"the tests with the real engine need JDK {LEAST_JAVA} or later and Maven")
    folder = BUILD / version
    jars = folder / f"jars-{_digest('pom.xml')}"
    if not (jars.is_file() and all(map(os.path.exists, jars.read_text().split(os.pathsep)))):
        folder.mkdir(parents=True, exist_ok=True)
        options = ["-q", "-B", f"-Dengine={version}", f"-Dmdep.outputFile={jars}"]
        _build([maven, *options, "dependency:build-classpath"], JAVA_HOME=str(java))
    classes = folder / f"classes-{_digest('Tasks.java')}"
    class_path = os.pathsep.join([str(classes), str(SOURCES), jars.read_text()])
    if not (classes / "Tasks.class").is_file():
        options = ["-proc:none", "-nowarn", "-d", classes, "-cp", class_path]
        _build([java / "bin" / "javac", *options, SOURCES / "Tasks.java"])
    return java, class_path


def _digest(name):
    return hashlib.sha256((SOURCES / name).read_bytes()).hexdigest()[:12]


def _build(command, **variables):
    environment = {**os.environ, **variables}
    process = subprocess.run(
        command,
        cwd=SOURCES,
        env=environment,
        capture_output=True,
        text=True,
        timeout=BUILD_DEADLINE,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr


def _java_home():
    """The home of a JDK that is recent enough: JAVA_HOME, that of `javac`, or where JDKs are."""
    compiler = shutil.which("javac")
    homes = [os.environ.get("JAVA_HOME"), compiler and os.path.realpath(compiler + "/../..")]
    for folder in JAVA_HOMES:
        homes += sorted(Path(folder).expanduser().glob("*"))
        homes += sorted(Path(folder).expanduser().glob("*/Contents/Home"))
    return next((Path(home) for home in homes if home and _is_recent(Path(home))), None)


def _is_recent(home):
    try:
        release = (home / "release").read_text()
    except OSError:
        return False
    version = re.search(r'^JAVA_VERSION="(\d+)', release, re.MULTILINE)
    is_recent = version is not None and int(version[1]) >= LEAST_JAVA
    return is_recent and (home / "bin" / "javac").is_file()
