"""Hosts that reboot or lose their power under load: all is back without help, and what was acknowledged is there."""

import pytest

from tests.faults.power import rows, write_until_it_fails

SERVED = "every service back without help"
NEEDING = {
    "proxy1": {"page", "database", "unrelated"},
    "app1": {"page", "database", "unrelated"},
    "api1": {"page", "database"},
    "db1": {"database"},
}


@pytest.mark.parametrize("name", NEEDING)
def test_host_that_reboots_is_back(deployed, suffered, name):
    felt = suffered(f"reboot of {name}", SERVED, lambda: deployed.reboot(name))
    for route in felt.clients:
        if route in NEEDING[name]:
            assert felt.failed(route), f"nothing was felt of it\n{felt}"
        else:
            assert felt.failed(route) == [], felt
    # What runs every minute may have found its server away once.
    deployed.run(
        name,
        "timeout 150 sh -c 'while systemctl --failed --plain --no-legend | grep .; do sleep 1; done'",
    )


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
    assert kept <= there <= kept + 4, f"{kept} rows were acknowledged, {there} are there\n{felt}"
    told("the same", "no acknowledged row lost", f"{kept} rows acknowledged, {there} there")
    assert felt.failed("page") == felt.failed("unrelated") == [], felt
