"""Two sessions from hosts that differ: held against what each host can do at all."""

import copy
import math
import re
from statistics import median

import pytest
from bench_compared import SESSION, elsewhere, made, table
from bench_sessions import seeded

from bench.compare import compare
from bench.errors import BadInput


def test_hosts_that_differ_are_compared_by_their_controls():
    text = compare(made(), made(session=elsewhere(), seed=1, speed=2.0))
    assert "app1.cpu: AMD EPYC and another" in text
    assert (
        "median of its own session's control (cell.control: made 21,000/s, of 10 rounds' from"
        in text
    )
    for rate, cpu in list(table(text).values())[1:]:
        assert float(rate[:4]) == pytest.approx(1, abs=0.02)
        assert float(cpu[:4]) == pytest.approx(1, abs=0.02)
    direct = table(compare(made(), made(seed=1, speed=2.0)))["a", "c200"]
    assert float(direct[0][:4]) == pytest.approx(2, abs=0.03)


def shaken(session, seed):
    """Return a session each of whose controls is off by a fifth or so, and those of a round by as much besides."""
    other, rng = made(session=session, seed=seed), seeded(seed)
    common = {number: rng.gauss(0, 0.2) for runs in other.runs.values() for number in runs}
    for runs in other.runs.values():
        for number, run in runs.items():
            run.doc["cell"]["control"] *= math.exp(common[number] + rng.gauss(0, 0.2))
    return other


def test_a_control_that_scatters_makes_no_difference():
    """What is the same is called so: how well the median of the rounds' is known is in each cell's interval."""
    found = [table(compare(shaken(SESSION, n), shaken(elsewhere(), n + 500))) for n in range(200)]
    told = [rows["b", "c200"][0] for rows in found]
    assert sum("*" in rate for rate in told) <= 10
    assert 1.05 < median(float(re.findall(r"[\d.]+", rate)[2]) for rate in told) < 1.6


def unknown():
    session = copy.deepcopy(SESSION)
    del session["fingerprint"]
    return session


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ((SESSION, None), (elsewhere(), 9.0), "app1.cpu: AMD EPYC and another"),
        ((SESSION, 9.0), (elsewhere(), None), "app1.cpu: AMD EPYC and another"),
        ((SESSION, 9.0), (unknown(), None), "has no fingerprint of its hosts"),
        ((None, None), (None, None), "has no fingerprint of its hosts"),
    ],
)
def test_without_a_control_hosts_that_differ_are_not_compared(first, second, why):
    sides = []
    for session, control in (first, second):
        side = made(session=session or SESSION, control=control)
        side.session = session
        sides.append(side)
    with pytest.raises(BadInput, match="has no control") as told:
        compare(*sides)
    assert why in told.value.wrong
