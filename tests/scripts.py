"""A script, run in a process of its own, and what the engine keeps of what it prints.

Every warning is an error, unless a test is about warnings.
"""

import os
import re
import subprocess
import sys

from kestra import testing

DEADLINE = 180


class Script:
    """A script that has ended, and of whose frames none was lost.

    Attributes:
        status: Its exit status; minus the number of a signal that ended it.
        stdout: What it printed.
        stderr: The same, of standard error.
        logs: Levels and messages of all entries, those of ordinary lines too.
        frames: The same, of log frames only, without the time of `Kestra.logger()`.
    """

    def __init__(self, path, *arguments, **variables):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("KESTRA_")}
        process = subprocess.run(
            [sys.executable, path, *arguments],
            env={**environment, "PYTHONWARNINGS": "error", **variables},
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )
        self.status = process.returncode
        # A text stream ends its lines as the platform does.
        self.stdout, self.stderr = (
            printed.decode().replace(os.linesep, "\n")
            for printed in (process.stdout, process.stderr)
        )
        messages = testing.parse(process.stdout, stderr=process.stderr)
        assert not messages.rejected
        self.logs = [(entry.level, entry.message) for entry in messages.logs]
        self.frames = [
            (entry.level, re.sub(r"^\S+Z - ", "", entry.message))
            for entry in messages.logs
            if entry.source == "frame"
        ]
