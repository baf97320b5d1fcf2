"""Inventories of applications that are not the demo, on hosts of a lab."""

from pathlib import Path

import yaml

from tests.stack.lab import ROOT

# As an operator would say it: of how connections are shared, ansible.cfg's word is left alone.
REACHED = {
    "ansible_user": "admin",
    "ansible_become": True,  # which is not meant for the controller
    "ansible_ssh_common_args": "-F {{ lab_dir }}/ssh/config -o ControlPath={{ lab_dir }}/ssh/%C",
}


def write(folder, groups, variables):
    """Write an inventory as docs/your-own-hosts.md describes it.

    groups: {group: {host: last number of its address}}; variables: what its app.yml says.
    """
    everywhere = folder / "group_vars" / "all"
    everywhere.mkdir(parents=True)
    children = {
        group: {
            "hosts": {
                name: {"ansible_host": "{{ lab_prefix }}.%d" % last}  # noqa: UP031
                for name, last in hosts.items()
            }
        }
        for group, hosts in groups.items()
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump({"lab": {"children": children}}))
    (everywhere / "app.yml").write_text(yaml.safe_dump(variables))
    links = {
        everywhere / "00_topology.yml": "topology.yml",
        everywhere / "lab.yml": "lab/group_vars/all/lab.yml",
        everywhere / "secrets.yml": "lab/group_vars/all/secrets.yml",
    }
    (folder / "group_vars" / "lab.yml").write_text(yaml.safe_dump(REACHED))
    for link, target in links.items():
        Path(link).symlink_to(ROOT / "inventories" / target)
    return str(folder)
