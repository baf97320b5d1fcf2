"""The linters, as a commit and `make lint` run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

(LOCAL,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
LINTERS = {hook["id"]: hook["entry"].replace(".venv/bin/", "") for hook in LOCAL["hooks"]}


@pytest.mark.parametrize("name", LINTERS)
def test_linter(name: str) -> None:
    program, *arguments = LINTERS[name].split()
    done = subprocess.run(
        [str(BIN / program), *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_make_lint_runs_what_a_commit_does() -> None:
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)
    assert recipe, "the Makefile has no target lint"
    assert [line.strip() for line in recipe[1].splitlines()] == list(LINTERS.values())


def test_hooks_download_nothing_and_run_what_is_locked() -> None:
    assert LOCAL["repo"] == "local"
    assert {hook["language"] for hook in LOCAL["hooks"]} == {"system"}
    assert [h["id"] for h in LOCAL["hooks"] if not h["entry"].startswith(".venv/bin/")] == []
