"""What goes with a mode: which combinations are refused, and what is said about them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from expected import MODES, SPOKEN
from render import ROLES, evaluate, of_topology

NEAR = {"app_is_local": True}  # nginx is on the application's host
GREENLETS = [name for name, mode in MODES.items() if mode.entry == "wsgi_gevent:app"]


def wrong(**chosen: Any) -> list[str]:
    """Return what is said about a choice."""
    return evaluate("server_mode", "__server_mode_wrong", **chosen)


@pytest.mark.parametrize("profile", ["default", "tutorial"])
@pytest.mark.parametrize(("mode", "protocol"), SPOKEN)
def test_what_a_mode_speaks_is_accepted(mode: str, protocol: str, profile: str) -> None:
    assert wrong(server=mode, protocol=protocol, profile=profile, app_socket="unix", **NEAR) == []
    if protocol in MODES[mode].over_tcp:
        assert wrong(server=mode, protocol=protocol, profile=profile) == []


@pytest.mark.parametrize("mode", ["uwsgi_sync", "uwsgi_gevent"])
def test_uwsgi_speaks_its_protocol_over_a_unix_socket_only(mode: str) -> None:
    (says,) = wrong(server=mode, protocol="uwsgi")
    assert "run any command" in says
    assert "Type: -e protocol=http, or on one host -e socket=unix" in says
    unix = {"app_socket": "unix", **NEAR}
    assert wrong(server=mode, protocol="uwsgi", **unix) == []


@pytest.mark.parametrize("no", ["false", "no", False])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_may_be_without_nginx_and_speaks_http_then(mode: str, no: Any) -> None:
    assert wrong(server=mode, proxy=no) == []
    assert evaluate("server_mode", "server_mode_protocol", server=mode, proxy=no) == "http"
    assert wrong(server=mode, proxy=no, **NEAR) == []


@pytest.mark.parametrize("psycogreen", ["true", "false", True, False])
@pytest.mark.parametrize("mode", GREENLETS)
def test_psycogreen_is_a_choice_where_there_are_greenlets(mode: str, psycogreen: Any) -> None:
    assert wrong(server=mode, psycogreen=psycogreen) == []
    chosen = evaluate("server_mode", "server_mode_psycogreen", server=mode, psycogreen=psycogreen)
    assert chosen is (psycogreen in ("true", True))


@pytest.mark.parametrize("psycogreen", ["true", True])
@pytest.mark.parametrize("mode", sorted(MODES.keys() - set(GREENLETS)))
def test_psycogreen_means_nothing_where_there_are_none(mode: str, psycogreen: Any) -> None:
    (says,) = wrong(server=mode, psycogreen=psycogreen)
    assert f"{mode} has none" in says
    for name in MODES:
        assert (f" {name}," in says or f" {name}." in says) == (name in GREENLETS)
    assert wrong(server=mode, psycogreen="false") == []
    assert evaluate("server_mode", "server_mode_psycogreen", server=mode) is False


@pytest.mark.parametrize(
    "mode", [name for name, mode in MODES.items() if "uwsgi" not in mode.speaks]
)
def test_a_protocol_that_a_mode_does_not_speak(mode: str) -> None:
    (says,) = wrong(server=mode, protocol="uwsgi")
    assert f"{mode} does not speak uwsgi. Valid is: http." in says
    assert says.endswith("Type: -e protocol=http")


@pytest.mark.parametrize(
    ("chosen", "parts"),
    [
        (
            {"profile": "biggest"},
            ["no profile 'biggest'", "default, tutorial", "-e profile=default"],
        ),
        (
            {"protocol": "fastcgi"},
            ["does not speak fastcgi", "Valid is: http.", "-e protocol=http"],
        ),
        (
            {"protocol": "fastcgi", "app_socket": "unix", **NEAR},
            ["does not speak fastcgi", "http, uwsgi", "-e protocol=http"],
        ),
        (
            {"server": "gunicorn_sync", "proxy": "false", "protocol": "uwsgi"},
            ["Without nginx in front", "not uwsgi", "-e proxy=false -e protocol=http"],
        ),
        ({"app_socket": "pipe"}, ["no socket 'pipe'", "unix, tcp", "-e socket=tcp"]),
        ({"app_socket": "unix"}, ["from its own host only", "-e socket=tcp"]),
        (
            {"app_socket": "unix", "proxy": "false", **NEAR},
            ["a unix socket is not on it", "-e proxy=false -e socket=tcp"],
        ),
    ],
)
def test_what_makes_no_sense_is_refused(chosen: dict[str, Any], parts: list[str]) -> None:
    (says,) = wrong(**{"server": "uwsgi_gevent", **chosen})
    assert [part for part in parts if part not in says] == []


def test_all_that_is_wrong_is_said_at_once() -> None:
    chosen = {"profile": "biggest", "protocol": "uwsgi", "app_socket": "pipe", "psycogreen": True}
    assert len(wrong(server="devserver", **chosen)) == 4


@pytest.mark.parametrize(
    ("mode", "chosen", "told"),
    [
        ("waitress", {"app_workers": "4"}, "waitress is one process, and app_workers is 4"),
        ("devserver", {"app_concurrency": "9"}, "takes one request at a time"),
        ("devserver_threaded", {"app_concurrency": "9"}, "a thread for each request"),
        ("uwsgi_gevent", {"app_concurrency": "1"}, "with a single greenlet a worker"),
        ("uwsgi_gevent", {"app_concurrency": "2"}, ""),
        ("devserver", {"app_workers": "1", "app_concurrency": "1"}, ""),
        ("gunicorn_sync", {"app_workers": "4", "app_concurrency": "9"}, ""),
    ],
)
def test_a_size_a_mode_cannot_have_is_refused(mode, chosen, told) -> None:
    refused = wrong(server=mode, **chosen)
    assert told in refused[0] if told else refused == [], refused


@pytest.mark.parametrize(
    ("kept", "chosen", "type_this"),
    [
        ({"proxy": "false", "socket": "tcp"}, {}, "-e proxy=false;"),
        ({"proxy": "true", "socket": "tcp"}, {"proxy": "false"}, "-e proxy=true;"),
        ({"proxy": "true", "socket": "tcp"}, {"app_socket": "unix", **NEAR}, "-e socket=tcp;"),
        ({"proxy": "false", "socket": "tcp"}, {"proxy": False}, None),
        ({"proxy": "true", "socket": "unix"}, {"app_socket": "unix", **NEAR}, None),
        ({"app_port": "9000"}, {"app_port": 8000}, "-e app_port=9000;"),
        ({"app_port": "9000"}, {"app_port": 9000}, None),
        ({"proxy": "true"}, {}, None),  # deployed by an earlier version
        ({}, {"proxy": "false"}, None),  # site.yml keeps nothing
    ],
)
def test_a_release_does_not_change_what_stands_in_front(kept, chosen, type_this) -> None:
    refused = wrong(server="gunicorn_sync", server_mode_kept=kept, **chosen)
    assert [f"Type what it was deployed with: {type_this}" in says for says in refused] == (
        [True] if type_this else []
    )


@pytest.mark.parametrize("playbook", ["backup", "restore"])
def test_a_backup_does_not_care_what_stands_in_front(playbook: str) -> None:
    folder = ROLES.parent / "playbooks"
    begins = yaml.safe_load((folder / f"{playbook}.yml").read_text())[0]
    imported = folder / begins["ansible.builtin.import_playbook"]
    plays = yaml.safe_load(imported.read_text())
    kept = {"proxy": "false", "socket": "unix", "app_port": "9000", "pooler": "true"}
    expression = plays[0]["vars"]["server_mode_kept"].strip("{} ")
    left = evaluate("server_mode", expression, **{**of_topology(), "app_kept": kept})
    assert left == {"pooler": "true"}
    front = evaluate("server_mode", "__server_mode_front | list")
    assert front == of_topology()["app_fronted"], "what is refused is what is left out"
    assert wrong(server="gunicorn_sync", server_mode_kept=left) == []


# What is typed, and the profile, the protocol and psycogreen that come of it where those of KEPT run.
KEPT = {"profile": "tutorial", "proxy": "true", "protocol": "http", "psycogreen": "false"}
TYPED: list[tuple[dict[str, Any], tuple[str, str, bool]]] = [
    ({}, ("tutorial", "http", False)),
    ({"profile": "default"}, ("default", "http", False)),
    ({"protocol": "uwsgi"}, ("tutorial", "uwsgi", False)),
    ({"psycogreen": "true"}, ("tutorial", "http", True)),
]


@pytest.mark.parametrize(("typed", "comes"), TYPED)
def test_a_change_that_keeps_the_mode_keeps_its_switches(
    typed: dict[str, Any], comes: tuple[str, str, bool]
) -> None:
    given = {"server": "uwsgi_gevent", "app_socket": "unix", **NEAR, **typed}
    names = ("server_mode_profile", "server_mode_protocol", "server_mode_psycogreen")
    kept = {"server_mode_kept": KEPT}
    assert tuple(evaluate("server_mode", name, **given, **kept) for name in names) == comes


def test_a_protocol_that_is_kept_must_be_spoken() -> None:
    """uWSGI's own is not spoken over TCP, where a release is told to use that from now on."""
    given = {"server": "uwsgi_sync", "server_mode_kept": {"protocol": "uwsgi"}}
    assert evaluate("server_mode", "server_mode_protocol", **given) == "http"


@pytest.mark.parametrize("kept", [{}, {"protocol": "spdy"}])
def test_a_mode_speaks_what_it_likes_best_where_nobody_says_otherwise(kept: dict[str, str]) -> None:
    """In the order of the table, which no set keeps."""
    for mode, told in MODES.items():
        given = {"server": mode, "server_mode_kept": kept}
        assert evaluate("server_mode", "server_mode_likes", **given) == list(told.over_tcp)
