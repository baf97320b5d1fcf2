"""The verdict: what is recommended, what is shown to differ, what is not ranked and why."""

from dataclasses import replace

import pytest
from bench_sessions import CLOSED, SEARCH, SMALL, Mode, about, experiment, write

from bench.experiment import read_experiment
from bench.verdict import in_rounds, judge, tight_enough
from bench.words import in_words

# Noise of a run as a standard deviation, and the rounds it takes to see 10 % through it.
REALITY = [(0.03, 10), (0.05, 20)]


def verdicts(modes, noise, rounds, seeds=20):
    session = about(modes, rounds=rounds)
    return [judge(experiment(session, modes, seed, noise=noise)) for seed in range(seeds)]


@pytest.mark.parametrize(("noise", "rounds"), REALITY)
def test_a_mode_against_itself_is_not_called_different(noise, rounds):
    found = verdicts([Mode("a"), Mode("b")], noise, rounds)
    for figure in ("rate", "cpu"):
        assert sum(verdict.compare("a", "b", figure).shown for verdict in found) <= 1
    assert sum("no difference" in in_words(v.experiment, v)[0] for v in found) >= 18


@pytest.mark.parametrize(("noise", "rounds"), REALITY)
def test_ten_percent_are_found(noise, rounds):
    found = verdicts([Mode("slow", 0.9, 1.0), Mode("fast", 1.0, 0.9)], noise, rounds)
    assert sum(v.compare("fast", "slow", "rate").shown for v in found) >= 19
    assert sum(v.compare("fast", "slow", "cpu").shown for v in found) >= 19
    assert sum(v.recommended == "fast" for v in found) >= 19


def test_the_drift_that_pairing_removes_is_there():
    modes = [Mode("slow", 0.9), Mode("fast", 1.0)]
    made = experiment(about(modes), modes, noise=0.01)
    rates = made.figure("rate", "fast", made.decides).values()
    assert max(rates) / min(rates) > 1.12
    assert judge(made).compare("fast", "slow", "rate").ratio.half_width < 0.03


def test_the_order_is_by_throughput_and_among_equals_by_cpu():
    modes = [Mode("slow", 0.5, 0.1), Mode("dear", 0.98, 2.0), Mode("cheap", 0.97, 1.0)]
    verdict = judge(experiment(about(modes), modes, noise=0.01))
    assert verdict.ranked == ["cheap", "dear", "slow"]
    assert sorted(verdict.tied) == ["cheap", "dear"]
    told = in_words(verdict.experiment, verdict)
    assert told[0] == (
        "Run cheap: none is shown to be faster, and it needs 50 % less CPU than dear, the next."
    )
    tied = "Not shown to differ in throughput: cheap and dear; CPU a request decides their order."
    assert tied in told


def test_a_faster_mode_is_told_by_how_much():
    modes = [Mode("slow", 0.8), Mode("fast", 1.0)]
    made = experiment(about(modes), modes, noise=0.002)
    assert in_words(made)[0] == "Run fast: it serves 25 % more than slow, the next."


def limit(doc):
    if doc["cell"]["name"] == "fast" and doc["cell"]["round"] in (2, 3, 7):
        doc["generator_limited"] = "h2load used 97 % of a processor"


def fail(doc):
    if doc["cell"]["name"] == "fast" and doc["cell"]["round"] == 4:
        doc["counts"] |= {"failed": 1, "succeeded": 1999}


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (
            {"edit": limit},
            "the load generator was the limit (rounds 2 to 3, 7): h2load used 97 % of a processor",
        ),
        ({"edit": fail}, "1 of 20,000 requests failed (round 4)"),
        ({"refused": {"fast": "the unit did not start"}}, "could not be deployed"),
    ],
)
def test_what_cannot_be_trusted_is_not_ranked(how, why):
    modes = [Mode("slow", 0.5), Mode("fast", 1.0)]
    verdict = judge(experiment(about(modes), modes, **how))
    assert verdict.ranked == ["slow"]
    assert verdict.unranked["fast"] == why
    assert f"Not ranked: fast ({why})." in " ".join(in_words(verdict.experiment))


def test_a_cell_of_another_load_is_no_failing_and_one_without_results_is():
    modes = [Mode("a"), Mode("b"), Mode("c"), Mode("d")]
    made = experiment(about(modes, [CLOSED, SMALL | {"name": "c5"}]), modes)
    for cell in ("b", "c", "d"):
        del made.runs[cell, "c200"]
    by_name = {cell.name: cell for cell in made.cells}
    made.cells[made.cells.index(by_name["b"])] = replace(by_name["b"], loads=["c5"])
    assert judge(made).unranked == dict.fromkeys("cd", "no result under the load c200")
    assert "Not ranked: c and d (no result under the load c200)." in in_words(made)
    assert judge(made, made.loads[1]).unranked == {}


def test_when_nothing_can_be_ranked_nothing_is_recommended():
    modes = [Mode("a", failed=3)]
    made = experiment(about(modes), modes)
    assert in_words(made)[0].startswith("No mode can be recommended")
    assert not tight_enough(made)


def test_a_few_rounds_give_an_order_and_show_nothing():
    modes = [Mode("slow", 0.5, 0.5), Mode("fast", 1.0)]
    made = experiment(about(modes, rounds=3), modes, noise=0.01)
    verdict = judge(made)
    assert verdict.ranked == ["fast", "slow"]  # and not the one that needs less CPU
    assert not verdict.compare("fast", "slow", "rate").shown
    assert "fast, provisionally: 3 rounds measured" in in_words(made)[0]


def test_two_cells_compare_the_same_either_way():
    modes = [Mode("a"), Mode("b", 0.9), Mode("c", 0.95)]
    verdict = judge(experiment(about(modes), modes))
    for figure in ("rate", "cpu"):
        one, other = (verdict.compare(*pair, figure) for pair in (("a", "c"), ("c", "a")))
        assert one.shown == other.shown
        assert one.ratio.estimate == pytest.approx(1 / other.ratio.estimate)


def test_a_search_is_ranked_by_the_rate_that_held(tmp_path):
    search = SEARCH | {"delay": 0.1, "objective": 0.15, "from": 50, "to": 400, "seconds": 1}
    modes = [Mode("slow", 0.6), Mode("fast", 1.0)]
    session = about(modes, [search], rounds=6)
    made = read_experiment(write(tmp_path / "s", session, modes, noise=0, drift=0))
    verdict = judge(made)
    assert verdict.ranked == ["fast", "slow"]
    assert verdict.compare("fast", "slow", "rate").shown
    assert "at most 350 requests/s (p99 at most 0.15 s)" in in_words(made)[1]


def test_a_search_in_which_nothing_held_is_not_ranked():
    modes = [Mode("a"), Mode("b")]
    session = about(modes, [CLOSED | {"kind": "search"}])

    def found(doc):
        doc["best_rate"] = 100 if doc["cell"]["name"] == "a" else None

    verdict = judge(experiment(session, modes, edit=found))
    assert verdict.ranked == ["a"]
    assert verdict.unranked["b"] == "no rate held within the objective (load c200)"


def test_a_search_in_which_nothing_held_in_some_rounds_is_not_ranked():
    modes = [Mode("a"), Mode("b")]
    session = about(modes, [CLOSED | {"kind": "search"}])

    def found(doc):
        bad = doc["cell"]["name"] == "b" and doc["cell"]["round"] < 9
        doc["best_rate"] = None if bad else 100

    verdict = judge(experiment(session, modes, edit=found))
    assert verdict.ranked == ["a"]
    assert verdict.unranked["b"] == "no rate held within the objective (rounds 1 to 8)"


def test_who_is_shown_to_be_slower_than_an_equal_of_the_best_is_no_equal():
    """The fastest one is noisy, so that nobody is shown to be slower; one of the others clearly is, than another."""
    modes = [Mode("noisy", 1.0, 3.0), Mode("sure", 0.97, 2.0), Mode("slow", 0.9, 1.0)]

    def shaken(doc):
        if doc["cell"]["name"] == "noisy":
            doc["requests_per_second"] *= 1.3 if doc["cell"]["round"] % 2 else 0.85

    verdict = judge(experiment(about(modes, twin=False), modes, noise=0.002, edit=shaken))
    assert not verdict.compare("noisy", "slow", "rate").shown
    assert verdict.faster("sure", "slow")
    assert verdict.tied == ["noisy", "sure"]
    assert verdict.ranked == ["sure", "noisy", "slow"]


def test_a_cell_of_one_round_is_not_ranked_and_does_not_order_the_others():
    modes = [Mode("slow", 0.9), Mode("fast", 1.0), Mode("rare", 1.2)]

    def turned(doc):
        if doc["cell"]["round"] == 3:
            doc["requests_per_second"] *= {"slow": 1.4, "fast": 0.8}.get(doc["cell"]["name"], 1)

    made = experiment(about(modes), modes, noise=0.002, edit=turned)
    made.runs["rare", "c200"] = {3: made.runs["rare", "c200"][3]}
    verdict = judge(made)
    assert verdict.unranked == {"rare": "measured in 1 of 10 rounds"}
    assert verdict.ranked == ["fast", "slow"]


def test_cells_with_gaps_are_ordered_by_the_rounds_each_two_share():
    modes = [Mode("slow", 0.9), Mode("fast", 1.0), Mode("late", 0.8)]

    def turned(doc):
        doc["cell"]["app"] = []  # or CPU decided among equals
        if doc["cell"]["round"] > 9:
            doc["requests_per_second"] *= {"slow": 1.4, "fast": 0.8}.get(doc["cell"]["name"], 1)

    made = experiment(about(modes, rounds=15), modes, noise=0.002, edit=turned)
    late = made.runs["late", "c200"]
    made.runs["late", "c200"] = {n: run for n, run in late.items() if n > 9}
    assert judge(made).ranked == ["fast", "slow", "late"]


def test_nobody_is_recommended_who_is_shown_to_be_slower():
    """ "steady" exceeds most others in most rounds; "short" beats it in all it has, and the others beat that."""
    modes = [Mode("steady", cost=0.1), Mode("one"), Mode("two"), Mode("short")]
    late = {"one": 90, "two": 90}
    early = {"steady": 100, "one": 110, "two": 110, "short": 105}

    def given(doc):
        rates = early | late if doc["cell"]["round"] > 8 else early
        doc["requests_per_second"] = rates[doc["cell"]["name"]]

    made = experiment(about(modes, twin=False, rounds=20), modes, edit=given)
    short = made.runs["short", "c200"]
    made.runs["short", "c200"] = {n: run for n, run in short.items() if n <= 8}
    verdict = judge(made)
    assert verdict.faster("short", "steady")
    assert verdict.tied == ["one", "two"]


def test_who_is_one_round_behind_is_ranked():
    """As in the middle of a round, the sixth for one."""
    modes = [Mode("slow", 0.5), Mode("slower", 0.4), Mode("fast", 1.0)]
    made = experiment(about(modes, rounds=6, twin=False), modes, noise=0.002)
    del made.runs["fast", "c200"][6]
    assert judge(made).ranked == ["fast", "slow", "slower"]
    assert "fast, provisionally: 5 rounds measured" in in_words(made)[0]
    del made.runs["fast", "c200"][5]
    assert judge(made).unranked == {"fast": "measured in 4 of 6 rounds"}


def test_releases_that_differ_are_told():
    modes = [Mode("a"), Mode("b")]

    def changed(doc):
        release = "one" if doc["cell"]["round"] < 3 else "two"
        doc["cell"]["facts"] = {"release": release}

    told = in_words(experiment(about(modes), modes, edit=changed))
    assert any("releases one and two" in sentence for sentence in told)
    assert not any("releases" in sentence for sentence in in_words(experiment(about(modes), modes)))


def test_rounds_are_told_as_ranges():
    assert in_rounds([4]) == "round 4"
    assert in_rounds([7, 1, 2, 3]) == "rounds 1 to 3, 7"
