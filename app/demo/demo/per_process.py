"""Things that must not be shared between processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """One T in each process, made by make() when the process first asks for it.

    Servers fork after they have imported the application. Two processes that write to one
    inherited connection would mix up their answers.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        # The parent's entry is kept on purpose: to close an inherited connection would end it
        # for the parent as well.
        self._made: dict[int, T] = {}

    def get(self) -> T:
        """Return this process's T. make() may run twice in a race; one of the two is used."""
        pid = os.getpid()
        try:
            return self._made[pid]
        except KeyError:
            return self._made.setdefault(pid, self._make())
