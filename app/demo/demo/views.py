"""The pages: one waits for the upstream, one for the database too, one counts its visitors."""

from __future__ import annotations

import ipaddress
import time
from typing import Any

from flask import Blueprint, current_app, request

from demo.database import get_database
from demo.delay import requested_delay
from demo.upstream import get_upstream

blueprint = Blueprint("views", __name__)


@blueprint.get("/")
def index() -> dict[str, Any]:
    """Wait for the upstream."""
    delay = requested_delay()
    return {"delay": delay, "upstream": get_upstream().wait(delay)}


@blueprint.get("/db")
def db() -> dict[str, Any]:
    """Wait for the upstream half of the time, and for PostgreSQL the other half.

    Both together are waited for as long as the upstream alone may take: the proxy waits no longer.
    """
    until = time.monotonic() + current_app.config["UPSTREAM_TIMEOUT"]
    delay = requested_delay()
    half = delay / 2
    # The upstream first: a connection of the database is worth more than one of HTTP.
    get_upstream().wait(half)
    with get_database().transaction(until) as cursor:
        cursor.execute("SELECT pg_sleep(%s)", (half,))
    return {"delay": delay, "upstream": half, "database": half}


@blueprint.get("/stats")
def stats() -> dict[str, int]:
    """Count this visit, and tell how many there were and from how many addresses.

    A visit without a known address counts as a visit, not as a client.
    """
    with get_database().transaction() as cursor:
        cursor.execute("INSERT INTO visits (client) VALUES (%s)", (_client_address(),))
        cursor.execute("SELECT count(*), count(DISTINCT client) FROM visits")
        visits, clients = cursor.fetchone()
    return {"visits": visits, "clients": clients}


def _client_address() -> str | None:
    """Return the client's address in one way of writing it, None when it has none.

    There is none behind a Unix socket when no proxy is trusted to tell it; and what a proxy
    tells may be "unknown".
    """
    try:
        address = ipaddress.ip_address((request.remote_addr or "").partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)
