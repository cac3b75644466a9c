"""One command for each task; `nox` alone runs all that must hold before a change lands.

`nox -s tests-3.12 -- tests/test_flow.py` hands what follows `--` on to pytest. Versions of Python
that are not there are skipped.
"""

from pathlib import Path

import nox

nox.needs_version = ">=2025.11.12"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "wheel", "tests", "docs", "lowest", "coverage"]

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
WHEELS = Path("build/dist")

TEST_TOOLS = [
    "pandas",  # values of these two are converted, in scripts that use them
    "pydantic",
    "pytest-xdist",
]
ON_ALL_CORES = ["-q", "-n", "auto", "--dist", "worksteal"]
# The tests of what the dependencies, those of extras too, do for this package.
DEPENDENT = [
    "tests/test_adapter.py",
    "tests/test_connections.py",
    "tests/test_examples.py",
    "tests/test_fake.py",
    "tests/test_flow.py",
    "tests/test_ion.py",
    "tests/test_logging_config.py",
    "tests/test_logging_handler.py",
    "tests/test_multipart.py",
    "tests/test_reading.py",
    "tests/test_retry.py",
    "tests/test_steering.py",
    "tests/test_testing_pytest.py",
    "tests/test_transport.py",
]


@nox.session
def lint(session: nox.Session) -> None:
    """Style and format, by ruff."""
    session.install("ruff")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Types, by mypy and by pyright, which infer differently; users have either."""
    session.install("-e.[dev]")
    session.run("mypy")
    session.run("basedpyright", "-p", ".", "--pythonpath", f"{session.bin}/python")


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the distributions, and weigh the wheel."""
    session.install("build", "pip", "twine")
    for old in WHEELS.glob("*"):
        old.unlink()
    session.run("python", "-m", "build", "--outdir", str(WHEELS))
    session.run("twine", "check", "--strict", *map(str, WHEELS.glob("*")))
    session.run("python", ".ci/weight.py", str(*WHEELS.glob("*.whl")))


@nox.session(python=PYTHONS, requires=["wheel"])
def tests(session: nox.Session) -> None:
    """The tests, against the wheel, on one Python."""
    (built,) = WHEELS.glob("*.whl")
    session.install(f"{built}[test]", *TEST_TOOLS)
    session.run("python", "-m", "pytest", *(session.posargs or ON_ALL_CORES))


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Prove the lower bounds of the dependencies, on the oldest Python."""
    extras = PROJECT["project"]["optional-dependencies"]
    bounds = PROJECT["project"]["dependencies"] + extras["ion"] + extras["testing"]
    session.install("-e.[test]", "pytest-xdist", *(bound.replace(">=", "==") for bound in bounds))
    session.run("python", "-m", "pip", "freeze", "--exclude-editable")
    # The oldest urllib3 leaves sockets of failed handshakes to the garbage collector.
    options = [*ON_ALL_CORES, "-W", "ignore:unclosed:ResourceWarning", *DEPENDENT]
    session.run("python", "-m", "pytest", *(session.posargs or options))


@nox.session
def coverage(session: nox.Session) -> None:
    """Branches that the tests reach, also in processes that they start; those of load add none."""
    session.install("-e.[test]", *TEST_TOOLS)
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *ON_ALL_CORES, "-m", "not load")
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report", "--fail-under=98")


@nox.session
def engine(session: nox.Session) -> None:
    """The tests that the engine itself judges; they need JDK 25 and Maven."""
    session.install("-e.[test]", *TEST_TOOLS)
    session.run("python", "-m", "pytest", "-m", "engine", *(session.posargs or ["-q"]))


@nox.session
def docs(session: nox.Session) -> None:
    """Write the documentation to build/site; its tests, which need the builder too, come first."""
    session.install("-e.[docs,test]")
    session.run("python", "-m", "pytest", "-q", "tests/test_docs.py")
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure against the published package; takes long, and wants the machine for itself."""
    session.install("-e.[bench]")
    session.run("python", "-m", "benchmarks", *session.posargs)
