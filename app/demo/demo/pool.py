"""A small pool of PostgreSQL connections, for threads and greenlets alike."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg2
from psycopg2.extensions import connection, cursor


class PoolTimeout(Exception):
    """No connection became free in time."""


class Pool:
    """Up to size connections, each made by connect() in autocommit mode when first needed.

    psycopg2's own pools raise when all connections are taken; this one waits.
    """

    def __init__(self, connect: Callable[[], connection], size: int) -> None:
        self._connect = connect
        self._free = threading.BoundedSemaphore(size)
        # The last one used comes first, so that a quiet application works on a few of them.
        self._idle: deque[connection] = deque()

    @contextmanager
    def transaction(self, timeout: float, until: float = math.inf) -> Iterator[cursor]:
        """Give a cursor in a transaction, committed at the end or rolled back by an exception.

        until: when, by time.monotonic(), there is no more use in waiting for one.

        Raises PoolTimeout when no connection is free within timeout seconds or until then, and
        psycopg2's OperationalError or InterfaceError when the database is, or goes, away.
        """
        with self._slot(max(0, min(timeout, until - time.monotonic()))):
            conn = self._begin(until)
            try:
                with conn.cursor() as cur:
                    yield cur
                    cur.execute("COMMIT")
            except BaseException:
                # This rolls back, and whatever state a killed greenlet or a lost server left
                # the connection in, nobody gets it next.
                conn.close()
                raise
            self._idle.append(conn)

    def replace_one(self, timeout: float, connect: Callable[[], connection]) -> None:
        """Close an idle connection, if there is one, and keep what connect() returns instead.

        Raises PoolTimeout as transaction() does, and whatever connect() raises.
        """
        with self._slot(timeout):
            with suppress(IndexError):
                self._idle.pop().close()
            self._idle.append(connect())

    @contextmanager
    def _slot(self, timeout: float) -> Iterator[None]:
        if not self._free.acquire(timeout=timeout):
            raise PoolTimeout(f"no connection was free for {timeout:.3g} seconds")
        try:
            yield
        finally:
            self._free.release()

    def _begin(self, until: float) -> connection:
        """Return a connection in a new transaction: an idle one, or a new one if it has died.

        A connection may die unnoticed while it is idle. BEGIN is what finds out: it comes
        before any statement of the application, so nothing is ever run twice.
        """
        with suppress(IndexError, psycopg2.OperationalError, psycopg2.InterfaceError):
            return _begun(self._idle.pop())
        if time.monotonic() > until:
            raise PoolTimeout("the connection that was free is dead, and no time left for another")
        return _begun(self._connect())


def _begun(conn: connection) -> connection:
    try:
        with conn.cursor() as cur:
            cur.execute("BEGIN")
    except BaseException:
        conn.close()
        raise
    return conn
