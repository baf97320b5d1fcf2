"""Who reaches a host: those it is for, and nobody else."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from testinfra.host import Host

testinfra_hosts = ["load1"]


@pytest.fixture(params=[8080, 8081, 8082, 9100])
def port(host: Host, request: pytest.FixtureRequest) -> Iterator[int]:
    """A port that something listens at."""
    unit = f"listens-{request.param}"
    server = f"python3 -m http.server {request.param}"
    host.check_output(f"systemd-run --unit={unit} {server}")
    waits = f"until ss -Hltn sport = :{request.param} | grep -q LISTEN; do sleep 0.1; done"
    host.check_output(f"timeout 20 bash -c '{waits}'")
    yield request.param
    host.check_output(f"systemctl stop {unit}")


def test_it_is_reached_at_what_is_open_to_everybody(address: str, port: int) -> None:
    """The controller is no proxy, so 8081 is closed to it; 8082 is nobody's."""
    try:
        socket.create_connection((address, port), timeout=2).close()
    except TimeoutError:
        reached = False
    else:
        reached = True
    assert reached == (port in (8080, 9100))


def test_rules_outlive_a_reboot(host: Host) -> None:
    """A unit of their own loads them when the host starts, and Debian's does what it did."""
    assert host.service("greenrack-firewall").is_enabled
    assert not host.service("nftables").is_enabled
    host.check_output("nft --check --file /etc/nftables.conf")
    assert host.file("/etc/nftables.conf").contains('^include "/etc/greenrack/firewall/base.nft"')


def test_what_was_not_asked_for_is_dropped(host: Host) -> None:
    """And so is what comes by IPv6, for the table is of both families."""
    rules = host.check_output("nft list chain inet greenrack input")
    assert "policy drop" in rules
