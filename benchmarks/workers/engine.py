"""A server whose executions last as long as their flow's id says, in milliseconds.

It prints its port, serves until its standard input is closed, and counts what it does.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LINE = b"2026-01-01T00:00:00.000Z INFO " + b"x" * 69 + b"\n"


class Server(ThreadingHTTPServer):
    """The server, and its figures."""

    request_queue_size = 256

    def __init__(self, log_lines: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.log_lines = log_lines
        self.lock = threading.Lock()
        self.ends: dict[str, float] = {}
        self.counts = {"requests": 0, "connections": 0, "bytes": 0}


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        """Count the connection."""
        super().setup()
        with self.server.lock:
            self.server.counts["connections"] += 1

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self, pieces: list[bytes], kind: str = "application/json") -> None:
        """Send an answer and count it."""
        size = sum(map(len, pieces))
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.send_header("Content-Type", kind)
        self.end_headers()
        for piece in pieces:
            self.wfile.write(piece)
        with self.server.lock:
            self.server.counts["requests"] += 1
            self.server.counts["bytes"] += size

    def do_POST(self) -> None:
        """Create."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        milliseconds = int(self.path.partition("?")[0].rpartition("/")[2])
        with self.server.lock:
            name = f"{len(self.server.ends)}"
            self.server.ends[name] = time.monotonic() + milliseconds / 1000
        self.answer([self.execution(name)])

    def do_GET(self) -> None:
        """Show an execution, its states as they come, its log, or the figures."""
        if self.path == "/figures":
            figures = {**self.server.counts, "ends": self.server.ends}
            self.answer([json.dumps(figures).encode()])
        elif self.path.endswith("/follow"):
            self.stream(self.path.split("/")[-2])
        elif self.path.endswith("/download"):
            blocks, rest = divmod(self.server.log_lines, 1000)
            self.answer([LINE * 1000] * blocks + [LINE * rest], "text/plain")
        else:
            self.answer([self.execution(self.path.rpartition("/")[2])])

    def stream(self, name: str) -> None:
        """Send an execution as it is, and again when it has ended."""
        with self.server.lock:
            self.server.counts["requests"] += 1
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.event(self.execution(name))
        time.sleep(max(0, self.server.ends[name] - time.monotonic()))
        self.event(self.execution(name))
        self.wfile.write(b"0\r\n\r\n")

    def event(self, data: bytes) -> None:
        """Send an event of a stream."""
        data = b"id: progress\ndata: %s\n\n" % data
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        with self.server.lock:
            self.server.counts["bytes"] += len(data)

    def execution(self, name: str) -> bytes:
        """Return an execution as a server shows one, with some 800 bytes of what else there is."""
        state = "SUCCESS" if time.monotonic() >= self.server.ends[name] else "RUNNING"
        shown = {"id": name, "state": {"current": state}, "taskRunList": "x" * 800}
        return json.dumps(shown).encode()


def main() -> None:
    """Serve until the standard input is closed."""
    server = Server(int(sys.argv[1]))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


main()
