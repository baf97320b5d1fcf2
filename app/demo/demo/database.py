"""The application's PostgreSQL database."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from flask import Flask, current_app
from psycopg2 import InterfaceError, OperationalError
from psycopg2.extensions import connection, cursor, get_wait_callback, parse_dsn

from demo.errors import Failure
from demo.per_process import PerProcess
from demo.pool import Pool, PoolTimeout

RETRY_AFTER = 2  # seconds; tells clients when to come back

# What the URL does not say. A host that vanished is noticed in 15 seconds, not in a quarter of
# an hour, which is what TCP takes by itself: before the proxy gives up, and in the application's own
# words. A query may take longer, for the kernel of a host that is there answers meanwhile.
_DEFAULTS = {
    "application_name": "demo",
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "10000",  # milliseconds
}

# Seconds for which a connection is tried again where nobody listens any more: as long, a restart may take. Who asks
# later is refused at once, so that requests which wait in vain do not take all of the server's places.
RESTART = 3.0
# As libpq says it, and PostgreSQL where it speaks English; in another language it is refused at once.
_ABSENT = ("Connection refused", "No such file or directory", "the database system is ")

_GONE = (OperationalError, InterfaceError, PoolTimeout)


class Database:
    """The database at url, over at most pool_size connections of each process.

    pool_timeout: seconds to wait for a connection to be free. connect_timeout: seconds to wait
    for a new one.
    """

    def __init__(
        self, url: str, pool_size: int, pool_timeout: float, connect_timeout: float
    ) -> None:
        self._dsn: dict[str, Any] = {**_DEFAULTS, **parse_dsn(url)}
        self._pool_timeout = pool_timeout
        self._connect_timeout = connect_timeout
        self._absent_since: float | None = None
        self._pools = PerProcess(lambda: Pool(self._connect, pool_size))

    @contextmanager
    def transaction(self, until: float = math.inf) -> Iterator[cursor]:
        """Give a cursor in a transaction, committed at the end or rolled back by an exception.

        until: when, by time.monotonic(), not to wait for a connection to be free any longer.

        Failure 503 when the database cannot be reached or all connections stay busy.
        """
        try:
            with self._pools.get().transaction(self._pool_timeout, until) as cur:
                yield cur
        except _GONE as error:
            # The reason is for the log: it tells addresses and names of ours.
            raise Failure(
                503, "the database is not available", cause=error, retry_after=RETRY_AFTER
            ) from error

    def check(self, timeout: float) -> None:
        """Return when the database answers a query, else Failure 503 with the reason.

        Takes up to timeout seconds for a free connection, and as many for a new one: one that
        is already open could wait much longer for a server that went silent.
        """
        try:
            self._pools.get().replace_one(timeout, lambda: self._probe(timeout))
        except (psycopg2.Error, PoolTimeout) as error:
            raise Failure(503, f"the database is not available: {self._tell(error)}") from error

    def _connect(self) -> connection:
        while True:
            try:
                conn = connect(self._dsn, self._connect_timeout)
            except OperationalError as error:
                if not self._may_come_back(str(error)):
                    raise
                time.sleep(0.1)
            else:
                self._absent_since = None
                return conn

    def _may_come_back(self, error: str) -> bool:
        """Return whether the server is away, and not for longer than a restart takes."""
        if not any(words in error for words in _ABSENT):
            return False
        self._absent_since = self._absent_since or time.monotonic()
        return time.monotonic() - self._absent_since < RESTART

    def _probe(self, timeout: float) -> connection:
        conn = connect(self._dsn, timeout)
        with conn.cursor() as cur:
            cur.execute("SELECT 1")
        return conn

    def _tell(self, error: Exception) -> str:
        text = " ".join(str(error).split())
        password = self._dsn.get("password")
        return text.replace(password, "***") if password else text


def connect(dsn: dict[str, Any], timeout: float) -> connection:
    """Return a new connection in autocommit mode; OperationalError after timeout seconds.

    libpq rounds the timeout up to whole seconds, 2 at least.
    """
    if get_wait_callback() is None:
        conn = psycopg2.connect(**{**dsn, "connect_timeout": max(2, math.ceil(timeout))})
    else:
        # libpq leaves its own timeout to whoever waits in its place.
        import gevent

        # A local name for the error would keep it, and so the connection, in a circle.
        with gevent.Timeout(timeout, OperationalError(f"no answer within {timeout:g} seconds")):
            conn = psycopg2.connect(**dsn)
    conn.autocommit = True
    return conn


def init_app(app: Flask) -> None:
    """Give the application its database."""
    app.extensions["demo_database"] = Database(
        app.config["DATABASE_URL"],
        pool_size=app.config["DATABASE_POOL"],
        pool_timeout=app.config["DATABASE_POOL_TIMEOUT"],
        connect_timeout=app.config["DATABASE_CONNECT_TIMEOUT"],
    )


def get_database() -> Database:
    """Return the current application's database."""
    return current_app.extensions["demo_database"]
