#!/usr/bin/python
"""Ansible module: nftables rules that are kept only by somebody who still reaches the host."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ansible.module_utils import greenrack_files
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.greenrack_firewall import (
    BASE,
    BOOT,
    INCLUDE,
    KEPT,
    TABLE,
    UNIT,
    stands,
)
from ansible.module_utils.greenrack_theirs import brought

DOCUMENTATION = r"""
module: firewall_rules
short_description: Try nftables rules, and keep them or go back
description:
  - The rules are a table of their own, C(inet greenrack). All applications of a host share its base; each adds its own.
  - C(tried) checks and loads the rules, and writes nothing yet. A timer loads those before again, as does a reboot.
  - C(kept) writes them, and a unit that loads them at boot, and ends the timer. C(undone) does not wait for it.
  - With C(former), rules of the application that are there and not wanted any more stay, for what is live goes by them.
  - C(absent) takes the application's away, and the table and its unit with those of the last one.
  - nftables.service, which flushes the tables of all, is disabled where an earlier version enabled it.
options:
  application: {description: Whose services they are, type: str, required: true}
  state: {description: What is wanted, type: str, choices: [tried, kept, undone, absent], required: true}
  base: {description: "The table, with its include of all rules, for C(tried) and C(kept)", type: str, default: ""}
  services: {description: "The application's rules, for C(tried) and C(kept)", type: str, default: ""}
  former: {description: "Whether its rules that are there stay, for C(tried) and C(kept)", type: bool, default: false}
  unit: {description: "The unit that loads them at boot, for C(tried) and C(kept)", type: str, default: ""}
  seconds: {description: Seconds until the host goes back by itself, type: int, default: 30}
"""

RETURN = r"""
pending: {description: Whether rules are tried and wait to be kept, type: bool, returned: always}
former: {description: Whether rules stay that are not wanted any more, type: bool, returned: when tried}
seen_as: {description: "Address the controller's SSH comes from, empty if unknown", type: str, returned: when tried}
"""

SERVICES = f'include "{KEPT}/*.services"'
NO_RULES = "#!/usr/sbin/nft -f\n\nflush ruleset\n"
# Emptied, so that what an earlier version enabled can be stopped without a flush.
NO_STOP = Path("/run/systemd/system/nftables.service.d/greenrack.conf")
TRIED = Path("/run/greenrack-firewall.nft")
TIMER = "greenrack-firewall-back"
ENABLED = ("systemctl", "is-enabled", "--quiet", UNIT.name)
# Declared first, for it may be gone already.
NONE = f"{' '.join(TABLE)}; delete {' '.join(TABLE)}"
BACK = f"if test -e {BASE}; then nft -f {BASE}; else nft '{NONE}'; fi"


class Firewall:
    """The rules of a host, as they are and as they shall be."""

    def __init__(self, module):
        self.module = module
        self.own = KEPT / f"{module.params['application']}.services"
        boot = BOOT.read_text("utf-8") if BOOT.exists() else NO_RULES
        self.boot_without = boot.replace(INCLUDE, "")
        self.earlier = INCLUDE in boot and not self.succeeds(*ENABLED)
        there = self.own.read_text("utf-8") if self.own.exists() and module.params["former"] else ""
        self.former = left(there, module.params["services"])
        self.wanted = {
            self.own: module.params["services"] + self.former,
            BASE: module.params["base"],
            UNIT: module.params["unit"],
            BOOT: self.boot_without.rstrip("\n") + "\n" + INCLUDE,
        }

    def run(self, *command):
        """Run a command that must succeed."""
        code, out, err = self.module.run_command(list(command))
        if code != 0:
            told = f"'{' '.join(command)}' failed, and the rules are as they were:\n{out}{err}"
            self.module.fail_json(msg=told)

    def succeeds(self, *command):
        """Run a command; return whether it succeeded."""
        return self.module.run_command(list(command))[0] == 0

    def files(self):
        """Return what shall be written."""
        plain = {"secret": None, "mode": "0644", "owner": "root", "group": "root", "validate": None}
        return [{"path": str(path), "content": text, **plain} for path, text in self.wanted.items()]

    def tried(self):
        """Load the rules until the host goes back by itself."""
        files = [greenrack_files.File(self.module, each) for each in self.files()]
        old = [file for file in files if not file.current()]
        if not old and stands():
            return {"changed": False, "pending": False, "former": bool(self.former)}
        told = {"changed": True, "diff": [file.diff() for file in old], "seen_as": seen_as()}
        told["former"] = bool(self.former)
        if self.module.check_mode:
            return {**told, "pending": False}
        others = [
            path.read_text("utf-8") for path in sorted(KEPT.glob("*.services")) if path != self.own
        ]
        base = self.wanted[BASE].replace(SERVICES, "")
        TRIED.write_text("\n".join([base, *others, self.wanted[self.own], ""]), "utf-8")
        self.run("nft", "--check", "--file", str(TRIED))
        self.succeeds("systemctl", "stop", f"{TIMER}.timer")  # of a run that was interrupted
        seconds = f"--on-active={self.module.params['seconds']}"
        exact = "--timer-property=AccuracySec=100ms"
        self.run("systemd-run", f"--unit={TIMER}", seconds, exact, "/bin/sh", "-c", BACK)
        self.run("nft", "--file", str(TRIED))
        return {**told, "pending": True}

    def kept(self):
        """Keep what was tried, unless the host has gone back already."""
        if not self.succeeds("systemctl", "is-active", "--quiet", f"{TIMER}.timer"):
            self.module.fail_json(
                msg="It took too long to reach the host anew, and it has gone back by itself."
            )
        greenrack_files.bring_up_to_date(self.module, self.files())
        self.run("systemctl", "daemon-reload")
        self.give_back()
        # By this a later run sees that all of it is done.
        self.run("systemctl", "enable", "--quiet", UNIT.name)
        self.run("systemctl", "start", UNIT.name)
        self.disarm()
        return {"changed": True, "pending": False}

    def undone(self):
        """Go back to the rules before, at once."""
        self.run("/bin/sh", "-c", BACK)
        self.disarm()
        return {"changed": True, "pending": False}

    def absent(self):
        """Take the application's rules away, and with those of the last one the table."""
        if not self.own.exists():
            return {"changed": False, "pending": False}
        if not self.module.check_mode:
            others = [path for path in KEPT.glob("*.services") if path != self.own]
            if not others:
                BASE.unlink(missing_ok=True)
                self.give_back()
                BOOT.write_text(self.boot_without, "utf-8")
                self.succeeds("systemctl", "disable", "--quiet", "--now", UNIT.name)
                UNIT.unlink(missing_ok=True)
                self.run("systemctl", "daemon-reload")
                self.run("/bin/sh", "-c", BACK)
            self.own.unlink()
            if others:
                self.run("/bin/sh", "-c", BACK)
        return {"changed": True, "pending": False}

    def give_back(self):
        """Disable nftables.service, if an earlier version has enabled it, and nobody has rules in its file."""
        if not self.earlier or not self.nobodys():
            return
        # When it stops, and when its package is upgraded, it would flush the tables of others.
        NO_STOP.parent.mkdir(parents=True, exist_ok=True)
        NO_STOP.write_text("[Service]\nExecStop=\n", "utf-8")
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "disable", "--quiet", "--now", "nftables.service")
        NO_STOP.unlink()
        self.run("systemctl", "daemon-reload")

    def nobodys(self):
        """Say whether nftables.conf is as Debian brought it, but for our line."""
        digest = hashlib.md5(self.boot_without.encode(), usedforsecurity=False).hexdigest()
        return self.boot_without == NO_RULES or digest == brought("nftables").get(str(BOOT))

    def disarm(self):
        """End the timer, if there is one."""
        self.succeeds("systemctl", "stop", f"{TIMER}.timer")
        TRIED.unlink(missing_ok=True)


def left(there, wanted):
    """Return the rules that are there and not wanted, of two files of rules."""
    rules = [line for line in there.splitlines(keepends=True) if not line.startswith("#")]
    return "".join(rule for rule in rules if rule not in wanted.splitlines(keepends=True))


def seen_as():
    """Return the address SSH comes from, as the environment of one of the processes above this one has it."""
    process = os.getppid()
    while process > 1:
        folder = Path(f"/proc/{process}")
        for pair in (folder / "environ").read_bytes().split(b"\0"):
            if pair.startswith(b"SSH_CONNECTION="):
                return pair.partition(b"=")[2].split()[0].decode()
        process = int((folder / "stat").read_text("utf-8").rpartition(")")[2].split()[1])
    return ""


def main():
    """Run the module."""
    states = ("tried", "kept", "undone", "absent")
    module = AnsibleModule(
        {
            "application": {"type": "str", "required": True},
            "state": {"type": "str", "choices": list(states), "required": True},
            "base": {"type": "str", "default": ""},
            "services": {"type": "str", "default": ""},
            "former": {"type": "bool", "default": False},
            "unit": {"type": "str", "default": ""},
            "seconds": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    module.exit_json(**getattr(Firewall(module), module.params["state"])())


if __name__ == "__main__":
    main()
