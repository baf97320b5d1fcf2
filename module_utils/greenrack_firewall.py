"""The firewall's files on a host, and whether it stands."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

KEPT = Path("/etc/greenrack/firewall")
BASE = KEPT / "base.nft"
UNIT = Path("/etc/systemd/system/greenrack-firewall.service")  # loads it at boot
BOOT = Path("/etc/nftables.conf")  # flushes the tables of all, for whoever loads it
INCLUDE = f'include "{BASE}"\n'
TABLE = ("table", "inet", "greenrack")


def succeeds(*command):
    """Run a command; return whether there is one and it succeeded."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def stands():
    """Say whether the kernel has the table, and will have it after a reboot, and after BOOT was loaded."""
    return (
        BOOT.exists()
        and INCLUDE in BOOT.read_text("utf-8")
        and succeeds("systemctl", "is-enabled", "--quiet", UNIT.name)
        and succeeds("nft", "list", *TABLE)
    )


def opened():
    """Return {protocol: ports} that all applications of the host let in: SSH, and what was in firewall_open."""
    text = BASE.read_text("utf-8") if BASE.exists() else ""
    found = {"tcp": set(), "udp": set()}
    for protocol, ports in re.findall(r"(tcp|udp) dport \{ ([0-9, ]+) \} accept", text):
        found[protocol].update(map(int, ports.split(",")))
    return {protocol: sorted(ports) for protocol, ports in found.items()}
