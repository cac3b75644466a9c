"""What holds for all tests, and what those of several files share."""

import math
import shutil
import signal
import ssl
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import requests
import yaml
from hypothesis import settings
from loopback import Loopback, silence
from scripts import Script

from kestra import Flow, Kestra, testing
from kestra._http import adapter, async_transport, asynchronous, blocking

DATA = Path(__file__).parent / "data"
EXAMPLES = DATA.parent.parent / "examples"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # What runs in the background of a shell ignores it, and hands that on to what it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


pytest.register_assert_rewrite("pages", "real_engine")  # their assertions show what differs


def pytest_addoption(parser):
    """Let the tests with the real engine write what they would compare with."""
    parser.addoption(
        "--rewrite-types",
        action="store_true",
        help="write docs/types.md by what the engines keep, where -m engine runs them",
    )


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
    """A client of the server, for which no pause takes any time.

    It is patient, so that a test may count requests and connections on a busy machine, too.
    """
    with Flow(hostname=server.url, request_timeout=(5, 5)) as flow:
        yield flow


@pytest.fixture
def patience(monkeypatch):
    """A short timeout is for faults that only a timeout ends; else the machine may be busy."""
    send, send_async = blocking.send, asynchronous.send

    @contextmanager
    def patiently(request):
        settings = request.settings
        params = request.arguments.get("params")
        sent = requests.Request(request.method, request.url, params=params).prepare()
        with silence(sent.method, sent.url) as is_silent:
            if not is_silent:
                request.settings = replace(settings, timeout=(30, 30))
            try:
                yield
            finally:
                request.settings = settings

    def patient(session, request, left):
        with patiently(request):
            return send(session, request, left)

    async def patient_async(sessions, request, left):
        with patiently(request):
            return await send_async(sessions, request, left)

    monkeypatch.setattr(blocking, "send", patient)
    monkeypatch.setattr(asynchronous, "send", patient_async)


@pytest.fixture
def lasting_connections(monkeypatch):
    """No connection is given up for being idle, however long a busy machine takes."""
    monkeypatch.setattr(adapter, "_LONGEST_IDLE", math.inf)
    monkeypatch.setattr(async_transport._LIMITS, "keepalive_expiry", None)


@pytest.fixture
def hasty(flow, patience):
    """The same client, which soon gives up on a server that does not respond."""
    flow.request_timeout = (5, 0.1)
    return flow


@pytest.fixture(scope="session")
def certificate():
    """A certificate for the loopback, and its key, in one file."""
    return DATA / "loopback.pem"


@pytest.fixture
def tls(certificate):
    """What a server speaks TLS with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def tls_server(tls):
    with Loopback(tls=tls) as server:
        yield server


# --- for the pages of the documentation ---


class Servers(NamedTuple):
    """What stands for Kestra on the pages: for Python in this process, and for commands."""

    fake: testing.FakeKestra
    loopback: Loopback


def render(inputs):
    """What the task of the flow `report` does."""
    Kestra.timer("render", 1.5)
    Kestra.send({"logs": [{"level": "WARN", "message": "there is no logo"}]})
    return {"pages": 3, "report": f"Report of {inputs['day']}\n".encode()}


@pytest.fixture
def documented(request, monkeypatch, environment):
    """Servers with the flow of the pages, of 2.0 if a test does not say another version."""
    monkeypatch.setenv("REPORTS_TOKEN", "t0ken")
    monkeypatch.setenv("REPORTS_PASSWORD", "s3cret")
    declared = yaml.safe_load((EXAMPLES / "client" / "report.yaml").read_text())["inputs"]
    version = getattr(request, "param", "2.0")
    with testing.FakeKestra(version=version) as fake, Loopback() as loopback:
        fake.flow(
            "company.team",
            "report",
            render,
            inputs={each.pop("id"): each for each in declared},
            revisions=(1, 2, 3),
            tasks=("render",),
        )
        task = {"id": "run1", "taskId": "render", "state": {"current": "SUCCESS"}}
        loopback.engine.shown = {"taskRunList": [task], "outputs": {"pages": 3}}
        entry = {"level": "WARN", "message": "there is no logo", "taskId": "render"}
        loopback.engine.entries = [entry]
        yield Servers(fake, loopback)


@pytest.fixture
def entries(capsys):
    """Return a function that tells levels and messages of what was printed since the last call."""

    def printed():
        captured = capsys.readouterr()
        messages = testing.parse(captured.out, stderr=captured.err)
        assert not messages.rejected
        return [(entry.level, entry.message) for entry in messages.logs]

    return printed


@pytest.fixture
def script(tmp_path):
    """Return a function that runs code as a script."""

    def run(code, **variables):
        path = tmp_path / "script.py"
        path.write_text(code, "utf-8")
        return Script(path, **variables)

    return run


@pytest.fixture
def folder(tmp_path):
    """A folder with the files that snippets read."""
    shutil.copy(EXAMPLES / "in_task" / "orders.csv", tmp_path)
    (tmp_path / "orders.ion").write_text("{id: 7, total: 80.5}\n{id: 8, total: 12.0}\n")
    return tmp_path
