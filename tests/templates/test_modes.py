"""The table of server modes, and every template for every one of its rows."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import greenrack_modules
import pytest
from ansible.errors import AnsibleUndefinedVariable
from ansible.template import trust_as_template
from expected import MODES, SPOKEN
from render import BINDS, ROLES, evaluate, modes, of_bind, of_mode, of_role, render

KEYS = {
    *("program", "concurrency", "speaks", "over_tcp", "entry", "needs", "template", "command"),
    *("graceful", "fill", "sizes"),
}
SERVER_TEMPLATES = {name for row in modes().values() if (name := row.get("template"))}
TEMPLATES = sorted(
    (path.parts[-3], path.name)
    for path in ROLES.glob("*/templates/*")
    if path.name not in SERVER_TEMPLATES
)
ONE, NONE = {"workers": 1, "concurrency": 1}, {"workers": 0, "concurrency": 0}
PROFILES = ["default", "tutorial"]
OF_MODES = ("app_server",)  # roles whose templates differ from mode to mode
MATRIX = list(product(SPOKEN, BINDS, PROFILES))
CONFIGURED = [spoken for spoken in SPOKEN if modes()[spoken[0]]["template"]]


def faults(row: dict[str, Any]) -> list[str]:
    """Return what is wrong with a row of the table."""
    if row.keys() != KEYS:
        return [f"keys {sorted(KEYS ^ row.keys())} are missing or unknown"]
    found = []
    if not row["speaks"] or not {"http", "uwsgi"}.issuperset(row["speaks"]):
        found.append(f"speaks {row['speaks']}")
    if not row["over_tcp"] or not set(row["speaks"]).issuperset(row["over_tcp"]):
        found.append(f"over_tcp {row['over_tcp']}")
    if row["entry"] not in ("plain", "patched"):
        found.append(f"entry {row['entry']}")
    if row["concurrency"] not in ("one", "threads", "greenlets"):
        found.append(f"concurrency {row['concurrency']}")
    elif (row["concurrency"] == "greenlets") != (row["entry"] != "plain"):
        found.append(f"{row['concurrency']} with an entry that is {row['entry']}")
    if not isinstance(row["graceful"], bool):
        found.append(f"graceful {row['graceful']}")
    if not 0 <= row["fill"] < 1:
        found.append(f"fill {row['fill']}")
    for profile in PROFILES:
        size = row["sizes"].get(profile, {})
        if (
            size.keys() != {"workers", "concurrency"}
            or size["workers"] < 0
            or size["concurrency"] < 1
            or (row["concurrency"] == "one" and size != ONE)
        ):
            found.append(f"size {profile} {size}")
    return found + faults_of_the_command(row)


def faults_of_the_command(row: dict[str, Any]) -> list[str]:
    """Return what is wrong with how a row's program is started and told what to do."""
    found = []
    if not (ROLES / "app_server" / "templates" / row["template"]).exists():
        found.append(f"template {row['template']} does not exist")
    if not row["command"].removeprefix("{socket} ").startswith("{env}/bin/"):
        found.append(f"command {row['command']} is not one of the release's environment")
    told = set(re.findall(r"{(.*?)}", row["command"])) - {"env"}
    # What the configuration does not tell it, the command line must.
    if row["template"] and not {"socket", "config"} <= told <= {"socket", "config", "callable"}:
        found.append(f"command with a template is told {sorted(told)}")
    if not row["template"] and told != {"callable", "address", "port"}:
        found.append(f"command without a template is told {sorted(told)}")
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
        ("template", "", "command without a template is told ['config', 'socket']"),
        ("speaks", ["http", "fastcgi"], "speaks ['http', 'fastcgi']"),
        ("over_tcp", [], "over_tcp []"),
        ("over_tcp", ["fastcgi"], "over_tcp ['fastcgi']"),
        ("entry", "monkey", "entry monkey"),
        ("entry", "plain", "greenlets with an entry that is plain"),
        ("concurrency", "forks", "concurrency forks"),
        ("concurrency", "threads", "threads with an entry that is patched"),
        ("graceful", "yes", "graceful yes"),
        ("fill", 1, "fill 1"),
        ("sizes", {"default": ONE}, "size tutorial {}"),
        ("sizes", {"default": NONE, "tutorial": ONE}, f"size default {NONE}"),
        ("command", "{env}/bin/uwsgi", "command with a template is told []"),
        ("command", "{env}/bin/u {config} {prot}", "with a template is told ['config', 'prot']"),
        (
            "command",
            "{socket} uwsgi {config}",
            "command {socket} uwsgi {config} is not one of the release's",
        ),
    ],
)
def test_a_wrong_row_is_found(key: str, value: Any, fault: str) -> None:
    (found,) = faults({**modes()["uwsgi_gevent"], key: value})
    assert fault in found


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("mode", MODES)
def test_a_row_becomes_what_is_expected(mode: str, profile: str) -> None:
    def value(expression: str, role: str = "app_server") -> Any:
        return evaluate(role, expression, **of_mode(mode, profile=profile))

    workers, each = MODES[mode].sizes[profile]
    assert MODES[mode][:2] == (value("server_mode_row.program"), value("server_mode_row.speaks"))
    assert value("__app_server_entry") == MODES[mode].entry
    assert value("__app_release_callable", "app_release") == MODES[mode].entry
    assert value("__app_server_callable") == "greenrack_entry:app"
    assert (int(value("app_server_workers")), int(value("app_server_concurrency"))) == (
        (workers, each)
    )
    assert int(value("__app_server_slots")) == workers * each
    assert value("server_mode_row.over_tcp") == MODES[mode].over_tcp
    assert value("server_mode_protocol") == MODES[mode].over_tcp[0]
    assert value("server_mode_psycogreen") is (MODES[mode].entry == "wsgi_gevent:app")


def test_only_uwsgi_with_gevent_is_never_filled() -> None:
    fills = {name: row["fill"] for name, row in modes().items() if row["fill"]}
    assert fills == {"uwsgi_gevent": 0.95}


def test_only_the_development_server_drops_requests() -> None:
    dropping = {name for name, row in modes().items() if not row["graceful"]}
    assert dropping == {"devserver", "devserver_threaded"}


@pytest.mark.parametrize("bind", BINDS)
@pytest.mark.parametrize("mode", MODES)
def test_what_is_started(mode: str, bind: str) -> None:
    def value(expression: str) -> Any:
        return evaluate("app_server", expression, **of_mode(mode), **of_bind(bind))

    command = value("__app_server_command")
    written = [file["path"] for file in value("__app_server_files_now")]
    program = "/srv/demo/releases/0123456789ab/.venv/bin/"
    given = "/usr/bin/python3 -IS /usr/local/lib/greenrack/greenrack_socket.py"
    takes = modes()[mode]["template"]  # it can be told to take a socket it is given
    assert command.startswith(f"{given} {bind} 4096 {program}" if takes else program)
    assert "{" not in command
    assert "\n" not in command
    ours = [f"/usr/local/lib/greenrack/greenrack_{name}.py" for name in ("entry", "socket")]
    fixed = [*ours, "/etc/demo-blue.env", "/etc/systemd/system/demo-blue.service"]
    assert written[:4] == fixed
    if modes()[mode]["template"]:
        assert written[4:] == [
            word for word in command.split() if word.startswith("/etc/demo-blue.")
        ]
    else:
        told = {
            "10.0.0.21:8000": "--host 10.0.0.21 --port 8000",
            "unix:/run/demo-blue/app.sock": "--host unix:///run/demo-blue/app.sock --port 0",
        }
        assert told[bind] in command
        assert written[4:] == []


@pytest.mark.parametrize("mode", MODES)
def test_the_demo_locks_what_a_mode_needs(mode: str) -> None:
    wheels = greenrack_modules.load("greenrack_wheels")
    lock = greenrack_modules.REPOSITORY / "app" / "demo" / "requirements.txt"
    wheels.check_needs(lock, modes()[mode]["needs"])
    assert set(modes()[mode]["needs"]) <= wheels.entries(lock.read_text()).keys()


@pytest.mark.parametrize(
    ("role", "template", "mode", "protocol", "bind", "profile"),
    [
        (*one, *spoken, bind, profile)
        for one in TEMPLATES
        for spoken, bind, profile in (MATRIX if one[0] in OF_MODES else MATRIX[:1])
    ],
)
def test_every_template_renders(
    role: str, template: str, mode: str, protocol: str, bind: str, profile: str
) -> None:
    text = render(role, template, **of_mode(mode, protocol, profile), **of_bind(bind))
    assert text.endswith("\n")
    assert "{{" not in text
    assert "{%" not in text


@pytest.mark.parametrize("role", sorted({role for role, _ in TEMPLATES} - {*OF_MODES}))
def test_other_roles_do_not_know_the_mode(role: str) -> None:
    """So that their templates need not be rendered for each."""
    files = [path for path in (ROLES / role).glob("*/*") if path.is_file()]
    told = [path for path in files if path.parent.name in ("defaults", "vars", "templates")]
    words = re.compile(r"\b(app_server|server_mode)_")
    assert [path.name for path in told if words.search(path.read_text("utf-8"))] == []


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("bind", BINDS)
@pytest.mark.parametrize(("mode", "protocol"), CONFIGURED)
def test_a_modes_own_template_renders(mode: str, protocol: str, bind: str, profile: str) -> None:
    template = modes()[mode]["template"]
    text = render("app_server", template, **of_mode(mode, protocol, profile), **of_bind(bind))
    workers, each = MODES[mode].sizes[profile]
    several = modes()[mode]["sizes"]["default"]["workers"] == 0  # one for each processor
    assert not several or re.search(rf"(?i)^(workers|processes) = {workers}$", text, re.M)
    assert re.search(rf"\b{each}\b", text)
    assert text.endswith("\n")
    assert "{{" not in text
    assert "{%" not in text


@pytest.mark.parametrize(
    ("role", "template", "missing"),
    [
        ("app_server", "app.service.j2", "app_release_build"),
        ("app_server", "app.service.j2", "app_server_module_gevent"),
        ("app_server", "uwsgi.ini.j2", "app_release_build"),
        ("app_server", "gunicorn.conf.py.j2", "app_release_build"),
        ("app_server", "pywsgi.py.j2", "app_server_concurrency"),
        ("nginx", "site.conf.j2", "nginx_instances"),
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
    ("role", "template", "mode"),
    [
        (*one, mode)
        for one in [*TEMPLATES, ("app_server", "")]
        for mode in (MODES if one[0] in OF_MODES else ["uwsgi_gevent"])
    ],
)
def test_numbers_may_be_strings(role: str, template: str, mode: str) -> None:
    numbers = {"app_timeout": 45, "app_concurrency": 500, "app_server_workers": 3}
    for name, value in of_role(role, "defaults").items():
        if isinstance(value, (int, float)):
            numbers[name] = value
    template = template or modes()[mode]["template"] or "app.service.j2"
    # As -e NAME=VALUE gives them.
    strings = {name: str(value) for name, value in numbers.items()}
    assert render(role, template, **of_mode(mode), **strings) == render(
        role, template, **of_mode(mode), **numbers
    )
