"""What preflight asks of a host, one question at a time."""

from __future__ import annotations

from typing import Any

import pytest
from render import evaluate, of_inventory, of_role

HERE = {"preflight_listens": True, "preflight_address": "10.0.0.21"}


def right(says: str, facts: dict[str, Any] | None, **given: Any) -> bool:
    """Return the answer to the question whose refusal has these words; without facts, to one that needs no host."""
    asked = "__preflight_checks" if facts is not None else "__preflight_static_checks"
    checks = of_role("preflight", "vars")[asked]
    (check,) = [check for check in checks if says in check["says"]]
    expression = check["right"].removeprefix("{{ ").removesuffix(" }}")
    return evaluate(
        "preflight", expression, **{"ansible_facts": {"greenrack": facts or {}}, **given}
    )


@pytest.mark.parametrize(
    ("sudo", "method", "passes"),
    [(True, "sudo", True), (False, "sudo", False), (False, "su", True)],
)
def test_root_takes_sudo_to_become_others(sudo: bool, method: str, passes: bool) -> None:
    assert right("It lacks sudo", {"sudo": sudo}, ansible_become_method=method) is passes


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        ({}, True),
        ({"preflight_address": "203.0.113.7"}, False),  # a cloud's, that no interface has
        ({"preflight_address": "203.0.113.7", "preflight_listens": False}, True),
        ({"preflight_address": "app1"}, True),  # refused for what it is
    ],
)
def test_what_others_reach_a_host_at_is_its_own(given: dict[str, Any], passes: bool) -> None:
    facts = {"addresses": ["10.0.0.21", "fd00::21"]}
    assert right("and it has no address but", facts, **{**HERE, **given}) is passes


@pytest.mark.parametrize(
    ("holders", "named"),
    [
        ("nginx.service", []),
        ("", ["a process without a systemd unit"]),
        ("apache2.service", ["apache2.service"]),
        ("nginx.service socat.service", ["socat.service"]),  # by IPv6, say
    ],
)
def test_who_else_holds_a_port_is_named(holders: str, named: list[str]) -> None:
    parts = [{"hosts": ["box1"], "port": 80, "unit": r"^nginx\.service$", "roles": []}]
    given = {"ansible_facts": {"greenrack": {"listeners": {"80": holders}}}}
    given |= {"preflight_parts": parts, "inventory_hostname": "box1"}
    taken = evaluate("preflight", "__preflight_taken", **given)
    assert taken == [f"port 80 is taken by {name}" for name in named]


@pytest.mark.parametrize("inventory", ["lab", "example"])
@pytest.mark.parametrize(
    ("given", "cure"),
    [
        ({"app_client": "request"}, ["-e app_client=requests"]),
        ({"app_client": "geventhttpclient", "server": "uwsgi_sync"}, ["-e app_client=urllib3"]),
        ({"app_client": "geventhttpclient", "server": "pywsgi_gevent"}, []),
        ({"app_client": "unpooled"}, []),
        ({}, []),
    ],
)
def test_what_the_demos_inventory_checks_itself(
    inventory: str, given: dict[str, Any], cure: list[str]
) -> None:
    wrong = "preflight_own_checks | rejectattr('right') | map(attribute='says') | list"
    says = evaluate("preflight", wrong, **{**of_inventory(inventory), **given})
    assert [part for part, said in zip(cure, says, strict=True) if part not in said] == []


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        ({}, True),
        ({"proxy": "false"}, True),
        ({"nginx_tls": "selfsigned", "app_tls": "true"}, True),
        ({"proxy": "false", "nginx_tls": "selfsigned"}, False),
        ({"proxy": "false", "app_tls": "true"}, False),
        ({"proxy": "false", "nginx_tls": "off", "app_tls": "false"}, True),
    ],
)
def test_tls_takes_an_nginx_that_speaks_it(given: dict[str, Any], passes: bool) -> None:
    assert right("nothing that would speak TLS", None, **given) is passes


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        ({}, True),
        ({"app_database_timeout": 10}, True),
        ({"app_database_timeout": 11}, False),
        ({"app_database_timeout": "11", "app_timeout": "40"}, True),
        ({"app_database_timeout": 11, "nginx_timeout": 44}, True),
        ({"app_database_timeout": 3, "app_timeout": 1}, False),
        # libpq waits two seconds at least, and whole ones.
        ({"app_database_timeout": 0.5, "app_timeout": 2, "nginx_timeout": 3}, False),
        ({"app_database_timeout": 0.5, "app_timeout": 2, "nginx_timeout": 3.5}, True),
        ({"app_database_timeout": 3, "app_timeout": 1, "proxy": "false"}, True),
        ({"app_database_timeout": 3, "app_timeout": 1, "app_database_pool": 0}, True),
    ],
)
def test_nginx_waits_until_a_request_was_told_that_the_database_is_away(
    given: dict[str, Any], passes: bool
) -> None:
    assert right("until it is told that", None, **{"app_database_pool": 10, **given}) is passes


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        ({"nginx_port": 8080}, True),
        ({"nginx_tls": "acme"}, True),
        ({"nginx_tls": "acme", "nginx_port": "80"}, True),
        ({"nginx_tls": "acme", "nginx_port": 8080}, False),
        ({"nginx_tls": "selfsigned", "nginx_port": 8080}, True),
    ],
)
def test_an_authority_asks_at_port_80(given: dict[str, Any], passes: bool) -> None:
    assert right("tls is acme, and nginx_port", None, **given) is passes


@pytest.mark.parametrize(
    ("trusted", "passes"),
    [
        ([], True),
        (["10.0.0.7", "192.0.2.0/24", "2001:db8::/32", "::1"], True),
        (["balancer.example.org"], False),
        (["10.0.0.0/24; allow all"], False),
        ("10.0.0.0/24", False),  # which is no list
    ],
)
def test_who_is_trusted_is_an_address(trusted: list[str] | str, passes: bool) -> None:
    given = {"nginx_trusted_proxies": trusted}
    assert right("nginx_trusted_proxies is '", {}, **given) is passes


@pytest.mark.parametrize(
    ("given", "passes"),
    [({}, True), ({"nginx_timeout": 30}, False), ({"nginx_timeout": 31}, True)],
)
def test_nginx_waits_longer_than_the_application(given: dict[str, Any], passes: bool) -> None:
    assert right("nginx would give up while the", None, **given) is passes


@pytest.mark.parametrize(
    ("name", "passes"),
    [
        ("shop", True),
        ("postgres-shop", True),
        ("postgres", False),  # whose role is PostgreSQL's own superuser
        ("template1", False),
        ("samerole", False),
        ("nginx", False),
        ("uwsgi", False),
    ],
)
def test_what_means_something_to_others_names_no_application(name: str, passes: bool) -> None:
    assert right("It names a user, a unit", None, app_name=name) is passes


@pytest.mark.parametrize(
    ("there", "brings", "passes"),
    [
        ([], 17, True),
        ([17], 17, True),
        ([15], 17, False),
        ([15, 17], 17, False),
        ([17], 15, False),
        ([15], 0, True),  # a release, or a way back
    ],
)
def test_no_database_is_left_behind(there: list[int], brings: int, passes: bool) -> None:
    folders = {f"/var/lib/postgresql/{version}/main": [] for version in (15, 17)}
    folders |= {f"/var/lib/postgresql/{version}/main": ["PG_VERSION"] for version in there}
    facts = {"entries": {**folders, "/etc/nginx": ["nginx.conf"]}}
    assert right("It has a database of", facts, preflight_postgresql=brings) is passes


@pytest.mark.parametrize(
    ("line", "passes"),
    [
        ("# Ansible managed", True),  # of an earlier version
        ("# without TLS at 127.0.0.1: demo=127.0.0.1", True),  # its own
        ("# by TLS at 10.0.0.41: demo=10.0.0.21 shop=10.0.0.31", True),
        ("# without TLS at 10.0.0.41: demo=10.0.0.21 shop=10.0.0.31", True),  # it may come by TLS
        ("# without TLS at 127.0.0.1: shop=127.0.0.1", False),
        ("# by TLS at 10.0.0.4: shop=10.0.0.31", False),
    ],
)
@pytest.mark.parametrize("tls", [True, False])
def test_no_other_application_is_shut_out_of_postgresql(line: str, tls: bool, passes: bool) -> None:
    facts = {"notes": {"/etc/postgresql/15/main/pg_hba.conf": line}}
    given = {"postgresql_listen_address": "10.0.0.41", "postgresql_tls": tls}
    asked = right("PostgreSQL there serves", facts, preflight_postgresql=15, **given)
    assert asked is (passes and (tls or "by TLS" not in line))


SITE = ["/etc/nginx/sites-enabled/crm"]


@pytest.mark.parametrize(
    ("replaces", "given", "ends"),
    [
        (["nginx"], [], ["nginx"]),
        ([], [], []),  # a release, which brings no nginx
        (["postgresql-15"], [], []),
        (["nginx", "archive-15"], ["nginx"], ["archive-15"]),
        (["nginx", "archive-15"], ["nginx", "archive-15"], []),
    ],
)
def test_what_serves_somebody_else_is_ended_by_who_says_so(
    replaces: list[str], given: list[str], ends: list[str]
) -> None:
    facts = {"theirs": {"nginx": SITE, "archive-15": ["archive_command in postgresql.conf"]}}
    told = {"preflight_replaces": replaces, "preflight_take_over": given}
    assert right("what this run would end", facts, **told) is (ends == [])
    seen = {"ansible_facts": {"greenrack": facts}, **told}
    assert list(evaluate("preflight", "__preflight_theirs", **seen)) == ends


@pytest.mark.parametrize(("replaces", "passes"), [([], True), (["archive-15"], False)])
def test_what_wins_over_our_archive_command_is_not_taken_over(
    replaces: list[str], passes: bool
) -> None:
    facts = {"theirs": {"over-archive-15": ["/var/lib/postgresql/15/main/postgresql.auto.conf"]}}
    told = {"preflight_replaces": replaces, "preflight_take_over": ["archive-15"]}
    assert right("wins over ours", facts, **told) is passes
    assert right("what this run would end", facts, **told)


@pytest.mark.parametrize(
    ("line", "given", "passes"),
    [
        ("authenticationmethods any", {}, True),
        ("authenticationmethods publickey", {}, True),
        ("authenticationmethods publickey,keyboard-interactive:pam", {}, False),
        ("authenticationmethods publickey,password keyboard-interactive", {}, False),
        ("authenticationmethods publickey,password publickey,hostbased", {}, True),
        ("authenticationmethods publickey,password", {"base_ssh_passwords": True}, True),
        ("authenticationmethods publickey,password", {"ansible_password": "secret"}, True),
        ("authenticationmethods publickey,password", {"base_enabled": False}, True),
        ("authenticationmethods publickey,password", {"preflight_brings": ["nginx"]}, True),
    ],
)
def test_nobody_who_gives_two_proofs_is_locked_out(
    line: str, given: dict[str, Any], passes: bool
) -> None:
    assert right("would take no password", {"sshd": [line]}, **given) is passes
