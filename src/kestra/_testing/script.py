"""A Python script, run as a task would run it: a process of its own, with pipes for its streams."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from time import monotonic
from typing import IO, TYPE_CHECKING, Any

from kestra._engine import report
from kestra._engine.lines import read_lines
from kestra._engine.messages import ScriptMessages
from kestra._engine.reader import TaskReader
from kestra._task.execution_context import FILE_VARIABLE
from kestra._testing.task_context import context_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from kestra._engine.messages import Stream

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
        check: Raise where it fails, or where something of its output would be lost. Without it,
            look at `exit_status` and `rejected`.

    Raises:
        AssertionError: It ended with another exit status than 0 (the message has the end of its
            log, so its traceback), or something would be lost (the message says what and why).
        FileNotFoundError: There is no such script.
        TimeoutError: It had not ended in time; the message has the last lines that it printed. It
            has been killed, and so has what it started (on Windows, only itself).
        TypeError: `context` holds what JSON cannot hold.
        ValueError: The engine is not known, or `context` holds what the engine could not.
    """
    __tracebackhide__ = True
    path = Path(script).absolute()
    if not path.is_file():
        raise FileNotFoundError(f"there is no script {path}")
    reader = TaskReader(engine, enterprise=enterprise)
    with ExitStack() as stack:
        variables = dict(env or {})
        if context is not None:
            variables[FILE_VARIABLE] = stack.enter_context(context_file(context))
        process = start([path, *arguments], variables, cwd, own_session=True)
        _feed(reader, process, path.name, timeout)
    messages = ScriptMessages.of(reader.messages(), process.returncode)
    if check:
        _check(messages, path.name, engine)
    return messages


def _feed(reader: TaskReader, process: subprocess.Popen[bytes], name: str, timeout: float) -> None:
    """Let the engine read all that the process prints, until it has ended or is made to."""
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
    except (TimeoutError, subprocess.TimeoutExpired):
        _kill(process)
        with suppress(TimeoutError):
            take_until(monotonic() + _LAST_WORDS)
        raise TimeoutError(
            f"{name} had not ended after {timeout:g} s, and was killed. "
            + _end_of("it had printed", printed)
        ) from None
    except BaseException:  # Ctrl-C
        _kill(process)
        raise


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody is left (macOS: only a zombie)
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _check(messages: ScriptMessages, name: str, engine: str) -> None:
    __tracebackhide__ = True
    complaints = []
    if messages.exit_status:
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
    """Start a script, given with its arguments, with `variables` added to its environment.

    Args:
        command: Its path and its arguments.
        variables: What its environment has in addition.
        cwd: Its working directory.
        own_session: It reads nothing, no terminal sends it signals, and it can be killed with all
            that it started. Else it shares the job and standard input of this process.
    """
    return subprocess.Popen(  # noqa: S603  # the user's own script
        [sys.executable, *map(str, command)],
        stdin=subprocess.DEVNULL if own_session else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **variables},
        cwd=cwd,
        start_new_session=own_session,
    )


class Output:
    """What a process prints, until it and all that holds its pipes has ended.

    Args:
        process: One whose standard output and standard error are pipes, which are closed here.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._queue: Queue[tuple[Stream, str | None]] = Queue(_QUEUED_LINES)
        self._open = 0
        for pipe, stream in ((process.stdout, "stdout"), (process.stderr, "stderr")):
            Thread(target=self._read, args=(pipe, stream), daemon=True).start()
            self._open += 1

    def lines(self, deadline: float | None = None) -> Iterator[tuple[Stream, str]]:
        """Yield the lines of both streams in the order of their arrival; may be called again.

        Args:
            deadline: By the monotonic clock.

        Raises:
            TimeoutError: The deadline is over.
        """
        while self._open:
            stream, line = self._next(deadline)
            if line is None:
                self._open -= 1
            else:
                yield stream, line

    def _next(self, deadline: float | None) -> tuple[Stream, str | None]:
        if deadline is None:
            return self._queue.get()
        left = deadline - monotonic()
        if left > 0:
            with suppress(Empty):
                return self._queue.get(timeout=left)
        raise TimeoutError

    def _read(self, pipe: IO[bytes], stream: Stream) -> None:
        try:
            for line in read_lines(pipe):
                self._queue.put((stream, line))
        finally:
            self._queue.put((stream, None))
