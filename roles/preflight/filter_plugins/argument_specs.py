"""Jinja filter: the argument specs of all roles."""

from __future__ import annotations

from pathlib import Path

import yaml


def argument_specs(roles_path):
    """Return {role: {variable: its spec}} of the roles in a directory, the main entry points'.

    Without defaults: those are templates that only the role itself can fill in.
    """
    found = {}
    for path in sorted(Path(roles_path).glob("*/meta/argument_specs.yml")):
        options = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"][
            "options"
        ]
        found[path.parts[-3]] = {
            name: {key: value for key, value in option.items() if key != "default"}
            for name, option in options.items()
        }
    return found


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Return the filters by name."""
        return {"argument_specs": argument_specs}
