"""Jinja filter: which variables are not alike on all hosts, and on which they are another."""

from __future__ import annotations

from ansible.errors import AnsibleError
from jinja2 import UndefinedError

FEW = 4  # hosts that are named


def differing(hosts, names):
    """Return sentences about variables that differ, in the order of names; hosts: the variables of each of them.

    What one of them cannot work out is not asked here: who needs it says so.
    """
    told = []
    for name in names:
        found = {}
        try:
            for host in hosts:
                value = str(host[name]) if name in host else ""
                found.setdefault(value, []).append(host["inventory_hostname"])
        except (AnsibleError, UndefinedError):
            continue
        if len(found) > 1:
            places = ", and another on ".join(map(_named, found.values()))
            told.append(f"{name} is one thing on {places}")
    return told


def _named(hosts):
    """Return hosts as they are told, the first of them by name."""
    more = len(hosts) - FEW
    return ", ".join(hosts[:FEW]) + (f" and {more} more" if more > 0 else "")


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Return the filters by name."""
        return {"differing": differing}
