"""Lookup: the options of this ansible-playbook run, for another one within it."""

from __future__ import annotations

from pathlib import Path

from ansible import context
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: same_options
short_description: Options of this run, for another one within it
description:
  - Returns the words of inventory, extra variables, vault, user, key, password files and SSH options, as typed.
  - Raises an error where a password was asked for, since nobody answers the runs within.
options:
  _terms:
    description: None are taken.
"""

# What was typed as the option on the right; several times, if it can be.
TYPED = {
    "inventory": "-i",
    "vault_password_files": "--vault-password-file",
    "vault_ids": "--vault-id",
    "remote_user": "-u",
    "private_key_file": "--private-key",
    "become_method": "--become-method",
    "become_user": "--become-user",
    "become_password_file": "--become-password-file",
    "connection_password_file": "--connection-password-file",
    "ssh_common_args": "--ssh-common-args",
    "ssh_extra_args": "--ssh-extra-args",
    "extra_vars": "-e",
}
ASKED = {
    "become_ask_pass": ("--ask-become-pass", "--become-password-file FILE"),
    "ask_pass": ("--ask-pass", "--connection-password-file FILE"),
    "ask_vault_pass": ("--ask-vault-pass", "--vault-password-file FILE"),
}


class LookupModule(LookupBase):
    """What Ansible looks for."""

    def run(self, terms, variables=None, **kwargs):
        """Return the options as a list of words."""
        given = context.CLIARGS
        for name, (asked, instead) in ASKED.items():
            if given.get(name):
                raise AnsibleError(
                    f"{asked} asks for a password, and the benchmark runs playbooks that cannot ask. Type: {instead}"
                )
        words = []
        for name, option in TYPED.items():
            value = given.get(name)
            several = value if isinstance(value, list | tuple) else [value]
            for one in several:
                word = absolute(one) if name == "vault_ids" else str(one)
                if one:  # a word that begins with - would be taken for an option
                    words += [f"{option}={word}"] if option.startswith("--") else [option, word]
        return words


def absolute(vault_id):
    """Return a vault id whose file is found from another directory too; raise where it asks for a password."""
    label, _, source = vault_id.rpartition("@")
    if source == "prompt":
        raise AnsibleError(
            f"--vault-id {vault_id} asks for a password, and the benchmark runs playbooks that cannot ask. "
            f"Type: --vault-id {label}@FILE"
        )
    return f"{label}@{Path(source).absolute()}" if label else str(Path(source).absolute())
