"""gunicorn.conf.py and pywsgi.py as rendered, and what gunicorn itself says of its own."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path
from typing import Any

import demo_servers
import pytest
from expected import GIVEN, MODES, of_program
from render import BINDS, evaluate, modes, of_bind, of_mode, render
from running import command, deployed, settings

SPOKEN = of_program("gunicorn")
MODES_OF_GUNICORN = sorted({mode for mode, _ in SPOKEN})
PATCH = "from gevent import monkey\nmonkey.patch_all()"


def conf(mode: str, bind: str, protocol: str = "", **overrides: Any) -> ast.Module:
    given = {**GIVEN, **of_mode(mode, protocol), **of_bind(bind), **overrides}
    return ast.parse(render("app_server", modes()[mode]["template"], **given))


def parsed(mode: str, bind: str, protocol: str = "", **overrides: Any) -> dict[str, Any]:
    """Return the settings; one that comes twice is an error."""
    lines = [
        line
        for line in conf(mode, bind, protocol, **overrides).body
        if isinstance(line, ast.Assign)
    ]
    found = {ast.unparse(line.targets[0]): ast.literal_eval(line.value) for line in lines}
    assert len(found) == len(lines)
    return found


def checked(folder: Path, mode: str, protocol: str, bind: str, more: str = "") -> tuple[int, str]:
    """Return the exit code and the words of `gunicorn --check-config`."""
    given = deployed(bind, folder, **of_mode(mode, protocol))
    path = Path(evaluate("app_server", "__app_server_config", **given))
    path.write_text(path.read_text() + more)
    words = [*command(given), "--check-config"]
    done = subprocess.run(words, env=settings(folder, given), capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize(("mode", "protocol"), SPOKEN)
def test_gunicorn_accepts_it(mode: str, protocol: str, kind: str, folder: Path) -> None:
    unix = f"unix:{folder}/app.sock"
    bind = unix if kind == "unix" else f"127.0.0.1:{demo_servers.free_port()}"
    code, said = checked(folder, mode, protocol, bind)
    assert (code, "Warning" in said, "rror" in said) == (0, False, False), said


@pytest.mark.parametrize("more", ['threads = "many"', "workers = -1"])
@pytest.mark.parametrize("mode", MODES_OF_GUNICORN)
def test_gunicorn_is_asked_indeed(mode: str, more: str, folder: Path) -> None:
    code, said = checked(folder, mode, "http", "127.0.0.1:8000", more + "\n")
    assert code != 0, said


@pytest.mark.parametrize(("mode", "protocol"), SPOKEN)
def test_gunicorn_knows_every_setting(mode: str, protocol: str) -> None:
    known = pytest.importorskip("gunicorn.config", reason="no gunicorn in this environment")
    names = {setting.name for setting in known.KNOWN_SETTINGS}
    # It passes over what it does not know, and --check-config says nothing of it.
    assert parsed(mode, BINDS[0], protocol).keys() <= names


@pytest.mark.parametrize("bind", BINDS)
@pytest.mark.parametrize(("mode", "protocol"), SPOKEN)
def test_what_is_served_and_how(mode: str, protocol: str, bind: str) -> None:
    clients = ["127.0.0.1", "10.0.0.11"]
    found = parsed(mode, bind, protocol, app_server_clients=clients)
    assert found["bind"] == "fd://3"
    assert found["protocol"] == protocol
    assert found["chdir"] == "/srv/demo/releases/0123456789ab"
    assert found["workers"] == 2
    assert found["keepalive"] == 0  # nginx opens a connection for each request
    assert "keepalive" not in parsed(mode, bind, "http", proxy=False)
    # A unix socket has no addresses: its mode says who may use it.
    unix = bind.startswith("unix:")
    assert found["uwsgi_allow_ips"] == ("*" if unix else "127.0.0.1,10.0.0.11")


@pytest.mark.parametrize("mode", MODES_OF_GUNICORN)
def test_greenlets_are_patched_first_and_threads_not_at_all(mode: str) -> None:
    found, lines = parsed(mode, BINDS[0]), conf(mode, BINDS[0]).body
    if modes()[mode]["concurrency"] == "greenlets":
        assert (found["worker_class"], found["worker_connections"]) == ("gevent", 50)
        assert "threads" not in found
        assert "\n".join(ast.unparse(line) for line in lines[:2]) == PATCH
    else:
        assert (found["worker_class"], found["threads"]) == ("gthread", 50)
        assert found["worker_connections"] == found["threads"], "a connection is a request"
        direct = parsed(mode, BINDS[0], proxy=False)
        assert direct["worker_connections"] > direct["threads"], "some are kept, and idle"
        assert not any(isinstance(line, (ast.Import, ast.ImportFrom)) for line in lines)


@pytest.mark.parametrize("profile", ["default", "tutorial"])
@pytest.mark.parametrize("mode", MODES_OF_GUNICORN)
def test_its_size(mode: str, profile: str) -> None:
    text = render("app_server", modes()[mode]["template"], **of_mode(mode, profile=profile))
    found: dict[str, Any] = {}
    exec(text.replace("monkey.patch_all()", ""), found)  # noqa: S102 - of our own template
    each = found.get("threads") or found["worker_connections"]
    assert (found["workers"], each) == MODES[mode].sizes[profile]


@pytest.mark.parametrize("timeout", [0.5, 30, 120])
@pytest.mark.parametrize("mode", [*MODES_OF_GUNICORN, "pywsgi_gevent"])
def test_no_limit_is_below_a_requests_own_time(mode: str, timeout: float) -> None:
    if mode == "pywsgi_gevent":
        text = render("app_server", modes()[mode]["template"], **of_mode(mode), app_timeout=timeout)
        (line,) = [line for line in text.splitlines() if "stop_timeout" in line]
        assert float(line.partition("= ")[2]) > timeout
        return
    found = parsed(mode, BINDS[0], app_timeout=timeout)
    assert min(found["graceful_timeout"], found["timeout"]) > timeout


def test_pywsgis_master_is_not_patched_and_its_workers_are_first_of_all() -> None:
    mode = "pywsgi_gevent"
    tree = ast.parse(render("app_server", modes()[mode]["template"], **of_mode(mode)))
    first = [line for line in tree.body if isinstance(line, (ast.Import, ast.ImportFrom))]
    assert not any("gevent" in ast.unparse(line) for line in first)
    (serve,) = [line for line in tree.body if getattr(line, "name", "") == "serve"]
    assert "\n".join(ast.unparse(line) for line in serve.body[1:3]) == PATCH
