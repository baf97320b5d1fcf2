"""A bound for the memory of a unit, where a lab's hosts have none of their own."""

import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.stack.lab import SUDO

V1 = Path("/sys/fs/cgroup/memory")
BEGIN = """
mkdir {group}
echo {limit} > {group}/memory.limit_in_bytes
for pid in $(cat {unit}/cgroup.procs); do echo $pid > {group}/cgroup.procs; done
"""
END = """
for pid in $(cat {group}/cgroup.procs); do echo $pid > {above}/cgroup.procs; done
until rmdir {group}; do sleep 0.2; done
"""


@contextmanager
def bounded(lab, host, unit, megabytes):
    """Bound what a unit takes, as its MemoryMax does where the kernel counts it; say by whom it is.

    A lab's hosts may see no memory controller. The controller's own is then put around the unit's processes: the kernel
    kills the same one, but the host's systemd is not told.
    """
    if "memory" in lab.run(host, "cat /sys/fs/cgroup/system.slice/cgroup.controllers").split():
        yield "its unit"
        return
    roots = [Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines()]
    place = f"greenrack/{lab.name}/{host}"
    units = [one for root in roots for one in (root / place).glob(f"**/{unit}.service")]
    if len(units) != 1 or not (V1 / "memory.limit_in_bytes").exists():
        pytest.skip("neither the lab's hosts nor the controller's cgroups count memory here")
    group = V1 / f"greenrack-{lab.name}"
    names = {"group": group, "unit": units[0], "limit": megabytes * 2**20, "above": V1}
    subprocess.run([*SUDO, "sh", "-c", BEGIN.format(**names)], check=True)
    try:
        yield "a group of the controller's"
    finally:
        subprocess.run([*SUDO, "sh", "-c", END.format(**names)], check=True)
