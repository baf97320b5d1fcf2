#!/usr/bin/python
"""Ansible module: asks an application server itself, on its own socket, whether it serves."""

from __future__ import annotations

import socket
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.greenrack_ask import ask, journal

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
