"""A door to the routes of `FakeKestra`: a real socket, and what goes wrong on the way to it."""

import email
import json
import re
import select
import socket
import struct
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlencode, urlsplit
from weakref import WeakValueDictionary

from kestra._testing.fake import engine as fake_engine
from kestra._testing.fake import messages as fake_messages
from kestra._testing.fake.api import respond as respond_as_fake
from kestra._testing.fake.execution import FlowDefinition

# Everything that waits here gives up then, so that a test that goes wrong ends.
DEADLINE = 10.0


@dataclass
class Request:
    """A request as it came."""

    method: str
    target: str
    headers: dict
    body: bytes
    connection: int

    @property
    def path(self):
        return urlsplit(self.target).path

    @property
    def query(self):
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def parts(self):
        """The parts of a multipart body: content by part name, and filenames likewise."""
        head = f"Content-Type: {self.headers.get('content-type', '')}\r\n\r\n".encode()
        message = email.message_from_bytes(head + self.body)
        parts = message.get_payload() if message.is_multipart() else []
        named = {p.get_param("name", header="content-disposition"): p for p in parts}
        contents = {name: part.get_payload(decode=True) for name, part in named.items()}
        return contents, {name: part.get_filename() for name, part in named.items()}


@dataclass
class Reply:
    """A response to send."""

    status: int = 200
    body: bytes = b""
    headers: dict = field(default_factory=dict)

    def json(self):
        return json.loads(self.body)

    def encode(self):
        headers = {"Content-Length": len(self.body), **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} Whatever\r\n{head}\r\n".encode() + self.body


def as_json(value, status=200, **headers):
    """Return a reply whose body is JSON."""
    body = json.dumps(value).encode()
    return Reply(status, body, {"Content-Type": "application/json", **headers})


NOT_FOUND = as_json({"message": "Not Found"}, 404)


def as_text(text):
    """Return a reply of plain text."""
    return Reply(200, text.encode(), {"Content-Type": "text/plain"})


class Store(fake_engine.Engine):
    """Executions of any flow, which change only as a test says."""

    def __init__(self, version):
        super().__init__(version, "http://localhost", "main")

    def definition(self, namespace, flow, revision):
        return FlowDefinition(namespace, flow, lambda _: None, revisions=(revision or 1,))

    def new_id(self):
        return f"execution{len(self.executions)}"

    def play(self, execution):
        """Nothing happens by itself."""


class Engine:
    """A server: the routes of `FakeKestra`, and in front of them what a test scripts.

    Attributes:
        executions: By id.
        states: What the polls of an execution show, one after the other; the last one stays.
        logs: What the downloads of a log bring, likewise.
        shown: What else the polls of an execution show.
        metrics: The metrics of every execution.
        entries: The log entries of every execution.
        file: The content of every file.
        root: The beginning of every path.
        searchable: Whether there is a search.
        forms: Which parameters of a search are understood: `plain`, and `filters`.
        strict: Whether the others are refused; if not, they are ignored.
        light: Whether a search leaves out the task runs, as from 2.0 on.
    """

    def __init__(self, version="1.3"):
        self.store = Store(version)
        self.executions = self.store.executions
        self.states = ["SUCCESS"]
        self.logs = ["2026-01-01T00:00:00.000Z INFO done\n"]
        self.shown = {}
        self.metrics = []
        self.entries = []
        self.file = b""
        self.root = "/api/v1"
        self.searchable = True
        self.forms = {"plain", "filters"}
        self.strict = False
        self.light = False
        self._lock = threading.Lock()

    @property
    def killed(self):
        """The ids of the executions that somebody has killed."""
        return [each.id for each in self.executions.values() if each.state == "KILLING"]

    def __call__(self, request):
        path = request.path.removeprefix(self.root)
        if path == request.path:
            return NOT_FOUND
        scripted = {
            r"POST /executions/([^/]+)/([^/]+)": self.create,
            r"GET /executions/search": self.search,
            r"GET /executions/([^/]+)": self.status,
            r"GET /executions/([^/]+)/file": lambda *_: Reply(200, self.file),
            r"GET /metrics/([^/]+)": lambda *_: as_json({"results": self.metrics}),
            r"GET /logs/([^/]+)": lambda *_: as_json(self.entries),
            r"GET /logs/([^/]+)/download": lambda *_: as_text(following(self.logs)),
            r"GET /(?:executions|logs)/[^/]+/follow": lambda *_: NOT_FOUND,  # see `stream`
        }
        with self._lock:
            self.store.clock.sleep(0.001)  # no two executions start at the same time
            for pattern, route in scripted.items():
                if match := re.fullmatch(pattern, f"{request.method} {path}"):
                    return route(request, *map(unquote, match.groups()))
            return self.fake(request)

    def fake(self, request, query=None):
        """Return the reply of `FakeKestra`."""
        asked = fake_messages.Request(
            request.method,
            f"/api/v1{request.path.removeprefix(self.root)}",
            urlsplit(request.target).query if query is None else query,
            request.headers,
            request.body,
        )
        try:
            reply = respond_as_fake(self.store, asked)
        except fake_messages.UnexpectedError:
            return NOT_FOUND
        return Reply(reply.status, reply.body, reply.headers)

    def add(self, execution_id):
        """Let there be an execution of this id."""
        execution = self.store.create(self.store.definition("ns", "flow", None))
        self.executions[execution_id] = self.executions.pop(execution.id)
        execution.id = execution_id

    def create(self, request, namespace, flow):
        """Create an execution, on a server that has not been told its own address."""
        reply = self.fake(request)
        return as_json({**reply.json(), "url": None}) if reply.status == 200 else reply

    def status(self, request, execution_id):
        reply = self.fake(request)
        return as_json(self.seen(reply.json())) if reply.status == 200 else reply

    def seen(self, execution):
        """Return an execution as a poll shows it; before 2.0, each task run with its id."""
        now = {**execution, **self.shown, "state": {"current": following(self.states)}}
        if self.store.version != "2.0" and "taskRunList" in now:
            runs = [{"executionId": execution["id"], **run} for run in now["taskRunList"]]
            now["taskRunList"] = runs
        return now

    def search(self, request):
        """Search, as far as the form of the request is understood."""
        if not self.searchable:
            return NOT_FOUND
        known = {"page", "size", "sort"}
        asked = [
            (name, value)
            for name, values in request.query.items()
            for value in values
            if name in known or ("filters" if "[" in name else "plain") in self.forms
        ]
        ignored = request.query.keys() - {name for name, _ in asked}
        if self.strict and ignored:
            return as_json({"message": "Legacy filter parameter(s)"}, 422)
        reply = self.fake(request, urlencode(asked))
        if reply.status != 200 or "labels" in request.target:
            return reply
        found = reply.json()
        hidden = {"taskRunList"} if self.light else set()
        results = [
            {key: value for key, value in self.seen(each).items() if key not in hidden}
            for each in found["results"]
        ]
        return as_json({**found, "results": results})


def following(script):
    """Return the next thing of a script, whose last one stays."""
    return script.pop(0) if len(script) > 1 else script[0]


class Routes:
    """A server with nothing but fixed answers, by method and path; whatever else is 404.

    Attributes:
        replies: What to answer to `GET /a/path`, or how to find that out from the request.
    """

    def __init__(self, replies=()):
        self.replies = dict(replies)

    def __call__(self, request):
        reply = self.replies.get(f"{request.method} {request.path}")
        if reply is None:
            return NOT_FOUND
        return reply(request) if callable(reply) else reply


_open = WeakValueDictionary()  # servers by host and port


@contextmanager
def silence(method, url):
    """Tell whether a request may meet a fault that only a timeout ends; of another server it may.

    If so, and the request fails, the fault has done what it does by then, however late the server.
    """
    server = _open.get(urlsplit(url).netloc)
    over = server and server._silence_for(f"{method} {url.partition(server.url)[2]}")
    try:
        yield server is None or over is not None
    except Exception:
        assert not over or over.wait(DEADLINE)
        raise


class Loopback:
    """A server for one test.

    Attributes:
        requests: What came, in the order of arrival.
        connections: How many connections were accepted.
    """

    def __init__(self, handler=None, tls=None, host="127.0.0.1"):
        self.engine = handler or Engine()
        self.requests = []
        self.connections = 0
        self.stopped = threading.Event()
        self._faults = []
        self._lock = threading.Lock()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=256)
        self.port = self._listener.getsockname()[1]
        address = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{address}:{self.port}"
        _open[f"{address}:{self.port}"] = self
        self._tls = tls
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._connected = []

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        # Wakes the thread that accepts.
        socket.create_connection(self._listener.getsockname()[:2], timeout=DEADLINE).close()
        self._threads[0].join(DEADLINE)
        self._listener.close()
        for connection in self._connected:
            with suppress(OSError):  # closed already
                # Wakes the thread that waits for a request; not by way of TLS, which it may use.
                socket.socket.shutdown(connection, socket.SHUT_RD)
        for thread in self._threads[1:]:
            thread.join(DEADLINE)
            assert not thread.is_alive()

    def upset(self, request, *faults):
        """Let the next requests that match, such as `POST` or `GET /logs`, meet these faults."""
        self._faults += [(request, fault) for fault in faults]

    def count(self, request):
        """Return how many requests matched."""
        return sum(_matches(request, each) for each in self.requests)

    def methods(self):
        """Return how many requests came, by method."""
        return Counter(request.method for request in self.requests)

    def _accept(self):
        while True:
            connection, _ = self._listener.accept()
            if self.stopped.is_set():
                connection.close()
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection, self.connections))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection, number):
        connection.settimeout(DEADLINE)
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()
            return
        self._connected.append(connection)
        with connection, connection.makefile("rb") as stream:
            try:
                while request := self._receive(connection, stream, number):
                    with self._lock:
                        self.requests.append(request)
                        fault = self._fault_for(request)
                    connection.settimeout(DEADLINE)
                    if fault(Exchange(self, request, connection)):
                        return
            except OSError:  # the client has gone
                return

    def _fault_for(self, request):
        for index, (pattern, fault) in enumerate(self._faults):
            if _matches(pattern, request):
                del self._faults[index]
                return fault
        return fine

    def _silence_for(self, asked):
        """Return what is set at the end of the fault that a request will meet, if it is silent."""
        with self._lock:
            for index, (pattern, fault) in enumerate(self._faults):
                if pattern in asked:
                    if not getattr(fault, "is_silent", False):
                        return None
                    over = threading.Event()
                    # From now on it is the fault of this request, and of no other.
                    self._faults[index] = asked, _noting(fault, over)
                    return over
        return None

    def _receive(self, connection, stream, number):
        while not _is_readable(connection):
            if self.stopped.is_set():
                return None
        connection.settimeout(DEADLINE)
        first = stream.readline().decode("latin-1")
        if not first.endswith(("HTTP/1.1\r\n", "HTTP/1.0\r\n")):
            return None
        method, target, _ = first.split()
        headers = {}
        while line := stream.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        return Request(method, target, headers, body, number)


class Proxy(Loopback):
    """A proxy: what it is asked for in clear it answers itself, as a server would."""

    def _fault_for(self, request):
        fault = super()._fault_for(request)
        return tunnel if fault is fine and request.method == "CONNECT" else fault


def _noting(fault, over):
    def noted(exchange):
        try:
            return fault(exchange)
        finally:
            over.set()

    return noted


def _matches(pattern, request):
    return f"{request.method} {request.target}".find(pattern) >= 0


def _is_readable(connection):
    """Say whether something came, or the client has gone; wait for it for a moment."""
    return bool(select.select([connection], [], [], 0.05)[0])


# --- faults: each gets an exchange, and returns whether the connection is to be closed ---


@dataclass
class Exchange:
    """What a fault has at hand."""

    server: Loopback
    request: Request
    connection: socket.socket

    def carry_out(self):
        """Let the engine do what was asked for, and return its reply."""
        return self.server.engine(self.request)

    def send(self, data):
        self.connection.sendall(data)


def fine(exchange):
    """No fault at all."""
    exchange.send(exchange.carry_out().encode())
    return False


def answer(status=200, body=b"", **headers):
    """Respond so, and do nothing."""
    reply = Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})

    def fault(exchange):
        exchange.send(reply.encode())

    return fault


def carried_out(fault):
    """Do what was asked for, and then let the fault happen."""

    def late(exchange):
        exchange.carry_out()
        return fault(exchange)

    late.is_silent = getattr(fault, "is_silent", False)
    return late


def reset(exchange):
    """Break the connection off."""
    exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return True


def close(exchange):
    """Close the connection without a word."""
    return True


def garbage(exchange):
    """Respond with something that is not HTTP."""
    exchange.send(b"\x00\xff what?\r\n\r\n")
    return True


def hang(exchange):
    """Say nothing until the client has gone, or the test is over."""
    while not exchange.server.stopped.is_set():
        if _is_readable(exchange.connection):
            break
    return True


def drip(exchange, start=0):
    """Send the response byte by byte, and never finish."""
    data = exchange.carry_out().encode()
    exchange.send(data[:start])
    for byte in (data + b" " * 10_000)[start:]:
        exchange.send(bytes([byte]))
        if exchange.server.stopped.wait(0.01):
            break
    return True


def drip_body(exchange):
    """Send the headers of the response, then its body byte by byte, and never finish."""
    reply = exchange.carry_out()
    reply.headers["Content-Length"] = 10_000
    head, _, body = reply.encode().partition(b"\r\n\r\n")
    exchange.send(head + b"\r\n\r\n")
    for byte in body + b" " * 9_000:
        exchange.send(bytes([byte]))
        if exchange.server.stopped.wait(0.01):
            break
    return True


hang.is_silent = drip.is_silent = drip_body.is_silent = True


def truncate(exchange):
    """Send half of the response's body, and close the connection."""
    reply = exchange.carry_out()
    data = reply.encode()
    exchange.send(data[: len(data) - len(reply.body) // 2])
    return True


def tunnel(exchange):
    """Connect to where a proxy is asked to, and pass on what comes from either side."""
    host, _, port = exchange.request.target.rpartition(":")
    exchange.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=DEADLINE) as server:
        pass_on(exchange.connection, server, exchange.server.stopped)
    return True


def pass_on(client, server, stopped):
    """Pass on what comes from either side, until one has gone."""
    other = {client: server, server: client}
    while not stopped.is_set():
        for end in select.select([*other], [], [], 0.05)[0]:
            data = end.recv(1 << 16)
            data += end.recv(pending) if (pending := getattr(end, "pending", int)()) else b""
            if not data:
                return
            other[end].sendall(data)


# --- streams of events ---


def event(data, kind="progress"):
    """Return the bytes of an event as servers send them."""
    return f"id: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def stream(*parts, then=None, chunked=True):
    """Begin a stream of events, send its parts, or call them, and go on as `then` does.

    Without that, the stream ends as it should.
    """
    encoding = "Transfer-Encoding: chunked" if chunked else "Connection: close"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{encoding}\r\n\r\n"

    def fault(exchange):
        exchange.send(head.encode())
        for part in parts:
            if callable(part):
                part(exchange)
            else:
                exchange.send(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
        if then is not None:
            return then(exchange)
        exchange.send(b"0\r\n\r\n" if chunked else b"")
        return not chunked

    fault.is_silent = getattr(then, "is_silent", False)
    return fault


class Gate:
    """A part of a stream at which the server waits until the test lets it go on."""

    def __init__(self):
        self._event = threading.Event()

    def __call__(self, exchange):
        assert self._event.wait(DEADLINE)

    def open(self, *_):
        """Let the server go on."""
        self._event.set()


class Gone:
    """The end of a stream that never ends: the server says nothing more, and the client leaves."""

    def __init__(self):
        self._event = threading.Event()

    def __call__(self, exchange):
        hang(exchange)
        if not exchange.server.stopped.is_set():
            self._event.set()
        return True

    def wait(self):
        """Say whether the client has left."""
        return self._event.wait(DEADLINE)
