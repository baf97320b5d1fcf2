"""docs/variables.md: every variable, and what the roles say of it now."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import yaml

from bin import reference


def rows() -> dict[str, list[str]]:
    """Return the cells of each variable's row, of the last table that has it."""
    lines = re.findall(r"^\| `(\w+)` \| (.*) \|$", reference.page(), re.M)
    return {name: re.split(r"(?<!\\) \| ", rest) for name, rest in lines}


def test_the_page_is_current() -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), reference.STALE


def test_every_variable_of_every_role_is_there() -> None:
    names = {name for options in reference.roles().values() for name in options}
    assert len(names) > 150
    assert names - rows().keys() == set()
    assert [name for name in rows() if name.startswith("_")] == []


def test_a_variable_of_several_roles_is_there_once() -> None:
    times = re.findall(r"^\| `app_name` \|", reference.page(), re.M)
    assert len(times) == 1
    assert "[app_release](#app_release), [app_server](#app_server)" in rows()["app_name"][-1]


def test_every_switch_has_a_meaning() -> None:
    """Where no role's variable takes it, a comment beside it says what it does: - NAME # ..."""
    assert [name for name in reference.switches() if not rows()[name][-1]] == []


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("app_release_keep", "you"),
        ("app_source", "you, required"),
        ("app_server_timeout", "you, by `app_timeout`"),
        ("nginx_tls", "you, by `tls`"),
        ("postgresql_port", "you"),
        ("postgresql_clients", "topology"),
        ("app_server_live", "topology"),
        ("app_server_gate_again", "a run"),
        ("backup_passphrase", "you, in `secrets.yml`"),
    ],
)
def test_who_sets_a_variable(name: str, by: str) -> None:
    assert rows()[name][2] == by


def test_defaults_and_ranges() -> None:
    assert rows()["app_server_timeout"][:2] == ["float", "`30`"]
    assert rows()["postgresql_port"][:2] == ["int, 1 to 65535", "`5432`"]
    assert rows()["tls"][:2] == ["str: `off`, `selfsigned`, `files`, `acme`", "`off`"]
    assert rows()["postgresql_clients"][1] == ""


def test_what_markdown_takes_for_its_own_is_escaped() -> None:
    assert reference.prose("*a* [b] <c> | d_ C(e|f) app_port") == (
        r"\*a\* \[b\] \<c\> \| d\_ `e\|f` `app_port`"
    )
    assert reference.code("{{ a | b('`') }}") == r"``{{ a \| b('`') }}``"
    assert reference.code("12") == "`'12'`"
    heads = [line for line in reference.page().splitlines() if line.startswith("| variable")]
    widths = {len(re.findall(r"(?<!\\)\|", head)) for head in heads}
    lines = [line for line in reference.page().splitlines() if line.startswith("| `")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} <= widths


def test_a_page_that_is_not_current_is_refused(tmp_path) -> None:
    """Of a copy of what the page is made from, in which a role has another default."""
    for name in ("bin", "roles", "inventories", "playbooks", "docs", "site.yml"):
        subprocess.run(["cp", "-R", reference.ROOT / name, tmp_path], check=True)
    command = [sys.executable, tmp_path / "bin/reference.py"]
    assert subprocess.run([*command, "--check"], capture_output=True).returncode == 0
    specs = tmp_path / "roles/reach/meta/argument_specs.yml"
    told = yaml.safe_load(specs.read_text())
    told["argument_specs"]["main"]["options"]["reach_timeout"]["default"] = 16
    specs.write_text(yaml.safe_dump(told))
    done = subprocess.run([*command, "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (1, reference.STALE)
    subprocess.run(command, check=True)
    assert "| `reach_timeout` | int | `16` | you |" in (tmp_path / "docs/variables.md").read_text()
