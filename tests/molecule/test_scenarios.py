"""Every molecule scenario, from blank hosts to none; alone it is `molecule test -s NAME`."""

import os
import re
import shutil
import subprocess

import pytest

from tests.stack.lab import BIN, ROOT, SUDO, Lab

CONFIG = (ROOT / ".config/molecule/config.yml").read_text(encoding="utf-8")
SCENARIOS = {path.parent.name for path in ROOT.glob("molecule/*/molecule.yml")} - {"default"}
# One boot for all of them; but this one leaves its hosts as no other expects them.
APART = "alternative"


def _root_can_be_had():
    if not SUDO:
        return True
    if shutil.which(SUDO[0]) is None:
        return False
    return subprocess.run([*SUDO, "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module", autouse=True)
def _root():
    if not _root_can_be_had():
        pytest.skip("the lab boots real systems: needs root, or sudo that asks for no password")


@pytest.fixture
def lab():
    """The lab that molecule boots, by the name and prefix its own config gives."""
    words = dict(re.findall(r"\b(lab_name|lab_prefix)=([\w.]+)", CONFIG))
    return Lab("lab", words["lab_name"], words["lab_prefix"])


def molecule(*arguments):
    """Return molecule's exit code and what it said."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1"}
    environment.pop("PYTEST_ADDOPTS", None)  # meant for this pytest, not for the scenario's own
    done = subprocess.run(
        [BIN / "molecule", "test", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(done.stdout)
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("arguments", "names"),
    [(["--all", "--exclude", APART], SCENARIOS - {APART}), (["-s", APART], {APART})],
    ids=["all", APART],
)
def test_scenarios(arguments, names, lab):
    code, said = molecule(*arguments)
    assert (code, lab.leftovers()) == (0, [])
    verified = set(re.findall(r"(\w+) (?:➜|>) verify: Executed: Successful", said))
    assert verified == names, said
    # One without tests is as successful.
    assert len(re.findall(r"= \d+ passed in", said)) == len(names), said
