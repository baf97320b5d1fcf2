"""CONTRIBUTING.md: what it shows as added is what is there."""

from __future__ import annotations

import re
import subprocess

import pytest
from test_house import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
DIFFS = re.findall(r"^## ([^\n]+)$(?:(?!^## ).)*?^```diff\n(.*?)^```$", PAGE, re.M | re.S)


def taken_back(diff: str) -> subprocess.CompletedProcess[str]:
    """See whether a diff can be taken back here, in which all of its lines have to be in their place."""
    command = ["git", "apply", "--check", "--reverse", "-"]
    return subprocess.run(command, input=diff, cwd=ROOT, capture_output=True, text=True)


def test_three_things_are_shown() -> None:
    assert [title for title, _ in DIFFS] == ["Add a mode", "Add a role", "Add a fault"]


@pytest.mark.parametrize("diff", dict(DIFFS).values(), ids=dict(DIFFS))
def test_a_diff_is_of_what_is_there(diff: str) -> None:
    done = taken_back(diff)
    assert done.returncode == 0, f"CONTRIBUTING.md shows what is not so any more:\n{done.stderr}"


def test_a_diff_of_something_else_is_told() -> None:
    assert taken_back(DIFFS[0][1].replace("waitress", "waitless")).returncode != 0
