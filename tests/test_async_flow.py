"""`AsyncFlow`: what is its own beside `Flow`, and what holds for a program with an event loop."""

import asyncio
import gc
import inspect
import io
import pickle
import re
import subprocess
import sys
import threading
import time
from contextlib import aclosing
from datetime import date
from functools import reduce

import httpx2
import pytest
from loopback import (
    DEADLINE,
    Gone,
    Loopback,
    Reply,
    Routes,
    answer,
    as_json,
    carried_out,
    event,
    hang,
    reset,
    stream,
)
from urllib3.exceptions import InsecureRequestWarning

from kestra import AsyncFlow, Flow, LogEntry
from kestra._http import asynchronous
from kestra._http.async_sessions import is_light
from kestra._rules import executing
from kestra.exceptions import (
    APIError,
    ConnectionFailed,
    ExecutionTimeout,
    FailedExponentialBackoff,
    NotFound,
)

pytestmark = pytest.mark.usefixtures("environment")

HAS_NOTES = sys.version_info >= (3, 11)


def run(work, url, **arguments):
    """Run a test's coroutine function with a client, and check that nothing is left behind."""

    async def whole():
        async with AsyncFlow(hostname=url, **arguments) as flow:
            result = await work(flow)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left
        return result

    return asyncio.run(whole())


def ends(server):
    """Wait until the client has closed every connection of a server."""
    for thread in server._threads[1:]:
        while thread.ident is None:  # it is just being started
            time.sleep(0.001)
        thread.join(DEADLINE)
        assert not thread.is_alive()


# --- one face beside the other ---


# Flows, files and key-values of a namespace: of `Flow` alone.
BLOCKING = {"namespace"}


def public(cls):
    return {name for name in dir(cls) if not name.startswith("_")} - BLOCKING


def test_both_faces_have_the_same_names():
    """Neither gets ahead of the other."""
    assert public(AsyncFlow) == public(Flow)
    assert vars(Flow(hostname="http://x")).keys() == vars(AsyncFlow(hostname="http://x")).keys()


@pytest.mark.parametrize(
    "name", sorted(name for name in public(AsyncFlow) if inspect.isfunction(getattr(Flow, name)))
)
def test_both_faces_have_the_same_signatures(name):
    """They differ in the default of `follow`, and in what an event loop needs."""
    ours, theirs = (inspect.signature(getattr(face, name)) for face in (AsyncFlow, Flow))

    def parameters(signature):
        return [
            each.replace(default=None) if each.name == "follow" else each
            for each in signature.parameters.values()
        ]

    assert parameters(ours) == parameters(theirs)
    returned = theirs.return_annotation.replace("requests.", "httpx2.")
    kind, _, inner = returned.partition("[")
    if kind in {"Generator", "Iterator"}:
        returned = f"AsyncGenerator[{inner.removesuffix(']').removesuffix(', None, None')}, None]"
        assert not inspect.iscoroutinefunction(getattr(AsyncFlow, name))
    elif returned == "Namespace":
        returned = "AsyncNamespace"
    else:
        assert inspect.iscoroutinefunction(getattr(AsyncFlow, name))
    assert ours.return_annotation == returned


def test_both_faces_are_made_alike():
    """The arguments, the environment, and what is said of a wrong name."""
    assert inspect.signature(AsyncFlow) == inspect.signature(Flow)
    with pytest.raises(TypeError, match=r"AsyncFlow\(\) has no argument 'host': did you mean"):
        AsyncFlow(host="http://x")


def test_a_docstring_is_one_line():
    """As `Flow`'s, and what differs."""
    for name in public(AsyncFlow):
        if inspect.isfunction(getattr(Flow, name)):
            text = getattr(AsyncFlow, name).__doc__
            assert text.startswith(f"As `Flow.{name}`")
            assert "\n" not in text


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_nothing_of_it_is_loaded_by_flow_or_by_a_task():
    """Neither the library nor an event loop."""
    code = (
        "import sys; from kestra import Flow, Kestra; Kestra.outputs({'a': 1})\n"
        "try: Flow(hostname='http://127.0.0.1:1', retries=1).get_execution('x')\n"
        "except Exception as error: print(type(error).__name__)\n"
        "assert not {'httpx2', 'anyio', 'asyncio', 'kestra._http.asynchronous'} & {*sys.modules}"
    )
    status, out, err = python(code)
    assert (status, "AssertionError" in err) == (0, False)
    assert "ConnectionFailed" in out


@pytest.mark.parametrize("name", ["httpx2", "anyio"])
def test_without_the_library_one_line_says_what_to_install(name):
    """Where the client is made, not where the package is imported."""
    code = f"import sys; sys.modules[{name!r}] = None; from kestra import AsyncFlow; AsyncFlow()"
    status, _, err = python(code)
    last = err.strip().splitlines()[-1]
    assert status == 1
    assert last == "ModuleNotFoundError: AsyncFlow needs httpx2: pip install 'kestra[async]'"


def test_a_client_can_be_pickled():
    """Without its connections."""
    flow = pickle.loads(pickle.dumps(AsyncFlow(hostname="http://x", api_token="t")))
    assert (flow.hostname, flow.api_token) == ("http://x", "t")


# --- following, by default ---


def story(server, *states):
    """Let a server tell of an execution by its stream, and by polls."""
    shown = {"id": "id1", "state": {"current": "SUCCESS", "histories": []}}
    server.engine = Routes(
        {
            "POST /api/v1/executions/ns/flow": as_json({"id": "id1"}),
            "GET /api/v1/executions/id1": as_json(shown),
            "GET /api/v1/logs/id1/download": Reply(200, b"a log\n"),
        }
    )
    server.upset(
        "GET /api/v1/executions/id1/follow",
        stream(*(event({"id": "id1", "state": {"current": each}}) for each in states)),
    )


@pytest.mark.parametrize("follow", [None, False])
def test_executions_are_followed_unless_that_is_declined(server, follow):
    """One stream in the place of polls."""
    story(server, "RUNNING", "SUCCESS")
    more = {} if follow is None else {"follow": follow}
    result = run(lambda flow: flow.execute("ns", "flow", **more), server.url)
    assert (result.status, result.log) == ("SUCCESS", "a log\n")
    assert server.count("/follow") == (1 if follow is None else 0)


def test_callbacks_may_be_coroutine_functions(server):
    """They are awaited, one after the other."""
    story(server, "RUNNING", "SUCCESS")
    told = []

    async def on_state(change):
        await asyncio.sleep(0)
        told.append(change.state)

    run(lambda flow: flow.execute("ns", "flow", on_state=on_state), server.url)
    assert told == ["RUNNING", "SUCCESS"]


def test_who_leaves_early_leaves_nothing_behind(server):
    """The stream is closed, and its task has ended, while the client lives on."""
    gone = Gone()
    story(server)
    server._faults.clear()
    running = {"id": "id1", "state": {"current": "RUNNING"}}
    server.engine.replies["GET /api/v1/executions/id1"] = as_json(running)
    server.upset("/executions/id1/follow", stream(event(running), then=gone))
    server.upset("/logs/id1/follow", stream(event({"message": "m", "level": "INFO"}), then=gone))

    async def leave(flow):
        async for each in flow.follow("id1"):
            if isinstance(each, LogEntry):
                break
        assert len(asyncio.all_tasks()) > 1
        while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0)

    run(leave, server.url)
    assert gone.wait()
    ends(server)


# --- cancellation ---


class Stepped:
    """Runs a coroutine, and cancels its task at one of its awaits."""

    def __init__(self, work, step):
        self._work = work
        self._left = step
        self.task = None

    def __await__(self):
        inner = self._work.__await__()
        value, error = None, None
        while True:
            try:
                awaited = inner.send(value) if error is None else inner.throw(error)
            except StopIteration as end:
                return end.value
            self._left -= 1
            if self._left == 0:
                self.task.cancel()
            try:
                value, error = (yield awaited), None
            except BaseException as raised:  # noqa: BLE001  # is thrown in again
                value, error = None, raised


def cancelled_at(step, work, url):
    """Return what came of a call that is cancelled at an await; `None` if it never was."""

    async def whole():
        async with AsyncFlow(hostname=url, request_timeout=5) as flow:
            stepped = Stepped(work(flow), step)

            async def call():
                return await stepped

            stepped.task = asyncio.create_task(call())
            try:
                await stepped.task
            except asyncio.CancelledError as error:
                assert asyncio.all_tasks() == {asyncio.current_task()}
                return error
            return None

    return asyncio.run(whole())


def each_step(work, check, most=150):
    """Cancel a call at every await that it has."""
    for step in range(1, most):
        with Loopback() as server:
            error = cancelled_at(step, work, server.url)
            ends(server)
            check(server, error)
        if error is None:
            break
    gc.collect()  # whatever was not closed is a warning now, and an error
    return step


def test_an_execution_may_be_cancelled_at_any_await(tmp_path):
    """No task and no connection is left, and the exception says what may be running."""
    path = tmp_path / "data.bin"
    path.write_bytes(b"x" * 3_000_000)

    def check(server, error):
        assert not server.engine.killed
        if error is not None and server.engine.executions and HAS_NOTES:
            notes = " ".join(error.__notes__)
            assert "execution0" in notes or "The execution may exist" in notes

    steps = each_step(lambda flow: flow.execute("ns", "flow", {"f": path}), check)
    assert steps > 15


def test_closing_may_be_cancelled_at_any_await():
    """No connection is left: closing goes on to its end."""

    async def work(flow):
        missing = (flow.get_execution("id1") for _ in range(3))
        await asyncio.gather(*missing, return_exceptions=True)
        await flow.close()

    each_step(work, lambda *_: None)


def test_a_download_may_be_cancelled_at_any_await(tmp_path):
    """The file is there whole, or not at all."""
    to = tmp_path / "file"

    async def download(flow):
        to.unlink(missing_ok=True)
        await flow.download("execution0", "kestra:///a", to)

    def check(server, error):
        assert not list(tmp_path.glob("*.part")) + list(tmp_path.glob(".*"))
        assert not to.exists() or to.read_bytes() == b"x" * 3_000_000

    def work(flow):
        return download(flow)

    for step in range(1, 150):
        with Loopback() as server:
            server.engine.file = b"x" * 3_000_000
            error = cancelled_at(step, work, server.url)
            ends(server)
            check(server, error)
        if error is None:
            break
    assert to.exists()
    assert step > 5


def test_files_of_a_namespace_may_be_cancelled_at_any_await(tmp_path, monkeypatch):
    """No file is left open, and no temporary folder, though threads open and make them."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = tmp_path / "data.bin"
    path.write_bytes(b"x")

    async def work(flow):
        files = flow.namespace("ns").files
        await files.upload(path, "data.bin")
        assert await files.read("data.bin") == b"x"

    def check(*_):
        assert list(tmp_path.iterdir()) == [path]

    assert each_step(work, check) > 15


def test_many_executions_may_be_cancelled_at_any_await():
    """Each of their tasks ends too."""

    async def execute(flow):
        async with aclosing(flow.execute_all([("ns", "flow")] * 3)) as outcomes:
            return [outcome async for outcome in outcomes]

    assert each_step(execute, lambda *_: None) > 5


def test_a_cancellation_says_which_executions_are_left(server):
    """Those that were created, and have not ended."""
    waits_for_ever(server)

    async def execute(flow):
        outcomes = flow.execute_all([("ns", "flow")] * 3)
        waiting = asyncio.create_task(anext(outcomes))
        while not server.count("GET /api/v1/executions/search"):  # noqa: ASYNC110  # likewise
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await waiting
        return caught.value

    error = run(execute, server.url)
    if HAS_NOTES:
        (note,) = error.__notes__
        assert sorted(note.partition(": ")[2].split(", ")) == sorted(server.engine.executions)
    assert not server.engine.killed


def waits_for_ever(server):
    server.engine.states = ["RUNNING"]


def test_a_timeout_of_the_callers_kills_nothing(server):
    """`asyncio.wait_for` around `execute` ends it, and says which execution is left."""
    waits_for_ever(server)

    async def execute(flow):
        loop = asyncio.get_running_loop()
        passing = asyncio.create_task(pass_time(loop))
        with pytest.raises(asyncio.TimeoutError) as caught:
            await asyncio.wait_for(flow.execute("ns", "flow", kill_on_timeout=True), 30)
        await passing
        return caught.value

    async def pass_time(loop):
        """Let it be later once the execution is polled."""
        while not server.count("GET /api/v1/executions/execution0"):  # noqa: ASYNC110  # likewise
            await asyncio.sleep(0.01)
        now = loop.time
        loop.time = lambda: now() + 40

    error = run(execute, server.url)
    assert not server.engine.killed
    if HAS_NOTES:
        assert "Execution execution0: " in " ".join(error.__cause__.__notes__)


def test_its_own_timeout_kills_if_asked_to(server):
    """As with `Flow`."""
    waits_for_ever(server)
    with pytest.raises(ExecutionTimeout) as caught:
        run(lambda f: f.execute("ns", "flow", timeout=0.2, kill_on_timeout=True), server.url)
    assert caught.value.killed
    assert server.engine.killed == ["execution0"]


def test_closing_ends_what_is_under_way(server):
    """The tasks of a call that somebody else makes end too."""
    waits_for_ever(server)

    async def close(flow):
        outcomes = flow.execute_all([("ns", "flow")] * 3, max_concurrent=3)
        waiting = asyncio.create_task(anext(outcomes))
        while not server.count("GET /api/v1/executions/search"):  # noqa: ASYNC110  # likewise
            await asyncio.sleep(0.01)
        await flow.close()
        waiting.cancel()
        await asyncio.wait([waiting])
        await outcomes.aclose()

    run(close, server.url)


# --- threads, and what the loop does not do ---


class Watched(io.BytesIO):
    """A file that notes in which thread it is read."""

    def __init__(self, data):
        super().__init__(data)
        self.threads = set()

    def read(self, size=-1):
        if size:
            self.threads.add(threading.current_thread())
        return super().read(size)


def test_a_file_is_read_in_a_thread(server, monkeypatch):
    """In pieces, and for every attempt."""
    monkeypatch.setattr(asyncio, "sleep", _at_once)
    file = Watched(b"x" * 3_000_000)
    server.upset("POST", carried_out(reset))
    run(lambda flow: flow.execute("ns", "flow", {"f": file}, fetch_log=False), server.url)
    assert threading.main_thread() not in file.threads
    (sent,) = {each.parts[0]["f"] for each in server.requests if each.method == "POST"}
    assert sent == file.getvalue()


class Unusual(dict):
    """A mapping that is to be asked for its items only."""

    def keys(self):
        raise AssertionError


ENDLESS = {"a": []}
ENDLESS["a"].append(ENDLESS)
DEEP = reduce(lambda inner, _: [inner], range(5_000), [])


@pytest.mark.parametrize("value", [ENDLESS, DEEP])
@pytest.mark.parametrize(
    "use",
    [
        lambda flow, value: flow.execute("ns", "flow", {"x": value}),
        lambda flow, value: flow.resume("execution0", {"x": value}),
        lambda flow, value: flow.namespace("ns").kv.set("key", value),
    ],
)
def test_a_value_without_an_end_is_refused_as_flow_refuses_it(server, use, value):
    """With the same words, before anything is sent."""
    with pytest.raises(ValueError, match=r"contains itself|nested") as blocking, Flow() as flow:
        use(flow, value)
    with pytest.raises(ValueError, match=re.escape(str(blocking.value))):
        run(lambda flow: use(flow, value), server.url)
    assert not server.methods()["POST"]


@pytest.mark.parametrize("is_large", [False, True])
def test_what_is_large_is_encoded_and_decoded_in_a_thread(server, monkeypatch, is_large):
    """What is small is not worth one."""
    threads = []

    def noting(function):
        def call(*args, **kwargs):
            threads.append(threading.current_thread() is threading.main_thread())
            return function(*args, **kwargs)

        return call

    size = 100_000 if is_large else 10
    server.engine.shown = {"outputs": {"rows": ["x" * 10] * (size // 10)}}
    monkeypatch.setattr(executing, "creation_of", noting(executing.creation_of))
    monkeypatch.setattr(asynchronous, "_decode", noting(asynchronous._decode))
    inputs = {"rows": list(range(size))}
    result = run(lambda flow: flow.execute("ns", "flow", inputs, fetch_log=False), server.url)
    assert len(result.outputs["rows"]) == size // 10
    assert set(threads) == {not is_large}
    assert len(threads) >= (2 if is_large else 1)


@pytest.mark.parametrize(
    ("value", "light"),
    [
        ({"a": [1, "b", None, True, date(2026, 1, 31)]}, True),
        ({"a": "x" * 100_000}, False),
        ({"a": [[1] * 1_000] * 100}, False),
        ({"a": dict.fromkeys(range(100_000))}, False),
        (io.BytesIO(), False),
        ({"a": object()}, False),
        (ENDLESS, False),
        (DEEP, False),
        ({"a": Unusual()}, False),
    ],
)
def test_what_is_light(value, light):
    """Known before anything long is done."""
    assert is_light(value) is light


def test_many_at_once_take_no_threads(server, lasting_connections):
    """And ten connections."""
    most = []

    def ours():
        return [each.name for each in threading.enumerate() if each.name.startswith("kestra")]

    async def execute(flow):
        requests = (("ns", "flow", {"number": number}) for number in range(200))
        async for outcome in flow.execute_all(requests, max_concurrent=100):
            assert outcome.ok
            most.extend(ours())

    run(execute, server.url)
    assert not most
    assert server.connections <= 10


def test_many_requests_at_once_use_their_connections_again(server, lasting_connections):
    """However many pools they are in; none is kept busy by what has ended."""

    async def ask(flow):
        for _ in range(3):
            await asyncio.gather(*(flow.get_metrics("x") for _ in range(120)))
        ((client,),) = (each.values() for each in flow._sessions._clients.values())
        return [pool.busy for pool in client._transport._pools]

    assert set(run(ask, server.url)) == {0}
    assert server.count("GET /api/v1/metrics") >= 360
    assert server.connections <= 130


# --- exactly once ---


@pytest.mark.parametrize("fault", [reset, hang, answer(502), answer(503)])
@pytest.mark.parametrize("after", [False, True])
def test_an_execution_is_created_once(server, fault, after, monkeypatch, patience):
    """Whatever happens to its creation, before or after it is carried out."""
    monkeypatch.setattr(asyncio, "sleep", _at_once)
    server.upset("POST", carried_out(fault) if after else fault)
    unanswered = fault in {reset, hang} and not after

    async def execute(flow):
        flow.request_timeout = (5, 0.1)
        return await flow.execute("ns", "flow", follow=False, fetch_log=False)

    if unanswered:  # the server knows nothing of it, which may change: it is never sent again
        with pytest.raises(FailedExponentialBackoff) as caught:
            run(execute, server.url)
        assert caught.value.correlation_id
    else:
        assert run(execute, server.url).status == "SUCCESS"
    assert len(server.engine.executions) == (0 if unanswered else 1)


_sleep = asyncio.sleep


async def _at_once(seconds, result=None):
    return await _sleep(0, result)


# --- connections ---


def test_one_client_serves_one_loop_after_the_other(server):
    """Each has connections of its own."""
    flow = AsyncFlow(hostname=server.url)

    async def execute():
        try:
            return await flow.execute("ns", "flow", follow=False, fetch_log=False)
        finally:
            await flow.close()

    assert [asyncio.run(execute()).status for _ in range(2)] == ["SUCCESS"] * 2


def test_netrc_is_never_read(server, tmp_path, monkeypatch):
    """Credentials are those that were given."""
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login netrc password netrc\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    run(lambda flow: flow.get_metrics("x"), server.url)
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize("named", ["verify", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "unchecked"])
@pytest.mark.parametrize("face", [Flow, AsyncFlow])
def test_certificates_are_checked_alike(tls_server, certificate, monkeypatch, named, face):
    """By the bundle of `verify`, else that of the environment."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    verify = {"verify": str(certificate), "unchecked": False}.get(named)
    if verify is None:
        monkeypatch.setenv(named, str(certificate))
    context = (
        pytest.warns(InsecureRequestWarning) if (named, face) == ("unchecked", Flow) else aside()
    )
    with context:
        metrics = read_metrics(face, tls_server.url, verify=verify)
    assert metrics == []


@pytest.mark.parametrize("face", [Flow, AsyncFlow])
def test_a_certificate_that_nobody_vouches_for_is_refused(tls_server, face):
    """At once: waiting does not help."""
    with pytest.raises(ConnectionFailed, match="CERTIFICATE_VERIFY_FAILED"):
        read_metrics(face, tls_server.url)
    assert not tls_server.requests


@pytest.mark.parametrize("face", [Flow, AsyncFlow])
def test_a_bundle_that_is_not_there_is_an_error(tls_server, face):
    """At once, and not as one of the network."""
    with pytest.raises(OSError, match="nowhere") as caught:
        read_metrics(face, tls_server.url, verify="/nowhere")
    assert not isinstance(caught.value, ConnectionFailed)


def read_metrics(face, url, **arguments):
    if face is AsyncFlow:
        return run(lambda flow: flow.get_metrics("x"), url, **arguments)
    with Flow(hostname=url, **arguments) as flow:
        return flow.get_metrics("x")


class aside:  # noqa: N801  # as `nullcontext`, which 3.10 has
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def test_a_client_of_httpx2_may_be_given():
    """It is used, with its own settings, and left open."""
    asked = []

    def reply(request):
        asked.append(request)
        return httpx2.Response(200, json={"results": [], "total": 0})

    async def whole():
        transport = httpx2.MockTransport(reply)
        async with httpx2.AsyncClient(transport=transport, headers={"X-Own": "1"}) as session:
            async with AsyncFlow(hostname="http://h", session=session, api_token="t0ken") as flow:
                assert await flow.get_metrics("x") == []
            assert not session.is_closed
            flow.verify = False
            with pytest.raises(ValueError, match="verify must be set on the session"):
                await flow.get_metrics("x")

    asyncio.run(whole())
    assert asked[0].headers["x-own"] == "1"
    assert asked[0].headers["authorization"] == "Bearer t0ken"


def test_what_is_no_client_is_refused():
    """Such as a session of `requests`."""
    with pytest.raises(TypeError, match=r"session must be an httpx2\.AsyncClient, not object"):
        AsyncFlow(session=object())


def test_a_hook_that_raises_for_the_status_changes_nothing(server):
    """The response in the exception is the response."""

    async def raising(response):
        response.raise_for_status()

    async def whole():
        hooks = {"response": [raising]}
        async with httpx2.AsyncClient(event_hooks=hooks) as session:
            flow = AsyncFlow(hostname=server.url, session=session)
            with pytest.raises(NotFound) as caught:
                await flow.get_execution("nowhere")
            return caught.value

    error = asyncio.run(whole())
    assert isinstance(error.response, httpx2.Response)
    assert error.execution_id == "nowhere"


def test_an_error_has_the_response_of_the_client(server):
    """The class is the same."""
    server.upset("GET", answer(401, b'{"message": "who?"}'))
    with pytest.raises(APIError, match="who") as caught:
        run(lambda flow: flow.get_execution("x"), server.url)
    assert caught.value.response.json() == {"message": "who?"}
    assert isinstance(caught.value.response, httpx2.Response)
