"""Jinja filter: which variables are most likely another one's name, misspelt."""

from __future__ import annotations

import difflib


def likely_typos(names, known):
    """Return {name: the known name it is closest to} for names that are unknown, but nearly known.

    Ansible ignores a variable nobody reads, so a typo would silently leave the default in force.
    """
    known = set(known)
    found = {}
    for name in set(names) - known:
        swapped = [other for other in known if sorted(other) == sorted(name)]
        begun = [other for other in sorted(known) if "_" in name and other.startswith(f"{name}_")]
        closest = swapped or difflib.get_close_matches(name, known, n=1, cutoff=0.86) or begun
        if closest and not name.startswith(("ansible_", "_")):
            found[name] = closest[0]
    return dict(sorted(found.items()))


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Return the filters by name."""
        return {"likely_typos": likely_typos}
