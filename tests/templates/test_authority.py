"""Whose certificates a host believes, and what is told when they change."""

from __future__ import annotations

import hashlib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from render import ROLES, evaluate, of_topology

HEAD, FOOT = "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----"


def certificate(text: str) -> str:
    return f"{HEAD}{text}\n{FOOT}\n"


def digest(text: str) -> str:
    return hashlib.sha256(certificate(text).strip().encode()).hexdigest()


@pytest.mark.parametrize(
    ("kept", "believed", "known"),
    [
        ({}, [], True),  # the first run of all
        ({}, ["other"], False),  # the first one of a second inventory
        ({"authority": "own"}, [], True),  # a new host
        ({"authority": "own"}, ["own"], True),
        ({"authority": "own"}, ["other"], False),
        ({"authority": "new", "authority_before": "own"}, ["own"], True),
        ({"authority_before": "own"}, ["own"], True),
        ({"authority": "new"}, ["new", "own"], True),
    ],
)
def test_hosts_of_another_authority_are_left_alone(
    kept: dict[str, str], believed: list[str], known: bool, tmp_path: Path
) -> None:
    file = tmp_path / "secrets.yml"
    key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
    file.write_text(yaml.safe_dump({name: key + certificate(own) for name, own in kept.items()}))
    file.chmod(0o600)
    facts = {"greenrack": {"believed": [digest(text) for text in believed], "entries": {}}}
    hostvars = {name: {"service_address": name} for name in ("app1", "proxy1")}
    given = {**of_topology(), "groups": {"app": ["app1"], "proxy": ["proxy1"]}}
    given |= {"hostvars": hostvars, "inventory_hostname": "app1", "ansible_facts": facts}
    given |= {"secrets_file": str(file), "app_tls": "true"}
    given |= {"ansible_run_tags": ["all"], "ansible_skip_tags": []}
    assert evaluate("preflight", "preflight_authority_known", **given) == known
    given["internal_tls"] = "false"
    assert evaluate("preflight", "preflight_authority_known", **given)
    # A release touches no certificate, and may be made by somebody who has not got the authority.
    given |= {"internal_tls": "true", "greenrack_reached": "proxy:app"}
    assert evaluate("preflight", "preflight_authority_known", **given)


def test_nobody_else_is_told_of_a_certificate() -> None:
    patterns = evaluate("internal_tls", "internal_tls_readers", **of_topology())
    ours = ["nginx.service", "pgbouncer.service", "postgresql@15-main.service"]
    ours += ["greenrack-tls-demo-blue.service"]
    others = ["nginx-prometheus-exporter.service", "pgbouncer-exporter.service", "nginx2.service"]
    told = [name for name in ours + others if any(fnmatch(name, one) for one in patterns)]
    assert told == ours
    # systemctl fails at a name of what is not there, and not at a pattern.
    assert all(set(pattern) & set("*?[") for pattern in patterns)


def test_a_new_authority_is_read_by_all_before_anything_of_it_is_shown() -> None:
    """Tasks are done on every host before the next one is; whoever chooses the tag has nothing else that reloads."""
    tasks = yaml.safe_load((ROLES / "internal_tls/tasks/exchange.yml").read_text())
    done = [next(name for name in task if name in KNOWN) for task in tasks]
    assert done == ["ansible.builtin.command", "host_certificate", "ansible.builtin.command"]
    assert tasks[0]["ansible.builtin.command"] == tasks[2]["ansible.builtin.command"]


KNOWN = ("ansible.builtin.command", "host_certificate")
