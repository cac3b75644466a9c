"""A server on the loopback that behaves like an engine, or misbehaves as it is told to."""

import email
import json
import re
import select
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs, unquote, urlsplit

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
    """An answer to send."""

    status: int = 200
    body: bytes = b""
    headers: dict = field(default_factory=dict)

    def encode(self):
        headers = {"Content-Length": len(self.body), **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} Whatever\r\n{head}\r\n".encode() + self.body


def as_json(value, status=200, **headers):
    """Return a reply whose body is JSON."""
    body = json.dumps(value).encode()
    return Reply(status, body, {"Content-Type": "application/json", **headers})


class Engine:
    """As much of an engine as `Flow` needs.

    Attributes:
        executions: By id, as the API shows them.
        states: What the looks at an execution see, one after the other; the last one stays.
        logs: What the downloads of a log bring, likewise.
        shown: What else the looks at an execution see.
        metrics: The metrics of every execution.
        entries: The log entries of every execution.
        file: The content of every file.
        root: The beginning of every path.
        searchable: Whether there is a search.
        forms: How the parameters of a search may be written: `plain` (up to 1.x), and `filters`
            (from 1.x on). Others are ignored.
        strict: Whether they are refused instead, as by the newest servers.
        light: Whether a search leaves out the task runs, as from 2.0 on.
    """

    def __init__(self):
        self.executions = {}
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
        self.killed = []
        self._lock = threading.Lock()

    def __call__(self, request):
        path = request.path.removeprefix(self.root)
        if path == request.path:
            return as_json({"message": "Not Found"}, 404)
        routes = {
            r"POST /executions/([^/]+)/([^/]+)": self.create,
            r"GET /executions/search": self.search,
            r"GET /executions/([^/]+)": self.status,
            r"GET /executions/([^/]+)/file": lambda *_: Reply(200, self.file),
            r"GET /metrics/([^/]+)": lambda *_: as_json({"results": self.metrics}),
            r"GET /logs/([^/]+)": lambda *_: as_json(self.entries),
            r"GET /logs/([^/]+)/download": self.log,
            r"DELETE /executions/([^/]+)(?:/actions)?/kill": self.kill,
        }
        for pattern, route in routes.items():
            if match := re.fullmatch(pattern, f"{request.method} {path}"):
                with self._lock:
                    return route(request, *map(unquote, match.groups()))
        return as_json({"message": "Not Found"}, 404)

    def create(self, request, namespace, flow):
        number = len(self.executions)
        labels = [label.partition(":") for label in request.query.get("labels", [])]
        execution = {
            "id": f"execution{number}",
            "namespace": namespace,
            "flowId": flow,
            "labels": [{"key": key, "value": value} for key, _, value in labels],
            "state": {"current": "CREATED", "startDate": self.start(number)},
        }
        self.executions[execution["id"]] = execution
        return as_json(execution)

    def start(self, number):
        """Return when an execution was created."""
        start = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=number + 0.5)
        return start.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def seen(self, execution):
        """Return an execution as a look sees it."""
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {**execution, **self.shown, "state": {"current": state}}

    def search(self, request):
        if not self.searchable:
            return as_json({"message": "Not Found"}, 404)
        query = {key: values[0] for key, values in request.query.items()}
        if label := self.label_in(query):
            found = [x for x in self.executions.values() if label in x["labels"]]
            return as_json({"results": found, "total": len(found)})
        for name, value in query.items():
            if match := re.fullmatch(r"filters\[labels\]\[EQUALS\]\[(.+)\]", name):
                label = {"key": match[1], "value": value}
                found = [x for x in self.executions.values() if label in x["labels"]]
                return as_json({"results": found, "total": len(found)})
        if self.strict and "plain" not in self.forms and "namespace" in query:
            return as_json({"message": "Legacy filter parameter(s)"}, 422)
        found = sorted(self.matching(query), key=lambda x: x["state"]["startDate"], reverse=True)
        size = int(query["size"])
        start = (int(query.get("page", 1)) - 1) * size
        shown = [self.seen(execution) for execution in found[start : start + size]]
        hidden = {"taskRunList"} if self.light else set()
        results = [{k: v for k, v in each.items() if k not in hidden} for each in shown]
        return as_json({"results": results, "total": len(found)})

    def label_in(self, query):
        """Return the label that a search asks for, as far as its form is understood."""
        for name, value in query.items():
            if match := re.fullmatch(r"filters\[labels\]\[EQUALS\]\[(.*)\]", name):
                return {"key": match[1], "value": value} if "filters" in self.forms else None
        key, _, value = query.get("labels", "").partition(":")
        return {"key": key, "value": value} if key and "plain" in self.forms else None

    def matching(self, query):
        """Return the executions that a search asks for, as far as its form is understood."""
        asked = {}
        if "plain" in self.forms:
            known = ("namespace", "flowId", "startDate")
            asked |= {name: query[name] for name in known if name in query}
        if "filters" in self.forms:
            filters = (re.fullmatch(r"filters\[(\w+)\]\[\w+\]", name) for name in query)
            asked |= {match[1]: query[match[0]] for match in filters if match}
        return [
            execution
            for execution in self.executions.values()
            if execution["namespace"].startswith(asked.get("namespace", ""))
            and execution["flowId"] == asked.get("flowId", execution["flowId"])
            and execution["state"]["startDate"] >= asked.get("startDate", "")
        ]

    def status(self, request, execution_id):
        if execution_id not in self.executions:
            return as_json({"message": "Not Found"}, 404)
        return as_json(self.seen(self.executions[execution_id]))

    def log(self, request, execution_id):
        log = self.logs.pop(0) if len(self.logs) > 1 else self.logs[0]
        return Reply(200, log.encode(), {"Content-Type": "text/plain"})

    def kill(self, request, execution_id):
        self.killed.append(execution_id)
        return Reply(202)


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
            return as_json({"message": "Not Found"}, 404)
        return reply(request) if callable(reply) else reply


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
        self._tls = tls
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        # Wakes the thread that accepts.
        socket.create_connection(self._listener.getsockname()[:2], timeout=DEADLINE).close()
        self._threads[0].join(DEADLINE)
        self._listener.close()
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
        while line := stream.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        return Request(method, target, headers, body, number)


class Proxy(Loopback):
    """A proxy: what it is asked for in clear it answers itself, as a server would."""

    def _fault_for(self, request):
        fault = super()._fault_for(request)
        return tunnel if fault is fine and request.method == "CONNECT" else fault


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
    """Answer so, and do nothing."""
    reply = Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})

    def fault(exchange):
        exchange.send(reply.encode())

    return fault


def carried_out(fault):
    """Do what was asked for, and then let the fault happen."""

    def late(exchange):
        exchange.carry_out()
        return fault(exchange)

    return late


def reset(exchange):
    """Break the connection off."""
    exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return True


def close(exchange):
    """Close the connection without a word."""
    return True


def garbage(exchange):
    """Answer with something that is no HTTP."""
    exchange.send(b"\x00\xff what?\r\n\r\n")
    return True


def hang(exchange):
    """Say nothing until the client has gone, or the test is over."""
    while not exchange.server.stopped.is_set():
        if _is_readable(exchange.connection):
            break
    return True


def drip(exchange, start=0):
    """Send the answer byte by byte, and never finish."""
    data = exchange.carry_out().encode()
    exchange.send(data[:start])
    for byte in (data + b" " * 10_000)[start:]:
        exchange.send(bytes([byte]))
        if exchange.server.stopped.wait(0.02):
            break
    return True


def drip_body(exchange):
    """Send the headers of the answer, then its body byte by byte, and never finish."""
    reply = exchange.carry_out()
    reply.headers["Content-Length"] = 10_000
    head, _, body = reply.encode().partition(b"\r\n\r\n")
    exchange.send(head + b"\r\n\r\n")
    for byte in body + b" " * 9_000:
        exchange.send(bytes([byte]))
        if exchange.server.stopped.wait(0.02):
            break
    return True


def truncate(exchange):
    """Send half of the answer's body, and close the connection."""
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
