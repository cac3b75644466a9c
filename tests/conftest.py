"""What holds for all tests, and for those of the client: a client and its server."""

import shutil
import ssl
import subprocess
import time

import pytest
from hypothesis import settings
from loopback import Loopback

from kestra import Flow

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


pytest.register_assert_rewrite("real_engine")  # its assertions show what differs


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
    """A client of the server, for which no pause takes any time."""
    with Flow(hostname=server.url, request_timeout=(5, 0.2)) as flow:
        yield flow


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate for the loopback, and its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "tls.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
               "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path,
               "-out", path.with_suffix(".crt")]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


@pytest.fixture
def tls_server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Loopback(tls=context) as server:
        yield server
