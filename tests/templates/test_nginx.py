"""nginx's configuration as rendered, and whether nginx itself takes it."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import demo_servers
import pytest
from expected import MODES, SPOKEN
from render import BINDS, evaluate, of_bind, of_mode, render

PASS = {"http": "proxy_pass http://demo;", "uwsgi": "uwsgi_pass demo;"}
WITH_PROTOCOL = [
    *(of_mode(mode) for mode in MODES),
    *(of_mode(mode, protocol) for mode, protocol in SPOKEN),
    *({"nginx_protocol": protocol} for protocol in PASS),
]


def site(**overrides: Any) -> str:
    return render("nginx", "site.conf.j2", **overrides)


def protocol_of(overrides: dict[str, Any]) -> str:
    chosen = overrides.get("nginx_protocol") or overrides.get("protocol")
    return chosen or MODES[overrides["server"]].over_tcp[0]


def seconds(text: str, directive: str) -> int:
    """Return the value of the one directive that has this name's end, whatever it passes to."""
    (found,) = re.findall(rf"\b(?:proxy|uwsgi)_{directive} (\d+)s;", text)
    return int(found)


def verdict(folder: Path, **overrides: Any) -> str:
    """Return what `nginx -t` says about the server and the site together, in a folder of their own.

    That it cannot become www-data when root does not run it is left out, and nothing else.
    """
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        pytest.skip("no nginx here to test its configuration: apt install nginx-light")
    if "www-data" not in {user.pw_name for user in pwd.getpwall()}:
        pytest.skip("no user www-data here, whom nginx is told to become")
    (folder / "conf.d").mkdir(exist_ok=True)
    (folder / "conf.d" / "demo.conf").write_text(
        site(**{"nginx_port": demo_servers.free_port(), **overrides})
    )
    server = render("nginx", "nginx.conf.j2", **overrides)
    # Where a real nginx of this machine keeps what it writes, and where it looks for sites.
    for real in ("/etc/nginx/conf.d", "/var/log/nginx", "/run"):
        assert real in server
        server = server.replace(real, str(folder / Path(real).name))
    for name in ("nginx", "run"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "nginx.conf").write_text(server)
    command = [nginx, "-t", "-e", "stderr", "-c", str(folder / "nginx.conf")]
    said = subprocess.run(command, capture_output=True, text=True).stderr.splitlines()
    user = 'the "user" directive makes sense only if the master process runs with super-user'
    return "\n".join(line for line in said if user not in line)


@pytest.mark.parametrize("bind", BINDS)
@pytest.mark.parametrize("overrides", WITH_PROTOCOL)
def test_nginx_accepts_it(overrides: dict[str, Any], bind: str, tmp_path: Path) -> None:
    said = verdict(tmp_path, **overrides, **of_bind(bind))
    assert "test is successful" in said, said
    assert [line for line in said.splitlines() if "[warn]" in line] == []


def test_nginx_accepts_several_backends_with_a_limit(tmp_path: Path) -> None:
    backends = ["10.0.0.21:8000", "10.0.0.22:8000"]
    said = verdict(tmp_path, nginx_backends=backends, nginx_max_conns=950)
    assert "test is successful" in said, said


def test_nginx_is_asked_indeed(tmp_path: Path) -> None:
    said = verdict(tmp_path, nginx_backends=["10.0.0.21:eighty"])
    assert "invalid port" in said, said


@pytest.mark.parametrize("overrides", WITH_PROTOCOL)
def test_it_speaks_what_the_mode_speaks(overrides: dict[str, Any]) -> None:
    lines = [line.strip() for line in site(**overrides).splitlines()]
    passing = [line for line in lines if "_pass " in line]
    assert passing == [PASS[protocol_of(overrides)]]
    # The client's own header is replaced: what is appended to it, a client can forge.
    address = {
        "http": "proxy_set_header X-Forwarded-For $remote_addr;",
        "uwsgi": "uwsgi_param HTTP_X_FORWARDED_FOR $remote_addr;",
    }
    assert address[protocol_of(overrides)] in lines


@pytest.mark.parametrize("timeout", [0.5, 30, 120])
@pytest.mark.parametrize("overrides", WITH_PROTOCOL)
def test_it_waits_longer_than_the_application(overrides: dict[str, Any], timeout: float) -> None:
    text = site(**overrides, app_timeout=timeout)
    request = evaluate("app_server", "app_server_timeout", app_timeout=timeout)
    assert request == timeout
    assert seconds(text, "read_timeout") > timeout
    assert seconds(text, "connect_timeout") < seconds(text, "read_timeout")


@pytest.mark.parametrize(
    ("overrides", "servers"),
    [
        ({"nginx_backends": ["10.0.0.21:8000"]}, ["server 10.0.0.21:8000 fail_timeout=0;"]),
        (
            {"nginx_backends": ["unix:/run/demo/app.sock"], "nginx_max_conns": 950},
            ["server unix:/run/demo/app.sock max_conns=950 fail_timeout=0;"],
        ),
        (
            {"nginx_backends": ["10.0.0.21:8000", "10.0.0.22:8000"], "nginx_max_conns": 950},
            ["server 10.0.0.21:8000 max_conns=950;", "server 10.0.0.22:8000 max_conns=950;"],
        ),
    ],
)
def test_the_backends_and_their_limit(overrides: dict[str, Any], servers: list[str]) -> None:
    lines = [line.strip() for line in site(**overrides).splitlines()]
    assert [line for line in lines if re.match(r"server \S", line) and "{" not in line] == servers


def test_connections_are_matched_by_file_descriptors() -> None:
    text = render("nginx", "nginx.conf.j2", nginx_worker_connections=5000)
    assert "worker_connections 5000;" in text
    assert "worker_rlimit_nofile 6024;" in text
