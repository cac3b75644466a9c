"""`FakeKestra`: a server inside of the test's own process."""

from __future__ import annotations

import math
import re
from base64 import b64encode
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from kestra._http.stand_ins import clock, use_clock
from kestra._testing.fake.api import respond
from kestra._testing.fake.engine import Engine
from kestra._testing.fake.execution import FlowDefinition, steps_of
from kestra._testing.fake.inputs import declared
from kestra._testing.fake.messages import Reply, UnexpectedError
from kestra._testing.fake.stand_ins import Interception, VirtualClock
from kestra._testing.fake.task import catching

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Self

    from kestra._testing.fake.execution import Execution, Function, Loop
    from kestra._testing.fake.messages import Request

_RESPONSE_TIME = 0.02  # seconds that every request takes
_POLLS = 20_000  # of an execution that waits for somebody, until it is clear that nobody comes
_CREATION = re.compile(
    r"POST .*/executions/[^/]+/(?!(?:pause|resume|restart|replay|labels)$)[^/]+$"
)
_TENANT = re.compile(r"(?<=/api/v1/)(?!executions/)[^/]+/(?=executions/|logs/|metrics/|outputs/)")
_BEGINNING = re.compile(r"([A-Z]+( /api/v1(/.*)?)?)?$")


class FakeKestra:
    """A Kestra server for the tests of code that calls `Flow` or `AsyncFlow`: in process.

    Flows are Python functions. What `Flow` and `Namespace` send is checked as a server does it, and
    gets the response of a server; executions go through their states on a clock of their own, on
    which waiting costs no time::

        def test_the_report_is_ordered():
            with FakeKestra() as fake:
                fake.flow("company.team", "report", lambda inputs: {"pages": 3})
                order_report(day="2026-01-31")  # your code, which calls Flow().execute(...)
            assert fake.executions[0].inputs == {"day": "2026-01-31"}

    Only requests to its hostname come here; those to others go where they would go without it,
    mocks of `responses` included. (A mock of `requests_mock` takes all requests for itself, unless
    it has `real_http=True`.) While it is active nothing that `Flow` does takes time, and `time`
    is untouched for everybody else.

    A request for a flow that is not registered, one that is not imitated, or one of `Flow` to
    another machine that nothing mocks, is an `AssertionError`, raised where it is made, and again
    at the end if something has caught it.

    Attributes:
        mistakes: These errors; one that is taken out is not raised at the end.
        log_delay: For how many seconds after a log entry was made the server does not show it, as
            on a busy server; 0 by default. A long log comes in steps of 100 entries, the last one
            after the whole delay.
    """

    def __init__(  # noqa: PLR0913  # each is independent, and all are keyword-only
        self,
        *,
        hostname: str | None = None,
        tenant: str | None = None,
        version: str = "2.0",
        user: str | None = None,
        password: str | None = None,
        api_token: str | None = None,
        strict: bool = False,
    ) -> None:
        """Set the attributes; `with` makes it active.

        Args:
            hostname: The server that it stands for. By default the one that `Flow()` talks to at
                the time of a request: `KESTRA_HOSTNAME`, or `http://localhost:8080`.
            tenant: Its one tenant; `KESTRA_TENANT`, or `main`, by default.
            version: The server to imitate: `"0.21"`, `"1.3"` or `"2.0"`.
            user: Demand Basic authentication with this name. Any credentials, or none, will do
                by default.
            password: Its password.
            api_token: Demand this token.
            strict: At the end, raise an error if nothing waited for the end of an execution, or
                if no request met a fault.

        Raises:
            ValueError: An unknown version, or a user without a password.
        """
        if version not in {"0.21", "1.3", "2.0"}:
            raise ValueError(f"version must be one of 0.21, 1.3, 2.0, not {version!r}")
        if (user is None) != (password is None):
            raise ValueError("user and password must be given together")
        allowed = set()
        if user is not None:
            allowed.add(f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}")
        if api_token is not None:
            allowed.add(f"Bearer {api_token}")
        self._version = version
        self._strict = strict
        self._engine = Engine(version, hostname, tenant, allowed)
        self._faults: list[Fault] = []
        self.mistakes: list[AssertionError] = []
        self.log_delay = 0.0
        self._polls = 0
        self._active = ExitStack()

    def __enter__(self) -> Self:
        present = clock()
        if not isinstance(present, VirtualClock):  # else that of another fake around this one
            present = VirtualClock()
            self._active.callback(use_clock(present))
        self._engine.clock = present
        interception = Interception(self._engine, self._respond, self._mistake)
        self._active.enter_context(catching())
        self._active.enter_context(interception.active())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._active.close()
        if kind is not None:
            return
        if self.mistakes:
            raise self.mistakes[0]
        not_shown = [each for each in self.executions if not each.was_shown_ended]
        if self._strict and not_shown:
            listed = ", ".join(f"{each.id} of {each.namespace}.{each.flow}" for each in not_shown)
            raise AssertionError(f"FakeKestra(strict=True): nothing waited for the end of {listed}")
        left = sum(fault.times for fault in self._faults)
        if self._strict and left:
            raise AssertionError(f"FakeKestra(strict=True): faults that no request met: {left}")

    # --- for the test ---

    @property
    def hostname(self) -> str:
        """The server that this stands for."""
        return self._engine.base

    @property
    def executions(self) -> list[Execution]:
        """What was asked for, in the order of creation, and what has become of it."""
        return [each for each in list(self._engine.executions.values()) if each.loop_run is None]

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
        loops: Mapping[str, Loop] | None = None,
        webhook: str | Mapping[str, Any] | None = None,
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
            disabled: Let it be an error to execute the flow.
            revisions: The revisions that there are.
            tasks: The ids of its tasks; the function is the last one.
            labels: The flow's own labels.
            states: The states that its executions go through, as for `state`.
            loops: The tasks among them that are a `Loop` of 2.0, by id: the values, the id of the
                task that they are passed to, and its function, as in
                `{"each": (["a", "b"], "load", lambda value: {"rows": 3})}`. Each value makes an
                execution of its own, of kind LOOP.
            webhook: Its key, or what the trigger has in YAML (`key`, `wait`, `returnOutputs`,
                `responseCode`). The function gets `{"trigger": {"body": …, "parameters": …}}`, and
                the inputs that are declared, each from the body's value of the same name.

        Raises:
            ValueError: An input has no such type, there is no such state, or a wrong loop.
        """
        version, loops = self._engine.version, dict(loops or {})
        if wrong := loops.keys() - set(tasks[:-1]):
            raise ValueError(f"loops: {min(wrong)!r} must be one of tasks, before the last one")
        if loops and version != "2.0":
            raise ValueError(f"loops: {version} has no Loop, only 2.0 has")
        self._engine.flows[namespace, flow] = FlowDefinition(
            namespace,
            flow,
            function or (lambda _: None),
            inputs=None if inputs is None else declared(inputs, version),
            on_resume=declared(on_resume or {}, version),
            disabled=disabled,
            revisions=tuple(revisions),
            tasks=tuple(tasks),
            labels=dict(labels or {}),
            states=tuple(steps_of(states)),
            loops=loops,
            webhook={"key": webhook} if isinstance(webhook, str) else webhook,
        )

    def missing(self, namespace: str, flow: str) -> None:
        """Let the server not have a flow: it responds with 404."""
        self._engine.flows[namespace, flow] = None

    def state(self, *states: str | tuple[str, float]) -> None:
        """Set the states of the next execution; called again, those of the one after it.

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
            status: The status of their responses; `None` breaks the connection.
            after_create: Let the next creations fail after they were carried out: the response
                is lost, the execution exists.
            on: Only requests that begin so, as in `"POST"` or `"GET /api/v1/logs/"`; their tenant
                may be left out.
            retry_after: Seconds that the response asks the client to wait.

        Raises:
            ValueError: No request begins like that, or `times` is less than 1.
        """
        self._faults.append(Fault(times, on, after_create, status, retry_after=retry_after))

    def hang(self, times: int = 1, *, after_create: bool = False, on: str = "") -> None:
        """Let the next requests get no response, until the client gives up.

        Args:
            times: How many of them.
            after_create: As for `fail`.
            on: As for `fail`.

        Raises:
            ValueError: As of `fail`.
        """
        self._faults.append(Fault(times, on, after_create, hangs=True))

    def sleep(self, seconds: float) -> None:
        """Let time pass on the fake's clock, and executions go on; returns at once.

        To put in the place of `time.sleep` in code of yours that waits for executions itself.
        """
        self._engine.clock.sleep(seconds)
        self._engine.all()

    # --- for the client ---

    def _respond(self, request: Request) -> Reply:
        self._engine.clock.sleep(_RESPONSE_TIME)
        try:
            return self._reply(request)
        except TimeoutError as error:
            if request.read_timeout is not None:
                raise
            what = f"{error}; this request has no timeout, and would never end"
            raise self._mistake(what) from None
        except UnexpectedError as error:
            raise self._mistake(str(error)) from None

    def _reply(self, request: Request) -> Reply:
        line = f"{request.method} {request.path}"
        with self._engine.lock:
            fault = next((each for each in self._faults if each.fits(line)), None)
            if fault is not None:
                fault.times -= 1
        if fault and not fault.after_create:
            return self._go_wrong(fault, request)
        self._check_progress()
        self._engine.log_delay = self.log_delay
        reply = respond(self._engine, request)
        if fault is None:
            return reply
        if reply.status == HTTPStatus.OK:
            return self._go_wrong(fault, request)
        with self._engine.lock:
            fault.times += 1  # for the next request: this one has not come so far
        return reply

    def _go_wrong(self, fault: Fault, request: Request) -> Reply:
        if fault.hangs:
            self._engine.clock.sleep(request.read_timeout or 0)
            raise TimeoutError("the server hangs")
        if fault.status is None:
            raise ConnectionResetError("reset by peer")
        headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
        return Reply(fault.status, b"", headers)

    def _check_progress(self) -> None:
        """Count the requests while all that goes on waits for somebody who does not come."""
        waiting = [each for each in self.executions if not each.has_ended]
        is_stuck = waiting and all(math.isinf(each.due) for each in waiting)
        self._polls = self._polls + 1 if is_stuck else 0
        if self._polls > _POLLS:
            listed = ", ".join(f"{each.id} is {each.state}" for each in waiting)
            raise UnexpectedError(
                f"{listed}, and nobody has done anything about it for {_POLLS} polls: resume or "
                "kill it, or let the code give up after a timeout"
            )

    def _mistake(self, what: str) -> AssertionError:
        mistake = AssertionError(f"FakeKestra: {what}")
        self.mistakes.append(mistake)
        return mistake


@dataclass
class Fault:
    """What goes wrong with so many requests still, which begin in a certain way."""

    times: int
    on: str
    after_create: bool  # they are creations, and are carried out
    status: int | None = None  # that of the response; `None` breaks the connection
    hangs: bool = False
    retry_after: float | None = None

    def __post_init__(self) -> None:
        if self.times < 1:
            raise ValueError(f"times must be 1 or more, not {self.times}")
        if not _BEGINNING.match(self.on):
            raise ValueError(
                f"on must be a method, or one and the beginning of a path, not {self.on!r}"
            )

    def fits(self, line: str) -> bool:
        lines = line, _TENANT.sub("", line, count=1)
        is_meant = _CREATION.match(line) or not self.after_create
        return bool(self.times and is_meant and any(each.startswith(self.on) for each in lines))
