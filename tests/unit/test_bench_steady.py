"""What counts as steady state, on answers made for it."""

import pytest

from bench.steady import steady_rate


def rounds(count, clients, seconds, spread=0.0):
    """Return the answers of clients that answer one after another within `spread` of each round."""
    return [
        (number * seconds + spread * client / clients, True)
        for number in range(1, count + 1)
        for client in range(clients)
    ]


def test_it_is_the_rate_of_whole_rounds():
    assert steady_rate(rounds(5, 10, 2.0), 10) == pytest.approx(5.0)
    assert steady_rate(rounds(5, 10, 2.0, spread=0.5), 10) == pytest.approx(5.0)


def test_a_slow_start_and_a_slow_end_are_no_part_of_it():
    answers = rounds(6, 10, 2.0, spread=0.1)
    slow = [(end - 3, ok) for end, ok in answers[:10]] + answers[10:50]
    slow += [(end + 7, ok) for end, ok in answers[50:]]
    late = steady_rate([*answers[:10], *slow[10:]], 10)
    assert late == pytest.approx(5.0)
    assert 60 / (slow[-1][0] - slow[0][0]) < 3.5  # what the run as a whole came to


def test_the_order_of_the_log_makes_no_difference():
    answers = rounds(5, 10, 2.0, spread=0.5)
    assert steady_rate(answers[::-1], 10) == steady_rate(answers, 10)


def test_failures_take_time_and_do_not_count():
    answers = [(end, number % 2 == 0) for number, (end, _) in enumerate(rounds(5, 10, 2.0))]
    assert steady_rate(answers, 10) == pytest.approx(2.5)


def test_three_rounds_are_the_fewest_that_show_it():
    assert steady_rate(rounds(3, 10, 2.0), 10) == pytest.approx(5.0)
    assert steady_rate(rounds(3, 10, 2.0)[:-1], 10) is None
    assert steady_rate([], 10) is None
    assert steady_rate([(1.0, True)] * 30, 10) is None  # no time passed
