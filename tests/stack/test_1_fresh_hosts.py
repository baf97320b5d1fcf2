"""Hosts nobody has touched yet: a dry run, and everything that has to be refused."""

import pytest


def test_dry_run_on_fresh_hosts(lab):
    before = lab.disks()
    run = lab.play("site.yml", "--check", "--diff")
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
    "misspelt variable": (["serverr=uwsgi_gevent"], ["serverr", "Did you mean server?"]),
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


def test_host_that_is_off_is_refused_and_can_be_brought_back(lab):
    lab.host("api1").run("systemctl poweroff")
    refused(lab, ["1 of 5 hosts cannot be reached", "api1", "make lab-up"])
    up = lab.play("playbooks/lab_up.yml")
    assert up.code == 0, up.output
    assert up.changed == {"localhost": 1}, up.output
    assert lab.run("api1", "hostname") == "api1"
