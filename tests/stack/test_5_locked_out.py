"""SSH settings that would let the operator in no more."""

import subprocess
import time

import pytest

from tests.stack.lab import SUDO


@pytest.fixture
def by_password(single):
    """The host, into which its user comes by a password alone, as sshd allows until it is told otherwise."""
    run = single.play("site.yml", "--tags", "base")
    assert run.code == 0, run.output
    single.run("box1", "echo admin:secret | chpasswd && mv ~admin/.ssh/authorized_keys /root/")
    single.run("box1", "rm /etc/ssh/sshd_config.d/10-greenrack.conf && systemctl reload ssh")
    yield single
    root = single.directory / "hosts/box1/root"
    back = [str(root / "root/authorized_keys"), str(root / "home/admin/.ssh")]
    subprocess.run([*SUDO, "mv", *back], check=True)
    single.comes_to("box1")  # OpenSSH 10 wants who was refused several times to wait


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "not shared"])
def test_host_goes_back_to_what_ssh_was_told(by_password, shared):
    """By the connection there is, or, where connections are not shared, by itself."""
    lab = by_password
    typed = ["-e", "ansible_password=secret", "-e", "base_ssh_passwords=false"]
    if not shared:
        typed += ["-e", "base_ssh_confirm_seconds=20"]
        lab.cut_off("box1")
        alone = f"-F {lab.directory}/ssh/config -o ControlMaster=no -o ControlPath=none"
        typed += ["-e", f"ansible_ssh_args='{alone}'"]
    run = lab.play("site.yml", "--tags", "base", *typed)
    assert run.code != 0, run.output
    assert "Reach the host anew" in run.output, run.output
    said = "so they were taken back" if shared else "UNREACHABLE"
    assert said in " ".join(run.output.split()), run.output
    written = lab.directory / "hosts/box1/root/etc/ssh/sshd_config.d/10-greenrack.conf"
    end = time.monotonic() + 60
    while subprocess.run([*SUDO, "test", "-e", str(written)], check=False).returncode == 0:
        assert not shared, "the run left it there"
        assert time.monotonic() < end
        time.sleep(0.5)
