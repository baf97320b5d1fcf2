"""What waitress does of its own accord, and is told not to."""

from __future__ import annotations

import socket
from pathlib import Path

import demo_servers
from running import serving


def test_how_large_a_body_may_be_is_nginxs_to_say(folder: Path) -> None:
    port = demo_servers.free_port()
    large = b"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n" % 2**40
    with (
        serving("waitress", "http", f"127.0.0.1:{port}", folder),
        socket.create_connection(("127.0.0.1", port), timeout=60) as link,
    ):
        link.sendall(large + b"\r\n")
        link.shutdown(socket.SHUT_WR)
        assert link.recv(4096) == b"", "it is refused before it has come"
