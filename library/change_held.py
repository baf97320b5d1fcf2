#!/usr/bin/python
"""Ansible module: one run at a time changes what is live on a host."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: change_held
short_description: Hold, for this run, the right to change what is live, or give it back
description:
  - Two runs that each take the instance that is not live, both for the same, would stop what the other has made live.
  - What is written says whose the right is. It ends with the connection by which its run came, which OpenSSH keeps for
    ten minutes after a run (ControlPersist), and in any case after C(seconds) or with the next start of the host.
options:
  path: {description: "File that says whose it is, below /run", type: path, required: true}
  seen: {description: Its line when this run looked at the host to decide what to change, type: str, required: true}
  run: {description: "Who this run is, with a key C(id) that no other run has", type: dict, required: true}
  gone: {description: Whether the run in C(seen) is known to have ended, type: bool, default: false}
  seconds: {description: After how many seconds it ends by itself, type: float, default: 3600}
  ends: {description: Whether to give it back, type: bool, default: false}
"""

RETURN = r"""
other: {description: The run that holds it, type: dict, returned: when another run does}
since: {description: The run that has changed something since this one looked, type: dict, returned: when one has}
"""


def started(pid):
    """Return what a process's line in /proc says: its parent, and when it began; none if there is no such process."""
    try:
        # Its name, in brackets, may have spaces and brackets in it.
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(fields[1]), fields[19]


def session(pid):
    """Return the process of sshd that a process came by, as [pid, when it began]; none if it came otherwise."""
    while pid > 1 and (line := started(pid)):
        name = Path(f"/proc/{pid}/comm").read_text("utf-8").strip()
        if name in ("sshd", "sshd-session"):
            return [pid, line[1]]
        pid = line[0]
    return None


def uptime():
    """Return the seconds since the host has started."""
    return float(Path("/proc/uptime").read_text("ascii").split()[0])


def holds(line, gone):
    """Return whether the run that wrote a line still has the right."""
    if not line.get("held") or gone or uptime() >= line["until"]:
        return False
    came = line["session"]
    return came is None or (started(came[0]) or ("", ""))[1] == came[1]


def read(file):
    """Return the line of an open file, and what it says."""
    text = file.readline().rstrip("\n")
    with contextlib.suppress(ValueError):
        return text, json.loads(text)
    return text, {}


def main():
    """Run the module."""
    module = AnsibleModule(
        {
            "path": {"type": "path", "required": True},
            "seen": {"type": "str", "required": True},
            "run": {"type": "dict", "required": True},
            "gone": {"type": "bool", "default": False},
            "seconds": {"type": "float", "default": 3600},
            "ends": {"type": "bool", "default": False},
        }
    )
    given = module.params
    path, run = Path(given["path"]), given["run"]
    path.parent.mkdir(mode=0o755, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        text, line = read(file)
        ours = line.get("run", {}).get("id") == run["id"]
        if given["ends"] and not (ours and line["held"]):
            module.exit_json(changed=False)
        if not ours:
            if holds(line, given["gone"] and text == given["seen"]):
                module.fail_json(msg=f"Held by {line['run']}", other=line["run"])
            if text != given["seen"]:
                module.fail_json(msg="Changed since", since=line.get("run", {}))
        held = not given["ends"]
        until = uptime() + given["seconds"]
        told = {"run": run, "held": held, "until": until, "session": session(os.getpid())}
        file.seek(0)
        file.truncate()
        file.write(json.dumps(told) + "\n")
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
