"""The benchmark's watcher reads this machine's own numbers."""

from __future__ import annotations

import os
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
