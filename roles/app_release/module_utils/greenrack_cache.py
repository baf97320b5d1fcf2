"""The controller's cache, which one process at a time may write."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager


@contextmanager
def locked(cache):
    """Make the cache's directory, and keep it from others."""
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
