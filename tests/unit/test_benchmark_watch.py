"""The benchmark's watcher reads this machine's own numbers."""

from __future__ import annotations

import json
import os
import signal
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "roles" / "benchmark" / "files" / "watch"


@pytest.fixture
def watch():
    loader = SourceFileLoader("watch", str(FILE))
    module = module_from_spec(spec_from_loader("watch", loader))
    loader.exec_module(module)
    return module


def test_memory_is_that_of_all_processes_and_a_dead_one_is_none(watch, tmp_path):
    (tmp_path / "cgroup.procs").write_text(f"{os.getpid()}\n{2**22 + 1}\n")
    before = watch.memory(tmp_path)
    held = os.urandom(30_000_000)
    assert watch.memory(tmp_path) - before == pytest.approx(len(held), rel=0.3)


def test_cpu_is_in_seconds(watch, tmp_path):
    (tmp_path / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\nsystem_usec 2\n")
    assert watch.cpu_seconds(tmp_path) == 2.5


def test_what_was_used_before_the_load_began_is_not_counted(watch, tmp_path, monkeypatch):
    """Warmed up with 5 s of CPU and much memory; then told, loaded for 2 s of CPU, and stopped."""
    cpu, used = iter([10.0, 15.0, 17.0]), iter([100, 100, 900, 300, 400, 350])
    monkeypatch.setattr(watch, "cgroup", lambda _unit: tmp_path)
    monkeypatch.setattr(watch, "cpu_seconds", lambda _group: next(cpu))
    monkeypatch.setattr(watch, "memory", lambda _group: next(used))
    signals = iter([None, signal.SIGUSR1, signal.SIGTERM])
    monkeypatch.setattr(
        watch.time, "sleep", lambda _: (number := next(signals)) and signal.raise_signal(number)
    )
    kept = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)}
    try:
        watch.main("demo.service", tmp_path / "used.json")
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    found = json.loads((tmp_path / "used.json").read_text())
    assert found == {"cpu_seconds": 2.0, "memory_before": 100, "memory_peak": 400}
