"""The firewall's files on a host, and whether it stands."""

from __future__ import annotations

import subprocess
from pathlib import Path

KEPT = Path("/etc/greenrack/firewall")
BASE = KEPT / "base.nft"
BOOT = Path("/etc/nftables.conf")  # what nftables.service loads
INCLUDE = f'include "{BASE}"\n'
TABLE = ("table", "inet", "greenrack")


def succeeds(*command):
    """Run a command; return whether there is one and it succeeded."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def stands():
    """Say whether the kernel has the table, and will have it again after a reboot."""
    return (
        BOOT.exists()
        and INCLUDE in BOOT.read_text("utf-8")
        and succeeds("systemctl", "is-enabled", "--quiet", "nftables.service")
        and succeeds("nft", "list", *TABLE)
    )
