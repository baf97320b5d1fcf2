"""The certificate by which a host is known to the one it shares backups with."""

import grp
import os
import shutil
import subprocess
import time

import greenrack_modules
import pytest

module = greenrack_modules.load("backup_certificate")
GROUP = grp.getgrgid(os.getgid()).gr_name


@pytest.fixture(autouse=True)
def _tools():
    if not shutil.which("openssl"):
        pytest.skip("no openssl here: apt install openssl")
    if os.geteuid() != 0:
        pytest.skip("only root can give files to root")


def made(tmp_path, name="10.77.7.41", **more):
    return greenrack_modules.run(
        module, directory=str(tmp_path / "tls"), name=name, group=GROUP, **more
    )


@pytest.mark.parametrize("spaces", [" = ", "="], ids=["openssl 3.0", "openssl 3.2 and newer"])
def test_it_is_made_once(tmp_path, monkeypatch, spaces):
    real = shutil.which("openssl")
    (tmp_path / "openssl").write_text(
        f"""#!/bin/sh\n{real} "$@" >{tmp_path}/said; code=$?\nsed 's/CN = /CN{spaces}/' {tmp_path}/said; exit $code\n"""
    )
    (tmp_path / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    first = made(tmp_path)
    assert first["changed"]
    again = made(tmp_path)
    assert (again["changed"], again["certificate"]) == (False, first["certificate"])
    assert (tmp_path / "tls/own.key").stat().st_mode & 0o777 == 0o640


def test_it_is_made_anew_for_another_name_and_without_a_whole_key(tmp_path):
    first = made(tmp_path)["certificate"]
    second = made(tmp_path, name="10.77.7.42")
    assert second["changed"]
    told = subprocess.run(
        ["openssl", "x509", "-noout", "-subject"],
        input=second["certificate"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "10.77.7.42" in told.stdout
    (tmp_path / "tls/own.key").unlink()
    third = made(tmp_path, name="10.77.7.42")
    (tmp_path / "tls/own.key").write_text("")
    fourth = made(tmp_path, name="10.77.7.42")
    found = {first, *(one["certificate"] for one in (second, third, fourth))}
    assert len(found) == 4


def test_who_is_in_the_group_comes_in_whatever_roots_umask_is(tmp_path):
    before = os.umask(0o027)
    try:
        made(tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o755


def test_who_was_shut_out_by_an_earlier_version_comes_in(tmp_path):
    first, folder = made(tmp_path)["certificate"], tmp_path / "tls"
    shutil.chown(folder, group=65534)
    folder.chmod(0o750)
    found = [made(tmp_path, check=True), made(tmp_path), made(tmp_path)]
    assert [one["changed"] for one in found] == [True, True, False]
    assert {one["certificate"] for one in found} == {first}
    assert folder.stat().st_mode & 0o777 == 0o755
    shutil.chown(folder, group=GROUP)
    folder.chmod(0o750)
    assert not made(tmp_path)["changed"], "the group comes in, and nobody else"


def test_a_dry_run_makes_nothing(tmp_path):
    assert made(tmp_path, check=True)["changed"]
    assert not (tmp_path / "tls").exists()


def test_a_clock_that_is_slow_believes_it(tmp_path):
    """As a host whose clock is hours behind would: it began a day ago, and lasts."""
    made(tmp_path)
    own = str(tmp_path / "tls/own.crt")
    for hours, believed in ((-23, True), (-25, False), (9 * 365 * 24, True)):
        then = str(int(time.time()) + hours * 3600)
        asked = ["openssl", "verify", "-attime", then, "-purpose", "sslserver", "-CAfile", own, own]
        assert (subprocess.run(asked, capture_output=True, check=False).returncode == 0) is believed
