"""The files that say how a lab's hosts are reached, as ssh reads them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from render import render

HOSTS = {"app1": "10.89.0.21", "db1": "10.89.0.41"}


def understood(config: Path, host: str) -> dict[str, str]:
    """Return the settings ssh would use for a host."""
    if not shutil.which("ssh"):
        pytest.skip("no ssh here to read the file: apt install openssh-client")
    command = ["ssh", "-G", "-F", str(config), host]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


@pytest.mark.parametrize("host", [*HOSTS, *HOSTS.values()])
def test_a_host_is_reached_by_name_and_by_address(host: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    given = {"lab_hosts": HOSTS, "lab_dir": str(tmp_path), "lab_user": "root2"}
    path.write_text(render("lab", "config.j2", **given))
    settings = understood(path, host)
    assert settings["hostname"] == HOSTS.get(host, host)
    assert settings["user"] == "root2"
    assert settings["identityfile"] == f"{tmp_path}/ssh/id_ed25519"
    assert settings["userknownhostsfile"] == f"{tmp_path}/ssh/known_hosts"
    assert settings["stricthostkeychecking"] in ("yes", "true")
    assert settings["identitiesonly"] == "yes"


def test_each_hosts_key_is_known_by_its_address() -> None:
    keys = {"host_keys": {"app1": "ssh-ed25519 AAAA1", "db1": "ssh-ed25519 AAAA2"}}
    known = render("lab", "known_hosts.j2", lab_hosts=HOSTS, __lab_machines=keys)
    assert known.splitlines() == [
        "10.89.0.21 ssh-ed25519 AAAA1",
        "10.89.0.41 ssh-ed25519 AAAA2",
    ]


@pytest.mark.parametrize(
    ("running", "advice"),
    [
        ({"app1": True, "db1": True}, "Log in: ssh -F /lab/ssh/config app1"),
        (
            {"app1": True, "db1": False},
            "Boot what does not run: ansible-playbook playbooks/lab_up.yml",
        ),
    ],
)
def test_the_status_says_what_to_type(running: dict[str, bool], advice: str) -> None:
    given = {"lab_hosts": HOSTS, "lab_dir": "/lab", "__lab_status": {"running": running}}
    given["__lab_up"] = "ansible-playbook playbooks/lab_up.yml"
    app, database, last = render("lab", "status.j2", **given).splitlines()
    assert app.split(maxsplit=2) == ["app1", "10.89.0.21", "runs"]
    says = "runs" if running["db1"] else "does not run"
    assert database.split(maxsplit=2) == ["db1", "10.89.0.41", says]
    assert last == advice
