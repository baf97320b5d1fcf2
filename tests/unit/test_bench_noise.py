"""The noise floor: what a cell's own duplicate says of how much chance alone makes."""

import pytest
from bench_sessions import CLOSED, SMALL, Mode, about, edit, experiment, write

from bench.experiment import read_experiment
from bench.verdict import judge
from bench.words import in_words


def test_a_duplicate_tells_the_noise_and_is_not_ranked():
    modes = [Mode("a"), Mode("b", 0.8)]
    verdict = judge(experiment(about(modes), modes, noise=0.05))
    assert verdict.ranked == ["a", "b"]
    assert verdict.floors["rate"] > 0.01
    assert f"{100 * verdict.floors['rate']:.1f} % in throughput" in " ".join(
        in_words(verdict.experiment)
    )


def test_without_its_plan_a_duplicate_is_known_by_its_name(tmp_path):
    modes = [Mode("a"), Mode("b", 0.8)]
    path = write(tmp_path / "s", about(modes, [SMALL], 6), modes, noise=0.01)
    (path / "session.json").unlink()
    made = read_experiment(path)
    assert made.twins == [("a-again", "a")]
    assert judge(made).ranked == ["a", "b"]
    assert any("no session.json to be read" in told for told in in_words(made))
    for result in path.glob("*.a-again.*.json"):
        edit(result, lambda doc: doc["cell"].update(server="b"))
    assert read_experiment(path).twins == []  # a cell of that name, and no duplicate


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


def of_twin(*rounds, **change):
    """Return an edit of the duplicate's results in some rounds."""

    def given(doc):
        if doc["cell"]["name"] == "a-again":
            doc["requests_per_second"] *= 0.82
            if doc["cell"]["round"] in rounds:
                doc |= change

    return given


FAILED = {"counts": {"requests": 2000, "succeeded": 1999, "failed": 1, "detail": {}}}
HELD = {"rates": [{"rate": 400, "held": True}], "best_rate": 400}


def test_a_round_in_which_requests_failed_tells_no_noise_and_the_others_do():
    modes = [Mode("a", 0.94), Mode("b", 1.0)]
    wild = FAILED | {"requests_per_second": 1.0}
    made = experiment(about(modes), modes, noise=0.002, edit=of_twin(4, 7, **wild))
    verdict = judge(made)
    assert "a-again" in verdict.unranked
    assert verdict.floors["rate"] == pytest.approx(0.18, abs=0.02)
    assert not verdict.compare("b", "a", "rate").shown
    verdict = judge(
        experiment(about(modes), modes, noise=0.002, edit=of_twin(*range(1, 6), **wild))
    )
    assert verdict.floors == {"rate": None, "cpu": None}
    told = "Noise floor: not known, no duplicate was measured in enough rounds without faults; 3 % is used."
    assert told in in_words(verdict.experiment, verdict)


@pytest.mark.parametrize(("topped", "known"), [([1], True), (range(1, 6), False)])
def test_a_search_that_held_every_rate_tells_no_noise(topped, known):
    modes = [Mode("a"), Mode("b")]
    session = about(modes, [CLOSED | {"kind": "search"}])

    def found(doc):
        doc |= {
            "best_rate": 300,
            "rates": [{"rate": 300, "held": True}, {"rate": 310, "held": False}],
        }
        if doc["cell"]["name"] == "a":
            doc |= HELD if doc["cell"]["round"] in topped else {"best_rate": 360}

    verdict = judge(experiment(session, modes, edit=found))
    assert verdict.floors["rate"] == (pytest.approx(1 / 6) if known else None)
    assert [*verdict.unlimited("ab")] == ([] if known else ["a"])
