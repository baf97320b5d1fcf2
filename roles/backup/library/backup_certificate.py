#!/usr/bin/python
"""Ansible module: the key and certificate by which a host is known to the one it shares backups with."""

from __future__ import annotations

import datetime
import grp
import os
import shutil
import tempfile
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
YEARS = 10
SKEW = datetime.timedelta(days=1)  # the other host's clock may be slow, and this one's fast
# What openssl's own authority wants, the only part of it that says when a certificate begins, before openssl 3.4.
SIGNING = """\
[ca]
default_ca = own
[own]
database = {scratch}/index
new_certs_dir = {scratch}
rand_serial = yes
default_md = sha256
policy = named
x509_extensions = extensions
[named]
commonName = supplied
[extensions]
subjectKeyIdentifier = hash
basicConstraints = critical, CA:true
"""


def made(module, name, key, certificate):
    """Make a key and a certificate of it."""
    began = datetime.datetime.now(datetime.timezone.utc) - SKEW
    ends = began + datetime.timedelta(days=365 * YEARS)
    with tempfile.TemporaryDirectory(dir=module.tmpdir) as scratch:
        settings, request = Path(scratch, "settings"), str(Path(scratch, "request"))
        settings.write_text(SIGNING.format(scratch=scratch), encoding="ascii")
        Path(scratch, "index").touch()
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        asks = ["openssl", "req", "-new", *kind, "-subj", f"/CN={name}"]
        signs = ["openssl", "ca", "-batch", "-notext", "-selfsign"]
        signs += ["-config", str(settings), "-keyfile", str(key), "-in", request]
        times = ["-startdate", f"{began:%Y%m%d%H%M%SZ}", "-enddate", f"{ends:%Y%m%d%H%M%SZ}"]
        module.run_command([*asks, "-keyout", str(key), "-out", request], check_rc=True)
        module.run_command([*signs, *times, "-out", str(certificate)], check_rc=True)


def let_in(module, directory):
    """Let the group into a directory that was made under a strict umask; return whether it was shut out."""
    if not directory.is_dir():
        return False
    seen = directory.stat()
    mine = [group.gr_name for group in grp.getgrall() if group.gr_gid == seen.st_gid]
    wanted = 0o050 if module.params["group"] in mine else 0o055
    if seen.st_mode & wanted == wanted:
        return False
    if not module.check_mode:
        directory.chmod(seen.st_mode & 0o7777 | wanted)
    return True


def main():
    """Run the module."""
    arguments = {"type": "str", "required": True}
    module = AnsibleModule(
        {"directory": {"type": "path", "required": True}, "name": arguments, "group": arguments},
        supports_check_mode=True,
    )
    directory, name = Path(module.params["directory"]), module.params["name"]
    certificate, key = directory / "own.crt", directory / "own.key"
    shut = let_in(module, directory)
    asked = ["openssl", "x509", "-noout", "-checkend", YEAR, "-in", str(certificate)]
    # Of the ways to write a name, one that all of openssl's versions write alike.
    asked += ["-subject", "-nameopt", "RFC2253", "-pubkey"]
    code, out, _ = module.run_command(asked)
    _, public, _ = module.run_command(["openssl", "pkey", "-pubout", "-in", str(key)])
    if code == 0 and f"subject=CN={name}" in out.splitlines() and public and public in out:
        module.exit_json(changed=shut, certificate=certificate.read_text("ascii"))
    if module.check_mode:
        module.exit_json(changed=True, certificate="")
    os.umask(0o022)  # root's own may be stricter, and the group has to come in
    directory.mkdir(mode=0o755, exist_ok=True)
    os.umask(0o077)
    new = {path: path.with_suffix(path.suffix + ".new") for path in (key, certificate)}
    made(module, name, new[key], new[certificate])
    for path, mode in ((key, 0o640), (certificate, 0o644)):
        shutil.chown(new[path], "root", module.params["group"])
        new[path].chmod(mode)
        with new[path].open("rb") as file:
            os.fsync(file.fileno())
        new[path].replace(path)
    module.exit_json(changed=True, certificate=certificate.read_text("ascii"))


if __name__ == "__main__":
    main()
