"""PgBouncer's configuration as rendered, read the way PgBouncer reads it; and the budget of connections."""

from __future__ import annotations

import configparser
import re
from typing import Any

import pytest
from render import evaluate, of_role, of_topology, render

SHOP: dict[str, Any] = {
    "pgbouncer_database": "shop",
    "pgbouncer_user": "shop",
    "pgbouncer_password": "secret",
}


def read(**given: Any) -> configparser.ConfigParser:
    ini = configparser.ConfigParser(interpolation=None, strict=True)
    ini.read_string(render("pgbouncer", "pgbouncer.ini.j2", **SHOP, **given))
    return ini


def test_it_hands_out_connections_a_transaction_long() -> None:
    ini = read(pgbouncer_listen_address="10.0.0.41", pgbouncer_port=6433, pgbouncer_pool_size=7)
    assert dict(ini["databases"]) == {"shop": "host=/var/run/postgresql port=5432 dbname=shop"}
    settings = ini["pgbouncer"]
    assert (settings["listen_addr"], settings["listen_port"]) == ("10.0.0.41", "6433")
    assert settings["pool_mode"] == "transaction"
    assert (settings["default_pool_size"], settings["max_db_connections"]) == ("7", "7")
    assert settings["unix_socket_mode"] == "0700"


def test_every_wait_has_an_end() -> None:
    settings = read(app_database_timeout=3, app_timeout=20)["pgbouncer"]
    waits = ["query_wait_timeout", "server_connect_timeout", "client_login_timeout"]
    assert [settings[name] for name in waits] == ["3", "3", "3"]
    assert settings["query_timeout"] == "20"
    assert read()["pgbouncer"]["query_wait_timeout"] == "5"


def test_who_may_log_in() -> None:
    rules = render("pgbouncer", "hba.conf.j2", pgbouncer_clients=["10.0.0.21", "10.0.0.22"], **SHOP)
    said = [line.split() for line in rules.splitlines() if line and line[0] != "#"]
    assert said == [["host", "shop", "shop", f"10.0.0.{n}/32", "scram-sha-256"] for n in (21, 22)]


def test_who_comes_without_tls_is_refused_once_nobody_has_to() -> None:
    for tls, only, kind in ((False, True, "host"), (True, False, "host"), (True, True, "hostssl")):
        given = {**SHOP, "pgbouncer_tls": tls, "pgbouncer_tls_only": only}
        (line,) = render("pgbouncer", "hba.conf.j2", **given).splitlines()[2:]
        assert line.split()[0] == kind
    settings = read(pgbouncer_tls=True)["pgbouncer"]
    assert settings["client_tls_sslmode"] == "allow"
    assert settings["client_tls_cert_file"].endswith("host.crt")
    assert "client_tls_sslmode" not in read()["pgbouncer"]


@pytest.mark.parametrize(
    "password",
    [
        "secret",
        'quo"te',
        '"',
        '""',
        "it's",
        "100 %",
        "$HOME",
        "back\\slash",
        "{a} {# b",
        "ü€",
        "a;b",
    ],
)
def test_a_password_survives(password: str) -> None:
    given = {**SHOP, "pgbouncer_password": password}
    (line,) = render("pgbouncer", "userlist.txt.j2", **given).splitlines()
    # PgBouncer reads two quoted strings, in which a quote is written twice and nothing else is special.
    found = re.fullmatch(r'"((?:[^"]|"")*)" "((?:[^"]|"")*)"', line)
    assert found, line
    assert [part.replace('""', '"') for part in found.groups()] == ["shop", password]


def test_it_may_open_a_descriptor_for_each_client() -> None:
    given = {"pgbouncer_max_client_conn": "3000", "pgbouncer_pool_size": "50"}
    lines = render("pgbouncer", "greenrack.conf.j2", **SHOP, **given).splitlines()
    assert "LimitNOFILE=3150" in lines
    assert "TimeoutStopSec=35" in lines


def refused(workers: list[int], pool: int, **database: Any) -> list[str]:
    """Return what is said about hosts with so many workers, and a pool for each."""
    hosts = {f"app{n}": {"app_server_processes": str(number)} for n, number in enumerate(workers)}
    parts = [
        {"group": "database", "hosts": ["db1"], "roles": ["postgresql"]},
        {"group": "app", "hosts": list(hosts), "roles": ["app_server"]},
    ]
    return evaluate(
        "preflight",
        "__preflight_budget_wrong",
        preflight_parts=parts,
        preflight_database_pool=str(pool),
        pgbouncer_enabled=database.get("pgbouncer_enabled", False),
        hostvars={"db1": database, **hosts},
    )


@pytest.mark.parametrize(
    ("workers", "pool", "database"),
    [
        ([2], 45, {}),
        ([4, 5], 10, {}),
        ([2], 90, {"postgresql_max_connections": "190"}),
        ([2], 1000, {"pgbouncer_enabled": "true"}),
        ([64], 10, {"pgbouncer_enabled": True}),
    ],
)
def test_connections_that_fit(workers: list[int], pool: int, database: dict[str, Any]) -> None:
    assert refused(workers, pool, **database) == []


@pytest.mark.parametrize(
    ("given", "cramped", "least"),
    [
        ({}, [], None),  # 2 x 15200 connections, and two workers have 32768
        ({"nginx_worker_connections": 15200}, [], None),
        ({"nginx_worker_connections": "15199"}, ["proxy1"], 15200),
        ({"nginx_worker_connections": 1000, "nginx_enabled": False}, [], None),
        ({"nginx_worker_connections": 1000, "preflight_brings": ["app_server"]}, [], None),
        ({"ansible_facts": {"greenrack": {"cpus": 1}}}, ["proxy1"], 30400),
        ({"ansible_facts": {}}, [], None),
    ],
)
def test_nginx_can_hold_what_it_may_send(
    given: dict[str, Any], cramped: list[str], least: int | None
) -> None:
    app = {"app_server_processes": "8"}
    proxy = {"inventory_hostname": "proxy1", "ansible_facts": {"greenrack": {"cpus": 2}}, **given}
    parts = [
        {"group": "app", "hosts": ["app1", "app2"], "roles": ["app_server"]},
        {"group": "proxy", "hosts": ["proxy1"], "roles": ["nginx"]},
    ]
    hostvars = {"proxy1": proxy, "app1": app, "app2": app}
    said = evaluate(
        "preflight",
        "__preflight_budget_wrong",
        preflight_parts=parts,
        preflight_database_pool="0",
        nginx_max_conns="7600",
        hostvars=hostvars,
        **{name: given[name] for name in ("nginx_enabled", "preflight_brings") if name in given},
    )
    assert len(said) == len(cramped)
    for one, name in zip(said, cramped, strict=True):
        assert "15200 requests in flight" in one
        assert f"lets {name} have fewer" in " ".join(one.split())
        assert one.rstrip().endswith(f"-e nginx_worker_connections={least}")


@pytest.mark.parametrize(
    ("workers", "pool", "database", "parts"),
    [
        ([2], 46, {}, ["open 92", "grants 90", "at most 45", "-e app_database_pool=45,"]),
        ([4, 6], 10, {}, ["10 workers on 2 host(s)", "open 100", "-e app_database_pool=9,"]),
        ([91], 1, {}, ["less than one", "-e postgresql_max_connections=101", "pooler=true"]),
        (
            [2],
            1001,
            {"pgbouncer_enabled": True},
            ["accepts pgbouncer_max_client_conn 2000", "-e app_database_pool=1000,", "conn=2002"],
        ),
        (
            [2],
            10,
            {"pgbouncer_enabled": True, "postgresql_max_connections": 60},
            ["pgbouncer_pool_size 80", "grants 50", "-e pgbouncer_pool_size=50,", "connections=90"],
        ),
    ],
)
def test_connections_that_do_not_fit(
    workers: list[int], pool: int, database: dict[str, Any], parts: list[str]
) -> None:
    (says,) = refused(workers, pool, **database)
    assert [part for part in parts if part not in says] == [], says


@pytest.mark.parametrize(
    ("hosts", "workers", "chosen", "each"),
    [
        (1, 2, {}, 10),
        (1, 5, {}, 9),
        (2, 4, {}, 5),
        (1, 8, {}, 5),
        (1, 64, {}, 1),  # more than there is, which the budget refuses
        (1, 8, {"postgresql_max_connections": "200"}, 10),
        (1, 64, {"pooler": "true"}, 10),
        (20, 8, {"pooler": "true"}, 6),
    ],
)
def test_a_workers_share_of_the_connections(
    hosts: int, workers: int, chosen: dict[str, Any], each: int
) -> None:
    groups = {"app": [f"app{number}" for number in range(hosts)]}
    given = {**of_topology(), "groups": groups, "app_server_processes": workers, **chosen}
    assert int(evaluate("app_server", "app_database_share", **given)) == each
    if each > 1:
        pooled = {"pgbouncer_enabled": True} if chosen.get("pooler") else chosen
        assert refused([workers] * hosts, each, **pooled) == []


def test_what_keeps_the_mode_that_runs_keeps_the_pooler() -> None:
    kept = {**of_topology(), "server_mode_kept": {"pooler": "true"}, "groups": {"database": []}}
    for chosen, pooled in [({}, True), ({"pooler": "false"}, False)]:
        assert evaluate("app_server", "app_pooler", **kept, **chosen) is pooled
        assert evaluate("app_server", "pgbouncer_enabled", **kept, **chosen) is pooled
        switches = evaluate(
            "app_server", "__app_server_switches", **kept, **chosen, server="uwsgi_sync"
        )
        assert f",pooler={pooled},".lower() in switches
    assert evaluate("app_server", "app_pooler", **of_topology()) is False


def test_hosts_with_more_workers_have_smaller_pools() -> None:
    shares = {"app1": (2, 10), "app2": (16, 2)}
    hostvars: dict[str, Any] = {
        name: {"app_server_processes": workers, "app_database_pool": pool}
        for name, (workers, pool) in shares.items()
    }
    given = {"__preflight_app_hosts": list(shares), "hostvars": hostvars}
    wanted = evaluate("preflight", "__preflight_wanted", preflight_database_pool="10", **given)
    assert int(wanted) == 2 * 10 + 16 * 2


def test_the_budget_knows_the_roles_defaults() -> None:
    """Nobody else sees a role's defaults: preflight repeats them."""
    known = {**of_role("postgresql", "defaults"), **of_role("pgbouncer", "defaults")}
    for name, variable in {
        "__preflight_max_connections": "postgresql_max_connections",
        "__preflight_pool_size": "pgbouncer_pool_size",
        "__preflight_max_clients": "pgbouncer_max_client_conn",
    }.items():
        assert int(evaluate("preflight", name, __preflight_database={})) == known[variable]
    reserve = of_role("preflight", "defaults")["preflight_database_reserve"]
    granted = {
        "false": known["postgresql_max_connections"] - reserve,
        "true": known["pgbouncer_max_client_conn"],
    }
    for pooler, number in granted.items():
        given = {**of_topology(), "pooler": pooler}
        assert int(evaluate("app_server", "app_database_granted", **given)) == number
