"""A Python script, run as a task would run it: a process of its own, with pipes for its streams."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from time import monotonic
from typing import IO, TYPE_CHECKING, Any, Literal

from kestra._engine import report
from kestra._engine.lines import read_lines
from kestra._engine.messages import ScriptMessages, Stream
from kestra._engine.reader import TaskReader
from kestra._engine.rules import GRACE
from kestra._task.execution_context import FILE_VARIABLE
from kestra._testing.task_context import context_file
from kestra._values.times import as_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_QUEUED_LINES = 1_000
_SHOWN_LINES = 50
_SHOWN_CHARACTERS = 10_000
_LAST_WORDS = 5.0  # seconds after a kill for what is still in the pipes


def run_script(  # noqa: PLR0913  # keywords, each by itself
    script: str | os.PathLike[str],
    *arguments: object,
    context: Mapping[str, Any] | None = None,
    engine: str = "2.0",
    enterprise: bool = False,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    timeout: float = 60,
    kill_after: float | None = None,
    grace: float = GRACE,
    check: bool = True,
) -> ScriptMessages:
    """Run a Python script as a task would, and return what Kestra would keep of its output.

    By this interpreter, in a process of its own, with nothing on its standard input.

    Args:
        script: Its path; a relative one starts at the current directory, whatever `cwd` is.
        arguments: What it finds in `sys.argv`, as text.
        context: What it finds as its execution context; by default that of `kestra_context`,
            if any.
        engine: Whose rules, as of `parse`.
        enterprise: Accept assets, as of `parse`.
        env: Variables that it has in addition to those of this process.
        cwd: Its working directory; by default the current one.
        timeout: Seconds until it has to have ended, with all that it started and that holds its
            standard output or standard error open.
        kill_after: Seconds until it is killed as the engine kills a task: it gets SIGTERM (on
            Windows CTRL_BREAK), and so has what it started. How it ends then is no failure.
        grace: Seconds from there to SIGKILL.
        check: Raise where it fails, or where something of its output would be lost. Without it,
            read `exit_status` and `rejected`.

    Raises:
        AssertionError: It ended with another exit status than 0 (the message has the end of its
            log, so its traceback), or something would be lost (the message says what and why).
        FileNotFoundError: There is no such script.
        TimeoutError: It had not ended in time; the message has the last lines that it printed. It
            has been killed, and so has what it started (on Windows, only itself).
        TypeError: `context` holds what JSON cannot hold, or a time is not a number.
        ValueError: The engine is not known, `context` holds what the engine could not, or a time is
            negative.
    """
    __tracebackhide__ = True
    path = Path(script).absolute()
    if not path.is_file():
        raise FileNotFoundError(f"there is no script {path}")
    timeout, grace = as_seconds("timeout", timeout), as_seconds("grace", grace)
    if kill_after is not None:
        kill_after = as_seconds("kill_after", kill_after)
    reader = TaskReader(engine, enterprise=enterprise)
    with ExitStack() as stack:
        variables = dict(env or {})
        if context is not None:
            variables[FILE_VARIABLE] = stack.enter_context(context_file(context))
        command = [sys.executable, path, *arguments]
        process = start(command, variables, cwd, own_session=True)
        was_killed = stack.enter_context(killed_after(process, kill_after, grace))
        _feed(reader, process, path.name, timeout)
    messages = ScriptMessages.of(reader.messages(), process.returncode, killed=was_killed())
    if check:
        _check(messages, path.name, engine)
    return messages


def _feed(reader: TaskReader, process: subprocess.Popen[bytes], name: str, timeout: float) -> None:
    __tracebackhide__ = True
    output = Output(process)
    printed = deque[str](maxlen=_SHOWN_LINES)

    def take_until(deadline: float) -> None:
        for stream, line in output.lines(deadline):
            printed.append(report.shorten(line))
            reader.feed(line, stream)

    deadline = monotonic() + timeout
    try:
        take_until(deadline)
        process.wait(max(deadline - monotonic(), 0))
    except BaseException as error:  # Ctrl-C too
        _signal_all(process, "SIGKILL")
        process.wait()
        if not isinstance(error, (TimeoutError, subprocess.TimeoutExpired)):
            raise
        with suppress(TimeoutError):
            take_until(monotonic() + _LAST_WORDS)
        raise TimeoutError(
            f"{name} had not ended after {timeout:g} s, and was killed. "
            + _end_of("it had printed", printed)
        ) from None


def _signal_all(process: subprocess.Popen[bytes], name: Literal["SIGTERM", "SIGKILL"]) -> None:
    """Send a signal to a process and to all of its session."""
    with suppress(ProcessLookupError, PermissionError):  # nobody is left (macOS: only a zombie)
        if sys.platform != "win32":
            os.killpg(process.pid, getattr(signal, name))
        elif name == "SIGTERM":
            process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            process.kill()


@contextmanager
def killed_after(
    process: subprocess.Popen[bytes], seconds: float | None, grace: float
) -> Iterator[Callable[[], bool]]:
    """Kill a process that is still running then, as the engine kills a task.

    The process has a session of its own, and has ended when the block ends. What is yielded
    returns True if it was killed.
    """
    over, killed = Event(), Event()

    def kill() -> None:
        if not over.wait(seconds):
            killed.set()
            _signal_all(process, "SIGTERM")
            if not over.wait(grace):
                _signal_all(process, "SIGKILL")

    thread = Thread(target=kill, daemon=True)
    if seconds is not None:
        thread.start()
    try:
        yield killed.is_set
    finally:
        over.set()


def _check(messages: ScriptMessages, name: str, engine: str) -> None:
    __tracebackhide__ = True
    complaints = []
    if messages.exit_status and messages.state != "KILLED":
        log = [str(entry.message) for entry in messages.logs[-_SHOWN_LINES:]]
        complaints.append(
            f"{name} failed with exit status {messages.exit_status}. {_end_of('it logged', log)}"
        )
    if messages.rejected:
        complaints.append(report.losses(messages.rejected, engine))
    if complaints:
        complaints.append("(check=False raises nothing, for a test that expects this.)")
        raise AssertionError("\n".join(complaints))


def _end_of(what: str, lines: Iterable[str]) -> str:
    text = "\n".join(lines)[-_SHOWN_CHARACTERS:]
    return f"The end of what {what}:\n{text}" if text else f"{what.capitalize()} nothing."


def start(
    command: Iterable[object],
    variables: Mapping[str, str],
    cwd: str | os.PathLike[str] | None = None,
    *,
    own_session: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a command with `variables` added to its environment.

    In a session of its own it reads nothing, no terminal sends it signals, and it can be killed
    with all that it started. Else it shares the job and standard input of this process.
    """
    return subprocess.Popen(  # noqa: S603  # the user's own script
        list(map(str, command)),
        stdin=subprocess.DEVNULL if own_session else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **variables},
        cwd=cwd,
        start_new_session=own_session,
        # On Windows, what CTRL_BREAK is sent to.
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) if own_session else 0,
    )


class Output:
    """What a process prints to its pipes, until it and all that holds them open has ended."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._queue: Queue[tuple[Stream, str | None]] = Queue(_QUEUED_LINES)
        self._open = 2
        for pipe, stream in ((process.stdout, "stdout"), (process.stderr, "stderr")):
            Thread(target=self._read, args=(pipe, stream), daemon=True).start()

    def lines(self, deadline: float | None = None) -> Iterator[tuple[Stream, str]]:
        """Yield the lines of both streams as they come; may be called again after a TimeoutError.

        The deadline is by the monotonic clock.
        """
        while self._open:
            left = None if deadline is None else deadline - monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            try:
                stream, line = self._queue.get(timeout=left)
            except Empty:
                raise TimeoutError from None
            if line is None:
                self._open -= 1
            else:
                yield stream, line

    def _read(self, pipe: IO[bytes], stream: Stream) -> None:
        try:
            for line in read_lines(pipe):
                self._queue.put((stream, line))
        finally:
            self._queue.put((stream, None))
