"""What a second of CPU was worth: how the watcher finds out, and what becomes of it in a verdict."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bench_hosts import script
from bench_sessions import Mode, about, experiment

from bench.verdict import judge
from bench.words import in_words

watching = script("watch")


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


def test_cpu_is_free_of_what_the_processor_was_slower_at() -> None:
    modes = [Mode("slow", cost=1.1), Mode("fast")]
    made = experiment(about(modes), modes, noise=0.01, drift=0)
    uses = [run.doc["cell"]["app"][0] for runs in made.runs.values() for run in runs.values()]
    for number, use in enumerate(uses):
        slowness = 1 + number * 3 % 7 / 10  # 1.0 to 1.6
        use["cpu_seconds"] *= slowness
        use["yardstick_seconds"] = 0.00025 * slowness
    told = "app1 took 0.77 to 1.23 times its usual CPU for the same work: CPU is told as at the usual speed."
    assert told in in_words(made)
    found = judge(made).compare("slow", "fast", "cpu")
    assert found.shown
    assert found.ratio.estimate == pytest.approx(1.1, abs=0.02)
    assert found.ratio.half_width < 0.02
    for use in uses:
        del use["yardstick_seconds"]
    del made.usual
    assert not any("usual" in sentence for sentence in in_words(made))
    assert not judge(made).compare("slow", "fast", "cpu").shown
