"""Ceilings and percentiles."""

import pytest

from bench.ceiling import ceiling
from bench.percentiles import nearest_rank, summarise


def test_h2load_reaches_concurrency_over_delay_when_rounds_are_full():
    assert ceiling("h2load", 2000, 200, 1.0) == 200


def test_a_last_round_that_is_not_full_lowers_the_ceiling():
    assert ceiling("h2load", 201, 200, 1.0) == 201 / 2


def test_ab_sends_one_request_alone_first():
    assert ceiling("ab", 2000, 200, 1.0) == pytest.approx(2000 / 11)
    assert ceiling("ab", 10, 5, 1.0) == pytest.approx(10 / 3)
    assert ceiling("ab", 1, 1, 0.5) == 2


@pytest.mark.parametrize(("slots", "limit"), [(50, 50), (200, 200), (1000, 200), (None, 200)])
def test_fewer_slots_than_connections_lower_the_ceiling(slots, limit):
    assert ceiling("h2load", 2000, 200, 1.0, slots) == limit


@pytest.mark.parametrize("engine", ["h2load", "ab"])
def test_no_delay_no_ceiling(engine):
    assert ceiling(engine, 2000, 200, 0) is None


def test_nearest_rank_is_always_a_measured_value():
    ordered = [float(n) for n in range(1, 10_001)]
    assert nearest_rank(ordered, 500) == 5_000
    assert nearest_rank(ordered, 999) == 9_990  # 0.999 * 10000 in floats would give 9991
    assert nearest_rank([7.0], 500) == 7.0
    assert nearest_rank([1.0, 2.0], 500) == 1.0
    assert nearest_rank([1.0, 2.0, 3.0], 500) == 2.0


@pytest.mark.parametrize(
    ("name", "needed"), [("p50", 1), ("p95", 200), ("p99", 1_000), ("p99_9", 10_000)]
)
def test_a_percentile_needs_enough_requests(name, needed):
    assert summarise([1.0] * needed, "")[name] == 1.0
    assert summarise([1.0] * (needed - 1), "")[name] is None


def test_latencies_need_no_order():
    summary = summarise([3.0, 1.0, 2.0], "a test")
    assert (summary["min"], summary["p50"], summary["max"]) == (1.0, 2.0, 3.0)
    assert (summary["samples"], summary["source"]) == (3, "a test")
