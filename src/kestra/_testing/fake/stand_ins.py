"""What a fake puts in the place of the clock, and of the network."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
import responses
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from kestra._http.adapter import LimitedAdapter, wire
from kestra._http.stand_ins import Clock, use_exchange
from kestra._testing.fake.messages import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx2
    from requests import PreparedRequest

    from kestra._testing.fake.engine import Engine
    from kestra._testing.fake.messages import Reply

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_LEAST = 1e-6  # seconds


class VirtualClock(Clock):
    """A clock on which only sleeping takes time.

    All threads share it: where several sleep at once, their seconds add up.
    """

    def __init__(self) -> None:
        super().__init__()
        self._origin = self._now = time.monotonic()
        self._date = datetime.now(timezone.utc)

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let time pass; a little more of it, since a real sleep does not end too early either."""
        with self._lock:
            self._now += max(seconds, 0) + _LEAST

    async def pause(self, seconds: float) -> None:
        import asyncio

        self.sleep(seconds)
        await asyncio.sleep(0)

    def utcnow(self) -> datetime:
        return self.date(self._now)

    def date(self, moment: float) -> datetime:
        return self._date + timedelta(seconds=moment - self._origin)

    def moment(self, date: datetime) -> float:
        return self._origin + (date - self._date).total_seconds()


@dataclass
class Interception:
    """The way to a fake: requests to its address get its responses."""

    engine: Engine
    respond: Callable[[Request], Reply]
    mistake: Callable[[str], AssertionError]  # notes one of the test; the error is to be raised

    @contextmanager
    def active(self) -> Iterator[None]:
        """Reply to what is sent to the server in this block; send on what is for others."""
        self._network = HTTPAdapter.send
        # Sessions of `Flow` too: a mock of `responses` that is activated later does not see them.
        with (
            self._mock("requests.adapters.HTTPAdapter.send", self._send_to_others),
            self._mock(
                "kestra._http.adapter.LimitedAdapter.send",
                # To other servers: by whatever is there for that at the time.
                lambda *arguments, **kwargs: HTTPAdapter.send(*arguments, **kwargs),  # noqa: PLW0108
            ),
            ExitStack() as stack,
        ):
            stack.callback(use_exchange(self._exchange))
            yield

    def _mock(self, target: str, otherwise: Any) -> responses.RequestsMock:
        mock = responses.RequestsMock(
            assert_all_requests_are_fired=False, target=target, real_adapter_send=otherwise
        )
        mock.add_passthru(re.compile(""))
        for method in ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"):
            route = responses.CallbackResponse(
                method, re.compile(""), self._reply, content_type=None, match=[self._is_mine]
            )
            mock.add(route)
        return mock

    def _is_mine(self, request: PreparedRequest | httpx2.Request) -> tuple[bool, str]:
        base, asked = urlsplit(self.engine.base), urlsplit(str(request.url))
        same_host = (base.scheme, base.hostname, base.port) == (
            asked.scheme, asked.hostname, asked.port)  # fmt: skip
        return same_host and f"{asked.path}/".startswith(f"{base.path}/"), "another server"

    def _reply(self, request: PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        wire.used = True  # this is what the client takes for a network
        timeout = request.req_kwargs.get("timeout")  # type: ignore[attr-defined]
        timeout = timeout[1] if isinstance(timeout, tuple) else timeout
        body = request.body or b""
        asked = self._read(request, body.encode() if isinstance(body, str) else body, timeout)
        try:
            reply = self.respond(asked)
        except TimeoutError:
            text = f"Read timed out. (read timeout={timeout})"
            late = ReadTimeoutError(None, asked.path, text)  # type: ignore[arg-type]
            raise requests.ReadTimeout(late, request=request) from None
        except ConnectionResetError as error:
            broken = ProtocolError("Connection aborted.", error)
            raise requests.ConnectionError(broken, request=request) from None
        except AssertionError:
            wire.used = None  # nobody is to ask whether it was carried out
            raise
        return reply.status, reply.headers, reply.body

    def _read(self, request: Any, body: bytes, timeout: float | None) -> Request:
        url = urlsplit(str(request.url))
        path = url.path.removeprefix(urlsplit(self.engine.base).path)
        return Request(str(request.method), path, url.query, request.headers, body, timeout)

    async def _exchange(self, request: httpx2.Request, send: Any) -> httpx2.Response:
        """Respond to what `AsyncFlow` sends to the server; send on what is for others."""
        import httpx2

        if not self._is_mine(request)[0]:
            if request.url.host not in _LOOPBACK:
                raise self._elsewhere("AsyncFlow", request.url.host)
            response: httpx2.Response = await send(request)
            return response
        timeout = request.extensions["timeout"]["read"]
        asked = self._read(request, await request.aread(), timeout)
        outcome: httpx2.Response | Exception
        try:
            reply = self.respond(asked)
            outcome = httpx2.Response(reply.status, headers=reply.headers, content=reply.body)
        except TimeoutError:
            outcome = httpx2.ReadTimeout("timed out", request=request)
        except ConnectionResetError:
            outcome = httpx2.ReadError("reset by peer", request=request)
        # This is what the client takes for a network.
        await request.extensions["trace"]("fake.send_request_headers.started", {})
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _elsewhere(self, client: str, host: object) -> AssertionError:
        """Refuse to send a client's request to another machine, where it might start a flow."""
        return self.mistake(
            f"{client} would ask {host}, but this stands for {self.engine.base}: set the "
            "server by FakeKestra(hostname=…) or KESTRA_HOSTNAME"
        )

    def _send_to_others(self, adapter: HTTPAdapter, request: PreparedRequest, **kwargs: Any) -> Any:
        is_mocked = self._network.__module__ != HTTPAdapter.__module__
        host = urlsplit(str(request.url)).hostname
        if isinstance(adapter, LimitedAdapter) and not (is_mocked or host in _LOOPBACK):
            wire.used = None
            raise self._elsewhere("Flow", host)
        return self._network(adapter, request, **kwargs)
