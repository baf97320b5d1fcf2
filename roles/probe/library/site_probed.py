#!/usr/bin/python
"""Ansible module: asks a site at a constant rate, as its clients would, while something else is done."""

from __future__ import annotations

import http.client
import ssl
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: site_probed
short_description: Ask a site at a constant rate until a file is removed
description:
  - An open loop, so that a stall of the site shows in every request that should have been sent meanwhile.
  - Without a mark it asks once, and makes the mark for the next time. Where that is not answered 2xx it is
    removed at once, for there is nothing to lose.
options:
  url: {description: "What is asked, http or https; certificates are not looked at", type: str, required: true}
  host: {description: "The name in the Host header; empty for the URL's own", type: str, default: ""}
  rate: {description: "Requests a second, each on a connection of its own", type: float, default: 20}
  mark: {description: "File that ends it when it is removed", type: path}
  allowed: {description: "Requests that may fail; one more, and the module fails", type: int, default: 0}
  limit: {description: "Seconds it is asked at most", type: float, default: 300}
  timeout: {description: "Seconds after which a request has failed", type: float, default: 30}
"""

RETURN = r"""
mark: {description: "The file that was made", type: str, returned: without a mark}
sent: {description: Requests, type: int, returned: with a mark}
slowest: {description: "Seconds of the longest answer, from when it was due", type: float, returned: with a mark}
said: {description: All of it in a sentence, type: str, returned: always}
"""


def ask(url, host, timeout):
    """Ask once; return what was wrong with the answer, or an empty string."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        # The site is asked by its address, which no certificate names.
        unverified = ssl._create_unverified_context()  # noqa: S323
        link = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=timeout, context=unverified
        )
    else:
        link = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    headers = {"Connection": "close", **({"Host": host} if host else {})}
    try:
        link.request(
            "GET", url[url.index(parts.netloc) + len(parts.netloc) :] or "/", headers=headers
        )
        answer = link.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        link.close()
    return "" if 200 <= answer.status < 300 else f"status {answer.status}"


class Probe:
    """Requests on their way, and what became of the others."""

    def __init__(self, url, host, timeout):
        self.url, self.host, self.timeout = url, host, timeout
        self.sent, self.slowest, self.failures = 0, 0.0, []
        self.lock = threading.Lock()

    def one(self, due):
        """Ask once, for a request due at a monotonic time."""
        wrong = ask(self.url, self.host, self.timeout)
        took = time.monotonic() - due
        with self.lock:
            self.slowest = max(self.slowest, took)
            if wrong:
                self.failures.append(f"after {took:.2f} s: {wrong}")

    def run(self, rate, going):
        """Send requests while going() says so; return when all have been answered."""
        threads, began = [], time.monotonic()
        while going():
            due = began + self.sent / rate
            time.sleep(max(due - time.monotonic(), 0))
            self.sent += 1
            threads.append(threading.Thread(target=self.one, args=(due,)))
            threads[-1].start()
        for thread in threads:
            thread.join()


def main():
    """Run the module."""
    module = AnsibleModule(
        {
            "url": {"type": "str", "required": True},
            "host": {"type": "str", "default": ""},
            "rate": {"type": "float", "default": 20.0},
            "allowed": {"type": "int", "default": 0},
            "mark": {"type": "path"},
            "limit": {"type": "float", "default": 300.0},
            "timeout": {"type": "float", "default": 30.0},
        }
    )
    p = module.params
    if p["mark"] is None:
        wrong = ask(p["url"], p["host"], p["timeout"])
        said = f"{p['url']} was not asked while the change went live. Before it, it was answered: {wrong}"
        mark = Path(tempfile.mkstemp(suffix=".greenrack-probing")[1])
        if wrong:
            mark.unlink()
        module.exit_json(changed=False, mark=str(mark), said=said if wrong else "")
    end = time.monotonic() + p["limit"]
    probe = Probe(p["url"], p["host"], p["timeout"])
    probe.run(p["rate"], lambda: Path(p["mark"]).exists() and time.monotonic() < end)
    said = (
        f"While the change went live, {p['url']} was asked {probe.sent} times from the controller: "
        f"{len(probe.failures)} failed, the slowest answer took {probe.slowest:.2f} s."
    )
    if len(probe.failures) > p["allowed"]:
        first = "\n".join(probe.failures[:10])
        module.fail_json(
            msg=f"The change is live, but more than {p['allowed']} requests failed (probe_allowed). {said}\n{first}\n"
            "To go back, type: ansible-playbook playbooks/rollback.yml"
        )
    module.exit_json(changed=False, sent=probe.sent, slowest=round(probe.slowest, 3), said=said)


if __name__ == "__main__":
    main()
