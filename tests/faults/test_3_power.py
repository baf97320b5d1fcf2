"""Hosts that reboot or lose their power under load: all is back without help, and what was acknowledged is there."""

import re
import time

import pytest

from tests.faults.power import rows, write_until_it_fails

SERVED = "every service back without help"
NEEDING = {
    "proxy1": {"page", "database", "unrelated"},
    "app1": {"page", "database", "unrelated"},
    "api1": {"page", "database"},
    "db1": {"database"},
}

ACTIVE = "systemctl list-units --type=service,timer,socket,path --state=active --plain --no-legend"
FAILED = "systemctl --failed --plain --no-legend"
# What is there as long as somebody is logged in, or has asked for it.
PASSING = re.compile(r"user(-runtime-dir)?@|systemd-(hostname|locale|timedate)d")


def _units(lab, name):
    """Return what runs on a host, and waits there for its time or for somebody to come."""
    units = [line.split()[0] for line in lab.run(name, ACTIVE).splitlines()]
    return {unit for unit in units if not PASSING.match(unit)}


@pytest.mark.parametrize("name", NEEDING)
def test_host_that_reboots_is_back(deployed, suffered, name):
    before = _units(deployed, name)
    felt = suffered(f"reboot of {name}", SERVED, lambda: deployed.reboot(name))
    for route in felt.clients:
        if route in NEEDING[name]:
            # For a database that is back soon the demo waits.
            assert felt.failed(route) or name == "db1", f"nothing was felt of it\n{felt}"
        else:
            assert felt.failed(route) == [], felt
    # What runs every minute may have found its server away once.
    end = time.monotonic() + 150
    while (missing := before - _units(deployed, name)) or deployed.run(name, FAILED):
        assert time.monotonic() < end, (missing, deployed.run(name, FAILED))
        time.sleep(1)


def test_database_whose_power_fails_keeps_what_it_acknowledged(deployed, suffered, told):
    def heal():
        up = deployed.play("playbooks/lab_up.yml")
        assert up.code == 0, up.output

    fault = "power of the database's host fails during writes (a container: no test of fsync)"
    felt = suffered(
        fault,
        f"{SERVED}; no acknowledged row lost",
        lambda: write_until_it_fails(deployed),
        heal,
        lasts=0,
    )
    kept, there = rows(deployed)
    assert kept <= there, f"{len(kept - there)} acknowledged rows are lost\n{felt}"
    told(
        "the same", "no acknowledged row lost", f"{len(kept)} rows acknowledged, {len(there)} there"
    )
    felt.unaffected("page", "unrelated")
