"""A controller with the newest Python of Debian's, and the newest ansible-core that runs on it.

It is a Debian 13 host of a lab, with a user who has sudo, and deploys by SSH to the host beside it. Hosts of a lab
reach Debian's mirror and no index, so packages are brought to it.
"""

import platform
import re
import shlex
import subprocess
import sys

import pytest

from tests.stack import other_inventory
from tests.stack.conftest import boot
from tests.stack.lab import ROOT, Lab, free_number
from tests.unit.greenrack_modules import load

greenrack_wheels = load("greenrack_wheels")

PYTHON = "3.13"
LOCKS = ["requirements.txt", "app/demo/requirements.txt"]
GLIBC = "glibc 2.41"
UV = 'pip = {no-index = true, find-links = ["../../packages"]}'
# Of somebody who has one host, and has copied inventories/example.
HOSTS = """
all:
  vars: {{ansible_user: admin, ansible_ssh_common_args: "-o StrictHostKeyChecking=accept-new"}}
  children:
    proxy: &box {{hosts: {{box1: {{ansible_host: {box}}}}}}}
    app: *box
    api: *box
    database: *box
    load: *box
"""


class Controller:
    """Runs commands on the host that is the controller, as a user with sudo, in a copy of this repository."""

    def __init__(self, lab):
        self.lab = lab
        self.ssh = ["-F", str(lab.directory / "ssh/config")]

    def bring(self, *paths, to="."):
        command = ["scp", "-rq", *self.ssh, *map(str, paths), f"ctl1:{to}"]
        subprocess.run(command, check=True)

    def run(self, command):
        """Return what a command printed, its errors too; it must end well."""
        brought = "PIP_NO_INDEX=1 PIP_FIND_LINKS=$HOME/packages"
        script = f"export {brought} ANSIBLE_NOCOLOR=1; cd greenrack; {command}"
        done = subprocess.run(
            ["ssh", *self.ssh, "ctl1", script], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """Return a folder with what the lock files say, for the Python of that host."""
    folder = tmp_path_factory.mktemp("packages") / "packages"
    target = greenrack_wheels.Target(PYTHON, platform.machine(), GLIBC)
    for lock in LOCKS:
        folder.mkdir(exist_ok=True)
        greenrack_wheels.fetch(ROOT / lock, target, folder)
    # What has no wheel is built there, for the lock file has the hash of its source.
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder)]
    (built,) = folder.glob("psycogreen-*.whl")
    named = "==".join(built.name.split("-")[:2])
    built.unlink()
    subprocess.run([*download, "--no-deps", "--no-binary=:all:", named], check=True)
    subprocess.run([*download, "setuptools", "pip"], check=True)
    return folder


@pytest.fixture(scope="session")
def controller(packages, tmp_path_factory):
    number, claim = free_number()
    hosts = {"ctl1": 10, "box1": 11}
    folder = tmp_path_factory.mktemp("inventory")
    path = other_inventory.write(folder / "two", {"controller": hosts}, {})
    with claim:
        for lab in boot(Lab(path, f"testc{number}", f"10.89.{120 + number}", "trixie")):
            found = Controller(lab)
            lab.run("ctl1", "apt-get update -q")
            lab.run("ctl1", "apt-get install -yq --no-install-recommends git make")
            lab.run("ctl1", "install -d -o admin -g admin ~admin/greenrack")
            (folder / "hosts.yml").write_text(HOSTS.format(box=lab.address("proxy1")))
            found.bring(packages, folder / "hosts.yml")
            found.bring(lab.directory / "ssh/id_ed25519", to=".ssh/id_ed25519")
            kept = subprocess.run(
                ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True
            )
            pack = ["tar", "-cf", str(folder / "greenrack.tar"), "--null", "-T", "-"]
            subprocess.run(pack, cwd=ROOT, input=kept.stdout, check=True)
            found.bring(folder / "greenrack.tar", to="greenrack/")
            found.run("tar -xf greenrack.tar; git init -q; git add .")
            found.run(f"mkdir -p ../.config/uv; echo '{UV}' > ../.config/uv/uv.toml")
            found.run("make setup")
            yield found


def test_it_is_the_newest(controller):
    shown = controller.run(".venv/bin/ansible --version")
    version = next(
        line.split("==")[1].split()[0]
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if line.startswith("ansible-core==") and ">= '3.12'" in line
    )
    assert f"core {version}" in shown, shown
    assert f"python version = {PYTHON}." in shown, shown


def test_linters_pass(controller):
    said = controller.run("make lint")
    assert not re.search("deprecat", said, re.I), said


def test_deploys_and_warns_of_nothing(controller):
    controller.run("cp -r inventories/example inventories/mine; cp ../hosts.yml inventories/mine/")
    deploy = shlex.join([".venv/bin/ansible-playbook", "-i", "inventories/mine", "site.yml"])
    for changed in (True, False):
        said = controller.run(f"{deploy} -e server=uwsgi_gevent")
        assert not re.search(r"deprecat|\[warning", said, re.I), said
        assert ("changed=0 " not in said) is changed, said
    assert controller.lab.get("/readyz")[0] == 200
