#!/usr/bin/python
"""Ansible module: a lab's bridge, its NAT to Debian's mirror, and nothing else."""

from __future__ import annotations

import ipaddress
import json
import re
import shutil
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.greenrack_lab import LabError, run

DOCUMENTATION = r"""
module: lab_network
short_description: Make or remove the network of a lab
description:
  - A bridge with the controller's address, and an nftables table that lets the lab's hosts reach
    the Debian mirror of their image over NAT, and nothing else outside their own bridge.
options:
  lab: {description: Name of the lab, type: str, required: true}
  bridge: {description: Name of the bridge, type: str, required: true}
  gateway: {description: The controller's IPv4 address in the lab's /24, type: str, required: true}
  state: {description: What it should be, type: str, choices: [present, absent], default: present}
  directory: {description: Directory of the lab where the mirror's addresses are noted, type: path, required: true}
  image: {description: Directory of the image whose apt sources name the mirror, type: path}
"""

RETURN = r"""
mirrors: {description: Host names of the mirror with one address each, type: dict, returned: when present}
"""

ARGUMENTS = {
    "lab": {"type": "str", "required": True},
    "bridge": {"type": "str", "required": True},
    "gateway": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "image": {"type": "path"},
    "directory": {"type": "path", "required": True},
}

RULES = """\
table ip {table} {{
  set mirror {{ type ipv4_addr ; {elements} }}
  chain postrouting {{
    type nat hook postrouting priority srcnat
    ip saddr {subnet} oifname != "{bridge}" masquerade
  }}
  chain forward {{
    type filter hook forward priority filter
    iifname "{bridge}" oifname "{bridge}" accept
    oifname "{bridge}" ct state established,related accept
    iifname "{bridge}" ip daddr @mirror tcp dport {{ 80, 443 }} accept
    iifname "{bridge}" reject with icmp type admin-prohibited
    oifname "{bridge}" drop
  }}
  chain input {{
    type filter hook input priority filter
    iifname "{bridge}" ct state established,related accept
    iifname "{bridge}" icmp type echo-request accept
    iifname "{bridge}" reject with icmp type admin-prohibited
  }}
}}
"""


def mirrors_of(image):
    """Return {host name: [IPv4 address, ...]} for the apt sources of the image."""
    sources = [
        Path(image, "etc/apt/sources.list"),
        *Path(image, "etc/apt/sources.list.d").glob("*"),
    ]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources if path.is_file())
    urls = re.findall(r"https?://\S+", re.sub("#.*", "", text))
    names = {urlsplit(url).hostname for url in urls}
    found = {}
    for name in sorted(names):
        try:
            answers = socket.getaddrinfo(name, 80, socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            raise LabError(
                f"The controller cannot resolve {name}, the Debian mirror the lab's hosts install "
                f"from ({error}). Check the controller's DNS, or set lab_mirror to one it knows."
            ) from error
        found[name] = sorted({answer[4][0] for answer in answers})
    return found


class Network:
    """The bridge, the nftables table and the forwarding of one lab."""

    def __init__(self, params):
        self.bridge = params["bridge"]
        self.table = f"greenrack_{params['lab']}".replace("-", "_")
        self.gateway = params["gateway"]
        self.subnet = ipaddress.ip_network(f"{self.gateway}/24", strict=False)
        self.image = params["image"]
        self.notes = Path(params["directory"], "mirrors.json")

    def _bridge_addresses(self):
        shown = subprocess.run(
            ["ip", "-json", "-4", "address", "show", "dev", self.bridge],
            capture_output=True,
            text=True,
            check=False,
        )
        if shown.returncode != 0:
            return None
        return [
            f"{a['local']}/{a['prefixlen']}"
            for x in json.loads(shown.stdout)
            for a in x["addr_info"]
        ]

    def _has_table(self):
        return bool(shutil.which("nft")) and f"table ip {self.table}\n" in run(
            "nft", "list", "tables"
        )

    def present(self):
        """Say whether everything is in place."""
        addresses = self._bridge_addresses()
        return (
            bool(addresses)
            and f"{self.gateway}/24" in addresses
            and self._has_table()
            and self.notes.exists()
        )

    def partly_present(self):
        """Say whether anything is left to remove."""
        return self._bridge_addresses() is not None or self._has_table()

    def refuse_overlap(self):
        """Raise LabError when the lab's subnet is somebody else's already."""
        for route in json.loads(run("ip", "-json", "-4", "route")):
            if route["dst"] == "default" or route.get("dev") == self.bridge:
                continue
            if ipaddress.ip_network(route["dst"], strict=False).overlaps(self.subnet):
                raise LabError(
                    f"The lab's subnet {self.subnet} overlaps {route['dst']} on {route.get('dev')}. "
                    "Choose another one: -e lab_prefix=10.77.7 (the first three numbers of a /24)."
                )

    def create(self):
        """Make bridge, rules and forwarding; what is there already is made anew, except the bridge."""
        self.refuse_overlap()
        mirrors = mirrors_of(self.image)
        addresses = self._bridge_addresses()
        if addresses is None:
            run("ip", "link", "add", self.bridge, "type", "bridge")
            # The rules are for IPv4, so there is nothing else on the bridge.
            ipv6 = Path("/proc/sys/net/ipv6/conf", self.bridge, "disable_ipv6")
            if ipv6.exists():
                ipv6.write_text("1", encoding="ascii")
        if f"{self.gateway}/24" not in (addresses or []):
            run("ip", "address", "add", f"{self.gateway}/24", "dev", self.bridge)
        run("ip", "link", "set", self.bridge, "up")
        self._drop_table()
        addresses = ", ".join(sorted({a for found in mirrors.values() for a in found}))
        rules = RULES.format(
            table=self.table,
            subnet=self.subnet,
            bridge=self.bridge,
            elements=f"elements = {{ {addresses} }} ;" if addresses else "",
        )
        run("nft", "-f", "-", stdin=rules)
        for device in (self.bridge, self._uplink()):
            self._forwarding(device).write_text("1", encoding="ascii")
        self.notes.parent.mkdir(parents=True, exist_ok=True)
        self.notes.write_text(json.dumps(mirrors), encoding="utf-8")

    def mirrors(self):
        """Return {host name: address}, as the hosts' /etc/hosts takes it."""
        noted = json.loads(self.notes.read_text(encoding="utf-8"))
        return {name: addresses[0] for name, addresses in noted.items()}

    def remove(self):
        """Take rules and bridge away, and forwarding too when nobody else is using it."""
        self._drop_table()
        if self._bridge_addresses() is not None:
            run("ip", "link", "delete", self.bridge)
        others = shutil.which("nft") and "table ip greenrack_" in run("nft", "list", "tables")
        wanted_by_all = Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="ascii").strip()
        if not others and wanted_by_all == "0":
            self._forwarding(self._uplink()).write_text("0", encoding="ascii")

    def _drop_table(self):
        if self._has_table():
            run("nft", "delete", "table", "ip", self.table)

    @staticmethod
    def _forwarding(device):
        return Path("/proc/sys/net/ipv4/conf", device, "forwarding")

    @staticmethod
    def _uplink():
        routes = json.loads(run("ip", "-json", "-4", "route", "show", "default"))
        if not routes:
            raise LabError(
                "The controller has no default route, so lab hosts cannot reach a mirror."
            )
        return routes[0]["dev"]


def main():
    """Run the module."""
    module = AnsibleModule(
        ARGUMENTS, supports_check_mode=True, required_if=[("state", "present", ["image"])]
    )
    network = Network(module.params)
    result = {}
    try:
        if module.params["state"] == "present":
            result["changed"] = not network.present()
            if result["changed"] and not module.check_mode:
                network.create()
            result["mirrors"] = network.mirrors() if network.notes.exists() else {}
        else:
            result["changed"] = network.partly_present()
            if result["changed"] and not module.check_mode:
                network.remove()
    except (LabError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
