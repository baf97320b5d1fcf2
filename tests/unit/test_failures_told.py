"""What is said of a test that failed: what failed on its hosts, and what to type to run it alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOOKS = "from tests.conftest import pytest_runtest_makereport, pytest_terminal_summary"
# Two tests that go with their file, of which one has a lab, one that does not, and one that passes.
FILES = {
    "conftest.py": HOOKS,
    "test_5_live.py": """
import pytest

class Lab:
    name = "test7"
    def failed_units(self):
        return "box1: what its journal says"

@pytest.fixture
def lab():
    return Lab()

@pytest.fixture
def broken(lab):
    raise OSError

def test_first(lab):
    assert lab.name == "other"

def test_second(lab, broken):
    pass
""",
    "test_else.py": """
import pytest

@pytest.mark.parametrize("word", ["one", "two words"])
def test_words(word):
    assert word == "one"
""",
}
PYTEST = ".venv/bin/python -m pytest"


@pytest.mark.parametrize("workers", [[], ["--numprocesses=2"]], ids=["one", "two"])
def test_what_is_said_of_failures(workers: list[str], tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *workers],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        capture_output=True,
        text=True,
    )
    said = done.stdout
    assert "2 failed, 1 passed, 1 error" in said, said
    assert said.count("- failed units of the lab test7 -") == 2, said
    assert said.count("box1: what its journal says") == 2, said
    told = said.partition("to run alone what failed, type")[2].splitlines()
    commands = [line for line in told if line.startswith(PYTEST)]
    assert sorted(commands) == [
        f"{PYTEST} 'test_else.py::test_words[two words]'",
        f"{PYTEST} test_5_live.py",
    ]
