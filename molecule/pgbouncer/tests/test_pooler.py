"""PgBouncer before PostgreSQL: who gets in, and how many connections come of it."""

from __future__ import annotations

from testinfra.host import Host

testinfra_hosts = ["db1"]
PASSWORD = "molecule"  # noqa: S105


def ask(
    host: Host, address: str, sql: str, database: str = "demo", password: str = PASSWORD
) -> str:
    """Return what psql prints, as the application's role."""
    url = f"host={address} port=6432 user=demo dbname={database} sslmode=verify-full"
    url += " sslrootcert=/etc/greenrack/tls/ca.crt"
    done = host.run("PGPASSWORD=%s psql -XAtc %s %s", password, sql, url)
    return (done.stdout + done.stderr).strip()


def test_runs_unprivileged_where_its_clients_are(host: Host, address: str) -> None:
    """And keeps its passwords to itself."""
    unit = host.service("pgbouncer").systemd_properties
    assert (unit["ActiveState"], unit["User"]) == ("active", "postgres")
    listening = host.check_output("ss -Hltn 'sport = :6432' | awk '{print $4}'")
    assert listening == f"{address}:6432"
    kept = host.file("/etc/pgbouncer/userlist.txt")
    assert (kept.user, kept.mode) == ("postgres", 0o640)


def test_lets_in_the_application_to_its_database_alone(host: Host, address: str) -> None:
    """By its password."""
    assert ask(host, address, "SELECT 1") == "1"
    assert "SASL authentication failed" in ask(host, address, "SELECT 1", password="guessed")  # noqa: S106
    assert ask(host, address, "SELECT 1", database="postgres") != "1"


def test_twenty_clients_share_seven_connections(host: Host, address: str) -> None:
    """Each waits for its turn, and gets it."""
    url = f"host={address} port=6432 user=demo dbname=demo sslmode=require"
    sql = "SELECT pg_backend_pid() FROM pg_sleep(0.3)"
    ask_twenty = "for i in $(seq 20); do PGPASSWORD=%s psql -XAtc %s %s & done; wait"
    pids = host.check_output(ask_twenty, PASSWORD, sql, url).split()
    assert len(pids) == 20
    assert len(set(pids)) <= 7
