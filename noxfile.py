"""One command for each task; `nox` alone runs all that must hold before a change lands.

`nox -s tests-3.12 -- tests/test_flow.py` hands what follows `--` on to pytest. Versions of Python
that are not there are skipped.
"""

import os
import platform
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.11.12"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "wheel", "tests", "docs", "lowest", "coverage"]

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
COVERED = "3.13"  # the newest that has all extras
WHEELS = Path("build/dist")
# Where `cpython` puts Python 3.14; last, so that one that is installed comes first.
FETCHED = Path("build/cpython/org/bytedeco/cpython/linux-x86_64/bin").absolute()
os.environ["PATH"] += f"{os.pathsep}{FETCHED}"

ON_ALL_CORES = ["-q", "-n", "auto", "--dist", "worksteal"]
# The tests of what is different on Windows. Under Wine, a process takes a second to start, and all
# the tests an hour.
ON_WINDOWS = [
    "tests/test_cli.py",
    "tests/test_cli_arguments.py",
    "tests/test_delivery.py",
    "tests/test_execution_context.py",
    "tests/test_flow.py",
    "tests/test_kestra.py",
    "tests/test_kill.py",
    "tests/test_kill_steps.py",
    "tests/test_logging_config.py",
    "tests/test_namespace_files.py",
    "tests/test_namespace_flows.py",
    "tests/test_prints.py",
    "tests/test_programs.py",
    "tests/test_reading.py",
    "tests/test_run.py",
    "tests/test_sink.py",
    "tests/test_sink_stand_ins.py",
    "tests/test_testing_script.py",
    "tests/test_transport.py",
]
# The tests of what the dependencies, those of extras too, do for this package.
DEPENDENT = [
    "tests/test_adapter.py",
    "tests/test_connections.py",
    "tests/test_fake.py",
    "tests/test_flow.py",
    "tests/test_ion.py",
    "tests/test_logging_handler.py",
    "tests/test_multipart.py",
    "tests/test_reading.py",
    "tests/test_retry.py",
    "tests/test_stand_ins.py",
    "tests/test_testing_pytest.py",
    "tests/test_transport.py",
]


def built_wheel() -> str:
    """Return the path of the wheel that the session `wheel` has built."""
    (path,) = WHEELS.glob("*.whl")
    return str(path)


def group(name: str) -> list[str]:
    """Return what a dependency group holds; the pip of an old Python knows no groups."""
    return list(nox.project.dependency_groups(PROJECT, name))


@nox.session
def lint(session: nox.Session) -> None:
    """Style and format, by ruff."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Types, by mypy and pyright: of the package, and of the Python blocks of README and docs."""
    session.install("-e.[test]", *group("types"))
    snippets = session.create_tmp()
    session.run("python", ".ci/snippets.py", snippets)
    session.run("mypy")
    session.run("mypy", "--config-file", f"{snippets}/mypy.ini", snippets)
    python = shutil.which("python", path=session.bin)
    for project in (".", snippets):
        session.run("basedpyright", "-p", project, "--pythonpath", str(python))


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the distributions, and weigh the wheel."""
    session.install("build", "pip", "twine")
    for old in WHEELS.glob("*"):
        old.unlink()
    session.run("python", "-m", "build", "--outdir", str(WHEELS))
    session.run("twine", "check", "--strict", *map(str, WHEELS.glob("*")))
    session.run("python", ".ci/weight.py", str(*WHEELS.glob("*.whl")))


@nox.session(venv_backend="none")
def cpython(session: nox.Session) -> None:
    """Fetch Python 3.14 with Maven, where the machine has none; for Linux on x86-64."""
    if shutil.which("python3.14") or sys.platform != "linux" or platform.machine() != "x86_64":
        session.skip("there is one, or none to be had for this machine")
    if not shutil.which("mvn"):
        session.skip("needs Maven (mvn)")
    session.run(sys.executable, ".ci/cpython.py", "linux-x86_64")


@nox.session(python=PYTHONS, requires=["wheel", "cpython"])
def tests(session: nox.Session) -> None:
    """The tests, against the wheel, on one Python."""
    session.install(f"{built_wheel()}[test]")
    session.run("python", "-m", "pytest", *(session.posargs or ON_ALL_CORES))


@nox.session(requires=["wheel"])
def windows(session: nox.Session) -> None:
    """The tests, with Python 3.14 for Windows under Wine; needs Maven and Wine, on Linux."""
    loaders = f"{os.environ['PATH']}{os.pathsep}/usr/lib/wine"
    if not shutil.which("mvn") or not shutil.which("wine64", path=loaders):
        session.skip("needs Maven and Wine: apt-get install maven wine wine64")
    session.install("packaging", "pip", "tomli; python_version < '3.11'")
    # More workers than cores: a process that starts waits for the server of Wine.
    arguments = session.posargs or ["-q", "-n", "4", "--dist", "worksteal", *ON_WINDOWS]
    session.run("python", ".ci/windows.py", built_wheel(), *arguments)


@nox.session
def load(session: nox.Session) -> None:
    """Many frames at once, from threads and processes, and many executions: none is lost."""
    session.install("-e.[test]")
    session.run("python", "-m", "pytest", "-q", "-m", "load", *session.posargs)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Prove the lower bounds of the dependencies, on the oldest Python."""
    extras = PROJECT["project"]["optional-dependencies"]
    bounds = PROJECT["project"]["dependencies"] + extras["ion"] + extras["testing"]
    session.install("-e.[test]", *(bound.replace(">=", "==") for bound in bounds))
    session.run("python", "-m", "pip", "freeze", "--exclude-editable")
    # The oldest urllib3 leaves sockets of failed handshakes to the garbage collector.
    options = [*ON_ALL_CORES, "-W", "ignore:unclosed:ResourceWarning", *DEPENDENT]
    session.run("python", "-m", "pytest", *(session.posargs or options))


@nox.session(python=COVERED)
def coverage(session: nox.Session) -> None:
    """All the tests, and the branches that they reach, also in processes that they start."""
    session.install("-e.[test]")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *ON_ALL_CORES)
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report", "--fail-under=98")


@nox.session
def engine(session: nox.Session) -> None:
    """The tests that the engine itself judges; they need JDK 25 and Maven."""
    session.install("-e.[test]")
    session.run("python", "-m", "pytest", "-m", "engine", *(session.posargs or ["-q"]))


@nox.session
def notebooks(session: nox.Session) -> None:
    """The tests of notebooks, with what runs them."""
    session.install("-e.[test]", *group("notebooks"))
    session.run("python", "-m", "pytest", *(session.posargs or ["-q", "tests/test_notebook.py"]))


@nox.session
def docs(session: nox.Session) -> None:
    """Write the documentation to build/site; its tests, which need the builder too, come first."""
    session.install("-e.[test]", *group("docs"))
    session.run("python", "-m", "pytest", "-q", "tests/test_docs.py")
    session.run("zensical", "build", "--strict", *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure against the published package; takes long, and wants the machine for itself."""
    session.install("-e.")
    session.run("python", "-m", "benchmarks", *session.posargs)
