"""An experiment from its plan to its report, interrupted in the middle."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from tests.stack.lab import ROOT

PLAN = """\
title: Does it work?
rounds: 1
decides: few
duplicate: gunicorn_sync
cells:
  - {server: gunicorn_sync, loads: [few]}
  - {server: uwsgi_gevent, switches: {profile: tutorial}}
loads:
  - {name: few, requests: 60, concurrency: 20, delay: 0.2, path: "/?delay=0.2"}
  - {name: steady, kind: open, rate: 50, seconds: 3, delay: 0.2, path: "/?delay=0.2"}
  - {name: most, kind: search, objective: 0.8, from: 20, to: 60, seconds: 2, delay: 0.2, path: "/?delay=0.2"}
"""
# A cell that preflight takes and a deploy does not. With this seed it comes second, after uwsgi_gevent.
SICK = "  - {{name: sick, server: gunicorn_sync, loads: [few], switches: {{app_source: {source}}}}}\nseed: 5\n"


@pytest.fixture
def options(tmp_path):
    plan = tmp_path / "mine.yml"
    plan.write_text(PLAN)
    return ["-e", json.dumps({"bench_plan": str(plan), "benchmark_results": str(tmp_path)})]


def deployed_now(lab):
    """Return what tells whether the stack is as it was: mode, release, switches."""
    shown = lab.run("app1", f"systemctl show --property=Environment {lab.instance()}.service")
    return sorted(word for word in shown.split() if "GREENRACK" in word and "BEFORE" not in word)


def test_plan_that_makes_no_sense_is_refused(deployed, tmp_path, options):
    (tmp_path / "mine.yml").write_text(PLAN.replace("uwsgi_gevent", "uwsgi_gvent"))
    run = deployed.play("playbooks/benchmark.yml", *options)
    assert run.code != 0, run.output
    assert "mine.yml, line 7: no server mode: uwsgi_gvent" in run.output, run.output
    assert "no host was reached" in run.output, run.output


def test_cell_that_preflight_refuses_ends_it_before_anything_is_changed(
    deployed, tmp_path, options
):
    before = deployed_now(deployed)
    bad = "{name: bad, server: uwsgi_gevent, switches: {app_workers: 5000}}"
    (tmp_path / "mine.yml").write_text(
        PLAN.replace("{server: uwsgi_gevent, switches: {profile: tutorial}}", bad)
    )
    run = deployed.play("playbooks/benchmark.yml", *options)
    assert run.code != 0, run.output
    assert "line 7, cell bad:" in run.output, run.output
    assert "app_workers is 5000" in run.output, run.output
    assert deployed_now(deployed) == before
    assert not (tmp_path / "s1").exists()


def test_experiment_goes_on_after_an_interruption_and_puts_back_what_was_there(
    deployed, tmp_path, options, app_copy
):
    (app_copy / "wsgi.py").write_text("import module_nobody_has\napp = None\n")
    sick = SICK.format(source=app_copy)
    (tmp_path / "mine.yml").write_text(PLAN.replace("loads:\n", f"{sick}loads:\n"))
    before = deployed_now(deployed)
    deployed.run("load1", "dpkg --remove nghttp2-client && sysctl -qw net.ipv4.tcp_tw_reuse=2")
    options += ["-e", "bench_session=s1"]
    session = tmp_path / "s1"
    begun = deployed.begin(
        "playbooks/benchmark.yml", *options, stdout=subprocess.PIPE, start_new_session=True
    )
    while not list(session.glob("01.*.json")) and begun.poll() is None:
        time.sleep(0.2)
    os.killpg(begun.pid, signal.SIGINT)
    said, _ = begun.communicate()
    assert begun.returncode != 0, said
    assert "-e bench_session=s1" in said, said
    # What to type to have back what was there: mode and release.
    release = re.search(r"GREENRACK_RELEASE=(\S+)", " ".join(before))[1]
    for has in ("site.yml -e", f"playbooks/rollback.yml -e release={release} -e"):
        (typed,) = (line for line in said.splitlines() if f" {has} server=uwsgi_gevent " in line)
        assert f"-e lab_prefix={deployed.prefix}" in typed, typed
    # What is deployed now has another profile than this run; that keeps nobody from going on.
    assert any("profile=tutorial" in word for word in deployed_now(deployed)), deployed_now(
        deployed
    )
    first = {path.name: path.read_text() for path in session.glob("01.*.json")}
    assert 0 < len(first) < 5, said
    damaged = session / "01.nobody.few.h2load.json"
    damaged.write_text("{")

    run = deployed.play("playbooks/benchmark.yml", *options)
    assert run.code == 0, run.output
    assert f"damaged: {damaged}" in run.output, run.output
    damaged.unlink()
    stored = {path.name: path.read_text() for path in session.glob("01.*.json")}
    assert sorted(stored) == [
        "01.gunicorn_sync-again.few.h2load.json",
        "01.gunicorn_sync.few.h2load.json",
        "01.uwsgi_gevent.few.h2load.json",
        "01.uwsgi_gevent.most.h2load.json",
        "01.uwsgi_gevent.steady.h2load.json",
    ]
    assert first.items() <= stored.items()
    for name, text in stored.items():
        doc = json.loads(text)
        cell = doc["cell"]
        assert doc["counts"]["failed"] == 0, (name, doc["flags"])
        assert cell["server"] == cell["name"].removesuffix("-again")
        assert cell["app"][0]["host"] == "app1"
        assert cell["app"][0]["threads_before"] > 0
        assert cell["generators"][0]["cpu_seconds"] > 0
        assert cell["control"] > 100
        assert cell["facts"]["environment"]["GREENRACK_MODE"] == cell["server"]
        if cell["kind"] != "search":
            assert cell["served"] == {"200": doc["counts"]["requests"]}
    most = json.loads(stored["01.uwsgi_gevent.most.h2load.json"])
    assert most["best_rate"] == max(tried["rate"] for tried in most["rates"] if tried["held"])
    refused = session / "sick.refused.json"
    assert "cannot be imported on app1" in json.loads(refused.read_text())["why"]
    assert f"rm {refused}" in " ".join(run.output.split()), run.output
    about = json.loads((session / "session.json").read_text())
    assert about["fingerprint"]["hosts"]["app1"]["groups"] == ["app"]
    load = about["fingerprint"]["hosts"]["load1"]
    assert load["packages"].keys() >= {"nghttp2-client", "apache2-utils"}
    assert load["sysctls"]["net.ipv4.tcp_tw_reuse"] == "1"
    assert about["before"]["server"] == "uwsgi_gevent"
    told = about["command"]
    assert f"-e app_source={ROOT / 'app/demo'} " in told, told
    assert f"-e lab_name={deployed.name} " in told, told
    assert (session / "put_back").exists()
    assert "<html" in (session / "report.html").read_text()
    assert "gunicorn_sync" in (session / "report.md").read_text()
    assert deployed_now(deployed) == before
    assert deployed.get("/readyz")[0] == 200
