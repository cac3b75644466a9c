"""The real `python -m kestra`: in a process of its own, with pipes or on a pseudo-terminal."""

import codecs
import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time

import pytest

DEADLINE = 120
_AGAIN = 8  # seconds
COMMAND = [sys.executable, "-m", "kestra"]
POSIX_ONLY = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and terminals")

# A process that leads a session takes the terminal for its own, and becomes the command.
_ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(2, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def environment(server=None, **variables):
    """An environment in which this package and the server are found, and nothing else counts."""
    ours = ("KESTRA_", "NO_COLOR", "CI", "TERM", "COLUMNS", "FORCE_COLOR", "TTY_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    paths = os.pathsep.join(path for path in sys.path if path)
    hostname = {} if server is None else {"KESTRA_HOSTNAME": server.url}
    return {**kept, "PYTHONPATH": paths, "PYTHONUTF8": "1", "TZ": "UTC", **hostname, **variables}


def kestra(*arguments, env, command=COMMAND, **options):
    """Run a command to its end."""
    return subprocess.run(
        [*command, *arguments],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=DEADLINE,
        check=False,
        **options,
    )


@contextlib.contextmanager
def started(*arguments, env):
    """Start a command in a session of its own, without a terminal; it ends with the block."""
    with subprocess.Popen(
        [*COMMAND, *arguments],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as process:
        alarm = threading.Timer(DEADLINE, process.kill)
        alarm.start()
        try:
            yield process
        finally:
            alarm.cancel()
            process.kill()


class Terminal:
    """A command on a pseudo-terminal.

    Attributes:
        seen: All that it has shown so far.
    """

    def __init__(self, *arguments, env, command=COMMAND, **streams):
        import pty

        self.seen = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._terminal, end = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _ON_TERMINAL, *command, *arguments],
            env={"TERM": "xterm", "COLUMNS": "100", **env},
            start_new_session=True,
            **{"stdin": end, "stdout": end, "stderr": end, **streams},
        )
        os.close(end)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(DEADLINE)
        os.close(self._terminal)

    def wait_for(self, text):
        """Read until the text is there, and return what has been shown up to now."""
        assert self._read(lambda: text in self.seen), self.seen
        return self.seen

    def end(self, pressing=""):
        """Read to the end, and return the exit status.

        Args:
            pressing: What to press, and again whenever nothing happens for long: a signal that
                comes between an interpreter's last look for one and its read has to come again.
        """
        self.press(pressing)
        self._read(lambda: False, pressing)
        return self.process.wait(DEADLINE)

    def press(self, keys):
        os.write(self._terminal, keys.encode())

    def _read(self, is_enough, pressing=""):
        end = time.monotonic() + DEADLINE
        while not is_enough():
            left = max(end - time.monotonic(), 0)
            patience = min(left, _AGAIN) if pressing else left
            if not select.select([self._terminal], [], [], patience)[0]:
                assert patience < left, self.seen
                self.press(pressing)
                continue
            try:
                piece = os.read(self._terminal, 4096)
            except OSError:  # Linux says so when nobody has it open any more
                piece = b""
            if not piece:
                return False
            self.seen += self._decoder.decode(piece)
        return True


def interrupt(process):
    """Send what Ctrl-C sends."""
    process.send_signal(signal.SIGINT)
