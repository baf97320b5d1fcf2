"""Whole hosts that are lost, from one moment to the next."""

import re
import subprocess
from pathlib import Path

from tests.stack.lab import SUDO


def plug(lab, host, how):
    """Pull a host's network cable, or plug it in again: `how` is down or up."""
    link = ["ip", "link", "set", f"vb-{lab.name}-{host}", how]
    subprocess.run([*SUDO, *link], check=True)


def power_off(lab, name):
    """Kill all of a host at once, as a power failure does.

    What a container has written, the controller's kernel still has; what only a virtual machine's kernel had is lost.
    """
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    roots = re.findall(r"^cgroup2 (\S+) cgroup2", mounts, re.M)
    (kill,) = [
        path
        for root in roots
        for path in [Path(root, "greenrack", lab.name, name, "cgroup.kill")]
        if path.exists()
    ]
    subprocess.run([*SUDO, "tee", str(kill)], input=b"1", stdout=subprocess.DEVNULL, check=True)
    lab.cut_off(name)
