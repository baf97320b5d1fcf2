"""nginx's configuration as rendered, and whether nginx itself takes it."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import demo_servers
import greenrack_modules
import pytest
from render import BINDS, evaluate, of_topology, render

ipv6 = greenrack_modules.load("host_facts").ipv6
PASS = {"http": "proxy_pass http://demo-{};", "uwsgi": "uwsgi_pass demo-{};"}
SPEAKING = [(blue, green) for blue in PASS for green in PASS]


def instances(
    blue: str = "http", green: str = "http", backends: Sequence[str] = ("10.0.0.21:8000",)
) -> dict[str, Any]:
    """Return the variable that says what the instances speak, and where both listen."""
    spoken = {"blue": blue, "green": green}
    return {
        "nginx_instances": {
            name: {"backends": list(backends), "protocol": protocol}
            for name, protocol in spoken.items()
        }
    }


def site(**overrides: Any) -> str:
    """Return the site with what it includes, as nginx reads it."""
    text, ways = (render("nginx", name, **overrides) for name in ("site.conf.j2", "ways.j2"))
    assert text.count("include /etc/nginx/demo.ways;") == 1
    return text.replace("include /etc/nginx/demo.ways;", ways)


def seconds(text: str, directive: str) -> int:
    """Return the value of the directives that have this name's end, whatever they pass to."""
    (found,) = set(re.findall(rf"\b(?:proxy|uwsgi)_{directive} (\d+)s;", text))
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
        site(**{"nginx_port": demo_servers.free_port(), "nginx_ipv6": ipv6(), **overrides})
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
@pytest.mark.parametrize(("blue", "green"), SPEAKING)
def test_nginx_accepts_it(blue: str, green: str, bind: str, tmp_path: Path) -> None:
    said = verdict(tmp_path, **instances(blue, green, [bind]))
    assert "test is successful" in said, said
    assert [line for line in said.splitlines() if "[warn]" in line] == []


def test_nginx_accepts_several_backends_with_a_limit(tmp_path: Path) -> None:
    backends = ["10.0.0.21:8000", "10.0.0.22:8000"]
    said = verdict(tmp_path, **instances(backends=backends), nginx_max_conns=950)
    assert "test is successful" in said, said


def test_of_several_sites_a_name_may_be_as_long_as_dns_lets_it(tmp_path: Path) -> None:
    port, name = demo_servers.free_port(), ".".join([*["a" * 63] * 3, "b" * 61])
    (tmp_path / "conf.d").mkdir()
    other = f"server {{ listen {port}; server_name other.test; }}"
    (tmp_path / "conf.d/other.conf").write_text(other)
    given = {"nginx_port": port, "nginx_ipv6": False, "nginx_server_names": [name]}
    said = verdict(tmp_path, **instances(), **given)
    assert "test is successful" in said, said


def test_who_is_trusted_is_told_nginx(tmp_path: Path) -> None:
    trusted = ["10.0.0.7", "192.0.2.0/24", "2001:db8::/32"]
    assert "real_ip" not in site(**instances())
    said = verdict(tmp_path, **instances(*SPEAKING[1]), nginx_trusted_proxies=trusted)
    assert "test is successful" in said, said


def test_nginx_is_asked_indeed(tmp_path: Path) -> None:
    said = verdict(tmp_path, **instances(backends=["10.0.0.21:eighty"]))
    assert "invalid port" in said, said


@pytest.mark.parametrize(("blue", "green"), SPEAKING)
def test_it_speaks_what_each_instance_speaks(blue: str, green: str) -> None:
    lines = [line.strip() for line in site(**instances(blue, green)).splitlines()]
    passing = [line for line in lines if "_pass " in line]
    assert passing == [PASS[blue].format("blue"), PASS[green].format("green")]
    flag = lines.index("if (-e /etc/nginx/demo.green) {")
    assert lines[flag + 1 : flag + 3] == [passing[1], "}"]
    # The client's own header is replaced: what is appended to it, a client can forge.
    address = {
        "http": "proxy_set_header X-Forwarded-For $remote_addr;",
        "uwsgi": "uwsgi_param HTTP_X_FORWARDED_FOR $remote_addr;",
    }
    assert {line for line in address.values() if line in lines} == {address[blue], address[green]}


@pytest.mark.parametrize("timeout", [0.5, 30, 120])
@pytest.mark.parametrize(("blue", "green"), SPEAKING)
def test_it_waits_longer_than_the_application(blue: str, green: str, timeout: float) -> None:
    text = site(**instances(blue, green), app_timeout=timeout)
    request = evaluate("app_server", "app_server_timeout", app_timeout=timeout)
    assert request == timeout
    assert seconds(text, "read_timeout") > timeout
    assert seconds(text, "connect_timeout") < seconds(text, "read_timeout")


@pytest.mark.parametrize(
    ("backends", "limit", "servers"),
    [
        (["10.0.0.21:8000"], 0, ["server 10.0.0.21:8000 fail_timeout=0;"]),
        (
            ["unix:/run/demo-blue/app.sock"],
            950,
            ["server unix:/run/demo-blue/app.sock max_conns=950 fail_timeout=0;"],
        ),
        (
            ["10.0.0.21:8000", "10.0.0.22:8000"],
            950,
            [f"server 10.0.0.{last}:8000 max_conns=950 max_fails=5;" for last in (21, 22)],
        ),
    ],
)
def test_the_backends_and_their_limit(backends: list[str], limit: int, servers: list[str]) -> None:
    text = site(**instances(backends=backends), nginx_max_conns=limit)
    found = re.findall(r"^ +(server \S+:.*)$", text, re.M)
    assert found == servers * 2  # of each instance
    # Another host is asked only for what the first one did not even take.
    several = len(backends) > 1
    assert seconds(text, "connect_timeout") == (2 if several else 5)
    assert ("proxy_next_upstream_timeout 5s;" in text) == several


@pytest.mark.parametrize(("blue", "green"), SPEAKING)
def test_an_instance_is_reached_by_tls_or_not(blue: str, green: str) -> None:
    """While a stack goes over, one is and the other is not."""
    given = instances(blue, green)
    given["nginx_instances"]["green"]["tls"] = True
    lines = [line.strip() for line in site(**given).splitlines()]
    secured = {"http": "proxy_pass https://demo-green;", "uwsgi": "uwsgi_pass suwsgi://demo-green;"}
    passing = [line for line in lines if "_pass " in line]
    assert passing == [PASS[blue].format("blue"), secured[green]]
    prefix = {"http": "proxy", "uwsgi": "uwsgi"}[green]
    for says in ("verify on", "name app.greenrack", "certificate /etc/greenrack/tls/host.crt"):
        assert f"{prefix}_ssl_{says};" in lines
    assert "_ssl_" not in site(**instances(blue, green))


def test_tls_in_front_serves_nobody_it_does_not_know() -> None:
    fronts = {"blue": "10.0.0.21:8000", "green": "10.0.0.21:8001"}
    bind = {"app_server_bind": "unix:/run/demo-blue/app.sock", "app_server_tls": True}
    text = render("app_server", "tls.conf.j2", app_server_fronts=fronts, **bind)
    for line in ("listen 10.0.0.21:8000 ssl backlog=4096;", "ssl_verify_client on;"):
        assert line in text
    assert "proxy_pass unix:/run/demo-blue/app.sock;" in text
    # nginx may be told to wait for a day; a stop has systemd's limit.
    assert "proxy_timeout 2d;" in text
    assert "shutdown_timeout" not in text


@pytest.mark.parametrize(
    ("facts", "wanted"), [({"ipv6": False}, False), ({"ipv6": True}, True), ({}, True)]
)
def test_a_host_whose_kernel_has_no_ipv6_is_left_alone(facts: dict[str, Any], wanted: bool) -> None:
    given = {**of_topology(), "ansible_facts": {"greenrack": facts}}
    assert evaluate("nginx", "nginx_ipv6", **given) is wanted


@pytest.mark.parametrize(("tls", "ports"), [("off", {"80"}), ("selfsigned", {"80", "443"})])
def test_it_listens_to_ipv6_too_unless_told_not_to(tls: str, ports: set[str]) -> None:
    for wanted in (True, False):
        text = site(**instances(), nginx_tls=tls, nginx_ipv6=wanted)
        assert set(re.findall(r"listen (\d+)\b.* default_server", text)) == ports
        assert set(re.findall(r"listen \[::\]:(\d+)\b.* default_server", text)) == (
            ports if wanted else set()
        )


# What is in the host's directories of certificates, and what the site then shows by TLS, and whether it serves without.
CERTIFICATES = [
    ("off", [], [], None, True),
    ("selfsigned", [], [], "/etc/nginx/tls/demo.selfsigned.crt", False),
    ("files", [], ["demo.key"], "/etc/nginx/tls/demo.crt", False),
    ("acme", [], [], "/etc/nginx/tls/demo.selfsigned.crt", True),
    ("acme", ["other"], ["demo.key"], "/etc/nginx/tls/demo.crt", True),
    ("acme", ["demo"], ["demo.key"], "/etc/letsencrypt/live/demo/fullchain.pem", False),
]


@pytest.mark.parametrize(("tls", "issued", "brought", "shown", "plain"), CERTIFICATES)
def test_nobody_is_sent_to_a_certificate_that_is_not_there(
    tls: str, issued: list[str], brought: list[str], shown: str | None, plain: bool
) -> None:
    entries = {"/etc/letsencrypt/live": issued, "/etc/nginx/tls": brought}
    text = site(**instances(), nginx_tls=tls, ansible_facts={"greenrack": {"entries": entries}})
    servers = text.split("server {\n")[1:]
    (serving,) = [server for server in servers if "demo.green" in server]
    assert ("listen 80 " in serving) == plain
    assert ("return 308 https://" in text) != plain
    assert len(servers) == (1 if plain else 2)
    assert re.findall(r"ssl_certificate (.*);", text) == ([shown] if shown else [])
    # Port 80 is where the authority asks, whoever else is served there.
    asked = [server for server in servers if "/.well-known/acme-challenge/" in server]
    assert asked == [server for server in servers if tls != "off" and "listen 80 " in server]


@pytest.mark.parametrize("requests", [0, 5])
@pytest.mark.parametrize("connections", [0, 3])
def test_either_limit_of_a_client_stands_alone(
    requests: int, connections: int, tmp_path: Path
) -> None:
    limits = {"nginx_rate_limit": requests, "nginx_connection_limit": connections}
    text = site(**instances(), **limits, nginx_rate_exempt=["10.0.0.0/8"])
    assert ("10.0.0.0/8 0;" in text) == bool(requests or connections)
    for directive, value in (("limit_req", requests), ("limit_conn", connections)):
        found = re.findall(rf"^ *{directive}(?:_zone|_status)? .*$", text, re.M)
        assert len(found) == (3 if value else 0), found
    assert "test is successful" in verdict(tmp_path, **instances(), **limits)


def test_connections_are_matched_by_file_descriptors() -> None:
    text = render("nginx", "nginx.conf.j2", nginx_worker_connections=5000)
    assert "worker_connections 5000;" in text
    assert "worker_rlimit_nofile 6024;" in text
