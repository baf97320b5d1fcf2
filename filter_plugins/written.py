"""Jinja filter: whether files are on a host already, so that a task about them need not ask it."""

from __future__ import annotations

import hashlib


def as_written(files, there):
    """Return whether each of C(config_files)' files is as C(host_facts) saw it, in its C(files).

    files: a list of {path, content, mode, owner, group}, of which the last three may be missing.
    there: {path: "MODE OWNER GROUP SHA256"} of the files the host had.
    """
    wanted = {}
    for file in files:
        # As the module writes it.
        digest = hashlib.sha256((file["content"].rstrip("\n") + "\n").encode()).hexdigest()
        who = f"{file.get('owner', 'root')} {file.get('group', 'root')}"
        wanted[file["path"]] = f"{file.get('mode', '0644')} {who} {digest}"
    return {path: there.get(path) for path in wanted} == wanted


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Return the filters by name."""
        return {"as_written": as_written}
