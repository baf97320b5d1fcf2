"""Jinja filter: which addresses are in none of some networks."""

from __future__ import annotations

import ipaddress


def outside(addresses, networks):
    """Return the addresses that no network holds; a network that is written otherwise holds none."""
    return [one for one in addresses if not any(_holds(network, one) for network in networks)]


def _holds(network, address):
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Return the filters by name."""
        return {"outside": outside}
