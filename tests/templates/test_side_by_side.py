"""Several applications on the same hosts, and the way back: what roles conclude from what a host is found to be."""

from __future__ import annotations

from typing import Any

import pytest
from render import evaluate, of_topology


def host(**facts: Any) -> dict[str, Any]:
    """Return the variables of a host that was found to be so."""
    return {"ansible_facts": {"greenrack": {"cpus": 2, "release": "12", **facts}}}


def instances(live: dict[str, str], other: dict[str, str]) -> dict[str, Any]:
    """Return a host on which blue is live, each instance with the environment of its unit."""
    units = {
        "demo-blue.service": {"active": True, "environment": live},
        "demo-green.service": {"active": False, "environment": other},
    }
    return host(units=units)


LIVE = {"GREENRACK_RELEASE": "bad", "GREENRACK_BEFORE": "good"}


@pytest.mark.parametrize("other", ["good", "refused"])
def test_the_way_back_leads_to_what_the_live_release_has_replaced(other: str) -> None:
    given = instances(LIVE, {"GREENRACK_RELEASE": other})
    assert evaluate("app_server", "__app_server_wanted", **given) == "good"


@pytest.mark.parametrize(
    ("instance", "release", "before"),
    [
        ("green", "new", "bad"),  # a release
        ("green", "bad", "good"),  # another mode for the same one
        ("blue", "bad", "good"),  # no change
        ("blue", "new", "bad"),  # a release in place, as without nginx
    ],
)
def test_what_an_instance_has_replaced(instance: str, release: str, before: str) -> None:
    given = instances(LIVE, {})
    now = {"app_server_instance": instance, "app_release_build": {"release": release}}
    assert evaluate("app_server", "__app_server_before", **given, **now) == before


@pytest.mark.parametrize(
    ("enabled", "sites", "becomes"),
    [
        (True, ["demo.conf", "shop.conf"], "front"),
        (False, ["demo.conf", "shop.conf"], "removed"),
        (False, ["demo.conf", "shop.conf.dpkg-old"], "stopped"),
        (False, [], "stopped"),
    ],
)
def test_nginx_stays_for_the_others(enabled: bool, sites: list[str], becomes: str) -> None:
    given = host(entries={"/etc/nginx/conf.d": sites})
    assert evaluate("nginx", "__nginx_place", nginx_enabled=enabled, **given) == becomes


@pytest.mark.parametrize(
    ("there", "others"),
    [
        (["pgbouncer.ini"], []),
        (["demo.greenrack", "pgbouncer.ini"], []),
        (["shop.greenrack", "pgbouncer.ini"], ["shop"]),
    ],
)
def test_pgbouncer_serves_one_application(there: list[str], others: list[str]) -> None:
    given = host(entries={"/etc/pgbouncer": there, "/etc/nginx": ["nginx.conf"]})
    assert evaluate("preflight", "__preflight_poolers", **given) == others


@pytest.mark.parametrize(
    ("releases", "static", "most"),
    [
        (["a", "b", "new.partial"], [], 3),  # the one of this run comes to them
        (["a", "b", "new"], [], 3),
        ([], ["blue", "green", "a", "b", "c"], 4),
    ],
)
def test_how_many_releases_a_host_has(releases: list[str], static: list[str], most: int) -> None:
    entries = {"/srv/demo/releases": releases, "/srv/demo/static": static}
    given = {**host(entries=entries), "app_release_brought": "new"}
    assert int(evaluate("app_release", "__app_release_most", **given)) == most


@pytest.mark.parametrize(
    ("flags", "runs", "live"),
    [
        ({"proxy1": []}, "blue", "blue"),
        ({"proxy1": ["demo.green", "nginx.conf"]}, "green", "green"),
        ({"proxy1": ["demo.green"]}, "nothing", "green"),
        ({"proxy1": ["shop.green"]}, "blue", "blue"),
        ({"proxy1": ["demo.green"], "new": []}, "green", "green"),
        ({"new": [], "proxy1": ["demo.green"]}, "green", "green"),
        ({"proxy1": [], "was away": ["demo.green"]}, "blue", "blue"),
        ({"new": None}, "nothing", "blue"),
    ],
)
def test_what_is_live_is_what_proxies_say(
    flags: dict[str, list[str] | None], runs: str, live: str
) -> None:
    hostvars = {
        name: {} if found is None else host(entries={"/etc/nginx": found})
        for name, found in flags.items()
    }
    hostvars["app1"] = {"app_units": {f"demo-{runs}.service": {"active": True}}}
    groups = {"proxy": list(flags), "app": ["app1"]}
    given = {**of_topology(), "groups": groups, "hostvars": hostvars}
    assert evaluate("app_server", "app_live", **given) == live


@pytest.mark.parametrize(
    ("groups", "chosen", "tls"),
    [
        ({"app": ["app1"], "database": ["db1"]}, {}, True),
        ({"app": ["app1"], "database": ["db1"]}, {"internal_tls": "false"}, False),
        ({"app": ["app1"], "database": ["app1"]}, {}, False),
        ({"app": ["app1", "db1"], "database": ["db1"]}, {}, True),
        ({"app": ["app1"]}, {}, False),
    ],
)
def test_a_database_on_another_host_is_checked(
    groups: dict[str, list[str]], chosen: dict[str, Any], tls: bool
) -> None:
    hostvars = {name: {"service_address": name} for name in ("app1", "db1")}
    groups = {"proxy": ["app1"], **groups}
    given = {**of_topology(), "groups": groups, "hostvars": hostvars, **chosen}
    given |= {"database_password": "secret", "migrate_password": "secret", "database_address": "db"}
    assert evaluate("app_server", "internal_tls_enabled", **given, inventory_hostname="app1") == tls
    for name in ("database_url", "migrate_database_url"):
        url = evaluate("app_server", name, **given)
        end = "?sslmode=verify-full&sslrootcert=/etc/greenrack/tls/ca.crt"
        assert url.endswith(f"/demo{end if tls else ''}"), url


@pytest.mark.parametrize(
    ("app", "proxy", "chosen", "tls"),
    [
        (["app1"], ["proxy1"], {"app_tls": "true"}, True),
        (["app1"], ["proxy1"], {}, False),
        (["app1"], ["app1"], {"app_tls": "true"}, False),
        (["app1", "app2"], ["app1"], {"app_tls": "true"}, True),
        (["app1"], ["proxy1"], {"app_tls": "true", "internal_tls": "false"}, False),
        (["app1"], ["proxy1"], {"app_tls": "true", "proxy": "false"}, False),
    ],
)
def test_nginx_reaches_another_host_by_tls(
    app: list[str], proxy: list[str], chosen: dict[str, Any], tls: bool
) -> None:
    hostvars = {name: {"service_address": name} for name in ("app1", "app2", "proxy1")}
    given = {**of_topology(), "groups": {"app": app, "proxy": proxy}, "hostvars": hostvars}
    given |= {**chosen, "inventory_hostname": "app1", "service_address": "10.0.0.21"}
    unix = tls or app == proxy
    listens = "unix:/run/demo-blue/app.sock" if unix else "10.0.0.21:8000"
    reached = "10.0.0.21:8000" if app != proxy else listens
    assert evaluate("app_server", "app_server_tls", **given) == tls
    assert evaluate("app_server", "app_binds.blue", **given) == listens
    assert evaluate("app_server", "app_fronts.blue", **given) == reached
    names = ["app1", "10.0.0.21", "app.greenrack"] if tls else []
    assert evaluate("app_server", "internal_tls_names", **given) == names
