"""What the lab's modules share: where cgroups are, how commands are run, and how trees go away."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from pathlib import Path


class LabError(Exception):
    """Something the operator has to read: what is wrong and what to do."""


def run(*command, stdin=None):
    """Run a command and return what it printed; raise LabError with its own words if it fails."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise LabError(f"'{' '.join(command)}' failed with status {done.returncode}: {said}")
    return done.stdout


def wait_until(condition, seconds):
    """Poll `condition` until it is true; return whether that happened within `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _mounts():
    """Return what is mounted: for each, its mount point, kind and options."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return [line.split()[1:4] for line in lines]


def cgroup2_root():
    """Return the mount point of cgroup v2: on hybrid systems that is not /sys/fs/cgroup."""
    for mount_point, kind, _ in _mounts():
        if kind == "cgroup2":
            return Path(mount_point)
    raise LabError("No cgroup v2 is mounted here, and lab hosts need one of their own each.")


def cgroup_roots():
    """Return where cgroups are that lab hosts are in: v2, and systemd's own v1, which a hybrid system has too."""
    return [cgroup2_root()] + [
        Path(mount_point)
        for mount_point, kind, options in _mounts()
        if kind == "cgroup" and "name=systemd" in options.split(",")
    ]


def is_mounted(path):
    """Say whether something is mounted exactly at `path`."""
    return any(mount_point == str(path) for mount_point, _, _ in _mounts())


class Cgroup:
    """A cgroup of the lab's own: who is in it is who belongs to the host.

    systemd-nspawn puts its host into systemd's own v1 hierarchy as well, so that has one of the same name.
    """

    def __init__(self, *names):
        self.roots = cgroup_roots()
        self.paths = [root.joinpath("greenrack", *names) for root in self.roots]
        self.path = self.paths[0]

    def populated(self):
        """Say whether any process lives in it or below it."""
        try:
            return "populated 1" in (self.path / "cgroup.events").read_text(encoding="ascii")
        except FileNotFoundError:
            return False

    def exists(self):
        """Say whether it was made."""
        return self.path.exists()

    def create(self):
        """Make it, and its parents, which another lab may be removing."""
        for path in self.paths:
            while not path.exists():
                with suppress(FileNotFoundError):
                    path.mkdir(parents=True, exist_ok=True)

    def kill(self):
        """End everything in it at once, as a power failure would, and wait until it is empty."""
        if not self.exists():
            return
        (self.path / "cgroup.kill").write_text("1", encoding="ascii")
        if not wait_until(lambda: not self.populated(), 20):
            raise LabError(f"Processes in {self.path} survive being killed.")

    def remove(self):
        """Remove it and what is below it, then each parent of the lab's that has become empty."""
        for root, path in zip(self.roots, self.paths, strict=True):
            if not path.exists():
                continue
            below = [there for there in path.rglob("*") if there.is_dir()]
            for there in sorted(below, key=lambda p: len(p.parts), reverse=True):
                there.rmdir()
            path.rmdir()
            # Other hosts, and other labs, go or come at this moment: the kernel removes what is empty, once.
            with suppress(OSError):
                for parent in path.parents[: -len(root.parts)]:
                    parent.rmdir()
