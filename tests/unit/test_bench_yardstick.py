"""What a second of CPU was worth: how the watcher finds out, and what becomes of it in a verdict."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from bench_hosts import script
from bench_sessions import Mode, about, experiment, seeded

from bench.compare import compare
from bench.experiment import Experiment
from bench.report import render
from bench.verdict import judge
from bench.words import in_words

watching = script("watch/samples.py")


@pytest.fixture
def group(tmp_path: Path) -> Path:
    """A cgroup's directory, of a unit that has not used any CPU yet."""
    (tmp_path / "cgroup.procs").write_text(f"{os.getpid()}\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 0\n")
    return tmp_path


def used(group: Path, seconds: float) -> None:
    (group / "cpu.stat").write_text(f"usage_usec {seconds * 1e6:.0f}\n")


def test_it_is_of_when_the_unit_used_cpu(group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = watching.Watch(group, os.getpid(), None)
    assert watch.used()["yardstick_seconds"] is None
    took = iter([0.001, 0.002, 0.004, 0.5])
    clock = iter(value for seconds in took for value in (1.0, 1.0 + seconds))
    monkeypatch.setattr(watching.time, "thread_time", lambda: next(clock))
    for until_now in (1.0, 3.0, 7.0, 7.0):  # 1 s, 2 s, 4 s, and none: a thousand pieces each
        used(group, until_now)
        watch.see_speed()
    monkeypatch.undo()
    assert watch.used()["yardstick_seconds"] == pytest.approx(7 / 3000)
    watch.begin()  # what came before, such as a warm-up, does not count
    assert watch.used()["yardstick_seconds"] is None
    assert watching.Watch(group, os.getpid(), None).used()["yardstick_seconds"] is None


def test_it_takes_as_long_as_the_piece_of_work_is(
    group: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for times in (1, 20):
        monkeypatch.setattr(watching, "PIECE", times * 3000)
        used(group, 0)
        watch = watching.Watch(group, os.getpid(), None)
        for until_now in (1, 2, 3, 4, 5):
            used(group, until_now)
            watch.take("speed")
        found.append(watch.used()["yardstick_seconds"])
    assert found[1] / found[0] == pytest.approx(20, rel=0.6)


def slowed(made: Experiment, had: float = 1.0, told: bool = True) -> Experiment:
    """Return it as on a processor that was up to 1.3 times slower, of which CPU had so much (1: all)."""
    uses = [run.doc["cell"]["app"][0] for runs in made.runs.values() for run in runs.values()]
    rng = seeded("slow")
    for use in uses:
        slowness = rng.uniform(1, 1.3)
        use["cpu_seconds"] *= slowness**had
        use |= {"yardstick_seconds": 0.00025 * slowness} if told else {}
    return made


def two(cost: float = 1.1, noise: float = 0.01) -> Experiment:
    modes = [Mode("slow", cost=cost), Mode("fast")]
    return experiment(about(modes), modes, noise=noise, drift=0)


@pytest.mark.parametrize("had", [1.0, 0.6])
def test_cpu_is_free_of_what_the_processor_was_slower_at(had: float) -> None:
    made = slowed(two(), had)
    found = judge(made).compare("slow", "fast", "cpu")
    assert found.shown
    assert found.ratio.estimate == pytest.approx(1.1, abs=0.02)
    assert found.ratio.half_width < 0.02
    assert made.pace.share == pytest.approx(had, abs=0.05)
    least, most = made.pace.ranges["app1"]
    assert 0.8 < least < 0.95 < 1.05 < most < 1.2
    told = f"Speed: the same piece of work took app1 {least:.2f} to {most:.2f} times the CPU it usually did; "
    told += (
        f"the application felt {100 * made.pace.share:.0f} % of such a slowdown, or speedup, and "
    )
    assert f"{told}CPU a request is corrected by that." in in_words(made)
    assert any(" ms an answer, corrected (see Speed)" in sentence for sentence in in_words(made))
    html, text = render(made)
    assert "CPU, ms<br/>an answer,<br/>corrected</th>" in html
    assert "| CPU, ms an answer, corrected |" in text
    floors = [judge(slowed(two(), had, told)).floors["cpu"] for told in (True, False)]
    assert floors[1] > 2 * floors[0]


def test_yardstick_that_says_nothing_of_cpu_changes_nothing() -> None:
    made = slowed(two(), had=0.0)
    raw = replace(made, as_measured=True)
    assert made.pace.share < 0.05
    floors = [judge(one).floors["cpu"] for one in (made, raw)]
    assert floors[0] == pytest.approx(floors[1], abs=0.005)


def test_what_makes_a_cell_differ_more_from_itself_is_not_taken_off() -> None:
    made = slowed(two())
    assert made.pace.share > 0.9
    again = slowed(two())
    twin = next(cell for cell in again.cells if cell.duplicate_of)
    for number, run in again.of(twin.name, again.loads[0]).items():
        run.doc["cell"]["app"][0]["yardstick_seconds"] *= 1.3 if number % 2 else 0.7
    assert again.pace.share == 0
    assert "told as measured" in " ".join(in_words(again))


def test_one_result_without_a_yardstick_and_all_is_as_measured() -> None:
    made = slowed(two())
    runs = next(iter(made.runs.values()))
    del next(iter(runs.values())).doc["cell"]["app"][0]["yardstick_seconds"]
    assert made.pace.share == 0
    assert any("told as measured" in sentence for sentence in in_words(made))
    assert "corrected" not in "".join(render(made))
    assert not any("piece of work" in sentence for sentence in in_words(two()))


def test_mode_that_slows_the_processor_itself_is_not_called_cheaper_for_it() -> None:
    made = slowed(two(cost=1.0))
    for (cell, _), runs in made.runs.items():
        for run in runs.values():
            if cell == "slow":  # its own doing: what it costs is as it is
                run.doc["cell"]["app"][0]["yardstick_seconds"] *= 1.08
    found = judge(made).compare("slow", "fast", "cpu")
    assert found.ratio.high < 0.97
    assert not found.shown


def test_two_sessions_are_compared_as_measured() -> None:
    first, second = two(), two()
    for number, made in enumerate((first, second)):
        for run in (run for runs in made.runs.values() for run in runs.values()):
            slowness = 1 + number / 2 + run.doc["cell"]["round"] % 3 / 20
            use = run.doc["cell"]["app"][0]
            use["cpu_seconds"] *= slowness
            use["yardstick_seconds"] = 0.00025 * slowness
    raw = compare(*(replace(made, as_measured=True) for made in (first, second)))
    assert compare(first, second) == raw
    assert "1.4" in raw
