"""`python -m kestra run`: a script, run as a task would run it."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TextIO

from kestra._cli import files
from kestra._cli.flow_file import NeedsServer, read_task
from kestra._cli.run_report import Report
from kestra._cli.streams import UNWRITTEN, OutputLost, room_on, show
from kestra._cli.values import seconds
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

    from kestra._engine.messages import Stream

_DESCRIPTION = """\
Run a Python script as a task of Kestra would (a process of its own, pipes for stdout and
stderr) and show what Kestra would keep: ordinary lines as they come, then outputs, metrics
and logs, and what would be lost, line by line, and why.

The exit status is that of the script, whatever is lost (see --strict); 128 + N where signal N
ended it; 2 where it could not be run; 5 where it succeeded but standard output could not be
written.
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
        help="whose rules (default: %(default)s)",
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
        help="exit with 1 where the script succeeds but something would be lost, or a pattern of "
        "--output-files matches nothing",
    )
    parser.add_argument(
        "--kill-after",
        metavar="SECONDS",
        type=seconds,
        help="kill the script then, as the engine kills a task: SIGTERM, and SIGKILL later",
    )
    parser.add_argument(
        "--grace",
        metavar="SECONDS",
        type=seconds,
        default=script.GRACE,
        help="from SIGTERM to SIGKILL (default: %(default)g)",
    )
    parser.add_argument(
        "--output-files",
        metavar="PATTERN",
        action="append",
        help="run it in a directory of its own, and show which files outputFiles would keep "
        "(repeatable)",
    )
    script_action = parser.add_argument(
        "script", metavar="SCRIPT", type=_existing, help="the Python script"
    )
    arguments_action = parser.add_argument(
        "arguments",
        metavar="ARGS",
        nargs=argparse.REMAINDER,
        help="all that follows the script is the script's, options too",
    )

    class FlowFile(argparse.Action):
        """With a flow, there is no script on the command line."""

        def __call__(self, _parser: Any, namespace: Any, value: Any, _option: Any = None) -> None:
            namespace.flow = value
            script_action.required = arguments_action.required = False

    parser.add_argument(
        "--flow",
        metavar="FILE",
        type=_existing,
        action=FlowFile,
        help="a flow in YAML, in place of SCRIPT; with --task ID, run that task of it",
    )
    parser.add_argument("--task", metavar="ID", help="the id of the task in --flow")
    parser.set_defaults(command=_run, check=lambda options: _check(parser, options))


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if options.flow and options.script:
        parser.error("--flow takes the place of SCRIPT: give one of them")
    if bool(options.flow) != bool(options.task):
        parser.error("--flow FILE and --task ID belong together")


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
    options.check(options)
    # To read, and to write, nested JSON counts as calls in some versions of Python.
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 2 * MAX_NESTING))
    with ExitStack() as stack:
        try:
            task = _task(options, stack)
        except NeedsServer as error:
            show(f"error: {error}", sys.stderr)
            return 2
        before = None if task.patterns else files.snapshot(task.folder)
        screen = _Screen(options)
        messages = _run_to_end(task, options, screen)
        kept, unmatched = files.matching(task.folder, task.patterns) if task.patterns else ([], [])
        report = Report(
            messages, options.engine, kept, unmatched, files.written(task.folder, before)
        )
        if options.json:
            screen.show(report.as_json(), sys.stdout)
        else:
            screen.show(report.as_text(room_on(sys.stdout)), sys.stdout)
    if screen.problem:
        show(f"error: {screen.problem}", sys.stderr)
    if messages.exit_status:
        return messages.exit_status
    lossy = bool(messages.rejected or unmatched)
    return UNWRITTEN if screen.problem else int(options.strict and lossy)


@dataclass
class _Task:
    """What is run: in a directory of its own where there are patterns of files to keep."""

    command: list[str]
    variables: dict[str, str]
    folder: str
    patterns: list[str]


def _task(options: argparse.Namespace, stack: ExitStack) -> _Task:
    variables = {FILE_VARIABLE: options.context} if options.context else {}
    patterns = options.output_files or []
    if not (options.flow or patterns):
        return _Task([sys.executable, options.script, *options.arguments], variables, ".", [])
    folder = stack.enter_context(TemporaryDirectory(prefix="kestra-"))
    variables["WORKING_DIR"] = folder
    if options.flow:
        task = read_task(options.flow, options.task, options.context)
        command = task.prepare(folder)
        patterns = [*task.output_files, *patterns]
        variables |= task.variables()
    else:
        command = [sys.executable, str(Path(options.script).absolute()), *options.arguments]
    return _Task(command, variables, folder, patterns)


def _run_to_end(task: _Task, options: argparse.Namespace, screen: _Screen) -> ScriptMessages:
    reader = TaskReader(options.engine, enterprise=options.enterprise)
    is_killed = options.kill_after is not None
    process = script.start(task.command, task.variables, task.folder, own_session=is_killed)
    with (
        process,
        _signals_passed_to(process, always=is_killed),
        script.killed_after(process, options.kill_after, options.grace) as was_killed,
    ):
        for stream, line in script.Output(process).lines():
            if reader.feed(line, stream):
                screen.line(line, stream)
        process.wait()
    return ScriptMessages.of(reader.messages(), process.returncode, killed=was_killed())


class _Screen:
    """Shows lines and reports; that standard output cannot be written does not end the script."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._streams = {"stdout": sys.stderr if options.json else sys.stdout, "stderr": sys.stderr}
        self.problem = ""

    def line(self, line: str, stream: Stream) -> None:
        self.show(line, self._streams[stream])

    def show(self, text: str, stream: TextIO) -> None:
        try:
            show(text, stream)
        except OutputLost as error:
            self.problem = f"{error.filename}: {error.strerror}"


@contextmanager
def _signals_passed_to(process: subprocess.Popen[bytes], *, always: bool) -> Iterator[None]:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        if always or number == signal.SIGTERM or not _terminal_told_all():
            process.send_signal(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, pass_on) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)


def _terminal_told_all() -> bool:
    """Return True if Ctrl-C reaches the script anyway: a terminal sends it to all of its job."""
    try:
        with Path("/dev/tty").open() as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return sys.platform == "win32"
