"""Two ways to start a lab host: under the controller's systemd, or in a cgroup of our own.

Both offer the same verbs, so that nobody above them asks which one it is.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ansible.module_utils.greenrack_lab import Cgroup, run

REBOOT = 133  # systemd-nspawn ends with this status when its guest asks for a reboot

# Of systemd-nspawn: its hosts have cgroup v2, as every Debian server has.
ENVIRONMENT = {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}


class CgroupStarter:
    """Starts hosts without systemd as PID 1: a shell loop in the host's cgroup is the supervisor."""

    def __init__(self, lab, name):
        self.cgroup = Cgroup(lab, name)
        self.look = f"cat {self.cgroup.path}/cgroup.events"

    def running(self):
        """Say whether anything of the host is alive."""
        return self.cgroup.populated()

    def start(self, boot, console):
        """Run the command `boot`, which is the host; its console goes to the file `console`."""
        self.cgroup.create()
        loop = f'while :; do "$@"; [ $? -eq {REBOOT} ] || exit; done'
        command = ["setsid", "--fork", "sh", "-c", loop, "lab-host", *boot]
        procs = self.cgroup.path / "cgroup.procs"
        with Path(console).open("wb") as out:
            # Entered before exec, so that not even the first process lives outside.
            subprocess.run(
                command,
                check=True,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **ENVIRONMENT},
                preexec_fn=lambda: procs.write_text("0", encoding="ascii"),
            )

    def stop(self):
        """End the host at once and leave no cgroup behind."""
        self.cgroup.kill()
        self.cgroup.remove()

    @staticmethod
    def finish(lab):
        """Remove what the lab's hosts shared: nothing, for the last cgroup takes its parents along."""

    @staticmethod
    def names(lab):
        """Return the names of the lab's hosts that were started, living or dead."""
        there = [path for path in Cgroup(lab).paths if path.exists()]
        return {child.name for path in there for child in path.iterdir() if child.is_dir()}


class SystemdStarter:
    """Starts hosts as transient units of the controller's own systemd."""

    def __init__(self, lab, name):
        self.unit = f"greenrack-{lab}-{name}.service"
        self.slice = f"greenrack-{lab}.slice"
        self.look = f"journalctl --unit {self.unit}"

    def _property(self, name):
        return run("systemctl", "show", "--value", f"--property={name}", self.unit).strip()

    def running(self):
        """Say whether the unit is up, or on its way."""
        return self._property("ActiveState") in ("active", "activating", "reloading")

    def start(self, boot, console):
        """Run the command `boot`, which is the host; its console goes to the file `console`."""
        self.stop()  # a failed unit of that name would be in the way
        properties = {
            "Type": "exec",
            "Delegate": "yes",
            "KillMode": "mixed",
            "TimeoutStopSec": "10",
            "TasksMax": "infinity",
            "RestartForceExitStatus": str(REBOOT),
            "SuccessExitStatus": str(REBOOT),
            "StandardOutput": f"truncate:{console}",
            "StandardError": f"append:{console}",
        }
        run(
            "systemd-run",
            f"--unit={self.unit}",
            f"--slice={self.slice}",
            *(f"--setenv={name}={value}" for name, value in ENVIRONMENT.items()),
            "--no-block",
            *(f"--property={key}={value}" for key, value in properties.items()),
            *boot,
        )

    def stop(self):
        """End the host at once and forget its unit."""
        if self._property("LoadState") != "loaded":
            return
        run("systemctl", "kill", "--signal=KILL", self.unit)
        run("systemctl", "stop", self.unit)
        subprocess.run(["systemctl", "reset-failed", self.unit], capture_output=True, check=False)

    @staticmethod
    def names(lab):
        """Return the names of the lab's hosts that were started, living or dead."""
        prefix = f"greenrack-{lab}-"
        units = run(
            "systemctl", "list-units", "--all", "--plain", "--no-legend", f"{prefix}*.service"
        )
        return {line.split()[0][len(prefix) : -len(".service")] for line in units.splitlines()}

    @staticmethod
    def finish(lab):
        """Remove what the lab's hosts shared: its slice, and the slice of all labs after the last."""
        run("systemctl", "stop", f"greenrack-{lab}.slice")
        if not run("systemctl", "list-units", "--plain", "--no-legend", "greenrack-*.slice"):
            run("systemctl", "stop", "greenrack.slice")


STARTERS = {"cgroup": CgroupStarter, "systemd": SystemdStarter}


def _starter(provider):
    if provider not in STARTERS:
        provider = "systemd" if Path("/run/systemd/system").is_dir() else "cgroup"
    return STARTERS[provider]


def starter_for(provider, lab, name):
    """Return a host's starter; unless `provider` names one, that is systemd's exactly where it is PID 1."""
    return _starter(provider)(lab, name)


def finish(provider, lab):
    """Remove what the lab's hosts shared, after the last of them is gone."""
    _starter(provider).finish(lab)


def names_started(provider, lab):
    """Return the names of the lab's hosts that were started, living or dead."""
    return _starter(provider).names(lab)
