"""Kills, prints and other programs, with the engine at the other end of the pipe."""

import signal
from pipes import run

import pytest
from test_kill import CLEANUP, test_where_another_thread_finds_it_first
from test_prints import (
    entries,
    test_a_cause_without_a_traceback,
    test_a_line_without_an_end_is_not_lost,
    test_a_traceback_is_one_entry,
    test_frames_and_records_are_what_they_were,
    test_handlers_that_print_do_not_feed_themselves,
    test_lines_have_levels,
    test_threads_do_not_mix_their_lines,
)
from test_programs import test_an_exception_ends_the_program, test_timeout

from kestra import testing

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("processes_in_the_engine")]


def test_a_cleanup():
    """What a script says when it is killed is kept; the engine sees the signal."""
    end = "import signal\nKestra.on_kill(cleanup)\nsignal.raise_signal(signal.SIGTERM)\n"
    done = run(CLEANUP + end)
    assert done.returncode == -signal.SIGTERM
    messages = testing.parse(done.stdout, stderr=done.stderr)
    assert messages.outputs == {"rows": 3}
    assert [metric.value for metric in messages.metrics] == [3]
    assert [entry.level for entry in messages.logs if entry.source == "frame"] == ["WARN"]


def test_another_program():
    """Its lines are entries of the level that was asked for, its frames those of the task."""
    program = 'print("line"); print("note", file=sys.stderr); Kestra.outputs({"rows": 3})'
    program = f"import sys; from kestra import Kestra; {program}"
    done = run(f"Kestra.run([sys.executable, '-c', {program!r}], stdout='DEBUG', stderr='WARN')")
    messages = testing.parse(done.stdout, stderr=done.stderr)
    assert messages.outputs == {"rows": 3}
    logs = sorted((entry.level, entry.message) for entry in messages.logs)
    assert logs == [("DEBUG", "line"), ("WARN", "note")]
