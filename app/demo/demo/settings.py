"""The application's settings, read from the environment.

Name                      Default                 Meaning
UPSTREAM_URL              http://127.0.0.1:8081   where the slow API answers
UPSTREAM_CLIENT           requests                what asks it: a name of http_clients.CLIENTS
UPSTREAM_TIMEOUT          30                      seconds to wait for it to answer
UPSTREAM_CONNECT_TIMEOUT  2                       seconds to wait for a connection to it
UPSTREAM_POOL             256                     connections to it that each process keeps
DATABASE_URL              postgresql:///demo      PostgreSQL, as a libpq URL or key=value string
DATABASE_POOL             10                      connections to it that each process may open
DATABASE_POOL_TIMEOUT     5                       seconds to wait for one of them to be free
DATABASE_CONNECT_TIMEOUT  5                       seconds to wait for a new one
TRUSTED_PROXIES           0                       proxies in front whose X-Forwarded-For is true
PSYCOGREEN                1                       wsgi_gevent.py only: 0 leaves psycopg2 blocking

More requests in flight than UPSTREAM_POOL are served too, each on a connection of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import psycopg2
from psycopg2.extensions import parse_dsn
from urllib3.util import parse_url

from demo.http_clients import CLIENTS


class SettingError(ValueError):
    """A setting is wrong; the message names it and tells what is valid."""


def load(environ: Mapping[str, Any]) -> dict[str, Any]:
    """Return every setting, parsed; SettingError when one is not valid."""
    loaded = {}
    for name, (default, parse, valid) in _SETTINGS.items():
        try:
            loaded[name] = parse(environ.get(name, default))
        except (ValueError, TypeError):
            # Never the value: a URL may carry a password.
            raise SettingError(f"{name} is not valid: it must be {valid}") from None
    return loaded


def _http_url(value: str) -> str:
    parts = urlsplit(str(value))
    # .port raises ValueError when it is not a port.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError
    if parts.query or parts.fragment:
        raise ValueError
    parse_url(value)  # which is stricter, and what the clients will do
    return value.rstrip("/")


def _client(value: str) -> str:
    if value not in CLIENTS:
        raise ValueError
    return value


def _database_url(value: str) -> str:
    try:
        parts = parse_dsn(value)
    except psycopg2.ProgrammingError:
        raise ValueError from None
    # A password with an unquoted / or @ in it ends up in the wrong part: caught here, before
    # libpq quotes that part in its own messages.
    if not value or not all(p.isdecimal() for p in parts.get("port", "5432").split(",")):
        raise ValueError
    return value


def _seconds(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number) or number <= 0:
        raise ValueError
    return number


def _whole(least: int, most: float = math.inf) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        number = int(value)
        if not least <= number <= most:
            raise ValueError
        return number

    return parse


_SECONDS = "a number of seconds above 0, such as 2.5"
_POOL = "a whole number from 1 up"

_SETTINGS: dict[str, tuple[Any, Callable[[Any], Any], str]] = {
    "UPSTREAM_URL": (
        "http://127.0.0.1:8081",
        _http_url,
        "an http:// or https:// URL without a query, such as http://127.0.0.1:8081",
    ),
    "UPSTREAM_CLIENT": ("requests", _client, f"one of {', '.join(CLIENTS)}"),
    "UPSTREAM_TIMEOUT": (30, _seconds, _SECONDS),
    "UPSTREAM_CONNECT_TIMEOUT": (2, _seconds, _SECONDS),
    "UPSTREAM_POOL": (256, _whole(1), _POOL),
    "DATABASE_URL": (
        "postgresql:///demo",
        _database_url,
        "a libpq URL, such as postgresql://user:password@host:5432/name with special characters "
        "%-quoted, or a key=value string, such as dbname=demo",
    ),
    "DATABASE_POOL": (10, _whole(1), _POOL),
    "DATABASE_POOL_TIMEOUT": (5, _seconds, _SECONDS),
    "DATABASE_CONNECT_TIMEOUT": (5, _seconds, _SECONDS),
    "TRUSTED_PROXIES": (0, _whole(0), "a whole number from 0 up"),
    "PSYCOGREEN": (1, _whole(0, 1), "0 or 1"),
}
