"""uwsgi.ini as rendered: what is in it, and that uWSGI itself takes it, serves, and stops gently."""

from __future__ import annotations

import configparser
import grp
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import demo_servers
import greenrack_modules
import pytest
from expected import GIVEN, MODES
from render import BINDS, modes, of_bind, render

gate = greenrack_modules.load("app_gate")
UWSGI = Path(sys.executable).with_name("uwsgi")
USER = pwd.getpwuid(os.geteuid()).pw_name
MODES_OF_UWSGI = [name for name, row in modes().items() if row["program"] == "uwsgi"]

# Answers its path; when asked for a second, it says in a file that it has begun.
APPLICATION = """\
import time
from pathlib import Path

def app(environ, start_response):
    if environ["PATH_INFO"] == "/second":
        Path("begun").touch()
        time.sleep(1)
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode()]
"""


def ini(mode: str, bind: str, **overrides: Any) -> str:
    given = {**GIVEN, **of_bind(bind), **overrides}
    return render("app_server", modes()[mode]["template"], server_mode_name=mode, **given)


def parsed(mode: str, bind: str, **overrides: Any) -> configparser.SectionProxy:
    """Return the settings; one that comes twice is an error."""
    sections = configparser.ConfigParser(interpolation=None)
    sections.read_string(ini(mode, bind, **overrides))
    assert sections.sections() == ["uwsgi"]
    return sections["uwsgi"]


@contextmanager
def serving(mode: str, bind: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run uWSGI with the rendered settings until the end of the block."""
    if not UWSGI.exists():
        pytest.skip("no uwsgi in this environment (pyuwsgi), so the settings cannot be tried")
    for module in {"wsgi", "wsgi_gevent"}:
        (folder / f"{module}.py").write_text(APPLICATION)
    config = folder / "demo.uwsgi.ini"
    # The user of a rendered socket is the application's; here, it is us.
    config.write_text(ini(mode, bind, app_name=USER, __app_server_release=str(folder)))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(UWSGI), "--ini", str(config)], stdout=log, stderr=log)
    try:
        while True:
            try:
                gate.ask(bind, MODES[mode].protocol, "/ready", 5)
                break
            except (OSError, ValueError):
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.02)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGQUIT)  # at once, its workers too
            process.wait()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of a short name, as a socket in it must have."""
    path = Path(tempfile.mkdtemp(prefix="uwsgi-"))
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("bind", BINDS)
@pytest.mark.parametrize("mode", MODES_OF_UWSGI)
def test_what_is_served_and_how(mode: str, bind: str) -> None:
    settings = parsed(mode, bind)
    sockets = {"uwsgi": "socket", "http": "http-socket"}
    speaks = sockets.pop(MODES[mode].protocol)
    assert settings[speaks] == bind.removeprefix("unix:")
    assert settings.keys().isdisjoint(sockets.values())
    assert settings["module"] == MODES[mode].callable
    assert settings["chdir"] == "/srv/demo/releases/0123456789ab"
    assert settings["processes"] == "2"
    assert settings["strict"] == settings["need-app"] == settings["master"] == "true"


@pytest.mark.parametrize("mode", MODES_OF_UWSGI)
def test_greenlets_are_patched_early_and_threads_not_at_all(mode: str) -> None:
    settings = parsed(mode, BINDS[0])
    greenlets = modes()[mode]["concurrency"] == "greenlets"
    assert settings.get("gevent") == ("50" if greenlets else None)
    assert settings.get("gevent-early-monkey-patch") == ("true" if greenlets else None)


@pytest.mark.parametrize("mode", MODES_OF_UWSGI)
def test_only_a_unix_socket_has_an_owner(mode: str) -> None:
    tcp, unix = (parsed(mode, bind) for bind in BINDS)
    owning = {"chown-socket", "chmod-socket"}
    assert owning.isdisjoint(tcp.keys())
    assert {key: unix[key] for key in owning} == {
        "chown-socket": "demo:www-data",
        "chmod-socket": "660",
    }


@pytest.mark.parametrize("timeout", [0.5, 30, 120])
@pytest.mark.parametrize("mode", MODES_OF_UWSGI)
def test_no_limit_is_below_a_requests_own_time(mode: str, timeout: float) -> None:
    settings = parsed(mode, BINDS[0], app_timeout=timeout)
    for limit in ("socket-timeout", "worker-reload-mercy", "reload-mercy"):
        assert int(settings[limit]) > timeout


@pytest.mark.parametrize("mode", MODES_OF_UWSGI)
def test_uwsgi_serves_over_tcp_and_a_stop_lets_requests_end(mode: str, folder: Path) -> None:
    bind = f"127.0.0.1:{demo_servers.free_port()}"
    answers: list[Any] = []

    def ask() -> None:
        answers.append(gate.ask(bind, MODES[mode].protocol, "/second", 20))

    with serving(mode, bind, folder) as process:
        asking = threading.Thread(target=ask)
        asking.start()
        while asking.is_alive() and not (folder / "begun").exists():
            time.sleep(0.02)
        process.terminate()
        process.wait()
        asking.join()
    ((status, answer),) = answers
    assert (status, answer.endswith("/second")) == (200, True)


@pytest.mark.parametrize("mode", MODES_OF_UWSGI)
def test_uwsgi_gives_its_unix_socket_to_nginx(mode: str, folder: Path) -> None:
    if os.geteuid() != 0 or "www-data" not in {group.gr_name for group in grp.getgrall()}:
        pytest.skip("only root can give a file to www-data, and only where there is one")
    with serving(mode, f"unix:{folder}/app.sock", folder):
        made = (folder / "app.sock").stat()
    assert (made.st_mode & 0o777, grp.getgrgid(made.st_gid).gr_name) == (0o660, "www-data")
    assert not (folder / "app.sock").exists()


@pytest.mark.parametrize("mode", MODES_OF_UWSGI[:1])
def test_uwsgi_refuses_a_setting_it_does_not_know(mode: str, folder: Path) -> None:
    config = folder / "demo.uwsgi.ini"
    bind = f"127.0.0.1:{demo_servers.free_port()}"
    config.write_text(ini(mode, bind, __app_server_release=str(folder)) + "processses = 2\n")
    done = subprocess.run([str(UWSGI), "--ini", str(config)], capture_output=True, text=True)
    assert done.returncode != 0
    assert "processses" in done.stderr
