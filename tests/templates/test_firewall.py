"""The rendered firewall, as nftables itself reads it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import greenrack_modules
import pytest
from render import evaluate, of_role, render

ANY = {"port": 80, "from": []}
SERVICES = [
    ANY,
    {"port": 5432, "from": ["10.0.0.21", "10.0.0.22"]},
    {"port": 8000, "from": ["fd00::1"]},
]

# Of the stack, and what else is held by its unit is not.
NGINX = {"hosts": ["host1"], "port": 80, "unit": r"^nginx\.service$", "roles": []}
OPEN = [{"port": 9100}, {"port": 51820, "protocol": "udp", "from": ["10.0.0.0/8"]}]


def loaded(tmp_path: Path, **given: Any) -> str:
    """Return the table as nftables lists it, having loaded it into a network of its own."""
    if not shutil.which("nft") or os.geteuid() != 0:
        pytest.skip("nftables is asked itself, which takes nft and root")
    texts = [render("firewall", name, **given) for name in ("firewall.nft.j2", "services.nft.j2")]
    (tmp_path / "rules").write_text("\n".join(texts))
    command = f"nft --file {tmp_path}/rules && nft list table inet greenrack"
    done = subprocess.run(["unshare", "--net", "sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("networks", "rules"),
    [
        ([], ["tcp dport 22 accept"]),
        (["10.0.0.0/8"], ["ip saddr 10.0.0.0/8 tcp dport 22 accept"]),
        (["fd00::/8"], ["ip6 saddr fd00::/8 tcp dport 22 accept"]),
        (
            ["10.0.0.1", "fd00::1"],
            ["ip saddr 10.0.0.1 tcp dport 22 accept", "ip6 saddr fd00::1 tcp dport 22 accept"],
        ),
    ],
)
def test_ssh_is_let_in_from_its_networks_alone(
    tmp_path: Path, networks: list[str], rules: list[str]
) -> None:
    table = loaded(tmp_path, firewall_ssh_from=networks)
    assert [line.strip() for line in table.splitlines() if "dport 22 " in line] == rules
    assert "policy drop;" in table


def test_services_are_let_in_from_their_clients_alone(tmp_path: Path) -> None:
    table = loaded(tmp_path, firewall_services=SERVICES, firewall_open=OPEN)
    accepted = {
        line.strip() for line in table.splitlines() if line.strip().startswith(("tcp", "ip"))
    }
    assert accepted == {
        "tcp dport 22 accept",
        "tcp dport 9100 accept",
        "ip saddr 10.0.0.0/8 udp dport 51820 accept",
        "tcp dport 80 accept",
        "ip saddr { 10.0.0.21, 10.0.0.22 } tcp dport 5432 accept",
        "ip6 saddr fd00::1 tcp dport 8000 accept",
    }


def test_an_address_that_is_none_is_no_rule(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"10\.0\.0\.300"):
        loaded(tmp_path, firewall_ssh_from=["10.0.0.300"])


@pytest.mark.parametrize(
    ("listeners", "ports"),
    [
        ({"22": "ssh.service", "2222": "ssh.service", "80": "nginx.service"}, [22, 2222]),
        ({"2222": "sshd.service", "2223": "ssh.socket"}, [22, 2222, 2223]),
        ({}, [22]),
    ],
)
def test_every_port_of_sshd_stays_open(listeners: dict[str, str], ports: list[int]) -> None:
    facts = {"ansible_facts": {"greenrack": {"listeners": listeners}}}
    assert evaluate("firewall", "firewall_ssh_ports", **facts) == ports


def test_what_the_firewall_would_close_is_named_by_its_protocol() -> None:
    """Until it is open, or may be closed; after the first time, what was open alone."""
    there = {"exposed_udp": [53, 5353, 51820], "exposed": [53, 80, 443, 5433]}
    there["listeners"] = {
        "53": "dns.service",
        "443": "nginx.service",
        "5433": "postgresql@15-x.service",
    }
    there["opened"] = {"tcp": [22, 443], "udp": [53]}
    there["entries"] = {"/etc/greenrack/firewall": []}
    given = {"ansible_facts": {"greenrack": there}, "preflight_firewall": True}
    given |= {"preflight_close": [5353], "firewall_open": OPEN, "preflight_parts": [NGINX]}
    given["firewall_services"] = [ANY]
    tcp, udp = "__preflight_shut", "__preflight_shut_udp"
    assert (evaluate("preflight", tcp, **given), evaluate("preflight", udp, **given)) == (
        [53, 443, 5433],
        [53],
    )
    given["firewall_services"] = [ANY, {"port": 53, "protocol": "udp"}]
    assert (evaluate("preflight", tcp, **given), evaluate("preflight", udp, **given)) == (
        [53, 443, 5433],
        [],
    )
    there["entries"] = {"/etc/greenrack/firewall": ["base.nft"]}
    assert (evaluate("preflight", tcp, **given), evaluate("preflight", udp, **given)) == ([443], [])
    given["firewall_services"] = [ANY]
    assert (evaluate("preflight", tcp, **given), evaluate("preflight", udp, **given)) == (
        [443],
        [53],
    )


def test_what_it_lets_in_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    firewall = greenrack_modules.load("greenrack_firewall")
    monkeypatch.setattr(firewall, "BASE", tmp_path / "base.nft")
    assert firewall.opened() == {"tcp": [], "udp": []}
    given = {"firewall_open": OPEN, "firewall_ssh_ports": [22, 2222]}
    (tmp_path / "base.nft").write_text(render("firewall", "firewall.nft.j2", **given))
    assert firewall.opened() == {"tcp": [22, 2222, 9100], "udp": [51820]}


@pytest.mark.parametrize("unit", ["docker.service", "apache2.service", ""])
def test_of_dockers_ports_it_is_said_that_they_stay_open(unit: str) -> None:
    (check,) = [
        check
        for check in of_role("preflight", "vars")["__preflight_checks"]
        if "which the firewall would close" in check["says"]
    ]
    there = {"exposed": [8080], "exposed_udp": [53], "listeners": {"8080": unit}}
    there["entries"] = {"/etc/greenrack/firewall": []}
    given = {"ansible_facts": {"greenrack": there}, "firewall_open": OPEN[:1]}
    given |= {"preflight_firewall": True, "preflight_close": [], "says": check["says"]}
    said = evaluate("preflight", "says", **given)
    assert f"port 8080 ({unit or 'no systemd unit'}), UDP port 53, which the" in said
    wanted = '[{"port": 9100}, {"port": 8080}, {"port": 53, "protocol": "udp"}]'
    assert f"firewall_open: {wanted}. To close" in said
    assert ("Docker" in said) == (unit == "docker.service")
