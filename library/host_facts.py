#!/usr/bin/python
"""Ansible module: the few facts greenrack decides by, in one look at the host."""

from __future__ import annotations

import grp
import hashlib
import os
import platform
import pwd
import re
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from ansible.module_utils import greenrack_firewall, greenrack_programs, greenrack_theirs
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.greenrack_programs import addresses, installed, sshd, system_python

DOCUMENTATION = r"""
module: host_facts
short_description: Gather what a deploy decides by
description:
  - Faster than C(setup), and knows which systemd unit holds a listening port.
options:
  disks: {description: "Paths written to, {path: MiB wanted free, for all below it too}", type: dict, default: {}}
  directories: {description: Directories whose entries are wanted, type: list, elements: path, default: []}
  files: {description: Files of which it is wanted what they are, type: list, elements: path, default: []}
  notes: {description: Files whose first line is wanted, type: list, elements: path, default: []}
  units: {description: "systemd units that are wanted, such as nginx.service", type: list, elements: str, default: []}
  believed: {description: File of certificates whose digests are wanted, type: path, default: /etc/greenrack/tls/ca.crt}
"""

RETURN = r"""
ansible_facts:
  description: "One fact, C(greenrack), with the keys below."
  returned: always
  type: dict
  contains:
    distribution: {description: "ID of os-release, such as debian", type: str}
    release: {description: "VERSION_ID of os-release, such as 12; empty for testing", type: str}
    codename: {description: "VERSION_CODENAME of os-release, such as bookworm", type: str}
    machine: {description: "Hardware name, such as x86_64", type: str}
    python: {description: "Version of /usr/bin/python3, such as 3.11", type: str}
    libc: {description: "Version of the C library, such as 2.36", type: str}
    cpus: {description: Processors a service may use, type: int}
    systemd: {description: Whether systemd runs the host, type: bool}
    python_apt: {description: Whether Ansible's apt module can look before it changes, type: bool}
    users: {description: "Users of the host, {name: home directory}", type: dict}
    members: {description: "Users in groups that are not their own, {group: [user]}", type: dict}
    packages: {description: Debian packages that are installed, type: list}
    disks:
      description: "File systems, each {holds: paths, under: topmost, free_mb, wanted_mb, free_inodes, wanted_inodes}"
      type: list
    somaxconn: {description: The longest queue of connections a socket may have, type: int}
    entries: {description: "Names in each directory, none where there is no directory", type: dict}
    files: {description: "What each file is that there is, {path: MODE OWNER GROUP SHA256}", type: dict}
    notes: {description: "The first line of each file that there is, {path: line}", type: dict}
    firewall: {description: "Whether role firewall's table is loaded, and will be after a reboot", type: bool}
    opened: {description: "What it lets in besides services, {tcp: [port], udp: [port]}", type: dict}
    units: {description: "Each unit's {active: bool, environment: {NAME: value}}", type: dict}
    listeners: {description: "TCP ports listened on, {port: units, parted by a space}; a unit may be empty", type: dict}
    believed: {description: "The SHA-256 of each certificate in that file, as it is written there", type: list}
    exposed: {description: "Those that are listened on not only for the host itself", type: list}
    ipv6: {description: Whether its kernel knows IPv6, type: bool}
    exposed_udp: {description: "UDP ports the same, but for DHCP's", type: list}
    sudo: {description: Whether there is sudo, type: bool}
    sshd: {description: "What sshd makes of its configuration, line by line, such as x11forwarding no", type: list}
    theirs: {description: "What programs do for somebody else, {program: what our files would end}", type: dict}
    addresses: {description: "Addresses of the host's interfaces, but for the loopback's", type: list}
"""


def os_release():
    """Return os-release as a dict."""
    text = Path("/etc/os-release").read_text(encoding="utf-8")
    return dict(re.findall(r'^(\w+)="?(.*?)"?$', text, re.M))


def there(path):
    """Return the path, or what is nearest above it of what exists."""
    path = Path(path)
    while not path.exists():
        path = path.parent
    return path


def disks(wanted):
    """Return a dict for each file system that paths are on; what a path wants is for those below it too."""
    found = {}
    for path, megabytes in sorted(wanted.items()):
        place = there(path)
        disk = found.setdefault(place.stat().st_dev, {"under": [], "holds": [], "wanted_mb": 0})
        disk["holds"].append(path)
        if not any(Path(above) in Path(path).parents for above in disk["under"]):
            disk["under"].append(path)
            room = os.statvfs(place)
            megabytes = max(disk["wanted_mb"], int(megabytes))
            disk |= {"free_mb": room.f_bavail * room.f_frsize // 2**20, "wanted_mb": megabytes}
            # The demo's release and environment are 3,600 files, where 512 MiB are wanted. Some have no fixed number.
            inodes = 10 * megabytes if room.f_files else 0
            disk |= {"free_inodes": room.f_favail, "wanted_inodes": inodes}
    return list(found.values())


def entries(path):
    """Return the names in a directory; none if there is no directory."""
    return sorted(os.listdir(path)) if os.path.isdir(path) else []  # noqa: PTH112, PTH208


def name_of(look_up, number):
    """Return the name of a user or a group, or the number of one that is gone."""
    try:
        return look_up(number)[0]
    except KeyError:
        return str(number)


def files(paths):
    """Return {path: "MODE OWNER GROUP SHA256"} of the files that exist."""
    found = {}
    for path in map(Path, paths):
        if path.is_file():
            now = path.stat()
            who = f"{name_of(pwd.getpwuid, now.st_uid)} {name_of(grp.getgrgid, now.st_gid)}"
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path)] = f"{now.st_mode & 0o7777:04o} {who} {digest}"
    return found


def notes(paths):
    """Return {path: first line} of the files that exist."""
    found = {}
    for path in map(Path, paths):
        with suppress(OSError), path.open(encoding="utf-8", errors="replace") as lines:
            found[str(path)] = lines.readline().rstrip("\n")
    return found


# The loopback as the kernel's tables write it: each four bytes are a number, in the host's order.
LOOPBACK = re.compile(
    "^(......7F|0{24}01000000|0{16}FFFF0000......7F)$"
    if sys.byteorder == "little"
    else "^(7F......|0{31}1)$"
)
DHCP = {68, 546}  # its client's, which the firewall lets through
LISTENING = "tcp", "0A"
LENT = 32768  # the kernel's lowest port for whoever wants any


def sockets(protocol, state):
    """Return (inode, port, whether other hosts may reach it) of all tcp or udp sockets in a state of the kernel's."""
    found = []
    for table in (f"/proc/net/{protocol}", f"/proc/net/{protocol}6"):
        if not Path(table).exists():
            continue
        for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == state:
                address, port = fields[1].rsplit(":", 1)
                found.append((fields[9], int(port, 16), not LOOPBACK.match(address)))
    return found


def held():
    """Return the inodes of all sockets that processes have open."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            found.update(sockets_of(process))
    return found


def ipv6():
    """Return whether the kernel makes sockets of IPv6."""
    try:
        socket.socket(socket.AF_INET6).close()
    except OSError:
        return False
    return True


def exposed_udp():
    """Return the UDP ports other hosts reach; of those that are lent to programs, the kernel's own: a tunnel's."""
    reached = [(inode, port) for inode, port, exposed in sockets("udp", "07") if exposed]
    programs = held() if any(port >= LENT for _, port in reached) else ()
    kept = {port for inode, port in reached if port < LENT or inode not in programs}
    return sorted(kept - DHCP)


def unit_of(process):
    """Return the systemd unit a process (its directory in /proc) belongs to, or an empty string."""
    units = re.findall(
        r"([^/\n]+\.(?:service|scope|socket))", (process / "cgroup").read_text("utf-8")
    )
    return units[-1] if units else ""


def sockets_of(process):
    """Return the inodes of the sockets a process (its directory in /proc) has open."""
    found = []
    for link in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed, as busy servers do
            found += re.findall(r"^socket:\[(\d+)\]$", os.readlink(link))  # noqa: PTH115
    return found


def listeners():
    """Return {port: units} of all listening TCP sockets, parted by a space; a unit is empty if it cannot be told."""
    inodes = {inode: str(port) for inode, port, _ in sockets(*LISTENING)}
    found = {port: set() for port in inodes.values()}
    # PID 1 comes last: it holds the sockets of socket units, and the service's own name is worth more.
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: path.name == "1"):
        try:
            for inode in inodes.keys() & set(sockets_of(process)):
                if process.name != "1" or not found[inodes[inode]]:
                    found[inodes[inode]].add(unit_of(process))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    known = greenrack_programs.socket_units() if {"init.scope"} in found.values() else {}
    found |= {port: {unit} for port, unit in known.items() if found.get(port) == {"init.scope"}}
    return {port: " ".join(sorted(units)) for port, units in found.items()}


def units(names):
    """Return {name: whether it is active, and its environment as {NAME: value}} of systemd units."""
    if not names:
        return {}
    command = ["systemctl", "show", "--property=Id,ActiveState,Environment", *names]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = {}
    for block in filter(None, shown.strip().split("\n\n")):
        unit = dict(line.split("=", 1) for line in block.splitlines())
        words = [word.split("=", 1) for word in unit.get("Environment", "").split() if "=" in word]
        active = unit["ActiveState"] not in ("inactive", "failed")
        found[unit["Id"]] = {"active": active, "environment": dict(words)}
    return found


def believed(path):
    """Return a digest of each certificate in a file, none if there is no file."""
    text = Path(path).read_text("ascii", "replace") if Path(path).exists() else ""
    found = re.findall(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----", text)
    return [hashlib.sha256(one.encode()).hexdigest() for one in found]


def main():
    """Run the module."""
    module = AnsibleModule(
        {
            "disks": {"type": "dict", "default": {}},
            "directories": {"type": "list", "elements": "path", "default": []},
            "files": {"type": "list", "elements": "path", "default": []},
            "notes": {"type": "list", "elements": "path", "default": []},
            "units": {"type": "list", "elements": "str", "default": []},
            "believed": {"type": "path", "default": "/etc/greenrack/tls/ca.crt"},
        },
        supports_check_mode=True,
    )
    release = os_release()
    packages = installed()
    facts = {
        "distribution": release.get("ID", ""),
        "release": release.get("VERSION_ID", ""),
        "codename": release.get("VERSION_CODENAME", ""),
        "machine": platform.machine(),
        "python": system_python(),
        "libc": platform.libc_ver()[1],
        "cpus": len(os.sched_getaffinity(0)),
        "systemd": Path("/run/systemd/system").is_dir(),
        "users": {user.pw_name: user.pw_dir for user in pwd.getpwall()},
        "members": {group.gr_name: group.gr_mem for group in grp.getgrall() if group.gr_mem},
        "packages": packages,
        "python_apt": "python3-apt" in packages,
        "disks": disks(module.params["disks"]),
        "somaxconn": int(Path("/proc/sys/net/core/somaxconn").read_text("ascii")),
        "entries": {path: entries(path) for path in module.params["directories"]},
        "files": files(module.params["files"]),
        "notes": notes(module.params["notes"]),
        "firewall": greenrack_firewall.stands(),
        "opened": greenrack_firewall.opened(),
        "listeners": listeners(),
        "exposed": sorted({port for _, port, exposed in sockets(*LISTENING) if exposed}),
        "exposed_udp": exposed_udp(),
        "ipv6": ipv6(),
        "sshd": sshd(),
        "theirs": greenrack_theirs.theirs(),
        "sudo": shutil.which("sudo") is not None,
        "addresses": addresses(),
        "units": units(module.params["units"]),
        "believed": believed(module.params["believed"]),
    }
    module.exit_json(changed=False, ansible_facts={"greenrack": facts})


if __name__ == "__main__":
    main()
