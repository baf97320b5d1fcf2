"""The rendered systemd units, as systemd itself reads them."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from expected import GIVEN, MODES, SPOKEN
from render import BINDS, evaluate, of_bind, of_mode, of_topology, render

# Seconds a request may take.
TIMEOUTS = [0.5, 30, 120]


def environment(unit: str) -> dict[str, str]:
    """Return what the unit's lines Environment= say together."""
    lines = [line.partition("=")[2] for line in unit.splitlines() if line[:12] == "Environment="]
    pairs = [pair.split("=", 1) for line in lines for pair in line.split()]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def parsed(unit: str) -> configparser.ConfigParser:
    """Return a unit's sections; a key that comes twice is an error, but for two that are lists."""
    lists = ("Environment=", "SystemCallFilter=")
    unit = "\n".join(line for line in unit.splitlines() if not line.startswith(lists))
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
    given = {**GIVEN, **of_mode(mode), **of_bind(bind), **overrides}
    return render("app_server", "app.service.j2", **given)


@pytest.mark.parametrize("bind", BINDS)
@pytest.mark.parametrize(("mode", "protocol"), SPOKEN)
def test_systemd_accepts_the_application(
    mode: str, protocol: str, bind: str, tmp_path: Path
) -> None:
    unit = app_unit(mode, bind, protocol=protocol)
    assert complaints(unit, tmp_path / "demo.service") == []


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_tls_in_front_lives_with_the_application(timeout: float, tmp_path: Path) -> None:
    given = {"app_server_tls": True, "app_timeout": timeout}
    unit = render("app_server", "tls.service.j2", **given)
    (tmp_path / "demo-blue.service").write_text(app_unit("waitress", BINDS[1], **given))
    assert complaints(unit, tmp_path / "greenrack-tls-demo-blue.service") == []
    front, app = (parsed(text) for text in (unit, app_unit("waitress", BINDS[1], **given)))
    assert front["Unit"]["BindsTo"] == front["Unit"]["After"] == "demo-blue.service"
    assert "greenrack-tls-demo-blue.service" in app["Unit"]["Wants"].split()
    assert environment(app_unit("waitress", BINDS[1], **given))["GREENRACK_WAY"] == "tls"
    assert timeout < int(front["Service"]["TimeoutStopSec"])


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
    given = {"app_timeout": timeout, **of_mode(mode)}
    service = parsed(app_unit(mode, BINDS[0], app_timeout=timeout))["Service"]
    graceful = evaluate("app_server", "__app_server_stop", **given)
    # With another mode, the server's workers get the TERM that is meant for its master.
    assert service["KillMode"] == "mixed"
    assert timeout < graceful < int(service["TimeoutStopSec"])


@pytest.mark.parametrize("profile", ["default", "tutorial"])
@pytest.mark.parametrize("mode", MODES)
def test_what_the_unit_says_of_itself(mode: str, profile: str) -> None:
    own = "/srv/demo/releases/0123456789ab"
    workers, each = MODES[mode].sizes[profile]
    unit = render("app_server", "app.service.j2", **of_mode(mode, profile=profile))
    assert environment(unit) == {
        "PYTHONUNBUFFERED": "1",
        "FLASK_SKIP_DOTENV": "1",
        "GREENRACK_RELEASE": "0123456789ab",
        "GREENRACK_BEFORE": "",
        "GREENRACK_PATCH": "",
        # The release first: whatever it calls a module of its own is what it gets.
        "PYTHONPATH": f"{own}:/usr/local/lib/greenrack",
        "GREENRACK_CALLABLE": MODES[mode].entry,
        "GREENRACK_MODE": mode,
        "GREENRACK_SLOTS": str(workers * each),
        "GREENRACK_VARIANT": "" if profile == "default" else profile,
        "GREENRACK_SWITCHES": f"profile={profile},proxy=true,protocol={MODES[mode].over_tcp[0]},"
        f"psycogreen={MODES[mode].entry == 'wsgi_gevent:app'},socket=tcp,pooler=false,"
        f"app_workers={workers},app_concurrency={each},app_port=8000".lower(),
        "GREENRACK_WAY": "plain",
    }
    service = parsed(unit)["Service"]
    assert service["Type"] == "exec"
    assert service["User"] == "demo"
    assert service["EnvironmentFile"] == "/etc/demo-blue.env"
    program = f"{own}/.venv/bin/"
    given = "/usr/bin/python3 -IS /usr/local/lib/greenrack/greenrack_socket.py 127.0.0.1:8000 4096 "
    started = program if MODES[mode].program == "flask" else given + program
    assert service["ExecStart"].startswith(started)
    assert service["WorkingDirectory"] == own
    assert service["RuntimeDirectory"] == "demo-blue"  # for the socket and the workers' reports
    # Of too much memory one worker dies, and not the unit.
    bound = {name: service[name] for name in ("MemoryMax", "MemorySwapMax", "OOMPolicy")}
    assert bound == {"MemoryMax": "75%", "MemorySwapMax": "0", "OOMPolicy": "continue"}


@pytest.mark.parametrize("mode", MODES)
def test_systemd_keeps_the_socket_of_what_takes_it(mode: str) -> None:
    service = parsed(app_unit(mode, BINDS[1]))["Service"]
    kept = {"FileDescriptorStoreMax": "1", "RuntimeDirectoryPreserve": "restart"}
    takes = MODES[mode].program != "flask"  # which listens by itself
    assert {name: service[name] for name in kept if name in service} == (kept if takes else {})
    # It is told by the server's first process and by what a stop begins with, and by no worker.
    assert service.get("NotifyAccess") == ("exec" if takes else None)
    for key, word in (("ExecStop", "--stop"), ("ExecStopPost", "--ended")):
        assert service.get(key, "").endswith(f"greenrack_socket.py {word}" if takes else "")
        assert (key in service) == takes


@pytest.mark.parametrize("mode", MODES)
def test_only_a_unix_socket_is_shared_with_nginx(mode: str) -> None:
    tcp, unix = (parsed(app_unit(mode, bind))["Service"] for bind in BINDS)
    # Not by a group of its own that every application is in.
    for unit in (tcp, unix):
        assert unit.keys().isdisjoint({"Group", "SupplementaryGroups"})
    assert (tcp["UMask"], unix["UMask"]) == ("0077", "0007")


@pytest.mark.parametrize("longest", [0, 2.5, 60])
def test_the_slow_api_is_given_time_for_its_longest_delay(longest: float) -> None:
    unit = parsed(render("slow_api", "slow-api.service.j2", slow_api_max_delay=longest))
    assert f"--max-delay {longest}" in unit["Service"]["ExecStart"]
    assert int(unit["Service"]["TimeoutStopSec"]) > longest


@pytest.mark.parametrize(
    ("concurrency", "queue"), [(50, 4096), (2048, 4096), (8000, 16000), (50000, 65535)]
)
def test_whatever_it_takes_at_once_may_come_at_once(concurrency: int, queue: int) -> None:
    given = of_mode("uwsgi_gevent") | {"app_concurrency": concurrency}
    assert int(evaluate("app_server", "app_server_backlog", **given)) == queue


@pytest.mark.parametrize(
    ("mode", "chosen", "most"),
    [
        *((mode, {}, 1900) for mode in MODES),
        ("uwsgi_gevent", {"app_workers": "4", "app_concurrency": "50"}, 190),
        ("uwsgi_gevent", {"app_server_concurrency": "50"}, 95),
        # As much under every mode in its own size: a change of the mode does not touch nginx.
        ("gunicorn_sync", {"app_workers": "4", "app_concurrency": "50"}, 1900),
        ("pywsgi_gevent", {"app_concurrency": "8000"}, 16000),
    ],
)
def test_nginx_sends_a_host_no_more_than_what_must_not_be_filled_takes(
    mode: str, chosen: dict[str, Any], most: int
) -> None:
    facts = {"ansible_facts": {"greenrack": {"cpus": 2}}}
    assert int(evaluate("app_server", "__app_server_most", **of_mode(mode), **facts, **chosen)) == (
        most
    )


@pytest.mark.parametrize(
    ("mode", "told", "chosen", "wrong"),
    [
        ("uwsgi_gevent", [["40", "1900"]], {}, []),
        ("uwsgi_gevent", [], {"app_timeout": 60}, []),  # nginx is told in the same run
        ("uwsgi_gevent", [["40", "950"], ["70", "950"]], {"app_timeout": 39}, []),
        ("uwsgi_gevent", [["40", "1900"]], {"app_timeout": 40}, ["waits 40 s"]),
        ("uwsgi_gevent", [["40", "4750"]], {}, ["sends 4750 requests at once"]),
        ("uwsgi_gevent", [["40", "1900"]] * 2, {}, ["sends 3800 requests at once"]),  # together
        ("uwsgi_gevent", [["40", "1900"], ["40", "0"]], {}, ["sends 0 requests at once"]),
        ("uwsgi_gevent", [["40", "0"]], {}, ["sends 0 requests at once"]),  # as many as come
        ("gunicorn_gevent", [["40", "4750"]], {}, []),
        ("uwsgi_gevent", [["9", "1900"]], {"app_concurrency": 50}, ["waits 9 s", "than 95"]),
    ],
)
def test_what_nginx_was_told_goes_with_the_instance(
    mode: str, told: list[list[str]], chosen: dict[str, Any], wrong: list[str]
) -> None:
    given = {**of_mode(mode), "app_server_told": told, **chosen}
    said = evaluate("app_server", "__app_server_untold", **given)
    assert [part for part, one in zip(wrong, said, strict=True) if part not in one] == []


def test_nginx_says_what_it_was_told() -> None:
    lines = render("nginx", "site.conf.j2", app_timeout=50, nginx_max_conns=950).splitlines()
    assert lines[0] == "# waits 60 s, sends 950 at once"
    notes = {"/etc/nginx/conf.d/demo.conf": lines[0]}
    hostvars = {
        "proxy1": {"ansible_facts": {"greenrack": {"notes": notes}}},
        "proxy2": {"ansible_facts": {"greenrack": {"notes": {}}}},
        "proxy3": {},
    }
    given = {**of_topology(), "groups": {"proxy": list(hostvars)}, "hostvars": hostvars}
    release = {**given, "preflight_brings": ["app_server"]}
    assert evaluate("app_server", "app_server_told", **release) == [["60", "950"]]
    for nobody in ([], ["app_server", "nginx"]):
        told = evaluate("app_server", "app_server_told", **{**given, "preflight_brings": nobody})
        assert told == []
    assert evaluate("app_server", "app_server_told", **release, proxy="false") == []


@pytest.mark.parametrize(
    ("most", "proxies", "sent"),
    [
        (["7600", "1900"], 1, 1900),
        (["7600", "1900"], 2, 950),  # as much from both together
        (["1"], 2, 1),  # 0 would be as many as come
        ([None, None], 2, 0),
    ],
)
def test_nginx_sends_every_host_what_the_smallest_takes(
    most: list[str | None], proxies: int, sent: int
) -> None:
    hostvars = {
        f"app{number}": {"app_server_most": most} if most else {}
        for number, most in enumerate(most)
    }
    groups = {"app": list(hostvars), "proxy": [f"proxy{number}" for number in range(proxies)]}
    given = {**of_topology(), "groups": groups, "hostvars": hostvars}
    assert int(evaluate("nginx", "nginx_max_conns", **given)) == sent
