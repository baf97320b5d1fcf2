"""Labs for the whole-stack tests: booted once, deployed once, always thrown away."""

import shutil
import subprocess

import pytest

from tests.stack.lab import ROOT, SUDO, Lab, free_number

NUMBER = free_number()


@pytest.fixture(scope="session", autouse=True)
def _root():
    if SUDO and subprocess.run([*SUDO, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("the lab boots real systems: needs root, or sudo that asks for no password")


def _boot(lab):
    """Boot a lab, hand it out, and throw it away whatever happened."""
    try:
        up = lab.play("playbooks/lab_up.yml")
        assert up.code == 0, up.output
        yield lab
    finally:
        down = lab.play("playbooks/lab_down.yml")
        assert down.code == 0, down.output
        assert lab.leftovers() == []


@pytest.fixture(scope="session")
def lab():
    """Five hosts, a part of the stack on each."""
    yield from _boot(Lab("lab", f"test{NUMBER}", f"10.89.{60 + NUMBER}"))


@pytest.fixture(scope="session")
def deployed(lab):
    """The five hosts with the stack on them."""
    run = lab.play("site.yml", "-e", "server=uwsgi_gevent")
    assert run.code == 0, run.output
    return lab


@pytest.fixture(scope="session")
def single():
    """One host, for all of the stack."""
    yield from _boot(Lab("single", f"tests{NUMBER}", f"10.89.{120 + NUMBER}"))


@pytest.fixture
def app_copy(tmp_path):
    """A copy of the demo application that a test may break."""
    return shutil.copytree(ROOT / "app/demo", tmp_path / "app")
