"""What the tests of the programs that run on hosts share: their modules, and a server to load."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FILES = Path(__file__).parents[2] / "roles" / "benchmark" / "files"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def script(path: str) -> ModuleType:
    """Return a module of the role's programs; it finds those beside it, as when Python runs their directory."""
    sys.path.append(str((FILES / path).parent))
    return importlib.import_module(Path(path).stem)


def needs(engine: str = "h2load", package: str = "nghttp2-client") -> None:
    if shutil.which(engine) is None:
        pytest.skip(f"{engine} is not installed: apt-get install {package}")


class OneByOne:
    """Takes one connection after the other, in their order; each carries one request.

    `behave` is told a request's number, from 1, and returns what is sent: None closes without an answer.
    """

    def __init__(self, behave: Callable[[int], bytes | None] = lambda _: ANSWER, backlog=4096):
        self.behave, self.seen, self.heads = behave, 0, []
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/"
        self.thread = threading.Thread(target=self.serve)

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:  # shut down
                return
            with connection:
                try:
                    head = connection.recv(4096)
                    if not head:
                        continue
                    self.seen += 1
                    self.heads.append(head.decode().lower().split("\r\n"))
                    answer = self.behave(self.seen)
                    if answer:
                        connection.sendall(answer)
                except OSError:  # the engine was ended
                    continue

    def __enter__(self) -> OneByOne:
        self.thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()


def start_load(
    spec: dict[str, Any], outdir: Path, by: Sequence[str] = (), **environment: str
) -> subprocess.Popen[str]:
    """Start the program `load`, as a load host does; `by` a command that starts commands."""
    process = subprocess.Popen(
        [*by, sys.executable, "-I", str(FILES / "load"), str(outdir)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    process.stdin.write(json.dumps(spec))
    process.stdin.close()
    process.stdin = None
    return process


def finished(process: subprocess.Popen[str], outdir: Path) -> tuple[dict[str, Any], str, str]:
    """Wait for `load`; return what it used, and the engine's standard output and log."""
    _, complaints = process.communicate()
    assert (process.returncode, complaints) == (0, "")
    return (
        json.loads((outdir / "used.json").read_text()),
        (outdir / "stdout").read_text(),
        (outdir / "log").read_text(),
    )


def put(spec: dict[str, Any], outdir: Path) -> tuple[dict[str, Any], str, str]:
    """Run `load`, and return the same."""
    return finished(start_load(spec, outdir), outdir)


def asking(port: int) -> int:
    """Return how many connections to a port nobody has answered yet."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return sum(line[2].endswith(f":{port:04X}") and line[3] == "02" for line in lines)
