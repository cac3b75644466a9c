"""`python -m kestra run`: a script, run as a task would run it."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TextIO

from kestra._cli import files
from kestra._cli.flow_file import Task, prepare
from kestra._cli.run_report import Report
from kestra._cli.streams import UNWRITTEN, OutputLost, room_on, show
from kestra._engine.jackson import MAX_NESTING
from kestra._engine.messages import ScriptMessages
from kestra._engine.reader import TaskReader
from kestra._task.execution_context import FILE_VARIABLE
from kestra._testing import script

if TYPE_CHECKING:
    import argparse
    import subprocess
    from collections.abc import Iterator
    from types import FrameType


def run(options: argparse.Namespace) -> int:
    """Run a script to its end, show what Kestra would keep, and return the exit status."""
    # To read, and to write, nested JSON counts as calls in some versions of Python.
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 2 * MAX_NESTING))
    with ExitStack() as stack:
        try:
            task = _task(options, stack)
        except (OSError, ValueError) as error:
            show(f"error: {error}", sys.stderr)
            return 2
        before = None if task.patterns else files.snapshot(task.folder)
        screen = _Screen()
        messages = _run_to_end(task, options, screen)
        kept, unmatched = files.matching(task.folder, task.patterns) if task.patterns else ([], [])
        report = Report(
            messages, options.engine, kept, unmatched, files.written(task.folder, before)
        )
        text = report.as_json() if options.json else report.as_text(room_on(sys.stdout))
        screen.show(text, sys.stdout)
    if screen.problem:
        show(f"error: {screen.problem}", sys.stderr)
    if messages.exit_status:
        return messages.exit_status
    lossy = bool(messages.rejected or unmatched)
    return UNWRITTEN if screen.problem else int(options.strict and lossy)


def _task(options: argparse.Namespace, stack: ExitStack) -> Task:
    variables = {FILE_VARIABLE: options.context} if options.context else {}
    patterns = options.output_files or []
    if not (options.flow or patterns):
        return Task([sys.executable, options.script, *options.arguments], variables)
    folder = stack.enter_context(TemporaryDirectory(prefix="kestra-"))
    variables["WORKING_DIR"] = folder
    if options.flow:
        task = prepare(options.flow, options.task, options.context, folder)
    else:
        script_path = str(Path(options.script).absolute())
        task = Task([sys.executable, script_path, *options.arguments], {}, folder)
    return replace(task, variables=variables | task.variables, patterns=[*task.patterns, *patterns])


def _run_to_end(task: Task, options: argparse.Namespace, screen: _Screen) -> ScriptMessages:
    reader = TaskReader(options.engine, enterprise=options.enterprise, wrapped=options.wrapped)
    is_killed = options.kill_after is not None
    streams = {"stdout": sys.stderr if options.json else sys.stdout, "stderr": sys.stderr}
    process = script.start(task.command, task.variables, task.folder, own_session=is_killed)
    with (
        process,
        _signals_passed_to(process, always=is_killed),
        script.killed_after(process, options.kill_after, options.grace) as was_killed,
    ):
        for stream, line in script.Output(process).lines():
            if reader.feed(line, stream):
                screen.show(line, streams[stream])
        process.wait()
    return ScriptMessages.of(reader.messages(), process.returncode, killed=was_killed())


class _Screen:
    """Shows lines and reports; that standard output cannot be written does not end the script."""

    problem = ""

    def show(self, text: str, stream: TextIO) -> None:
        try:
            show(text, stream)
        except OutputLost as error:
            self.problem = f"{error.filename}: {error.strerror}"


@contextmanager
def _signals_passed_to(process: subprocess.Popen[bytes], *, always: bool) -> Iterator[None]:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        if always or number == signal.SIGTERM or not _terminal_signals_all():
            process.send_signal(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, pass_on) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)


def _terminal_signals_all() -> bool:
    """Return True if Ctrl-C reaches the script anyway: a terminal sends it to all of its job."""
    try:
        with Path("/dev/tty").open() as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return sys.platform == "win32"
