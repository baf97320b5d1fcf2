"""One run at a time changes what is live: whose that is, how long, and what the other one is told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import greenrack_modules
import pytest

module = greenrack_modules.load("change_held")
action = greenrack_modules.plugin("action_plugins/change_held.py")

ONE, OTHER = {"id": "one"}, {"id": "other"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "greenrack" / "demo.run"


def line(path: Path) -> str:
    return path.read_text("utf-8").rstrip("\n")


def held(path: Path, run: dict[str, str], seen: str = "", **more: Any) -> dict[str, Any]:
    return greenrack_modules.run(module, path=str(path), run=run, seen=seen, **more)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Return a process called sshd, and the number of one that came by it."""
    sshd = shutil.copy("/bin/sh", tmp_path / "sshd")
    with subprocess.Popen(
        [sshd, "-c", "/bin/sh -c 'echo $$; exec sleep 100' & wait"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        child = int(process.stdout.readline())
        yield process, child
        for pid in (child, process.pid):
            if module.started(pid):
                os.kill(pid, 9)


def test_who_holds_it_may_ask_again_and_nobody_else_gets_it(path: Path) -> None:
    assert "failed" not in held(path, ONE)
    assert "failed" not in held(path, ONE)
    refused = held(path, OTHER)
    assert refused["failed"]
    assert refused["other"] == ONE
    # Also who saw, when it looked, that one was at it.
    assert held(path, OTHER, seen=line(path))["other"] == ONE


def test_what_was_changed_since_a_run_looked_is_looked_at_again(path: Path) -> None:
    held(path, ONE)
    held(path, ONE, ends=True)
    assert held(path, OTHER)["since"] == ONE
    assert "failed" not in held(path, OTHER, seen=line(path))


def test_only_who_holds_it_gives_it_back(path: Path) -> None:
    held(path, ONE)
    assert "failed" not in held(path, OTHER, ends=True)
    assert held(path, OTHER)["other"] == ONE


def test_it_ends_with_the_run_where_that_is_known(path: Path) -> None:
    held(path, ONE)
    assert "failed" not in held(path, OTHER, seen=line(path), gone=True)
    # Whom this run has not seen, it knows nothing of.
    assert held(path, ONE, seen="older", gone=True)["other"] == OTHER


def test_it_ends_with_the_connection(
    path: Path, connection: tuple[subprocess.Popen[str], int]
) -> None:
    sshd, child = connection
    came = module.session(child)
    assert came[0] == sshd.pid
    told = {"run": ONE, "held": True, "until": module.uptime() + 100, "session": came}
    path.parent.mkdir()
    path.write_text(json.dumps(told) + "\n", "utf-8")
    assert held(path, OTHER, seen=line(path))["other"] == ONE
    os.kill(child, 9)
    sshd.kill()
    sshd.wait()
    assert "failed" not in held(path, OTHER, seen=line(path))


def test_it_ends_when_its_time_is_up(path: Path) -> None:
    held(path, ONE)
    assert held(path, OTHER, seen=line(path))["other"] == ONE
    held(path, ONE, seconds=0)
    assert "failed" not in held(path, OTHER, seen=line(path))


def test_a_line_that_is_none_of_ours_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("half a li", "utf-8")
    assert "failed" not in held(path, ONE, seen="half a li")
    assert json.loads(line(path))["run"] == ONE


def test_a_host_that_was_started_again_is_looked_at_again(path: Path) -> None:
    refused = held(path, ONE, seen="what it said before")
    assert refused["failed"]
    assert refused["since"] == {}


def test_a_run_of_this_controller_that_is_no_more_is_known() -> None:
    with subprocess.Popen(["sleep", "100"]) as process:
        run = {"pid": process.pid, "began": action.began(process.pid)}
        said = json.dumps({"run": {**run, "controller": action.controller()}})
        assert not action.ended(said)
        elsewhere = json.dumps({"run": {**run, "controller": "another"}})
        process.kill()
    assert action.ended(said)
    assert not action.ended(elsewhere)
    assert not action.ended("")


def test_another_process_with_its_number_is_not_that_run() -> None:
    run = {"pid": os.getpid(), "began": "1", "controller": action.controller()}
    assert action.ended(json.dumps({"run": run}))


def test_a_process_has_begun_when_it_has() -> None:
    first = action.began(os.getpid())
    time.sleep(0.02)
    with subprocess.Popen(["sleep", "100"]) as process:
        assert int(action.began(process.pid)) > int(first)
        process.kill()
