"""The linters, as `make lint` runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

LINTERS = {
    "ruff check": ["ruff", "check", "--no-cache"],
    "ruff format": ["ruff", "format", "--check", "--no-cache"],
    "yamllint": ["yamllint", "--strict", "."],
    "mypy": ["mypy"],
    "ansible-lint": ["ansible-lint", "--offline", "--strict", "--nocolor"],
}


@pytest.mark.parametrize("name", LINTERS)
def test_linter(name):
    program, *arguments = LINTERS[name]
    done = subprocess.run(
        [str(BIN / program), *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
