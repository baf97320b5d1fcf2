"""What a second of CPU was worth: how much of a run's CPU is put down to a processor that was slower then.

The watcher times a fixed piece of Python while the application uses CPU (`yardstick_seconds`). What
slows that piece down need not slow the application down as much: by how much is seen in the session
itself, in how the CPU of the same cell went with it from round to round.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, median
from typing import Any

from bench.stats import LEAST_PAIRS
from bench.table import cpu_ms

Doc = dict[str, Any]


@dataclass(frozen=True)
class Pace:
    """The speed of a session's processors.

    usual   what the same work usually took on each of the application's hosts, CPU seconds
    ranges  how many times that it took at least and at most, by host
    share   how much of a slowdown the application's CPU had, from 0 to 1; with 0 it is told as measured
    """

    usual: dict[str, float] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    share: float = 0.0

    def cpu_ms(self, doc: Doc) -> float | None:
        """Return the application's CPU milliseconds a 2xx answer at the usual speed, None as bench.table's."""
        measured, slower = cpu_ms(doc), _slowness(doc, self.usual)
        if measured is None or slower is None:
            return measured
        return float(measured / slower**self.share)


def pace_of(groups: Iterable[Sequence[Doc]]) -> Pace:
    """Return the pace of a session; each group is the results of one cell under one load."""
    watched = [[doc for doc in group if cpu_ms(doc)] for group in groups]
    took: dict[str, list[float]] = {}
    for doc in (doc for group in watched for doc in group):
        for host in doc["cell"]["app"]:
            if host.get("host") and host.get("yardstick_seconds"):
                took.setdefault(host["host"], []).append(host["yardstick_seconds"])
    usual = {host: median(seconds) for host, seconds in took.items()}
    ranges = {h: (min(times) / usual[h], max(times) / usual[h]) for h, times in took.items()}
    return Pace(usual, ranges, _share(watched, usual))


def agreed(pace: Pace, twins: Iterable[tuple[Doc, Doc]]) -> Pace:
    """Return the pace if one cell, measured twice in a round, is less different with it, and else as measured.

    Where the piece of work says little of the application, what is taken off is noise of its own.
    """
    off = [
        (math.log(ours / theirs), math.log(one / other))
        for first, second in twins
        if (one := cpu_ms(first)) and (other := cpu_ms(second))
        if (ours := pace.cpu_ms(first)) and (theirs := pace.cpu_ms(second))
    ]
    if len(off) < LEAST_PAIRS:
        return pace
    freed, measured = (sum(ratio**2 for ratio in side) for side in zip(*off, strict=True))
    return pace if freed < measured else replace(pace, share=0.0)


def _share(groups: list[list[Doc]], usual: dict[str, float]) -> float:
    """Return the slope of log CPU on log slowness within the groups; 0 with too few, or with one unknown."""
    covariance = variance = 0.0
    pairs = 0
    for group in groups:
        known = [(_slowness(doc, usual), cpu_ms(doc)) for doc in group]
        logs = [(math.log(slow), math.log(cpu)) for slow, cpu in known if slow and cpu]
        if len(logs) < len(group):
            return 0.0  # some corrected and some not would differ by that alone
        if len(logs) > 1:
            x, y = (fmean(side) for side in zip(*logs, strict=True))
            covariance += sum((slow - x) * (cpu - y) for slow, cpu in logs)
            variance += sum((slow - x) ** 2 for slow, _ in logs)
            pairs += len(logs)
    if pairs < 2 * LEAST_PAIRS or variance <= 0:
        return 0.0
    return min(1.0, max(0.0, covariance / variance))


def _slowness(doc: Doc, usual: dict[str, float]) -> float | None:
    """Return how many times its usual time the same work took, by the CPU of each host; None if not known."""
    hosts = doc["cell"].get("app") or []
    total = sum(host["cpu_seconds"] for host in hosts)
    slower = 0.0
    for host in hosts:
        took, usually = host.get("yardstick_seconds"), usual.get(host.get("host") or "")
        if not took or not usually:
            return None
        slower += host["cpu_seconds"] * took / usually
    return slower / total if total else None
