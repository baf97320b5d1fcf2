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


def test_the_same_figures_give_the_same_interval():
    rng = seeded(2)
    pairs = [(noisy(rng, count), noisy(rng, count)) for count in range(6, 31) for _ in range(20)]
    found = [paired_ratio(*pair) for pair in pairs]
    stats._middles.cache_clear()  # as in another run
    assert [paired_ratio(*pair) for pair in pairs] == found
    assert all(ratio.low < ratio.estimate < ratio.high for ratio in found)


def test_the_other_way_round_everything_is_the_inverse():
    rng = seeded(3)
    for count in range(6, 31):
        for _ in range(20):
            ours, theirs = noisy(rng, count), noisy(rng, count)
            turned, back = paired_ratio(ours, theirs).inverse(), paired_ratio(theirs, ours)
            assert turned.estimate == pytest.approx(back.estimate)
            assert (turned.low, turned.high) == pytest.approx((back.low, back.high))


@pytest.mark.parametrize("count", [6, 9, 10])
def test_the_interval_holds_the_truth_as_often_as_it_says(count):
    rng = seeded(3)
    found = [paired_ratio(noisy(rng, count), noisy(rng, count)) for _ in range(400)]
    held = sum(ratio.low <= 1 <= ratio.high for ratio in found)
    assert 0.90 <= held / 400 <= 0.995


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
    assert noise_floor([Ratio(1.0, 0.99, 1.04, 10)]) == pytest.approx(0.04)
    twice = [Ratio(1.0, 0.98, 1.01, 10), Ratio(1.0, 0.93, 1.01, 10), None]
    assert noise_floor(twice) == pytest.approx(0.07)
    assert noise_floor([Ratio(1.2, None, None, 3)]) is None
    assert noise_floor([]) is None


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
