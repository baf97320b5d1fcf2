"""The demo application's HTTP clients: their choice, their pools, and what they send."""

from __future__ import annotations

import base64
import re
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
import yaml
from demo import create_app
from demo.errors import Failure
from demo.http_clients import CLIENTS
from demo.settings import SettingError
from demo.upstream import get_upstream

POOLED = [name for name in CLIENTS if name != "unpooled"]
pooled_only = pytest.mark.parametrize("client_name", POOLED, indirect=True)


def answers(connection, _number: int) -> None:
    while connection.read():
        connection.answer("{}")


def entry_of(client_name: str) -> str:
    return "wsgi_gevent" if CLIENTS[client_name].greenlets_only else "wsgi"


def test_without_gevent_a_client_that_needs_it_is_refused_at_start() -> None:
    with pytest.raises(SettingError) as refusal:
        create_app({"UPSTREAM_CLIENT": "geventhttpclient"})
    told = str(refusal.value)
    assert told.startswith("UPSTREAM_CLIENT=geventhttpclient works only where gevent has patched")
    assert "Valid here: requests, urllib3, unpooled." in told
    assert "wsgi_gevent:app" in told


@pooled_only
def test_the_one_that_was_chosen_is_used(client_name: str, make_asker, scripted) -> None:
    upstream = scripted(answers)
    assert make_asker(UPSTREAM_URL=upstream.url).get("/?delay=0").status_code == 200
    assert f"user-agent: python-{client_name}/".encode() in upstream.requests[0].lower()


def test_the_urls_path_and_password_are_sent(make_asker, scripted) -> None:
    upstream = scripted(answers)
    url = f"http://demo:s3%40cr%3At@127.0.0.1:{upstream.port}/a%20b"
    assert make_asker(UPSTREAM_URL=url).get("/?delay=0").status_code == 200
    first, *others = upstream.requests[0].decode().strip().split("\r\n")
    assert first == "GET /a%20b/?delay=0.0 HTTP/1.1"
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in others)}
    assert headers["authorization"] == f"Basic {base64.b64encode(b'demo:s3@cr:t').decode()}"
    assert headers["host"] == f"127.0.0.1:{upstream.port}"


def test_more_requests_than_the_pool_holds_do_not_wait(
    client_name: str, make_asker, scripted
) -> None:
    everybody_is_here, closed = threading.Barrier(6), []

    def behave(connection, number: int) -> None:
        while connection.read():
            if number <= 6:
                everybody_is_here.wait(10)
            connection.answer("{}")
        closed.append(number)

    upstream = scripted(behave)
    client = make_asker(UPSTREAM_URL=upstream.url, UPSTREAM_POOL=2)
    together = client.get_together(["/?delay=0"] * 6)
    assert [response.status_code for response in together] == [200] * 6
    kept = 2 if client_name in POOLED else 0
    deadline = time.monotonic() + 10
    while len(closed) < 6 - kept and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (upstream.connections, len(closed)) == (6, 6 - kept)


def test_a_server_out_of_reach_is_tried_three_times(
    client_name: str, make_asker, out_of_reach: int
) -> None:
    client = make_asker(
        UPSTREAM_URL=f"http://127.0.0.1:{out_of_reach}",
        UPSTREAM_CONNECT_TIMEOUT=0.1,
        UPSTREAM_TIMEOUT=20,
    )
    started = time.monotonic()
    response = client.get("/?delay=0")
    took = time.monotonic() - started
    assert (response.status_code, "in time" in response.json["error"]) == (504, True)
    # Three times 0.1 seconds, and 0.2 before the third.
    assert (0.5 if client_name in POOLED else 0.1) <= took < 5


def test_a_check_of_readiness_tries_once(make_asker, scripted, closed_port: int) -> None:
    database = f"postgresql://127.0.0.1:{closed_port}/demo"
    closing = scripted(lambda connection, _number: connection.read())
    told = make_asker(UPSTREAM_URL=closing.url, DATABASE_URL=database).get("/readyz").json
    assert "cannot be reached" in told["upstream"]
    assert closing.connections == 1
    answering = scripted(answers)
    told = make_asker(UPSTREAM_URL=answering.url, DATABASE_URL=database).get("/readyz").json
    assert told["upstream"] == "ok"
    assert answering.requests[0].startswith(b"GET /healthz HTTP/1.1\r\n")


def test_a_check_waits_no_longer_than_it_may(make_client, silent) -> None:
    client = make_client(UPSTREAM_URL=silent.url)
    started = time.monotonic()
    with client.application.app_context(), pytest.raises(Failure, match="in time"):
        get_upstream().check(0.2)
    assert 0.2 <= time.monotonic() - started < 5


@pooled_only
def test_an_interim_answer_keeps_its_connection_busy(make_asker, scripted) -> None:
    """Were it taken for the end, the other request would be sent over the same connection."""

    def behave(connection, _number: int) -> None:
        while request := connection.read():
            connection.interim("100 Continue")
            time.sleep(0.2)
            connection.answer(request.split(b"delay=")[1].split()[0].decode())

    client = make_asker(UPSTREAM_URL=scripted(behave).url)
    delays = [0.25, 0.5, 0.75]
    for _ in range(2):
        together = client.get_together(f"/?delay={delay}" for delay in delays)
        assert [(r.status_code, r.json.get("upstream")) for r in together] == [
            (200, delay) for delay in delays
        ]


@pooled_only
def test_an_answer_that_comes_too_late_is_not_the_next_requests(make_asker, scripted) -> None:
    def behave(connection, number: int) -> None:
        connection.read()
        connection.interim("100 Continue")
        time.sleep(0.6 if number == 1 else 0)
        connection.answer(str(number))

    client = make_asker(UPSTREAM_URL=scripted(behave).url, UPSTREAM_TIMEOUT=0.3)
    assert client.get("/?delay=0").status_code == 504
    assert client.get("/?delay=0").json == {"delay": 0.0, "upstream": 2}


def test_an_answer_cut_off_between_two_chunks(make_asker, scripted) -> None:
    def behave(connection, _number: int) -> None:
        connection.read()
        connection.chunk('{"delay": ')

    response = make_asker(UPSTREAM_URL=scripted(behave).url).get("/?delay=0")
    assert (response.status_code, "upstream" in response.json["error"]) == (502, True)


FORK = """
import os
from {entry} import app
ask = lambda: app.test_client().get("/?delay=0").status_code
assert ask() == 200
child = os.fork()
if child == 0:
    os._exit(0 if ask() == 200 else 1)
assert os.waitpid(child, 0)[1] == 0
assert ask() == 200
"""


@pooled_only
def test_a_fork_shares_no_connection(client_name: str, run_python, scripted) -> None:
    upstream = scripted(answers)
    script = FORK.format(entry=entry_of(client_name))
    run_python(script, UPSTREAM_URL=upstream.url, UPSTREAM_CLIENT=client_name)
    assert (upstream.connections, len(upstream.requests)) == (2, 3)


MANY_FILES = """
from wsgi_gevent import app
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
held = [os.open("/dev/null", os.O_RDONLY) for _ in range(1024)]
for _ in range(3):
    assert app.test_client().get("/?delay=0").status_code == 200
"""


def test_a_connection_above_what_select_can_watch_is_kept(run_python, scripted) -> None:
    upstream = scripted(answers)
    run_python(MANY_FILES, UPSTREAM_URL=upstream.url, UPSTREAM_CLIENT="geventhttpclient")
    assert upstream.connections == 1


TRUST = """
from {entry} import app
from demo import create_app
from demo.http_clients import base
response = app.test_client().get("/?delay=0")
assert response.status_code == 502, response.text
assert "certificate verify failed" in response.text, response.text
base.AUTHORITIES = "{certificate}"
client = create_app().test_client()
for _ in range(2):
    response = client.get("/?delay=0")
    assert response.status_code == 200, response.text
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for localhost that it signed itself."""
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:P-256", "-days", "2", "-subj", "/CN=localhost", "-addext"]
    command += ["subjectAltName=DNS:localhost", "-keyout", str(path), "-out", f"{path}.crt"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl here: apt install openssl")
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pooled_only
def test_only_trusted_certificates_are_believed(
    client_name: str, run_python, scripted, certificate: Path
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    upstream = scripted(answers, context)
    script = TRUST.format(entry=entry_of(client_name), certificate=certificate)
    url = f"https://localhost:{upstream.port}"
    run_python(script, UPSTREAM_URL=url, UPSTREAM_CLIENT=client_name)
    # One for the refusal, which is not tried again, and one that was kept.
    assert (upstream.connections, len(upstream.requests)) == (2, 2)


INVENTORIES = Path(__file__).parents[2] / "inventories"


@pytest.mark.parametrize("inventory", ["lab", "example"])
def test_inventories_and_the_demo_know_the_same_clients(inventory: str) -> None:
    told = yaml.safe_load((INVENTORIES / inventory / "group_vars/all/app.yml").read_text())
    checks = [check for check in told["preflight_own_checks"] if "app_client" in check["right"]]
    (named,) = (re.findall(r"'(\w+)'", check["right"].partition(" in ")[2]) for check in checks[:1])
    assert named == list(CLIENTS)
    valid = checks[0]["says"].partition("Valid are:")[2].partition(". Type:")[0]
    assert [word for word in re.findall(r"\w+", valid) if word in CLIENTS] == named
    for name, row in CLIENTS.items():
        assert row.greenlets_only == any(f"!= '{name}'" in check["right"] for check in checks[1:])
