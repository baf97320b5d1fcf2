"""Hosts nobody has touched yet: a dry run, and everything that has to be refused."""

import pytest


@pytest.mark.parametrize("switches", [[], ["-e", "pooler=true"]], ids=["plain", "pooler"])
def test_dry_run_on_fresh_hosts(lab, switches):
    before = lab.disks()
    run = lab.play("site.yml", "--check", "--diff", *switches)
    assert run.code == 0, run.output
    assert sum(run.changed.values()) > 0, run.output  # it says what it would do
    assert lab.disks() == before


REFUSALS = {
    "unknown server mode": (
        ["server=nonsense"],
        ["'nonsense'", "Valid are", "uwsgi_gevent", "Type:"],
    ),
    "no such application": (["app_source=/nonexistent"], ["/nonexistent", "is no folder"]),
    "no such module": (
        ["app_module_gevent=nope:app"],
        ["no module 'nope'", "wsgi_gevent", "app_module"],
    ),
    "no such callable": (["app_module=wsgi:nope"], ["does not define 'nope'", "app_module"]),
    "no such lock file": (["app_requirements=nope.txt"], ["no lock file", "uv pip compile"]),
    "not enough disk": (["preflight_free_mb=99999999"], ["MiB free under /", "99999999"]),
    "misspelt variable": (["serverr=uwsgi_gevent"], ["serverr (did you mean server?)"]),
    "misspelt role variable": (["app_server_workrs=3"], ["did you mean app_server_workers?"]),
    "bad application name": (["app_name=My_App"], ["app_name is 'My_App'", "lower-case letters"]),
    "somebody else's name": (["app_name=www-data"], ["already", "Choose another app_name"]),
    "no such port": (["nginx_port=99999"], ["nginx_port is 99999", "1 to 65535"]),
    "no concurrency": (["app_concurrency=0"], ["app_concurrency is 0", "1 to 100000"]),
    "negative timeout": (["app_timeout=-5"], ["app_timeout is -5"]),
    "no such schema": (["app_schema=/nope.sql"], ["'/nope.sql' is no file"]),
    "address that is a name": (["service_address=app1"], ["'app1'", "is no IPv4 address"]),
    "empty server mode": (["server="], ["no server mode ''", "Valid are"]),
    "more connections than the database has": (
        ["app_workers=2", "app_database_pool=46"],
        ["open 92 connections", "grants 90", "app_database_pool=45", "pooler=true"],
    ),
    "more connections than the pooler takes": (
        ["pooler=true", "app_workers=2", "app_database_pool=1001"],
        ["open 2002 connections", "app_database_pool=1000", "pgbouncer_max_client_conn=2002"],
    ),
    "pooler with more connections than the database has": (
        ["pooler=true", "pgbouncer_pool_size=91"],
        ["pgbouncer_pool_size 91", "grants 90", "pgbouncer_pool_size=90"],
    ),
    "pooler neither on nor off": (["pooler=ture"], ["'ture' is not a valid boolean"]),
    "no such choice": (["nginx_protocol=ftp"], ["nginx_protocol", "http", "uwsgi"]),
}


def refused(lab, words, *arguments):
    """Assert that site.yml refuses with `words`, and leaves every host as it was."""
    before = lab.disks()
    run = lab.play("site.yml", *arguments)
    assert run.code != 0, run.output
    said = " ".join(run.output.split())
    assert [word for word in words if word not in said] == [], run.output
    assert lab.disks() == before


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal(lab, case):
    variables, words = REFUSALS[case]
    refused(lab, words, *(word for pair in variables for word in ("-e", pair)))


def test_limit_that_leaves_the_application_out_is_refused(lab):
    refused(lab, ["leaves out app1", "--limit proxy1,app1"], "--limit", "proxy1")


def test_application_with_a_syntax_error_is_refused(lab, app_copy):
    (app_copy / "wsgi.py").write_text("def broken(:\n")
    refused(lab, ["wsgi.py, line 1", "py_compile"], "-e", f"app_source={app_copy}")


def test_lock_file_nobody_can_satisfy_is_refused(lab, app_copy):
    lock = app_copy / "requirements.txt"
    lock.write_text(lock.read_text().replace("\nflask==", "\nflask==999."))
    refused(lab, ["cannot be satisfied", "flask", "uv pip compile"], "-e", f"app_source={app_copy}")


def test_other_distribution_is_refused(lab):
    lab.run(
        "db1",
        "cp /etc/os-release /root/kept && sed -i s/^VERSION_ID=.*/VERSION_ID=99/ /usr/lib/os-release",
    )
    try:
        refused(lab, ["db1", "'debian 99'", "Valid are: debian 12, debian 13"])
    finally:
        lab.run("db1", "cp /root/kept /usr/lib/os-release && rm /root/kept")


def test_port_of_somebody_else_is_refused(lab):
    lab.run("proxy1", "systemd-run --unit=squatter python3 -m http.server 80")
    try:
        lab.run("proxy1", "until ss -ltn | grep -q :80; do sleep 0.1; done")
        refused(lab, ["proxy1", "Port 80 is taken by squatter.service", "ss -ltnp"])
    finally:
        lab.run("proxy1", "systemctl stop squatter.service")


def test_port_of_the_poolers_that_somebody_has_is_refused(lab):
    lab.run("db1", "systemd-run --unit=squatter python3 -m http.server 6432")
    try:
        lab.run("db1", "until ss -ltn | grep -q :6432; do sleep 0.1; done")
        refused(lab, ["db1", "Port 6432 is taken by squatter.service"], "-e", "pooler=true")
    finally:
        lab.run("db1", "systemctl stop squatter.service")


def test_host_that_is_off_is_refused_and_can_be_brought_back(lab):
    lab.host("api1").run("systemctl poweroff")
    refused(lab, ["1 of 5 hosts cannot be reached", "api1", "make lab-up"])
    up = lab.play("playbooks/lab_up.yml")
    assert up.code == 0, up.output
    assert up.changed == {"localhost": 1}, up.output
    assert lab.run("api1", "hostname") == "api1"
