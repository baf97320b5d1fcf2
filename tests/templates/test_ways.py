"""How nginx speaks to each instance: as its unit was deployed, and to the one that is brought up as it is declared."""

from __future__ import annotations

from typing import Any

import pytest
from render import evaluate, of_topology, render

PLAIN = {"protocol": "http", "tls": False}
SECURED = {"protocol": "http", "tls": True}
OLD = {"protocol": "uwsgi", "tls": False}
NEVER: dict[str, Any] = {"active": False, "environment": {}}
FILES = ["ca.crt", "host.crt", "host.key"]


def unit(way: dict[str, Any], active: bool = False) -> dict[str, Any]:
    """Return what is found of an instance that was deployed so."""
    told = {"GREENRACK_SWITCHES": f"profile=default,proxy=true,protocol={way['protocol']}"}
    told |= {"GREENRACK_WAY": "tls"} if way["tls"] else {}
    return {"active": active, "environment": told}


def app(blue: dict[str, Any], green: dict[str, Any]) -> dict[str, Any]:
    """Return an application's host with these instances, as preflight leaves it."""
    units = {"demo-blue.service": blue, "demo-green.service": green}
    facts = {"greenrack": {"cpus": 2, "release": "12", "units": units}}
    deployed = evaluate("app_server", "__app_server_deployed", ansible_facts=facts)
    return {"ansible_facts": facts, "app_server_deployed": deployed, "app_units": units}


def told(
    hosts: list[dict[str, Any]],
    chosen: tuple[str, dict[str, Any]] | None = None,
    there: list[str] = FILES,
    **more: Any,
) -> dict[str, Any]:
    """Return what nginx is told of each instance; chosen: the one this run brings up, and as what."""
    if chosen:
        for host in hosts:
            host |= {"app_server_instance": chosen[0], "app_server_declared": chosen[1]}
    hostvars = {f"app{number}": host for number, host in enumerate(hosts, 1)}
    for number, host in enumerate(hosts, 1):
        host["service_address"] = f"10.0.0.2{number}"
    facts = {"greenrack": {"cpus": 2, "entries": {"/etc/greenrack/tls": there, "/etc/nginx": []}}}
    proxy = {"ansible_facts": facts, "service_address": "10.0.0.11"}
    hostvars["proxy1"] = proxy
    given = {**of_topology(), "groups": {"app": [*hostvars][:-1], "proxy": ["proxy1"]}}
    given |= {"inventory_hostname": "proxy1", "hostvars": hostvars, **proxy, **more}
    for name in hostvars:
        fronts = {"blue": f"{name}:8000", "green": f"{name}:8001"}
        hostvars[name]["app_fronts"] = fronts
    instances = evaluate("nginx", "nginx_instances", **given)
    return {
        name: {"protocol": one["protocol"], "tls": one["tls"]} for name, one in instances.items()
    }


@pytest.mark.parametrize("other", [unit(SECURED), unit(PLAIN), unit(OLD), NEVER])
@pytest.mark.parametrize(("live", "next"), [(PLAIN, SECURED), (SECURED, OLD), (OLD, PLAIN)])
def test_a_change_is_told_whatever_was_there(
    other: dict[str, Any], live: dict[str, Any], next: dict[str, Any]
) -> None:
    """A release follows a site.yml with other switches, an interrupted one, or the first one."""
    host = app(other, unit(live, active=True))
    assert told([host], ("blue", next)) == {"blue": next, "green": live}


@pytest.mark.parametrize(
    ("chosen", "did", "turns"),
    [
        ("green", [[]], False),
        ("blue", [[]], True),
        ("blue", [["start"]], True),
        ("green", [[], ["start"]], True),
    ],
)
def test_nginx_learns_whenever_an_instance_is_brought_up(
    chosen: str, did: list[list[str]], turns: bool
) -> None:
    given = {"app_server_differences": did, "app_server_live": "green"}
    assert (
        evaluate("app_server", "__app_server_turns", **given, __app_server_chosen=chosen) == turns
    )


@pytest.mark.parametrize(
    ("turns", "there", "told"),
    [(True, ["demo.ways"], True), (False, ["demo.ways"], False), (True, ["shop.ways"], False)],
)
def test_nginx_that_does_not_read_it_is_told_nothing(
    turns: bool, there: list[str], told: bool
) -> None:
    """--skip-tags nginx on a new host, for one, where there may be no nginx; or one of an earlier version."""
    facts = {"greenrack": {"entries": {"/etc/nginx": there}}}
    given = {**of_topology(), "groups": {"app": ["app1"], "proxy": ["proxy1"]}}
    given |= {"hostvars": {"app1": {"app_server_turns": turns}}, "ansible_facts": facts}
    assert evaluate("nginx", "nginx_turns", **given, ansible_check_mode=False) == told


@pytest.mark.parametrize("live", [PLAIN, SECURED, OLD])
def test_a_run_for_nginx_alone_tells_it_what_runs(live: dict[str, Any]) -> None:
    """--tags nginx, --skip-tags app_server: what is declared may not have been deployed."""
    host = app(unit(live, active=True), NEVER)
    assert told([host]) == {"blue": live, "green": live}
    assert told([host], internal_tls="false")["blue"] == live


@pytest.mark.parametrize("first", [NEVER, unit(SECURED)])
def test_what_serves_on_any_host_counts(first: dict[str, Any]) -> None:
    """The first host was set up anew, or its instance was stopped."""
    hosts = [app(first, NEVER), app(unit(PLAIN, active=True), NEVER)]
    assert told(hosts, ("green", SECURED)) == {"blue": PLAIN, "green": SECURED}


def test_first_deploy_tells_of_both() -> None:
    """So that the first release after it need not reload nginx."""
    assert told([app(NEVER, NEVER)], ("blue", SECURED)) == {"blue": SECURED, "green": SECURED}


def test_without_certificates_what_is_idle_is_not_reached_by_tls() -> None:
    """A new host for nginx has none after internal_tls was turned off: nginx would not take the configuration."""
    host = app(unit(SECURED), unit(PLAIN, active=True))
    chosen = ("green", PLAIN)
    assert told([host], chosen, [], internal_tls="false") == {"blue": PLAIN, "green": PLAIN}
    assert told([host], chosen, FILES, internal_tls="false") == {"blue": SECURED, "green": PLAIN}


@pytest.mark.parametrize("way", [PLAIN, SECURED, OLD])
def test_a_release_changes_nothing_else_of_the_site(way: dict[str, Any]) -> None:
    """Public TLS, for one, may have been chosen for the last site.yml alone."""
    of = {name: {"backends": ["10.0.0.21:8000"], **way} for name in ("blue", "green")}
    plain = {name: {"backends": ["10.0.0.21:8000"], **PLAIN} for name in ("blue", "green")}
    site = render("nginx", "site.conf.j2", nginx_instances=of)
    assert site == render("nginx", "site.conf.j2", nginx_instances=plain)
    assert "include /etc/nginx/demo.ways;" in site
    assert "_pass " not in site
    one = render("nginx", "ways.j2", nginx_instances=of, nginx_tls="selfsigned", nginx_timeout=99)
    assert one == render("nginx", "ways.j2", nginx_instances=of)


@pytest.mark.parametrize(
    "declared", [{"app_tls": "true"}, {"server_mode_protocol": "uwsgi"}, {}], ids=str
)
@pytest.mark.parametrize(
    ("files", "tags", "skipped", "reached", "ready"),
    [
        (["demo.ways"], ["all"], [], "proxy:app", True),
        ([], ["all"], [], "proxy:app", False),  # a release
        ([], ["all"], [], None, True),
        ([], ["app_server"], [], None, False),
        ([], ["app_server", "nginx"], [], None, True),
        ([], ["all"], ["nginx"], None, False),
    ],
)
def test_nginx_that_would_not_learn_it_is_seen(
    declared: dict[str, str],
    files: list[str],
    tags: list[str],
    skipped: list[str],
    reached: str | None,
    ready: bool,
) -> None:
    """It was set up by a version that did not tell it so."""
    entries = {"/etc/nginx": files, "/etc/nginx/conf.d": ["demo.conf"]}
    given = {**of_topology(), "ansible_facts": {"greenrack": {"entries": entries}}}
    given |= {"groups": {"app": ["app1"], "proxy": ["proxy1"]}, "inventory_hostname": "proxy1"}
    given |= {"ansible_run_tags": tags, "ansible_skip_tags": skipped, **declared}
    given |= {"greenrack_reached": reached} if reached else {}
    # What speaks plain HTTP to what is live does so to what comes.
    assert evaluate("preflight", "preflight_ways_ready", **given) == (ready or not declared)


@pytest.mark.parametrize(
    ("given", "ready"),
    [
        ({"greenrack_reached": "proxy:app"}, False),  # a release, on hosts that are blank
        ({"greenrack_reached": "proxy:app", "there": ["demo.conf"]}, True),
        ({"greenrack_reached": "proxy:app", "there": ["other.conf"]}, False),
        ({"greenrack_reached": "proxy:app", "inventory_hostname": "app1"}, True),
        ({"greenrack_reached": "proxy:app", "proxy": "false"}, True),
        ({"greenrack_reached": "proxy:app", "preflight_brings": []}, True),  # a command
        ({"ansible_run_tags": ["app_server"]}, False),
        ({}, True),
    ],
    ids=str,
)
def test_a_site_that_is_not_there_is_seen(given: dict[str, Any], ready: bool) -> None:
    entries = {"/etc/nginx/conf.d": given.get("there", [])}
    hosts = {"groups": {"app": ["app1"], "proxy": ["proxy1"]}, "inventory_hostname": "proxy1"}
    run = {"ansible_run_tags": ["all"], "ansible_skip_tags": []}
    facts = {"ansible_facts": {"greenrack": {"entries": entries}}}
    told = {**of_topology(), **hosts, **run, **facts, **given}
    assert evaluate("preflight", "preflight_site_ready", **told) is ready
