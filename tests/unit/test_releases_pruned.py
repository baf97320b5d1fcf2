"""releases_pruned keeps what is in use and what is new, and removes nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

import greenrack_modules
import pytest

pruned = greenrack_modules.load("releases_pruned")

# Releases, the oldest first, and the environment of each.
RELEASES = {"r1": "e1", "r2": "e1", "r3": "e2", "r4": "e3"}


@pytest.fixture
def application(tmp_path: Path) -> Path:
    for age, (release, environment) in enumerate(RELEASES.items()):
        (tmp_path / "envs" / environment).mkdir(parents=True, exist_ok=True)
        folder = tmp_path / "releases" / release
        folder.mkdir(parents=True)
        (folder / ".venv").symlink_to(tmp_path / "envs" / environment)
        os.utime(folder, (age, age))
    for made, hours in (("r5.partial", 0), ("r0.partial", 2)):
        (tmp_path / "releases" / made).mkdir()
        os.utime(tmp_path / "releases" / made, times=(time.time() - 3600 * hours,) * 2)
    (tmp_path / "envs" / "e4.wheels").mkdir()
    (tmp_path / "envs" / "e0.lock").touch()
    os.utime(tmp_path / "envs" / "e0.lock", (0, 0))
    return tmp_path


def left(application: Path) -> list[str]:
    return sorted(path.name for path in application.glob("*/*"))


@pytest.mark.parametrize(
    ("in_use", "newest", "removed"),
    [
        ([], 4, []),
        ([], 9, []),
        ([], 2, ["r1", "r2", "e1"]),
        (["r1"], 2, ["r2"]),
        (["r1", "r4"], 1, ["r2", "r3", "e2"]),
        (["r3"], 0, ["r1", "r2", "r4", "e1", "e3"]),
    ],
)
def test_what_nobody_needs_is_removed(
    in_use: list[str], newest: int, removed: list[str], application: Path
) -> None:
    removed = ["r0.partial", "e0.lock", *removed]  # by tries that were not finished, long ago
    before = left(application)
    asked = {"path": str(application), "in_use": in_use, "newest": newest}
    dry = greenrack_modules.run(pruned, check=True, **asked)
    assert left(application) == before
    result = greenrack_modules.run(pruned, **asked)
    assert left(application) == sorted(set(before) - set(removed))
    assert result["changed"] == bool(removed)
    assert result == {**dry, "removed": result["removed"]}
    assert {Path(path).name for path in result["removed"]} == set(removed)


def test_where_nothing_was_released_nothing_is_removed(tmp_path: Path) -> None:
    result = greenrack_modules.run(pruned, path=str(tmp_path), in_use=[], newest=0)
    assert (result["changed"], result["removed"]) == (False, [])
