"""What a signal handler raises, such as a deadline: it ends the call that it interrupts."""

from __future__ import annotations

from itertools import pairwise
from types import FrameType

_CO_VARARGS = 4  # as `inspect` has it


def is_interruption(error: BaseException) -> bool:
    """Return True if an error came from a signal handler that interrupted the call."""
    trace = error.__traceback__
    # The first frame is the one that caught it: a handler that does so is not interrupted itself.
    while trace is not None and (trace := trace.tb_next) is not None:
        if is_signal_handler(trace.tb_frame):
            return True
    return False


def raise_interruption(error: BaseException, before: BaseException | None) -> None:
    """Raise what a signal handler has raised, if that is this error, or lies behind it.

    Libraries take a `TimeoutError` or an `OSError` of a handler for one of the network. `before`
    is what was being handled already, and lies behind every error.
    """
    found: BaseException | None = None
    todo: list[object] = [error]
    known = {id(before)}
    for each in todo:
        if isinstance(each, BaseException) and id(each) not in known:
            known.add(id(each))
            todo += (each.__cause__, each.__context__, *each.args)
            if is_interruption(each):
                found = each  # the innermost: others are raised with its traceback
    if found is not None:
        raise found from found.__cause__


def is_signal_handler(frame: FrameType) -> bool:
    """Return True if a function was called as Python calls a signal handler: by number and frame.

    Which handlers are set now says less: one that is to strike once takes itself off first.
    """
    code, known = frame.f_code, frame.f_locals
    count = code.co_argcount
    given = [known.get(name) for name in code.co_varnames[:count]]
    if code.co_flags & _CO_VARARGS:
        given += known.get(code.co_varnames[count + code.co_kwonlyargcount], ())
    return any(
        isinstance(number, int) and isinstance(interrupted, FrameType)
        for number, interrupted in pairwise(given)
    )
