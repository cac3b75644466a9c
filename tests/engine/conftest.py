"""Tests that the engine itself judges: `pytest -m engine`; they need JDK 25 and Maven.

One engine of each version serves the whole run. `TaskReader` is held to it on every line.
"""

import contextlib
import subprocess

import pytest
from real_engine import VERSIONS, Missing, RealEngine

from kestra import testing


@pytest.fixture(scope="session")
def engines():
    """An engine of each version, running."""
    with contextlib.ExitStack() as stack:
        try:
            started = [stack.enter_context(RealEngine(version)) for version in VERSIONS]
        except Missing as missing:
            pytest.exit(str(missing), returncode=1)
        yield dict(zip(VERSIONS, started, strict=True))


@pytest.fixture(params=VERSIONS)
def engine(request, engines):
    """One engine after the other."""
    return engines[request.param]


@pytest.fixture
def processes_in_the_engine(engine, monkeypatch):
    """Processes that a test runs are run by the engine."""
    monkeypatch.setattr(subprocess, "run", engine.run)


@pytest.fixture
def texts_in_the_engine(engine, monkeypatch):
    """Texts that a test parses are read by the engine too."""
    parse = testing.parse

    def parse_and_compare(lines, *, stderr=(), **options):
        lines, stderr = as_bytes(lines), as_bytes(stderr)
        engine.read(lines, stderr)
        return parse(lines, stderr=stderr, **options)

    monkeypatch.setattr(testing, "parse", parse_and_compare)


def as_bytes(lines):
    """Text, or lines, of either type, as what a task writes."""
    if isinstance(lines, (str, bytes)):
        lines = [lines]
    return b"\n".join(
        line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line for line in lines
    )
