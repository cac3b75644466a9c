"""Threads, processes, open lines and violent ends, with the engine at the other end of the pipe.

The tests of the same names, at counts that take little time.
"""

from pipes import run, said

import pytest
import test_delivery
from test_delivery import (
    LARGE,
    SMALL,
    test_a_fork_and_its_child,
    test_a_script_that_a_script_runs,
    test_forks_that_print,
)
from test_sink import (
    ACTIONS,
    heard,
    test_a_carriage_return_ends_a_line_for_the_engine,
    test_a_fork_does_not_repeat_text,
    test_a_fork_while_another_thread_emits,
    test_a_lock_that_is_refused,
    test_another_wrapper_of_standard_output,
    test_daemon_threads_at_exit,
    test_encodings,
    test_every_call_delivers_at_once,
    test_finalizers,
    test_open_lines,
    test_open_lines_of_stderr,
    test_order_with_printed_text,
    test_redirect_stdout,
    test_text_that_failed_may_have_left_an_open_line,
    test_what_a_system_may_lack,
    test_what_is_emitted_last,
    test_what_was_emitted_outlives_the_process,
    with_handler,
)

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("processes_in_the_engine")]

SIZES = pytest.mark.parametrize(
    ("sizes", "count"),
    [([SMALL], 500), ([LARGE], 100), ([SMALL, LARGE], 100)],
    indirect=["count"],
)


@pytest.fixture(autouse=True)
def lines_of_a_process_that_has_ended(monkeypatch):
    """The engine tells what it has read when all is over."""

    def lines(*script, **options):
        return [f"{line}\n".encode() for line in said(run(*script, **options))]

    monkeypatch.setattr(test_delivery, "lines", lines)


@pytest.fixture
def count(request, monkeypatch):
    """How many frames of each thread or process."""
    monkeypatch.setattr(test_delivery, "COUNT", request.param)
    return request.param


@SIZES
def test_threads(sizes, count):
    """Of eight threads that emit at once the engine reads every frame, whole, once."""
    test_delivery.test_threads(sizes, options=())


@SIZES
@pytest.mark.parametrize("talk", ['print("text", flush=True)', 'print("a part, ", end="")'])
def test_threads_among_text(sizes, count, talk):
    """So it does among the text of four other threads."""
    test_delivery.test_threads_among_text(sizes, count, (), talk)


@SIZES
def test_forks(sizes, count):
    """So it does of four forked children."""
    test_delivery.test_forks(sizes, options=())


@SIZES
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(sizes, count, method, tmp_path):
    """So it does of four processes of `multiprocessing`."""
    test_delivery.test_multiprocessing(sizes, method, tmp_path)


@pytest.mark.parametrize("action", ACTIONS)
def test_signal_handlers(action):
    """What a handler emits and prints arrives, between the frames that it interrupts."""
    script = run(with_handler("while len(handled) < 4: Kestra.outputs({'n': 4_999})", action))
    script.stderr = script.stderr.strip(b"!\n")
    assert heard(script, action) >= 4


def test_non_blocking():
    """A pipe that does not block, and is full at times, delivers every frame."""
    code = """
os.set_blocking(1, False)
for n in range(100):
    Kestra.outputs({"n": n, "x": "x" * 99_999})
"""
    assert len(said(run(code))) == 100
