"""A load, as it was stored: of a server whose answers take a known time."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["load1"]
DELAY = 0.1


@pytest.fixture(scope="module")
def session() -> Path:
    """The newest session's directory on the controller."""
    return max(Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "results").glob("2*Z"))


@pytest.fixture(scope="module")
def measured(session: Path) -> dict[str, Any]:
    """What was measured."""
    stored = session / "01.none.twenty.h2load.json"
    return json.loads(stored.read_text(encoding="utf-8"))


def test_every_request_is_accounted_for(measured: dict[str, Any]) -> None:
    """All of them were answered."""
    counts = measured["counts"]
    assert (counts["succeeded"], counts["failed"]) == (200, 0), counts


def test_says_how_much_of_what_can_be_had_that_is(measured: dict[str, Any]) -> None:
    """Twenty clients, each answered after the delay, and not earlier: no more than 200 a second."""
    assert 0 < measured["ceiling"]["percent"] <= 101, measured["ceiling"]
    assert measured["latency"]["p50"] >= DELAY, measured["latency"]


def test_keeps_every_request(session: Path) -> None:
    """So that what was stored can be worked out again."""
    with gzip.open(session / "01.none.twenty.h2load.log.gz", "rt") as log:
        assert len([line for line in log if "\t200\t" in line]) == 200


def test_leaves_nothing_running(host: Host) -> None:
    """Neither a load nor its unit."""
    assert not host.process.filter(comm="h2load")
    assert not host.service("greenrack-load").is_running
