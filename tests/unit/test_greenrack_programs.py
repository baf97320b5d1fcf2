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
