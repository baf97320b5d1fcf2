#!/usr/bin/python
"""Ansible module: a systemd service that nobody is sent to any more, stopped without losing a request."""

from __future__ import annotations

import subprocess
import time

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: service_retired
short_description: Stop a service once it serves nothing any more
description:
  - For a service that new requests are no longer sent to, over connections that last for one request. Waits until
    there are none, neither served nor queued, for a stop drops what is queued and some servers drop what they serve.
    Then stops and disables it.
options:
  name: {description: "Name of the unit, such as demo-blue.service", type: str, required: true}
  binds:
    description: Where it listens, and where what stands in front of it does, ADDRESS:PORT or unix:PATH each
    type: list
    elements: str
    required: true
  timeout: {description: Seconds that may take, type: float, default: 60}
"""

RETURN = r"""
waited: {description: "Seconds until it served nothing, or the time was up", type: float, returned: when it was stopped}
"""

QUIET = 0.3  # seconds without a connection: as long, what was on its way may arrive


def connections(bind):
    """Return how many connections there are to a listening socket; those nobody has accepted yet too,
    and of TCP twice: as established ones, and as a queue."""
    unix = bind.startswith("unix:")
    command = ["ss", "-Hxa" if unix else "-Htna", "src", bind[5:] if unix else bind]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # Of a unix socket, the kind comes before the state. What a socket that listens has received is its queue.
    rows = [line.split()[unix:][:2] for line in shown.splitlines()]
    queued = sum(int(received) for state, received in rows if state == "LISTEN")
    return queued + sum(state not in ("LISTEN", "TIME-WAIT") for state, _ in rows)


def wait(binds, timeout):
    """Wait until there has been no connection for a moment, or the time is up; return how long that took, and which."""
    began, quiet = time.monotonic(), None  # quiet: when the present calm was first seen
    while time.monotonic() - began < timeout:
        if any(map(connections, binds)):
            quiet = None
        else:
            quiet = quiet or time.monotonic()
            if time.monotonic() - quiet >= QUIET:
                return round(time.monotonic() - began, 2), True
        time.sleep(0.02)
    return round(time.monotonic() - began, 2), False


def main():
    """Run the module."""
    module = AnsibleModule(
        {
            "name": {"type": "str", "required": True},
            "binds": {"type": "list", "elements": "str", "required": True},
            "timeout": {"type": "float", "default": 60.0},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=True)
    name = module.params["name"]
    waited, served = wait(module.params["binds"], module.params["timeout"])
    code, out, err = module.run_command(["systemctl", "disable", "--now", name])
    if code != 0:
        module.fail_json(msg=f"{name} cannot be stopped: {(err or out).strip()}")
    if not served:
        module.warn(
            f"{name} was still serving after {waited} s, and what had not ended then was cut: requests that last "
            "longer than app_timeout, such as streams of events."
        )
        module.run_command(["systemctl", "reset-failed", name])  # it may have had to be killed
    module.exit_json(changed=True, waited=waited)


if __name__ == "__main__":
    main()
