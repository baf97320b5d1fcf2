"""The lookup that makes secrets on first use, in real runs of Ansible."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ANSIBLE = Path(sys.executable).parent


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """An inventory of three hosts, which is this machine."""
    hosts = {name: {"ansible_connection": "local"} for name in ("a", "b", "c")}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    return tmp_path


def evaluated(inventory: Path, expression: str, *options: str) -> str:
    """Return what Ansible says of an expression on three hosts at once."""
    command = [ANSIBLE / "ansible", "-i", inventory / "hosts.json", "all", "--one-line"]
    done = subprocess.run(
        [*command, "-m", "debug", "-a", json.dumps({"msg": f"{{{{ {expression} }}}}"}), *options],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def told(inventory: Path, expression: str, *options: str) -> set[str]:
    """Return the different values hosts see."""
    output = evaluated(inventory, expression, *options)
    lines = [line for line in output.splitlines() if " => " in line]
    assert len(lines) == 3, output
    return {json.loads(line.split(" => ", 1)[1])["msg"] for line in lines}


def test_it_is_made_once_for_all_hosts_and_kept(inventory: Path) -> None:
    (secret,) = told(inventory, "lookup('secret', 'x', file=inventory_dir ~ '/.secrets.yml')")
    assert len(secret) == 32
    assert secret.isalnum()
    assert told(inventory, "lookup('secret', 'x', file=inventory_dir ~ '/.secrets.yml')") == {
        secret
    }
    assert told(inventory, "lookup('secret', 'y', file=inventory_dir ~ '/.secrets.yml')") != {
        secret
    }
    assert (inventory / ".secrets.yml").stat().st_mode & 0o777 == 0o600


def test_a_default_is_not_written_down(inventory: Path) -> None:
    assert told(
        inventory, "lookup('secret', 'x', file=inventory_dir ~ '/.secrets.yml', default='1')"
    ) == {"1"}
    assert not (inventory / ".secrets.yml").exists()


def test_it_can_be_set_and_made_anew(inventory: Path) -> None:
    assert told(
        inventory, "lookup('secret', 'x', file=inventory_dir ~ '/.secrets.yml', value=\"it's: #1\")"
    ) == {"it's: #1"}
    assert told(inventory, "lookup('secret', 'x', file=inventory_dir ~ '/.secrets.yml')") == {
        "it's: #1"
    }
    before = told(inventory, "lookup('secret', 'y', file=inventory_dir ~ '/.secrets.yml')")
    evaluated(inventory, "lookup('secret', 'y', file=inventory_dir ~ '/.secrets.yml', value='new')")
    after = told(inventory, "lookup('secret', 'y', file=inventory_dir ~ '/.secrets.yml')")
    assert after != before
    assert len(after.pop()) == 32
    assert told(inventory, "lookup('secret', 'x', file=inventory_dir ~ '/.secrets.yml')") == {
        "it's: #1"
    }


def test_it_can_be_given_what_it_is_first(inventory: Path) -> None:
    """Three hosts give each their own, and the first stays."""
    given = "file=inventory_dir ~ '/.secrets.yml', initial=inventory_hostname"
    (first,) = told(inventory, f"lookup('secret', 'x', {given})")
    assert first in {"a", "b", "c"}
    assert told(inventory, "lookup('secret', 'x', file=inventory_dir ~ '/.secrets.yml')") == {first}


def test_it_is_encrypted_where_there_is_a_vault_password(inventory: Path) -> None:
    (inventory / "password").write_text("a long one")
    vault = ("--vault-password-file", str(inventory / "password"))
    (secret,) = told(
        inventory, "lookup('secret', 'x', file=inventory_dir ~ '/.secrets.yml')", *vault
    )
    assert (inventory / ".secrets.yml").read_text().startswith("$ANSIBLE_VAULT;")
    assert told(
        inventory, "lookup('secret', 'x', file=inventory_dir ~ '/.secrets.yml')", *vault
    ) == {secret}
    said = evaluated(inventory, "lookup('secret', 'x', file=inventory_dir ~ '/.secrets.yml')")
    assert "no vault secrets found" in said
    assert secret not in said
