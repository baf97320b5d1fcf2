#!/usr/bin/python
"""Ansible module: old releases of an application, and the environments only they need, removed."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: releases_pruned
short_description: Remove old releases
description:
  - Of the releases under C(releases/), and of their static files under C(static/), keeps the newest and those
    that are in use, and of the virtual environments under C(envs/), those that a kept release names.
  - What releases and environments that were not finished have left is removed when it is an hour old.
options:
  path: {description: "The application's directory, such as /srv/demo", type: path, required: true}
  in_use: {description: "Releases that are kept, however old", type: list, elements: str, required: true}
  newest: {description: How many of the newest are kept too, type: int, required: true}
"""

RETURN = r"""
removed: {description: "Directories that were, or would be, removed", type: list, returned: always}
"""

LEFT = ("releases/*.partial", "envs/*.wheels", "envs/*.lock")  # by what was not finished


def whole(folder):
    """Return what is in a folder and complete, the newest first: what is being made has a dot in its name."""
    found = [
        path
        for path in folder.glob("*")
        if path.is_dir() and not path.is_symlink() and "." not in path.name
    ]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def sorted_out(folder, in_use, newest):
    """Return what of a folder is kept, and what is not."""
    found = whole(folder)
    kept = [each for at, each in enumerate(found) if at < newest or each.name in in_use]
    return kept, [each for each in found if each not in kept]


def abandoned(path):
    """Return what tries that failed have left; what is younger than an hour another run may be making."""
    left = [each for kind in LEFT for each in path.glob(kind)]
    return [each for each in left if each.stat().st_mtime < time.time() - 3600]


def superfluous(path, in_use, newest):
    """Return the releases, their static files and environments nobody needs."""
    kept, old = sorted_out(path / "releases", in_use, newest)
    _, static = sorted_out(path / "static", in_use, newest)
    environments = [(each / ".venv").resolve().name for each in kept]
    _, unused = sorted_out(path / "envs", environments, 0)
    return old + static + unused + abandoned(path)


def main():
    """Run the module."""
    module = AnsibleModule(
        {
            "path": {"type": "path", "required": True},
            "in_use": {"type": "list", "elements": "str", "required": True},
            "newest": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    p = module.params
    removed = superfluous(Path(p["path"]), p["in_use"], p["newest"])
    if not module.check_mode:
        for each in removed:
            shutil.rmtree(each) if each.is_dir() else each.unlink()
    module.exit_json(changed=bool(removed), removed=list(map(str, removed)))


if __name__ == "__main__":
    main()
