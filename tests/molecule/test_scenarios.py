"""Every molecule scenario, from blank hosts to none: `molecule test -s NAME`."""

import os
import re
import shutil
import subprocess

import pytest

from tests.stack.lab import BIN, ROOT, SUDO, Lab

CONFIG = (ROOT / ".config/molecule/config.yml").read_text(encoding="utf-8")
SCENARIOS = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))
assert SCENARIOS, "no molecule/*/molecule.yml was found"


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


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name, lab):
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1"}
    environment.pop("PYTEST_ADDOPTS", None)  # meant for this pytest, not for the scenario's own
    done = subprocess.run(
        [BIN / "molecule", "test", "-s", name],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert (done.returncode, lab.leftovers()) == (0, [])
