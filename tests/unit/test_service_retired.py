"""service_retired stops nothing that still serves somebody."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import greenrack_modules
import pytest

retired = greenrack_modules.load("service_retired")


@pytest.fixture(params=["tcp", "unix"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """A socket that listens, and accepts nothing by itself."""
    with closing(
        socket.socket(socket.AF_UNIX if request.param == "unix" else socket.AF_INET)
    ) as it:
        it.bind(f"{tmp_path}/s" if request.param == "unix" else ("127.0.0.1", 0))
        it.listen(10)
        yield it


def bind_of(listener: socket.socket) -> str:
    """Return where it listens, as modules take it."""
    name = listener.getsockname()
    return f"unix:{name}" if isinstance(name, str) else f"{name[0]}:{name[1]}"


def connected(listener: socket.socket) -> socket.socket:
    link = socket.socket(listener.family)
    link.connect(listener.getsockname())
    return link


def test_what_is_queued_and_what_is_served_is_counted(listener: socket.socket) -> None:
    bind = bind_of(listener)
    assert retired.connections(bind) == 0
    with closing(connected(listener)), closing(connected(listener)):
        assert retired.connections(bind) >= 2
        with closing(listener.accept()[0]), closing(listener.accept()[0]):
            assert retired.connections(bind) == 2
    assert retired.connections(bind) == 0


def test_nothing_is_served_where_nothing_listens(tmp_path: Path, closed_port: int) -> None:
    assert retired.connections(f"127.0.0.1:{closed_port}") == 0
    assert retired.connections(f"unix:{tmp_path}/nowhere") == 0


def test_it_waits_for_what_is_served(listener: socket.socket) -> None:
    link = connected(listener)
    later = threading.Timer(1, link.close)
    with closing(listener.accept()[0]) as served:
        began = time.monotonic()
        later.start()
        threading.Timer(1, served.close).start()
        assert retired.wait([bind_of(listener)], 60)[1]
        assert time.monotonic() - began >= 1 + retired.QUIET
        later.join()


def test_it_does_not_wait_for_ever(listener: socket.socket, tmp_path: Path) -> None:
    with closing(connected(listener)):
        took, served = retired.wait([f"unix:{tmp_path}/nowhere", bind_of(listener)], 0.5)
        assert (took >= 0.5, served) == (True, False)


def test_a_dry_run_stops_nothing(closed_port: int) -> None:
    where = {"name": "greenrack-nowhere.service", "binds": [f"127.0.0.1:{closed_port}"]}
    assert greenrack_modules.run(retired, check=True, **where)["changed"] is True


def test_a_service_that_cannot_be_stopped_is_told(closed_port: int) -> None:
    if Path("/run/systemd/system").is_dir():
        pytest.skip("systemd runs this machine, and would look for the service")
    where = {"name": "greenrack-nowhere.service", "binds": [f"127.0.0.1:{closed_port}"]}
    result = greenrack_modules.run(retired, **where)
    assert result["failed"]
    assert result["msg"].startswith("greenrack-nowhere.service cannot be stopped: ")
