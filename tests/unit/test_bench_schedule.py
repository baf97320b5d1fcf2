"""An experiment's steps: shuffled, in rounds, and going on after any interruption."""

import copy
import io
import json
import shlex
import subprocess

import pytest

from bench import schedule
from bench.__main__ import main
from bench.errors import BadInput
from bench.experiment import read_experiment
from bench.plan import read_plan
from bench.store import publish
from bench.verdict import judge

PLAN = """\
title: Which one?
rounds: 2
cells: [{server: a}, {server: b}, {server: c, loads: [one]}]
loads:
  - {name: one, requests: 40, concurrency: 20, delay: 1, path: /}
  - {name: two, kind: open, rate: 20, seconds: 5, path: /}
"""
ABOUT = {"command": "ansible-playbook ...", "before": {"server": "a"}, "fingerprint": {}}


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "mine.yml"
    path.write_text(PLAN)
    return read_plan(path)


@pytest.fixture
def session(tmp_path, plan):
    schedule.begin(tmp_path / "s", plan, ABOUT)
    return tmp_path / "s"


def measured(session, step, load):
    name = f"{step['round']:02d}.{step['cell']}.{load['name']}.{load['engine']}.json"
    publish(session / name, b"{}")


def walked(session):
    """Do all steps; return (round, cell, loads) of each."""
    steps = []
    while "cell" in (step := schedule.upcoming(session)):
        steps.append((step["round"], step["cell"], [load["name"] for load in step["loads"]]))
        for load in step["loads"]:
            measured(session, step, load)
    return steps, step["why"]


def test_every_round_has_every_cell_in_an_order_of_its_own(session, plan):
    steps, why = walked(session)
    assert sorted(steps) == sorted(
        (number, cell, ["one"] if cell == "c" else ["one", "two"])
        for number in (1, 2)
        for cell in ("a", "b", "c", "a-again")
    )
    assert [number for number, _, _ in steps] == [1] * 4 + [2] * 4
    assert why == "all 2 rounds are measured"
    orders = {
        tuple(cell["name"] for cell in schedule.order(plan | {"seed": seed}, 1))
        for seed in range(9)
    }
    assert len(orders) > 1


def test_what_was_interrupted_goes_on_with_what_is_missing(session, plan):
    step = schedule.upcoming(session)
    while len(step["loads"]) < 2:
        measured(session, step, step["loads"][0])
        step = schedule.upcoming(session)
    measured(session, step, step["loads"][0])
    again = schedule.upcoming(session)
    assert (again["cell"], again["round"]) == (step["cell"], step["round"])
    assert [load["name"] for load in again["loads"]] == ["two"]
    assert schedule.begin(session, plan, ABOUT) is False


def test_another_plan_does_not_go_on_with_a_session(session, plan):
    with pytest.raises(BadInput, match=r"another plan \(rounds differ"):
        schedule.begin(session, plan | {"rounds": 3}, ABOUT)
    with pytest.raises(BadInput, match="other cells differ"):
        schedule.begin(session, plan | {"cells": plan["cells"][:2]}, ABOUT)
    moved = [cell | {"line": cell["line"] + 1} for cell in plan["cells"]]
    assert schedule.begin(session, plan | {"cells": moved}, ABOUT) is False


def test_a_cell_that_cannot_be_deployed_is_not_tried_again(session):
    schedule.refuse(session, "b", 1, "the gate said no")
    steps, _ = walked(session)
    assert "b" not in {cell for _, cell, _ in steps}
    assert json.loads((session / "b.refused.json").read_text())["why"] == "the gate said no"


def test_a_cell_that_was_measured_is_not_refused(session):
    step = schedule.upcoming(session)
    measured(session, step, step["loads"][0])
    with pytest.raises(BadInput, match="could be deployed before"):
        schedule.refuse(session, step["cell"], 2, "the disk is full")
    assert list(session.glob("*.refused.json")) == []


def step_of(session, cell):
    """Do steps until the cell comes; return its own."""
    while (step := schedule.upcoming(session))["cell"] != cell:
        for load in step["loads"]:
            measured(session, step, load)
    return step


@pytest.fixture(params=[("a", "a-again"), ("a-again", "a")], ids=" first, then ".join)
def pair(request, tmp_path, plan):
    """Return a session, and the names of a cell and its duplicate as they come in its first round."""
    for plan["seed"] in range(1, 99):
        names = [cell["name"] for cell in schedule.order(plan, 1)]
        if tuple(name for name in names if name.startswith("a")) == request.param:
            break
    schedule.begin(tmp_path / "s", plan, ABOUT)
    return tmp_path / "s", *request.param


def test_a_cell_whose_like_was_measured_is_not_refused(pair):
    session, _, second = pair
    step_of(session, second)
    with pytest.raises(BadInput, match=f"{second} could be deployed before"):
        schedule.refuse(session, second, 1, "the mirror is away")
    assert list(session.glob("*.refused.json")) == []


def test_a_cell_is_tried_again_once_its_like_was_deployed(pair):
    session, first, second = pair
    step_of(session, first)
    schedule.refuse(session, first, 1, "the mirror is away")
    for load in (step := step_of(session, second))["loads"]:
        measured(session, step, load)
    again = schedule.upcoming(session)
    assert (again["round"], again["cell"]) == (1, first)
    assert list(session.glob("*.refused.json")) == []


def test_a_cell_that_could_not_be_measured_in_a_later_round_stays_left_out(session):
    step = schedule.upcoming(session)
    for load in step["loads"]:
        measured(session, step, load)
    with pytest.raises(BadInput, match="was deployed, and could not be measured: it has died"):
        schedule.failed(session, step["cell"], 2, "it has died")
    schedule.failed(session, step["cell"], 2, "it has died")
    assert step["cell"] not in {name for _, name, _ in walked(session)[0]}
    made = read_experiment(session)
    assert made.refused == {step["cell"]: "it has died"}
    assert judge(made).unranked[step["cell"]] == "could not be measured"


def test_refusing_a_cell_says_how_to_have_it_tried_again(session, capsys, monkeypatch):
    why = "the gate said no\n" + "a host, ok\n" * 1000
    monkeypatch.setattr("sys.stdin", io.StringIO(why))
    assert main(["refuse", str(session), "b", "--round=1"]) == 0
    said = capsys.readouterr().out
    assert "b could not be deployed, and is left out: the gate said no" in said
    assert len(said) < 2500
    type_ = f"rm {session / 'b.refused.json'}"
    assert type_ in said
    assert "-e bench_session=s" in said
    subprocess.run(shlex.split(type_), check=True)
    assert "b" in {cell for _, cell, _ in walked(session)[0]}


def test_the_reason_is_told_from_its_beginning(session):
    step = schedule.upcoming(session)
    measured(session, step, step["loads"][0])
    recap = "a-host : ok=9 changed=0 unreachable=0 failed=0 skipped=9\n" * 50
    with pytest.raises(BadInput, match="and not now: the disk is full"):
        schedule.refuse(session, step["cell"], 2, f"the disk is full\n{recap}")


def test_other_options_do_not_go_on_with_a_session(session, plan):
    with pytest.raises(BadInput, match="begun with other options: ansible-playbook"):
        schedule.begin(
            session, plan, ABOUT | {"command": "ansible-playbook ... -e profile=tutorial"}
        )


def test_what_an_interrupted_recording_left_is_measured_again(session, plan):
    step = schedule.upcoming(session)
    measured(session, step, step["loads"][0])
    whole = next(session.glob("01.*.json"))
    log = whole.with_name(f"{whole.stem}.log.gz")
    orphan, half = session / "01.b.one.h2load.log.gz", session / ".01.b.one.h2load.json.12.tmp"
    for path in (log, orphan, half):
        path.write_bytes(b"")
    schedule.begin(session, plan, ABOUT)
    assert (log.exists(), orphan.exists(), half.exists()) == (True, False, False)


def test_an_open_load_says_how_many_requests_it_has(session):
    step = schedule.upcoming(session)
    while len(step["loads"]) < 2:
        measured(session, step, step["loads"][0])
        step = schedule.upcoming(session)
    assert step["loads"][1]["requests"] == step["loads"][1]["concurrency"] == 100


def test_the_time_left_is_told_once_it_is_known(session):
    step = schedule.upcoming(session)
    assert step["label"] == f"{step['cell']}, round 1 of 2, 1 of 8"
    for _ in range(2):
        for load in step["loads"]:
            measured(session, step, load)
        step = schedule.upcoming(session)
    assert step["label"].endswith("3 of 8; about 1 min left")


def test_a_session_without_a_plan_has_no_steps(tmp_path):
    with pytest.raises(BadInput, match=r"session.json"):
        schedule.upcoming(tmp_path)


def on(**changed):
    host = {"cpu": "Xeon", "cores": 2, "memory": 8_000_000_000, "kernel": "6.1.0-1", "clock": True}
    host["groups"] = ["app", "load"]
    ports = {"net.ipv4.ip_local_port_range": "32768 60999"}  # which a measurement widens
    host |= {"sysctls": {"net.core.somaxconn": "4096", **ports}, "packages": {"nginx": "1.22"}}
    return ABOUT | {"fingerprint": {"controller": {}, "hosts": {"app1": host | changed}}}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"clock": False},
        {"memory": 8_000_004_096},
        {"sysctls": {"net.core.somaxconn": "16000"}},
        {"packages": {"nginx": "1.22", "pgbouncer": "1.18"}},
        {"sysctls": {"net.core.somaxconn": "4096", "net.ipv4.ip_local_port_range": "1 2"}},
    ],
)
def test_a_session_goes_on_on_hosts_that_a_cell_or_a_boot_has_changed(tmp_path, plan, changed):
    assert schedule.begin(tmp_path / "s", plan, on()) is True
    assert schedule.begin(tmp_path / "s", plan, on(**changed)) is False


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"kernel": "6.1.0-2"}, r"app1\.kernel: 6\.1\.0-1 and 6\.1\.0-2"),
        ({"packages": {"nginx": "1.26"}}, r"app1\.packages\.nginx: 1\.22 and 1\.26"),
        ({"cores": 4}, r"app1\.cores: 2 and 4"),
        ({"memory": 4_000_000_000}, r"app1\.memory: 8000000000 and 4000000000"),
    ],
)
def test_a_session_does_not_go_on_on_hosts_that_are_others(tmp_path, plan, changed, says):
    schedule.begin(tmp_path / "s", plan, on())
    with pytest.raises(BadInput, match=says):
        schedule.begin(tmp_path / "s", plan, on(**changed))


@pytest.mark.parametrize("more", [0, 1])
def test_a_session_does_not_go_on_with_another_number_of_hosts(tmp_path, plan, more):
    one, two = on(), copy.deepcopy(on())
    two["fingerprint"]["hosts"]["app2"] = two["fingerprint"]["hosts"]["app1"]
    first, second = (one, two) if more else (two, one)
    schedule.begin(tmp_path / "s", plan, first)
    with pytest.raises(BadInput, match="hosts that were otherwise: app2: "):
        schedule.begin(tmp_path / "s", plan, second)


def test_what_a_session_sets_on_some_hosts_is_a_difference_on_others(tmp_path, plan):
    ports = {"net.ipv4.ip_local_port_range": "1 2"}
    begun, now = on(groups=["proxy"]), on(groups=["proxy"], sysctls=ports)
    schedule.begin(tmp_path / "s", plan, begun)
    with pytest.raises(BadInput, match="ip_local_port_range: 32768 60999 and 1 2"):
        schedule.begin(tmp_path / "s", plan, now)


@pytest.mark.parametrize("key", ["rounds", "least_rounds", "seed", "cells.loads", "loads.engine"])
def test_a_plan_that_lacks_something_has_no_steps(session, capsys, key):
    about = json.loads((session / "session.json").read_text())
    part, _, inner = key.rpartition(".")
    del (about["plan"][part][0] if part else about["plan"])[inner]
    (session / "session.json").write_text(json.dumps(about))
    assert main(["next", str(session)]) == 2
    assert f"{session / 'session.json'}: plan.{part}" in capsys.readouterr().err


def test_cells_of_which_none_is_said_to_be_a_duplicate_have_steps(session):
    about = json.loads((session / "session.json").read_text())
    for cell in about["plan"]["cells"]:
        del cell["duplicate_of"]
    (session / "session.json").write_text(json.dumps(about))
    schedule.refuse(session, "b", 1, "no")
    assert "b" not in {cell for _, cell, _ in walked(session)[0]}
