"""The linters, as a commit and `make lint` run them."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from test_house import files_of_git

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

(LOCAL,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
LINTERS = {hook["id"]: hook["entry"].replace(".venv/bin/", "") for hook in LOCAL["hooks"]}
# What ansible-lint looks at, and what it is.
LOOKED_AT = [
    *("*.yml", "*.yaml", "*.j2", "roles", "library", "module_utils", "lookup_plugins"),
    *("callback_plugins", "ansible.cfg", ".ansible-lint", ".yamllint"),
]
PROGRAMS = ["ansible-lint", "ansible-core", "ansible", "yamllint"]


def content() -> str:
    """Return a hash of all that what ansible-lint says follows from."""
    told = hashlib.sha256(sys.version.encode())
    for program in PROGRAMS:
        told.update(f"{program} {importlib.metadata.version(program)} ".encode())
    for path in files_of_git(*LOOKED_AT):
        told.update(f"{path.relative_to(ROOT)} {path.stat().st_mode} ".encode())
        told.update(hashlib.sha256(path.read_bytes()).digest())
    return told.hexdigest()


def lint(name: str) -> None:
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


def test_ansible_lint(request: pytest.FixtureRequest) -> None:
    """A minute of work, which is not done twice for the same files; `pytest --cache-clear` forgets that it was."""
    cache, before = request.config.cache, content()
    if cache.get("greenrack/ansible-lint", "") == before:
        return
    lint("ansible-lint")
    assert content() == before, "files were changed meanwhile: run it again"
    cache.set("greenrack/ansible-lint", before)


@pytest.mark.parametrize("name", [name for name in LINTERS if name != "ansible-lint"])
def test_linter(name: str) -> None:
    lint(name)


def test_make_lint_runs_what_a_commit_does() -> None:
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)
    assert recipe, "the Makefile has no target lint"
    assert [line.strip() for line in recipe[1].splitlines()] == list(LINTERS.values())


def test_hooks_download_nothing_and_run_what_is_locked() -> None:
    assert LOCAL["repo"] == "local"
    assert {hook["language"] for hook in LOCAL["hooks"]} == {"system"}
    assert [h["id"] for h in LOCAL["hooks"] if not h["entry"].startswith(".venv/bin/")] == []
