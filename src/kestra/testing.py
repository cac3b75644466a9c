"""For the tests of scripts that run as Kestra tasks: what Kestra would keep of their output.

    from kestra import testing


    def test_counts_the_rows():
        with testing.capture() as messages:
            main()
        assert messages.outputs == {"rows": 3}


    def test_as_a_task():
        messages = testing.run_script("etl.py", context={"inputs": {"day": "2026-01-31"}})
        assert messages.metrics["rows"] == 3

What would be lost fails the test, and says why. `parse` takes text that was printed elsewhere;
`python -m kestra run SCRIPT` shows the same on a terminal.

For code that executes flows, `FakeKestra` is a server inside of the test.

With pytest (`pip install 'kestra[testing]'`) the same are fixtures: `kestra_messages`,
`kestra_context` and `fake_kestra`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kestra._engine.messages import (
    Messages,
    Metrics,
    Rejected,
    ScriptMessages,
    TaskLog,
    TaskMetric,
)
from kestra._engine.reader import Lines, TaskReader, read
from kestra._testing.capture import Captured, capture
from kestra._testing.script import run_script
from kestra._testing.task_context import kestra_context

if TYPE_CHECKING:
    from kestra._testing.fake.server import FakeKestra

__all__ = [
    "Captured",
    "FakeKestra",
    "Messages",
    "Metrics",
    "Rejected",
    "ScriptMessages",
    "TaskLog",
    "TaskMetric",
    "capture",
    "kestra_context",
    "parse",
    "run_script",
]


def parse(
    lines: Lines, *, engine: str = "2.0", stderr: Lines = (), enterprise: bool = False
) -> Messages:
    """Return what Kestra keeps of what a task has printed, and what would be lost.

    Pure: nothing is read, run or sent. Also for frames which this package has not printed.

    Args:
        lines: What the task printed to stdout: one text, or its lines, with or without their
            ends. Bytes are read as UTF-8, as the engine does.
        engine: Whose rules: `"0.21"`, `"1.3"` or `"2.0"`. They say what a server keeps in the
            end. Of what a server of 2.0 does after the task it is known that it drops nulls, as
            one of 1.3 does; what else, is not.
        stderr: What it printed to stderr; frames count there too.
        enterprise: Accept assets, as the Enterprise Edition says it does. In the open-source
            editions of 1.3 and 2.0 they end the reading of the stream.

    Raises:
        ValueError: An engine whose rules are not known.
    """
    return read(lines, stderr, TaskReader(engine, enterprise=enterprise))


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name != "FakeKestra":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import responses  # noqa: F401  # what it stands on; the import below brings more
    except ImportError:
        raise ImportError("FakeKestra needs responses: pip install 'kestra[testing]'") from None
    from kestra._testing.fake.server import FakeKestra

    return FakeKestra
