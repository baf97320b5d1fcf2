#!/usr/bin/python
"""Ansible module: the hosts of a lab, Debian systems booted by systemd-nspawn or qemu."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.greenrack_lab import LabError, run, wait_until
from ansible.module_utils.greenrack_lab_body import accelerator, body_for
from ansible.module_utils.greenrack_lab_start import finish, names_started, starter_for

DOCUMENTATION = r"""
module: lab_machines
short_description: Boot, bring back or throw away the hosts of a lab
description:
  - Each host gets a disk over the lab's image, a name, an address and SSH host keys, and is booted.
  - A host that runs and answers on its SSH port is left alone; one that died is booted again on its own disk.
  - With state absent, everything found of the lab's hosts goes, also what a crash or an older inventory left.
options:
  lab: {description: Name of the lab, type: str, required: true}
  directory: {description: Where the hosts' disks are kept, type: path, required: true}
  state: {description: What the hosts should be, type: str, choices: [started, absent], default: started}
  provider:
    description: How to start them. qemu makes virtual machines of them, by KVM where that works, else by emulation.
    type: str
    choices: [auto, systemd, cgroup, qemu]
    default: auto
  cpus: {description: Processors of each virtual machine, type: int, default: 1}
  memory_mb: {description: Memory of each virtual machine, MiB, type: int, default: 1024}
  machines: {description: "The hosts, {name: IPv4 address}", type: dict}
  image: {description: Directory of the Debian image below the overlays, type: path}
  bridge: {description: The controller's bridge the hosts are plugged into, type: str}
  gateway: {description: IPv4 address of the controller on the bridge, type: str}
  names: {description: "More names the hosts can resolve, {name: address}", type: dict, default: {}}
  authorized_key: {description: SSH public key that may log in as the image's user, type: str}
  user: {description: The image's user that may log in and has sudo, type: str, default: admin}
  timeout: {description: Seconds until SSH must answer; emulated hosts need more, type: int, default: 90}
"""

RETURN = r"""
running: {description: "Whether each host ran before anything was done, {name: bool}", type: dict, returned: always}
accelerator: {description: "What runs virtual machines: kvm, or tcg (emulation)", type: str, returned: with qemu}
host_keys: {description: "Public SSH keys of the hosts, {name: key}", type: dict, returned: when started}
"""

ARGUMENTS = {
    "lab": {"type": "str", "required": True},
    "directory": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["started", "absent"], "default": "started"},
    "provider": {
        "type": "str",
        "choices": ["auto", "systemd", "cgroup", "qemu"],
        "default": "auto",
    },
    "cpus": {"type": "int", "default": 1},
    "memory_mb": {"type": "int", "default": 1024},
    "machines": {"type": "dict"},
    "image": {"type": "path"},
    "bridge": {"type": "str"},
    "gateway": {"type": "str"},
    "names": {"type": "dict", "default": {}},
    "authorized_key": {"type": "str"},
    "user": {"type": "str", "default": "admin"},
    "timeout": {"type": "int", "default": 90},
}

NETWORK = """\
[Match]
Name=host0 eth0

[Network]
Address={address}/24
Gateway={gateway}
LinkLocalAddressing=no
IPv6AcceptRA=no
"""


class Machine:
    """One host: what it is, with its disk below `directory`, and the starter that runs it."""

    def __init__(self, params, name):
        self.params = params
        self.name = name
        self.address = (params["machines"] or {}).get(name)
        self.body = body_for(params, name)
        self.root = self.body.root
        self.console = Path(params["directory"], name, "console.log")
        self.starter = starter_for(params["provider"], params["lab"], name)

    def running(self):
        """Say whether the host is alive and its disk is where it belongs."""
        return self.starter.running() and self.body.there()

    def answers(self):
        """Say whether the host's SSH server greets."""
        try:
            with socket.create_connection((self.address, 22), timeout=1) as link:
                link.settimeout(10)  # of an emulated host
                return link.recv(4) == b"SSH-"
        except OSError:
            return False

    def start(self):
        """Boot the host and wait until SSH greets."""
        self._stop()
        self.body.prepare()
        self._identify()
        self.starter.start(self.body.boot(), self.console)
        wait_until(lambda: self.answers() or not self.starter.running(), self.params["timeout"])
        if not self.answers():
            said = (
                self.console.read_bytes().decode(errors="replace") if self.console.exists() else ""
            )
            raise LabError(
                f"{self.name} does not answer on {self.address}:22; it {'runs' if self.starter.running() else 'ended'} "
                f"(timeout: {self.params['timeout']} s). For more, type: {self.starter.look}\n"
                "The end of its console:\n" + "\n".join(said.splitlines()[-15:])
            )

    def _stop(self):
        """End the host, and take its cable away, which stays for as long as anything is in the host's network."""
        self.starter.stop()
        cable = self.body.cable
        subprocess.run(["ip", "link", "delete", "dev", cable], capture_output=True, check=False)

    def _write(self, path, text, mode=0o644):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        target.chmod(mode)

    def _identify(self):
        """Give the disk what makes it this host. Host keys stay when it is booted again."""
        p = self.params
        known = {**p["names"], **p["machines"]}
        names = "".join(f"{address} {name}\n" for name, address in sorted(known.items()))
        self._write("etc/hostname", f"{self.name}\n")
        self._write("etc/hosts", f"127.0.0.1 localhost\n{names}")
        # Before 80-container-host0.network, which would ask for DHCP.
        self._write("etc/systemd/network/10-lab.network", NETWORK.format(address=self.address, **p))
        if not self.host_key():
            key = self.root / "etc/ssh/ssh_host_ed25519_key"
            key.parent.mkdir(parents=True, exist_ok=True)
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", str(key))
        home = self.root / "home" / p["user"]
        self._write(f"home/{p['user']}/.ssh/authorized_keys", f"{p['authorized_key']}\n", 0o600)
        owner = Path(p["image"], "home", p["user"]).stat()
        for path in (home / ".ssh", home / ".ssh/authorized_keys"):
            os.chown(path, owner.st_uid, owner.st_gid)
        (home / ".ssh").chmod(stat.S_IRWXU)

    def host_key(self):
        """Return the host's public key, or an empty string before it has one."""
        path = self.root / "etc/ssh/ssh_host_ed25519_key.pub"
        return " ".join(path.read_text(encoding="ascii").split()[:2]) if path.exists() else ""

    def remove(self):
        """End the host and delete its disk."""
        self._stop()
        self.body.remove()


def names_left(params):
    """Return the names of all hosts of the lab of which anything is left."""
    directory = Path(params["directory"])
    disks = {path.name for path in directory.iterdir()} if directory.exists() else set()
    return sorted(disks | names_started(params["provider"], params["lab"]))


def start(module, pool):
    """Boot what does not run; return the module's result."""
    virtual = module.params["provider"] == "qemu"
    if virtual:
        module.params["accelerator"] = accelerator()
    machines = [Machine(module.params, name) for name in module.params["machines"]]
    running = list(pool.map(lambda machine: machine.running() and machine.answers(), machines))
    dead = [machine for machine, runs in zip(machines, running) if not runs]
    if not module.check_mode:
        list(pool.map(Machine.start, dead))
    return {
        "changed": bool(dead),
        "running": {machine.name: runs for machine, runs in zip(machines, running)},
        "host_keys": {machine.name: machine.host_key() for machine in machines},
        **({"accelerator": module.params["accelerator"]} if virtual else {}),
    }


def remove(module, pool):
    """Throw everything away that is left of the lab's hosts; return the module's result."""
    machines = [Machine(module.params, name) for name in names_left(module.params)]
    running = {machine.name: machine.running() for machine in machines}
    if not module.check_mode:
        list(pool.map(Machine.remove, machines))
        finish(module.params["provider"], module.params["lab"])
    return {"changed": bool(machines), "running": running}


def main():
    """Run the module."""
    needed = ["machines", "image", "bridge", "gateway", "authorized_key"]
    module = AnsibleModule(
        ARGUMENTS, supports_check_mode=True, required_if=[("state", "started", needed)]
    )
    verb = start if module.params["state"] == "started" else remove
    try:
        with ThreadPoolExecutor(8) as pool:
            result = verb(module, pool)
    except (LabError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
