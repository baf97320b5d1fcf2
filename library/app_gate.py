#!/usr/bin/python
"""Ansible module: asks an application server itself, on its own socket, whether it serves."""

from __future__ import annotations

import socket
import struct
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: app_gate
short_description: Wait until an application server answers on its own socket
description:
  - Speaks HTTP or the uwsgi protocol, over TCP or a unix socket, so that no proxy's answer is taken for the server's.
  - When it does not answer 2xx in time, fails with the last answer and the end of the unit's journal.
options:
  bind: {description: "Where the server listens, ADDRESS:PORT or unix:PATH", type: str, required: true}
  protocol: {description: What it speaks there, type: str, choices: [http, uwsgi], required: true}
  path: {description: What is asked for, type: str, default: /healthz}
  unit: {description: The server's systemd unit, type: str, required: true}
  timeout: {description: Seconds until it must have answered, type: int, default: 30}
"""

RETURN = r"""
status: {description: The HTTP status of the answer, type: int, returned: success}
waited: {description: Seconds until it answered, type: float, returned: success}
"""

ARGUMENTS = {
    "bind": {"type": "str", "required": True},
    "protocol": {"type": "str", "choices": ["http", "uwsgi"], "required": True},
    "path": {"type": "str", "default": "/healthz"},
    "unit": {"type": "str", "required": True},
    "timeout": {"type": "int", "default": 30},
}


def connect(bind, timeout):
    """Return a socket connected to `bind`."""
    if bind.startswith("unix:"):
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(timeout)
        link.connect(bind[len("unix:") :])
        return link
    address, port = bind.rsplit(":", 1)
    return socket.create_connection((address.strip("[]"), int(port)), timeout=timeout)


def http_request(path):
    """Return the bytes of a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


def uwsgi_request(path):
    """Return the bytes of a GET request in the uwsgi protocol: a head and length-prefixed pairs."""
    query = path.partition("?")[2]
    variables = {
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": path,
        "PATH_INFO": path.partition("?")[0],
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
    }
    body = b""
    for pair in variables.items():
        for word in pair:
            body += struct.pack("<H", len(word)) + word.encode()
    return struct.pack("<BHB", 0, len(body), 0) + body


REQUESTS = {"http": http_request, "uwsgi": uwsgi_request}


def ask(bind, protocol, path, timeout):
    """Return (status, first bytes of the answer) of one request; raise OSError or ValueError."""
    end = time.monotonic() + timeout
    with connect(bind, timeout) as link:
        link.sendall(REQUESTS[protocol](path))
        answer = b""
        while len(answer) < 4096:
            # Of the whole answer, not of each piece: one that trickles in would take for ever.
            link.settimeout(max(end - time.monotonic(), 0.001))
            piece = link.recv(4096)
            if not piece:
                break
            answer += piece
    words = answer.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise ValueError(f"no HTTP answer, but {answer[:80]!r}")
    return int(words[1]), answer.decode(errors="replace")


def journal(unit):
    """Return the end of the unit's journal."""
    shown = subprocess.run(
        ["journalctl", "--no-pager", "--lines=40", "--output=cat", f"--unit={unit}"],
        capture_output=True,
        text=True,
        check=False,
    )
    return shown.stdout


def main():
    """Run the module."""
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    p = module.params
    start = time.monotonic()
    said = "nothing"
    while (left := start + p["timeout"] - time.monotonic()) > 0:
        try:
            status, answer = ask(p["bind"], p["protocol"], p["path"], left)
            if 200 <= status < 300:
                waited = round(time.monotonic() - start, 3)
                module.exit_json(changed=False, status=status, waited=waited)
            said = answer
        except (OSError, ValueError) as error:
            # The last question has little time, and what was answered before it says more.
            cut = isinstance(error, socket.timeout) and said.startswith("HTTP/")
            said = said if cut else f"{error}"
        time.sleep(0.1)
    module.fail_json(
        msg=f"{p['unit']} did not answer GET {p['path']} with 2xx on {p['bind']} within {p['timeout']} s. "
        f"Last answer: {said}\nThe end of its journal:\n{journal(p['unit'])}"
    )


if __name__ == "__main__":
    main()
