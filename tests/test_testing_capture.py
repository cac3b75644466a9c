"""`kestra.testing.capture`, without pytest's own help."""

import contextlib
import io
import logging
import os
import subprocess
import sys
from dataclasses import asdict
from threading import Thread
from unittest import mock

import pytest
from recorded import CASES, comparable, kept, printed

from kestra import Kestra, KestraHandler, testing
from kestra.testing import capture

FRAME = '::{"outputs": {"a": 1}}::'
NOT_ALONE = 'text ::{"outputs": {"a": 1}}::'


# --- what is kept ----------------------------------------------------------------------------


def test_what_a_task_says():
    """Outputs, metrics, assets, log entries and ordinary lines are there, parsed."""
    with capture(enterprise=True) as messages:
        Kestra.outputs({"rows": 3})
        Kestra.counter("rows", 2)
        Kestra.counter("rows", 1)
        Kestra.assets({"inputs": [{"id": "orders"}]})
        Kestra.logger().warning("no key")
        print("text")
        print("oops", file=sys.stderr)
    assert messages.outputs == {"rows": 3}
    assert messages.metrics["rows"] == 3
    assert messages.assets == [{"inputs": [{"id": "orders"}]}]
    assert [(each.level, each.source) for each in messages.logs] == [
        ("WARN", "frame"),
        ("INFO", "stdout"),
        ("ERROR", "stderr"),
    ]
    assert messages.rejected == []
    assert messages.state == "SUCCESS"


def test_it_can_be_read_at_any_time():
    """What is read is what was printed so far, a line without an end too."""
    with capture() as messages:
        assert messages.outputs == {}
        sys.stdout.write(FRAME)
        assert messages.outputs == {"a": 1}
        print()
        Kestra.outputs({"a": 2})
        assert messages.outputs == {"a": 2}
    assert messages.outputs == {"a": 2}
    Kestra.outputs({"a": 3})
    assert messages.outputs == {"a": 2}


@pytest.mark.parametrize("case", CASES)
def test_recorded(case):
    """Of every recorded case, it keeps what the engine kept, by the rules of each."""
    for engine, expected in kept(case):
        with capture(engine=engine) as messages:
            sys.stdout.buffer.write(printed(case, "stdout"))
            sys.stderr.buffer.write(printed(case, "stderr"))
            assert isinstance(messages.rejected, list)
        if "crash" in expected:
            assert messages.state == "CRASH", engine
        else:
            assert comparable(as_json(messages)) == expected, engine


def as_json(messages):
    """What was kept, with dicts for metrics and log entries."""
    return {
        "outputs": messages.outputs,
        "metrics": [asdict(each) for each in messages.metrics],
        "logs": [asdict(each) for each in messages.logs],
        "state": messages.state,
    }


def test_unknown_engine():
    """An engine whose rules are not known is refused at once."""
    with pytest.raises(ValueError, match=r"engine must be one of 0\.21, 1\.3, 2\.0, not '3'"):
        capture(engine="3")


def test_both_streams_in_order():
    """Log entries of both streams stand in the order in which they were printed."""
    with capture() as messages:
        for number in range(3):
            print(number, file=(sys.stderr, sys.stdout)[number % 2])
    assert [each.message for each in messages.logs] == ["0", "1", "2"]


# --- what is lost ----------------------------------------------------------------------------


def test_an_empty_line_at_the_end():
    """A carriage return alone ends a line, an empty one too."""
    with capture() as messages:
        sys.stdout.write("a\n\r")
    assert [entry.message for entry in messages.logs] == ["a", ""]


def test_a_loss_fails_the_block():
    """A line of which something is lost is an AssertionError, which says where and why."""

    def lose():
        with capture(engine="1.3"):
            print("text")
            print(NOT_ALONE)

    with pytest.raises(AssertionError) as raised:
        lose()
    message = str(raised.value)
    assert message.startswith("Kestra 1.3 would lose something")
    assert "stdout 2  text before the frame: end it with a newline" in message
    assert NOT_ALONE in message
    assert ".rejected" in message


def test_who_looks_at_a_loss_answers_for_it():
    """After `rejected` was read only what is lost later fails the block."""

    def look(later):
        with capture() as messages:
            print(NOT_ALONE)
            assert messages.rejected[0].text == NOT_ALONE
            print(later)

    look("text")
    with pytest.raises(AssertionError, match="stdout 1 to 2"):
        look(NOT_ALONE)


def test_an_exception_under_way_is_the_one_that_is_raised():
    """A loss does not take the place of what the code raised; what was printed can be read."""
    messages = capture()

    def fail():
        with messages:
            print(NOT_ALONE)
            raise ValueError

    with pytest.raises(ValueError, match=r"^$") as raised:
        fail()
    assert raised.value.__context__ is None
    assert len(messages.rejected) == 1


def test_an_open_line_does_not_cost_a_frame():
    """A frame starts a line of its own, and leaves no blank one, as on the pipe of a task."""
    with capture() as messages:
        print("50 %", end="")
        Kestra.outputs({"a": 1})
        print()
        print("oops", end="", file=sys.stderr)
        Kestra.logger().error("message")
        print("end", end="", file=sys.stderr)
        sys.stdout.writelines(["a", "b\n"])
    assert messages.outputs == {"a": 1}
    ordinary = [each.message for each in messages.logs if each.source != "frame"]
    assert ordinary == ["50 %", "oops", "ab", "end"]


# --- what comes through the standard streams -------------------------------------------------


def test_threads():
    """Frames of many threads are whole, amid lines that others print."""

    def work():
        for _ in range(200):
            print("text")
            Kestra.counter("rows", 1)

    with capture() as messages:
        threads = [Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert messages.metrics["rows"] == 800


def test_logging():
    """Records arrive, also through a handler for what was `sys.stdout` when it was made."""
    logger = logging.getLogger("test")
    handlers = [KestraHandler(), KestraHandler(sys.stdout)]
    with capture() as messages:
        for handler in [*handlers, KestraHandler(sys.stdout), KestraHandler(split=True)]:
            with mock.patch.multiple(logger, handlers=[handler], propagate=False):
                logger.warning("message")
    assert [(each.level, each.message) for each in messages.logs] == [("WARN", "message")] * 4


def test_uncaught_exceptions_of_threads():
    """Whatever comes through standard error is there, as ERROR."""
    with capture() as messages, mock.patch("threading.excepthook", print_exception):
        thread = Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    assert messages.logs[-1] == testing.TaskLog(
        "ERROR", "ZeroDivisionError: division by zero", "stderr"
    )


def print_exception(arguments):
    sys.excepthook(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)


def test_bytes_and_text_keep_their_order():
    """Bytes for `buffer`, also through a wrapper that is deleted, come after the text before."""
    raw = io.BytesIO()
    before = io.TextIOWrapper(raw, "utf-8", newline="")
    with mock.patch("sys.stdout", before), capture() as messages:
        print("one")
        sys.stdout.buffer.write("zwö".encode()[:3])
        sys.stdout.buffer.write("zwö".encode()[3:] + b"\r\n")
        wrapper = io.TextIOWrapper(sys.stdout.buffer, "utf-8")
        wrapper.write("three\n")
        del wrapper
        print("four")
    assert [each.message for each in messages.logs] == ["one", "zwö", "three", "four"]
    before.flush()
    assert raw.getvalue().decode() == "one\nzwö\r\nthree\nfour\n"


def test_it_is_shown_as_ever():
    """What is printed reaches what was there before, `redirect_stdout` around the block too."""
    with contextlib.redirect_stdout(io.StringIO()) as text, capture() as messages:
        print("text")
        Kestra.outputs({"a": 1})
        sys.stdout.buffer.write(b"bytes\n")
    assert text.getvalue() == f"text\n{FRAME}\nbytes\n"
    assert messages.outputs == {"a": 1}


def test_what_is_redirected_inside_does_not_count():
    """What the code redirects, the engine would not see, and neither does the block."""
    with capture() as messages, contextlib.redirect_stdout(io.StringIO()) as text:
        Kestra.outputs({"a": 1})
    assert messages.outputs == {}
    assert text.getvalue() == f"{FRAME}\n"


def test_the_stand_in_is_like_the_stream():
    """What else a script asks of standard output, the stream that was there answers."""
    before = sys.stdout
    with capture():
        assert sys.stdout is not before
        assert sys.stdout.encoding == before.encoding
        assert sys.stdout.isatty() == before.isatty()
        assert sys.stdout.buffer.writable()
        with pytest.raises(AttributeError):
            _ = sys.stdout.nothing
    assert sys.stdout is before


def test_capsys_sees_it_too(capsys):
    """`capsys` reads what is printed in the block, while it runs and afterwards."""
    with capture() as messages:
        Kestra.outputs({"a": 1})
        assert capsys.readouterr() == (f"{FRAME}\n", "")
        print("oops", file=sys.stderr)
    assert capsys.readouterr() == ("", "oops\n")
    assert messages.outputs == {"a": 1}


def test_capfd_sees_it_too(capfd):
    """`capfd` reads it too, and output that went straight to the descriptor, which is not kept."""
    with capture() as messages:
        Kestra.outputs({"a": 1})
        os.write(1, b"text\n")
    assert sorted(capfd.readouterr().out.splitlines()) == [FRAME, "text"]
    assert (messages.outputs, messages.logs) == ({"a": 1}, [])


def test_a_block_in_a_block():
    """The outer block keeps what is printed in the inner one, too."""
    with capture() as outer:
        Kestra.outputs({"a": 1})
        with capture() as inner:
            Kestra.outputs({"b": 2})
        Kestra.outputs({"c": 3})
    assert inner.outputs == {"b": 2}
    assert outer.outputs == {"a": 1, "b": 2, "c": 3}


def test_a_stream_kept_by_the_code_goes_on_working():
    """A handler that was made in the block prints afterwards, and that is not kept."""
    with contextlib.redirect_stdout(io.StringIO()) as text:
        with capture() as messages:
            handler = logging.StreamHandler(sys.stdout)
        handler.emit(logging.makeLogRecord({"msg": "late"}))
    assert text.getvalue() == "late\n"
    assert messages.logs == []


# --- a task of its own -----------------------------------------------------------------------


def test_types_of_metrics_do_not_clash_between_blocks():
    """Each block is a task: a name may have another type there, and inside only one."""
    with capture() as first:
        Kestra.counter("rows of a block", 1)
        with capture() as second:
            Kestra.gauge("rows of a block", 2)
        with pytest.raises(ValueError, match="was sent as a counter before"):
            Kestra.gauge("rows of a block", 3)
        assert first.rejected  # by the outer block's rules, those two clash
    assert second.metrics["rows of a block"] == 2
    with capture():
        Kestra.gauge("rows of a block", 1)


SCRIPT = f"""
import sys
from kestra import testing

before = sys.stdout
with testing.capture() as messages:
    print({FRAME!r})
    print("open", end="")
    if "requests" in sys.modules or "pytest" in sys.modules:
        raise SystemExit(3)
    from kestra import Kestra
    Kestra.outputs({{"b": 2}})
assert sys.stdout is before
assert messages.outputs == {{"a": 1, "b": 2}}
Kestra.outputs({{"c": 3}})
with testing.capture() as messages:
    Kestra.outputs({{"d": 4}})
print(messages.outputs)
"""


def test_without_pytest():
    """On the standard output of an ordinary process it works without pytest and responses."""
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=180, check=False
    )
    assert (process.returncode, process.stderr) == (0, "")
    messages = testing.parse(process.stdout)
    assert messages.outputs == {"a": 1, "b": 2, "c": 3, "d": 4}
    assert [each.message for each in messages.logs if each.message] == ["open", "{'d': 4}"]
    assert not messages.rejected
