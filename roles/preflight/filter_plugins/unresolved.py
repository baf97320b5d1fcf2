"""Jinja filter: which values of an application need what nobody has defined."""

from __future__ import annotations

from ansible.errors import AnsibleError
from jinja2 import UndefinedError


def unresolved(given):
    """Return {what: why} of what cannot be filled in; given: {variable: {name: value}}, filled in as it is looked at.

    Where they are used, the error is hidden with the secrets.
    """
    found = {}
    for variable in given:
        name = variable
        try:
            for name in given[variable]:
                str(given[variable][name])
        except (AnsibleError, UndefinedError) as error:
            found[variable if name == variable else f"{variable}.{name}"] = str(error)
    return found


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Return the filters by name."""
        return {"unresolved": unresolved}
