"""app_verify: whether a server's processes stay, in the seconds after they were started."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import greenrack_modules
import pytest
from test_app_verify import declared

verify = greenrack_modules.load("app_verify")
BOTH = {11: "main", 12: "worker"}


@pytest.fixture
def p(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Parameters of a unit whose worker ends half a second after its import, later than it is looked at."""
    monkeypatch.setattr(verify, "STEADY", 0.5)
    (tmp_path / "12.report").touch()
    ends = time.monotonic() + 0.3
    now = lambda _unit: BOTH if time.monotonic() < ends else {11: "main"}  # noqa: E731
    monkeypatch.setattr(verify, "processes", now)
    return declared(reports=str(tmp_path), passed=str(tmp_path / "passed"), declared="")


def test_a_worker_that_ends_soon(p: dict[str, Any]) -> None:
    with pytest.raises(
        verify.Failed, match=r"^1 processes of \S+ ended by themselves within 0.5 s"
    ):
        verify.check_steady(BOTH, p)
    stays = "none of its processes has ended by itself"
    assert verify.check_steady({11: "main"}, p) == stays
