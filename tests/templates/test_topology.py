"""What every inventory works out of its groups, and of what is said of the application."""

from __future__ import annotations

from typing import Any

import pytest
from render import evaluate, of_topology


def here(role: str, expression: str, **given: Any) -> Any:
    """Return the value of an expression on a host that is the proxy and the application's."""
    host = {"service_address": "10.0.0.21"}
    groups = {part: ["host1"] for part in ("proxy", "app")}
    known = {**of_topology(), "groups": groups, "hostvars": {"host1": host}, **host}
    return evaluate(role, expression, **known, **given)


@pytest.mark.parametrize(
    ("domains", "name"),
    [
        (["_"], ""),
        (["_", "shop.example.org", "example.org"], "shop.example.org"),
        (["*.example.org", "www.example.*", ".example.net", "example.org"], "example.org"),
        ([r"~^(www|shop)\.example\.org$", "example.org"], "example.org"),
        # Where there is none, one that the pattern stands for.
        (["_", "*.example.org"], "www.example.org"),
        (["www.example.*", ".example.net"], "www.example.net"),
        ([r"~^(www|shop)\.example\.org$"], ""),
    ],
)
def test_the_site_is_asked_by_a_name_and_not_by_a_pattern(domains: list[str], name: str) -> None:
    asked = [("app_server", "app_server_host"), ("probe", "probe_host")]
    asked.append(("benchmark", "benchmark_host"))
    found = [here(*one, app_domains=domains) for one in asked]
    assert found == [name or "localhost", name, name]


@pytest.mark.parametrize(
    ("limits", "rate"),
    [
        ({}, 20),
        ({"nginx_rate_limit": 0, "nginx_connection_limit": "0"}, 20),
        ({"nginx_rate_limit": 100, "nginx_connection_limit": 100}, 20),
        ({"nginx_rate_limit": "5"}, 2.5),
        ({"nginx_rate_limit": 1}, 0.5),
        ({"nginx_connection_limit": 1}, 0.25),
        ({"nginx_rate_limit": 50, "nginx_connection_limit": 20}, 5),
    ],
)
def test_the_probe_asks_no_more_than_nginx_answers_a_client(
    limits: dict[str, Any], rate: float
) -> None:
    assert here("probe", "probe_rate", **limits) == rate


@pytest.mark.parametrize(
    ("proxy", "open_to_all", "refused"),
    [(True, [80], ["port 80 is taken by apache2.service"]), (False, [8000], [])],
)
def test_nginxs_port_is_the_stacks_only_where_nginx_is(
    proxy: bool, open_to_all: list[int], refused: list[str]
) -> None:
    listeners = {"80": "apache2.service", "22": "ssh.service"}
    facts = {"greenrack": {"release": "12", "listeners": listeners}}
    services = here("firewall", "firewall_services", proxy=proxy, ansible_facts=facts)
    assert [service["port"] for service in services if service["from"] == []] == open_to_all
    assert here("preflight", "__preflight_taken", proxy=proxy, ansible_facts=facts) == refused


@pytest.mark.parametrize("facts", [{}, {"greenrack": {}}])
def test_a_run_without_the_databases_host_takes_the_newest(facts: dict[str, Any]) -> None:
    hosts = {"db1": {"ansible_facts": facts}}
    known = {**of_topology(), "backup_hosts": ["db1", "host1"], "hostvars": hosts}
    assert evaluate("backup", "backup_postgresql_version", **known) == 17


@pytest.mark.parametrize("release", ["12", "13", ""])
def test_what_is_kept_is_of_the_version_that_the_databases_host_has(release: str) -> None:
    """Role postgresql says it of its own host, and role backup is told it by the topology, for both of its hosts."""
    facts = {"greenrack": {"release": release}}
    service = evaluate("postgresql", "__postgresql_service", ansible_facts=facts)
    hosts = {"db1": {"ansible_facts": facts}, "host1": {"ansible_facts": {}}}
    known = {**of_topology(), "backup_hosts": ["db1", "host1"], "hostvars": hosts}
    for asking, found in hosts.items():
        given = {**known, **found, "inventory_hostname": asking}
        assert evaluate("backup", "__backup_unit", **given) == service


@pytest.mark.parametrize(
    ("waits", "free", "fits"),
    [(0, 4351, False), (0, 4352, True), (100, 2751, False), (100, 2752, True), (300, 0, True)],
)
def test_the_databases_disk_holds_what_waits_for_the_repository(
    waits: int, free: int, fits: bool
) -> None:
    """What waits already has its room, of which a smaller queue would drop it."""
    ready = [f"{number:024X}.ready" for number in range(waits)]
    entries = {"/var/lib/postgresql/15/main/pg_wal/archive_status": [*ready, "0.done"]}
    disks = [{"holds": ["/", "/srv"], "free_mb": 99999}]
    disks.append({"holds": ["/var", "/var/lib/postgresql"], "free_mb": free})
    facts = {"greenrack": {"release": "12", "entries": entries, "disks": disks}}
    hosts = {
        "db1": {"ansible_facts": facts, "backup_postgresql_version": 15},
        "api1": {"service_address": "10.0.0.31"},
    }
    groups = {"database": ["db1"], "backup": ["api1"], "app": ["app1"], "proxy": ["app1"]}
    known = {**of_topology(), "groups": groups, "hostvars": hosts, "ansible_facts": facts}
    known |= {"inventory_hostname": "db1", "ansible_run_tags": ["all"], "ansible_skip_tags": []}
    asked = "preflight_queue_mb | int <= __preflight_queue_room | int"
    assert evaluate("preflight", asked, **known) is fits
    most = int(evaluate("preflight", "__preflight_queue_most", **known))
    assert most == max(free - 256, 0) + waits * 16
    assert evaluate("preflight", asked, **known, backup_queue_mb=most)
    known["ansible_run_tags"] = ["nginx"]
    assert evaluate("preflight", asked, **known)
