"""SSH settings that would let the operator in no more."""

import subprocess
import time

import pytest

from tests.stack.lab import SUDO

FRAGMENT = "/etc/ssh/sshd_config.d/10-greenrack.conf"


@pytest.fixture
def by_password(single):
    """The host, into which its user comes by a password alone, as sshd allows until it is told otherwise."""
    run = single.play("site.yml", "--tags", "base")
    assert run.code == 0, run.output
    single.run("box1", "echo admin:secret | chpasswd && mv ~admin/.ssh/authorized_keys /root/")
    single.run("box1", f"rm {FRAGMENT} && systemctl reload ssh")
    yield single
    root = single.directory / "hosts/box1/root"
    back = [str(root / "root/authorized_keys"), str(root / "home/admin/.ssh")]
    subprocess.run([*SUDO, "mv", *back], check=True)
    single.comes_to("box1")  # OpenSSH 10 wants who was refused several times to wait


# What its file said before; none, if there was no file.
OLDER = "PasswordAuthentication yes\nMaxAuthTries 5\n"


@pytest.mark.parametrize(
    ("shared", "older"), [(True, OLDER), (False, "")], ids=["shared", "not shared"]
)
def test_host_goes_back_to_what_ssh_was_told(by_password, shared, older):
    """By the connection there is, or, where connections are not shared, by itself."""
    lab = by_password
    if older:
        lab.run("box1", f"printf '{older}' > {FRAGMENT} && systemctl reload ssh")
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
    written = lab.directory / f"hosts/box1/root{FRAGMENT}"
    cat = [*SUDO, "cat", str(written), f"{written}.before"]
    end = time.monotonic() + 60
    while subprocess.run(cat, capture_output=True, text=True, check=False).stdout != older:
        assert not shared, "the run left it there"
        assert time.monotonic() < end
        time.sleep(0.5)


def test_what_an_interrupted_run_wrote_the_next_puts_into_force(single):
    """As it is when a run was ended after it wrote, and before sshd and the journal were told."""
    run = single.play("site.yml", "--tags", "base")
    assert run.code == 0, run.output
    told = "systemctl show --value -p StateChangeTimestampMonotonic ssh systemd-journald"
    before = single.run("box1", f"touch {FRAGMENT}.before; {told}").split()
    run = single.play("site.yml", "--tags", "base")
    assert (run.code, sum(run.changed.values())) == (0, 2), run.output
    after = single.run("box1", f"test -e {FRAGMENT}.before || {told}").split()
    assert [int(now) > int(then) for now, then in zip(after, before, strict=True)] == [True, True]


# What makes sshd deaf to it, and how the host gets rid of that.
DEAF = {
    "no Include": (
        "sed -i.bak 's/^Include/#Include/' /etc/ssh/sshd_config",
        "mv /etc/ssh/sshd_config.bak /etc/ssh/sshd_config",
    ),
    "a file before": (
        "echo X11Forwarding yes > /etc/ssh/sshd_config.d/00-other.conf",
        "rm /etc/ssh/sshd_config.d/00-other.conf",
    ),
}


@pytest.mark.parametrize("case", DEAF)
def test_ssh_settings_without_effect_end_every_run(single, case):
    """The one that writes them, and one that finds them there."""
    deafen, cure = DEAF[case]
    single.run("box1", f"rm -f {FRAGMENT} && {deafen}")
    try:
        runs = [single.play("site.yml", "--tags", "base") for _ in range(2)]
    finally:
        single.run("box1", cure)
    for run in runs:
        assert run.code != 0, run.output
        assert f"does not do as {FRAGMENT} says" in run.output, run.output
        assert "x11forwarding no" in run.output, run.output
    assert sum(runs[1].changed.values()) == 0, runs[1].output
    run = single.play("site.yml", "--tags", "base")
    assert (run.code, sum(run.changed.values())) == (0, 0), run.output


def test_masked_updates_are_told_and_disabled_ones_enabled(single):
    timer = "apt-daily-upgrade.timer"
    single.run("box1", f"systemctl disable --now {timer} && systemctl mask {timer}")
    try:
        run = single.play("site.yml", "--tags", "base")
    finally:
        single.run("box1", f"systemctl unmask {timer}")
    assert run.code != 0, run.output
    assert f"systemctl unmask {timer}" in run.output, run.output
    run = single.play("site.yml", "--tags", "base")
    assert run.code == 0, run.output
    assert single.run("box1", f"systemctl is-enabled {timer}; systemctl is-active {timer}") == (
        "enabled\nactive"
    )
    run = single.play("site.yml", "--tags", "base")
    assert (run.code, sum(run.changed.values())) == (0, 0), run.output
