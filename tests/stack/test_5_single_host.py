"""The lab itself, when things go wrong."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack.lab import ROOT, SUDO, Lab


def test_lab_up_twice_changes_nothing(single):
    run = single.play("playbooks/lab_up.yml")
    assert (run.code, run.changed) == (0, {"localhost": 0}), run.output


def test_lab_on_a_subnet_in_use_is_refused(single):
    other = Lab("single", "clash", single.prefix)
    try:
        run = other.play("playbooks/lab_up.yml")
        assert run.code != 0, run.output
        assert "overlaps" in run.output, run.output
        assert "-e lab_prefix=" in run.output, run.output
    finally:
        other.play("playbooks/lab_down.yml")
    assert other.leftovers() == []
    assert single.comes_back() is None


def test_lab_with_a_bad_name_is_refused():
    run = Lab("single", "No-Name", "10.89.250").play("playbooks/lab_up.yml")
    assert run.code != 0, run.output
    assert "lab_name is 'No-Name'" in run.output, run.output
    assert not Path("/var/lib/greenrack/No-Name").exists()


def test_lab_without_root_is_refused(tmp_path):
    """As nobody, who has no sudo, with whatever Python nobody may execute."""
    if SUDO:
        pytest.skip("this run is not root, so it cannot become nobody")
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents:
        if not parent.stat().st_mode & 0o001:
            parent.chmod(0o755)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    environment["PYTHONPATH"] = next(path for path in sys.path if path.endswith("site-packages"))
    minor = f"python3.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{minor}"):
        tried = [*nobody, python, "-c", "import ansible"]
        if (
            subprocess.run(
                tried, env=environment, capture_output=True, check=False, cwd="/"
            ).returncode
            == 0
        ):
            break
    else:
        pytest.skip(f"nobody may execute neither {sys.executable} nor /usr/bin/{minor}")
    command = [
        *nobody,
        python,
        "-m",
        "ansible.cli.playbook",
        "playbooks/lab_up.yml",
        "-e",
        "lab_name=noroot",
    ]
    run = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert run.returncode != 0, run.stdout
    assert "needs root" in run.stdout, run.stdout + run.stderr
    assert "sudo -v" in run.stdout
    assert not Path("/var/lib/greenrack/noroot").exists()


def test_lab_down_cleans_up_after_a_crash(single):
    """nspawn is killed, its guest lives on without it, and somebody is in its network: the worst a crash can leave."""
    shown = subprocess.run(
        ["ps", "axww", "-o", "pid,args"], capture_output=True, text=True, check=True
    ).stdout
    root = f"--directory={single.directory}/hosts/box1/root"
    pids = [int(line.split()[0]) for line in shown.splitlines() if root in line]
    assert pids
    parents = ",".join(map(str, pids))
    shown = subprocess.run(
        ["ps", "-o", "pid=,comm=", "--ppid", parents], capture_output=True, text=True, check=True
    ).stdout
    guest = next(line.split()[0] for line in shown.splitlines() if line.split()[1] == "systemd")
    inside = [*SUDO, "nsenter", f"--target={guest}", "--net", "cat"]
    with subprocess.Popen(inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as within:
        within.stdin.write(b"in\n")
        within.stdin.flush()
        assert within.stdout.readline() == b"in\n"
        for pid in pids:
            subprocess.run([*SUDO, "kill", f"-{int(signal.SIGKILL)}", str(pid)], check=True)
        assert os.path.ismount(single.directory / "hosts/box1/root")
        down = single.play("playbooks/lab_down.yml")
        assert down.code == 0, down.output
        assert single.leftovers() == []
        assert within.poll() is None
    assert single.play("playbooks/lab_down.yml").changed == {"localhost": 0}
