"""greenrack_socket gives a server its socket, and has systemd keep it as long as the server is well."""

from __future__ import annotations

import array
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import demo_servers
import pytest

PROGRAM = Path(__file__).parents[2] / "roles/service_socket/files/greenrack_socket.py"

# What is started says which socket it was given, and what it was left of systemd's words; then it ends.
SERVER = """\
import os
left = [name for name in os.environ if name.startswith(("LISTEN_", "NOTIFY_"))]
print(os.fstat(3).st_ino, *left)
"""
KEEP, FORGET = "FDSTORE=1", "FDSTOREREMOVE=1"


class Service:
    """A service, and what systemd does for it: it is told what to keep, and passes that on as descriptor 3."""

    def __init__(self, folder: Path, bind: str) -> None:
        self.folder, self.bind, self.kept = folder, bind, -1
        self.words = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.words.bind(str(folder / "notify"))
        told = {"RUNTIME_DIRECTORY": str(folder), "NOTIFY_SOCKET": str(folder / "notify")}
        self.environment = {**os.environ, **told}

    def run(self, line: str, *arguments: str, **more: str) -> str:
        done = subprocess.run(
            [
                "/bin/bash",
                "-c",
                f'{line} exec "$@"',
                "bash",
                sys.executable,
                "-IS",
                PROGRAM,
                *arguments,
            ],
            env={**self.environment, **more},
            pass_fds=[self.kept] if self.kept >= 0 else [],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def start(self) -> tuple[str, list[str]]:
        """Return what the server says of its socket, and what systemd was told."""
        # Whom it is passed to is said by a number that only that process knows.
        passed = f"exec 3<&{self.kept}; LISTEN_FDS=1 LISTEN_PID=$$" if self.kept >= 0 else ""
        said = self.run(passed, self.bind, "16", sys.executable, "-c", SERVER)
        return said, self.obey()

    def obey(self) -> list[str]:
        """Do what was told since the last time; return it."""
        told = []
        while True:
            try:
                text, given, _flags, _from = self.words.recvmsg(4096, 100, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return told
            word, name = text.decode().splitlines()
            assert name == "FDNAME=listener"
            told.append(word)
            if word == FORGET and self.kept >= 0:
                os.close(self.kept)
                self.kept = -1
            for _level, _type, data in given:
                (self.kept,) = array.array("i", data)

    def started(self, seconds: float) -> None:
        """Let the last start be so many seconds ago."""
        (self.folder / "started").write_text(str(time.monotonic() - seconds))

    def client(self) -> None:
        """Come as a client; an OSError if nobody listens, not even the kernel for who will be there."""
        unix = self.bind.startswith("unix:")
        address, _, port = self.bind.partition(":")
        with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as link:
            link.connect(port if unix else (address, int(port)))


@pytest.fixture(params=["tcp", "unix"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    at = f"127.0.0.1:{demo_servers.free_port()}"
    made = Service(tmp_path, at if request.param == "tcp" else f"unix:{tmp_path}/app.sock")
    yield made
    made.words.close()
    if made.kept >= 0:
        os.close(made.kept)


def test_its_socket_outlives_it(service: Service) -> None:
    first, told = service.start()
    assert told[-1] == KEEP
    assert first == str(os.fstat(service.kept).st_ino), (
        "another one, or servers see systemd's words"
    )
    service.client()
    service.started(11)
    assert service.start() == (first, [])
    service.client()


def test_of_what_ends_again_and_again_nothing_is_kept(service: Service) -> None:
    first, _ = service.start()
    assert service.start() == (first, [FORGET]), "who waits since it ended once is served yet"
    with pytest.raises(OSError, match="refused"):
        service.client()
    again, told = service.start()
    assert (again != first, told) == (True, [FORGET])
    service.started(11)
    assert service.start()[1] == [FORGET, KEEP]
    service.client()


def test_a_socket_whose_path_is_gone_is_no_use(service: Service) -> None:
    first, _ = service.start()
    service.started(11)
    if not service.bind.startswith("unix:"):
        assert service.start() == (first, [])
        return
    Path(service.bind.removeprefix("unix:")).unlink()
    assert service.start()[1] == [FORGET, KEEP]
    service.client()


def test_a_socket_of_another_place_is_no_use(service: Service) -> None:
    service.start()
    for bind in (f"unix:{service.folder}/other.sock", f"127.0.0.1:{demo_servers.free_port()}"):
        service.started(11)
        service.bind = bind
        assert service.start()[1] == [FORGET, KEEP]
        service.client()


def test_a_place_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        service = Service(tmp_path, f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(subprocess.CalledProcessError) as failed:
            service.start()
        service.words.close()
    assert failed.value.stderr.startswith(f"cannot listen at {service.bind}: ")
    assert "Traceback" not in failed.value.stderr


def test_a_stop_lets_nobody_wait(service: Service) -> None:
    service.start()
    service.run("", "--let-go", MAINPID="7")
    assert service.obey() == [FORGET]
    with pytest.raises(OSError, match="refused"):
        service.client()
    assert service.start()[1][-1] == KEEP, "it was stopped, and has not ended by itself"


def test_a_restart_that_is_announced_lets_them_wait(service: Service) -> None:
    first, _ = service.start()
    (service.folder / "handover").touch()
    service.run("", "--let-go", MAINPID="7")
    assert service.obey() == []
    assert service.start() == (first, [])
    service.run("", "--let-go", MAINPID="7")
    assert service.obey() == [FORGET], "it holds for one restart"


def test_what_ended_in_good_order_by_itself_was_not_stopped(service: Service) -> None:
    service.start()
    service.run("", "--let-go")
    assert service.obey() == []
    service.client()


def test_reports_of_processes_that_are_gone_are_removed(service: Service) -> None:
    (service.folder / "7.report").touch()
    service.start()
    assert list(service.folder.glob("*.report")) == []
