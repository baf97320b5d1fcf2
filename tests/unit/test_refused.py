"""A run that would do less than was typed, or do it to nobody, is refused before any host is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
# What an operator types after the name of the playbook, where it wants something.
CHANGES = {
    "site.yml": [],
    "playbooks/backup.yml": [],
    "playbooks/benchmark.yml": [],
    "playbooks/measure.yml": [],
    "playbooks/release.yml": [],
    "playbooks/restore.yml": [],
    "playbooks/rollback.yml": [],
    "playbooks/rotate_secrets.yml": [],
    "playbooks/run.yml": ["-e", "command=true"],
    "playbooks/verify.yml": [],
}
# Whoever reaches the same hosts is refused by the same play, and one of them is typed for all.
ALIKE = {
    ("preflight.yml", False): "site.yml",
    ("preflight.yml", True): "playbooks/release.yml",
    ("preflight_database.yml", False): "playbooks/backup.yml",
}
# These ask something of their own first.
BEFORE = ["playbooks/benchmark.yml", "playbooks/run.yml"]


def typed(inventory: Path | str, playbook: str, *words: str) -> tuple[int, str]:
    """Run a playbook; return its code, and what it says as one line. No host of these can be reached."""
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [program, "-i", inventory, playbook, *CHANGES[playbook], *words],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_TIMEOUT": "1"},
        capture_output=True,
        text=True,
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def written(folder: Path, *groups: str) -> Path:
    """Write an inventory with a host of its own in each group, as inventories/example has them otherwise."""
    hosts = {name: {"hosts": {f"{name}1": {"ansible_host": "192.0.2.1"}}} for name in groups}
    for part in (ROOT / "inventories/example/group_vars/all").iterdir():
        link = folder / "group_vars/all" / part.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(part)
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": hosts}}))
    return folder


def test_an_inventory_that_does_not_exist_is_refused() -> None:
    """By Ansible, as ansible.cfg has it, before it reads any playbook."""
    code, said = typed("inventories/mien", "site.yml")
    assert code != 0, said
    assert "Unable to parse" in said
    assert "inventories/mien as an inventory source" in said
    assert "PLAY" not in said


@pytest.mark.parametrize("playbook", [*ALIKE.values(), *BEFORE])
def test_an_inventory_without_any_of_the_groups_is_refused(playbook: str, tmp_path: Path) -> None:
    code, said = typed(written(tmp_path, "web"), playbook)
    assert code != 0, said
    assert "has no host in any of proxy, app" in said
    assert "Valid is one as inventories/example shows it" in said
    assert "ansible-inventory -i" in said


@pytest.mark.parametrize("playbook", sorted(CHANGES.keys() - BEFORE))
def test_every_other_playbook_begins_as_one_of_these(playbook: str) -> None:
    first = yaml.safe_load((ROOT / playbook).read_text())[0]
    imported = Path(first["ansible.builtin.import_playbook"]).name
    assert (imported, "greenrack_reached" in first.get("vars", {})) in ALIKE
    assert first.keys() <= {"name", "ansible.builtin.import_playbook", "vars"}


def test_an_inventory_without_any_host_is_refused(tmp_path: Path) -> None:
    code, said = typed(written(tmp_path), "site.yml")
    assert code != 0, said
    assert "has no host in any of proxy, app" in said


@pytest.mark.parametrize(
    "playbook",
    ["site.yml", "playbooks/backup.yml", "playbooks/release.yml", "playbooks/run.yml"],
)
def test_a_limit_that_leaves_nobody_is_refused(playbook: str, tmp_path: Path) -> None:
    """Of the groups, and of a playbook that needs less than all of them."""
    other = "load1" if playbook == "playbooks/release.yml" else "web1"
    inventory = written(tmp_path, "web", "app", "proxy", "database", "backup", "load")
    code, said = typed(inventory, playbook, "--limit", other)
    assert code != 0, said
    assert f"--limit {other} leaves none of" in said
    assert "Leave --limit out" in said


@pytest.mark.parametrize("group", ["app", "proxy"])
def test_an_inventory_with_half_of_the_application_is_refused(group: str, tmp_path: Path) -> None:
    code, said = typed(written(tmp_path, group), "playbooks/release.yml")
    missing = {"app": "proxy", "proxy": "app"}[group]
    assert code != 0, said
    assert f"The inventory has no host in: {missing}." in said


@pytest.mark.parametrize(
    "playbook", ["playbooks/backup.yml", "playbooks/restore.yml", "playbooks/rotate_secrets.yml"]
)
def test_what_is_done_to_a_database_needs_one(playbook: str, tmp_path: Path) -> None:
    code, said = typed(written(tmp_path, "app", "proxy", "api"), playbook)
    assert code != 0, said
    assert "The inventory has no host in: database." in said


@pytest.mark.parametrize(
    ("playbook", "part"),
    [
        ("playbooks/backup.yml", "database"),
        ("playbooks/backup.yml", "backup"),
        ("playbooks/restore.yml", "database"),
        ("playbooks/rotate_secrets.yml", "database"),
        ("playbooks/measure.yml", "load"),
    ],
)
def test_a_limit_that_leaves_out_what_it_is_for_is_refused(
    playbook: str, part: str, tmp_path: Path
) -> None:
    inventory = written(tmp_path, "app", "proxy", "database", "backup", "load")
    code, said = typed(inventory, playbook, "--limit", f"all:!{part}")
    assert code != 0, said
    assert f"--limit leaves out {part}1." in said


@pytest.mark.parametrize(
    ("playbook", "given", "cure"),
    [
        ("site.yml", {"release": "3f2a"}, 'playbooks/rollback.yml -e \'{"release": "3f2a"}\''),
        ("playbooks/release.yml", {"release": "3f2a"}, "playbooks/rollback.yml -e "),
        ("playbooks/run.yml", {"release": "3f2a"}, "playbooks/rollback.yml -e "),
        ("site.yml", {"command": "flask routes"}, 'run.yml -e \'{"command": "flask routes"}\''),
        ("playbooks/rollback.yml", {"command": "flask routes"}, "playbooks/run.yml -e "),
        ("playbooks/rollback.yml", {"release": "3f2a"}, ""),
        ("playbooks/run.yml", {"command": "flask routes"}, ""),
    ],
)
def test_what_another_playbook_takes_is_refused(
    playbook: str, given: dict[str, str], cure: str, tmp_path: Path
) -> None:
    right = {"app_source": str(ROOT / "app/demo"), "app_schema": ""}
    more = ["-e", json.dumps(given | right), "-e", "ansible_ssh_timeout=1"]
    _, said = typed(written(tmp_path, "app", "proxy"), playbook, *more)
    (name,) = given
    wrong = f"{name} is for playbooks/{'rollback' if name == 'release' else 'run'}.yml"
    assert (wrong in said) is bool(cure), said
    assert cure in said
    # Where it is right, hosts are asked, which are none.
    assert ("hosts cannot be reached" in said) is (not cure), said


def test_what_one_group_alone_is_told_is_refused(tmp_path: Path) -> None:
    """The groups are called as parts of the application are, and yet others go by what is said of them."""
    inventory = written(tmp_path, "app", "proxy", "database", "api")
    told = {
        "app": {"app_timeout": 120, "app_static": {"/static/": "static"}, "app_workers": 4},
        "api": {"slow_api_port": 9000},
        "database": {"postgresql_port": 5433},
        "proxy": {"tls": "selfsigned", "nginx_slow_client": 5},
    }
    for group, given in told.items():
        (inventory / f"group_vars/{group}.yml").write_text(yaml.safe_dump(given))
    right = {"app_source": str(ROOT / "app/demo"), "app_schema": ""}
    code, said = typed(inventory, "site.yml", "-e", json.dumps(right))
    assert code != 0, said
    assert "app_timeout is one thing on proxy1, api1, database1, and another on app1" in said
    assert "app_static is one thing on proxy1, api1, database1, and another on app1" in said
    assert "slow_api_port is one thing on proxy1, app1, database1, and another on api1" in said
    assert "postgresql_port is one thing on proxy1, app1, api1, and another on database1" in said
    assert "; tls is one thing on proxy1, and another on app1, api1, database1. The stack" in said
    assert "group_vars/all and in no other file" in said
    assert "app_workers" not in said
    assert "nginx_slow_client" not in said


@pytest.mark.parametrize(
    ("playbook", "given", "refused"),
    [
        ("playbooks/measure.yml", {"nginx_rate_limit": 5, "nginx_connection_limit": 0}, True),
        ("playbooks/measure.yml", {"nginx_connection_limit": 3}, True),
        ("playbooks/measure.yml", {"nginx_rate_limit": 5, "proxy": False}, False),
        (
            "playbooks/measure.yml",
            {"nginx_rate_limit": 5, "nginx_rate_exempt": ["x", "192.0.2.0/24"]},
            False,
        ),
        ("site.yml", {"nginx_rate_limit": 5}, False),
    ],
)
def test_a_load_that_nginx_would_limit_is_refused(
    playbook: str, given: dict[str, object], refused: bool, tmp_path: Path
) -> None:
    right = {"app_source": str(ROOT / "app/demo"), "app_schema": "", "ansible_ssh_timeout": 1}
    inventory = written(tmp_path, "app", "proxy", "load")
    code, said = typed(inventory, playbook, "-e", json.dumps(given | right))
    assert code != 0, said
    (limit,) = [f"{name} {value}" for name, value in given.items() if "limit" in name and value]
    assert (f"{limit} would limit the load itself, which comes from 192.0.2.1" in said) is refused
    assert ('put nginx_rate_exempt: ["192.0.2.1"] into group_vars/all' in said) is refused
    # Where it is right, hosts are asked, which are none.
    assert ("hosts cannot be reached" in said) is not refused
