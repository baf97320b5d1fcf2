"""PostgreSQL's configuration and SQL as rendered, read and run by a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import demo_postgres
import psycopg2
import pytest
from render import evaluate, render

SCHEMA = """\
CREATE TABLE IF NOT EXISTS orders (id serial PRIMARY KEY, item text NOT NULL);
COMMENT ON TABLE orders IS '100 % of them';  -- the last line is a comment
"""
SHOP = {"postgresql_database": "shop"}


@pytest.mark.parametrize(
    ("pooled", "tls", "only", "kind"),
    [
        (False, False, False, "host"),
        (True, False, True, "host"),
        (True, True, False, "host"),
        (False, True, True, "hostssl"),
    ],
)
def test_who_may_log_in(
    cluster: demo_postgres.Cluster, pooled: bool, tls: bool, only: bool, kind: str
) -> None:
    clients = ["10.0.0.21", "10.0.0.22"]
    given = {"postgresql_clients": clients, "postgresql_pooled": pooled, **SHOP}
    given |= {"postgresql_tls": tls, "postgresql_tls_only": only}
    hba = render("postgresql", "pg_hba.conf.j2", **given)
    # The view shows the file as it is now; the server goes on with the one it has loaded.
    path = cluster.folder / "data" / "pg_hba.conf"
    before = path.read_text()
    path.write_text(hba)
    try:
        rules = cluster.query(
            "SELECT type, database, user_name, address, netmask, auth_method, error"
            " FROM pg_hba_file_rules ORDER BY line_number"
        )
    finally:
        path.write_text(before)
    host, own, everybody = "255.255.255.255", ["samerole"], ["all"]
    # This server has no certificate, and says so.
    says = "hostssl record cannot match because SSL is disabled" if kind == "hostssl" else None
    assert rules == [
        ("local", ["all"], ["postgres"], None, None, "peer", None),
        *[("local", own, everybody, None, None, "scram-sha-256", None)] * pooled,
        *((kind, own, everybody, client, host, "scram-sha-256", says) for client in clients),
    ]


def test_the_hosts_of_other_applications_are_let_in_too() -> None:
    """Whichever inventory's run was the last; one's own are those it has now."""
    said, known = "", {"demo": ["10.0.0.21", "10.0.0.22"], "shop": ["10.0.0.22", "10.0.0.31"]}
    known_later = {**known, "demo": ["10.0.0.22"]}
    for name, clients in [*known.items(), *known_later.items()]:
        notes = {"/etc/postgresql/15/main/pg_hba.conf": said.partition("\n")[0]}
        given = {"postgresql_database": name, "postgresql_clients": clients}
        facts = {"greenrack": {"release": "12", "notes": notes}}
        hba = render("postgresql", "pg_hba.conf.j2", **given, ansible_facts=facts)
        if name == "demo":
            first = hba
        said = hba
    assert said.splitlines()[1:] == first.splitlines()[1:]
    assert said.startswith("# without TLS at 127.0.0.1: demo=10.0.0.22 shop=10.0.0.22,10.0.0.31\n")
    rules = [line.split()[3] for line in said.splitlines() if line.startswith("host")]
    assert rules == ["10.0.0.22/32", "10.0.0.31/32"]


def as_postgresql_reads(cluster: demo_postgres.Cluster, text: str) -> list[Any]:
    """Return (name, setting, error) of each line of a configuration."""
    path = cluster.folder / "data" / "postgresql.auto.conf"
    before = path.read_text()
    path.write_text(text)
    try:
        return cluster.query(
            "SELECT name, setting, error FROM pg_file_settings"
            " WHERE sourcefile LIKE '%postgresql.auto.conf'"
        )
    finally:
        path.write_text(before)


def test_what_a_client_keeps_that_is_gone(cluster: demo_postgres.Cluster) -> None:
    shown = as_postgresql_reads(cluster, render("postgresql", "greenrack_clients.conf.j2"))
    assert {error for *_, error in shown} == {None}
    named = {name: int(setting) for name, setting, _ in shown}
    idle, each, times = (named[f"tcp_keepalives_{it}"] for it in ("idle", "interval", "count"))
    assert idle + each * times == named["tcp_user_timeout"] / 1000 == 60


def test_the_servers_settings(cluster: demo_postgres.Cluster) -> None:
    wanted = {
        "listen_addresses": "10.0.0.41",
        "port": "5433",
        "max_connections": "250",
        "password_encryption": "scram-sha-256",
    }
    given = {
        "postgresql_listen_address": "10.0.0.41",
        "postgresql_port": 5433,
        "postgresql_max_connections": 250,
    }
    shown = as_postgresql_reads(cluster, render("postgresql", "greenrack.conf.j2", **given))
    # Some cannot be changed while a server runs; any other error would be a mistake in the file.
    restart = "setting could not be applied"
    assert {error for *_, error in shown} <= {None, restart}
    assert {name: setting for name, setting, _ in shown} == wanted


def test_debians_own_certificate_stays_where_there_is_no_other() -> None:
    names = {
        line.split(" = ")[0]
        for line in render("postgresql", "greenrack_tls.conf.j2", postgresql_tls=True).splitlines()
    }
    assert {"ssl", "ssl_cert_file", "ssl_key_file", "ssl_min_protocol_version"} < names
    assert "ssl" not in render("postgresql", "greenrack_tls.conf.j2")


@pytest.fixture
def shop(cluster: demo_postgres.Cluster, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A database and its roles, as the role's tasks make them before they run the SQL."""
    (tmp_path / "schema.sql").write_text(SCHEMA)
    given = {**SHOP, "postgresql_schema": str(tmp_path / "schema.sql")}
    owner = evaluate("postgresql", "__postgresql_owner", **given)
    for statement in (
        f"CREATE ROLE {owner} NOLOGIN",
        "CREATE ROLE shop LOGIN",
        f"CREATE DATABASE shop OWNER {owner} TEMPLATE template0",
    ):
        cluster.query(statement, dbname="postgres")
    yield given
    for statement in ("DATABASE shop", "ROLE shop", f"ROLE {owner}"):
        cluster.query(f"DROP {statement}", dbname="postgres")


def run_as(cluster: demo_postgres.Cluster, user: str, sql: str) -> list[tuple]:
    """Run sql in one transaction, as Ansible's module does."""
    connection = psycopg2.connect(host=str(cluster.folder), user=user, dbname="shop")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def made(cluster: demo_postgres.Cluster, given: dict[str, Any]) -> None:
    """Run the rendered SQL and the stamp behind it."""
    sql = evaluate("postgresql", "__postgresql_sql", **given)
    stamp = evaluate("postgresql", "__postgresql_stamp", **given)
    run_as(cluster, "owner", f"{sql}; COMMENT ON DATABASE shop IS '{stamp}'")


def test_the_sql_can_be_run_again(cluster: demo_postgres.Cluster, shop: dict[str, Any]) -> None:
    made(cluster, shop)
    run_as(cluster, "shop", "INSERT INTO orders (item) VALUES ('tea')")
    made(cluster, shop)
    assert run_as(cluster, "shop", "SELECT item FROM orders") == [("tea",)]


@pytest.mark.parametrize(
    "forbidden",
    ["DROP TABLE orders", "CREATE TABLE mine (id int)", "TRUNCATE orders", "CREATE SCHEMA mine"],
)
def test_the_application_owns_nothing(
    cluster: demo_postgres.Cluster, shop: dict[str, Any], forbidden: str
) -> None:
    made(cluster, shop)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run_as(cluster, "shop", forbidden)
    assert run_as(cluster, "shop", "SELECT count(*) FROM orders") == [(0,)]


def test_nobody_else_may_connect(cluster: demo_postgres.Cluster, shop: dict[str, Any]) -> None:
    made(cluster, shop)
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        run_as(cluster, "demo", "SELECT 1")


def test_the_stamp_changes_with_the_schema(tmp_path: Path) -> None:
    stamps = []
    for content in (SCHEMA, SCHEMA, SCHEMA + "-- more\n"):
        (tmp_path / "schema.sql").write_text(content)
        given = {**SHOP, "postgresql_schema": str(tmp_path / "schema.sql")}
        stamps.append(evaluate("postgresql", "__postgresql_stamp", **given))
    assert stamps[0] == stamps[1] != stamps[2]


@pytest.mark.parametrize(("release", "version"), [("12", 15), ("13", 17), ("", 17)])
def test_the_servers_version_is_the_releases(release: str, version: int) -> None:
    facts = {"greenrack": {"release": release}}
    service = evaluate("postgresql", "__postgresql_service", ansible_facts=facts)
    assert service == f"postgresql@{version}-main.service"
