"""What role base tells apt and sshd, beside what others have told them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from render import GIVEN, render

THEIRS = """\
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
Unattended-Upgrade::Automatic-Reboot "true";
Unattended-Upgrade::Automatic-Reboot-Time "03:00";
"""


@pytest.mark.parametrize(
    ("theirs", "given", "updates", "reboots"),
    [
        ("", {}, "1", None),
        ("", {"base_updates": False}, None, None),
        ("", {"base_reboot_at": "04:30"}, "1", "04:30"),
        (THEIRS, {}, "1", "03:00"),
        (THEIRS, {"base_updates": False}, "1", "03:00"),
        (THEIRS, {"base_updates": False, "base_reboot_at": "04:30"}, "1", "04:30"),
    ],
)
def test_updates_that_others_see_to_are_left_to_them(
    tmp_path: Path, theirs: str, given: dict[str, Any], updates: str | None, reboots: str | None
) -> None:
    """As apt reads all of its files."""
    (tmp_path / "20auto-upgrades").write_text(theirs)
    (tmp_path / "60greenrack").write_text(render("base", "apt.conf.j2", **given))
    (tmp_path / "main").write_text(f'Dir::Etc::parts "{tmp_path}";\n')
    told = {"APT_CONFIG": str(tmp_path / "main"), "PATH": "/usr/bin:/bin"}
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, env=told)
    found = dict(line.rstrip(";").split(" ", 1) for line in dump.stdout.splitlines())
    wanted = {"APT::Periodic::Update-Package-Lists": updates}
    wanted |= {"APT::Periodic::Unattended-Upgrade": updates}
    wanted |= {"Unattended-Upgrade::Automatic-Reboot": "true" if reboots else None}
    wanted |= {"Unattended-Upgrade::Automatic-Reboot-Time": reboots}
    assert {name: (found.get(name) or "").strip('"') or None for name in wanted} == wanted


@pytest.mark.parametrize(
    ("now", "lines"),
    [
        ([], ["LoginGraceTime 30", "MaxAuthTries 4"]),
        (["logingracetime 120", "maxauthtries 6"], ["LoginGraceTime 30", "MaxAuthTries 4"]),
        (["logingracetime 30", "maxauthtries 4"], ["LoginGraceTime 30", "MaxAuthTries 4"]),
        (["logingracetime 20", "maxauthtries 3"], []),
        (["logingracetime 0", "maxauthtries 3"], ["LoginGraceTime 30"]),
        (["logingracetime 30", "maxauthtries 4", "maxauthtries 3"], ["LoginGraceTime 30"]),
    ],
)
def test_limits_of_ssh_that_are_stricter_stay(now: list[str], lines: list[str]) -> None:
    facts = {"greenrack": {**GIVEN["ansible_facts"]["greenrack"], "sshd": now}}
    said = render("base", "sshd.conf.j2", ansible_facts=facts).splitlines()
    assert [line for line in said if line.startswith(("LoginGrace", "MaxAuth"))] == lines
