"""Several application hosts: a change goes to one of them first, and the first that fails stops it everywhere."""

import json
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from bench.clients import Clients
from tests.faults.hosts import plug
from tests.stack import other_inventory
from tests.stack.conftest import boot
from tests.stack.lab import Lab

APP = "import os, socket\nimport psycopg2\nfrom flask import Flask\n\napp = Flask(__name__)\n"
ROUTE = """

@app.route("/healthz")
def health():
    return {version!r} + socket.gethostname()


@app.route("/database")
def database():
    with psycopg2.connect(os.environ["DATABASE_URL"]) as connection:
        return f"{{socket.gethostname()}} {{connection.server_version}}"
"""


def _write(source, version, more=""):
    (source / "hello.py").write_text(APP + more + ROUTE.format(version=version))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hello")
    (folder / "requirements.txt").write_text("flask\npsycopg2-binary\n")
    _write(folder, "first")
    return folder


@pytest.fixture(scope="module")
def two(labs, source, tmp_path_factory):
    """Two application hosts, which are the load hosts too; on the first of them are nginx and the database.

    They have two releases of Debian, as when hosts are replaced one by one, and what root makes is root's alone.
    """
    variables = {"app_name": "hello", "app_source": str(source), "app_module": "hello:app"}
    variables |= {"app_tls": True, "app_env": {"DATABASE_URL": "{{ database_url }}"}}
    both = {"app1": 11, "app2": 12}
    groups = {"app": both, "proxy": {"app1": 11}, "database": {"app1": 11}, "load": both}
    path = other_inventory.write(tmp_path_factory.mktemp("inventory") / "two", groups, variables)
    for lab in boot(Lab(path, labs[1].name, labs[1].prefix)):
        lab.lose("app2")
        up = lab.play("playbooks/lab_up.yml", "-e", f"lab_suite={labs[1].suite}")
        assert up.code == 0, up.output
        for name in both:
            lab.run(name, "echo 'Defaults umask=0027, umask_override' > /etc/sudoers.d/umask")
        yield lab


def _seen(lab, path="/healthz"):
    """Return what is answered, of several requests."""
    return {lab.get(path)[1] for _ in range(8)}


def _active(lab):
    listed = "systemctl list-units --plain --no-legend --state=active hello-blue.service hello-green.service"
    shown = [lab.run(name, listed).splitlines() for name in ("app1", "app2")]
    return [[line.split()[0] for line in lines] for lines in shown]


def test_change_on_two_hosts(two, labs, source):
    run = two.play("site.yml", "-e", "server=uwsgi_gevent")
    assert run.code == 0, run.output
    assert _seen(two) == {"firstapp1", "firstapp2"}
    pythons = {two.run(name, "/srv/hello/envs/*/bin/python --version") for name in ("app1", "app2")}
    assert len(pythons) == len({two.suite, labs[1].suite}), pythons
    # Debian 12 has PostgreSQL 15.
    served = [answer.split() for answer in sorted(_seen(two, "/database"))]
    assert [name for name, _ in served] == ["app1", "app2"]
    assert two.suite != "bookworm" or {int(version) // 10000 for _, version in served} == {15}
    _write(source, "second")
    with Clients(f"{two.prefix}.11", "/healthz") as clients:
        run = two.play("playbooks/release.yml")
    assert run.code == 0, run.output
    assert clients.failures == []
    assert _seen(two) == {"secondapp1", "secondapp2"}
    # One host first, then the other.
    assert run.output.count("PLAY [Run the instance]") == 2, run.output
    run = two.play("playbooks/run.yml", "-e", json.dumps({"command": "hostname"}))
    assert run.code == 0, run.output
    assert run.output.count("Ran 'hostname' on app") == run.output.count("on app1, in release") == 1


def test_host_that_reboots_is_done_without(two):
    """What speaks TLS there ends what it has before the instance does, and begins when that listens."""
    with Clients(f"{two.prefix}.11", "/healthz", 20) as clients:
        two.reboot("app2")
        end = time.monotonic() + 60
        while len(_seen(two)) < 2:
            assert time.monotonic() < end
            time.sleep(0.2)
    assert clients.failures == []


def test_two_load_hosts_share_a_load(two, tmp_path):
    load = {
        "name": "few",
        "engine": "h2load",
        "requests": 60,
        "concurrency": 20,
        "delay": 0,
        "path": "/healthz",
    }
    chosen = {"benchmark_results": str(tmp_path), "benchmark_session": "s1"}
    run = two.play(
        "playbooks/measure.yml", "-e", json.dumps(chosen | {"benchmark_workloads": [load]})
    )
    assert run.code == 0, run.output
    doc = json.loads((tmp_path / "s1" / "01.uwsgi_gevent.few.h2load.json").read_text())
    # On a busy machine the load hosts wait for a processor, and say so.
    flags = [flag for flag in doc["flags"] if not flag.startswith("not the server was the limit")]
    assert (doc["counts"]["succeeded"], doc["counts"]["failed"], flags) == (60, 0, [])
    assert [used["host"] for used in doc["cell"]["generators"]] == ["app1", "app2"]
    assert [used["host"] for used in doc["cell"]["app"]] == ["app1", "app2"]
    assert doc["cell"]["served"] == {"200": 60}
    odd = load | {"requests": 61}
    run = two.play(
        "playbooks/measure.yml", "-e", json.dumps(chosen | {"benchmark_workloads": [odd]})
    )
    assert run.code != 0, run.output
    assert "requests 61, and 2 load hosts cannot share that" in run.output, run.output
    run = two.play("playbooks/measure.yml")
    assert run.code != 0, run.output
    assert "The load tutorial is made by ab" in run.output, run.output
    # Hosts that share a kernel have its clock, so one has a program that tells another time.
    late = "/usr/local/bin/date"
    two.run(
        "app2",
        f"printf '#!/bin/sh\necho $(($(/usr/bin/date +%%s) + 9))\n' > {late}; chmod +x {late}",
    )
    try:
        run = two.play(
            "playbooks/measure.yml", "-e", json.dumps(chosen | {"benchmark_workloads": [load]})
        )
    finally:
        two.run("app2", f"rm {late}")
    assert run.code != 0, run.output
    assert "The clocks of the load hosts say" in run.output, run.output


def test_first_host_that_fails_stops_it_and_those_before_are_put_back(two, source):
    before = _active(two)
    fault = "if 'GREENRACK_MODE' in os.environ and socket.gethostname() == 'app2':\n    raise SystemExit('no')\n"
    _write(source, "bad on app2", fault)
    with Clients(f"{two.prefix}.11", "/healthz") as clients:
        run = two.play("playbooks/release.yml")
    assert run.code != 0, run.output
    assert "app2: hello-" in run.output, run.output
    assert run.output.count("PLAY [Run the instance]") == 2, run.output
    assert clients.failures == []
    assert _active(two) == before
    assert _seen(two) == {"secondapp1", "secondapp2"}


def test_host_that_is_lost_in_the_middle_ends_the_roll(two, source):
    before = _active(two)
    _write(source, "third")
    begun = two.begin("playbooks/release.yml", stdout=subprocess.PIPE)
    try:
        while _active(two)[0] == before[0]:
            assert begun.poll() is None
            time.sleep(0.1)
        plug(two, "app2", "down")
        said, _ = begun.communicate()
        assert begun.returncode != 0, said
        assert "app2 could not be reached any more in the middle of the run" in said, said
        assert _seen(two) == {"secondapp1"}
    finally:
        plug(two, "app2", "up")
    two.comes_to("app2")
    run = two.play("playbooks/release.yml")
    assert run.code == 0, run.output
    assert _seen(two) == {"thirdapp1", "thirdapp2"}
    assert [len(units) for units in _active(two)] == [1, 1]


def test_host_that_is_lost_is_done_without_once_it_is_out_of_the_inventory(two):
    hosts, before = Path(two.inventory, "hosts.yml"), _seen(two)
    whole = hosts.read_text()
    left = yaml.safe_load(whole)
    for group in left["lab"]["children"].values():
        group["hosts"].pop("app2", None)
    plug(two, "app2", "down")
    two.cut_off("app2")
    try:
        run = two.play("playbooks/rollback.yml")
        assert run.code != 0, run.output
        assert "taken out of the inventory, until it is back: docs/changes.md" in _line(run)
        run = two.play("playbooks/rollback.yml", "--limit", "app1")
        assert run.code != 0, run.output
        assert "is taken out of the inventory until it is back: docs/changes.md" in _line(run)
        hosts.write_text(yaml.safe_dump(left))
        # All that is left is on one host, and was deployed for others too.
        apart = {"app_is_local": False, "api_is_local": False, "database_is_local": False}
        for change in (["site.yml", "--tags", "nginx"], ["playbooks/rollback.yml"]):
            run = two.play(*change, "-e", json.dumps(apart))
            assert run.code == 0, run.output
        assert " 0 failed" in run.output, run.output
        (back,) = _seen(two)
        assert back.endswith("app1")
        assert back not in before
    finally:
        hosts.write_text(whole)
        plug(two, "app2", "up")
    two.comes_to("app2")
    run = two.play("site.yml", "-e", "server=uwsgi_gevent")
    assert run.code == 0, run.output
    assert _seen(two) == before


def _line(run):
    return " ".join(run.output.split())


def test_way_back_and_new_passwords(two):
    """A release has one name on all hosts, whatever Debian they have."""
    run = two.play("playbooks/rollback.yml")
    assert run.code == 0, run.output
    assert _seen(two) == {"secondapp1", "secondapp2"}
    run = two.play("playbooks/rotate_secrets.yml")
    assert run.code == 0, run.output
    assert {answer.split()[0] for answer in _seen(two, "/database")} == {"app1", "app2"}


def test_host_that_was_replaced_joins_the_other(two, labs, source):
    """It gets what is live there, and what that was migrated to already is not migrated to again."""
    _write(source, "second")
    two.lose("app2")
    up = two.play("playbooks/lab_up.yml", "-e", f"lab_suite={labs[1].suite}")
    assert up.code == 0, up.output
    run = two.play("site.yml", "-e", "app_migrate=true")
    assert run.code == 0, run.output
    assert _seen(two) == {"secondapp1", "secondapp2"}
