"""nginx before an application that the tests play."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest
from testinfra.host import Host

testinfra_hosts = ["proxy1"]

# Answers with the headers it was sent, so that it is seen what nginx tells the application.
ECHO = """
import http.server, json
class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        told = json.dumps(dict(self.headers)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)
http.server.HTTPServer(("127.0.0.1", 8000), Echo).serve_forever()
"""


@pytest.fixture
def application(host: Host) -> Iterator[None]:
    """What listens where the live instance would."""
    host.check_output("systemd-run --unit=echo python3 -c %s", ECHO)
    waits = "until ss -Hltn sport = :8000 | grep -q LISTEN; do sleep 0.1; done"
    host.check_output(f"timeout 20 bash -c '{waits}'")
    yield
    host.check_output("systemctl stop echo")


def answer(
    address: str, method: str = "GET", path: str = "/", **headers: str
) -> tuple[int, str, str | None]:
    """Return status, body, and what the server calls itself."""
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    return response.status, response.read().decode(), response.getheader("Server")


def test_runs_now_and_after_a_reboot(host: Host) -> None:
    """As Debian's unit, and its workers as Debian's user."""
    service = host.service("nginx")
    assert (service.is_running, service.is_enabled) == (True, True)
    users = {process.user for process in host.process.filter(comm="nginx")}
    assert users == {"root", "www-data"}
    assert "sites-enabled" not in host.check_output("nginx -T"), "Debian's example is served too"


def test_says_that_nobody_is_behind_it(address: str) -> None:
    """And not its version."""
    status, _, server = answer(address)
    assert (status, server) == (502, "nginx")


@pytest.mark.usefixtures("application")
def test_tells_the_application_who_asks(address: str) -> None:
    """What a client says of that is not believed."""
    status, told, _ = answer(
        address, **{"X-Forwarded-For": "192.0.2.1", "X-Real-IP": "192.0.2.1", "Host": "shop.test"}
    )
    assert status == 200
    assert "192.0.2.1" not in told
    assert '"Host": "shop.test"' in told
    assert address.rpartition(".")[0] in told


@pytest.mark.usefixtures("application")
def test_turns_by_a_file_without_a_reload(host: Host, address: str) -> None:
    """To the instance of which it is the flag, and back."""
    flag = host.check_output(
        "grep -o '/etc/nginx/[a-z.-]*green[a-z.-]*' /etc/nginx/demo.ways | head -1"
    )
    assert answer(address)[0] == 200
    host.check_output(f"touch {flag}")
    try:
        assert answer(address)[0] == 502
    finally:
        host.check_output(f"rm {flag}")
    assert answer(address)[0] == 200


def test_refuses_what_is_too_much(address: str) -> None:
    """A header of 9 KiB."""
    assert answer(address, Cookie="x" * 9 * 1024)[0] == 400
