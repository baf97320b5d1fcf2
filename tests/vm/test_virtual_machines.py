"""The stack on virtual machines: hosts with a kernel, and a disk that loses what was not synced."""

import re
from pathlib import Path

import pytest

from tests.faults.power import rows, write_until_it_fails
from tests.stack.conftest import boot
from tests.stack.lab import Lab, free_number

NAMES = ("proxy1", "app1", "api1", "db1", "load1")
FSYNC = "/etc/postgresql/15/main/conf.d/zz_fsync.conf"
# Takes memory in the group of a unit until it is killed, and says how it ended.
EATS = """
sh -c 'echo $$ > /sys/fs/cgroup$(systemctl show --value --property=ControlGroup {unit})/cgroup.procs
exec python3 -c "kept = [bytes([1]) * 2**20 for _ in range(2**14)]"'; echo $?
"""
PLAN = """
title: What do emulated hosts say of themselves?
rounds: 1
cells:
  - {server: uwsgi_gevent}
loads:
  - {name: few, requests: 20, concurrency: 5, delay: 1, path: "/?delay=1"}
"""


@pytest.fixture(scope="session")
def lab():
    number, claim = free_number()
    with claim:
        yield from boot(Lab("vm", f"testv{number}", f"10.89.{120 + number}"))


@pytest.fixture(scope="session")
def deployed(lab):
    run = lab.play("site.yml", "-e", "server=uwsgi_gevent")
    assert run.code == 0, run.output
    return lab


def test_each_has_a_kernel_of_its_own(lab):
    boots = {lab.run(name, "cat /proc/sys/kernel/random/boot_id") for name in NAMES}
    boots.add(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    assert len(boots) == 6
    assert {lab.run(name, "systemd-detect-virt") for name in NAMES} <= {"qemu", "kvm"}
    lab.run("app1", "sysctl -w vm.swappiness=7")
    assert lab.run("app1", "sysctl -n vm.swappiness") == "7"
    assert Path("/proc/sys/vm/swappiness").read_text() != "7\n"


def test_up_twice_changes_nothing(lab):
    run = lab.play("playbooks/lab_up.yml")
    assert (run.code, run.changed) == (0, {"localhost": 0}), run.output


def test_it_serves_and_a_second_deploy_changes_nothing(deployed):
    assert deployed.get("/?delay=0.2")[0] == 200
    assert deployed.get("/db?delay=0.2")[0] == 200
    run = deployed.play("site.yml", "-e", "server=uwsgi_gevent")
    assert (run.code, sum(run.changed.values())) == (0, 0), run.output


def test_benchmark_says_what_it_ran_on(deployed, tmp_path):
    (tmp_path / "plan.yml").write_text(PLAN)
    run = deployed.play(
        "playbooks/benchmark.yml",
        *("-e", f"bench_plan={tmp_path / 'plan.yml'}", "-e", f"benchmark_results={tmp_path}"),
    )
    assert run.code == 0, run.output
    (report,) = tmp_path.glob("*/report.md")
    emulated = deployed.run("app1", "systemd-detect-virt") == "qemu"
    assert ("ran under emulation" in report.read_text()) is emulated, report.read_text()


def test_unit_that_takes_all_memory_is_bounded_and_goes_on(deployed):
    """Containers of a lab may have no memory controller; what is killed is in the unit's own group, as a worker is."""
    unit = deployed.instance()
    show = f"systemctl show --property=MainPID,NRestarts,ActiveState,MemoryMax {unit}"
    before = deployed.run("app1", show)
    assert "MemoryMax=infinity" not in before
    said = deployed.run("app1", EATS.format(unit=unit))
    assert said.splitlines()[-1] == "137", said
    assert deployed.run("app1", show) == before
    assert deployed.get("/db?delay=0.2")[0] == 200


def test_wrong_clocks_lose_nothing(deployed):
    """By two hours between hosts; new connections look at certificates, and a run at what there is.

    What began by a clock that is behind seems to be older than its files, so a run may start it anew; that is a change
    like others, in which no request may be lost.
    """
    hours = {"db1": 1, "proxy1": 1, "app1": -1}
    for name, ahead in hours.items():
        deployed.run(name, f"systemctl stop systemd-timesyncd; date --set='{ahead:+d} hour'")
    try:
        clocks = [int(deployed.run(name, "date +%s")) for name in ("db1", "app1")]
        assert clocks[0] - clocks[1] > 7000, clocks
        deployed.run("app1", f"systemctl restart {deployed.instance()}")
        assert deployed.comes_back("/db?delay=0.2", seconds=300) is None
        run = deployed.play("site.yml", "-e", "server=uwsgi_gevent")
        assert run.code == 0, run.output
        assert {host for host, changed in run.changed.items() if changed} <= {"app1", "proxy1"}
    finally:
        for name, ahead in hours.items():
            deployed.run(name, f"date --set='{-ahead:+d} hour'; systemctl start systemd-timesyncd")
    assert deployed.get("/db?delay=0.2")[0] == 200
    for _ in range(2):
        run = deployed.play("site.yml", "-e", "server=uwsgi_gevent")
        assert run.code == 0, run.output
    assert sum(run.changed.values()) == 0, run.output


def test_host_that_reboots_serves_again(deployed):
    deployed.reboot("app1")
    assert deployed.comes_back("/db?delay=0.2", seconds=300) is None


@pytest.mark.parametrize("fsync", ["on", "off"])
def test_acknowledged_rows_are_there_after_a_power_failure_unless_nothing_was_synced(
    deployed, fsync
):
    deployed.run("db1", f"echo fsync = {fsync} > {FSYNC}; systemctl reload postgresql@15-main")
    deployed.run("db1", "sync")
    write_until_it_fails(deployed)
    up = deployed.play("playbooks/lab_up.yml")
    assert up.code == 0, up.output
    if fsync == "on":
        assert deployed.comes_back("/db?delay=0.2", seconds=300) is None
        kept, there = rows(deployed)
        assert kept <= there, f"{len(kept - there)} of {len(kept)} acknowledged rows are lost"
    else:  # that the test can see rows go: some do here, or the whole cluster
        ready = "until runuser -u postgres -- pg_isready -q || systemctl is-failed -q postgresql@15-main"
        deployed.run("db1", f"timeout 300 sh -c '{ready}; do sleep 1; done'")
        read = deployed.host("db1").run("runuser -u postgres -- psql -c 'TABLE visits' demo")
        if read.rc == 0:
            kept, there = rows(deployed)
            assert kept - there
        else:
            log = deployed.run("db1", "tail -50 /var/log/postgresql/postgresql-15-main.log")
            assert re.search("PANIC|invalid|corrupt|could not read", log + read.stderr), log
