"""What the probe says that clients had of a change."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["proxy1"]


@pytest.fixture
def found() -> dict[str, Any]:
    """What it found while nginx was reloaded, and while it was stopped."""
    path = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "found.json")
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_request_was_answered_while_nginx_was_reloaded(found: dict[str, Any]) -> None:
    """It says how many those were, and how long the slowest took."""
    reloaded = found["reloaded"]
    assert reloaded["sent"] >= 2
    assert f"asked {reloaded['sent']} times" in reloaded["said"]
    assert "0 failed" in reloaded["said"]
    assert 0 < reloaded["slowest"] < 30


def test_the_run_failed_while_it_was_stopped(found: dict[str, Any]) -> None:
    """And says how many requests did, why, and what to type."""
    said = found["stopped"]["msg"]
    sent, failed = re.findall(r"asked (\d+) times from the controller: (\d+) failed", said)[0]
    assert 0 < int(failed) < int(sent), said
    assert "ConnectionRefusedError" in said
    assert "playbooks/rollback.yml" in said


def test_nginx_serves_again(host: Host) -> None:
    """What was broken for it is whole."""
    assert host.service("nginx").is_running
