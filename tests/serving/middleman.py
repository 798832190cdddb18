"""Between a browser and a server: passes all on, but for what a test wants to go wrong."""

import http.client
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Trouble = Callable[["Handler"], None]
"""Answers a request in the server's place."""


class Middleman(ThreadingHTTPServer):
    """Listens on a free port of loopback."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind = port
        self.troubles: list[Trouble] = []
        """For the next POSTs, one each."""
        self.key: str | None = None
        """Without it nobody is let through."""
        self.asked: list[tuple[str, float]] = []
        """Method and path of all requests, and when they came."""
        self.left = threading.Event()
        """The browser has closed the connection of a request that was held."""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(BaseHTTPRequestHandler):
    """One connection for each request."""

    server: Middleman
    body = b""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self.server.asked.append((f"GET {self.path}", time.monotonic()))
        public = self.path == "/" or self.path.endswith((".js", ".css"))
        if self.server.key and not public and not self.has_key():
            self.refuse(401, "unauthorised", "It wants a key.")
        else:
            self.pass_on()

    def do_POST(self) -> None:
        self.server.asked.append((f"POST {self.path}", time.monotonic()))
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.troubles:
            self.server.troubles.pop(0)(self)
        elif self.server.key and not self.has_key():
            self.refuse(401, "unauthorised", "It wants a key.")
        else:
            self.pass_on()

    def has_key(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.server.key}"

    def pass_on(self, most: int | None = None) -> None:
        """To the server and back, as it comes; with `most`, only so many bytes of its answer."""
        behind = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "origin", "connection")}
        behind.request(self.command, self.path, self.body or None, headers)
        answer = behind.getresponse()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.end_headers()
        sent = 0
        while (most is None or sent < most) and (piece := answer.read1(4096)):
            self.wfile.write(piece[: None if most is None else most - sent])
            sent += len(piece)
        behind.close()

    def refuse(self, status: int, kind: str, message: str, **headers: str) -> None:
        body = json.dumps({"error": {"kind": kind, "message": message}}).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **headers,
        }.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


def full(handler: Handler) -> None:
    """There is no place, and there will be one in a second."""
    handler.refuse(429, "busy", "All places are taken.", Retry_After="1")


def cut_off(handler: Handler) -> None:
    """The connection breaks within the third event."""
    handler.pass_on(most=1500)


def hold(handler: Handler) -> None:
    """No answer, until the browser goes away."""
    handler.connection.settimeout(30)
    if handler.connection.recv(1) == b"":
        handler.server.left.set()
    handler.close_connection = True
