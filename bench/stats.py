"""What the rounds show: ratios of paired rounds, their intervals, the noise floor, percentiles' intervals.

Everything here is a pure function without chance: the same figures give the same interval each time.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median

LEAST_PAIRS = 6  # with fewer, even the range of all pairs is no 95 % interval of their median
LEAST_DIFFERENCE = 0.03  # smaller ones are nothing to act on, however surely they are there
_TAIL = 0.025  # left out at either end of an interval of 95 %


@dataclass(frozen=True)
class Ratio:
    """How many times the second one's figure the first one's is; no interval below LEAST_PAIRS."""

    estimate: float
    low: float | None
    high: float | None
    pairs: int

    @property
    def half_width(self) -> float | None:
        """Return how far from its middle the interval reaches, a share; None without an interval.

        The same of the ratio and of its inverse: 2.0 to 2.1 is known as well as 0.48 to 0.50.
        """
        if self.low is None or self.high is None:
            return None
        return math.sqrt(self.high / self.low) - 1

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
    return _ratio(median(logs), median_interval(logs), len(logs))


def unpaired_ratio(ours: Iterable[float], theirs: Iterable[float]) -> Ratio | None:
    """Return the ratio of two series that share no rounds, such as two sessions'; None without one."""
    first, second = (_middle([v for v in side if v > 0]) for side in (ours, theirs))
    return over(first, second) if first and second else None


def over(ratio: Ratio, other: Ratio) -> Ratio:
    """Return how many times the other one ratio is, where the two share no rounds.

    How far off each can be adds up as independent errors do, so that the interval is rather too wide
    than too narrow.
    """
    middle, bounds = math.log(ratio.estimate / other.estimate), None
    if ratio.low and ratio.high and other.low and other.high:
        below, above = (math.log(ratio.estimate / ratio.low), math.log(ratio.high / ratio.estimate))
        its_above = math.log(other.high / other.estimate)
        its_below = math.log(other.estimate / other.low)
        bounds = middle - math.hypot(below, its_above), middle + math.hypot(above, its_below)
    return _ratio(middle, bounds, min(ratio.pairs, other.pairs))


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the interval of 95 % of the values' median, None for fewer than LEAST_PAIRS.

    How many of n values fall below their median is binomial, whatever they are like, so the interval
    between two of them holds it with a known chance. Between the last pair with 95 % or more and the
    next within it, it is interpolated as Hettmansperger and Sheather (1986) do, who take one hump for
    granted. Resamples of so few values are no substitute: their medians are too few, and hold it too
    seldom.
    """
    size, ordered = len(values), sorted(values)
    if size < LEAST_PAIRS:
        return None
    # The chance that fewer than `rank` lie below the median, and that fewer than one more do.
    rank, below, more = 0, 0.0, 1 / (1 << size)
    while more <= _TAIL:
        rank, below = rank + 1, more
        more += math.comb(size, rank) / (1 << size)
    inwards = (_TAIL - below) / (more - below)
    share = (size - rank) * inwards / (rank + (size - 2 * rank) * inwards)

    def between(outer: float, inner: float) -> float:
        return outer + share * (inner - outer)

    return (
        between(ordered[rank - 1], ordered[rank]),
        between(ordered[size - rank], ordered[size - rank - 1]),
    )


def noise_floor(twins: Iterable[Ratio | None]) -> float | None:
    """Return how far from 1 the ratio of a cell to its own duplicate can be, a share; None if not known.

    That is the bound of its interval that is further from 1; of several duplicates, the worst.
    """
    bounds = [
        _away(bound)
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
    return _away(ratio.estimate) > threshold(floor)


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


def _away(ratio: float) -> float:
    """Return how far from 1 it is, a share of the greater side: 0.5 of 2 as of 0.5, so always below 1."""
    return 1 - min(ratio, 1 / ratio)


def _middle(values: Sequence[float]) -> Ratio | None:
    """Return the median of figures, as a ratio to 1; None without any."""
    logs = [math.log(value) for value in values]
    return _ratio(median(logs), median_interval(logs), len(logs)) if logs else None


def _ratio(middle: float, bounds: tuple[float, float] | None, pairs: int) -> Ratio:
    low, high = (math.exp(bound) for bound in bounds) if bounds else (None, None)
    return Ratio(math.exp(middle), low, high, pairs)


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
