"""What programs of a host say of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SSH = Path("/etc/ssh")
# What lets in who gives a proof that is no key.
PROOFS = {
    "password": "passwordauthentication",
    "keyboard-interactive": "kbdinteractiveauthentication",
}


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


def told(text):
    """Return {setting: the first that is said of it} of a file for sshd, and of each of its Match blocks."""
    blocks = [{}]
    for line in text.lower().replace("challengeresponse", "kbdinteractive").splitlines():
        said = re.match(r"\s*(\w+)[\s=]+(.*\S)", re.sub(r"(^|\s)#.*", "", line))
        if said and said[1] == "match":
            blocks.append({})
        elif said:
            blocks[-1].setdefault(said[1], " ".join(said[2].replace('"', "").split()))
    return blocks


def beside():
    """Return what files for sshd say that it does not tell itself, line by line.

    Whom a Match block asks for a proof that it leaves to the rest, in each of the ways it has; and limits behind ours.
    """
    files = [*sorted((SSH / "sshd_config.d").glob("*.conf")), SSH / "sshd_config"]
    texts = {path: path.read_text("utf-8", "replace") for path in files if path.is_file()}
    read = {path: told(text) for path, text in texts.items()}
    lines = []
    for _, *blocks in read.values():
        for block in blocks:
            ways = block.get("authenticationmethods", "any").split()
            asked = [re.split(r"[,:]", way) for way in ways]
            left = [{PROOFS[word] for word in way if word in PROOFS} for way in asked]
            if not any(way <= set(block) for way in left):
                lines.append(f"authenticationmethods {' '.join(ways)}")
    ours = read.pop(SSH / "sshd_config.d/10-greenrack.conf", [{}])[0]
    for name in sorted({"logingracetime", "maxauthtries"} & set(ours)):
        others = [blocks[0][name] for blocks in read.values() if name in blocks[0]]
        lines += [f"{name} {first.removesuffix('s')}" for first in others[:1]]
    return lines


def sshd():
    """Return what sshd makes of its configuration, and what that leaves out; nothing where there is no sshd."""
    try:
        said = subprocess.run(["/usr/sbin/sshd", "-T"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return []
    return said.stdout.splitlines() + beside()
