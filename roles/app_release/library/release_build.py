#!/usr/bin/python
"""Ansible module, run on the controller: builds a release and the wheels of its lock file."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.greenrack_source import Refused, check_source, digest_of
from ansible.module_utils.greenrack_wheels import Target, check_needs, fetch

DOCUMENTATION = r"""
module: release_build
short_description: Build on the controller what an application's hosts will get
description:
  - Checks the application without running it, names its content by hash, and packs it.
  - Fetches the wheels of the lock file for the host's Python; what comes as pure Python source is built.
  - Everything is cached by content, and written whole or not at all.
options:
  source: {description: Folder that is released, type: path, required: true}
  requirements: {description: Lock file inside the folder, type: str, required: true}
  callables: {description: "WSGI callables, module:attribute", type: list, elements: str, required: true}
  needs: {description: Distributions the lock file must name, type: list, elements: str, default: []}
  cache: {description: Where results are kept, type: path, required: true}
  python: {description: "The host's Python, such as 3.11", type: str, required: true}
  machine: {description: "The host's hardware name, such as x86_64", type: str, required: true}
  libc: {description: "The host's glibc, such as 2.36", type: str, required: true}
"""

RETURN = r"""
release: {description: Name of the release, type: str, returned: success}
environment: {description: Name of the environment, type: str, returned: success}
release_archive: {description: Path of the packed code, type: path, returned: success}
environment_archive: {description: Path of the packed wheels, type: path, returned: success}
"""

ARGUMENTS = {
    "source": {"type": "path", "required": True},
    "requirements": {"type": "str", "required": True},
    "callables": {"type": "list", "elements": "str", "required": True},
    "needs": {"type": "list", "elements": "str", "default": []},
    "cache": {"type": "path", "required": True},
    "python": {"type": "str", "required": True},
    "machine": {"type": "str", "required": True},
    "libc": {"type": "str", "required": True},
}


def digest(*parts):
    """Return the 12 characters that name content."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def pack(archive, directory, names):
    """Write `names` of `directory` to the tar file `archive`, whole or not at all."""

    def unowned(entry):
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mode = 0o755 if entry.mode & 0o100 else 0o644
        return entry

    partial = archive.with_suffix(".partial")  # the cache's lock is held: nobody else writes it
    with tarfile.open(partial, mode="w:gz", compresslevel=1) as tar:
        for name in names:
            tar.add(directory / name, arcname=str(name), recursive=False, filter=unowned)
    partial.replace(archive)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    checksum_of(archive).write_text(found, encoding="ascii")


def checksum_of(archive):
    """Return the file that holds the archive's checksum."""
    return archive.with_name(f"{archive.name}.sha256")


def intact(archive):
    """Say whether the archive is there as it was written; a disk that was full may have cut it."""
    if not archive.exists() or not checksum_of(archive).exists():
        return False
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    return found == checksum_of(archive).read_text(encoding="ascii")


def build_environment(lock_path, target, archive):
    """Fetch the lock file's wheels for `target` and pack them."""
    directory = Path(tempfile.mkdtemp(dir=archive.parent))
    try:
        fetch(lock_path, target, directory)
        pack(archive, directory, sorted(path.name for path in directory.iterdir()))
    finally:
        shutil.rmtree(directory)


def build(params):
    """Build what is missing; return the module's result."""
    source = Path(params["source"])
    cache = Path(params["cache"])
    lock_path = source / params["requirements"]
    target = Target(params["python"], params["machine"], params["libc"])
    files = check_source(source, params["callables"], params["python"])
    check_needs(lock_path, params["needs"])

    environment = digest(lock_path.read_text(encoding="utf-8"), str(target))
    release = digest(digest_of(source, files), environment)
    environment_archive = cache / f"environment-{environment}.tar.gz"
    release_archive = cache / f"release-{release}.tar.gz"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several hosts want the same thing at the same time
        changed = not (intact(environment_archive) and intact(release_archive))
        if not intact(environment_archive):
            build_environment(lock_path, target, environment_archive)
        if not intact(release_archive):
            pack(release_archive, source, files)
    return {
        "changed": changed,
        "release": release,
        "environment": environment,
        "release_archive": str(release_archive),
        "environment_archive": str(environment_archive),
    }


def main():
    """Run the module."""
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    os.umask(0o022)
    try:
        result = build(module.params)
    except (Refused, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
