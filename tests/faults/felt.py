"""What clients feel of a fault: an open loop on each of the site's routes, while something is broken."""

from __future__ import annotations

import time
from contextlib import ExitStack

from bench.clients import Answer, Clients

# Of what asks upstream, of what asks upstream and then the database, and of what asks nobody.
ROUTES = {"page": "/?delay=0.2", "database": "/db?delay=0.2", "unrelated": "/healthz"}
RATE = 10  # requests a second, on each
GOOD = 2  # seconds without a failure after which all is taken to be well again
# What promises call a bound, in seconds: nginx gives up 10 s after app_timeout (30). And the shortest wait for what is
# away (app_database_timeout), which nobody has who does not need it.
BOUND, HELD = 45, 5


class Felt:
    """A context, of clients that come from its begin to its end; `strike` says when the fault came.

    routes: {name: path} of what they ask for.
    """

    def __init__(self, lab, routes=ROUTES):
        self.clients = {
            name: Clients(f"{lab.prefix}.11", path, RATE) for name, path in routes.items()
        }
        self.struck = self.healed = 0.0
        self._stack = ExitStack()

    def __enter__(self):
        for clients in self.clients.values():
            self._stack.enter_context(clients)
        time.sleep(GOOD)
        assert not any(clients.failures for clients in self.clients.values()), self
        return self

    def __exit__(self, *told):
        self._stack.close()

    def strike(self, fault):
        """Break something by calling `fault`; return what it returns."""
        self.struck = time.monotonic()
        return fault()

    def lasts(self, seconds):
        """Let the fault last until so many seconds after it struck."""
        time.sleep(max(0, self.struck + seconds - time.monotonic()))

    def heal(self, cure):
        """End the fault by calling `cure`."""
        cure()
        self.healed = time.monotonic()

    def recovers(self, seconds=120):
        """Wait until requests of all routes have been served for a while, or fail with what became of them."""
        end = time.monotonic() + seconds
        while True:
            time.sleep(0.5)
            since = time.monotonic() - GOOD
            lately = [
                [one for one in clients.answers if one.due > since]
                for clients in self.clients.values()
            ]
            if all(some and not any(one.wrong for one in some) for some in lately):
                return
            assert time.monotonic() < end, f"not served again after {seconds} s\n{self}"

    def failed(self, route) -> list[Answer]:
        """Return the requests of a route that failed, in the order in which they were due."""
        wrong = [one for one in self.clients[route].answers if one.wrong]
        return sorted(wrong, key=lambda one: one.due)

    def in_flight(self, route) -> int:
        """Return how many requests of a route were on their way when it struck."""
        answers = self.clients[route].answers
        return sum(one.due <= self.struck <= one.due + one.seconds for one in answers)

    def away(self, route) -> float:
        """Return the seconds from when it struck until when the last request that failed was due."""
        return max([one.due - self.struck for one in self.failed(route)] or [0.0])

    def after(self, route) -> list[Answer]:
        """Return the requests of a route that were due after it struck, and failed."""
        return [one for one in self.failed(route) if one.due > self.struck]

    def statuses(self, route) -> set[int]:
        """Return what requests that failed were answered with, 0 where there was no answer."""
        return {one.status for one in self.failed(route)}

    def unaffected(self, *routes):
        """Assert that no request of these failed, or waited as those do that need what is away."""
        for route in routes:
            assert self.failed(route) == [], self
            assert self.slowest(route) < HELD, self

    def slowest(self, route) -> float:
        """Return the seconds of the longest answer to a request due since shortly before it struck."""
        since = self.struck - GOOD
        answers = self.clients[route].answers
        return max([one.seconds for one in answers if one.due >= since] or [0.0])

    def p99(self, route) -> tuple[float, float]:
        """Return the 99th percentile of the seconds that answers took, before it struck and from then on."""
        answers = self.clients[route].answers
        parts = (
            sorted(one.seconds for one in answers if (one.due >= self.struck) == after)
            for after in (False, True)
        )
        before, during = (part[int(0.99 * len(part))] if part else 0.0 for part in parts)
        return before, during

    def summary(self) -> str:
        """Return what clients felt, as a cell of a table."""
        parts = []
        for name, clients in self.clients.items():
            failed = self.failed(name)
            if failed:
                answered = ", ".join(
                    str(status or "no answer") for status in sorted(self.statuses(name))
                )
                within = max(one.seconds for one in failed)
                parts.append(
                    f"{name}: {len(failed)} of {clients.sent} failed ({answered}, within {within:.1f} s), "
                    f"the last {self.away(name):.1f} s after the fault came"
                )
            else:
                before, during = self.p99(name)
                parts.append(
                    f"{name}: 0 of {clients.sent} failed, p99 {before:.2f} s before, {during:.2f} s from then on, "
                    f"slowest {self.slowest(name):.1f} s"
                )
        if self.healed:
            parts.append(f"the fault lasted {self.healed - self.struck:.0f} s")
        return "; ".join(parts)

    def __str__(self):
        lines = []
        for name, clients in self.clients.items():
            failed = self.failed(name)
            lines.append(
                f"{name}: {clients.sent} asked, {len(failed)} failed {sorted(self.statuses(name)) or ''}, "
                f"{self.in_flight(name)} in flight when it struck, away for {self.away(name):.1f} s, "
                f"slowest {self.slowest(name):.2f} s"
            )
            lines += [
                f"    {one.due - self.struck:+.2f} s, {one.seconds:.2f} s: {one.wrong[:60]}"
                for one in failed[:3]
            ]
        return "\n".join(lines)


def suffering(lab, told):
    """Return a function that breaks something in a lab while clients come, and tells the table what they felt."""

    def suffered(fault, promise, strike, heal=None, seconds=120, lasts=30, routes=ROUTES):
        with Felt(lab, routes) as felt:
            try:
                felt.strike(strike)
                felt.lasts(lasts if heal else 0)
            finally:
                if heal:
                    felt.heal(heal)
            felt.recovers(seconds)
        told(fault, promise, felt.summary())
        answers = [one for each in felt.clients.values() for one in each.answers if one.status]
        assert max(one.seconds for one in answers) < BOUND, felt
        return felt

    return suffered
