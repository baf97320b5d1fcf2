"""The ways to ask the upstream over HTTP: a row of CLIENTS each.

All do the same, `unpooled` excepted: connections are kept and used again, more are opened when
all are busy, and nobody waits for one. What cannot be connected to is tried twice more, what
broke before it answered once more, and what does not answer in time never. Statuses are never
retried, redirects not followed, cookies not kept, and proxies of the environment not used.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass

from demo.http_clients.base import Client


@dataclass(frozen=True)
class Row:
    """Where a client is. greenlets_only: it stops every request of a process without gevent."""

    module: str
    greenlets_only: bool = False


CLIENTS = {
    "requests": Row("demo.http_clients.with_requests"),
    "urllib3": Row("demo.http_clients.with_urllib3"),
    "geventhttpclient": Row("demo.http_clients.with_geventhttpclient", greenlets_only=True),
    "unpooled": Row("demo.http_clients.unpooled"),
}


class UnusableClient(Exception):
    """The client cannot work in this process; the message tells why, and what to set."""


def load(name: str) -> type[Client]:
    """Return the class of the client of that name; UnusableClient when it cannot work here."""
    row = CLIENTS[name]
    if row.greenlets_only and not _gevent_has_patched():
        valid = ", ".join(name for name, other in CLIENTS.items() if not other.greenlets_only)
        raise UnusableClient(
            f"UPSTREAM_CLIENT={name} works only where gevent has patched the process, and here "
            f"it has not. Valid here: {valid}. Set UPSTREAM_CLIENT to one of these, or have a "
            "server with greenlets load wsgi_gevent:app in place of wsgi:app."
        )
    # Only the one that is used: another may be unwanted in this process, as gevent is.
    return importlib.import_module(row.module).HttpClient


def _gevent_has_patched() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched("socket")
