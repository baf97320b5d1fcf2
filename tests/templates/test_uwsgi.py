"""uwsgi.ini as rendered: what is in it, and that uWSGI itself takes it, serves, and stops gently."""

from __future__ import annotations

import configparser
import subprocess
from pathlib import Path
from typing import Any

import demo_servers
import pytest
from expected import GIVEN, MODES, of_program
from render import BINDS, evaluate, modes, of_bind, of_mode, render
from running import command, deployed, settings

SPOKEN = of_program("uwsgi")
MODES_OF_UWSGI = sorted({mode for mode, _ in SPOKEN})


def ini(mode: str, bind: str, **overrides: Any) -> str:
    given = {**GIVEN, **of_mode(mode), **of_bind(bind), **overrides}
    return render("app_server", modes()[mode]["template"], **given)


def parsed(mode: str, bind: str, **overrides: Any) -> configparser.SectionProxy:
    """Return the settings; one that comes twice is an error."""
    sections = configparser.ConfigParser(interpolation=None)
    sections.read_string(ini(mode, bind, **overrides))
    assert sections.sections() == ["uwsgi"]
    return sections["uwsgi"]


@pytest.mark.parametrize("bind", BINDS)
@pytest.mark.parametrize(("mode", "protocol"), SPOKEN)
def test_what_is_served_and_how(mode: str, protocol: str, bind: str) -> None:
    settings = parsed(mode, bind, protocol=protocol)
    sockets = {"uwsgi": "socket", "http": "http-socket"}
    assert settings[sockets.pop(protocol)] == "fd://3"
    assert settings.keys().isdisjoint({*sockets.values(), "http"})  # http is a proxy of uWSGI's
    assert settings["module"] == "greenrack_entry:app"
    assert settings["chdir"] == "/srv/demo/releases/0123456789ab"
    assert settings["processes"] == "2"
    assert settings["strict"] == settings["need-app"] == settings["master"] == "true"
    assert settings["lazy-apps"] == "true"  # each worker imports the application, and reports


@pytest.mark.parametrize("profile", ["default", "tutorial"])
@pytest.mark.parametrize("mode", MODES_OF_UWSGI)
def test_its_size(mode: str, profile: str) -> None:
    sections = configparser.ConfigParser(interpolation=None)
    template = modes()[mode]["template"]
    sections.read_string(render("app_server", template, **of_mode(mode, profile=profile)))
    settings = sections["uwsgi"]
    each = settings.get("threads") or settings.get("gevent")
    assert (int(settings["processes"]), int(each or 0)) == MODES[mode].sizes[profile]


@pytest.mark.parametrize("mode", MODES_OF_UWSGI)
def test_greenlets_are_patched_early_and_threads_not_at_all(mode: str) -> None:
    settings = parsed(mode, BINDS[0])
    greenlets = modes()[mode]["concurrency"] == "greenlets"
    assert settings.get("gevent") == ("50" if greenlets else None)
    assert settings.get("threads") == (None if greenlets else "50")
    assert settings.get("gevent-early-monkey-patch") == ("true" if greenlets else None)


@pytest.mark.parametrize("timeout", [0.5, 30, 120])
@pytest.mark.parametrize("mode", MODES_OF_UWSGI)
def test_no_limit_is_below_a_requests_own_time(mode: str, timeout: float) -> None:
    settings = parsed(mode, BINDS[0], app_timeout=timeout)
    for limit in ("socket-timeout", "worker-reload-mercy", "reload-mercy"):
        assert int(settings[limit]) > timeout


@pytest.mark.parametrize(("mode", "protocol"), SPOKEN)
def test_uwsgi_refuses_a_setting_it_does_not_know(mode: str, protocol: str, folder: Path) -> None:
    bind = f"127.0.0.1:{demo_servers.free_port()}"
    given = deployed(bind, folder, **of_mode(mode, protocol))
    path = Path(evaluate("app_server", "__app_server_config", **given))
    path.write_text(path.read_text() + "processses = 2\n")
    done = subprocess.run(
        command(given), env=settings(folder, given), capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "processses" in done.stderr
