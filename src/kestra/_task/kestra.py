"""What a task tells the engine (outputs, metrics, assets, logs), and the data it reads."""

from __future__ import annotations

import time

from kestra._task import frames, sink
from kestra._values.text import converted, key_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import timedelta
    from decimal import Decimal
    from fractions import Fraction
    from logging import Logger
    from os import PathLike
    from typing import Any, ParamSpec, TypeAlias, TypeVar, overload

    P = ParamSpec("P")
    T = TypeVar("T")
    Number: TypeAlias = int | float | Decimal | Fraction | str
    Tags: TypeAlias = Mapping[str, Any] | None
else:

    def overload(function):  # noqa: ANN001, ANN202  # typed above, where `typing` is free
        """Do nothing, as `typing.overload` does at run time; its import costs more than this."""
        return function


_UNSET: Any = object()
_print = print  # as it was when this was imported
_write = sink.stdout.write  # looked up once, not for every frame
# Of the metrics that this process has sent: the type by `name`, or `(name, {tag keys})`; and the
# calls that agree with it, as `(name, type, tag key, …)`.
_types: dict[object, str] = {}
_NEVER_NULL = frozenset({str, int, bool})  # a tag of another type may be one that is left out


class Kestra:
    """What a script says to Kestra while a Script or Commands task runs it.

    Each call prints one frame, one line of standard output that the engine picks out, and has
    delivered it when it returns::

        Kestra.outputs({"rows": 42})
        Kestra.counter("rows", 42, {"table": "orders"})
        Kestra.logger().warning("3 rows had no key")

    Importing this class sets a hook on `sys.stdout.write` and `sys.stderr.write`, so that a frame
    always starts a line of its own (see `kestra._task.sink`); `KESTRA_STDOUT_HOOK=0` leaves it out.

    What an engine would drop, or die of, is refused before a byte is written, with a `TypeError`
    or a `ValueError` that names the key path and the remedy.
    """

    _logger: Logger | None = None

    @staticmethod
    def send(map_: Mapping[str, Any]) -> None:
        """Print the frame of a message.

        A test that replaces `Kestra._send`, as this is called in 2.0.0, gets what every other call
        sends, `logger()` aside.

        Args:
            map_: The message, as for `format`, which says too what is refused.

        Raises:
            BrokenPipeError: Nobody reads standard output any more. Raised once; what follows is
                dropped.
            RuntimeError: There is no standard output (`sys.stdout` is None).
            ValueError: One metric name, with the same tag names, was sent as another type before.
        """
        frame = Kestra.format(map_)
        if "metrics" in map_:
            for metric in map_["metrics"]:
                _claim_type(metric["name"], metric["type"], metric.get("tags"))
        if print is _print:
            _write(frame)
        else:  # a test has replaced it, and expects the frame there, as 2.0.0 did it
            print(frame)  # noqa: T201

    _send = send

    format = staticmethod(frames.encode)
    """Make the frame of a message, without its line end; nothing is printed.

    `format(map_)` takes the message, `{"outputs": {…}}`, `{"metrics": […]}`, `{"logs": […]}`,
    `{"assets": {…}}` or several of them in one, and returns text. It raises a `TypeError` or a
    `ValueError` for what an engine would drop, or die of, as the calls that send do.
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
        if tags or _types.get(name) != type_:
            _claim_type(name, type_, tags)
        _write(frame)

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
            TypeError: `map_` is no mapping, or holds bytes, a DataFrame, or another value that
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
            TypeError: `map_` is no mapping.
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
            TypeError: The value is no number, or a tag no scalar.
            ValueError: The value is not finite, the name empty or too long, or this name with
                tags of these names was sent as another type of metric.
        """
        Kestra._metrics(name, "counter", value, tags)

    @overload
    @staticmethod
    def timer(name: str, *, tags: Tags = None) -> _Timing: ...
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
            TypeError: The duration is none of these, or a tag no scalar. Or it is, or the
                decorated one is, a generator function, or a coroutine function that is called
                and not awaited here: such a call is over before any of the work is done.
            ValueError: As for `counter`; or beyond 9,223,372,036 seconds.
        """
        if duration is _UNSET:
            return _Timing(name, tags)
        if callable(duration):
            if kind := _kind_of(duration):
                raise _works_later("duration", kind)
            with _Timing(name, tags):
                return duration()
        return Kestra._metrics(name, "timer", duration, tags)

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
            from kestra._task.logging import task_logger

            Kestra._logger = task_logger()
        return Kestra._logger

    @staticmethod
    def configure_logging(
        level: int | str | None = None,
        *,
        capture_warnings: bool = True,
        capture_exceptions: bool = True,
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

        Raises:
            ValueError: The level, or that of the environment variable, is none.
        """
        from kestra._task.logging_config import configure

        configure(level, capture_warnings=capture_warnings, capture_exceptions=capture_exceptions)

    @staticmethod
    def restore_logging() -> None:
        """Undo what `configure_logging` did: handlers, level, warnings and hooks."""
        from kestra._task.logging_config import restore

        restore()

    @staticmethod
    def read(path_: str | PathLike[str]) -> list[Any]:
        """The rows of an Ion file, text or binary, as Kestra stores them. Needs `kestra[ion]`.

        Rows are dicts in the files that Kestra writes; scalars and lists come as they are. Values:

        - A null of any type is `None`, a decimal a `float`, a blob or clob its text, or bytes where
          it is no UTF-8. Of a field that is given twice, the last value counts.
        - A timestamp is the library's `Timestamp`, a `datetime` that knows its precision.
        - Text like `2024-04-21T13:43:24.34+02:00` is a `datetime`, naive without the offset; digits
          beyond microseconds are cut off. So is what Kestra writes as `LocalDateTime::"…"`.
        - An annotation changes nothing: `LocalTime::"13:43:24"` is the text `13:43:24`.
        - A symbol is the library's `SymbolToken`; Kestra writes none.

        Raises:
            ImportError: The Ion library is not installed.
            OSError: The file cannot be read.
            kestra.exceptions.IonError: It is no Ion, corrupt, or cut short; names the file and the
                row, counted from 1. Two things pass unnoticed: a cut exactly between two rows, and
                other values of the same length. And a wrong length inside a nested value of a
                binary file may keep the library's C extension busy for ever.
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


class _Timing:
    """What `Kestra.timer(name)` returns: a context manager, and a decorator."""

    def __init__(self, name: str, tags: Tags) -> None:
        self._name = name
        self._tags = tags
        self._start = 0.0

    def __enter__(self) -> None:
        # Refused now, not after all the work.
        frames.metric_frame(self._name, "timer", 0.0, self._tags or {})
        _claim_type(self._name, "timer", self._tags)
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        seconds = time.perf_counter() - self._start
        Kestra._metrics(self._name, "timer", seconds, self._tags)  # noqa: SLF001  # same module

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        from functools import wraps

        kind = _kind_of(function)
        if kind == "generator":
            raise _works_later("the decorated function", kind)

        @wraps(function)
        def timed(*args: P.args, **kwargs: P.kwargs) -> T:
            with _Timing(self._name, self._tags):
                return function(*args, **kwargs)

        @wraps(function)
        async def timed_coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
            with _Timing(self._name, self._tags):
                return await function(*args, **kwargs)  # type: ignore[misc]

        return timed_coroutine if kind else timed  # type: ignore[return-value]


def _kind_of(function: object) -> str | None:
    """`generator` or `coroutine`, where a call does none of the work; None where it does it all."""
    import inspect  # here: it takes longer to load than a script needs to send a number

    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return "generator"
    return "coroutine" if inspect.iscoroutinefunction(function) else None


def _works_later(what: str, kind: str) -> TypeError:
    return TypeError(
        f"{what} is a {kind} function: a call of it does none of the work; "
        "put `with Kestra.timer(name):` around the code that runs it to its end"
    )


_send, _format = Kestra._send, Kestra.format  # noqa: SLF001  # same module


def _is_replaced() -> bool:
    """Whether a test has replaced what a frame goes through, and expects it there.

    Where nothing is, the usual outputs and metrics take fewer steps to the same line.
    """
    return not (Kestra._send is _send and Kestra.format is _format and print is _print)  # noqa: SLF001  # same module


def _claim_type(name: str, type_: str, tags: Tags) -> None:
    """Refuse a second type for the name and tag keys by which an engine registers a metric.

    It keeps them until it is restarted: the clash outlives the execution.
    """
    tags = tags or {}
    claim: tuple[object, ...] | None = (name, type_, *tags)
    for tag in tags.values():
        if type(tag) not in _NEVER_NULL:
            claim = None  # it may be left out: then other keys are sent
    if claim in _types:
        return
    keys = frozenset(key_text(key) for key, tag in tags.items() if converted(tag) is not None)
    first = _types.setdefault((name, keys) if keys else name, type_)
    if first != type_:
        raise ValueError(
            f'the metric "{name}" with the same tag names was sent as a {first} before, and now '
            f"as a {type_}: the engine would lose every later line of the task, and of later "
            "runs; give one of them another name"
        )
    if claim is not None:
        _types[claim] = type_
