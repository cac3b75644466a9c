"""`python -m kestra run`: a script, run as a task would run it."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kestra._cli import run_report
from kestra._cli.streams import show
from kestra._engine.jackson import MAX_NESTING
from kestra._engine.messages import ScriptMessages
from kestra._engine.reader import TaskReader
from kestra._engine.rules import RULES
from kestra._task.execution_context import FILE_VARIABLE
from kestra._testing import script

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from types import FrameType

_DESCRIPTION = """\
Run a Python script as a task of Kestra would (a process of its own, pipes for stdout and
stderr) and show what Kestra would keep: ordinary lines as they come, then outputs, metrics
and logs, and what would be lost, line by line, and why.

The exit status is that of the script, whatever is lost (see --strict); 128 + N where signal N
ended it; 2 where it could not be run.
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `run` to the commands of `python -m kestra`."""
    parser = commands.add_parser(
        "run",
        help="run a script as a task would, and show what Kestra would keep",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--engine",
        choices=RULES,
        default="2.0",
        help="whose rules (default: %(default)s, as far as the side goes that runs the task)",
    )
    parser.add_argument(
        "--enterprise", action="store_true", help="accept assets, as the Enterprise Edition does"
    )
    parser.add_argument(
        "--context",
        metavar="FILE",
        type=_context,
        help="a JSON object, which the script finds as its execution context",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="show one JSON object on stdout, and ordinary lines on stderr",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit with 1 where the script succeeds but something would be lost",
    )
    parser.add_argument("script", metavar="SCRIPT", type=_existing, help="the Python script")
    parser.add_argument(
        "arguments",
        metavar="ARGS",
        nargs=argparse.REMAINDER,
        help="all that follows the script is the script's, options too",
    )
    parser.set_defaults(command=_run)


def _existing(path: str) -> str:
    if not Path(path).exists():
        raise argparse.ArgumentTypeError(f"{path} does not exist")
    return path


def _context(path: str) -> str:
    try:
        context = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        context = None
    if not isinstance(context, dict):
        raise argparse.ArgumentTypeError(f"{path} must contain a JSON object")
    return str(Path(path).absolute())


def _run(options: argparse.Namespace) -> int:
    # To read, and to write, nested JSON counts as calls in some versions of Python.
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 2 * MAX_NESTING))

    engine = TaskReader(options.engine, enterprise=options.enterprise)
    screens = {"stdout": sys.stderr if options.json else sys.stdout, "stderr": sys.stderr}
    variables = {FILE_VARIABLE: options.context} if options.context else {}
    command = [options.script, *options.arguments]
    with script.start(command, variables) as process, _signals_passed_to(process):
        for stream, line in script.Output(process).lines():
            if engine.feed(line, stream):
                show(line, screens[stream])

    messages = ScriptMessages.of(engine.messages(), process.returncode)
    text_of = run_report.as_json if options.json else run_report.as_text
    show(text_of(messages, options.engine), sys.stdout)
    status = messages.exit_status
    return 1 if options.strict and messages.rejected and not status else status


@contextmanager
def _signals_passed_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGTERM or not _terminal_told_all():
            process.send_signal(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, pass_on) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)


def _terminal_told_all() -> bool:
    """Tell whether Ctrl-C reaches the script anyway: a terminal sends it to all of its job."""
    try:
        with Path("/dev/tty").open() as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return sys.platform == "win32"
