"""The verdict: what is recommended, what is shown to differ, what is not ranked and why."""

import json
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


def test_a_duplicate_tells_the_noise_and_is_not_ranked():
    modes = [Mode("a"), Mode("b", 0.8)]
    verdict = judge(experiment(about(modes), modes, noise=0.05))
    assert verdict.ranked == ["a", "b"]
    assert verdict.floors["rate"] > 0.01
    assert f"{100 * verdict.floors['rate']:.1f} % in throughput" in " ".join(
        in_words(verdict.experiment)
    )


def test_without_a_duplicate_it_says_so():
    modes = [Mode("a"), Mode("b", 0.8)]
    made = experiment(about(modes, twin=False), modes, noise=0.01)
    assert judge(made).floors == {"rate": None, "cpu": None}
    assert any("no cell was measured twice; 3 % is used" in told for told in in_words(made))


def test_a_noisy_duplicate_takes_small_differences_back():
    modes = [Mode("a", 1.0), Mode("b", 0.93)]

    def unsteady(doc):
        if doc["cell"]["name"] == "a-again":
            doc["requests_per_second"] *= 0.88

    quiet = judge(experiment(about(modes), modes, noise=0.005))
    noisy = judge(experiment(about(modes), modes, noise=0.005, edit=unsteady))
    assert quiet.compare("b", "a", "rate").shown
    assert not noisy.compare("b", "a", "rate").shown
    assert noisy.floors["rate"] == pytest.approx(0.12, abs=0.02)


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


def test_releases_that_differ_are_told():
    modes = [Mode("a"), Mode("b")]

    def changed(doc):
        release = "one" if doc["cell"]["round"] < 3 else "two"
        doc["cell"]["facts"] = {"release": release}

    told = in_words(experiment(about(modes), modes, edit=changed))
    assert any("releases one and two" in sentence for sentence in told)
    assert not any("releases" in sentence for sentence in in_words(experiment(about(modes), modes)))


@pytest.mark.parametrize(
    ("rounds", "noise", "enough"),
    [(6, 0.002, True), (5, 0.002, False), (10, 0.002, True), (10, 0.05, False)],
)
def test_it_is_enough_when_every_ratio_is_tight(rounds, noise, enough):
    modes = [Mode("a"), Mode("b", 0.9)]
    session = about(modes, rounds=20)
    assert tight_enough(experiment(session, modes, noise=noise, rounds=rounds)) is enough


def test_the_plan_says_how_tight_and_how_many():
    modes = [Mode("a"), Mode("b", 0.9)]

    def made(rounds, **plan):
        return experiment(about(modes, rounds=20, **plan), modes, noise=0.01, rounds=rounds)

    assert tight_enough(made(8, tight=0.2))
    assert not tight_enough(made(8, tight=0.0001))
    assert not tight_enough(made(8, tight=0.2, least_rounds=9))


def test_cpu_has_to_be_tight_as_well():
    modes = [Mode("a"), Mode("b", 0.9)]

    def unsteady(doc):
        if doc["cell"]["name"] == "b":
            doc["cell"]["app"][0]["cpu_seconds"] *= 1 + doc["cell"]["round"] % 3

    def unwatched(doc):
        doc["cell"]["app"] = []

    session = about(modes)
    assert not tight_enough(experiment(session, modes, noise=0.002, edit=unsteady))
    assert tight_enough(experiment(session, modes, noise=0.002, edit=unwatched))


def test_a_round_with_a_gap_is_not_complete():
    modes = [Mode("a"), Mode("b", 0.9)]
    made = experiment(about(modes, rounds=20), modes, noise=0.002, rounds=6)
    assert made.complete_rounds() == [1, 2, 3, 4, 5, 6]
    assert tight_enough(made)
    del made.runs["b", "c200"][3]
    assert made.complete_rounds() == [1, 2, 4, 5, 6]
    assert not tight_enough(made)
    assert "Rounds: 5 complete of 20 planned, 1 more with gaps; not all." in in_words(made)


def test_a_cell_that_was_refused_or_has_loads_of_its_own_leaves_no_gap():
    modes = [Mode("a"), Mode("b", 0.9), Mode("c")]
    session = about(modes, [SMALL, SMALL | {"name": "other"}], rounds=6)
    session["plan"]["cells"][1]["loads"] = ["c200"]
    made = experiment(session, modes, noise=0.002, refused={"c": "no"})
    for name in (("c", "c200"), ("c", "other"), ("b", "other")):
        del made.runs[name]
    assert made.complete_rounds() == [1, 2, 3, 4, 5, 6]


def test_it_can_be_asked_of_a_session_without_opening_its_logs(tmp_path):
    modes = [Mode("a"), Mode("b", 0.5, 2.0)]
    path = write(tmp_path / "s", about(modes, [SMALL], rounds=6), modes, noise=0.001, drift=0)
    for log in path.glob("*.log.gz"):
        log.write_bytes(b"")
    made = read_experiment(path, raw=False)
    assert made.damaged == []
    assert tight_enough(made)
    assert json.loads((path / "session.json").read_text())["plan"] == made.plan


def test_rounds_are_told_as_ranges():
    assert in_rounds([4]) == "round 4"
    assert in_rounds([7, 1, 2, 3]) == "rounds 1 to 3, 7"
