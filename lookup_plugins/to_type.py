"""Lookup: what to type for a playbook, so that it meets the hosts of this run."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from ansible import constants, context
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: to_type
short_description: What to type for a playbook, so that it meets the hosts of this run
description:
  - Returns ansible-playbook as it was started, the inventory where it is not the one that is taken without -i,
    what follows, and what was typed with -e of a lab, which has another name or other addresses by it.
  - Passwords, vaults and other variables are left out; they may be secrets.
options:
  _terms:
    description: What follows the program, such as C(site.yml -e server=uwsgi_gevent), or C(--graph).
    required: true
  program:
    description: The program, where it is another one of Ansible's.
    default: ansible-playbook
"""


def here(path: str) -> str:
    """Return a path as it is typed in this directory."""
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path


def started(program: str) -> str:
    """Return how to start a program of Ansible's that is beside the one that runs."""
    own = Path(sys.argv[0]) if Path(sys.argv[0]).name == "ansible-playbook" else sys.executable
    path = here(str(Path(own).with_name(program).absolute()))
    return program if Path(path).is_absolute() and shutil.which(program) == path else path


def options() -> tuple[list[str], list[str]]:
    """Return the inventories, and of what was typed with -e what says which lab is meant."""
    sources = list(context.CLIARGS.get("inventory") or [])
    if sources == list(constants.DEFAULT_HOST_LIST):
        sources = []
    typed = [str(given) for given in context.CLIARGS.get("extra_vars") or []]
    words = [word for given in typed if given[:1] not in "@{[" for word in given.split()]
    return sources, [word for word in words if word.startswith("lab_")]


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
        sources, lab = options()
        before = [word for source in sources for word in ("-i", here(source))]
        start = shlex.join([started(program), *before])
        told = []
        for term in terms:
            # What it says itself of the lab is what is meant.
            after = [word for word in lab if word.partition("=")[0] + "=" not in term]
            told.append(" ".join([start, term, *(f"-e {shlex.quote(word)}" for word in after)]))
        return told
