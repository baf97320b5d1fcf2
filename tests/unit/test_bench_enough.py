"""When no more rounds are needed: what is complete, and what is known well enough."""

import json

import pytest
from bench_sessions import SMALL, Mode, about, edit, experiment, write

from bench.experiment import read_experiment
from bench.schedule import upcoming
from bench.verdict import fruitless, judge, tight_enough
from bench.words import in_words


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


def test_tight_is_a_share_of_the_ratio():
    """A third with 3 points up or down is known to a tenth, and not to 3 %."""
    modes = [Mode("a"), Mode("b", 0.3)]

    def unsteady(doc):
        if doc["cell"]["name"] == "b":
            doc["requests_per_second"] *= 1 + 0.06 * (doc["cell"]["round"] % 3 - 1)

    made = experiment(about(modes), modes, noise=0.0005, edit=unsteady)
    ratio = judge(made).compare("b", "a", "rate").ratio
    assert ratio.high - ratio.low < 2 * 0.03
    assert not tight_enough(made)


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


@pytest.mark.parametrize(
    ("failed", "why"),
    [
        (0, "each ratio to a under the load c200 is known within 4 %"),
        (1, "only a can be ranked, and there is no ratio to be known better"),
    ],
)
def test_it_is_said_what_is_known_well_enough(tmp_path, failed, why):
    modes = [Mode("a"), Mode("b", 0.5, 2.0, failed=failed)]
    session = about(modes, [SMALL], rounds=9, tight=0.04)
    path = write(tmp_path / "s", session, modes, noise=0.001, drift=0, rounds=6)
    edit(
        path / "session.json",
        lambda doc: [cell.update(loads=["c200"]) for cell in doc["plan"]["cells"]],
    )
    assert upcoming(path) == {"why": f"after 6 rounds {why}"}
    assert f"Rounds: 6 complete of 9 planned; enough, for {why}." in in_words(read_experiment(path))


def answered(modes, statuses, cells=9, **plan):
    """Return a session of which the first cells were answered so, a share of the requests each."""

    def wrong(doc):
        asked, counts = doc["counts"]["requests"], doc["counts"]
        detail = {"status": {status: int(asked * share) for status, share in statuses.items()}}
        good = detail["status"].get("200", 0)
        counts |= {"succeeded": good, "failed": asked - good, "detail": detail}

    made = experiment(about(modes, rounds=9, **plan), modes, rounds=1, edit=wrong)
    made.runs = dict([*made.runs.items()][:cells])
    return made


@pytest.mark.parametrize(
    ("statuses", "cells", "says"),
    [
        (
            {"404": 1},
            2,
            "None of 4,000 requests under the load c200 was answered with 2xx (but 4,000 x 404)",
        ),
        ({"302": 0.5, "404": 0.5}, 2, "(but 2,000 x 302, 2,000 x 404)"),
        ({"404": 1}, 1, ""),  # its switches may be to blame
        (
            {"500": 1},
            3,
            "None of 6,000 requests under the load c200 was answered with 2xx (but 6,000 x 500)",
        ),
        (
            {"-1": 1},
            3,
            "was answered with 2xx, so more rounds would tell nothing. Give the load a path",
        ),
        ({"500": 1}, 2, ""),  # a mode may be to blame
        ({"404": 0.9}, 2, ""),
        ({"404": 0.9, "200": 0.1}, 3, ""),
        ({}, 0, ""),
    ],
)
def test_a_page_that_is_never_answered_well_is_not_asked_for_more_rounds(statuses, cells, says):
    made = answered([Mode("a"), Mode("b")], statuses, cells)
    assert says in fruitless(made)
    assert bool(fruitless(made)) is bool(says)
    assert (fruitless(made) in in_words(made)) is bool(says)


def test_an_experiment_ends_after_two_cells_whose_page_there_is_not(tmp_path):
    modes = [Mode("a"), Mode("b")]
    path = write(tmp_path / "s", about(modes, [SMALL], rounds=1), modes)
    edit(
        path / "session.json",
        lambda doc: [cell.update(loads=["c200"]) for cell in doc["plan"]["cells"]],
    )
    (path / "01.a-again.c200.h2load.json").unlink()
    counts = {"requests": 20, "succeeded": 0, "failed": 20, "detail": {"status": {"404": 20}}}
    edit(path / "01.a.c200.h2load.json", lambda doc: doc.update(counts=counts))
    assert "cell" in upcoming(path)
    edit(path / "01.b.c200.h2load.json", lambda doc: doc.update(counts=counts))
    assert "None of 40 requests under the load c200 was answered" in upcoming(path)["why"]
