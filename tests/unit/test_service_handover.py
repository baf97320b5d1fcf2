"""service_current announces a restart, in a directory that is the service's own."""

from __future__ import annotations

from pathlib import Path

import greenrack_modules
import pytest

service = greenrack_modules.load("service_current")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[tuple[str, ...], list[str]]]:
    """Return what is run, and what is in the directory meanwhile."""
    done: list[tuple[tuple[str, ...], list[str]]] = []
    monkeypatch.setattr(
        service,
        "run",
        lambda *command: done.append((command, [path.name for path in tmp_path.iterdir()])),
    )
    return done


def test_a_restart_is_announced_and_nothing_else(ran, tmp_path: Path) -> None:
    for step in ("reload-units", "enable", "start", "reload"):
        service.do(step, "demo-blue.service", [], str(tmp_path / "handover"))
    assert {tuple(there) for _, there in ran} == {()}
    ran.clear()
    service.do("restart", "demo-blue.service", [], str(tmp_path / "handover"))
    assert ran == [(("systemctl", "restart", "demo-blue.service"), ["handover"])]


def test_one_whose_check_fails_is_not(ran, tmp_path: Path, monkeypatch) -> None:
    def refuse(*_command: str) -> None:
        raise service.Failed("no")

    monkeypatch.setattr(service, "run", refuse)
    with pytest.raises(service.Failed):
        service.do("restart", "demo-blue.service", ["/bin/false"], str(tmp_path / "handover"))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_followed_that_the_service_put_there(ran, tmp_path: Path) -> None:
    target = tmp_path / "of-somebody-else"
    (tmp_path / "handover").symlink_to(target)
    service.do("restart", "demo-blue.service", [], str(tmp_path / "handover"))
    assert not target.exists()
    assert len(ran) == 1


def test_a_service_without_a_directory_is_restarted_too(ran, tmp_path: Path) -> None:
    service.do("restart", "demo-blue.service", [], str(tmp_path / "nowhere" / "handover"))
    assert len(ran) == 1
