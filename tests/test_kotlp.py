"""Under `kotlp`, which swallows frames: a script is warned, once."""

import pipes
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a wrapper made of a shell script")

ENVIRONMENT = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
}
SENDING = {
    "outputs": "Kestra.outputs({'a': 1})\nKestra.outputs({'a': 2})\nprint('x')",
    "logger": "Kestra.logger().warning('a')\nKestra.logger().info('b')",
    "print": "print('a', flush=True)\nKestra.outputs({'a': 1})",
    "nothing": "",
}
HANDLER = """
import logging
from kestra import KestraHandler
logging.getLogger().addHandler(KestraHandler())
logging.warning("a")
"""


@pytest.fixture
def under(tmp_path):
    """Run a script below a process of a name."""

    def run(name, script, **variables):
        wrapper = tmp_path / name
        wrapper.write_text('#!/bin/sh\n"$@"\nexit $?\n')
        wrapper.chmod(0o755)
        return subprocess.run(
            [wrapper, "/bin/sh", "-c", '"$@"; exit $?', "sh", *pipes._command(script, (), ())],
            env=pipes.environment(variables),
            capture_output=True,
            text=True,
            timeout=pipes.DEADLINE,
            check=True,
        )

    return run


@pytest.mark.parametrize("script", SENDING.values(), ids=SENDING)
def test_one_warning_on_standard_error(under, script):
    """One sentence with the remedy, whatever is sent first."""
    done = under("kotlp", script, **ENVIRONMENT)
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("::{")]
    assert line.startswith("kestra: this task runs under kotlp, which turns outputs, metrics and")
    assert "--log-dir" in line
    assert "kotlp" not in done.stdout


def test_a_script_with_a_handler_only(under, tmp_path):
    """It is warned too, though it never loads `Kestra`."""
    script = tmp_path / "script.py"
    script.write_text(HANDLER)
    done = under("kotlp", script, **ENVIRONMENT)
    assert done.stderr.startswith("kestra: this task runs under kotlp")


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("other", ENVIRONMENT),
        ("kotlp", {}),
        ("kotlp", {**ENVIRONMENT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}),
        ("kotlp", {**ENVIRONMENT, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}),
    ],
)
def test_nothing_where_one_sign_is_missing(under, name, variables):
    """A local collector has the same variables, and a program may have any name."""
    assert under(name, SENDING["outputs"], **variables).stderr == ""


def test_a_closed_standard_error_is_no_reason_to_fail(under):
    """The warning is dropped then."""
    under("kotlp", "import sys; sys.stderr = None; Kestra.outputs({'a': 1})", **ENVIRONMENT)
