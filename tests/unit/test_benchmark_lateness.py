"""How much later than due the script that puts a load on a site takes its requests for."""

from __future__ import annotations

import pytest
from bench_hosts import script

load = script("load/lateness.py")


def test_how_late_a_start_was_is_held_against_when_it_was_due():
    """Two each 20 ms; the fourth came 5 ms late, and the last two 1 s."""
    starts = [7.0, 7.0, 7.02, 7.025, 8.04, 8.04]
    assert load.late(starts, 2, 20, 6.99) == pytest.approx([0, 0, 0, 0.005, 1, 1])


def test_a_first_start_that_was_late_makes_nothing_else_early():
    assert load.late([5.3, 5.31, 5.32], 1, 100, 5.115) == pytest.approx([0.18, 0.09, 0], abs=0.001)


def test_when_all_starts_were_late_the_engines_own_beginning_tells():
    assert load.late([5.3, 5.4], 1, 100, 5.0) == pytest.approx([0.3, 0.3])


ROWS = [(i / 100, 200, 0.1) for i in range(1000)]  # of 100 a second


def judged(rows, resent=0, seconds=10):
    return load.judged(rows, 0, {"seconds": seconds}, 100, resent)


def test_the_wait_of_a_request_is_since_it_was_due():
    rows = [*ROWS[:985], *((i / 100 + 0.5, 200, 0.1) for i in range(985, 1000))]
    failed, p99, lag, lates = judged(rows)
    assert lates == pytest.approx([0] * 985 + [0.5] * 15)
    assert (failed, p99) == (0, pytest.approx(0.6))
    assert lag == pytest.approx({"p50": 0, "p99": 0.5, "max": 0.5})


def test_one_of_a_hundred_may_be_slow_where_there_are_enough_to_tell():
    slow = [(i / 100, 200, 0.4) for i in range(990, 1000)]
    assert judged([*ROWS[:990], *slow])[1] == pytest.approx(0.1)
    assert judged([*ROWS[:989], (9.89, 200, 0.4), *slow])[1] == pytest.approx(0.4)
    assert judged([*ROWS[:998], (9.98, 200, 0.4)], seconds=9.99)[1] == pytest.approx(0.4)


def asked_again(number):
    """Return the rows in which so many, one in fifty, came a second later."""
    late = {50 * place for place in range(number)}
    return sorted((start + (i in late), 200, 0.1) for i, (start, _, _) in enumerate(ROWS))


def test_connections_asked_for_again_count_as_a_second_late():
    assert judged(asked_again(10), resent=10)[1] == pytest.approx(0.1, abs=0.02)
    failed, p99, lag, lates = judged(asked_again(11), resent=11)
    assert (failed, p99, lag["p99"]) == (
        0,
        pytest.approx(1.1, abs=0.02),
        pytest.approx(1, abs=0.02),
    )
    assert lag["p50"] == pytest.approx(0, abs=0.001)  # the others were there in time
    assert sum(lates) == pytest.approx(11, abs=0.1)
    assert min(row[0] - late for row, late in zip(asked_again(11), lates, strict=True)) >= 0


def test_connections_that_others_asked_for_again_make_nothing_late():
    assert judged(ROWS, resent=1000)[1] == pytest.approx(0.1)


def test_a_try_with_a_failure_has_no_p99():
    assert judged(ROWS[:997]) == (3, None, None, None)
    failed, p99, lag, _ = judged([*ROWS[:999], (9.99, 503, 0.1)])
    assert (failed, p99) == (1, None)
    assert lag["max"] == pytest.approx(0)
