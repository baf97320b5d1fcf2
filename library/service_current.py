#!/usr/bin/python
"""Ansible module: a systemd service with its files, that runs, and runs with them as they are now."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time

from ansible.module_utils import greenrack_files
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.greenrack_ask import NoAnswer, journal, wait_for_answer

DOCUMENTATION = r"""
module: service_current
short_description: Write a systemd service's files, and make it run with them
description:
  - Writes the files as C(config_files) does.
  - Enables and starts the service, and restarts or reloads it when one of its files, or its unit
    file, is younger than the service's last start or reload. Then waits until it answers, if told where,
    but no longer once it has failed, or ended by itself three times, and three seconds are over.
  - A handler is lost when the run that notified it is interrupted; the ages of the files are not.
  - A dry run tells what the files it would write would take.
options:
  name: {description: "Name of the unit, such as nginx.service", type: str, required: true}
  files:
    description: The files it is run with. Each has the options C(config_files) documents, and one more.
    type: list
    elements: dict
    default: []
    suboptions:
      takes:
        description: What a change of it takes; reload-units for a drop-in that leaves alone what runs.
        type: str
        choices: [restart, reload, reload-units]
        default: restart
  reads:
    description: Files that others write, such as certificates, and whose change takes a reload.
    type: list
    elements: path
    default: []
  check: {description: Command that must succeed before a restart or reload, type: list, elements: str, default: []}
  handover: {description: "File made before a restart: the service leaves its socket to the next one", type: path}
  hidden: {description: What no message may show, for the journal may hold it, type: list, elements: str, default: []}
  answers:
    description: Where it must answer 2xx itself, so that no proxy's answer is taken for its own.
    type: dict
    suboptions:
      bind: {description: "ADDRESS:PORT or unix:PATH", type: str, required: true}
      protocol: {description: What it speaks there, type: str, choices: [http, uwsgi], default: http}
      path: {description: What is asked for, type: str, default: /healthz}
      host: {description: The Host header, type: str, default: localhost}
      scheme: {description: What nginx would say a client came by, type: str, choices: ["", http, https], default: ""}
      tls_name: {description: "The name its certificate says, if it speaks TLS to hosts that have one too", type: str}
      timeout: {description: Seconds until it must have answered, type: int, default: 30}
"""

RETURN = r"""
paths: {description: "The files that were, or would be, changed", type: list, returned: always}
did: {description: "What was done, of reload-units, enable, start, restart, reload", type: list, returned: always}
"""

TAKES = ["restart", "reload", "reload-units"]  # what a change of a file may take
ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "files": {
        **greenrack_files.argument(takes={"type": "str", "choices": TAKES, "default": "restart"}),
        "default": [],
    },
    "reads": {"type": "list", "elements": "path", "default": []},
    "handover": {"type": "path"},
    "hidden": {"type": "list", "elements": "str", "default": [], "no_log": True},
    "check": {"type": "list", "elements": "str", "default": []},
    "answers": {
        "type": "dict",
        "options": {
            "bind": {"type": "str", "required": True},
            "protocol": {"type": "str", "choices": ["http", "uwsgi"], "default": "http"},
            "path": {"type": "str", "default": "/healthz"},
            "host": {"type": "str", "default": "localhost"},
            "scheme": {"type": "str", "choices": ["", "http", "https"], "default": ""},
            "tls_name": {"type": "str"},
            "timeout": {"type": "int", "default": 30},
        },
    },
}


PROPERTIES = (
    "LoadState",
    "ActiveState",
    "UnitFileState",
    "NeedDaemonReload",
    "InactiveExitTimestampMonotonic",
    "StateChangeTimestampMonotonic",
    "FragmentPath",
    "DropInPaths",
    "NRestarts",
)
ENOUGH = 3  # times it ends by itself; once or twice, what it needs may not have been there yet
PATIENCE = 3  # seconds, in which it may end more often


class Failed(Exception):
    """A command failed; carries its words."""


def run(*command):
    """Run a command and return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(
            f"cannot be managed: '{' '.join(command)}' failed: {(done.stderr or done.stdout).strip()}"
        )
    return done.stdout


def show(name):
    """Return the unit's properties as systemd shows them."""
    shown = run("systemctl", "show", f"--property={','.join(PROPERTIES)}", name)
    return dict(line.split("=", 1) for line in shown.splitlines())


def changed_at(paths):
    """Return the time, in seconds since the epoch, of the youngest of the files that exist."""
    times = [os.stat(path).st_mtime for path in paths if os.path.exists(path)]  # noqa: PTH110, PTH116
    return max(times, default=0)


def since(unit, moment):
    """Return when the unit had this moment last, in seconds since the epoch."""
    age = time.clock_gettime(time.CLOCK_MONOTONIC) - int(unit[f"{moment}TimestampMonotonic"]) / 1e6
    return time.time() - age


def unread(unit, paths):
    """Return the drop-ins among the paths that systemd has not read; in a new directory it overlooks them."""
    there = [path for path in paths if ".service.d/" in path and os.path.exists(path)]  # noqa: PTH110
    return [path for path in there if path not in unit["DropInPaths"].split()]


def wanted(unit, restart_on, reload_on, units, written):
    """Return the verb that brings the unit up to date, or None."""
    if unit["ActiveState"] not in ("active", "reloading"):
        return "start"
    own = {unit["FragmentPath"], *unit["DropInPaths"].split()} - set(units)
    if not written.isdisjoint(restart_on) or unread(unit, restart_on):
        return "restart"
    # It read its files after it began to start; a reload, which changes the state, does not count.
    if changed_at([*own, *restart_on]) > since(unit, "InactiveExit"):
        return "restart"
    due = not written.isdisjoint(reload_on) or changed_at(reload_on) > since(unit, "StateChange")
    return "reload" if due else None


def plan(unit, restart_on, reload_on, units, written):
    """Return what has to be done, in order; the files are paths, and a dry run would have written some."""
    steps = []
    # A unit that comes with it, and is not its own, is not asked of systemd.
    new = any(path.startswith("/etc/systemd/system/") for path in written)
    overlooked = new or unread(unit, [*restart_on, *units]) or not written.isdisjoint(units)
    if unit["UnitFileState"] not in ("enabled", "enabled-runtime", "static", "alias"):
        steps.append("enable")  # after which systemd reads all units anew
    elif overlooked or unit["NeedDaemonReload"] == "yes" or unit["LoadState"] == "not-found":
        steps.append("reload-units")
    verb = wanted(unit, restart_on, reload_on, units, written)
    return [*steps, verb] if verb else steps


def do(step, name, check, handover=None):
    """Take one step of the plan."""
    if step == "reload-units":
        run("systemctl", "daemon-reload")
    elif step == "enable":
        run("systemctl", "enable", name)
    else:
        if check:
            run(*check)
        if step == "restart" and handover:
            with contextlib.suppress(
                FileExistsError, FileNotFoundError
            ):  # it may have no such directory
                # The directory is the service's: what it may have put there is not followed.
                os.close(os.open(handover, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        run("systemctl", step, name)


class Ends:
    """How often a unit ended by itself, from now on."""

    def __init__(self, name):
        self.name, self.began = name, time.monotonic()
        self.before = int(show(name)["NRestarts"])

    def enough(self):
        """Return why it is of no use to wait for the unit; an empty string while it is."""
        unit = show(self.name)
        if unit["ActiveState"] == "failed":
            return "and has failed"
        # systemd counts from 0 again when somebody starts it.
        self.before = min(self.before, int(unit["NRestarts"]))
        ends = int(unit["NRestarts"]) - self.before
        often = ends >= ENOUGH and time.monotonic() > self.began + PATIENCE
        return f"and ended by itself {ends} times" if often else ""


def main():
    """Run the module."""
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    name, files, began = module.params["name"], module.params["files"], time.time()
    paths, diff = greenrack_files.bring_up_to_date(module, files)
    takes = [[file["path"] for file in files if file["takes"] == one] for one in TAKES]
    takes[1] += module.params["reads"]
    try:
        steps = plan(show(name), *takes, set(paths))
        if not module.check_mode:
            for step in steps:
                do(step, name, module.params["check"], module.params["handover"])
            if module.params["answers"]:
                wait_for_answer(**module.params["answers"], vain=Ends(name).enough)
    except (Failed, NoAnswer) as error:
        told = journal(name, began)
        module.fail_json(msg=f"{name} {error}\nThe end of its journal since then:\n{told}")
    module.exit_json(changed=bool(paths or steps), paths=paths, did=steps, diff=diff)


if __name__ == "__main__":
    main()
