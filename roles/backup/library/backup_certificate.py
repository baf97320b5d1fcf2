#!/usr/bin/python
"""Ansible module: the key and certificate by which a host is known to the one it shares backups with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: backup_certificate
short_description: Make a host's key and self-signed certificate, once
description:
  - The key never leaves the host. The other host is told the certificate, and trusts no other.
  - It is made anew when it is for another name, of another key, or ends within a year.
options:
  directory: {description: Where they are kept, type: path, required: true}
  name: {description: "The certificate's common name, what the other host calls this one", type: str, required: true}
  group: {description: Group that may read the key, type: str, required: true}
"""

RETURN = r"""
certificate: {description: "PEM; empty in a dry run that would make it", type: str, returned: always}
"""

YEAR = str(365 * 24 * 3600)  # seconds


def main():
    """Run the module."""
    arguments = {"type": "str", "required": True}
    module = AnsibleModule(
        {"directory": {"type": "path", "required": True}, "name": arguments, "group": arguments},
        supports_check_mode=True,
    )
    directory, name = Path(module.params["directory"]), module.params["name"]
    certificate, key = directory / "own.crt", directory / "own.key"
    asked = ["openssl", "x509", "-noout", "-checkend", YEAR, "-in", str(certificate)]
    # Of the ways to write a name, one that all of openssl's versions write alike.
    asked += ["-subject", "-nameopt", "RFC2253", "-pubkey"]
    code, out, _ = module.run_command(asked)
    _, public, _ = module.run_command(["openssl", "pkey", "-pubout", "-in", str(key)])
    if code == 0 and f"subject=CN={name}" in out.splitlines() and public and public in out:
        module.exit_json(changed=False, certificate=certificate.read_text("ascii"))
    if module.check_mode:
        module.exit_json(changed=True, certificate="")
    directory.mkdir(mode=0o755, exist_ok=True)
    os.umask(0o077)
    made = {path: path.with_suffix(path.suffix + ".new") for path in (key, certificate)}
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650"]
    files = ["-keyout", str(made[key]), "-out", str(made[certificate])]
    command = ["openssl", "req", "-x509", *kind, "-subj", f"/CN={name}", *files]
    module.run_command(command, check_rc=True)
    for path, mode in ((key, 0o640), (certificate, 0o644)):
        shutil.chown(made[path], "root", module.params["group"])
        made[path].chmod(mode)
        with made[path].open("rb") as file:
            os.fsync(file.fileno())
        made[path].replace(path)
    module.exit_json(changed=True, certificate=certificate.read_text("ascii"))


if __name__ == "__main__":
    main()
