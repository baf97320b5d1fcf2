"""What the rounds show: ratios of paired rounds, their intervals, the noise floor, percentiles' intervals.

Everything here is a pure function: the resamples come from a fixed seed, so the same figures give the
same interval each time.
"""

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median

LEAST_PAIRS = 6  # with fewer, even the range of all pairs is no 95 % interval of their median
LEAST_DIFFERENCE = 0.03  # smaller ones are nothing to act on, however surely they are there
RESAMPLES = 10_000
SEED = 1974
_TAIL = 0.025  # left out at either end of an interval of 95 %

Weighted = list[tuple[float, int]]  # values, and how many resamples came to each


@dataclass(frozen=True)
class Ratio:
    """How many times the second one's figure the first one's is; no interval below LEAST_PAIRS."""

    estimate: float
    low: float | None
    high: float | None
    pairs: int

    @property
    def half_width(self) -> float | None:
        """Return half of the interval's width, None without an interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    def inverse(self) -> "Ratio":
        """Return the ratio of the second to the first."""
        low = None if self.high is None else 1 / self.high
        high = None if self.low is None else 1 / self.low
        return Ratio(1 / self.estimate, low, high, self.pairs)


def paired_ratio(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Ratio | None:
    """Return the ratio of two cells' figures, by round, over the rounds both have; None without one.

    The estimate is the median of the rounds' ratios, taken as logarithms, so that a drift from round
    to round, which meets both, is not in it.
    """
    both = sorted(ours.keys() & theirs.keys())
    pairs = [(ours[n], theirs[n]) for n in both if ours[n] > 0 and theirs[n] > 0]
    if not pairs:
        return None
    logs = [math.log(a / b) for a, b in pairs]
    return _ratio(median(logs), _medians(logs) if len(logs) >= LEAST_PAIRS else None, len(logs))


def unpaired_ratio(ours: Iterable[float], theirs: Iterable[float]) -> Ratio | None:
    """Return the ratio of two series that share no rounds, such as two sessions'; None without one."""
    first, second = ([math.log(value) for value in side if value > 0] for side in (ours, theirs))
    if not first or not second:
        return None
    fewest = min(len(first), len(second))
    spread: Counter[float] | None = None
    if fewest >= LEAST_PAIRS:
        spread = Counter()
        others = _medians(second)
        for a, times in _medians(first):
            for b, times_b in others:
                spread[a - b] += times * times_b
    return _ratio(
        median(first) - median(second), sorted(spread.items()) if spread else None, fewest
    )


def noise_floor(twins: Iterable[Ratio | None]) -> float | None:
    """Return how far from 1 the ratio of a cell to its own duplicate can be; None if not known.

    That is the bound of its interval that is further from 1; of several duplicates, the worst.
    """
    bounds = [
        abs(bound - 1)
        for twin in twins
        if twin is not None
        for bound in (twin.low, twin.high)
        if bound is not None
    ]
    return max(bounds, default=None)


def differs(ratio: Ratio | None, floor: float | None) -> bool:
    """Return whether a difference is shown: 1 is outside the interval, the estimate beyond the noise."""
    if ratio is None or ratio.low is None or ratio.high is None:
        return False
    return (ratio.low > 1 or ratio.high < 1) and beyond(ratio, floor)


def beyond(ratio: Ratio, floor: float | None) -> bool:
    """Return whether the estimate is further from 1 than the noise, whichever way round it is told.

    0.83 is 17 % less, and 1 / 0.83 is 20 % more: in a noise of 18 %, neither is a difference.
    """
    return 1 - min(ratio.estimate, 1 / ratio.estimate) > threshold(floor)


def threshold(floor: float | None) -> float:
    """Return the difference that an estimate has to exceed: 3 %, or the noise floor above it."""
    return max(LEAST_DIFFERENCE, floor or 0.0)


def percentile_interval(
    ordered: Sequence[float], per_mille: int
) -> tuple[float | None, float | None]:
    """Return the values of `ordered`, ascending, between which the percentile lies with 95 %.

    By order statistics: how many of n requests fall below a percentile is binomial, whatever the
    latencies' distribution. A bound is None where too few requests lie on its side of it.
    """
    low, high = _ranks(len(ordered), per_mille)
    return (
        ordered[low - 1] if low >= 1 else None,
        ordered[high - 1] if high <= len(ordered) else None,
    )


def _ratio(middle: float, spread: Weighted | None, pairs: int) -> Ratio:
    if spread is None:
        return Ratio(math.exp(middle), None, None, pairs)
    total = sum(times for _, times in spread)
    low = _at(spread, _TAIL * total)
    high = _at(spread[::-1], _TAIL * total)
    return Ratio(math.exp(middle), math.exp(low), math.exp(high), pairs)


def _at(spread: Weighted, beyond: float) -> float:
    """Return the first value, in the order given, with at least `beyond` resamples up to it."""
    seen = 0
    for value, times in spread:
        seen += times
        if seen >= beyond:
            return value
    raise ValueError("no resamples")


def _medians(values: Sequence[float]) -> Weighted:
    """Return the medians of the resamples of `values`, ascending."""
    ordered = sorted(values)
    found: Counter[float] = Counter()
    for (lower, upper), times in _middles(len(ordered)).items():
        found[(ordered[lower] + ordered[upper]) / 2] += times
    return sorted(found.items())


@lru_cache
def _middles(size: int) -> Counter[tuple[int, int]]:
    """Return the ranks that stand in the middle of a resample of `size` values, and how often.

    A resample's median depends only on which ranks stand in its middle, so one set of resamples
    serves all figures. Each comes with its mirror image: a/b and b/a have the same interval then.
    """
    draw = random.Random(f"{SEED}/{size}")  # noqa: S311 - no secret
    found: Counter[tuple[int, int]] = Counter()
    for _ in range(RESAMPLES // 2):
        picked = sorted(draw.choices(range(size), k=size))
        lower, upper = picked[(size - 1) // 2], picked[size // 2]
        found[lower, upper] += 1
        found[size - 1 - upper, size - 1 - lower] += 1
    return found


@lru_cache
def _ranks(size: int, per_mille: int) -> tuple[int, int]:
    """Return the ranks (from 1) of the order statistics around a percentile; 0 and size + 1: none."""
    share = per_mille / 1000
    spread = 8 * math.sqrt(size * share * (1 - share)) + 8
    first, last = max(0, int(size * share - spread)), min(size, int(size * share + spread))
    low, high, below = 0, size + 1, 0.0
    for count in range(first, last + 1):
        if below <= _TAIL:  # P(fewer than `count` lie below the percentile)
            low = count
        below += math.exp(
            math.lgamma(size + 1)
            - math.lgamma(count + 1)
            - math.lgamma(size - count + 1)
            + count * math.log(share)
            + (size - count) * math.log1p(-share)
        )
        if below >= 1 - _TAIL:
            high = count + 1
            break
    return low, high
