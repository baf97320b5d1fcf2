"""Jinja filters: what of an application's environment is secret, and texts without it."""

from __future__ import annotations

import re
from urllib.parse import unquote

from ansible.module_utils.common.parameters import remove_values

SHORTEST = 4  # characters: hiding shorter ones would hide half of what is said
URL_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^\s:/@]*:([^\s/@]+)@", re.IGNORECASE)


def secrets_in(environment, secrets):
    """Return what must not be shown: the values of secrets, and the passwords of URLs in environment.

    environment, secrets: {NAME: value}, of which the second may be a part of the first. What an error
    may tell in several ways is there in each: with percent signs, with escapes, a line of several alone.
    """
    found = []
    for value in (str(value) for value in secrets.values() if value not in (None, True, False)):
        found += [value, repr(value)[1:-1], *value.splitlines()]
    for value in [*environment.values(), *secrets.values()]:
        for password in URL_PASSWORD.findall(str(value)):
            found += [password, unquote(password)]
    return sorted({secret for secret in found if len(secret) >= SHORTEST})


def hide(text, secrets):
    """Return the text with asterisks for what C(secrets_in) has found, as Ansible's no_log writes them."""
    return remove_values(str(text), set(secrets))


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Return the filters by name."""
        return {"secrets_in": secrets_in, "hide": hide}
