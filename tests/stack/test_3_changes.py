"""Changes that go wrong, runs that are interrupted, hosts that go away."""

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.clients import Clients
from tests.faults.hosts import plug


def _main_pid(lab):
    return lab.run("app1", f"systemctl show --value --property=MainPID {lab.instance()}")


def _begun(lab, said, *arguments):
    """Begin a playbook, and return it once it has said something."""
    play = lab.begin(
        *arguments,
        env={"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    told = []
    for line in play.stdout:
        told.append(line)
        if said in line:
            return play
    raise AssertionError(f"it ended without saying {said}: {''.join(told)}")


def _interrupt(play):
    """Press Ctrl-C, and once more as people do who know that Ansible may miss one."""
    while play.poll() is None:
        os.killpg(play.pid, signal.SIGINT)
        time.sleep(0.1)
    assert play.returncode != 0, play.stdout.read()


def test_release_that_cannot_be_imported_never_runs(deployed, app_copy):
    (app_copy / "wsgi_gevent.py").write_text("import module_nobody_has\napp = None\n")
    before = _main_pid(deployed)
    run = deployed.play("site.yml", "-e", f"app_source={app_copy}")
    assert run.code != 0, run.output
    assert "cannot be imported on app1" in run.output, run.output
    assert "No module named 'module_nobody_has'" in run.output, run.output
    assert _main_pid(deployed) == before
    assert deployed.get("/readyz")[0] == 200


def test_interrupted_run_is_completed_by_the_next(deployed):
    change = ("-e", "app_concurrency=2500")
    at_once = int(deployed.run("app1", "nproc")) * 2500
    slots = f"GREENRACK_SLOTS={at_once}"
    play = _begun(deployed, "Run the application", "site.yml", *change)
    written = f"cat /etc/systemd/system/demo-*.service | grep --count '{slots} ' || true"
    while (
        deployed.run("app1", written) == "0"
    ):  # then an instance's files are new, and what serves is old
        assert play.poll() is None, play.stdout.read()
    _interrupt(play)
    assert deployed.get("/healthz")[0] == 200
    run = deployed.play("site.yml", *change)
    assert run.code == 0, run.output
    environment = deployed.run("app1", f"tr '\\0' '\\n' < /proc/{_main_pid(deployed)}/environ")
    assert slots in environment.splitlines()
    port = {"demo-blue": 8000, "demo-green": 8001}[deployed.instance()]
    queue = deployed.run("app1", f"ss -Hltn sport = :{port}").split()[2]
    assert int(queue) == max(at_once, 4096), "every request it takes may come at the same moment"


def test_release_that_nginx_would_have_to_be_told_of_is_refused(deployed):
    run = deployed.play("playbooks/release.yml")
    assert (run.code != 0, sum(run.changed.values())) == (True, 0), run.output
    said = " ".join(run.output.split())
    assert "uwsgi_gevent must be sent no more than" in said, run.output
    assert "or, to change it: " in said, run.output
    assert f"site.yml -e server=uwsgi_gevent -e lab_name={deployed.name}" in said, run.output
    run = deployed.play("playbooks/measure.yml", "-e", "benchmark_load=c200")
    assert "-e app_concurrency=2500" in run.output, run.output
    run = deployed.play("site.yml")
    assert run.code == 0, run.output


def test_database_password_is_exchanged_without_a_lost_request_interrupted_or_not(deployed):
    """There and back, so that the lab has the login others expect."""
    for login, cut in (("demo_2", "PLAY [Retire the old instance]"), ("demo", None)):
        with Clients(deployed.address("proxy1"), "/db?delay=0.2", 20) as clients:
            if cut:
                _interrupt(_begun(deployed, cut, "playbooks/rotate_secrets.yml"))
            run = deployed.play("playbooks/rotate_secrets.yml")
        assert run.code == 0, run.output
        assert clients.failures == []
        live = deployed.run("app1", f"grep DATABASE_URL /etc/{deployed.instance()}.env")
        assert f"postgresql://{login}:" in live
        sql = "SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname LIKE 'demo%'"
        shown = deployed.run("db1", f'runuser -u postgres -- psql -XAtc "{sql}"')
        assert shown.split() == [login], "the login before still works, or the new one does not"
    run = deployed.play("site.yml")
    assert (run.code, sum(run.changed.values())) == (0, 0), run.output


def test_proxy_that_is_lost_in_the_middle_finds_what_it_sends_to(deployed, app_copy):
    (app_copy / "new").write_text("new")
    listed = "systemctl is-active demo-blue demo-green || true"
    begun = deployed.begin(
        "playbooks/release.yml", "-e", f"app_source={app_copy}", stdout=subprocess.PIPE
    )
    try:
        while deployed.run("app1", listed) != "active\nactive":
            assert begun.poll() is None, begun.communicate()
        plug(deployed, "proxy1", "down")
        said, _ = begun.communicate()
        assert begun.returncode != 0, said
        assert "proxy1 could not be reached any more in the middle of the run" in said, said
        assert deployed.run("app1", listed) == "active\nactive"
    finally:
        plug(deployed, "proxy1", "up")
    deployed.comes_to("proxy1")
    assert deployed.get("/healthz")[0] == 200
    run = deployed.play("site.yml")
    assert run.code == 0, run.output
    assert deployed.get("/healthz")[0] == 200


@pytest.mark.parametrize("name", ["proxy1", "app1", "api1", "db1"])
def test_reboot_brings_the_service_back(deployed, name):
    deployed.reboot(name)
    assert deployed.comes_back() is None


def test_database_outage_is_answered_and_heals(deployed):
    deployed.run("db1", "systemctl stop postgresql@15-main.service")
    try:
        status, text = deployed.get("/stats")
        assert (status, bool(json.loads(text)["error"])) == (503, True)
        assert deployed.get("/?delay=0")[0] == 200
    finally:
        deployed.run("db1", "systemctl start postgresql@15-main.service")
    assert deployed.comes_back("/stats") is None


def _security(lab, name, unit):
    """Wait until the benchmark runs a unit of its own; return how exposed systemd says it is, of 10."""
    told = f"systemd-analyze security --no-pager {unit} 2>/dev/null | grep Overall"
    ours = f"systemctl show --property=ExecStart {unit} | grep --quiet /greenrack-benchmark/"
    if unit == "greenrack-watch.service":  # nobody may be there to end it
        ours += f" && ! systemctl show --property=RuntimeMaxUSec {unit} | grep --quiet infinity"
    asked = f"timeout 300 sh -c 'until {ours} && {told}; do sleep 0.1; done'"
    return float(lab.run(name, asked).split(":")[1].split()[0])


def test_benchmark_stores_what_it_measured(deployed, tmp_path):
    workloads = [
        {
            "name": "short",
            "engine": engine,
            "requests": 200,
            "concurrency": 20,
            "delay": 0.2,
            "path": "/?delay=0.2",
        }
        for engine in ("h2load", "ab")
    ]
    variables = {
        "benchmark_workloads": workloads,
        "benchmark_results": str(tmp_path),
        "benchmark_session": "s1",
    }
    # As an interrupted run leaves it.
    deployed.run("app1", "systemd-run --unit=greenrack-watch sleep 600")
    units = ("load1", "greenrack-load.service"), ("app1", "greenrack-watch.service")
    with ThreadPoolExecutor() as pool:
        security = [pool.submit(_security, deployed, *unit) for unit in units]
        run = deployed.play("playbooks/measure.yml", "-e", json.dumps(variables))
    assert run.code == 0, run.output
    assert max(told.result() for told in security) <= 2.0
    stored = [json.loads(path.read_text()) for path in sorted((tmp_path / "s1").glob("*.json"))]
    assert [doc["cell"]["engine"] for doc in stored] == ["ab", "h2load"]
    for doc in stored:
        assert (doc["counts"]["succeeded"], doc["counts"]["failed"]) == (200, 0), doc
        assert doc["cell"]["server"] == "uwsgi_gevent"
        assert 0 < doc["ceiling"]["percent"] <= 101, doc
        assert doc["cell"]["app"][0]["cpu_seconds"] > 0, doc
    assert "uwsgi_gevent" in run.output


def test_benchmark_of_a_site_that_is_down_is_refused(deployed, tmp_path):
    deployed.run("proxy1", "systemctl stop nginx.service")
    try:
        run = deployed.play("playbooks/measure.yml", "-e", f"benchmark_results={tmp_path}")
        assert run.code != 0, run.output
        assert "nothing to measure" in run.output, run.output
        assert list(tmp_path.iterdir()) == []
    finally:
        deployed.run("proxy1", "systemctl start nginx.service")


def test_slow_api_that_cannot_listen_fails_the_run(deployed):
    run = deployed.play("site.yml", "--tags", "slow_api", "-e", "slow_api_address=192.0.2.9")
    assert run.code != 0, run.output
    assert "slow-api.service did not answer" in run.output, run.output
    again = deployed.play("site.yml", "--tags", "slow_api")
    assert again.code == 0, again.output
    assert deployed.comes_back() is None
