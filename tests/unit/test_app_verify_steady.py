"""app_verify: whether a server's processes stay, and what is not loaded and waited for again."""

from __future__ import annotations

import http.server
import time
from pathlib import Path
from typing import Any

import greenrack_modules
import pytest
from demo_servers import waiting_server
from test_app_verify import GOOD, declared, result, write

verify = greenrack_modules.load("app_verify")
BOTH = {11: "main", 12: "worker"}


@pytest.fixture
def p(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Parameters of a unit whose worker ends later than it is looked at, and sooner than it may."""
    monkeypatch.setattr(verify, "STEADY", 0.5)
    (tmp_path / "12.report").touch()
    ends = time.monotonic() + 0.3
    now = lambda _unit: BOTH if time.monotonic() < ends else {11: "main"}  # noqa: E731
    monkeypatch.setattr(verify, "processes", now)
    return declared(reports=str(tmp_path))


def test_a_worker_that_ends_soon(p: dict[str, Any]) -> None:
    with pytest.raises(
        verify.Failed, match=r"^1 processes of \S+ ended by themselves within 0.5 s"
    ):
        verify.check_steady(BOTH, p)
    stays = "none of its processes has ended by itself"
    assert verify.check_steady({11: "main"}, p) == stays


def test_what_is_started_again_as_it_passed_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    p = {**write(tmp_path, p11=GOOD, p12=GOOD), "http_path": "", "database_path": ""}
    again, slots = {"again": True}, {"slots": 7}
    given = [("a", {}, 5), ("b", again, 5), ("b", {}, 5), ("a", {}, 3), ("a", slots, 5)]
    given += [("", {}, 5), ("", {}, 5), ("a", again, 5), ("b", {"unit": "demo-green.service"}, 3)]
    with waiting_server(http.server.ThreadingHTTPServer) as bind:
        for start, (name, more, lines) in enumerate(given):
            monkeypatch.setattr(verify, "this_start", lambda _, start=start: str(start))
            said = result(monkeypatch, {**p, "bind": bind, "declared": name, **more})["said"]
            assert len(said) == lines, (start, said)
    assert Path(p["reports"], "passed").stat().st_mode & 0o077 == 0
    write(tmp_path, p11={**GOOD, "patched": False})
    monkeypatch.setattr(verify, "this_start", lambda _: "another")
    assert result(monkeypatch, {**p, "declared": "a"})["failed"]
