"""Other programs: their lines as log entries with a level, while they run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from functools import partial
from queue import Empty, SimpleQueue
from subprocess import DEVNULL, PIPE, CompletedProcess, TimeoutExpired
from time import monotonic
from typing import TYPE_CHECKING, Any

from kestra._task import frames, sink
from kestra._task.kill import OnKill, running
from kestra._task.logging import level_name, shortened
from kestra._task.logging_config import level_number
from kestra._values.times import as_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Literal, TypeAlias

    Level: TypeAlias = int | str
    Parse: TypeAlias = Callable[[str], Level | tuple[Level, str] | None]

GRACE = 10.0  # seconds between SIGTERM and SIGKILL
_MOST_WAITING = 1_000  # lines; then the program waits for the engine to read
# Seconds. A signal that comes right before a wait, or to another thread, is noticed at its end.
_LONGEST_WAIT = 1.0
_KILLED = object()
_LINE_ENDS = "\u0085\u2028\u2029"  # with one inside, the engine takes no line for a frame


def run(
    arguments: Sequence[str | os.PathLike[str]],
    levels: Mapping[str, Level | None],
    parse: Parse | None,
    timeout: float | None,
    *,
    check: bool,
    **options: Any,
) -> CompletedProcess[str]:
    """See `Kestra.run`; `levels` are those of `stdout` and `stderr`, `options` those of `Popen`."""
    command = _command(arguments)
    _check_options(parse, timeout, **options)
    names = {
        stream: None if level is None else level_name(level_number(level, stream))
        for stream, level in levels.items()
    }
    program = _Program(command, names, parse, options)
    status = program.relay(timeout)
    if check and status:
        raise subprocess.CalledProcessError(status, program.arguments)
    return CompletedProcess(program.arguments, status)


def _command(arguments: Any) -> list[str]:
    if isinstance(arguments, (str, bytes, os.PathLike)) or not isinstance(arguments, Iterable):
        raise _wrong(
            "arguments",
            arguments,
            'a list such as ["dbt", "build"]; for a shell, ["bash", "-c", "…"]',
        )
    command = [_path(each, f"arguments[{n}]") for n, each in enumerate(arguments)]
    if not command:
        raise ValueError('arguments is empty: name a program, as in ["dbt", "build"]')
    return command


def _check_options(parse: Any, timeout: Any, *, cwd: Any, env: Any) -> None:
    if parse is not None and not callable(parse):
        raise _wrong("parse", parse, "a function, which is called with each line")
    if timeout is not None:
        as_seconds("timeout", timeout)
    if cwd is not None:
        _path(cwd, "cwd")
    if env is not None:
        if not isinstance(env, Mapping):
            raise _wrong("env", env, 'a dict such as {**os.environ, "NAME": "value"}')
        for name, value in env.items():
            _path(name, "a name in env")
            _path(value, f"env[{name!r}]")


def _path(value: Any, name: str) -> str:
    try:
        return os.fspath(value)  # type: ignore[no-any-return]
    except TypeError:
        raise _wrong(name, value, "text or a path") from None


def _wrong(name: str, value: object, what: str) -> TypeError:
    return TypeError(f"{name} is of type {type(value).__name__}: it must be {what}")


def _judged(parsed: Any, level: str | None, line: str) -> tuple[str | None, str]:
    """Return the level and the text of a line, by what `parse` returned for it."""
    if isinstance(parsed, tuple):
        if len(parsed) != 2 or not isinstance(parsed[1], str):  # noqa: PLR2004  # a pair
            raise TypeError("parse must return a level, a tuple of a level and a text, or None")
        parsed, line = parsed
    if parsed is not None:
        level = level_name(level_number(parsed, "the level that parse returned"))
    return level, line


class _Program:
    """A program in a process group of its own, and its lines on their way."""

    def __init__(
        self,
        arguments: list[str],
        levels: Mapping[str, str | None],
        parse: Parse | None,
        options: Mapping[str, Any],
    ) -> None:
        self.arguments = arguments
        self._levels = levels
        self._parse = parse
        self._options = options
        self._queue: SimpleQueue[Any] = SimpleQueue()  # a signal handler may put into it
        self._room = threading.Semaphore(_MOST_WAITING)
        self._is_over = False

    def relay(self, timeout: float | None) -> int:
        """Run it to its end, and return its exit status."""
        deadline = None if timeout is None else monotonic() + timeout
        is_main = threading.current_thread() is threading.main_thread()
        # The kill is put off until the block has ended: first the program's last lines.
        note_kill = partial(self._queue.put, (_KILLED, ""))
        with OnKill(None, note_kill) if is_main else nullcontext() as kill:
            self._start()
            running.add(self._process.pid)
            try:
                has_ended = self._relay_until(deadline)
                if not has_ended:
                    self._end()
            except BaseException:
                self._parse = None  # it may be what fails, as may the stream
                self._end(Exception)
                raise
            finally:
                running.discard(self._process.pid)
        if timeout is not None and not has_ended and not (kill and kill.requested):
            raise TimeoutExpired(self.arguments, timeout)
        return self._process.wait()

    def _start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # the script's own
            self.arguments,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            encoding="utf-8",
            errors="replace",  # as the engine reads it
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            **self._options,
        )
        self._open = 3
        for target, *of in (
            (self._read, "stdout", self._process.stdout),
            (self._read, "stderr", self._process.stderr),
            (self._wait,),
        ):
            threading.Thread(target=target, args=of, daemon=True).start()

    def _read(self, name: str, pipe: Any) -> None:
        with pipe:
            for line in pipe:
                if not self._is_over:
                    self._room.acquire()
                    self._queue.put((name, line))
        self._queue.put((name, None))

    def _wait(self) -> None:
        self._process.wait()
        self._queue.put(("end", None))

    def _relay_until(self, deadline: float | None) -> bool:
        """Pass lines on until there are no more; return False if it has to be ended before."""
        while self._open:
            left = _LONGEST_WAIT if deadline is None else deadline - monotonic()
            if left <= 0:
                return False
            try:
                name, line = self._queue.get(timeout=min(left, _LONGEST_WAIT))
            except Empty:
                continue
            if name is _KILLED:
                return False
            if line is None:
                self._open -= 1
            else:
                self._room.release()
                self._pass_on(name, line.rstrip("\n"))
        return True

    def _pass_on(self, name: str, line: str) -> None:
        target = sink.stdout if name == "stdout" else sink.stderr
        if line.startswith("::{") and line.endswith("}::") and not set(line) & set(_LINE_ENDS):
            target.write(line)
            return
        level, text = self._levels[name], line
        try:
            if self._parse is not None and line.strip():
                level, text = _judged(self._parse(line), level, line)
        finally:  # one that `parse` fails at is passed on as it is
            if level is not None and text.strip():
                sink.stdout.write(frames.log_frame(level, shortened(text)))

    def _end(self, *ignored: type[Exception]) -> None:
        """End all that belongs to it, first with SIGTERM; its last words are still passed on."""
        try:
            self._signal("SIGTERM")
            deadline = monotonic() + GRACE
            while self._open and monotonic() < deadline:
                with suppress(*ignored):
                    self._relay_until(deadline)
        finally:
            self._is_over = True
            self._room.release(2)
            self._signal("SIGKILL")

    def _signal(self, name: Literal["SIGTERM", "SIGKILL"]) -> None:
        if sys.platform != "win32":
            with suppress(ProcessLookupError, PermissionError):  # nobody is left
                os.killpg(self._process.pid, getattr(signal, name))
            return
        try:
            if name == "SIGTERM":
                self._process.send_signal(signal.CTRL_BREAK_EVENT)
                return
        except OSError:  # there is no console, by which it would be sent
            pass
        self._process.kill()
