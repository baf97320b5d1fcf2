"""The table of server modes, and every template for every one of its rows."""

from __future__ import annotations

from typing import Any

import greenrack_modules
import pytest
from ansible.errors import AnsibleUndefinedVariable
from ansible.template import trust_as_template
from expected import GIVEN, MODES
from render import BINDS, ROLES, evaluate, modes, of_bind, of_role, render

KEYS = {"program", "concurrency", "speaks", "entry", "needs", "template", "command"}
SERVER_TEMPLATES = {row.get("template") for row in modes().values()}
TEMPLATES = sorted(
    (path.parts[-3], path.name)
    for path in ROLES.glob("*/templates/*")
    if path.name not in SERVER_TEMPLATES
)


def faults(row: dict[str, Any]) -> list[str]:
    """Return what is wrong with a row of the table."""
    if row.keys() != KEYS:
        return [f"keys {sorted(KEYS ^ row.keys())} are missing or unknown"]
    found = []
    if not row["speaks"] or not {"http", "uwsgi"}.issuperset(row["speaks"]):
        found.append(f"speaks {row['speaks']}")
    if row["entry"] not in ("plain", "patched"):
        found.append(f"entry {row['entry']}")
    if not (ROLES / "app_server" / "templates" / row["template"]).is_file():
        found.append(f"template {row['template']} does not exist")
    if not row["command"].startswith("{env}/bin/"):
        found.append(f"command {row['command']} is not one of the release's environment")
    return found


def test_the_table_has_the_modes_that_are_expected() -> None:
    assert modes().keys() == MODES.keys()


@pytest.mark.parametrize("mode", MODES)
def test_a_row_is_whole(mode: str) -> None:
    assert faults(modes()[mode]) == []


@pytest.mark.parametrize("key", sorted(KEYS))
def test_a_row_that_lacks_a_key_is_found(key: str) -> None:
    row = {name: value for name, value in modes()["uwsgi_gevent"].items() if name != key}
    assert faults(row) == [f"keys ['{key}'] are missing or unknown"]


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("template", "nowhere.ini.j2", "template nowhere.ini.j2 does not exist"),
        ("speaks", [], "speaks []"),
        ("speaks", ["fastcgi"], "speaks ['fastcgi']"),
        ("entry", "monkey", "entry monkey"),
        ("command", "uwsgi", "command uwsgi is not one of the release's environment"),
    ],
)
def test_a_wrong_row_is_found(key: str, value: Any, fault: str) -> None:
    assert faults({**modes()["uwsgi_gevent"], key: value}) == [fault]


@pytest.mark.parametrize("mode", MODES)
def test_a_row_becomes_what_is_expected(mode: str) -> None:
    def value(expression: str) -> Any:
        return evaluate("app_server", expression, server_mode_name=mode, **GIVEN)

    assert MODES[mode] == (
        value("server_mode_row.program"),
        value("__app_server_protocol"),
        value("__app_server_callable"),
        int(value("__app_server_slots")),
    )
    assert evaluate("nginx", "nginx_protocol", server_mode_name=mode) == MODES[mode].protocol
    callable_tried = evaluate("app_release", "__app_release_callable", server_mode_name=mode)
    assert callable_tried == MODES[mode].callable


@pytest.mark.parametrize("mode", MODES)
def test_the_demo_locks_what_a_mode_needs(mode: str) -> None:
    wheels = greenrack_modules.load("greenrack_wheels")
    lock = greenrack_modules.REPOSITORY / "app" / "demo" / "requirements.txt"
    wheels.check_needs(lock, modes()[mode]["needs"])
    assert set(modes()[mode]["needs"]) <= wheels.entries(lock.read_text()).keys()


@pytest.mark.parametrize("bind", BINDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("role", "template"), TEMPLATES)
def test_every_template_renders(role: str, template: str, mode: str, bind: str) -> None:
    text = render(role, template, server_mode_name=mode, **of_bind(bind))
    assert text.endswith("\n")
    assert "{{" not in text
    assert "{%" not in text


@pytest.mark.parametrize("bind", BINDS)
@pytest.mark.parametrize("mode", MODES)
def test_a_modes_own_template_renders(mode: str, bind: str) -> None:
    template = modes()[mode]["template"]
    text = render("app_server", template, server_mode_name=mode, **of_bind(bind))
    assert bind.removeprefix("unix:") in text
    assert "{{" not in text


@pytest.mark.parametrize(
    ("role", "template", "missing"),
    [
        ("app_server", "app.service.j2", "app_release_build"),
        ("app_server", "uwsgi.ini.j2", "app_module_gevent"),
        ("nginx", "site.conf.j2", "nginx_backends"),
        ("nginx", "nginx.conf.j2", "nginx_worker_connections"),
        ("postgresql", "database.sql.j2", "postgresql_database"),
        ("postgresql", "pg_hba.conf.j2", "postgresql_clients"),
        ("lab", "config.j2", "lab_hosts"),
        ("slow_api", "slow-api.service.j2", "slow_api_port"),
    ],
)
def test_an_undefined_variable_is_an_error(role: str, template: str, missing: str) -> None:
    # A name that nothing defines stands for a required variable that was not given.
    undefined = trust_as_template("{{ nothing_defines_this }}")
    with pytest.raises(AnsibleUndefinedVariable, match="nothing_defines_this"):
        render(role, template, **{missing: undefined})


@pytest.mark.parametrize(
    ("role", "template"), [*TEMPLATES, *(("app_server", name) for name in SERVER_TEMPLATES)]
)
def test_numbers_may_be_strings(role: str, template: str) -> None:
    numbers = {"app_timeout": 45, "app_concurrency": 500, "app_server_workers": 3}
    for name, value in of_role(role, "defaults").items():
        if isinstance(value, (int, float)):
            numbers[name] = value
    # As -e NAME=VALUE gives them.
    strings = {name: str(value) for name, value in numbers.items()}
    assert render(role, template, **strings) == render(role, template, **numbers)
