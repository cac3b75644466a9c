"""Being killed, in this process: `Kestra.on_kill` step by step, on every system."""

import asyncio
import os
import pipes
import signal
import sys
import threading
from functools import partial

import pytest

from kestra import Kestra
from kestra._task import kill, sink
from kestra._task.kill import SIGNAL

STATUS = 0xC000013A if sys.platform == "win32" else -SIGNAL  # of who does not handle it


@pytest.fixture
def ends(monkeypatch):
    """In place of each end of this process: by which signal, and whether in a child."""
    ends = []
    monkeypatch.setattr(kill, "_end", lambda signum, *, is_child: ends.append((signum, is_child)))
    before = signal.getsignal(SIGNAL)
    yield ends
    assert signal.getsignal(SIGNAL) is before


def test_each_step(ends, capsys, monkeypatch):
    """Cleanups, the handler that was there before, and the end; a second signal does nothing."""
    steps = []

    def fail():
        steps.append("fails")
        raise LookupError

    def leave():
        steps.append("leaves")
        sys.exit(3)

    before = signal.signal(SIGNAL, lambda *_: steps.append("handler"))
    with Kestra.on_kill(lambda: steps.append("first")), Kestra.on_kill(fail), Kestra.on_kill(leave):
        signal.raise_signal(SIGNAL)
        signal.raise_signal(SIGNAL)
    signal.signal(SIGNAL, before)
    assert steps == ["leaves", "fails", "first", "handler"]
    assert ends == [(SIGNAL, False)]
    assert "LookupError" in capsys.readouterr().err


def test_a_decorated_function_is_what_it_was(ends):
    """It returns what it returned, and is guarded for as long as it runs."""

    @Kestra.on_kill(print)
    def main(rows, *, more=1):
        assert signal.getsignal(SIGNAL) is not before
        return rows + more

    @Kestra.on_kill(print)
    async def fetch(rows):
        assert signal.getsignal(SIGNAL) is not before
        return rows

    before = signal.getsignal(SIGNAL)
    assert main(2, more=3) == 5
    assert main.__name__ == "main"
    assert asyncio.run(fetch(2)) == 2


def test_each_step_of_a_loop_that_asks(ends):
    """The end comes with that of the block; a handler that is called later has nothing to do."""
    called = []
    use = Kestra.on_kill()
    with use as asked:
        signal.raise_signal(SIGNAL)
        assert asked.requested
        assert ends == []
    assert ends == [(SIGNAL, False)]
    with Kestra.on_kill(lambda: called.append(1)) as use:
        handler = signal.getsignal(SIGNAL)
    handler(SIGNAL, None)  # by one that was set over it
    assert called == []
    assert len(ends) == 2


def test_each_step_inside_a_line(ends, monkeypatch):
    """The cleanup waits for the end of the line, whichever thread comes to it."""
    steps = []
    gate = sink.stdout.gate
    with Kestra.on_kill(lambda: steps.append(threading.current_thread().name)):
        gate.wait()
        gate.hold()
        signal.raise_signal(SIGNAL)
        assert steps == []
        gate.go_on()
        gate.release()
        if hasattr(signal, "pthread_kill"):
            thread = threading.Thread(target=gate.catch_up)
            thread.start()
            thread.join()
        else:
            gate.catch_up()
    assert steps == ["MainThread"]
    assert ends == [(SIGNAL, False)]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_each_step_of_the_end(monkeypatch):
    """Text is flushed, programs get the signal; where that does nothing, the status is 128 more."""
    calls = []
    for module, name in (
        (signal, "signal"),
        (signal, "raise_signal"),
        (signal, "pthread_sigmask"),
        (os, "killpg"),
        (os, "_exit"),
    ):
        monkeypatch.setattr(
            module, name, lambda *given, name=name: calls.append((name, *given)), raising=False
        )
    monkeypatch.setattr(kill, "running", {12345})
    kill._end(15, is_child=False)
    killed, *_, ended = calls
    assert killed == ("killpg", 12345, 15)
    assert ended == ("_exit", 128 + 15)
    assert ("raise_signal", 15) in calls
    calls.clear()
    kill._end(15, is_child=True)
    assert calls[0][0] != "killpg"


def test_a_process_of_its_own():
    """A cleanup that is called by the system's signal, and the status of that."""
    done = pipes.run(
        "import signal\nfrom kestra._task.kill import SIGNAL\n"
        "Kestra.on_kill(lambda: Kestra.outputs({'rows': 3}))\nsignal.raise_signal(SIGNAL)\n"
    )
    assert done.returncode == STATUS
    assert done.stdout == b'::{"outputs": {"rows": 3}}::\n'


def test_afterwards_all_is_as_before():
    """The end of a block puts the earlier handler back, unless somebody has set another."""
    before = signal.getsignal(SIGNAL)
    use = Kestra.on_kill(print)
    with use:
        assert signal.getsignal(SIGNAL) != before
    assert signal.getsignal(SIGNAL) is before
    with use:
        assert signal.getsignal(SIGNAL) != before
        signal.signal(SIGNAL, signal.SIG_IGN)
    assert signal.getsignal(SIGNAL) is signal.SIG_IGN
    signal.signal(SIGNAL, before)
    Kestra.on_kill(print)(print)  # a decorator: nothing yet
    assert signal.getsignal(SIGNAL) is before


def test_one_use_inside_itself():
    """It lasts until the end of the outer block."""
    before = signal.getsignal(SIGNAL)
    use = Kestra.on_kill(print)
    with use:
        with use:
            pass
        assert signal.getsignal(SIGNAL) != before
    assert signal.getsignal(SIGNAL) is before


# --- what is refused -------------------------------------------------------------------------


def test_off_the_main_thread():
    """A ValueError names the main thread."""
    errors = []

    def use():
        try:
            Kestra.on_kill(print)
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert errors == [
        "Kestra.on_kill works in the main thread only, where Python handles signals: call it there"
    ]


def test_no_function():
    """A cleanup that is called too soon is a TypeError."""
    with pytest.raises(TypeError, match=r"cleanup is of type dict: it must be a function to call"):
        Kestra.on_kill({})


def test_a_function_with_parameters():
    """A cleanup like a handler of signals is refused now, not when it is too late."""

    class Handler:
        def handle(self, signum, frame): ...

        def end(self, signum=15): ...

    for cleanup in (Handler().handle, lambda signum, frame=None: None):
        with pytest.raises(TypeError, match=r"^cleanup has parameters, and is called with no argu"):
            Kestra.on_kill(cleanup)
    for cleanup in (Handler().end, lambda *args: None, partial(Handler().handle, 15, None)):
        with Kestra.on_kill(cleanup):
            pass


def test_a_cleanup_whose_call_does_no_work():
    """A coroutine or generator function is refused: nothing would run it to its end."""

    def rows():
        yield

    async def close(): ...

    async def pages():
        yield

    for cleanup in (rows, close, pages, partial(close)):
        with pytest.raises(TypeError, match=r"^cleanup is a generator or coroutine function: a "):
            Kestra.on_kill(cleanup)


def test_a_decorator_without_parentheses():
    """The call of what has become the cleanup says so."""

    @Kestra.on_kill
    def main(): ...

    with main, pytest.raises(TypeError, match=r"^the decorator needs a cleanup, @Kestra.on_kill"):
        main()


def test_a_generator_function():
    """A call of it does none of the work."""

    def rows():
        yield

    with pytest.raises(TypeError, match=r"generator function: .* put `with Kestra.on_kill"):
        Kestra.on_kill(print)(rows)
