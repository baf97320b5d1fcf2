"""service_current decides by the ages of real files what has to be done to a unit."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import greenrack_modules
import pytest

service = greenrack_modules.load("service_current")


def ago(seconds: float) -> str:
    """Return a time of the monotonic clock as systemd shows it."""
    return str(int((time.clock_gettime(time.CLOCK_MONOTONIC) - seconds) * 1e6))


def unit(started: float = 100, changed: float | None = None, **properties: str) -> dict[str, str]:
    """Return a unit that was started, and last changed its state, so many seconds ago."""
    return {
        "LoadState": "loaded",
        "ActiveState": "active",
        "UnitFileState": "enabled",
        "NeedDaemonReload": "no",
        "InactiveExitTimestampMonotonic": ago(started),
        "StateChangeTimestampMonotonic": ago(started if changed is None else changed),
        "FragmentPath": "",
        "DropInPaths": "",
        "NRestarts": "0",
        **properties,
    }


def plan(
    unit: dict[str, str],
    restart: Sequence[str] = (),
    reload: Sequence[str] = (),
    units: Sequence[str] = (),
    written: str = "",
) -> list[str]:
    """Return what has to be done because of files a change of which takes one or the other."""
    return service.plan(unit, restart, reload, units, {written})


@pytest.fixture
def old(tmp_path: Path) -> str:
    """A file older than every unit here."""
    return written(tmp_path / "old.conf", 1000)


@pytest.fixture
def new(tmp_path: Path) -> str:
    """A file younger than every unit here."""
    return written(tmp_path / "new.conf", 0)


def written(path: Path, seconds: float) -> str:
    """Make a file that was written so many seconds ago."""
    path.touch()
    os.utime(path, (time.time(), time.time() - seconds))
    return str(path)


def test_the_properties_are_those_that_are_asked_for() -> None:
    assert set(unit()) == set(service.PROPERTIES)


def test_nothing_is_done_to_a_service_that_is_current(old: str) -> None:
    assert plan(unit(), restart=[old], reload=[old]) == []


def test_a_younger_file_takes_a_restart(old: str, new: str) -> None:
    assert plan(unit(), restart=[old, new]) == ["restart"]


def test_a_younger_file_takes_a_reload(old: str, new: str) -> None:
    assert plan(unit(), restart=[old], reload=[new]) == ["reload"]


def test_a_restart_makes_a_reload_needless(new: str) -> None:
    assert plan(unit(), restart=[new], reload=[new]) == ["restart"]


def test_what_a_dry_run_would_write_takes_what_it_would_take(old: str) -> None:
    assert plan(unit(), restart=[old], written=old) == ["restart"]
    assert plan(unit(), reload=[old], written=old) == ["reload"]
    assert plan(unit(ActiveState="inactive"), reload=[old], written=old) == ["start"]


def test_its_own_unit_file_takes_a_restart(old: str, new: str) -> None:
    assert plan(unit(FragmentPath=old)) == []
    assert plan(unit(FragmentPath=new)) == ["restart"]
    assert plan(unit(FragmentPath=old, DropInPaths=f"{old} {new}")) == ["restart"]


def test_a_drop_in_that_systemd_overlooked_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "web.service.d"
    folder.mkdir()
    path = written(folder / "limits.conf", 1000)
    wanted = {"restart": [path]}
    assert plan(unit(), **wanted) == ["reload-units", "restart"]
    assert plan(unit(DropInPaths=path), **wanted) == []


def test_a_drop_in_may_leave_alone_what_runs(tmp_path: Path) -> None:
    folder = tmp_path / "web.service.d"
    folder.mkdir()
    path = written(folder / "restart.conf", 0)
    assert plan(unit(), units=[path]) == ["reload-units"]
    assert plan(unit(), units=[path], written=path) == ["reload-units"]
    assert plan(unit(DropInPaths=path), units=[path]) == []


def test_a_file_that_is_not_there_is_no_reason(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    assert plan(unit(), restart=[gone], reload=[gone]) == []


def test_a_link_counts_as_what_it_names(tmp_path: Path, new: str) -> None:
    link = tmp_path / "link"
    link.symlink_to(new)
    assert plan(unit(), restart=[str(link)]) == ["restart"]


def test_a_reload_does_not_hide_that_a_restart_is_due(tmp_path: Path) -> None:
    file = written(tmp_path / "greenrack.conf", 50)
    reloaded = unit(started=100, changed=10)  # by somebody else, after the file was written
    assert plan(reloaded, restart=[file]) == ["restart"]
    assert plan(reloaded, reload=[file]) == []


def test_a_file_written_while_the_service_starts_is_not_overlooked(tmp_path: Path) -> None:
    file = written(tmp_path / "greenrack.conf", 50)
    slow = unit(started=60, changed=40)  # it may have read the file before
    assert plan(slow, restart=[file]) == ["restart"]


@pytest.mark.parametrize("state", ["inactive", "failed", "activating", "deactivating"])
def test_what_does_not_run_is_started(state: str, new: str) -> None:
    stopped = unit(ActiveState=state, InactiveExitTimestampMonotonic="0")
    assert plan(stopped, restart=[new], reload=[new]) == ["start"]


def test_a_service_that_reloads_is_running(new: str) -> None:
    reloading = unit(ActiveState="reloading")
    assert plan(reloading) == []
    assert plan(reloading, restart=[new]) == ["restart"]


@pytest.mark.parametrize("state", ["disabled", "", "linked", "indirect"])
def test_what_would_not_start_at_boot_is_enabled(state: str) -> None:
    assert plan(unit(UnitFileState=state)) == ["enable"]


@pytest.mark.parametrize("state", ["enabled", "enabled-runtime", "static", "alias"])
def test_what_starts_at_boot_is_left_alone(state: str) -> None:
    assert plan(unit(UnitFileState=state)) == []


def test_a_new_unit_takes_everything_in_order() -> None:
    new_unit = unit(LoadState="not-found", ActiveState="inactive", UnitFileState="")
    assert plan(new_unit) == ["enable", "start"]


def test_units_are_read_again_before_the_restart(new: str) -> None:
    changed = unit(NeedDaemonReload="yes", FragmentPath=new)
    assert plan(changed) == ["reload-units", "restart"]


def test_a_check_that_fails_stops_before_the_service_is_touched() -> None:
    with pytest.raises(service.Failed, match="'sh -c echo no; exit 1' failed: no"):
        service.do("restart", "greenrack-nowhere.service", ["sh", "-c", "echo no; exit 1"])


@pytest.fixture
def shows(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let systemd show these units, one after the other, and the last one from then on."""

    def shows(*units: dict[str, str]) -> None:
        left = list(units)
        monkeypatch.setattr(service, "show", lambda _name: left.pop(0) if left[1:] else left[0])
        monkeypatch.setattr(service, "PATIENCE", 0)
        monkeypatch.setattr(service, "journal", lambda _name, _since: "the journal says")

    return shows


def test_a_dry_run_tells_of_the_restart(tmp_path: Path, shows: Callable[..., None]) -> None:
    shows(unit())
    file = {"path": str(tmp_path / "web.conf"), "content": "a"}
    result = greenrack_modules.run(service, check=True, name="web.service", files=[file])
    assert (result["changed"], result["did"]) == (True, ["restart"])
    assert result["paths"] == [file["path"]]
    assert result["diff"][0]["after"] == "a\n"
    assert list(tmp_path.iterdir()) == []


def restarted(*numbers: int, **properties: str) -> list[dict[str, str]]:
    """Return a unit as it is while systemd restarts it: it says each of these numbers."""
    return [unit(NRestarts=str(number), **properties) for number in numbers]


@pytest.mark.parametrize(
    ("numbers", "ends"),
    [
        ([7, 7, 8, 9], ["", "", ""]),
        ([7, 8, 9, 10], ["", "", "and ended by itself 3 times"]),
        ([7, 11], ["and ended by itself 4 times"]),
        ([7, 0, 2, 3], ["", "", "and ended by itself 3 times"]),  # somebody has started it
    ],
)
def test_it_is_enough_when_a_unit_has_ended_three_times(
    numbers: list[int], ends: list[str], shows: Callable[..., None]
) -> None:
    shows(*restarted(*numbers, ActiveState="activating"))
    counted = service.Ends("web.service")
    assert [counted.enough() for _ in ends] == ends


def test_it_is_enough_when_a_unit_has_failed(shows: Callable[..., None]) -> None:
    shows(unit(), unit(ActiveState="failed"))
    assert service.Ends("web.service").enough() == "and has failed"


@pytest.mark.parametrize(
    ("then", "says"),
    [
        (restarted(0, 1, 2, 3), "and ended by itself 3 times"),
        ([unit(ActiveState="failed")], "and has failed"),
    ],
)
def test_what_ends_by_itself_is_not_waited_for(
    then: list[dict[str, str]], says: str, shows: Callable[..., None], closed_port: int
) -> None:
    shows(unit(), *then)
    answers = {"bind": f"127.0.0.1:{closed_port}", "timeout": 600}
    result = greenrack_modules.run(service, name="web.service", answers=answers)
    assert result["failed"]
    where = f"web.service did not answer GET /healthz with 2xx on {answers['bind']} {says}."
    assert result["msg"].startswith(f"{where} Last answer: [Errno 111] Connection refused")
    assert result["msg"].endswith("The end of its journal since then:\nthe journal says")


def test_what_ends_often_in_its_first_seconds_is_waited_for(
    shows: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shows(*restarted(0, 5))
    monkeypatch.setattr(service, "PATIENCE", 600)
    assert service.Ends("web.service").enough() == ""


def test_what_ended_once_is_waited_for(shows: Callable[..., None]) -> None:
    shows(unit(), *restarted(0, 1))
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # ours already, and nobody can connect to it yet
        bind = f"127.0.0.1:{held.getsockname()[1]}"

        def serve() -> None:
            held.listen()
            link, _ = held.accept()
            with link:
                link.recv(4096)
                link.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        late = threading.Timer(2.5, serve)
        late.start()
        result = greenrack_modules.run(service, name="web.service", answers={"bind": bind})
        late.join()
    assert (result.get("failed"), result["did"]) == (None, []), result


def test_a_file_that_others_write_takes_a_reload(
    shows: Callable[..., None], old: str, new: str
) -> None:
    for path, did in ((old, []), (new, ["reload"]), ("/nowhere", [])):
        shows(unit())
        assert greenrack_modules.run(service, True, name="web.service", reads=[path])["did"] == did


def test_a_unit_nobody_knows_would_be_started() -> None:
    if not Path("/run/systemd/system").is_dir():
        pytest.skip("systemd does not run this machine")
    result = greenrack_modules.run(service, check=True, name="greenrack-nowhere.service")
    assert result["did"] == ["enable", "start"]


def test_a_failure_names_the_command_and_shows_the_journal() -> None:
    if Path("/run/systemd/system").is_dir():
        pytest.skip("systemd runs this machine, so asking it does not fail")
    result = greenrack_modules.run(service, name="greenrack-nowhere.service")
    assert result["failed"]
    assert "systemctl show" in result["msg"]
    assert "The end of its journal since then:" in result["msg"]
