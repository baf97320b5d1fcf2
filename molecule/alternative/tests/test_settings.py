"""What was set is what is found, where it is not what roles do by themselves."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPSConnection

import pytest
from testinfra.host import Host


@pytest.mark.parametrize("name", ["load1", "db1"])
def test_host_is_left_to_itself_where_told(on: Callable[[str], Host], name: str) -> None:
    """Updates as it has them itself, a small journal, and no firewall."""
    host = on(name)
    updates = host.file("/etc/apt/apt.conf.d/60greenrack").content_string
    assert [line for line in updates.splitlines() if not line.startswith("#")] == []
    read = host.check_output("systemd-analyze cat-config systemd/journald.conf")
    assert "SystemMaxUse=200M" in read
    assert "greenrack" not in host.run("nft list tables").stdout


def test_database_is_another_one(on: Callable[[str], Host]) -> None:
    """Port, limits, roles, a schema, no TLS, and for clients of its own host alone."""
    host = on("db1")
    listening = host.check_output("ss -Hltn | awk '{print $4}'").split()
    assert "127.0.0.1:5433" in listening
    assert "127.0.0.1:6433" in listening
    assert not [one for one in listening if one.endswith((":5432", ":6432"))]
    assert (
        host.check_output("runuser -u postgres -- psql -p 5433 -XAtc 'SHOW max_connections'")
        == "50"
    )
    url = "host=127.0.0.1 port=6433 user=demo dbname=demo sslmode=disable"
    wrote = "INSERT INTO kept VALUES ('row') RETURNING text"
    assert "row" in host.check_output("PGPASSWORD=molecule psql -XAtc %s %s", wrote, url)
    owner = "host=127.0.0.1 port=5433 user=demo_migrate dbname=demo sslmode=disable"
    host.check_output(
        "PGPASSWORD=molecule psql -XAtc %s %s", "ALTER TABLE kept ADD IF NOT EXISTS more int", owner
    )


def answer(
    connection: HTTPConnection, method: str = "GET", body: str | None = None
) -> tuple[int, str | None]:
    """Return status and Location of what is answered under the site's name."""
    connection.request(method, "/x", body, {"Host": "demo.test", "Connection": "close"})
    response = connection.getresponse()
    return response.status, response.getheader("Location")


def test_site_has_other_ports_a_name_and_limits(on: Callable[[str], Host]) -> None:
    """And TLS, by a certificate nobody has signed, and IPv4 alone."""
    host = on("proxy1")
    (address,) = host.interface("host0").addresses
    listening = host.check_output("ss -Hltn").split()
    assert "0.0.0.0:8443" in listening
    assert not [one for one in listening if one.endswith(":80") or one.startswith("[::]:8")]
    assert answer(HTTPConnection(address, 8080)) == (308, "https://demo.test:8443/x")
    unchecked = ssl._create_unverified_context()  # noqa: S323

    def by_tls(*asked: str) -> int:
        return answer(HTTPSConnection(address, 8443, context=unchecked), *asked)[0]

    assert by_tls() == 502
    assert by_tls("POST", "x" * 2000) == 413
    held = [HTTPSConnection(address, 8443, context=unchecked) for _ in range(3)]
    for connection in held:  # a body that does not come
        connection.putrequest("POST", "/x", skip_host=True)
        connection.putheader("Host", "demo.test")
        connection.putheader("Content-Length", "100")
        connection.endheaders()
    # Until nginx's workers have read all three; not so often that the other limit is met.
    end = time.monotonic() + 10
    while by_tls() != 429:
        assert time.monotonic() < end
        time.sleep(0.5)
    for connection in held:
        connection.close()
    assert 429 in {by_tls() for _ in range(40)}  # one after another


@pytest.mark.parametrize(("delay", "status"), [(0.4, 200), (0.6, 400)])
def test_slow_api_is_the_hosts_own_and_not_so_slow(
    on: Callable[[str], Host], delay: float, status: int
) -> None:
    """Port, address and limit."""
    host = on("api1")
    ask = "import http.client as h; c = h.HTTPConnection('127.0.0.1', 9090); c.request('GET', '/?delay=%s')"
    asked = f"{ask % delay}; print(c.getresponse().status)"
    assert host.check_output("python3 -c %s", asked) == str(status)
    assert host.check_output("ss -Hltn 'sport = :9090' | awk '{print $4}'") == "127.0.0.1:9090"
