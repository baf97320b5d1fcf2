"""Ratios of paired rounds, their intervals, the noise floor, and percentiles' intervals."""

import math

import pytest
from bench_sessions import seeded

from bench import stats
from bench.stats import (
    Ratio,
    differs,
    noise_floor,
    paired_ratio,
    percentile_interval,
    threshold,
    unpaired_ratio,
)


def rounds(*values):
    return dict(enumerate(values, 1))


def noisy(rng, count=10, noise=0.05, factor=1.0):
    return rounds(*(factor * math.exp(rng.gauss(0, noise)) for _ in range(count)))


def test_the_estimate_is_the_median_of_the_rounds_ratios():
    ratio = paired_ratio(rounds(2, 30, 4, 8, 10, 12, 14), rounds(1, 10, 2, 4, 5, 6, 7))
    assert ratio.estimate == pytest.approx(2)
    assert ratio.pairs == 7


def test_only_rounds_that_both_have_are_pairs():
    ours, theirs = {1: 2.0, 2: 2.0, 3: 50.0}, {2: 1.0, 1: 1.0, 4: 9.0}
    assert paired_ratio(ours, theirs) == Ratio(pytest.approx(2), None, None, 2)
    assert paired_ratio({1: 2.0}, {2: 1.0}) is None
    assert paired_ratio({1: 2.0}, {1: 0.0}) is None


@pytest.mark.parametrize(("pairs", "told"), [(5, False), (6, True)])
def test_there_is_no_interval_of_fewer_than_six_pairs(pairs, told):
    ratio = paired_ratio(rounds(*[1.5] * pairs), rounds(*[1.0] * pairs))
    assert (ratio.low is not None, ratio.high is not None) == (told, told)
    assert differs(ratio, None) is told


def test_pairing_removes_what_drifts_from_round_to_round():
    rng = seeded(1)
    drift = [rng.uniform(0.5, 1) for _ in range(10)]
    ours = rounds(*(1.1 * slow for slow in drift))
    assert paired_ratio(ours, rounds(*drift)).half_width == pytest.approx(0)
    assert unpaired_ratio(ours.values(), drift).half_width > 0.1


def test_the_other_way_round_everything_is_the_inverse():
    rng = seeded(3)
    for count in range(6, 31):
        for _ in range(20):
            ours, theirs = noisy(rng, count), noisy(rng, count)
            turned, back = paired_ratio(ours, theirs).inverse(), paired_ratio(theirs, ours)
            assert turned.estimate == pytest.approx(back.estimate)
            assert (turned.low, turned.high) == pytest.approx((back.low, back.high))


# Chances that the interval holds the truth, whatever the number of rounds; 3000 tries are 1 % exact.
@pytest.mark.parametrize("count", [6, 7, 8, 10, 15])
def test_the_interval_holds_the_truth_as_often_as_it_says(count):
    rng = seeded(3)
    found = [paired_ratio(noisy(rng, count), noisy(rng, count)) for _ in range(3000)]
    assert all(ratio.low < ratio.estimate < ratio.high for ratio in found)
    assert 0.93 <= sum(ratio.low <= 1 <= ratio.high for ratio in found) / 3000 <= 0.97


def test_the_interval_of_two_series_holds_the_truth_at_least_as_often():
    rng = seeded(4)
    pairs = [(noisy(rng, 7).values(), noisy(rng, 10, 0.1).values()) for _ in range(3000)]
    found = [unpaired_ratio(*pair) for pair in pairs]
    assert 0.94 <= sum(ratio.low <= 1 <= ratio.high for ratio in found) / 3000 <= 0.99


def test_an_interval_is_that_of_the_tables():
    """Of six values, all hold it with 96.9 %, the inner four with 78.1: a tenth of the way, weighted 5 to 1."""
    low, high = stats.median_interval([3, 1, 4, 2, 6, 5])
    assert (low, high) == pytest.approx((1 + 5 / 14, 6 - 5 / 14))
    assert stats.median_interval([1.0] * 5) is None
    assert stats.median_interval(range(2001))[0] == pytest.approx(1000 - 44, abs=1)


def test_how_well_a_ratio_is_known_is_a_share():
    known = Ratio(2.0, 1.9, 2.1, 10)
    assert known.half_width == pytest.approx(0.051, abs=0.001)
    assert known.inverse().half_width == pytest.approx(known.half_width)


def test_of_two_sessions_every_round_counts():
    ratio = unpaired_ratio([2.0] * 6, [4.0] * 8)
    assert ratio == Ratio(pytest.approx(0.5), pytest.approx(0.5), pytest.approx(0.5), 6)
    wide = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert unpaired_ratio([2.0] * 6, wide).half_width > 0.1
    assert unpaired_ratio(wide, [2.0] * 6).half_width > 0.1
    assert unpaired_ratio([2.0] * 5, [1.0] * 8).low is None
    assert unpaired_ratio([], [1.0]) is None


def test_the_noise_floor_is_the_bound_further_from_one():
    assert noise_floor([Ratio(1.0, 0.95, 1.03, 10)]) == pytest.approx(0.05)
    assert noise_floor([Ratio(1.0, 0.99, 1.04, 10)]) == pytest.approx(1 - 1 / 1.04)
    twice = [Ratio(1.0, 0.98, 1.01, 10), Ratio(1.0, 0.93, 1.01, 10), None]
    assert noise_floor(twice) == pytest.approx(0.07)
    assert noise_floor([Ratio(1.2, None, None, 3)]) is None
    assert noise_floor([]) is None


@pytest.mark.parametrize("twin", [Ratio(1.3, 0.9, 2.4, 7), Ratio(0.8, 0.3, 1.1, 7)])
def test_a_noise_of_more_than_twice_still_lets_more_be_shown(twin):
    """It is a share of the greater side, as differences are, and the same whichever is the duplicate."""
    floor = noise_floor([twin])
    assert floor == pytest.approx(noise_floor([twin.inverse()]))
    assert floor < 1
    much = Ratio(8.0, 7.0, 9.0, 7)
    assert differs(much, floor) is differs(much.inverse(), floor) is True
    assert not differs(Ratio(2.2, 2.1, 2.3, 7), floor)


@pytest.mark.parametrize(
    ("low", "estimate", "high", "floor", "shown"),
    [
        (1.01, 1.04, 1.07, None, True),
        (0.99, 1.04, 1.07, None, False),  # 1 is in the interval
        (1.01, 1.029, 1.07, None, False),  # below 3 %
        (1.01, 1.029, 1.07, 0.01, False),  # a low floor does not lower the 3 %
        (1.01, 1.04, 1.07, 0.05, False),  # below the noise floor
        (1.01, 1.06, 1.09, 0.05, True),
        (0.80, 0.90, 0.99, 0.05, True),
        (0.80, 0.90, 1.01, 0.05, False),
    ],
)
def test_a_difference_is_outside_the_interval_and_beyond_the_noise(
    low, estimate, high, floor, shown
):
    assert differs(Ratio(estimate, low, high, 10), floor) is shown


@pytest.mark.parametrize(
    ("estimate", "shown"), [(0.83, False), (1.2, False), (0.81, True), (1.23, True)]
)
def test_a_difference_exceeds_the_noise_whichever_cell_comes_first(estimate, shown):
    """0.83 is 17 % less, and within a noise of 18 %, though the other way round it is 20 % more."""
    ratio = Ratio(estimate, 0.95 * estimate, 1.05 * estimate, 10)
    assert differs(ratio, 0.18) is differs(ratio.inverse(), 0.18) is shown


def test_three_percent_are_the_least_difference():
    assert [threshold(floor) for floor in (None, 0.01, 0.08)] == [0.03, 0.03, 0.08]


def test_percentiles_intervals_are_those_of_the_tables():
    hundred = [float(n) for n in range(1, 101)]
    assert percentile_interval(hundred, 500) == (40, 61)
    ten = [float(n) for n in range(1, 11)]
    assert percentile_interval(ten, 500) == (2, 9)
    assert percentile_interval(ten, 990) == (9, None)
    assert percentile_interval([1.0, 2.0], 500) == (None, None)


def test_a_percentiles_interval_holds_the_truth_as_often_as_it_says():
    rng, held = seeded(4), 0
    for _ in range(300):
        low, high = percentile_interval(sorted(rng.random() for _ in range(2000)), 990)
        held += low <= 0.99 <= high
    assert 0.92 <= held / 300 <= 0.99
