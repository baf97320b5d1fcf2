"""bin/setup: what it refuses."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_link_is_not_followed_and_emptied(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "kept").touch()
    clone = tmp_path / "clone"
    (clone / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "bin/setup", clone / "bin/setup")
    (clone / ".venv").symlink_to(shared)
    run = subprocess.run([clone / "bin/setup"], capture_output=True, text=True)
    assert run.returncode == 1
    assert ".venv is a link" in run.stderr
    assert "Type: rm .venv" in run.stderr
    assert (shared / "kept").exists()
