"""What holds for all tests, and for those of the client: a client and its server."""

import time

import pytest
from hypothesis import settings
from loopback import Loopback

from kestra import Flow

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


@pytest.fixture
def environment(monkeypatch):
    """No variable of the machine gets into a test."""
    for name in ("HOSTNAME", "USER", "PASSWORD", "API_TOKEN", "TENANT"):
        monkeypatch.delenv(f"KESTRA_{name}", raising=False)


@pytest.fixture
def slept(monkeypatch):
    """The pauses that were made, which take no time."""
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@pytest.fixture
def server():
    with Loopback() as server:
        yield server


@pytest.fixture
def flow(server, slept, environment):
    """A client of the server, for which no pause takes any time."""
    with Flow(hostname=server.url, request_timeout=(5, 0.2)) as flow:
        yield flow
