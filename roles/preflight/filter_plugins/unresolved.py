"""Jinja filters: an application's values that need what nobody has defined, and names and values it cannot be told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

from ansible.errors import AnsibleError
from jinja2 import UndefinedError

# These say names. Any other error may say what was given, and that may be a secret.
SAFE = re.compile(r"'\w+' is undefined|object of type '\w+' has no attribute '\w+'")
# systemd leaves out any other, and these are the servers' own.
NAME = re.compile(r"(?!PYTHONPATH$|GREENRACK_)[A-Za-z_][A-Za-z0-9_]*")
LATER = "'app_release_build' is undefined"  # it is made after this is asked


def unresolved(given):
    """Return {what: why} of what cannot be filled in; given: {variable: {name: value}}, filled in as it is looked at.

    Where they are used, the error is hidden with the secrets.
    """
    found = {}
    for variable in given:
        try:
            values = given[variable]
            for name in values if isinstance(values, Mapping) else ():
                _look(found, f"{variable}.{name}", values, name)
        except (AnsibleError, UndefinedError) as error:
            found[variable] = _told(error)
    return found


def misnamed(given):
    """Return what has a name that an application cannot be told; given: as C(unresolved) takes it."""
    return [what for what, name, _ in _each(given) if not NAME.fullmatch(str(name))]


def wordless(given):
    """Return what has a value that is no text and no number: an application would be told Python's word for it."""
    found = []
    for what, name, values in _each(given):
        with suppress(AnsibleError, UndefinedError):  # C(unresolved) tells it
            value = values[name]
            several = isinstance(value, (Mapping, Sequence)) and not isinstance(value, str)
            found += [what] if several or value is None or isinstance(value, bool) else []
    return found


def _each(given):
    """Yield what each value is called, its name, and what it is in."""
    for variable in given:
        with suppress(AnsibleError, UndefinedError):  # C(unresolved) tells it
            values = given[variable]
            for name in values if isinstance(values, Mapping) else ():
                yield f"{variable}.{name}", name, values


def _look(found, what, values, name):
    """Note why a value cannot be filled in, if it cannot."""
    try:
        str(values[name])
    except (AnsibleError, UndefinedError) as error:
        if str(error) != LATER:
            found[what] = _told(error)


def _told(error):
    """Return what may be told of an error."""
    return str(error) if SAFE.fullmatch(str(error)) else "it cannot be filled in"


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Return the filters by name."""
        return {"unresolved": unresolved, "misnamed": misnamed, "wordless": wordless}
