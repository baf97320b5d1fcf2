"""What preflight asks of a host, one question at a time."""

from __future__ import annotations

from typing import Any

import pytest
from render import evaluate, of_role

HERE = {"preflight_listens": True, "preflight_address": "10.0.0.21"}


def right(says: str, facts: dict[str, Any], **given: Any) -> bool:
    """Return the answer to the question whose refusal has these words."""
    checks = of_role("preflight", "vars")["__preflight_checks"]
    (check,) = [check for check in checks if says in check["says"]]
    expression = check["right"].removeprefix("{{ ").removesuffix(" }}")
    return evaluate("preflight", expression, **{"ansible_facts": {"greenrack": facts}, **given})


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
