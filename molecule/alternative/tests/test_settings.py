"""What was set is what is found, where it is not what roles do by themselves."""

from __future__ import annotations

import pytest
from testinfra.host import Host

CONFIG = "/var/lib/greenrack/molecule/ssh/config"


def on(name: str) -> Host:
    """Return a host of the lab."""
    return Host.get_host(f"ssh://{name}", ssh_config=CONFIG, sudo=True)


@pytest.mark.parametrize("name", ["load1", "db1"])
def test_host_is_left_to_itself_where_told(name: str) -> None:
    """No updates, a small journal, and no firewall."""
    host = on(name)
    assert (
        'APT::Periodic::Unattended-Upgrade "0";'
        in host.check_output("apt-config dump").splitlines()
    )
    read = host.check_output("systemd-analyze cat-config systemd/journald.conf")
    assert "SystemMaxUse=200M" in read
    assert "greenrack" not in host.run("nft list tables").stdout


def test_database_is_another_one() -> None:
    """Port, limits, roles, a schema, no TLS, and for clients of its own host alone."""
    host = on("db1")
    listening = host.check_output("ss -Hltn | awk '{print $4}'").split()
    assert "127.0.0.1:5433" in listening
    assert "127.0.0.1:6433" in listening
    assert not [one for one in listening if one.endswith((":5432", ":6432"))]
    sql = "SELECT setting FROM pg_settings WHERE name IN ('max_connections', 'ssl') ORDER BY name"
    assert host.check_output("runuser -u postgres -- psql -p 5433 -XAtc %s", sql).split() == [
        "50",
        "off",
    ]
    url = "host=127.0.0.1 port=6433 user=demo dbname=demo sslmode=disable"
    wrote = "INSERT INTO kept VALUES ('row') RETURNING text"
    assert "row" in host.check_output("PGPASSWORD=molecule psql -XAtc %s %s", wrote, url)
    owner = "host=127.0.0.1 port=5433 user=demo_migrate dbname=demo sslmode=disable"
    host.check_output(
        "PGPASSWORD=molecule psql -XAtc %s %s", "ALTER TABLE kept ADD IF NOT EXISTS more int", owner
    )


def test_site_has_other_ports_a_name_and_limits() -> None:
    """And TLS of its own."""
    host = on("proxy1")
    listening = host.check_output("ss -Hltn | awk '{print $4}'").split()
    assert "0.0.0.0:8080" in listening
    assert "0.0.0.0:8443" in listening
    assert "0.0.0.0:80" not in listening
    ask = "curl --silent --insecure --output /dev/null --write-out '%{http_code} %{redirect_url}' -H 'Host: demo.test'"
    assert host.check_output(f"{ask} http://localhost:8080/x") == "308 https://demo.test:8443/x"
    assert host.check_output(f"{ask} https://localhost:8443/") == "502 "
    assert host.check_output(f"{ask} --data $(printf %02000d 0) https://localhost:8443/") == "413 "
    codes = host.check_output(f"for i in $(seq 30); do {ask} https://localhost:8443/; done").split()
    assert "429" in codes


def test_slow_api_is_the_hosts_own_and_not_so_slow() -> None:
    """Port, address and limit."""
    host = on("api1")
    ask = "curl --silent --output /dev/null --write-out '%{http_code}'"
    assert host.check_output(f"{ask} http://127.0.0.1:9090/?delay=0.4") == "200"
    assert host.check_output(f"{ask} http://127.0.0.1:9090/?delay=0.6") == "400"
    assert [
        line
        for line in host.check_output("ss -Hltn 'sport = :9090'").splitlines()
        if "127.0.0.1:9090" in line
    ]
