#!/usr/bin/python
"""Ansible module, run on the controller: which commit a branch or a tag is now."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils import greenrack_git
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.greenrack_cache import locked
from ansible.module_utils.greenrack_source import Refused

DOCUMENTATION = r"""
module: release_commit
short_description: Say which commit a branch, a tag or a shorter name means now
description:
  - Of a folder, in the repository it is in. Of a URL, in a mirror in the cache, which is brought up to date first.
options:
  source: {description: "Folder in a git repository, or URL of one", type: str, required: true}
  ref: {description: "Branch, tag or commit", type: str, required: true}
  cache: {description: Where mirrors are kept, type: path, required: true}
"""

RETURN = r"""
commit: {description: Full name of the commit, type: str, returned: success}
"""

ARGUMENTS = {
    "source": {"type": "str", "required": True},
    "ref": {"type": "str", "required": True},
    "cache": {"type": "path", "required": True},
}


def main():
    """Run the module."""
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    source, ref, cache = module.params["source"], module.params["ref"], Path(module.params["cache"])
    try:
        with locked(cache):
            directory, _ = greenrack_git.repository(source, ref, cache)
            commit = greenrack_git.commit_of(directory, ref)
    except (Refused, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, commit=commit)


if __name__ == "__main__":
    main()
