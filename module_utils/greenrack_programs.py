"""What programs of a host say of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def addresses():
    """Return the addresses of the host's interfaces, but for the loopback's."""
    shown = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False)
    return shown.stdout.split()


def installed():
    """Return the names of the Debian packages that are installed whole, those on hold among them."""
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Abbrev} ${Package}\\n"]
    shown = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    return [line.split()[1] for line in shown.splitlines() if line[1:3] == "i "]


def socket_units():
    """Return {port: unit} of TCP sockets that systemd holds for units, one of several."""
    command = ["systemctl", "list-sockets", "--show-types", "--no-legend", "--full"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return dict(re.findall(r"(?:\]|[.]\d+):(\d+) +Stream +(\S+[.]socket)", shown))


def system_python():
    """Return the version of the Python that virtual environments on this host are made with."""
    if sys.executable == "/usr/bin/python3":
        return "{}.{}".format(*sys.version_info[:2])
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    asked = ["/usr/bin/python3", "-c", code]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def sshd():
    """Return what sshd makes of its configuration, line by line; nothing where it cannot be read, or there is none.

    Of a Match block it tells nothing: whom its files ask for more than one proof, or for another, comes behind.
    """
    try:
        said = subprocess.run(["/usr/sbin/sshd", "-T"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return []
    files = [Path("/etc/ssh/sshd_config"), *sorted(Path("/etc/ssh/sshd_config.d").glob("*.conf"))]
    texts = [path.read_text("utf-8", "replace") for path in files if path.is_file()]
    asked = re.findall(r"^\s*(AuthenticationMethods)[\s=]+(.+)", "\n".join(texts), re.I | re.M)
    return said.stdout.splitlines() + [" ".join(line).lower() for line in asked]
