"""Action: one run at a time changes what is live; another one is told whose run that is."""

from __future__ import annotations

import getpass
import json
import multiprocessing
import os
import platform
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase

HELD = """
{host}: {who} changes {name} now, since {since}, so this run changes no instance, and what serves is as it was.
Wait until that one has ended, or end it there; then type the same command again. {lost}"""
LOST = "Of a run that has failed, or was lost, {host} knows at most ten minutes after its end."
SINCE = """
{host}: {who} has changed {name} since this run looked at it, so this one changes no instance; what serves is as it was.
Type the same command again: it looks again."""


def began(pid: int) -> str | None:
    """Return when a process began, in the kernel's words; none if there is no such process."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[19]
    return None


def controller() -> str | None:
    """Return what tells this start of this machine, or container, from any other; none where that cannot be told."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').stat().st_ino}"
    return None


def this_run() -> dict[str, Any]:
    """Return who this run is: Ansible's main process, for a task may have one of its own."""
    parent = multiprocessing.parent_process()
    pid = (parent and parent.pid) or os.getpid()
    where = controller()
    return {
        "id": f"{where or platform.node()} {pid} {began(pid)}",
        "controller": where,
        "pid": pid,
        "began": began(pid),
        "who": f"{Path(context.CLIARGS['args'][0]).name} of {getpass.getuser()} on {platform.node()} (process {pid})",
        "since": time.strftime("%H:%M:%S %Z"),
    }


def ended(line: str) -> bool:
    """Say whether the run in a line was one of this controller's and is no more."""
    try:
        run = json.loads(line)["run"]
    except (ValueError, KeyError):
        return False
    return run["controller"] == controller() is not None and began(run["pid"]) != run["began"]


class ActionModule(ActionBase):
    """See the module's documentation; `name` is the application's, and without `needed` nothing is done."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict:
        """Hold what is live of an application, or let go of it."""
        super().run(tmp, task_vars)
        task_vars, given = task_vars or {}, self._task.args
        if not given.get("needed", True) or self._task.check_mode:
            return {"changed": False}
        path = f"/run/greenrack/{given['name']}.run"
        seen = task_vars["ansible_facts"]["greenrack"]["notes"].get(path, "")
        asked = {"path": path, "seen": seen, "run": this_run(), "gone": ended(seen)}
        asked |= {key: given[key] for key in ("ends", "seconds") if key in given}
        done = self._execute_module("change_held", module_args=asked, task_vars=task_vars)
        for key, says in (("other", HELD), ("since", SINCE)):
            if key in done:
                run, host = done[key], task_vars["inventory_hostname"]
                lost = "" if run.get("controller") == controller() else LOST.format(host=host)
                told = {
                    "host": host,
                    "name": given["name"],
                    "lost": lost,
                    "who": "Another run",
                    **run,
                }
                done["msg"] = says.strip().format(**told).strip()
        return done
