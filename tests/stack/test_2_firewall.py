"""The firewall of hosts that have rules of others too, and of those that an earlier version has set up."""

import json
import time

import pytest

from tests.stack.test_2_strangers import knock

HOSTS = ("proxy1", "app1", "api1", "db1", "load1")
PLAIN = ("site.yml", "--tags", "firewall")

# A port that is led on to a container, as Docker does it.
PUBLISH = """
set -e
ip netns add container
ip link add container type veth peer name eth0 netns container
ip address add 10.99.0.1/24 dev container
ip link set container up
ip -n container address add 10.99.0.2/24 dev eth0
ip -n container link set eth0 up
ip -n container route add default via 10.99.0.1
sysctl -qw net.ipv4.ip_forward=1
nft add table ip others
nft 'add chain ip others led { type nat hook prerouting priority -100; }'
nft add rule ip others led tcp dport 7001 dnat to 10.99.0.2:80
systemd-run --unit=container --property=NetworkNamespacePath=/run/netns/container python3 -m http.server 80
"""

# What an earlier version left on a host: Debian's unit, enabled, whose file includes our rules.
EARLIER = """
systemctl disable --quiet --now greenrack-firewall.service
rm /etc/systemd/system/greenrack-firewall.service
systemctl daemon-reload
systemctl enable --quiet --now nftables.service
"""

# All there may be of ours.
LEFT = """
nft list tables | grep greenrack
ls /etc/greenrack/firewall
ls /etc/systemd/system /etc/systemd/system/* | grep -E 'greenrack-firewall|nftables'
systemctl list-units --all --plain --no-legend 'greenrack-firewall*'
systemctl list-units --plain --no-legend nftables.service
grep greenrack /etc/nftables.conf
true
"""


def play(lab, *options):
    """Have the firewall brought up to date; return the hosts where it was not."""
    run = lab.play(*PLAIN, *options)
    assert run.code == 0, run.output
    return {name for name in run.changed if run.changed[name]}


def test_first_firewall_closes_nothing_unasked(deployed):
    deployed.run("load1", EARLIER)
    play(deployed, "-e", "firewall=false")
    assert {name: deployed.run(name, LEFT) for name in HOSTS} == dict.fromkeys(HOSTS, "")
    deployed.run("api1", "systemd-run --unit=other python3 -m http.server 7000")
    waits = "systemd-run --unit=waits --socket-property=ListenStream=7003 sleep 60"
    deployed.run("api1", waits)
    try:
        while "7000" not in deployed.run("api1", "ss -Hltn"):
            time.sleep(0.2)
        run = deployed.play("site.yml")
        assert run.code != 0
        assert "port 7000 (other.service), port 7003 (waits.socket)" in run.output, run.output
        assert """firewall_open: [{"port": 7000}, {"port": 7003}]""" in run.output, run.output
        assert sum(run.changed.values()) == 0, run.output
        address = deployed.address("api1")
        assert knock(deployed, "proxy1", address, 7000) == "open"
        deployed.run("api1", "systemctl stop waits.socket")
        left_open = json.dumps(
            {"firewall_open": [{"port": 7000, "from": [f"{deployed.prefix}.11"]}]}
        )
        assert deployed.play("site.yml", "-e", left_open).code == 0
        assert knock(deployed, "proxy1", address, 7000) == "open"
        assert knock(deployed, "load1", address, 7000) == "shut"
        run = deployed.play("site.yml")
        assert "port 7000 (other.service)" in run.output, run.output
        assert (run.code != 0, sum(run.changed.values())) == (True, 0), run.output
        assert knock(deployed, "proxy1", address, 7000) == "open"
        play(deployed, "-e", '{"preflight_close": [7000]}')
        assert knock(deployed, "proxy1", address, 7000) == "shut"
    finally:
        deployed.run("api1", "systemctl stop other.service 'waits.*'")
    assert play(deployed) == set()


def test_rules_outlive_a_boot(deployed):
    deployed.reboot("load1")
    assert knock(deployed, "api1", deployed.address("load1"), 9) == "shut"
    assert deployed.host("load1").service("greenrack-firewall.service").is_running
    assert not deployed.host("load1").service("nftables.service").is_enabled


def test_what_somebody_has_taken_away_is_put_back(deployed):
    deployed.run("db1", "nft delete table inet greenrack")
    assert knock(deployed, "load1", deployed.address("db1"), 5432) == "open"
    deployed.run("api1", "systemctl disable greenrack-firewall.service")
    deployed.run("app1", "sed -i /greenrack/d /etc/nftables.conf")
    deployed.run("proxy1", "echo nonsense >> /etc/greenrack/firewall/base.nft")
    failed = "! systemctl restart greenrack-firewall.service; systemctl --failed"
    assert "greenrack-firewall.service" in deployed.run("proxy1", failed)
    assert play(deployed) == {"db1", "api1", "app1", "proxy1"}
    assert knock(deployed, "load1", deployed.address("db1"), 5432) == "shut"
    for name in HOSTS:
        assert deployed.host(name).service("greenrack-firewall.service").is_enabled
        assert deployed.host(name).service("greenrack-firewall.service").is_running
    assert "greenrack/firewall/base.nft" in deployed.run("app1", "cat /etc/nftables.conf")


def test_rules_of_others_stay(deployed):
    """And so does what they lead past ours."""
    deployed.run("api1", PUBLISH)
    try:
        end = time.monotonic() + 20
        while knock(deployed, "load1", deployed.address("api1"), 7001) != "open":
            assert time.monotonic() < end
        # What an upgrade of nftables does comes last.
        for unit in ("restart greenrack-firewall.service", "try-restart nftables.service"):
            deployed.run("api1", f"systemctl {unit}")
            assert knock(deployed, "load1", deployed.address("api1"), 7001) == "open", unit
        for option in ('{"firewall_open": [{"port": 7002}]}', "firewall=false", "firewall=true"):
            assert play(deployed, "-e", option) == set(HOSTS)
            assert knock(deployed, "load1", deployed.address("api1"), 7001) == "open", option
    finally:
        deployed.run("api1", "nft delete table ip others; systemctl stop container.service")
        deployed.run("api1", "ip netns delete container")
    assert play(deployed) == set()


# What somebody does whose nftables.service it is, and then with a file that does not know us: systemd brings ours back.
THEIRS = (
    "systemctl enable --now nftables.service",
    "systemctl restart nftables.service",
    "systemctl reload nftables.service",
    "nft -f /etc/nftables.conf",
)
FORGOTTEN = (
    "sed -i /greenrack/d /etc/nftables.conf; systemctl restart nftables.service",
    "systemctl reload nftables.service",
)


def test_rules_are_back_when_others_flush_them(deployed):
    address = deployed.address("app1")
    try:
        for command in THEIRS:
            deployed.run("app1", command)
            assert knock(deployed, "load1", address, 8000) == "shut", command
        for command in FORGOTTEN:
            deployed.run("app1", command)
            end = time.monotonic() + 20
            while knock(deployed, "load1", address, 8000) != "shut":
                assert time.monotonic() < end, command
        assert play(deployed) == {"app1"}
        assert deployed.host("app1").service("nftables.service").is_enabled
    finally:
        deployed.run("app1", "systemctl disable --now nftables.service")
    assert play(deployed) == {"app1"}


@pytest.mark.parametrize(("file", "kept"), [("", False), ("table ip mine {}", True)])
def test_what_an_earlier_version_enabled_is_given_back(deployed, file, kept):
    """Unless somebody has rules in nftables.conf, who may want them at boot."""
    deployed.run("db1", f"echo '{file}' | sed '/^$/d' >> /etc/nftables.conf\n{EARLIER}")
    deployed.run("db1", "nft add table ip others")
    try:
        assert play(deployed) == {"db1"}
        assert "table ip others" in deployed.run("db1", "nft list tables")
        assert knock(deployed, "load1", deployed.address("db1"), 5432) == "shut"
        assert deployed.host("db1").service("greenrack-firewall.service").is_running
        theirs = deployed.host("db1").service("nftables.service")
        assert (theirs.is_enabled, theirs.is_running) == (kept, kept)
        assert play(deployed) == set()
    finally:
        deployed.run("db1", "sed -i '/mine/d' /etc/nftables.conf; nft delete table ip others")
        deployed.run("db1", "systemctl disable --now nftables.service")
    play(deployed)
