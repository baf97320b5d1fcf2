"""TLS between nginx and the application on another host: nobody is served without, and changes lose nothing."""

import time

import pytest
import yaml

from bench.clients import Clients
from tests.stack.lab import KNOWING_THE_MODE

FOLDER = "/etc/greenrack/tls"
# As an inventory says it.
CHOSEN = ["-e", "app_tls=true"]

# Asks the application's host as nginx does, but for what it shows; prints what it gets.
ASK = r"""python3 - <<'END'
import socket, ssl
link = socket.create_connection(("%(address)s", %(port)s), 10)
context = ssl.create_default_context(cafile="/etc/greenrack/tls/ca.crt")
%(shows)s
try:
    if %(tls)s:
        link = context.wrap_socket(link, server_hostname="app.greenrack")
    link.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    print(link.recv(15))
except OSError as error:
    print("nothing", repr(error))
END"""
OWN = f'context.load_cert_chain("{FOLDER}/host.crt", "{FOLDER}/host.key")'
STRANGER = """
import subprocess
subprocess.run("umask 077; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 "
    "-subj /CN=proxy1 -keyout /tmp/stranger.key -out /tmp/stranger.crt", shell=True, check=True, capture_output=True)
context.load_cert_chain("/tmp/stranger.crt", "/tmp/stranger.key")
"""


PARTS = f"internal_tls,{KNOWING_THE_MODE}"  # of the stack, those that have to do with it


def play(lab, *variables, playbook="site.yml", tags=PARTS):
    """Deploy, and return what the run did."""
    chosen = [word for variable in variables for word in ("-e", variable)]
    run = lab.play(playbook, "--tags", tags, *CHOSEN, *chosen)
    assert run.code == 0, run.output
    return run


def front(lab):
    """Return the unit that speaks TLS for the live instance, and its port."""
    instance = lab.instance()
    return f"greenrack-tls-{instance}.service", 8000 if instance.endswith("blue") else 8001


def ask(lab, tls=True, shows=""):
    """Return what nginx's host gets from the application's."""
    given = {"address": lab.address("app1"), "port": front(lab)[1], "tls": tls, "shows": shows}
    return lab.run("proxy1", ASK % given)


def serial(lab):
    """Return the number of the certificate that the application's host shows."""
    reached = f"{lab.address('app1')}:{front(lab)[1]}"
    own = f"-cert {FOLDER}/host.crt -key {FOLDER}/host.key"
    shown = f"openssl s_client -connect {reached} {own} </dev/null 2>/dev/null"
    return lab.run("proxy1", f"{shown} | openssl x509 -noout -serial")


def becomes(lab, status):
    """Wait until the site answers so."""
    end = time.monotonic() + 60
    while (said := lab.get("/healthz"))[0] != status:
        assert time.monotonic() < end, said
        time.sleep(0.2)


@pytest.fixture(scope="module")
def encrypted(deployed):
    """The stack as it is by default, which goes over to TLS; nginx is reloaded, so no connections are kept."""
    with Clients(deployed.address("proxy1"), "/?delay=1", 20, keep=False) as clients:
        play(deployed, "server=gunicorn_gevent", tags="all")
        play(deployed)  # for the other instance nginx is told, and reloaded, a last time
    assert clients.failures == []
    return deployed


def test_nobody_is_served_without_a_certificate(encrypted):
    assert encrypted.get("/healthz")[0] == 200
    assert "HTTP/1.1 200" in ask(encrypted, shows=OWN)
    for said in (
        ask(encrypted, tls=False),
        ask(encrypted),
        ask(encrypted, shows=STRANGER),
    ):
        assert "HTTP" not in said, said
        assert said.startswith(("nothing", "b''")) or said.startswith(r"b'\x15\x03"), said
    # What answers in plain is on no port, and its socket is nginx's alone.
    unit, port = front(encrypted)
    listed = encrypted.run("app1", "ss -Hltnp | grep -v ':22 '")
    assert f"{encrypted.address('app1')}:{port} " in listed
    assert len(listed.splitlines()) == 1, listed
    made = encrypted.host("app1").file(f"/run/{encrypted.instance()}/app.sock")
    assert (made.user, made.group, made.mode & 0o7) == ("demo", "demo", 0)
    shown = encrypted.run("app1", f"systemd-analyze security --no-pager {unit}")
    assert float(shown.splitlines()[-1].split(":")[1].split()[0]) <= 2.0, shown
    assert sum(play(encrypted).changed.values()) == 0


def test_nginx_of_debian_has_no_site_of_its_own(encrypted):
    """Not after a reboot either, nor when somebody starts it; and what else is installed there starts."""
    encrypted.run("app1", "test ! -e /usr/sbin/policy-rc.d && systemctl start nginx.service")
    for asked in ("systemctl is-active nginx.service", "ss -Hltn sport = :80"):
        assert encrypted.host("app1").run(asked).stdout.strip() in ("inactive", "")


def test_hosts_of_another_inventory_are_left_alone(encrypted, tmp_path):
    """A second application's, that does not share the authority."""
    run = encrypted.play("site.yml", *CHOSEN, "-e", f"secrets_file={tmp_path / 'secrets.yml'}")
    assert run.code != 0
    said = " ".join(run.output.split())
    assert "It believes the authority of another inventory" in said, said
    assert sum(run.changed.values()) == 0, run.output
    assert encrypted.get("/healthz")[0] == 200


@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_another_host_is_not_believed(encrypted, signs, wrong):
    secrets = yaml.safe_load((encrypted.directory / "ssh/secrets.yml").read_text())
    authority = signs.make() if wrong == "authority" else secrets["authority"]
    names = ["app1", encrypted.address("app1")] + (["app.greenrack"] * (wrong != "name"))
    request = encrypted.run("app1", f"openssl req -new -key {FOLDER}/host.key -subj /")
    certificate = signs.sign(authority, request, names, 30)
    unit, _ = front(encrypted)
    shows = f"cat > {FOLDER}/host.crt <<'END'\n{certificate}END\nsystemctl reload {unit}"
    encrypted.run("app1", shows)
    becomes(encrypted, 502)
    run = play(encrypted)
    assert {host for host, changed in run.changed.items() if changed} == {"app1"}
    becomes(encrypted, 200)


@pytest.mark.parametrize("variables", [["server=gunicorn_sync"], []])
def test_changes_lose_nothing(encrypted, variables):
    before = encrypted.instance()
    with Clients(encrypted.address("proxy1"), "/?delay=3", 20) as clients:
        play(encrypted, *variables)
    assert clients.failures == []
    assert encrypted.instance() != before
    left = (
        "systemctl list-units --plain --no-legend --state=active 'greenrack-tls-*' | cut -d' ' -f1"
    )
    assert encrypted.run("app1", left) == front(encrypted)[0]


def test_uwsgi_protocol_goes_by_tls_too(encrypted):
    play(encrypted, "server=gunicorn_sync", "protocol=uwsgi")
    assert encrypted.get("/?delay=0")[0] == 200
    assert "HTTP" not in ask(encrypted, tls=False)
    # The next change speaks http again, for what was only typed is forgotten, and need not reload nginx.
    with Clients(encrypted.address("proxy1"), "/?delay=1", 20) as clients:
        play(encrypted, playbook="playbooks/release.yml")
    assert clients.failures == []
    play(encrypted)


def test_release_finds_its_way_whatever_was_deployed_before(encrypted):
    """What was only typed the last time is forgotten."""
    for before, after in (("false", "true"), ("true", "false")):
        play(encrypted, f"app_tls={before}")
        with Clients(encrypted.address("proxy1"), "/?delay=1", 20, keep=False) as clients:
            play(encrypted, f"app_tls={after}", playbook="playbooks/release.yml")
        assert clients.failures == []
        assert ("HTTP/1.1 200" in ask(encrypted, tls=False)) == (after == "false")
    # A run for nginx alone leaves it with what runs.
    play(encrypted, tags="nginx")
    assert encrypted.get("/healthz")[0] == 200
    play(encrypted)


def test_new_authority_takes_over_without_loss(encrypted):
    """Also where certificates are due meanwhile, and where nothing else is done that reloads who reads them."""
    file = encrypted.directory / "ssh/secrets.yml"
    secrets = yaml.safe_load(file.read_text())
    secrets["authority_before"] = secrets.pop("authority")
    file.write_text(yaml.safe_dump(secrets))
    for name in ("app1", "proxy1"):
        encrypted.run(name, f"rm {FOLDER}/host.crt")
    count = f"grep --count BEGIN {FOLDER}/ca.crt"
    # nginx reads it too, and its reload closes connections that are kept.
    with Clients(encrypted.address("proxy1"), "/db?delay=0.1", 20, keep=False) as clients:
        play(encrypted, tags="internal_tls")
        assert encrypted.run("app1", count) == "2"
        secrets = yaml.safe_load(file.read_text())
        assert secrets["authority"] != secrets.pop("authority_before")
        file.write_text(yaml.safe_dump(secrets))
        play(encrypted, tags="all")
    assert clients.failures == []
    assert encrypted.run("app1", count) == "1"
    assert encrypted.get("/readyz")[0] == 200
    assert sum(play(encrypted, tags="all").changed.values()) == 0


def test_renewed_certificate_is_shown_without_loss(encrypted):
    before = serial(encrypted)
    for name in ("app1", "proxy1"):
        encrypted.run(name, f"rm {FOLDER}/host.crt")
    with Clients(encrypted.address("proxy1"), "/?delay=1", 20, keep=False) as clients:
        play(encrypted)
    assert clients.failures == []
    assert serial(encrypted) != before
    assert sum(play(encrypted).changed.values()) == 0


def test_it_comes_back_with_what_it_speaks_for(encrypted):
    encrypted.run("app1", f"systemctl kill -s KILL --kill-whom=main {encrypted.instance()}")
    assert encrypted.comes_back() is None
    encrypted.run("app1", f"systemctl kill -s KILL {front(encrypted)[0]}")
    assert encrypted.comes_back() is None
    encrypted.reboot("app1")
    assert encrypted.comes_back() is None
    assert "HTTP/1.1 200" in ask(encrypted, shows=OWN)
    assert sum(play(encrypted).changed.values()) == 0


def test_release_that_would_need_a_certificate_is_refused(encrypted):
    encrypted.run("proxy1", f"mv {FOLDER}/host.crt {FOLDER}/host.moved")
    try:
        asked = [*CHOSEN, "-e", "app_server_backlog=6000"]
        run = encrypted.play("playbooks/release.yml", *asked)
        assert run.code != 0
        assert "Type once: " in run.output, run.output
        assert f" site.yml -e lab_name={encrypted.name} " in run.output, run.output
        assert sum(run.changed.values()) == 0, run.output
    finally:
        encrypted.run("proxy1", f"mv {FOLDER}/host.moved {FOLDER}/host.crt")


def test_it_is_taken_away_without_loss(encrypted):
    with Clients(encrypted.address("proxy1"), "/?delay=1", 20, keep=False) as clients:
        play(encrypted, "app_tls=false")
    assert clients.failures == []
    assert sum(play(encrypted, "app_tls=false", tags="all").changed.values()) == 0
    assert "HTTP/1.1 200" in ask(encrypted, tls=False)
