"""`AsyncFlow` as a client that blocks, so that tests of `Flow` can be run with it once more."""

import asyncio
import inspect
import math
import time
from types import SimpleNamespace

import pytest

from kestra import AsyncFlow
from kestra._api.servers import Server
from kestra._http import stand_ins
from kestra._http.async_sessions import AsyncSessions
from kestra._http.asynchronous import AsyncIO
from kestra._http.multipart import Upload
from kestra._rules import attempts
from kestra._rules.io import Request


class Driven:
    """An `AsyncFlow` in a loop of its own, whose methods block."""

    def __init__(self, *args, **kwargs):
        loop = asyncio.new_event_loop()
        self.__dict__.update(loop=loop, flow=AsyncFlow(*args, **kwargs))

    def run(self, work):
        return self.loop.run_until_complete(work)

    def __getattr__(self, name):
        value = getattr(self.flow, name)
        if name in {"execute", "wait"}:  # as `Flow` by default
            return lambda *args, **kwargs: self.run(value(*args, **{"follow": False} | kwargs))
        if inspect.iscoroutinefunction(value):
            return lambda *args, **kwargs: self.run(value(*args, **kwargs))
        if name == "iter_logs":
            return lambda *args, **kwargs: iter(self.run(_listed(value(*args, **kwargs))))
        if name in {"execute_all", "follow"}:
            return lambda *args, **kwargs: self._each(value(*args, **kwargs))
        return value

    def __setattr__(self, name, value):
        setattr(self.flow, name, value)

    def _each(self, events):
        try:
            while True:
                try:
                    event = self.run(anext(events))
                except StopAsyncIteration:
                    return
                yield event
        finally:
            self.run(events.aclose())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        self.run(self.loop.shutdown_asyncgens())
        assert not asyncio.all_tasks(self.loop)
        self.loop.close()


class DrivenSessions:
    """What a client keeps between its calls, in a loop of its own."""

    def __init__(self, given=None):
        self.loop = asyncio.new_event_loop()
        self.sessions = AsyncSessions(given)

    def request(self, method, url, settings, arguments, *, otherwise=None, within=math.inf):  # noqa: PLR0913  # as `sending.request`
        """Send a request with all its attempts, as `sending.request` does."""
        files = None if {"data", "json"} & set(arguments) else arguments.get("files")
        asked = Request(method, url, settings, arguments, Upload(files) if files else None)
        return self.loop.run_until_complete(self._sent(asked, otherwise, within))

    async def _sent(self, asked, otherwise, within):
        io = AsyncIO(SimpleNamespace(_sessions=self.sessions, _server=Server("http://h")))
        asked.until = io.clock.now() + within
        if otherwise is None:
            return await attempts.send(io, asked), False
        return await attempts.send_to_either(io, asked, otherwise)

    def close(self):
        self.loop.run_until_complete(self.sessions.close())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        assert not asyncio.all_tasks(self.loop)
        self.loop.close()


async def _listed(events):
    return [each async for each in events]


def shared(module, *not_shared):
    """Return what a test module needs to run the tests of another with `AsyncFlow`.

    Those are shared that get a client; `not_shared` names others.
    """
    names = {}
    for name, value in vars(module).items():
        if name.startswith("test_") and callable(value):
            wanted = inspect.signature(value).parameters.keys() & {
                "flow",
                "hasty",
                "send",
                "sessions",
            }
            if not wanted or name in not_shared:
                continue
        if not name.startswith("__"):
            names[name] = value
    missing = set(not_shared) - set(vars(module))
    assert not missing, missing
    return names | {"flow": flow, "_paced": _paced, "sessions": sessions}


_sleep, _pause = time.sleep, stand_ins.Clock.pause


async def _pause_as_told(clock, seconds):
    """Pause by `time.sleep` where a test has replaced that, as `Flow` does."""
    if time.sleep is _sleep:
        await _pause(clock, seconds)
    else:
        clock.sleep(seconds)
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _paced(monkeypatch):
    """What replaces `time.sleep` is what this client pauses by, too."""
    monkeypatch.setattr(stand_ins.Clock, "pause", _pause_as_told)


@pytest.fixture
def flow(request, server, environment):
    """A client of the server, for which no pause takes any time."""
    request.getfixturevalue("clock" if hasattr(request.module, "clock") else "slept")
    with Driven(hostname=server.url, request_timeout=(5, 5)) as flow:
        yield flow


@pytest.fixture
def sessions():
    sessions = DrivenSessions()
    yield sessions
    sessions.close()
