"""greenrack_ask asks real servers: HTTP and uwsgi, TCP and unix sockets, and some that misbehave."""

from __future__ import annotations

import http.server
import re
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import demo_servers
import greenrack_modules
import pytest

asking = greenrack_modules.load("greenrack_ask")

APPLICATION = """\
def app(environ, start_response):
    found = environ["PATH_INFO"] == "/healthz"
    start_response("200 OK" if found else "503 Service Unavailable", [])
    names = ("PATH_INFO", "QUERY_STRING", "HTTP_HOST", "HTTP_X_FORWARDED_PROTO", "HTTP_X_REAL_IP")
    return [repr([environ.get(name) for name in names]).encode()]
"""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers /healthz with 200, /old with 302 and everything else with 500, /slow after 0.6 seconds."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(0.6 if self.path.startswith("/slow") else 0)
        self.send_response({"/healthz": 200, "/old": 302}.get(self.path, 500))
        self.end_headers()
        self.wfile.write(b"the application says: " + self.path.encode())

    def address_string(self) -> str:
        return "a unix socket has no address"

    def log_message(self, *_arguments: Any) -> None:
        pass


class UnixServer(socketserver.ThreadingUnixStreamServer):
    """An HTTP server's socket."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of a short name, as a socket in it must have."""
    path = Path(tempfile.mkdtemp(prefix="gate-"))
    yield path
    shutil.rmtree(path)


@contextmanager
def http_server(kind: str, folder: Path) -> Iterator[str]:
    if kind == "unix":
        bind = f"unix:{folder}/http.sock"
        server: Any = UnixServer(str(folder / "http.sock"), Handler)
    else:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        bind = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    yield bind
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def uwsgi_server(kind: str, folder: Path) -> Iterator[str]:
    program = Path(sys.executable).with_name("uwsgi")
    if not program.exists():
        pytest.skip("no uwsgi in this environment (pyuwsgi)")
    port = demo_servers.free_port()
    bind = f"unix:{folder}/uwsgi.sock" if kind == "unix" else f"127.0.0.1:{port}"
    (folder / "served.py").write_text(APPLICATION)
    settings = ["--socket", bind.removeprefix("unix:"), "--need-app"]
    settings += ["--wsgi-file", str(folder / "served.py"), "--callable", "app"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(program), *settings], stdout=log, stderr=log)
    try:
        yield bind
    finally:
        process.kill()  # one process, for it has no master
        process.wait()


@contextmanager
def raw_server(speak: Callable[[socket.socket], Any]) -> Iterator[str]:
    """Read a request, do what speak does, and close."""

    def serve() -> None:
        link, _ = listener.accept()
        with link, suppress(ConnectionError):
            link.recv(4096)
            speak(link)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


SERVERS = {"http": http_server, "uwsgi": uwsgi_server}


def run(bind: str, protocol: str = "http", timeout: int = 20, path: str = "/healthz") -> float:
    return asking.wait_for_answer(bind, protocol, path, timeout)


def fails(bind: str, **given: Any) -> str:
    with pytest.raises(asking.NoAnswer) as caught:
        run(bind, timeout=1, **given)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize("protocol", SERVERS)
def test_it_waits_for_a_server_that_answers(protocol: str, kind: str, folder: Path) -> None:
    with SERVERS[protocol](kind, folder) as bind:
        assert run(bind, protocol) < 20


def test_an_error_is_no_answer_and_is_shown(folder: Path) -> None:
    # The end of the time cuts the second question, and must not hide what the first one got.
    with http_server("tcp", folder) as bind:
        told = fails(bind, path="/slow?a=1")
    assert f"did not answer GET /slow?a=1 with 2xx on {bind} within 1 s" in told
    assert "HTTP/1.1 500 Internal" in told
    assert "the application says: /slow?a=1" in told


def test_what_no_wait_will_change_is_not_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PATIENCE", 0.2)
    with http_server("tcp", folder) as bind:
        assert "2xx on" in (told := fails(bind, path="/old"))
        assert "and will not. Valid is a path that is" in told
        assert "HTTP/1.1 302" in told
        assert "within 1 s" in fails(bind, path="/broken")


def test_the_whole_request_reaches_an_application_behind_uwsgi(folder: Path) -> None:
    with uwsgi_server("unix", folder) as bind:
        run(bind, "uwsgi")
        status, answer = asking.ask(bind, "uwsgi", "/broken?delay=1&x=2", 5)
        by_tls = asking.ask(bind, "uwsgi", "/healthz", 5, "shop.test", None, "https")[1]
    assert status == 503
    assert answer.endswith("['/broken', 'delay=1&x=2', 'localhost', None, None]")
    assert by_tls.endswith("['/healthz', '', 'shop.test', 'https', '127.0.0.1']")


def test_of_an_answer_what_says_most_is_told() -> None:
    page = "<style>a {}</style><h1>Moved</h1>\n<p>" + "on and on " * 100
    told = asking.shortened(f"HTTP/1.1 302 FOUND\r\nA: b\r\nLocation: /login\r\n\r\n{page}")
    assert told.startswith("HTTP/1.1 302 FOUND, Location: /login, Moved on and on")
    assert len(told) < 400
    assert asking.shortened("HTTP/1.1 204 NO CONTENT\r\n\r\n") == "HTTP/1.1 204 NO CONTENT"


def test_a_long_answer_is_not_read_to_its_end() -> None:
    with raw_server(lambda link: link.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 10**6)) as bind:
        status, answer = asking.ask(bind, "http", "/", 5)
    assert status == 200
    assert len(answer) < 10**5


def test_a_server_that_comes_late_is_waited_for(folder: Path) -> None:
    waited: list[float] = []
    path = folder / "late.sock"
    waiting = threading.Thread(target=lambda: waited.append(run(f"unix:{path}")))
    waiting.start()
    time.sleep(0.3)
    path.touch()  # as a server leaves it that was killed
    time.sleep(0.3)
    path.unlink()
    server = UnixServer(str(path), Handler)
    server.handle_request()
    waiting.join()
    server.server_close()
    assert waited[0] >= 0.6


def test_nobody_listens() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # ours, so that nobody else comes to listen there
        told = fails(f"127.0.0.1:{held.getsockname()[1]}")
    assert "Connection refused" in told


def test_what_is_vain_is_not_waited_for(closed_port: int) -> None:
    reasons = iter(["", "and has failed"])
    with pytest.raises(asking.NoAnswer) as caught:
        asking.wait_for_answer(
            f"127.0.0.1:{closed_port}", "http", "/healthz", 600, lambda: next(reasons)
        )
    assert f"on 127.0.0.1:{closed_port} and has failed. Last answer: " in str(caught.value)


def test_a_socket_that_is_not_there(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        asking.ask(f"unix:{folder}/none.sock", "http", "/", 5)


def test_a_server_that_says_nothing() -> None:
    with raw_server(lambda link: link.recv(4096)) as bind:  # until the gate has gone
        told = fails(bind)
    assert "Last answer: timed out" in told


def test_a_server_that_never_comes_to_an_end() -> None:
    sent = []

    def trickle(link: socket.socket) -> None:
        for number in range(100):
            link.sendall(b"x")
            sent.append(number)
            time.sleep(0.1)

    with raw_server(trickle) as bind:
        told = fails(bind)
    assert "Last answer: timed out" in told
    assert len(sent) < 50


@pytest.mark.parametrize(
    ("garbage", "says"),
    [
        (b"", "no HTTP answer, but b''"),
        (b"SSH-2.0-OpenSSH_9.2 Debian\r\n", "no HTTP answer, but b'SSH-2.0"),
        (b"HTTP/1.1\r\n\r\n", "no HTTP answer"),
        (b"HTTP/1.1 fine\r\n\r\n", "b'fine'"),
        (b"\xff\x00 200 OK", "no HTTP answer"),
    ],
)
def test_what_is_not_http_is_no_answer(garbage: bytes, says: str) -> None:
    with (
        raw_server(lambda link: link.sendall(garbage)) as bind,
        pytest.raises(ValueError, match=re.escape(says)),
    ):
        asking.ask(bind, "http", "/", 5)


def test_an_address_of_ipv6() -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("no IPv6 here")
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        bind = f"[::1]:{listener.getsockname()[1]}"
        with asking.connect(bind, 5) as link:
            assert link.getpeername()[0] == "::1"


@pytest.mark.parametrize(
    ("since", "some"), [(0, "--lines=40"), (1764500000.7, "--since=@1764500000")]
)
def test_the_end_of_a_journal_is_its_end(
    since: float, some: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With both of the two, some versions of journalctl count the lines from the moment on."""
    commands: list[list[str]] = []
    text = "".join(f"line {n}\n" for n in range(50))
    monkeypatch.setattr(asking, "run", lambda words: commands.append(words) or text)
    shown = asking.journal("demo.service", since).splitlines()
    assert (shown[0], shown[-1], len(shown)) == ("line 10", "line 49", 40)
    assert {"--lines=40", f"--since=@{int(since)}"} & {*commands[0]} == {some}
