"""Lookup: secrets that are made on first use, and kept in one file."""

from __future__ import annotations

import fcntl
import os
import secrets
import string
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.parsing.yaml.dumper import AnsibleDumper
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: secret
short_description: A secret that is made on first use
description:
  - Secrets are kept in one YAML file, which its owner alone may read; one that others may read, and that is not
    encrypted, is refused.
  - Where Ansible was given a vault password, the file is encrypted with it, as C(ansible-vault view) shows it.
  - A secret made here has 32 letters and digits, 190 bits.
options:
  _terms:
    description: Names of secrets.
    required: true
  file:
    description: Path of the file, which is made when it is needed.
    type: str
    required: true
  default:
    description: What a secret is that is not there yet, instead of one that is made. It is not written down.
    type: str
  initial:
    description: What a secret is that is not there yet, instead of one that is made here.
    type: str
  value:
    description: What the secret is from now on; "new" for one that is made.
    type: str
"""

RETURN = """
_raw:
  description: The secrets.
  type: list
"""

LETTERS = string.ascii_letters + string.digits


def made() -> str:
    """Return a new secret."""
    return "".join(secrets.choice(LETTERS) for _ in range(32))


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **options: Any
    ) -> list[str]:
        """Return the secrets; AnsibleError where their file cannot be read or written."""
        self.set_options(var_options=variables, direct=options)
        path = Path(self.get_option("file"))
        default, value = self.get_option("default"), self.get_option("value")
        initial = self.get_option("initial")
        try:
            known = self._read(path)
            if value is None and all(term in known for term in terms):
                return [known[term] for term in terms]
            if value is None and default is not None:
                return [known.get(term, default) for term in terms]
            with locked(path.parent):
                known = self._read(path)  # another process may have made them meanwhile
                for term in terms:
                    if value is not None:
                        known[term] = made() if value == "new" else value
                    known.setdefault(term, initial or made())
                self._write(path, known)
        except OSError as error:
            told = (
                f"{path} cannot be used: {error.strerror}. Valid is a file of your own: chmod 600"
            )
            raise AnsibleError(told) from error
        return [known[term] for term in terms]

    def _read(self, path: Path) -> dict[str, str]:
        if not path.exists():
            return {}
        if path.stat().st_mode & 0o077 and not path.read_bytes().startswith(b"$ANSIBLE_VAULT"):
            told = f"{path} can be read by others. Type: chmod 600 {path}, or ansible-vault encrypt {path}"
            raise AnsibleError(told)
        known = self._loader.load_from_file(str(path), cache="none") or {}
        return {name: str(value) for name, value in known.items()}

    def _write(self, path: Path, known: dict[str, str]) -> None:
        text = "# Made by greenrack. Not for git.\n" + yaml.dump(known, Dumper=AnsibleDumper)
        vault = self._loader._vault
        if vault.secrets:
            text = vault.encrypt(text).decode()
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".secrets.")  # 0600
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
        Path(partial).replace(path)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time in."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
