#!/usr/bin/python
"""Ansible module, run on the controller: builds a release and the wheels of its lock file."""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
from pathlib import Path

from ansible.module_utils import greenrack_git
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.greenrack_cache import locked
from ansible.module_utils.greenrack_source import Refused, check_source, digest_of
from ansible.module_utils.greenrack_wheels import Target, check_needs, fetch, lock_of

DOCUMENTATION = r"""
module: release_build
short_description: Build on the controller what an application's hosts will get
description:
  - Checks the application without running it, names its content by hash, and packs it.
  - A release has one name on all hosts, which tells their environments too: where a host gets another Python, or a host
    that has another one joins them, it is another release, and those there were keep theirs.
  - Fetches the wheels of the lock file for the host's Python; what comes as pure Python source is built.
  - Requirements without hashes are resolved once, with what is needed besides; what came out is kept in the cache.
  - Everything is cached by content, and written whole or not at all.
options:
  source: {description: "Folder that is released, or URL of a git repository", type: str, required: true}
  ref: {description: "Branch, tag or commit; required of a URL; empty for a folder's files", type: str, default: ""}
  folder: {description: Folder inside it that is the application, type: str, default: ""}
  requirements: {description: Lock file inside the application, type: str, required: true}
  callables: {description: "WSGI callables, module:attribute[()]", type: list, elements: str, required: true}
  static: {description: "What nginx serves by itself, {URL path: folder in the application}", type: dict, default: {}}
  shared: {description: Directories that all releases share, type: list, elements: str, default: []}
  needs: {description: Distributions the lock file must name, type: list, elements: str, default: []}
  extras: {description: Distributions added to requirements without hashes, type: list, elements: str, default: []}
  cache: {description: Where results are kept, type: path, required: true}
  python: {description: "The host's Python, such as 3.11", type: str, required: true}
  machine: {description: "The host's hardware name, such as x86_64", type: str, required: true}
  libc: {description: "The host's glibc, such as 2.36", type: str, required: true}
  others: {description: "Those three of all hosts the release is for", type: list, elements: dict, default: []}
"""

RETURN = r"""
release: {description: Name of the release, type: str, returned: success}
environment: {description: Name of the environment, type: str, returned: success}
release_archive: {description: Path of the packed code, type: path, returned: success}
environment_archive: {description: Path of the packed wheels, type: path, returned: success}
static_archive: {description: "Path of the static files, named as their URLs; or empty", type: str, returned: success}
left: {description: "Files not in a new release, for app_shared names them", type: list, returned: success}
commit: {description: "The commit; empty for a folder's files as they are", type: str, returned: success}
"""

ARGUMENTS = {
    "source": {"type": "str", "required": True},
    "ref": {"type": "str", "default": ""},
    "folder": {"type": "str", "default": ""},
    "requirements": {"type": "str", "required": True},
    "callables": {"type": "list", "elements": "str", "required": True},
    "static": {"type": "dict", "default": {}},
    "shared": {"type": "list", "elements": "str", "default": []},
    "needs": {"type": "list", "elements": "str", "default": []},
    "extras": {"type": "list", "elements": "str", "default": []},
    "cache": {"type": "path", "required": True},
    "python": {"type": "str", "required": True},
    "machine": {"type": "str", "required": True},
    "libc": {"type": "str", "required": True},
    "others": {"type": "list", "elements": "dict", "default": []},
}


def digest(*parts):
    """Return the 12 characters that name content."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def folders(names):
    """Return the folders that names are in, the upper ones first."""
    return sorted({str(folder) for name in names for folder in list(Path(name).parents)[:-1]})


def pack(archive, directory, names):
    """Write files of `directory` to the tar file `archive`, whole or not at all; {what it is called there: name}."""

    def unowned(entry):
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mode = 0o755 if entry.mode & 0o100 else 0o644
        return entry

    partial = archive.with_suffix(".partial")  # the cache's lock is held: nobody else writes it
    with tarfile.open(partial, mode="w:gz", compresslevel=1) as tar:
        for folder in folders(names):  # else a host's umask would say who may enter them
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(unowned(entry))
        for called, name in names.items():
            tar.add(directory / name, arcname=called, recursive=False, filter=unowned)
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


def pack_environment(lock, target, archive):
    """Fetch the lock file's wheels for `target` and pack them."""
    with tempfile.TemporaryDirectory(dir=archive.parent) as made:
        directory = Path(made)
        fetch(lock, target, directory)
        pack(archive, directory, {path.name: path.name for path in sorted(directory.iterdir())})


def environments_of(params, requirements, cache):
    """Return {target: name of its environment} of all hosts the release is for."""
    found = {}
    for host in [params, *params["others"]]:
        target = Target(host["python"], host["machine"], host["libc"])
        lock = lock_of(requirements, params["extras"], target, cache)
        found[str(target)] = digest(lock.read_text(encoding="utf-8"), str(target))
    return found


def static_names(source, files, static):
    """Return {what it is called as nginx's: file}; refuse a URL path or a folder that cannot be."""
    names = {}
    for url, folder in sorted(static.items()):  # of two, the longer path says what a file is
        below = [file for file in files if Path(folder) in file.parents]
        if not url.startswith("/") or not url.strip("/") or not below:
            raise Refused(
                f"app_static has '{url}: {folder}'. Valid is a path below / and a folder with files in {source}, "
                "such as /static/: shop/static"
            )
        for file in below:
            names[str(Path(url.strip("/")) / file.relative_to(folder))] = file
    return names


def build(params, source, cache):
    """Build what is missing of the release in the folder `source`; return the module's result."""
    target = Target(params["python"], params["machine"], params["libc"])
    served = params["static"].values()
    files = check_source(
        source, params["callables"], params["python"], served, committed=bool(params["ref"])
    )
    shared = list(map(Path, params["shared"]))
    left = [file for file in files if any(each in (file, *file.parents) for each in shared)]
    files = sorted(set(files) - set(left))
    static = static_names(source, files, params["static"])
    lock = lock_of(source / params["requirements"], params["extras"], target, cache)
    check_needs(lock, params["needs"])

    environments = environments_of(params, source / params["requirements"], cache)
    environment = environments[str(target)]
    release = digest(
        digest_of(source, files),
        *sorted(set(environments.values())),
        *map(str, params["static"].items()),
        *params["shared"],
        # Under the name without it, such a release had each file once.
        *(["a file twice"] if len(set(static.values())) < len(static) else []),
    )
    environment_archive = cache / f"environment-{environment}.tar.gz"
    release_archive = cache / f"release-{release}.tar.gz"
    static_archive = cache / f"static-{release}.tar.gz"
    wanted = [environment_archive, release_archive, *([static_archive] if static else [])]
    missing = [archive for archive in wanted if not intact(archive)]
    if environment_archive in missing:
        pack_environment(lock, target, environment_archive)
    if release_archive in missing:
        pack(release_archive, source, {str(name): name for name in files})
    if static_archive in missing:
        pack(static_archive, source, static)
    return {
        "changed": bool(missing),
        "left": [str(file) for file in left if file.name[0] != "."]
        if release_archive in missing
        else [],
        "release": release,
        "environment": environment,
        "release_archive": str(release_archive),
        "environment_archive": str(environment_archive),
        "static_archive": str(static_archive) if static else "",
    }


def build_commit(params, cache):
    """Build the release of a commit; return the module's result."""
    directory, prefix = greenrack_git.repository(params["source"], params["ref"], cache)
    commit = greenrack_git.commit_of(directory, params["ref"])
    with tempfile.TemporaryDirectory(dir=cache) as made:
        files = Path(made) / "commit"
        greenrack_git.unpack(directory, commit, files)
        source = files / prefix / params["folder"]
        try:
            greenrack_git.check_whole(directory, commit, files, source)
            return {**build(params, source, cache), "commit": commit}
        except Refused as error:
            told = f"{params['source']}, {params['ref']}: {params['folder'] or '.'}"
            raise Refused(str(error).replace(str(source), told)) from error


def run(params):
    """Build the release; return the module's result."""
    cache = Path(params["cache"])
    with locked(cache):  # several hosts want the same thing at the same time
        if params["ref"]:
            return build_commit(params, cache)
        return {**build(params, Path(params["source"]) / params["folder"], cache), "commit": ""}


def main():
    """Run the module."""
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    os.umask(0o022)
    try:
        result = run(module.params)
    except (Refused, OSError) as error:
        module.fail_json(msg=str(error))
    if result["left"]:
        named = ", ".join(result["left"][:3]) + (", ..." if len(result["left"]) > 3 else "")
        module.warn(
            f"app_shared names what the application has files in, which are not released: {named}. Its directories "
            "are the host's own, and begin empty."
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
