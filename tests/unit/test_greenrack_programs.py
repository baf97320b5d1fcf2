"""What programs of the machine that runs the tests say of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import greenrack_modules
import pytest

programs = greenrack_modules.load("greenrack_programs")


def test_installed_packages() -> None:
    if not shutil.which("dpkg-query"):
        pytest.skip("no dpkg here")
    packages = programs.installed()
    assert {"dpkg", "base-files"} <= set(packages)
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}\\n", "dpkg"]
    assert subprocess.run(query, capture_output=True, text=True).stdout == "installed\n"


STATUS = """\
Package: {name}
Status: {status}
Maintainer: nobody <nobody@example.org>
Architecture: all
Version: 1
Description: nothing

"""


def test_packages_on_hold_are_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("dpkg-query"):
        pytest.skip("no dpkg here")
    there = {
        "held": "hold ok installed",
        "wanted": "install ok installed",
        "unwanted": "deinstall ok installed",
        "half": "install ok half-configured",
        "gone": "deinstall ok config-files",
    }
    said = "".join(STATUS.format(name=name, status=status) for name, status in there.items())
    (tmp_path / "status").write_text(said)
    monkeypatch.setenv("DPKG_ADMINDIR", str(tmp_path))
    assert sorted(programs.installed()) == ["held", "unwanted", "wanted"]


# What files for sshd say, and the lines of it that `sshd -T` does not have.
LEFT = """\
Match Group sftp
  AuthenticationMethods = password
  PasswordAuthentication yes
Match User bob
  AuthenticationMethods publickey,keyboard-interactive:pam publickey
Match User eve
  AuthenticationMethods publickey # and no password
"""
ASKED = "Match User bob\n  AuthenticationMethods publickey,password # two\n"
STRICTER = {"50-theirs.conf": "maxauthtries=3\nMatch User bob\nMaxAuthTries 1\n"}
STRICTER |= {"90-more.conf": "LoginGraceTime 20s\nMaxAuthTries 2\n"}
OURS = {"10-greenrack.conf": "LoginGraceTime 30\nMaxAuthTries 4\n"}


@pytest.mark.parametrize(
    ("files", "lines"),
    [
        ({"50-theirs.conf": ASKED}, ["authenticationmethods publickey,password"]),
        ({"50-theirs.conf": LEFT}, []),
        (STRICTER, []),
        ({**OURS, **STRICTER}, ["logingracetime 20", "maxauthtries 3"]),
        (OURS, []),
    ],
)
def test_what_sshd_does_not_tell_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], lines: list[str]
) -> None:
    (tmp_path / "sshd_config.d").mkdir()
    for name, text in files.items():
        (tmp_path / "sshd_config.d" / name).write_text(text)
    monkeypatch.setattr(programs, "SSH", tmp_path)
    assert programs.beside() == lines
