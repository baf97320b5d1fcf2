"""Ansible module: asks a site while other tasks are done; it is the action plugin of the same name that does it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site_probed
short_description: Ask a site at a constant rate from the controller, while other tasks are done
description:
  - An open loop, so that a stall of the site shows in every request that should have been sent meanwhile.
  - Asks once, and goes on in the background. Where the first request is not answered 2xx it does not, for there is
    nothing to lose. Told what that returned, it ends it, and says what became of the requests.
options:
  url: {description: "What is asked, http or https; certificates are not looked at", type: str, required: true}
  host: {description: "The name in the Host header; empty for the URL's own", type: str, default: ""}
  rate: {description: "Requests a second, each on a connection of its own", type: float, default: 20}
  limit: {description: "Seconds it is asked at most, should nobody end it", type: float, default: 300}
  timeout: {description: "Seconds after which a request has failed", type: float, default: 30}
  allowed: {description: "Requests that may fail; one more, and the task that ends it fails", type: int, default: 0}
  back: {description: What is typed to go back where more have failed, type: str, default: playbooks/rollback.yml}
  begun: {description: "What the task that began it returned, to end it", type: dict}
"""

RETURN = r"""
directory: {description: What goes on in the background is known by, type: str, returned: when it began}
sent: {description: Requests, type: int, returned: when it ended}
slowest: {description: "Seconds of the longest answer, from when it was due", type: float, returned: when it ended}
said: {description: "All of it in a sentence, or why it did not begin", type: str, returned: but when it began}
"""
