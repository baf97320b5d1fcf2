"""The requests of all rounds of a cell under a load, put together before any percentile is taken."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

from bench.experiment import Experiment, Load, Run
from bench.percentiles import PERCENTILES, nearest_rank
from bench.stats import percentile_interval

Interval = tuple[float | None, float | None]


@dataclass(frozen=True)
class Pool:
    """Latencies in seconds, ascending, and the rounds they are from."""

    latencies: "array[float]"
    rounds: int

    def percentile(self, name: str) -> tuple[float, Interval] | None:
        """Return a percentile, such as "p99", and its interval; None with too few requests for it."""
        per_mille, needed = PERCENTILES[name]
        if len(self.latencies) < needed:
            return None
        value = nearest_rank(self.latencies, per_mille)
        return value, percentile_interval(self.latencies, per_mille)

    def from_on(self, seconds: float) -> float:
        """Return the share of requests that took at least so long."""
        return 1 - bisect_left(self.latencies, seconds) / len(self.latencies)

    def tail(self, steps_a_decade: int = 24) -> list[tuple[float, float]]:
        """Return (decades, seconds): the slowest 10 %, 1 %, ... of requests are 1, 2, ... decades out.

        It ends where fewer than ten requests lie beyond.
        """
        count, points, step = len(self.latencies), [], 0
        while count * 10 ** (-step / steps_a_decade) >= 10:
            beyond = 10 ** (-step / steps_a_decade)
            rank = min(count - 1, max(0, round(count * (1 - beyond)) - 1))
            points.append((step / steps_a_decade, self.latencies[rank]))
            step += 1
        return points


def pool(experiment: Experiment, cell: str, load: Load) -> Pool | None:
    """Return the pooled requests, None where no log was kept, or where each round had its own rate."""
    if load.kind == "search":
        return None
    kept = [run.raw.latencies for run in _with_log(experiment.of(cell, load).values())]
    latencies = array("d", sorted(chain.from_iterable(kept)))
    return Pool(latencies, len(kept)) if latencies else None


def completions(runs: Iterable[Run], width: float) -> list[list[float]]:
    """Return of each run the 2xx answers a second, in steps of `width` seconds from its first request."""
    series = []
    for run in _with_log(runs):
        ends = run.raw.ends
        if ends:
            counts = [0] * (int(max(ends) / width) + 1)
            for end in ends:
                counts[max(0, int(end / width))] += 1
            series.append([count / width for count in counts])
    return series


def _with_log(runs: Iterable[Run]) -> list[Any]:
    return [run for run in runs if run.raw is not None]
