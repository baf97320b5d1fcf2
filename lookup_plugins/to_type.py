"""Lookup: what to type for a playbook, so that it meets the hosts of this run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from ansible import constants, context
from ansible.plugins.lookup import LookupBase
from ansible.utils.vars import load_extra_vars

DOCUMENTATION = """
name: to_type
short_description: What to type for a playbook, so that it meets the hosts of this run
description:
  - Returns ansible-playbook as it was started, the inventory where it is not the one that is taken without -i, how
    hosts and vaults are opened, what follows, and what was given with -e of which hosts or application is meant.
  - Other variables are left out; they may be secrets.
options:
  _terms:
    description: What follows the program, such as C(site.yml -e server=uwsgi_gevent), or C(--graph).
    required: true
  program:
    description: The program, where it is another one of Ansible's.
    default: ansible-playbook
"""

# Options that were typed, and how they are.
VAULTS = {
    "vault_password_files": "--vault-password-file",
    "vault_ids": "--vault-id",
    "ask_vault_pass": "--ask-vault-pass",
}
HOSTS = {
    "remote_user": "-u",
    "private_key_file": "--private-key",
    "ask_pass": "-k",
    "connection_password_file": "--connection-password-file",
    "become_ask_pass": "-K",
    "become_password_file": "--become-password-file",
}
MEANT = re.compile("lab_|app_name$").match


def here(path: str) -> str:
    """Return a path as it is typed in this directory."""
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path


def started(program: str) -> str:
    """Return how to start a program of Ansible's that is beside the one that runs."""
    own = Path(sys.argv[0]) if Path(sys.argv[0]).name == "ansible-playbook" else sys.executable
    path = here(str(Path(own).with_name(program).absolute()))
    return program if Path(path).is_absolute() and shutil.which(program) == path else path


def options(program: str) -> list[str]:
    """Return the options of this run by which the program meets its hosts, and reads what is encrypted."""
    sources = list(context.CLIARGS.get("inventory") or [])
    if sources == list(constants.DEFAULT_HOST_LIST):
        sources = []
    words = [word for source in sources for word in ("-i", here(source))]
    for name, option in {**VAULTS, **(HOSTS if program == "ansible-playbook" else {})}.items():
        value = context.CLIARGS.get(name)
        for one in value if isinstance(value, list | tuple) else [value]:
            words += [option] if one is True else [option, here(str(one))] if one else []
    return words


class LookupModule(LookupBase):
    """What Ansible looks for."""

    def run(
        self,
        terms: list[str],
        variables: dict[str, Any] | None = None,
        program: str = "ansible-playbook",
        **kwargs: Any,
    ) -> list[str]:
        """Return what to type, one for each term."""
        start = shlex.join([started(program), *options(program)])
        given = load_extra_vars(self._loader).items()
        meant = [
            (name, f"-e {shlex.quote(f'{name}={value}')}") for name, value in given if MEANT(name)
        ]
        # What a term says itself of them is what is meant.
        return [
            " ".join([start, term, *(word for name, word in meant if f"{name}=" not in term)])
            for term in terms
        ]
