"""The slow API as a service: where it listens, as whom it runs, what it answers, how it stops."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["api1"]
UNIT = "slow-api.service"
PORT = 8081


@pytest.fixture
def connection(address: str) -> Iterator[HTTPConnection]:
    """A connection from the controller, as any other host would make it."""
    connection = HTTPConnection(address, PORT, timeout=10)
    yield connection
    connection.close()


@pytest.fixture
def main_process(host: Host) -> str:
    """The service's process number on its host."""
    return host.service(UNIT).systemd_properties["MainPID"]


@pytest.fixture
def started_again(host: Host) -> Iterator[None]:
    """Leave the service running, whatever the test does to it."""
    yield
    host.check_output(f"systemctl start {UNIT}")


def answer_on(connection: HTTPConnection) -> tuple[int, Any]:
    """Return status and body of the answer to the request sent last."""
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def test_runs_now_and_after_a_reboot(host: Host) -> None:
    """The unit is active and enabled, and has not crashed since it was started."""
    unit = host.service(UNIT).systemd_properties
    found = {key: unit[key] for key in ("ActiveState", "UnitFileState", "NRestarts")}
    assert found == {"ActiveState": "active", "UnitFileState": "enabled", "NRestarts": "0"}


def test_listens_on_its_own_address_and_port_only(
    host: Host, address: str, main_process: str
) -> None:
    """Not on every address, and not on a second port."""
    sockets = host.check_output("ss -H --listening --tcp --udp --numeric --processes").splitlines()
    mine = [line.split() for line in sockets if f"pid={main_process}," in line]
    assert [(kind, local) for kind, _, _, _, local, *_ in mine] == [("tcp", f"{address}:{PORT}")]


def test_runs_unprivileged(host: Host, main_process: str) -> None:
    """No user ID of root's, no capability, and no way to gain one."""
    lines = host.file(f"/proc/{main_process}/status").content_string.splitlines()
    status = dict(line.split(":\t", 1) for line in lines)
    assert "0" not in status["Uid"].split() + status["Gid"].split()
    assert {int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    assert status["NoNewPrivs"] == "1"


def test_answers_after_the_delay_it_was_asked_for(connection: HTTPConnection) -> None:
    """Not earlier, and not much later."""
    sent = time.monotonic()
    connection.request("GET", "/?delay=0.2")
    assert answer_on(connection) == (200, {"delay": 0.2})
    assert 0.2 <= time.monotonic() - sent < 1.2


@pytest.mark.parametrize("delay", ["soon", "-1", "nan", "60.1"])
def test_refuses_a_delay_it_cannot_keep(connection: HTTPConnection, delay: str) -> None:
    """What is not a number of seconds, or above the role's default limit, is the client's fault."""
    connection.request("GET", f"/?delay={delay}")
    status, body = answer_on(connection)
    assert status == 400
    assert delay in body["error"]
    assert "from 0 to 60" in body["valid"]


@pytest.mark.usefixtures("started_again")
def test_stop_lets_the_request_in_flight_finish(host: Host, connection: HTTPConnection) -> None:
    """A stop waits for the answer, takes no longer than that, and nothing had to be killed."""
    connection.request("GET", "/?delay=2")
    sent = time.monotonic()
    stop = host.run(f"systemctl stop {UNIT}")
    stopped_after = time.monotonic() - sent
    assert answer_on(connection) == (200, {"delay": 2})
    assert stop.succeeded
    assert 1.9 <= stopped_after < 10
    assert host.service(UNIT).systemd_properties["ActiveState"] == "inactive"
