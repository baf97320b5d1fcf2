"""The rendered systemd units, as systemd itself reads them."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from expected import GIVEN, MODES
from render import BINDS, evaluate, of_bind, render

# Seconds a request may take.
TIMEOUTS = [0.5, 30, 120]


def parsed(unit: str) -> configparser.ConfigParser:
    """Return a unit's sections; a key that comes twice is an error."""
    sections = configparser.ConfigParser(interpolation=None)
    sections.optionxform = str  # type: ignore[assignment,method-assign]
    sections.read_string(unit)
    return sections


def complaints(unit: str, path: Path) -> list[str]:
    """Return what systemd says about a unit, which goes to `path`.

    That the program is not here is no fault of the unit, and is left out: only that.
    """
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here, so nobody can say whether the unit is valid")
    path.write_text(unit)
    command = ["systemd-analyze", "verify", "--man=no", str(path)]
    said = subprocess.run(command, capture_output=True, text=True).stderr.splitlines()
    absent = " is not executable: No such file or directory"
    return [line for line in said if path.name in line and not line.endswith(absent)]


def app_unit(mode: str, bind: str, **overrides: Any) -> str:
    given = {**GIVEN, **of_bind(bind), **overrides}
    return render("app_server", "app.service.j2", server_mode_name=mode, **given)


@pytest.mark.parametrize("bind", BINDS)
@pytest.mark.parametrize("mode", MODES)
def test_systemd_accepts_the_application(mode: str, bind: str, tmp_path: Path) -> None:
    assert complaints(app_unit(mode, bind), tmp_path / "demo.service") == []


def test_systemd_accepts_the_slow_api(tmp_path: Path) -> None:
    unit = render("slow_api", "slow-api.service.j2")
    assert complaints(unit, tmp_path / "slow-api.service") == []


def test_systemd_is_asked_indeed(tmp_path: Path) -> None:
    unit = app_unit("uwsgi_gevent", BINDS[0]).replace("KillMode=mixed", "KillMode=mxed")
    (complaint,) = complaints(unit, tmp_path / "demo.service")
    assert "kill mode" in complaint


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_a_stop_has_time_for_running_requests(mode: str, timeout: float) -> None:
    given = {"app_timeout": timeout, "server_mode_name": mode}
    service = parsed(app_unit(mode, BINDS[0], app_timeout=timeout))["Service"]
    graceful = evaluate("app_server", "__app_server_stop", **given)
    # With another mode, the server's workers get the TERM that is meant for its master.
    assert service["KillMode"] == "mixed"
    assert timeout < graceful < int(service["TimeoutStopSec"])


@pytest.mark.parametrize("mode", MODES)
def test_what_the_unit_says_of_itself(mode: str) -> None:
    service = parsed(app_unit(mode, BINDS[0]))["Service"]
    slots = f"GREENRACK_MODE={mode} GREENRACK_SLOTS={MODES[mode].slots}"
    assert service["Environment"] == f"PYTHONUNBUFFERED=1 {slots}"
    assert service["User"] == "demo"
    assert service["EnvironmentFile"] == "/etc/demo.env"
    assert service["ExecStart"].startswith("/srv/demo/releases/0123456789ab/.venv/bin/")
    assert service["WorkingDirectory"] == "/srv/demo/releases/0123456789ab"


@pytest.mark.parametrize("mode", MODES)
def test_only_a_unix_socket_is_shared_with_nginx(mode: str) -> None:
    tcp, unix = (parsed(app_unit(mode, bind))["Service"] for bind in BINDS)
    assert "SupplementaryGroups" not in tcp
    assert unix["SupplementaryGroups"] == "www-data"
    assert unix["RuntimeDirectory"] == "demo"  # systemd makes /run/demo for the socket


@pytest.mark.parametrize("longest", [0, 2.5, 60])
def test_the_slow_api_is_given_time_for_its_longest_delay(longest: float) -> None:
    unit = parsed(render("slow_api", "slow-api.service.j2", slow_api_max_delay=longest))
    assert f"--max-delay {longest}" in unit["Service"]["ExecStart"]
    assert int(unit["Service"]["TimeoutStopSec"]) > longest
