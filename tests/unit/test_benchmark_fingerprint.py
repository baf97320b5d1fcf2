"""What a host says it is: held against what the system says elsewhere."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bench_hosts import FILES, script

fingerprint = script("fingerprint.py")


@pytest.fixture(scope="module")
def told() -> dict:
    done = subprocess.run(
        [sys.executable, str(FILES / "fingerprint.py")], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


def test_it_says_what_the_contract_has(told):
    assert list(told) == [
        *("cpu", "cores", "memory", "kernel", "governor", "virtualization", "distribution"),
        *("sysctls", "packages", "clock"),
    ]
    assert told["clock"] in (True, False, None)
    assert told["cpu"]


def test_the_machine_is_this_one(told):
    assert told["kernel"] == platform.release()
    assert told["cores"] == len(os.sched_getaffinity(0))
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert told["memory"] == total
    about = platform.freedesktop_os_release()
    assert told["distribution"].split()[0] == about["ID"]
    assert about.get("VERSION_ID", "") in told["distribution"]


def test_sysctls_are_those_that_can_be_read(told, monkeypatch):
    asked = subprocess.run(
        ["sysctl", "net.core.somaxconn", "net.ipv4.ip_local_port_range"],
        capture_output=True,
        text=True,
        check=True,
    )
    for line in asked.stdout.splitlines():
        name, _, value = line.partition(" = ")
        assert told["sysctls"][name] == " ".join(value.split())
    assert set(told["sysctls"]) <= set(fingerprint.SYSCTLS)
    monkeypatch.setattr(fingerprint, "SYSCTLS", ("net.core.somaxconn", "net.none"))
    assert list(fingerprint.fingerprint()["sysctls"]) == ["net.core.somaxconn"]


def test_packages_are_those_that_are_installed(monkeypatch):
    if shutil.which("dpkg-query") is None:
        pytest.skip("this is no Debian: there is no dpkg-query")
    lines = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Abbrev}\n"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    installed = {line.split()[0]: line.split()[1] for line in lines if line.split()[2] == "ii"}
    monkeypatch.setattr(fingerprint, "PACKAGES", ("libc6", "no-such-package", "lib[c]6"))
    assert fingerprint.packages() == {"libc6": installed["libc6"]}
    monkeypatch.undo()
    wanted = {"nginx", "postgresql", "pgbouncer", "nghttp2-client", "apache2-utils", "python3"}
    wanted |= {"openssl", "libc6", "systemd"}
    found = {name: version for name, version in installed.items() if name in wanted}
    assert found.items() <= fingerprint.packages().items()


def test_what_the_host_has_not_is_null_or_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    told = fingerprint.fingerprint()
    assert (told["packages"], told["virtualization"]) == ({}, None)


def test_virtualization_is_what_systemd_says_even_with_its_exit_code_of_none(monkeypatch, tmp_path):
    program = tmp_path / "systemd-detect-virt"
    program.write_text("#!/bin/sh\necho none\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert fingerprint.fingerprint()["virtualization"] == "none"


class Timex(ctypes.Structure):
    """The beginning of adjtimex's own structure, as linux/timex.h has it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 400),
    )


@pytest.mark.parametrize(
    ("returned", "status", "expected"), [(0, 0x2001, True), (5, 0x2041, False), (-1, 0, None)]
)
def test_the_clock_is_synchronised_if_the_kernel_says_so(monkeypatch, returned, status, expected):
    class Kernel:
        @staticmethod
        def adjtimex(told):
            assert told.raw == bytes(len(told))  # nothing is to be set
            Timex.from_buffer(told).status = status
            return returned

    monkeypatch.setattr(fingerprint.ctypes, "CDLL", lambda _: Kernel)
    assert fingerprint.clock() is expected


def test_the_clock_is_this_kernels():
    told = Timex()
    answered = ctypes.CDLL(None).adjtimex(ctypes.byref(told)) >= 0
    assert fingerprint.clock() is (not told.status & 0x40 if answered else None)
