#!/usr/bin/python
"""Ansible module: several small files at once, each written whole and only if it is valid."""

from __future__ import annotations

from ansible.module_utils import greenrack_files
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: config_files
short_description: Write configuration files, all in one step
description:
  - One connection for all files of a role, where C(template) takes two for each.
  - No file is written before every one of them was found valid.
options:
  files:
    description: The files.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Where it goes, type: path, required: true}
      content: {description: What is in it, type: str}
      secret: {description: "What is in it, kept out of logs and diffs", type: str}
      mode: {description: Octal permissions, type: str, default: "0644"}
      owner: {description: User it belongs to, type: str, default: root}
      group: {description: Group it belongs to, type: str, default: root}
      keep: {description: "Whether what is there first is kept, as PATH.before-greenrack", type: bool, default: false}
      validate: {description: "Shell command that must succeed, with %s for a file with the new content", type: str}
"""

RETURN = r"""
paths: {description: The files that were, or would be, changed, type: list, returned: always}
"""


def main():
    """Run the module."""
    arguments = {"files": {**greenrack_files.argument(), "required": True}}
    module = AnsibleModule(arguments, supports_check_mode=True)
    paths, diff = greenrack_files.bring_up_to_date(module, module.params["files"])
    module.exit_json(changed=bool(paths), paths=paths, diff=diff)


if __name__ == "__main__":
    main()
