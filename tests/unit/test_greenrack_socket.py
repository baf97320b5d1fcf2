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
        self.folder, self.bind, self.kept, self.backlog = folder, bind, -1, "16"
        self.moves = False
        self.words = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.words.bind(str(folder / "notify"))
        told = {"RUNTIME_DIRECTORY": str(folder), "NOTIFY_SOCKET": str(folder / "notify")}
        self.environment = {**os.environ, **told}

    def run(self, line: str, *arguments: str, **more: str) -> str:
        words = [sys.executable, "-IS", PROGRAM, *arguments]
        done = subprocess.Popen(
            ["/bin/bash", "-c", f'{line} exec "$@"', "bash", *words],
            env={**self.environment, **more},
            pass_fds=[self.kept] if self.kept >= 0 else [],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self.moves:
            time.sleep(0.3)  # systemd does what it is told a moment later
            self.forget()
        said, wrong = done.communicate()
        assert done.returncode == 0, wrong
        return said.strip()

    def start(self) -> tuple[str, list[str]]:
        """Return what the server says of its socket, and what systemd was told."""
        # Whom it is passed to is said by a number that only that process knows.
        moved = f"exec 3<&{self.kept} {self.kept}<&-; LISTEN_FDS=1 LISTEN_PID=$$"
        passed = moved if self.kept >= 0 else ""
        said = self.run(passed, self.bind, self.backlog, sys.executable, "-c", SERVER)
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
            if word == FORGET:
                self.forget()
            for _level, _type, data in given:
                (self.kept,) = array.array("i", data)

    def forget(self) -> None:
        if self.kept >= 0:
            os.close(self.kept)
        self.kept = -1

    def stop(self) -> list[str]:
        """Do what systemd does when somebody stops it; return what it was told meanwhile."""
        self.run("", "--stop", MAINPID="7")
        told = self.obey()
        self.run("", "--ended")
        return told

    def end(self) -> list[str]:
        """Do what systemd does when it has ended by itself; return what it was told."""
        self.run("", "--ended")
        return self.obey()

    def ended(self, seconds: float) -> None:
        """Let its last end be so many seconds ago."""
        (self.folder / "ended").write_text(str(time.monotonic() - seconds))

    def client(self) -> None:
        """Come as a client; an OSError if nobody listens, not even the kernel for who will be there."""
        address, _, port = self.bind.rpartition(":")
        if address != "unix":
            socket.create_connection((address.strip("[]"), int(port))).close()
            return
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(port)


@pytest.fixture(params=["tcp", "unix"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    at = f"127.0.0.1:{demo_servers.free_port()}"
    made = Service(tmp_path, at if request.param == "tcp" else f"unix:{tmp_path}/app.sock")
    yield made
    made.words.close()
    made.forget()


def test_its_socket_outlives_it(service: Service) -> None:
    first, told = service.start()
    assert told[-1] == KEEP
    assert first == str(os.fstat(service.kept).st_ino), (
        "another one, or servers see systemd's words"
    )
    for _ in range(2):
        service.ended(61)
        assert service.end() == []
        service.client()
        assert service.start() == (first, [])


def test_nobody_waits_for_what_ends_again_and_again(service: Service) -> None:
    first, _ = service.start()
    assert service.end() == []
    assert service.start() == (first, [])
    assert service.end() == [FORGET]
    with pytest.raises(OSError, match="refused"):
        service.client()
    again, told = service.start()
    assert (again != first, told) == (True, [FORGET, KEEP])
    service.ended(61)
    assert service.end() == [], "it has been well since"


def test_as_many_may_wait_as_it_is_told(service: Service) -> None:
    service.start()
    service.backlog = "2"
    service.start()
    unix = service.bind.startswith("unix:")
    of = ["-Hlx", "src", service.bind[5:]] if unix else ["-Hltn", "src", service.bind]
    shown = subprocess.check_output(["ss", *of], text=True).split()[unix:]
    assert (shown[0], shown[2]) == ("LISTEN", "2")


@pytest.mark.parametrize("service", ["unix"], indirect=True)
def test_a_socket_whose_path_is_gone_is_no_use(service: Service) -> None:
    service.start()
    Path(service.bind.removeprefix("unix:")).unlink()
    assert service.start()[1] == [FORGET, KEEP]
    service.client()


def test_a_socket_of_another_place_is_no_use(service: Service) -> None:
    service.start()
    service.moves = True
    port = demo_servers.free_port()
    # Each but the last takes part of the one before.
    places = [
        f"127.0.0.1:{port}",
        f"0.0.0.0:{port}",
        f"[::1]:{port}",
        f"unix:{service.folder}/other.sock",
    ]
    for service.bind in places:
        assert service.start()[1] == [FORGET, KEEP]
        service.client()


def test_what_is_no_socket_is_no_use(service: Service, tmp_path: Path) -> None:
    service.kept = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    assert service.start()[1] == [FORGET, KEEP]
    service.client()


def test_a_place_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        service = Service(tmp_path, f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(AssertionError, match=f"^cannot listen at {service.bind}: ") as failed:
            service.start()
        service.words.close()
    assert "Traceback" not in str(failed.value)


def test_a_stop_lets_nobody_wait(service: Service) -> None:
    service.start()
    assert service.stop() == [FORGET]
    with pytest.raises(OSError, match="refused"):
        service.client()
    service.start()
    assert service.end() == [], "it was stopped, and had not ended by itself"


def test_a_restart_that_is_announced_lets_them_wait(service: Service) -> None:
    first, _ = service.start()
    (service.folder / "handover").touch()
    assert service.stop() == []
    assert service.start() == (first, [])
    assert service.stop() == [FORGET], "it holds for one restart"


def test_a_restart_that_a_crash_was_faster_than_is_announced_no_more(service: Service) -> None:
    service.start()
    (service.folder / "handover").touch()
    service.end()
    service.start()
    assert service.stop() == [FORGET]


def test_what_ended_in_good_order_by_itself_was_not_stopped(service: Service) -> None:
    service.start()
    service.run("", "--stop")
    assert service.obey() == []
    service.client()


def test_reports_of_processes_that_are_gone_are_removed(service: Service) -> None:
    (service.folder / "7.report").touch()
    service.start()
    assert list(service.folder.glob("*.report")) == []
