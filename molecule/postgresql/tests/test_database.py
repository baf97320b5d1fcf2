"""PostgreSQL: who gets in, how, and what they may do."""

from __future__ import annotations

import pytest
from testinfra.host import Host

testinfra_hosts = ["db1"]
PASSWORD = 'it\'s "100 %" $HOME'  # noqa: S105


def ask(
    host: Host, address: str, sql: str, how: str = "verify-full", password: str = PASSWORD
) -> str:
    """Return what psql prints, as the application's role."""
    url = (
        f"host={address} user=demo dbname=demo sslmode={how} sslrootcert=/etc/greenrack/tls/ca.crt"
    )
    done = host.run("PGPASSWORD=%s psql -XAtc %s %s", password, sql, url)
    return (done.stdout + done.stderr).strip()


def test_listens_where_its_clients_are(host: Host, address: str) -> None:
    """And nowhere else."""
    listening = host.check_output("ss -Hltn 'sport = :5432' | awk '{print $4}'")
    assert listening == f"{address}:5432"


def test_lets_the_application_in_by_password_and_tls(host: Host, address: str) -> None:
    """With the certificate checked, for the address too."""
    assert ask(host, address, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == "t"
    assert "password authentication failed" in ask(host, address, "SELECT 1", password="guessed")  # noqa: S106
    stored = "SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = 'demo'"
    assert host.check_output("runuser -u postgres -- psql -XAtc %s", stored) == "t"


@pytest.mark.parametrize(
    "sql", ["CREATE TABLE mine (x int)", "CREATE ROLE other", "SELECT pg_read_file('/etc/passwd')"]
)
def test_the_applications_role_has_few_rights(host: Host, address: str, sql: str) -> None:
    """It reads and writes rows, and owns nothing."""
    assert "permission denied" in ask(host, address, sql)


def test_nobody_comes_without_being_named(host: Host, address: str) -> None:
    """Over the network, as the superuser."""
    said = host.run(
        f"psql -XAtc 'SELECT 1' 'host={address} user=postgres dbname=demo sslmode=require'"
    ).stderr
    assert "no pg_hba.conf entry" in said
