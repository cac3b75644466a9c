"""Being killed: what a script still does between SIGTERM and its end."""

from __future__ import annotations

import os
import signal
import sys
import threading
from _thread import get_ident, interrupt_main
from contextlib import suppress

from kestra._task import sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, NoReturn, ParamSpec, TypeVar

    from typing_extensions import Self

    P = ParamSpec("P")
    T = TypeVar("T")

SIGNAL: signal.Signals = getattr(signal, "SIGBREAK", signal.SIGTERM)  # of Windows: CTRL_BREAK
# What Windows ends a process with that does not handle CTRL_BREAK: STATUS_CONTROL_C_EXIT.
_WINDOWS_STATUS = 0xC000013A - (1 << 32)
_WORKS_LATER = 0x20 | 0x80 | 0x200  # flags of code: generator, coroutine, both (see `inspect`)
_MISSING: Any = None
# The groups of programs that run: one that another thread started ends with this process.
running: set[int] = set()
_unreported: list[BaseException | None] = []  # what ended a block, if the process ends there


class OnKill:
    """What `Kestra.on_kill` returns: a context manager, a decorator, and an object to ask.

    Handlers that follow each other call each other, the last one first: `_before` of one may be
    that of another, or one that somebody else has set. Without a cleanup, `notify` is called at
    once, and the end put off until the block has ended.
    """

    def __init__(
        self, cleanup: Callable[[], object] | None, notify: Callable[[], object] | None = None
    ) -> None:
        if cleanup is not None and not callable(cleanup):
            raise TypeError(
                f"cleanup is of type {type(cleanup).__name__}: it must be a function to call"
            )
        _check_call(cleanup)
        self.requested = False
        self._cleanup = cleanup
        self._notify = notify
        self._put_off: tuple[int, FrameType | None] | None = None
        self._has_begun = False
        self._blocks = 0  # that it is inside of
        self._handler = self._handle  # one object, to be recognised by
        self._set()

    def __enter__(self) -> Self:
        if not self._is_set:  # entered once more
            self._set()
        self._blocks += 1
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._blocks -= 1
        if self._blocks:
            return
        self._unset()
        if self._put_off is not None:
            _unreported[:] = [error]
            self._pass_on(*self._put_off)
            _unreported.clear()  # an outer block goes on, and the error with it

    def __call__(self, function: Callable[P, T] = _MISSING) -> Callable[P, T]:
        from kestra._task.timing import within

        if not callable(function):
            raise TypeError(
                "the decorator needs a cleanup, @Kestra.on_kill(cleanup): without parentheses, the "
                "function itself is the cleanup"
            )
        self._unset()  # from here on it is for the calls of the function
        return within(lambda: OnKill(self._cleanup), function, "on_kill(cleanup)")

    def _set(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise ValueError(
                "Kestra.on_kill works in the main thread only, where Python handles signals: "
                "call it there"
            )
        self._process = os.getpid()
        self._thread = get_ident()
        self._before: Any = signal.getsignal(SIGNAL)
        self._is_set = True
        signal.signal(SIGNAL, self._handler)

    def _unset(self) -> None:
        if not self._is_set:
            return
        self._is_set = False
        if signal.getsignal(SIGNAL) == self._handler:  # else somebody has set another
            # None: not Python's own, which cannot be put back.
            signal.signal(SIGNAL, signal.SIG_DFL if self._before is None else self._before)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        # A child by `fork`, whose parent cleans up; or a later handler calls, after the block.
        if os.getpid() != self._process or not self._is_set:
            self._pass_on(signum, frame)
        elif not self._has_begun:
            self.requested = True
            for each in (sink.stdout, sink.stderr):
                if each.gate.stage and each.gate.is_owned():  # a line is out in part
                    each.gate.deferred.append((self._resume, (signum, frame)))
                    return
            self._has_begun = True
            self._begin(signum, frame)

    def _resume(self, signum: int, frame: FrameType | None) -> None:
        """Go on after the line that was out in part, which another thread may have found first."""
        if get_ident() == self._thread:
            self._handle(signum, frame)
        elif hasattr(signal, "pthread_kill"):
            signal.pthread_kill(self._thread, signum)
        else:
            interrupt_main(SIGNAL)

    def _begin(self, signum: int, frame: FrameType | None) -> None:
        if self._cleanup is None:
            self._put_off = signum, frame
            if self._notify is not None:
                self._notify()
            return
        try:
            self._cleanup()
        except BaseException as error:  # noqa: BLE001  # the others, and the end, still follow
            _report(error)
        self._pass_on(signum, frame)

    def _pass_on(self, signum: int, frame: FrameType | None) -> None:
        if callable(self._before):
            self._before(signum, frame)
            if isinstance(getattr(self._before, "__self__", None), OnKill):
                return
        _end(signum, is_child=os.getpid() != self._process)


def _check_call(cleanup: Any) -> None:
    """Refuse a function that needs arguments, as a handler does, or whose call does no work."""
    function = getattr(cleanup, "func", cleanup)  # that of a `partial`
    code = getattr(function, "__code__", None)
    if code is None:  # `inspect` takes longer to load than all of this
        return
    if code.co_flags & _WORKS_LATER:
        raise TypeError(
            "cleanup is a generator or coroutine function: a call of it does none of the work; "
            "it must be an ordinary function"
        )
    given = len(getattr(cleanup, "__defaults__", None) or ()) + hasattr(cleanup, "__self__")
    if function is cleanup and code.co_argcount > given:
        raise TypeError(
            "cleanup has parameters, and is called with no arguments: give them defaults"
        )


def _report(error: BaseException | None) -> None:
    """Show an error that is not raised, since the process ends."""
    if error is not None and not isinstance(error, SystemExit):  # the end comes anyway
        sys.excepthook(type(error), error, error.__traceback__)


def _end(signum: int, *, is_child: bool) -> NoReturn:
    if not is_child:  # which has a copy of its parent's text
        for error in _unreported:
            _report(error)
        if "kestra._task.prints" in sys.modules:
            from kestra._task.prints import finish

            finish()
        for group in [*running]:
            with suppress(Exception):  # it has ended
                os.killpg(group, signum)
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # there is none, or nobody reads it
                stream.flush()
    if sys.platform == "win32":
        os._exit(_WINDOWS_STATUS)
    signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signum})
    signal.raise_signal(signum)
    os._exit(128 + signum)  # process 1 of a container, which no signal ends by default
