"""What strangers get of the stack: another host of the network, another user of a host, a hostile client."""

import json
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.stack.hostile import HOSTILE, refused, told

KNOCK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()
    print("open")
except TimeoutError:
    print("shut")
except ConnectionRefusedError:
    print("nobody")
"""


def knock(lab, name, address, port):
    """Return what a host gets when it connects to a port: open, shut (by a firewall) or nobody."""
    return lab.run(name, f"python3 -c '{KNOCK}' {address} {port}")


@pytest.mark.parametrize(
    ("service", "port", "clients"),
    [
        ("db1", 5432, ["app1"]),
        ("api1", 8081, ["app1", "load1"]),
        ("app1", 8000, ["proxy1"]),
        ("proxy1", 80, ["app1", "api1", "load1", "db1"]),
    ],
)
def test_service_is_reached_by_its_clients_alone(deployed, service, port, clients):
    address = deployed.address(service)
    for name in ("proxy1", "app1", "api1", "db1", "load1"):
        if name != service:
            expected = "open" if name in clients else "shut"
            assert knock(deployed, name, address, port) == expected, name


def test_what_listens_later_is_shut(deployed):
    deployed.run("app1", "systemd-run --unit=later python3 -m http.server 7000")
    try:
        address = deployed.address("app1")
        end = time.monotonic() + 20
        while knock(deployed, "app1", address, 7000) != "open":
            assert time.monotonic() < end
        assert knock(deployed, "proxy1", address, 7000) == "shut"
    finally:
        deployed.run("app1", "systemctl stop later.service")


def test_ipv6_is_open_and_shut_as_ipv4_is(deployed):
    for name, number in (("proxy1", 11), ("app1", 21), ("load1", 51)):
        deployed.run(name, "sysctl -w net.ipv6.conf.host0.disable_ipv6=0")
        deployed.run(name, f"ip -6 address add fd00::{number}/64 dev host0 nodad")
    asked = (
        'import urllib.request; print(urllib.request.urlopen("http://[fd00::11]/healthz").status)'
    )
    assert deployed.run("load1", f"python3 -c '{asked}'") == "200"
    assert knock(deployed, "app1", "fd00::21", 22) == "open"
    assert knock(deployed, "load1", "fd00::21", 22) == "shut"


def test_wrong_network_locks_nobody_out(deployed):
    run = deployed.play("site.yml", "-e", '{"firewall_ssh_from": ["192.0.2.0/24"]}')
    assert run.code != 0
    assert "could not be reached by SSH any more" in run.output, run.output
    assert f"""-e '{{"firewall_ssh_from": ["{deployed.prefix}.1"]}}'""" in run.output, run.output
    for name in ("proxy1", "app1", "api1", "db1", "load1"):
        deployed.cut_off(name)
        assert "192.0.2" not in deployed.run(name, "nft list table inet greenrack")
    run = deployed.play("site.yml", "--tags", "firewall")
    assert (run.code, sum(run.changed.values())) == (0, 0), run.output


def test_network_that_is_none_changes_nothing(deployed):
    run = deployed.play("site.yml", "-e", '{"firewall_ssh_from": ["10.89.300.0/24"]}')
    assert run.code != 0
    assert "10.89.300.0/24" in run.output, run.output
    assert sum(run.changed.values()) == 0, run.output


PLAY = """
- hosts: load1
  become: true
  gather_facts: false
  tasks:
    - firewall_rules: {application: demo, state: tried, services: "", seconds: 5, base: "{{ rules }}"}
      vars:
        rules: |
          table inet greenrack
          delete table inet greenrack
          table inet greenrack {
            chain input {
              type filter hook input priority 0; policy drop;
            }
          }
"""


def test_rules_nobody_confirms_are_gone_by_themselves(deployed, tmp_path):
    """These cut the very connection that brought them, for as long as they last."""
    (tmp_path / "play.yml").write_text(PLAY)
    begun = deployed.begin(
        str(tmp_path / "play.yml"),
        env={"ANSIBLE_LIBRARY": "roles/firewall/library"},
        stdout=subprocess.PIPE,
    )
    output, _ = begun.communicate()
    assert begun.returncode == 0, output
    deployed.comes_to("load1")
    run = deployed.play("site.yml", "--tags", "firewall")
    assert (run.code, sum(run.changed.values())) == (0, 0), run.output


@pytest.mark.parametrize(("name", "unit"), [("app1", "demo-blue"), ("api1", "slow-api")])
def test_service_is_in_a_sandbox(deployed, name, unit):
    shown = deployed.run(name, f"systemd-analyze security --no-pager {unit}.service")
    level = float(shown.splitlines()[-1].split(":")[1].split()[0])
    assert level <= 2.0, shown


def test_no_other_user_reads_secrets_or_changes_code(deployed):
    secret = deployed.run("app1", "grep -o 'postgresql://demo:[^@]*' /etc/demo-blue.env").split(
        ":"
    )[2]
    for name, user in (("app1", "nobody"), ("db1", "nobody"), ("app1", "www-data")):
        places = "/etc /srv /run /var/log /tmp /usr/local /proc/[0-9]*/environ /proc/[0-9]*/cmdline"
        # In brackets, so that it is not found in this very command.
        searched = f"grep -rsl --devices=skip '[{secret[0]}]{secret[1:]}' {places}"
        found = deployed.host(name).run(f"runuser -u {user} -- {searched} 2>/dev/null")
        assert found.stdout == "", (name, user, found.stdout)
    for user in ("nobody", "demo"):
        code = "find /srv/demo /usr/local/lib/greenrack* /etc/systemd/system -writable -not -type l"
        assert deployed.run("app1", f"runuser -u {user} -- {code} 2>/dev/null || true") == "", user


def test_ssh_takes_no_password(deployed):
    said = deployed.run("app1", "sshd -T -C user=admin,host=x,addr=10.0.0.1")
    assert "passwordauthentication no" in said
    assert "kbdinteractiveauthentication no" in said
    assert "permitrootlogin without-password" in said or "permitrootlogin prohibit-password" in said


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_request_is_refused_and_others_are_served(deployed, what):
    status = told(deployed.address("proxy1"), 80, HOSTILE[what])
    assert refused(status), status
    assert deployed.get("/?delay=0")[0] == 200


def test_slow_clients_keep_nobody_waiting(deployed):
    address, links = deployed.address("proxy1"), []
    with ThreadPoolExecutor(1) as dripping:
        try:
            for _ in range(300):
                link = socket.create_connection((address, 80), 10)
                link.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ")
                links.append(link)

            def drip():
                for _ in range(25):
                    for link in links:
                        try:
                            link.sendall(b"a")
                        except ConnectionError:
                            return time.monotonic()
                    time.sleep(1)
                return None

            began = time.monotonic()
            dropped = dripping.submit(drip)
            assert [deployed.get("/?delay=0")[0] for _ in range(20)] == [200] * 20
            assert dropped.result() is not None, "clients that never end their headers are kept"
            assert dropped.result() - began > 10
        finally:
            for link in links:
                link.close()


FORGED = ("X-Forwarded-For", "X-Real-IP", "Forwarded")


def test_address_of_a_client_is_not_what_it_says(deployed):
    before = json.loads(deployed.get("/stats")[1])["clients"]
    for number in range(3):
        forged = "".join(f"{name}: 203.0.113.{number}\r\n" for name in FORGED)
        request = f"GET /stats HTTP/1.1\r\nHost: x\r\n{forged}Connection: close\r\n\r\n".encode()
        assert told(deployed.address("proxy1"), 80, request) == 200
    assert json.loads(deployed.get("/stats")[1])["clients"] == before
