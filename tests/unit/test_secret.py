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


def lookup(name: str, **options: str) -> str:
    """Return an expression that looks up a secret, with further options as Jinja has them."""
    given = "".join(f", {key}={value}" for key, value in options.items())
    return f"lookup('secret', '{name}', file=inventory_dir ~ '/.secrets.yml'{given})"


def evaluated(inventory: Path, *expressions: str, options: tuple[str, ...] = ()) -> str:
    """Return what Ansible says of expressions, one after the other, on three hosts at once."""
    tasks = [{"debug": {"msg": f"{{{{ {expression} }}}}"}} for expression in expressions]
    play = [{"hosts": "all", "gather_facts": False, "tasks": tasks}]
    (inventory / "play.json").write_text(json.dumps(play))
    command = [ANSIBLE / "ansible-playbook", "-i", inventory / "hosts.json"]
    done = subprocess.run(
        [*command, inventory / "play.json", *options],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def told(inventory: Path, *expressions: str, options: tuple[str, ...] = ()) -> list[str]:
    """Return the value of each expression, which has to be the same on all hosts."""
    output = evaluated(inventory, *expressions, options=options)
    messages = [
        json.loads(f"{{{line}}}")["msg"] for line in output.splitlines() if '"msg":' in line
    ]
    assert len(messages) == 3 * len(expressions), output
    of_each = [messages[at : at + 3] for at in range(0, len(messages), 3)]
    assert [values for values in of_each if len(set(values)) > 1] == [], output
    return [values[0] for values in of_each]


def test_it_is_made_once_for_all_hosts_and_kept(inventory: Path) -> None:
    secret, other = told(inventory, lookup("x"), lookup("y"))
    assert len(secret) == 32
    assert secret.isalnum()
    assert other != secret
    assert told(inventory, lookup("x")) == [secret]
    assert (inventory / ".secrets.yml").stat().st_mode & 0o777 == 0o600


def test_a_default_is_not_written_down(inventory: Path) -> None:
    assert told(inventory, lookup("x", default="'1'")) == ["1"]
    assert not (inventory / ".secrets.yml").exists()


def test_it_can_be_set_and_made_anew(inventory: Path) -> None:
    first = told(inventory, lookup("x", value='"it\'s: #1"'), lookup("x"), lookup("y"))
    assert first[:2] == ["it's: #1", "it's: #1"]
    evaluated(inventory, lookup("y", value="'new'"))
    after, kept = told(inventory, lookup("y"), lookup("x"))
    assert after != first[2]
    assert len(after) == 32
    assert kept == "it's: #1"


def test_it_can_be_given_what_it_is_first(inventory: Path) -> None:
    """Three hosts give each their own, and the first stays."""
    first, kept = told(inventory, lookup("x", initial="inventory_hostname"), lookup("x"))
    assert first in {"a", "b", "c"}
    assert kept == first


def test_a_file_that_others_may_read_is_refused(inventory: Path) -> None:
    (secret,) = told(inventory, lookup("x"))
    (inventory / ".secrets.yml").chmod(0o640)
    said = evaluated(inventory, lookup("x"))
    assert f"Type: chmod 600 {inventory}/.secrets.yml" in " ".join(said.split()), said
    assert secret not in said


def test_it_is_encrypted_where_there_is_a_vault_password(inventory: Path) -> None:
    (inventory / "password").write_text("a long one")
    vault = ("--vault-password-file", str(inventory / "password"))
    secret, again = told(inventory, lookup("x"), lookup("x"), options=vault)
    assert (inventory / ".secrets.yml").read_text().startswith("$ANSIBLE_VAULT;")
    assert again == secret
    (inventory / ".secrets.yml").chmod(0o644)
    assert told(inventory, lookup("x"), options=vault) == [secret]
    said = evaluated(inventory, lookup("x"))
    assert "no vault secrets found" in said
    assert secret not in said
