"""Variables that hosts of several parts go by: where they differ from host to host, preflight refuses it."""

from __future__ import annotations

from typing import Any

import greenrack_modules
import jinja2
import pytest
import yaml
from jinja2 import nodes

from bin import reference

PARTS = {
    "app": ["server_mode", "app_release", "app_server"],
    "proxy": ["nginx", "probe"],
    "database": ["postgresql", "pgbouncer"],
    "api": ["slow_api"],
    "backup": ["backup"],
    "load": ["benchmark"],
}
# What hosts of several parts look at, and may differ all the same.
MAY_DIFFER = {
    "app_source": "a folder of the controller's beside the inventory, of which a run may have several",
    "database_login": "a run's own",
    "database_password": "a secret, which is not looked at only to compare it",
    "server_mode_kept": "a run's own",
    "server_mode_pooler": "a run's own",
    "service_sandbox_lines": "the roles' own",
}


def of_role(role: str, kind: str) -> dict[str, Any]:
    """Return a role's defaults or vars; empty if it has none."""
    path = reference.ROOT / "roles" / role / kind / "main.yml"
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


def read(value: Any) -> set[str]:
    """Return the names that templates look at on the host itself, and not by hostvars."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return set().union(*map(read, inner))
    environment = jinja2.Environment(autoescape=True)  # nothing is rendered
    return {name.name for name in environment.parse(str(value)).find_all(nodes.Name)}


def looked_at(roles: list[str], values: dict[str, Any]) -> set[str]:
    """Return all that the variables of roles are worked out of."""
    todo = {name for role in roles for name in reference.roles().get(role, {})}
    todo |= set().union(*(read(of_role(role, "vars")) for role in roles))
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        seen.add(name)
        todo |= read(values.get(name, "")) - seen
    return seen


def test_what_several_parts_go_by_has_to_be_alike() -> None:
    topology = reference.loaded(reference.TOPOLOGY)
    shipped = {}
    for name in ("app", "secrets"):
        shipped |= reference.loaded(f"{reference.SHIPPED}/{name}.yml")
    defaults: dict[str, Any] = {}
    for role in reference.roles():
        defaults |= of_role(role, "defaults")
    values = {**defaults, **shipped, **topology}
    known = {*values, *reference.switches(), *reference.short_names()}
    times: dict[str, int] = {}
    for roles in PARTS.values():
        for name in looked_at(roles, values) & known:
            times[name] = times.get(name, 0) + 1
    # What the topology works out is worked out of others.
    shared = {name for name, number in times.items() if number > 1}
    shared -= {name for name in shared if reference.computed(topology.get(name))}
    alike = set(reference.loaded(reference.PREFLIGHT)["__preflight_alike"])
    assert {"app_timeout", "app_static", "slow_api_port", "postgresql_port", "tls"} <= shared
    assert shared - alike - MAY_DIFFER.keys() == set()
    assert alike & MAY_DIFFER.keys() == set()
    assert MAY_DIFFER.keys() <= shared


def differing(*hosts: dict[str, Any]) -> list[str]:
    module = greenrack_modules.plugin("roles/preflight/filter_plugins/differing.py")
    named = [{"inventory_hostname": f"h{number}", **host} for number, host in enumerate(hosts)]
    return module.FilterModule().filters()["differing"](named, ["a", "b"])


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        ([{"a": 1}, {"a": 1}, {"a": "1"}], []),
        ([{"c": 1}, {}], []),
        ([{"a": 1}, {}, {"a": 1}], ["a is one thing on h0, h2, and another on h1"]),
        (
            [{"a": 1, "b": [2]}, {"a": 2, "b": [3]}, {"a": 3, "b": [3]}],
            [
                "a is one thing on h0, and another on h1, and another on h2",
                "b is one thing on h0, and another on h1, h2",
            ],
        ),
        ([{}, *[{"b": 1}] * 6], ["b is one thing on h0, and another on h1, h2, h3, h4 and 2 more"]),
    ],
)
def test_what_differs_is_told_with_where(hosts: list[dict[str, Any]], said: list[str]) -> None:
    assert differing(*hosts) == said
