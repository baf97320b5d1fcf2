"""A host that is looked after: clock, updates, SSH, journal."""

from __future__ import annotations

import pytest
from testinfra.host import Host

testinfra_hosts = ["load1"]


def test_clock_is_kept(host: Host) -> None:
    """Debian's own service does it; a container takes the time of its machine."""
    assert host.package("systemd-timesyncd").is_installed
    assert host.service("systemd-timesyncd.service").is_enabled


@pytest.mark.parametrize(
    "setting",
    [
        'APT::Periodic::Update-Package-Lists "1";',
        'APT::Periodic::Unattended-Upgrade "1";',
    ],
)
def test_security_updates_come_by_themselves(host: Host, setting: str) -> None:
    """As apt reads all of its files."""
    assert host.package("unattended-upgrades").is_installed
    assert setting in host.check_output("apt-config dump").splitlines()


@pytest.mark.parametrize(
    "setting",
    ["passwordauthentication no", "permitrootlogin without-password", "permitemptypasswords no"],
)
def test_ssh_takes_no_passwords(host: Host, setting: str) -> None:
    """As sshd reads all of its files."""
    assert setting in host.check_output("/usr/sbin/sshd -T").splitlines()


def test_ssh_offers_keys_alone(host: Host) -> None:
    """As a client sees it, which the running sshd has told."""
    asked = "ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o PreferredAuthentications=none"
    said = host.check_output(f"{asked} nobody@localhost 2>&1 || true")
    assert "Permission denied (publickey)" in said, said


def test_journal_is_kept_and_bounded(host: Host) -> None:
    """On disk, over a reboot."""
    read = host.check_output("systemd-analyze cat-config systemd/journald.conf").splitlines()
    assert {"Storage=persistent", "SystemMaxUse=1G"} <= set(read)
    assert host.file("/var/log/journal").is_directory
