"""Jinja filters: which variables there are, from the roles' argument specs and the shipped inventories."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.common.yaml import yaml_load  # in C, where PyYAML has that


def content(path):
    """Return what is in a YAML file."""
    return yaml_load(path.read_text(encoding="utf-8"))


def argument_specs(roles_path):
    """Return {role: {variable: its spec}} of the roles in a directory, of their first entry points.

    Without defaults, which are templates that only the role itself can fill in, and what is for people.
    """
    found = {}
    for path in sorted(Path(roles_path).glob("*/meta/argument_specs.yml")):
        specs = content(path)["argument_specs"]
        options = next(iter(specs.values()))["options"]
        found[path.parts[-3]] = {
            name: {
                key: value for key, value in option.items() if key not in ("default", "description")
            }
            for name, option in options.items()
        }
    return found


def shipped_variables(inventories):
    """Return the names of the variables of the inventories we ship, from their directory.

    Not of the operator's own: a typo there must not make itself known.
    """
    directory = Path(inventories)
    shipped = [directory / "topology.yml", *directory.glob("example/group_vars/all/*.yml")]
    return sorted({name for path in shipped for name in content(path)})


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Return the filters by name."""
        return {"argument_specs": argument_specs, "shipped_variables": shipped_variables}
