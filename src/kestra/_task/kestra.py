"""What a task tells the engine (outputs, metrics, assets, logs), and the data it reads."""

from __future__ import annotations

from kestra._task import frames
from kestra._task.sink import stdout
from kestra._values.loading import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import timedelta
    from decimal import Decimal
    from fractions import Fraction
    from logging import Formatter, Logger
    from os import PathLike
    from subprocess import CompletedProcess
    from typing import Any, TypeAlias, TypeVar, overload

    from kestra._task.kill import OnKill
    from kestra._task.timing import Timing

    T = TypeVar("T")
    Number: TypeAlias = int | float | Decimal | Fraction | str
    Tags: TypeAlias = Mapping[str, Any] | None
else:

    def overload(function):  # noqa: ANN001, ANN202  # typed above, where `typing` is free
        """Do nothing, as `typing.overload` does at run time; its import costs more than this."""
        return function


_UNSET: Any = object()
_print = print  # as it was when this was imported
_write = stdout.write  # looked up once, not for every frame


class Kestra:
    """What a script says to Kestra while a Script or Commands task runs it.

    Each call prints one frame, one line of standard output that the engine picks out, and has
    delivered it when it returns::

        Kestra.outputs({"rows": 42})
        Kestra.counter("rows", 42, {"table": "orders"})
        Kestra.logger().warning("3 rows had no key")

    Importing this class sets a hook on `sys.stdout.write` and `sys.stderr.write`, so that a frame
    always starts a line of its own; `KESTRA_STDOUT_HOOK=0` in the environment leaves it out.

    A value that an engine would drop, or crash on, is refused before a byte is written, with a
    `TypeError` or a `ValueError` that names the key path and the remedy.
    """

    _logger: Logger | None = None

    @staticmethod
    def send(map_: Mapping[str, Any]) -> None:
        """Print the frame of a message.

        A test that replaces `Kestra._send`, as this is called in 2.0.0, gets what every other call
        sends, `logger()` aside.

        Args:
            map_: The message, as for `format`, which also says what is refused.

        Raises:
            BrokenPipeError: The reader of standard output is gone. Raised once; what follows is
                dropped.
            RuntimeError: There is no standard output (`sys.stdout` is None).
            ValueError: One metric name, with the same tag names, was sent as another type before.
        """
        frame = Kestra.format(map_)
        if "metrics" in map_ and not hasattr(print, "assert_called"):  # a mock keeps it to itself
            types = stdout.types()
            for metric in map_["metrics"]:
                types.claim(metric["name"], metric["type"], metric.get("tags"))
        if print is _print:
            _write(frame)
        else:  # a test has replaced it, and expects the frame there, as 2.0.0 did it
            print(frame)  # noqa: T201

    _send = send

    format = staticmethod(frames.encode)
    """Make the frame of a message, without its line end; nothing is printed.

    `format(map_)` takes the message, `{"outputs": {…}}`, `{"metrics": […]}`, `{"logs": […]}`,
    `{"assets": {…}}` or several of them in one, and returns text. It raises a `TypeError` or a
    `ValueError` for what an engine would drop, or crash on, as the calls that send do.
    """

    @staticmethod
    def metrics(name: str, type_: str, value: Any, tags: Tags = None) -> None:
        """Send one metric, as `counter`, `timer` and `gauge` do, which say what they raise.

        Args:
            name: 1 to 150 characters.
            type_: `"counter"`, `"timer"` or `"gauge"`.
            value: A finite number, or text that is one; of a timer, seconds.
            tags: Scalars by name; one that is None is left out.
        """
        tags = tags or {}
        if _is_replaced():
            message = {"name": name, "type": type_, "value": value, "tags": tags}
            Kestra._send({"metrics": [message]})
            return
        frame = frames.usual_metric_frame(name, type_, value, tags)
        if frame is None:
            frame = frames.metric_frame(name, type_, value, tags)
        stdout.write_metric(frame, name, type_, tags)

    _metrics = metrics

    @staticmethod
    def outputs(map_: Mapping[str, Any]) -> None:
        """Send outputs of the task, for later tasks as `{{ outputs.<task id>.vars.<key> }}`.

        Several calls are merged, the last value of a key wins. Not for large data: write those to
        a file and declare it in the task's `outputFiles`.

        Args:
            map_: Names and values. A datetime, date or time is sent as ISO 8601, a timedelta as
                an ISO 8601 duration, a UUID, Path or Decimal as text, an Enum as its value, a
                set or generator as a list, a dataclass or pydantic model as an object, NumPy's
                scalars and arrays as numbers and lists, NaN and the infinities as null.

        Raises:
            TypeError: `map_` is not a mapping, or holds bytes, a DataFrame, or another value that
                JSON cannot hold.
            ValueError: It holds a lone surrogate, a circular reference, two keys that become the
                same, more than 1,000 levels, an integer of more than 1,000 digits, or a text of
                20,000,000 characters or more.
        """
        frame = frames.small_outputs_frame(map_)
        if frame is None or _is_replaced():
            Kestra._send({"outputs": map_})
        else:
            _write(frame)

    @staticmethod
    def assets(map_: Mapping[str, Any]) -> None:
        """Send the assets that the task read and wrote; for the Enterprise Edition only.

        The open-source engines 1.3 and 2.0 stop reading the task's output at such a frame: its
        other parts and every later line of the task are lost, and the task still succeeds. 0.21
        ignores it.

        Args:
            map_: `{"inputs": [{"id": …}], "outputs": [{"id": …, "type": "TABLE", …}]}`.

        Raises:
            TypeError: `map_` is not a mapping.
        """
        Kestra._send({"assets": map_})

    @staticmethod
    def counter(name: str, value: Number, tags: Tags = None) -> None:
        """Add to a counter; counts of the same name and tags add up over the task.

        Args:
            name: 1 to 150 characters.
            value: A finite number, or text that is one.
            tags: Scalars by name; one that is None is left out.

        Raises:
            TypeError: The value is not a number, or a tag not a scalar.
            ValueError: The value is not finite, the name empty or too long, or this name with
                tags of these names was sent as another type of metric.
        """
        Kestra._metrics(name, "counter", value, tags)

    @overload
    @staticmethod
    def timer(name: str, *, tags: Tags = None) -> Timing: ...
    @overload
    @staticmethod
    def timer(name: str, duration: Callable[[], T], tags: Tags = None) -> T: ...  # noqa: F811
    @overload
    @staticmethod
    def timer(name: str, duration: Number | timedelta, tags: Tags = None) -> None: ...  # noqa: F811
    @staticmethod
    def timer(name: str, duration: Any = _UNSET, tags: Tags = None) -> Any:  # noqa: F811
        """Record how long something took; timers of the same name and tags add up.

        Four ways, all in seconds::

            Kestra.timer("load", 1.5)
            rows = Kestra.timer("load", load)  # calls load() and returns its result
            with Kestra.timer("load"): ...
            @Kestra.timer("load")
            def load(): ...

        The last three measure with a monotonic clock, and send the time also where the code
        raises. Their name and tags are checked before it runs.

        Args:
            name: 1 to 150 characters.
            duration: A number of seconds, a `timedelta`, text that is either (`"1.5"`,
                `"PT1.5S"`), or what to call. Left out: a context manager and decorator.
            tags: Scalars by name; one that is None is left out.

        Raises:
            TypeError: The duration is none of these, or a tag not a scalar. Or it is, or the
                decorated one is, a generator function, or a coroutine function that is called
                and not awaited here: such a call is over before any of the work is done.
            ValueError: As for `counter`; or beyond 9,223,372,036 seconds.
        """
        if duration is not _UNSET and not callable(duration):
            return Kestra._metrics(name, "timer", duration, tags)
        load("kestra._task.timing")
        from kestra._task.timing import Timing

        timing = Timing(name, tags, Kestra._metrics)
        return timing if duration is _UNSET else timing.call(duration)

    @staticmethod
    def gauge(name: str, value: Number, tags: Tags = None) -> None:
        """Set a gauge; of the same name and tags the last value wins. Not on engines before 1.0.

        Takes and raises what `counter` does.
        """
        Kestra._metrics(name, "gauge", value, tags)

    @staticmethod
    def logger() -> Logger:
        """The logger whose records become log entries of the task, each at its own level.

        Below WARNING to standard output, the rest to standard error. It lets every level
        through; one between two named ones counts as the lower (25 is INFO), below DEBUG is
        TRACE, CRITICAL is ERROR.
        """
        if Kestra._logger is None:
            load("kestra._task.logging")
            from kestra._task.logging import task_logger

            Kestra._logger = task_logger(_json_formatter)
        return Kestra._logger

    @staticmethod
    def configure_logging(
        level: int | str | None = None,
        *,
        capture_warnings: bool = True,
        capture_exceptions: bool = True,
        capture_prints: bool = False,
        stderr_level: int | str = "WARNING",
    ) -> None:
        """Send all that a script logs to the engine, each record with its own level.

        `logging` writes to standard error, and the engine takes every line there for an error.
        One call at the top of a script routes the root logger, `warnings` and uncaught exceptions
        through `kestra.KestraHandler`: one log entry each, traceback included. The exit status
        stays what it would have been.

        Handlers that write to standard output or error, of any logger, are set aside; others
        (files, caplog, Sentry) stay. To call it twice changes nothing, unless a library has set
        up handlers of its own in between: those are then set aside too.

        Args:
            level: The least level of the root logger. Default: that of the environment variable
                `KESTRA_LOGGING_LEVEL`, else INFO.
            capture_warnings: Warnings become WARN entries of the logger `py.warnings`.
            capture_exceptions: An exception that nobody catches, of the main thread, another
                thread, or one that Python can only report (in `__del__`), becomes one ERROR
                entry. A hook that was set before is called after it.
            capture_prints: Each line that is printed becomes an entry of the logger `print`, a
                traceback one as a whole; blank lines none. What the script prints on standard
                output is INFO; below `level`, it is printed as it is. The output of other programs
                is not included: see `run`.
            stderr_level: The level of what the script prints on standard error.

        Raises:
            ValueError: The level, or that of the environment variable, is not valid.
        """
        from kestra._task.logging_config import configure

        configure(
            level,
            capture_warnings=capture_warnings,
            capture_exceptions=capture_exceptions,
            capture_prints=capture_prints,
            stderr_level=stderr_level,
        )

    @staticmethod
    def on_kill(cleanup: Callable[[], object] | None = None) -> OnKill:
        """Do something before the end when the task is killed, or its container stopped (SIGTERM).

        From this call on; as a context manager, until the end of the block; as a decorator, while
        the function runs::

            with Kestra.on_kill(cleanup): ...
            @Kestra.on_kill(cleanup)
            def main(): ...

        The cleanup is called once, in the main thread, wherever that is; what it sends and prints
        is delivered. Then the process ends, with the status of the signal. Of several, the last
        one comes first, and last a handler of the signal that was set before. A child by `fork`
        does not call it.

        Without a cleanup, the end is put off until the block has ended, so that a loop can end
        when it likes::

            with Kestra.on_kill() as kill:
                for batch in batches:
                    if kill.requested:
                        break

        (Without `with`, it is then up to the script to end.) An error that then ends the block is
        reported like any uncaught error. After a grace period, the engine kills for good. On
        Windows, it is about CTRL_BREAK.

        Raises:
            TypeError: `cleanup` is not a function, needs arguments, or is a generator or coroutine
                function; or the decorated one is a generator function.
            ValueError: This is not the main thread, the only one that handles signals.
        """
        from kestra._task.kill import OnKill

        return OnKill(cleanup)

    @staticmethod
    def restore_logging() -> None:
        """Undo what `configure_logging` did: handlers, level, warnings and hooks."""
        from kestra._task.logging_config import restore

        restore()

    @staticmethod
    def run(  # noqa: PLR0913  # keywords, each by itself
        arguments: Sequence[str | PathLike[str]],
        *,
        stdout: int | str | None = "INFO",
        stderr: int | str | None = "INFO",
        check: bool = True,
        parse: Callable[[str], int | str | tuple[int | str, str] | None] | None = None,
        timeout: float | None = None,
        cwd: str | PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> CompletedProcess[str]:
        """Run another program; each line that it prints is a log entry with a level, at once.

        Most programs report progress on standard error, where the engine takes every line for an
        error. Frames that the program prints pass through as they are. Blank lines are left out,
        and it finds nothing on its standard input.

        It runs in a process group of its own, which is killed when this task is killed, at the
        timeout, and when an exception ends this call: SIGTERM, and SIGKILL after ten seconds. Its
        last lines still arrive. (In another thread, it is killed with the task only where the main
        one uses `on_kill`, and its last lines are then lost.)

        Args:
            arguments: The program and what it is called with, `["dbt", "build"]`.
            stdout: The level of what it prints on standard output. None: those lines are dropped.
            stderr: The same, of standard error.
            check: Raise an error if it fails.
            parse: What a line is called with, and returns: a level, a level and another text, or
                None to leave it as it is.
            timeout: Seconds until it has to have ended, with all that holds its standard output or
                standard error open.
            cwd: Its working directory, as in `subprocess`.
            env: Its environment, as in `subprocess`. A Python program holds lines back unless
                `PYTHONUNBUFFERED` is set.

        Returns:
            The arguments and the exit status, minus the number of a signal that ended it.

        Raises:
            FileNotFoundError: There is no such program.
            subprocess.CalledProcessError: It failed.
            subprocess.TimeoutExpired: It took too long.
            TypeError: `arguments` is text, not a list, or another argument not what it must be.
            ValueError: A level is not valid, the timeout negative, or there are no arguments.
        """
        from kestra._task.programs import run

        levels = {"stdout": stdout, "stderr": stderr}
        return run(arguments, levels, parse, timeout, check=check, cwd=cwd, env=env)

    @staticmethod
    def read(path_: str | PathLike[str]) -> list[Any]:
        """The rows of an Ion file, text or binary, as Kestra stores them. Needs `kestra[ion]`.

        Rows are dicts in the files that Kestra writes; scalars and lists come as they are. Values:

        - A null of any type is `None`, a decimal a `float`, a blob or clob its text, or bytes where
          it is not UTF-8. Of a field that is given twice, the last value counts.
        - A timestamp is the library's `Timestamp`, a `datetime` that knows its precision.
        - Text like `2024-04-21T13:43:24.34+02:00` is a `datetime`, naive without the offset; digits
          beyond microseconds are cut off. So is what Kestra writes as `LocalDateTime::"…"`.
        - An annotation changes nothing: `LocalTime::"13:43:24"` is the text `13:43:24`.
        - A symbol is the library's `SymbolToken`; Kestra writes none.

        Raises:
            ImportError: The Ion library is not installed.
            OSError: The file cannot be read.
            kestra.exceptions.IonError: It is not Ion, corrupt, or cut short; names the file and the
                row, counted from 1. Two things pass unnoticed: a cut exactly between two rows, and
                other values of the same length. And a wrong length inside a nested value of a
                binary file may keep the library's C extension busy forever.
        """
        from kestra._task.ion import read

        return read(path_)

    @staticmethod
    def read_rows(path_: str | PathLike[str]) -> Iterator[Any]:
        """The rows of an Ion file one by one; otherwise as `read`.

        Memory is bounded by the longest row, not by the file. What is wrong with a row is raised
        when it is its turn.
        """
        from kestra._task.ion import read_rows

        return read_rows(path_)


_send, _format = Kestra._send, Kestra.format  # noqa: SLF001  # same module


def _json_formatter() -> Formatter:
    from kestra._task.json_formatter import JsonFormatter

    return JsonFormatter()


def _is_replaced() -> bool:
    """Return True if a test has replaced what a frame goes through, and expects it there.

    Where nothing is, the usual outputs and metrics take fewer steps to the same line.
    """
    return not (Kestra._send is _send and Kestra.format is _format and print is _print)  # noqa: SLF001  # same module
