"""Servers for the demo application's tests: the real slow API, and real sockets that misbehave."""

from __future__ import annotations

import http.server
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
SLOW_API = REPOSITORY / "app" / "slow_api" / "slow_api.py"
DEMO = REPOSITORY / "app" / "demo"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def slow_api(
    *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the slow API; give its process and its URL, once it answers."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(SLOW_API), "--port", str(port), *arguments],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url + "/healthz", process)
        yield process, url
    finally:
        process.kill()
        process.communicate()


def _wait_for(url: str, process: subprocess.Popen[str], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        with suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.02)
    raise AssertionError(f"{url} did not answer within {seconds} seconds")


class Connection:
    """One accepted connection of a ScriptedServer."""

    def __init__(self, sock: socket.socket, server: ScriptedServer) -> None:
        self._sock = sock
        self._server = server

    def read(self) -> bytes:
        """Return a whole request, or b"" when the client has closed."""
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            received = self._sock.recv(4096)
            if not received:
                return b""
            request += received
        self._server.requests.append(request)
        return request

    def answer(self, body: str, status: str = "200 OK", *headers: str, length: int = -1) -> None:
        """Send an answer; length, when given, is a false one."""
        lines = [f"HTTP/1.1 {status}", *headers]
        lines.append(f"Content-Length: {len(body) if length < 0 else length}")
        self._sock.sendall("\r\n".join([*lines, "", body]).encode())

    def interim(self, status: str) -> None:
        """Send an answer that another one follows."""
        self._sock.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())

    def chunk(self, text: str) -> None:
        """Send an answer's headers and its first chunk, not the last."""
        head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        self._sock.sendall(f"{head}{len(text):x}\r\n{text}\r\n".encode())

    def hang(self) -> None:
        """Say nothing until the test is over."""
        self._server.over.wait(30)


class ScriptedServer:
    """A server that does with its n-th connection, from 1, what behave(connection, n) does.

    The connection is closed when behave returns. requests holds every request read. With a
    context it speaks TLS.
    """

    def __init__(
        self, behave: Callable[[Connection, int], None], context: ssl.SSLContext | None = None
    ) -> None:
        self._behave = behave
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.connections = 0
        self.requests: list[bytes] = []
        self.over = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                arguments = (sock, self.connections)
                threading.Thread(target=self._serve, args=arguments, daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with sock, suppress(OSError):
            if self._context:
                sock = self._context.wrap_socket(sock, server_side=True)
            with sock:
                self._behave(Connection(sock, self), number)

    def close(self) -> None:
        self.over.set()
        # Wakes the thread that waits in accept(), which closing alone does not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class WaitingHandler(http.server.BaseHTTPRequestHandler):
    """Answers after as many seconds as the path's end says; /broken with 500."""

    def do_GET(self) -> None:
        path, _, delay = self.path.partition("?delay=")
        time.sleep(float(delay or 0))
        self.send_response(500 if path == "/broken" else 200)
        self.end_headers()
        self.wfile.write(b"the application says: " + path.encode())

    def log_message(self, *_arguments: Any) -> None:
        pass


@contextmanager
def waiting_server(kind: type[http.server.HTTPServer]) -> Iterator[str]:
    """Serve with WaitingHandler; give ADDRESS:PORT."""
    server = kind(("127.0.0.1", 0), WaitingHandler)
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
