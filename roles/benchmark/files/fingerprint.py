#!/usr/bin/python3
"""fingerprint: prints what the host it runs on is, as a JSON object. What cannot be told is null, or not there.

cpu, cores, memory      model; CPUs this program may use; bytes
kernel, distribution    release; such as "debian 12"
governor                of the CPUs' frequency; several are joined by commas
virtualization          what systemd-detect-virt says: "none" without any
sysctls                 by name, those that limit connections and files
packages                version by name, of those that are installed
clock                   whether the kernel takes its clock for synchronised; null where it does not say,
                        as in containers
"""

import contextlib
import ctypes
import json
import os
import platform
import re
import struct
import subprocess
from pathlib import Path

SYSCTLS = (
    "net.core.somaxconn",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_tw_reuse",
    "fs.file-max",
)
# postgresql itself is a package that only wants one with a version in its name.
PACKAGES = (
    *("nginx", "postgresql", "postgresql-[0-9]*", "pgbouncer", "nghttp2-client", "apache2-utils"),
    *("python3", "openssl", "libc6", "systemd"),
)
UNSYNCHRONISED = 0x40  # STA_UNSYNC, in the status of adjtimex


def read(path):
    """Return a file's text; "" if it cannot be read."""
    with contextlib.suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    return ""


def said(*command):
    """Return what a program printed, whatever its exit code; "" if there is no such program."""
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return ""


def cpu():
    """Return the CPU's model, or its architecture where there is no name."""
    found = re.search(r"^(?:model name|Model|cpu model)\s*: *(.+)$", read("/proc/cpuinfo"), re.M)
    return found[1] if found else platform.machine()


def governor():
    """Return what sets the frequency of the CPUs."""
    files = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return ",".join(sorted({read(file) for file in files} - {""})) or None


def distribution():
    """Return name and version of the distribution."""
    lines = [line.partition("=") for line in read("/etc/os-release").splitlines()]
    about = {key: value.strip("\"'") for key, _, value in lines}
    return f"{about.get('ID', 'linux')} {about.get('VERSION_ID', '')}".strip()


def packages():
    """Return the versions of the packages that are installed."""
    form = "${db:Status-Status} ${Package} ${Version}\n"
    lines = said("dpkg-query", "--show", f"--showformat={form}", *PACKAGES).splitlines()
    found = (line.split() for line in lines if line.startswith("installed "))
    return {name: version for _, name, version in found}


def clock():
    """Return whether the kernel's clock is synchronised."""
    told = ctypes.create_string_buffer(512)  # a struct timex, of which nothing is to be set
    if ctypes.CDLL(None).adjtimex(told) < 0:
        return None
    (status,) = struct.unpack_from("@i", told, struct.calcsize("@I4l"))
    return not status & UNSYNCHRONISED


def fingerprint():
    """Return all of it."""
    sysctls = {name: read(f"/proc/sys/{name.replace('.', '/')}").split() for name in SYSCTLS}
    return {
        "cpu": cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "kernel": os.uname().release,
        "governor": governor(),
        "virtualization": said("systemd-detect-virt") or None,
        "distribution": distribution(),
        "sysctls": {name: " ".join(value) for name, value in sysctls.items() if value},
        "packages": packages(),
        "clock": clock(),
    }


if __name__ == "__main__":
    print(json.dumps(fingerprint()))
