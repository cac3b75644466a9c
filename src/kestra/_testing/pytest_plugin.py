"""The pytest plugin: fixtures for tests of task scripts, and of code that executes flows.

Every test run in an environment with this package imports this module. So it imports nothing but
pytest, and the rest on use; and its import works with any pytest that is there.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from kestra.testing import Captured, FakeKestra

    Phase = Callable[[pytest.Item], Generator[None, object, object]]

_captured: dict[pytest.Item, Captured] = {}  # of the test that runs
_HAS_WRAPPERS = getattr(pytest, "version_tuple", (0,)) >= (8, 2)  # pyright: ignore[reportOperatorIssue]
_CAPTURE_FIXTURES = ("capsys", "capteesys", "capsysbinary", "capfd", "capfdbinary")


@pytest.fixture
def kestra_messages(request: pytest.FixtureRequest) -> Iterator[Captured]:
    """What Kestra would keep of what the test prints: outputs, metrics, logs, assets.

    From here on to the end of the test function; see `kestra.testing.capture`. Lines of which
    something would be lost fail the test, unless it has read `kestra_messages.rejected`.
    """
    from kestra.testing import Captured

    if not _HAS_WRAPPERS:
        pytest.fail(f"kestra_messages needs pytest 8.2, not {pytest.__version__}", pytrace=False)
    # pytest's own come first, whatever their order in the test is: they replace the same streams.
    for name in _CAPTURE_FIXTURES:
        if name in request.fixturenames:
            request.getfixturevalue(name)
    captured = _captured[request.node] = Captured()
    captured.attach()
    yield captured
    del _captured[request.node]


@pytest.fixture
def kestra_context() -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Provide an execution context until the test ends: `kestra_context({"inputs": {...}})`.

    A second call replaces the first. See `kestra.testing.kestra_context`.
    """
    from kestra import testing

    with ExitStack() as stack:
        yield lambda context: stack.enter_context(testing.kestra_context(context))


@pytest.fixture
def fake_kestra() -> Iterator[FakeKestra]:
    """A Kestra server in this process, for code that executes flows, until the test ends.

    No socket, no waiting; see `kestra.testing.FakeKestra`. Needs `pip install 'kestra[testing]'`.
    """
    from kestra.testing import FakeKestra

    with FakeKestra() as fake:
        yield fake
        if getattr(sys, "last_value", None) in fake.mistakes:  # pytest says what the test failed of
            fake.mistakes.clear()


# pytest sets the standard streams anew for each phase of a test, in wrappers around these ones.


def _innermost_wrapper(phase: Phase) -> Phase | None:
    return pytest.hookimpl(wrapper=True, trylast=True)(phase) if _HAS_WRAPPERS else None


@_innermost_wrapper
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Stop collecting when the fixtures are set up."""
    try:
        return (yield)
    finally:
        _detach(item)


@_innermost_wrapper
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Collect what the test function prints, and fail it where something would be lost."""
    if item in _captured:
        _captured[item].attach()
    try:
        result = yield
    finally:
        _detach(item)
    losses = item in _captured and _captured[item].unread_losses()
    if losses:
        pytest.fail(losses, pytrace=False)  # a traceback would show this module only
    return result


def _detach(item: pytest.Item) -> None:
    if item in _captured:
        _captured[item].detach()
