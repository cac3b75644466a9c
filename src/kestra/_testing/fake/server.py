"""`FakeKestra`: a server inside of the test's own process."""

from __future__ import annotations

import math
import os
import re
from base64 import b64encode
from contextlib import ExitStack
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
import responses
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from kestra._api.paths import DEFAULT_HOSTNAME, MAIN, base_url
from kestra._http.adapter import BoundedAdapter, wire
from kestra._http.credentials import without_userinfo
from kestra._testing.fake.clock import Clock, running
from kestra._testing.fake.engine import Engine
from kestra._testing.fake.executions import Execution, FlowDefinition, steps_of
from kestra._testing.fake.faults import Fault, Faults
from kestra._testing.fake.inputs import declared
from kestra._testing.fake.refused import UnexpectedError
from kestra._testing.fake.routes import Reply, Request, Routes, SilenceError
from kestra._testing.fake.task import Function, catching

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from requests import PreparedRequest
    from typing_extensions import Self

_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_ANSWER_TIME = 0.02  # seconds that every request takes
_LOOKS = 20_000  # at an execution that waits for somebody, until it is clear that nobody comes


class FakeKestra:
    """A Kestra server for the tests of code that calls `Flow`: in process, without a socket.

    Flows are Python functions. What `Flow` sends is read, checked and answered as a server does
    it; executions go through their states on a clock of their own, on which waiting costs no time::

        def test_the_report_is_ordered():
            with FakeKestra() as fake:
                fake.flow("company.team", "report", lambda inputs: {"pages": 3})
                order_report(day="2026-01-31")  # your code, which calls Flow().execute(...)
            assert fake.executions[0].inputs == {"day": "2026-01-31"}

    Only requests to its hostname come here; those to others go where they would go without it,
    mocks of `responses` included. (A mock of `requests_mock` takes all requests for itself, unless
    it is told `real_http=True`.) While it is active nothing that `Flow` does takes time, and `time`
    is untouched for everybody else.

    A request for a flow that is not registered, one that is not imitated, or one of `Flow` to
    another machine that nothing mocks, is an `AssertionError`, raised where it is made, and again
    at the end if something has caught it.

    Attributes:
        mistakes: These errors; one that is taken out is not raised at the end.
    """

    def __init__(  # noqa: PLR0913  # each is independent, and all are keyword-only
        self,
        *,
        hostname: str | None = None,
        tenant: str | None = None,
        version: str = "1.3",
        user: str | None = None,
        password: str | None = None,
        api_token: str | None = None,
        strict: bool = False,
    ) -> None:
        """Prepare; `with` makes it active.

        Args:
            hostname: The server that it stands for. By default the one that `Flow()` talks to at
                the time of a request: `KESTRA_HOSTNAME`, or `http://localhost:8080`.
            tenant: Its one tenant; `KESTRA_TENANT`, or `main`, by default.
            version: Whose answers to give: `"0.21"`, `"1.3"` or `"2.0"`. Those of 2.0 are by its
                description, the others are measured.
            user: Demand Basic authentication with this name. Any credentials, or none, will do
                by default.
            password: Its password.
            api_token: Demand this token.
            strict: At the end, let it be an error if nobody has seen the end of an execution, or
                if no request met a fault.

        Raises:
            ValueError: An unknown version, or a user without a password.
        """
        if version not in {"0.21", "1.3", "2.0"}:
            raise ValueError(f"version must be one of 0.21, 1.3, 2.0, not {version!r}")
        if (user is None) != (password is None):
            raise ValueError("user and password must be given together")
        self._hostname = hostname
        self._tenant = tenant
        self._version = version
        self._allowed = set()
        if user is not None:
            self._allowed.add(f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}")
        if api_token is not None:
            self._allowed.add(f"Bearer {api_token}")
        self._strict = strict
        self._engine = Engine(version, Clock())
        self._faults = Faults()
        self.mistakes: list[AssertionError] = []
        self._looks = 0
        self._active = ExitStack()

    def __enter__(self) -> Self:
        self._engine.clock = self._active.enter_context(running())
        self._active.enter_context(catching())
        # Sessions of `Flow` too: a mock of `responses` that is activated later does not see them.
        self._network = HTTPAdapter.send
        self._intercept("requests.adapters.HTTPAdapter.send", self._send_to_others)
        self._intercept("kestra._http.adapter.BoundedAdapter.send", _send_by_others)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._active.close()
        if exc is None:
            self._complain()

    def _intercept(self, target: str, otherwise: Any) -> None:
        """Answer what is sent through a method, or send it otherwise where it is for others."""
        mock = responses.RequestsMock(
            assert_all_requests_are_fired=False, target=target, real_adapter_send=otherwise
        )
        mock.add_passthru(re.compile(""))
        for method in _METHODS:
            route = responses.CallbackResponse(
                method, re.compile(""), self._answer, content_type=None, match=[self._is_mine]
            )
            mock.add(route)
        self._active.enter_context(mock)

    def _complain(self) -> None:
        if self.mistakes:
            raise self.mistakes[0]
        if not self._strict:
            return
        unseen = [each for each in self.executions if not each.was_seen_ended]
        if unseen:
            listed = ", ".join(f"{each.id} of {each.namespace}.{each.flow}" for each in unseen)
            raise AssertionError(f"FakeKestra(strict=True): nobody has seen the end of {listed}")
        if left := self._faults.left:
            raise AssertionError(f"FakeKestra(strict=True): faults that no request met: {left}")

    # --- for the test ---

    @property
    def hostname(self) -> str:
        """The server that this stands for."""
        named = self._hostname or os.environ.get("KESTRA_HOSTNAME") or DEFAULT_HOSTNAME
        return without_userinfo(base_url(named))[0]

    @property
    def executions(self) -> list[Execution]:
        """What was asked for, in the order of creation, and what has become of it."""
        return list(self._engine.executions.values())

    def flow(  # noqa: PLR0913  # each is independent, and all but the first three keyword-only
        self,
        namespace: str,
        flow: str,
        function: Function | None = None,
        *,
        inputs: Mapping[str, Any] | None = None,
        on_resume: Mapping[str, Any] | None = None,
        disabled: bool = False,
        revisions: Sequence[int] = (1,),
        tasks: Sequence[str] = ("main",),
        labels: Mapping[str, str] | None = None,
        states: Sequence[str | tuple[str, float]] = (),
    ) -> None:
        """Register a flow.

        Args:
            namespace: Its namespace.
            flow: Its id.
            function: Called with the inputs when an execution runs. What it returns, and what it
                emits through `Kestra.outputs`, `counter`, `timer`, `gauge` and `logger` in the
                thread that it is called in, are the outputs, metrics and log of the execution;
                bytes among the outputs become files. If it raises, the execution has FAILED, with
                the traceback in its log.
            inputs: What the flow declares, by id: a type, or what a flow in YAML says of it, as in
                `{"day": "DATE", "rows": {"type": "INT", "required": False, "defaults": 3}}`.
                They are checked as a server does, and parsed: to `date`, `datetime`, `timedelta`,
                `int`, `bool`, JSON, …; a file is `bytes` with a `name`. Nothing else reaches the
                function then. Without a declaration everything does, as the text that was sent.
            on_resume: The same for what is asked for when an execution is resumed.
            disabled: Whether the flow is disabled.
            revisions: The revisions that there are.
            tasks: The ids of its tasks; the function is the last one.
            labels: The flow's own labels.
            states: The states that its executions go through, as for `state`.

        Raises:
            ValueError: An input has no such type, or there is no such state.
        """
        self._engine.flows[namespace, flow] = FlowDefinition(
            namespace,
            flow,
            function or _nothing,
            inputs=None if inputs is None else declared(inputs),
            on_resume=declared(on_resume or {}),
            disabled=disabled,
            revisions=tuple(revisions),
            tasks=tuple(tasks),
            labels=dict(labels or {}),
            states=tuple(steps_of(states)),
        )

    def missing(self, namespace: str, flow: str) -> None:
        """Say that the server does not have a flow, so that it answers 404."""
        self._engine.flows[namespace, flow] = None

    def state(self, *states: str | tuple[str, float]) -> None:
        """Say what the next execution goes through; called again, the one after it.

        Each state is a name, or a name and the seconds that it lasts::

            fake.state(("RUNNING", 90))  # runs for 90 seconds
            fake.state("PAUSED")  # waits until somebody resumes it, and then runs
            fake.state(("RUNNING", math.inf))  # runs until somebody kills it
            fake.state(("QUEUED", 5), "WARNING")  # ends so, whatever the function does

        The function is called when it is RUNNING, for the last time if there are several. Without
        a terminal state at the end it is what the function makes it.

        Raises:
            ValueError: There is no such state, or one follows a terminal one.
        """
        self._engine.courses.append(steps_of(states))

    def fail(
        self,
        times: int = 1,
        *,
        status: int | None = 503,
        after_create: bool = False,
        on: str = "",
        retry_after: float | None = None,
    ) -> None:
        """Let the next requests fail.

        Args:
            times: How many of them.
            status: The status that they are answered with; `None` breaks the connection.
            after_create: Let it be the next creations, which are carried out before: the answer
                is lost, the execution exists.
            on: Only requests that begin so, as in `"POST"` or `"GET /api/v1/logs/"`; their tenant
                may be left out.
            retry_after: Seconds that the answer asks the client to wait.

        Raises:
            ValueError: No request begins like that, or `times` is none.
        """
        self._faults.add(Fault(times, on, after_create, status, retry_after=retry_after))

    def hang(self, times: int = 1, *, after_create: bool = False, on: str = "") -> None:
        """Let the next requests get no answer at all, until the client gives up.

        Args:
            times: How many of them.
            after_create: As for `fail`.
            on: As for `fail`.

        Raises:
            ValueError: As of `fail`.
        """
        self._faults.add(Fault(times, on, after_create, hangs=True))

    def sleep(self, seconds: float) -> None:
        """Let time pass on the fake's clock, and executions go on; returns at once.

        To put in the place of `time.sleep` in code of yours that waits for executions itself.
        """
        self._engine.clock.sleep(seconds)
        self._engine.all()

    # --- for the client ---

    def _is_mine(self, request: PreparedRequest) -> tuple[bool, str]:
        base, asked = urlsplit(self.hostname), urlsplit(str(request.url))
        same_host = (base.scheme, base.hostname, base.port) == (
            asked.scheme, asked.hostname, asked.port)  # fmt: skip
        return same_host and f"{asked.path}/".startswith(f"{base.path}/"), "another server"

    def _answer(self, request: PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        wire.used = True  # this is what the client takes for a network
        self._engine.clock.sleep(_ANSWER_TIME)
        asked = self._read(request)
        try:
            reply = self._reply(asked, request)
        except SilenceError as error:
            raise self._silence(error, asked, request) from None
        except UnexpectedError as error:
            raise self._mistake(error) from None
        return reply.status, reply.headers, reply.body

    def _reply(self, asked: Request, request: PreparedRequest) -> Reply:
        fault = self._faults.take(asked)
        if fault and not fault.after_create:
            return self._go_wrong(fault, asked, request)
        reply = self._carry_out(asked, request.headers.get("Authorization"))
        if fault is None:
            return reply
        if reply.status == HTTPStatus.OK:
            return self._go_wrong(fault, asked, request)
        self._faults.give_back(fault)
        return reply

    def _carry_out(self, asked: Request, authorization: str | None) -> Reply:
        is_old = self._version == "0.21"
        is_open = not self._allowed or (asked.path == "/api/v1/configs" and not is_old)
        if not (is_open or authorization in self._allowed):
            realm = "Basic realm=Kestra" if is_old else "Basic"
            return Reply(401, headers={"WWW-Authenticate": realm})
        self._be_impatient()
        tenant = self._tenant or os.environ.get("KESTRA_TENANT") or MAIN
        return Routes(self._engine, self.hostname, tenant)(asked)

    def _read(self, request: PreparedRequest) -> Request:
        url = urlsplit(str(request.url))
        timeout = request.req_kwargs.get("timeout")  # type: ignore[attr-defined]
        body = request.body or b""
        return Request(
            str(request.method),
            url.path.removeprefix(urlsplit(self.hostname).path),
            url.query,
            request.headers.get("Content-Type", ""),
            body.encode() if isinstance(body, str) else body,
            timeout[1] if isinstance(timeout, tuple) else timeout,
        )

    # --- what goes wrong ---

    def _go_wrong(self, fault: Fault, asked: Request, request: PreparedRequest) -> Reply:
        if fault.hangs:
            self._engine.clock.sleep(asked.patience or 0)
            raise self._silence(SilenceError("the server hangs"), asked, request)
        if fault.status is None:
            broken = ProtocolError("Connection aborted.", ConnectionResetError("reset by peer"))
            raise requests.ConnectionError(broken, request=request)
        headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
        return Reply(fault.status, b"", headers)

    def _silence(self, error: SilenceError, asked: Request, request: PreparedRequest) -> Exception:
        if asked.patience is None:
            return self._mistake(f"{error}; this request has no timeout, and would wait for ever")
        text = f"Read timed out. (read timeout={asked.patience})"
        late = ReadTimeoutError(None, asked.path, text)  # type: ignore[arg-type]
        return requests.ReadTimeout(late, request=request)

    def _send_to_others(self, adapter: HTTPAdapter, request: PreparedRequest, **kwargs: Any) -> Any:
        """Send on, but nothing of `Flow` to another machine: a test must not start a flow there."""
        is_mocked = self._network.__module__ != HTTPAdapter.__module__
        host = urlsplit(str(request.url)).hostname
        if isinstance(adapter, BoundedAdapter) and not (is_mocked or host in _LOOPBACK):
            raise self._mistake(
                f"Flow would ask {host}, but this stands for {self.hostname}: set the "
                "server by FakeKestra(hostname=…) or KESTRA_HOSTNAME"
            )
        return self._network(adapter, request, **kwargs)

    def _be_impatient(self) -> None:
        """Count the requests while all that goes on waits for somebody who does not come."""
        waiting = [each for each in self.executions if not each.has_ended]
        is_stuck = waiting and all(math.isinf(each.due) for each in waiting)
        self._looks = self._looks + 1 if is_stuck else 0
        if self._looks > _LOOKS:
            listed = ", ".join(f"{each.id} is {each.state}" for each in waiting)
            raise self._mistake(
                f"{listed}, and nobody has done anything about it for {_LOOKS} looks: resume or "
                "kill it, or let the code give up after a timeout"
            )

    def _mistake(self, what: Exception | str) -> AssertionError:
        wire.used = None  # nobody is to ask whether it was carried out
        mistake = AssertionError(f"FakeKestra: {what}")
        self.mistakes.append(mistake)
        return mistake


def _send_by_others(adapter: HTTPAdapter, request: PreparedRequest, **kwargs: Any) -> Any:
    """Send to where another server is, by whatever is there for that now."""
    return HTTPAdapter.send(adapter, request, **kwargs)


def _nothing(_: dict[str, Any]) -> None:
    """Do what a flow without a function does."""
