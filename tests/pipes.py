"""Scripts in processes of their own, as tasks are, with real pipes for their streams."""

import contextlib
import os
import select
import subprocess
import sys
import threading
from pathlib import Path
from subprocess import PIPE

DEADLINE = 180

_START = "import os, sys\nfrom kestra import Kestra\n"
_MATTERS = ("KESTRA_", "PYTHONIOENCODING", "PYTHONUNBUFFERED", "PYTHONUTF8")


def run(script, *arguments, options=(), stdout=PIPE, stderr=PIPE, **variables):
    """Run a script, code or a file, to its end; its status and the bytes of its streams."""
    return subprocess.run(
        _command(script, arguments, options),
        env=environment(variables),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        timeout=DEADLINE,
        check=False,
    )


@contextlib.contextmanager
def started(script, *arguments, options=(), stdout=PIPE, **variables):
    """A script that runs; when the block ends, it does not."""
    with subprocess.Popen(
        _command(script, arguments, options),
        env=environment(variables),
        stdin=PIPE,
        stdout=stdout,
        stderr=PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(script, *arguments, options=(), **variables):
    """The lines that a script prints, each as it comes; it has to end well, without complaint."""
    with started(script, *arguments, options=options, **variables) as process:
        deadline = threading.Timer(DEADLINE, process.kill)
        deadline.start()
        try:
            yield from process.stdout
            assert process.stderr.read() == b""
            assert process.wait() == 0
        finally:
            deadline.cancel()


def run_unread(script, *arguments, notes=1, options=(), **variables):
    """Run a script whose stdout is not read before it has written some `!` to stderr.

    The notes are not in the stderr that is returned.
    """
    with started(script, *arguments, options=options, **variables) as process:
        stderr = read_notes(process, notes)
        out, rest = process.communicate(timeout=DEADLINE)
    stderr = (stderr + rest).replace(b"!", b"")
    return subprocess.CompletedProcess(process.args, process.returncode, out, stderr)


def read_notes(process, notes=1):
    """Wait until a script has written so many `!` to stderr; what came there until then."""
    stderr = b""
    while stderr.count(b"!") < notes:
        assert select.select([process.stderr], [], [], DEADLINE)[0], "the script hangs"
        chunk = os.read(process.stderr.fileno(), 4096)
        assert chunk, stderr
        stderr += chunk
    return stderr


def said(script, status=0):
    """The lines of stdout of a script that ended as it should, and complained of nothing."""
    assert script.stderr == b""
    assert script.returncode == status
    assert script.stdout[-1:] in {b"", b"\n"}
    return text(script.stdout).split("\n")[:-1]


def text(printed):
    """The text of a stream; on Windows its lines, but those of frames, end in `\\r\\n`."""
    return printed.decode().replace(os.linesep, "\n")


def _command(script, arguments, options):
    code = [str(script)] if isinstance(script, Path) else ["-c", _START + script]
    return [sys.executable, *options, *code, *map(str, arguments)]


def environment(variables):
    """That of this process, without what changes how a script prints."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(_MATTERS)}
    return {**inherited, **variables}
