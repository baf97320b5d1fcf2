"""The lookup that says what to type, in real runs of Ansible: it meets the hosts of this run, and tells no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BESIDE = Path(sys.executable).parent
# How a program of Ansible's is started here: from the directory of the project, if that is where it is.
STARTED = str(BESIDE.relative_to(ROOT)) if BESIDE.is_relative_to(ROOT) else str(BESIDE)


def told(tmp_path: Path, *words: str, asked: str = "'site.yml'", **environment: str) -> str:
    """Return what is told to type to whom typed these words."""
    play = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "tasks": [{"debug": {"msg": f"<{{{{ lookup('to_type', {asked}) }}}}>"}}],
        }
    ]
    (tmp_path / "play.json").write_text(json.dumps(play))
    own = {name: value for name, value in os.environ.items() if name != "ANSIBLE_INVENTORY"}
    done = subprocess.run(
        [BESIDE / "ansible-playbook", *words, tmp_path / "play.json"],
        cwd=ROOT,
        env={**own, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.partition("<")[2].partition(">")[0]


def test_of_the_inventory_that_is_taken_without_a_word(tmp_path: Path) -> None:
    assert told(tmp_path) == f"{STARTED}/ansible-playbook site.yml"
    assert told(tmp_path, "-i", "inventories/lab") == told(tmp_path)


def test_what_is_exported_need_not_be_typed(tmp_path: Path) -> None:
    said = told(tmp_path, ANSIBLE_INVENTORY="inventories/single")
    assert said == f"{STARTED}/ansible-playbook site.yml"


def test_of_other_inventories(tmp_path: Path) -> None:
    one = told(tmp_path, "-i", "inventories/single")
    assert one == f"{STARTED}/ansible-playbook -i inventories/single site.yml"
    folder = tmp_path / "with a space"
    folder.mkdir()
    (folder / "hosts.yml").write_text("all: {hosts: {a: }}")
    two = told(tmp_path, "-i", "b,c", "-i", str(folder))
    assert two == f"{STARTED}/ansible-playbook -i b,c -i '{folder}' site.yml"


@pytest.mark.parametrize(
    "typed",
    [
        ["-e", "lab_name=other", "-e", "lab_prefix=10.77.7"],
        ["--extra-vars=server=gunicorn_sync lab_name=other lab_prefix=10.77.7"],
        ["-e", '{"lab_name": "other", "server": "waitress", "lab_prefix": "10.77.7"}'],
    ],
)
def test_of_another_lab_and_no_secret(typed: list[str], tmp_path: Path) -> None:
    said = told(tmp_path, *typed, "-e", "database_password=geheim", "-e", '{"app_secrets": {}}')
    expected = "site.yml -e lab_name=other -e lab_prefix=10.77.7"
    assert said == f"{STARTED}/ansible-playbook {expected}"


def test_how_hosts_and_vaults_are_opened(tmp_path: Path) -> None:
    (tmp_path / "pass").write_text("geheim")
    opened = ["-u", "ada", "--private-key", "key"]
    typed = ["--vault-password-file", str(tmp_path / "pass"), *opened]
    said = told(tmp_path, *typed, "-e", "app_name=shop")
    assert said.split()[1:] == [*typed, "site.yml", "-e", "app_name=shop"]
    asked = "'--graph', program='ansible-inventory'"
    assert told(tmp_path, *typed, asked=asked).split()[1:] == [*typed[:2], "--graph"]


def test_what_is_to_be_typed_otherwise_is(tmp_path: Path) -> None:
    typed = ["-e", "lab_name=A_b", "-e", "lab_prefix=10.77.7"]
    said = told(tmp_path, *typed, asked="'playbooks/lab_up.yml -e lab_name=b'")
    assert said.endswith(
        "ansible-playbook playbooks/lab_up.yml -e lab_name=b -e lab_prefix=10.77.7"
    )


def test_of_another_program(tmp_path: Path) -> None:
    said = told(
        tmp_path, "-i", "inventories/single", asked="'--graph', program='ansible-inventory'"
    )
    assert said == f"{STARTED}/ansible-inventory -i inventories/single --graph"
    shown = subprocess.run(said.split(), cwd=ROOT, capture_output=True, text=True)
    assert "box1" in shown.stdout


def test_as_it_was_started(tmp_path: Path) -> None:
    """By its name, from a directory of PATH; by this, where a playbook runs another by ansible-core's own module."""
    path = f"{BESIDE}:{os.environ['PATH']}"
    play = tmp_path / "play.json"
    told(tmp_path)
    for command in (["ansible-playbook"], [sys.executable, "-m", "ansible.cli.playbook"]):
        done = subprocess.run(
            [*command, play],
            cwd=ROOT,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
        )
        said = done.stdout.partition("<")[2].partition(">")[0]
        assert said in (f"{STARTED}/ansible-playbook site.yml", "ansible-playbook site.yml")
