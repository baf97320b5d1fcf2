"""Hosts that reboot or lose their power under load: all is back without help, and what was acknowledged is there."""

import pytest

from tests.faults.hosts import power_off

SERVED = "every service back without help"
NEEDING = {
    "proxy1": {"page", "database", "unrelated"},
    "app1": {"page", "database", "unrelated"},
    "api1": {"page", "database"},
    "db1": {"database"},
}
# Four at once, each a row to a transaction; a line for each that was acknowledged.
WRITER = """
import os, psycopg2, threading
def write(number):
    link = psycopg2.connect(os.environ["DATABASE_URL"], tcp_user_timeout=5000)
    link.autocommit = True
    with link.cursor() as cursor:
        while True:
            cursor.execute("INSERT INTO visits (client) VALUES (%s)", (f"192.0.2.{number}",))
            os.write(1, b"kept\\n")
several = [threading.Thread(target=write, args=(number,)) for number in range(1, 5)]
[one.start() for one in several]
[one.join() for one in several]
"""
COUNT = "SELECT count(*) FROM visits WHERE client <<= inet '192.0.2.0/24'"


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
    python = deployed.run("app1", "ls -d /srv/demo/envs/*/bin/python | head -1")
    environment = f"/etc/{deployed.instance()}.env"
    deployed.run("app1", f"cat > /run/writer.py <<'END'\n{WRITER}END")
    start = (
        f"systemd-run --unit=writer --uid=demo --property=EnvironmentFile={environment} "
        f"--property=StandardOutput=file:/run/kept {python} /run/writer.py"
    )

    def strike():
        deployed.run("app1", f"{start}; until [ $(wc -l < /run/kept) -gt 500 ]; do sleep 0.1; done")
        power_off(deployed, "db1")

    def heal():
        up = deployed.play("playbooks/lab_up.yml")
        assert up.code == 0, up.output

    fault = "power of the database's host fails during writes (a container: no test of fsync)"
    felt = suffered(fault, f"{SERVED}; no acknowledged row lost", strike, heal, lasts=0)
    deployed.run("app1", "systemctl stop writer; true")
    kept = int(deployed.run("app1", "grep -c '^kept$' /run/kept"))  # it says there too why it ended
    there = int(deployed.run("db1", f'runuser -u postgres -- psql -XAt -c "{COUNT}" demo'))
    assert kept <= there <= kept + 4, f"{kept} rows were acknowledged, {there} are there\n{felt}"
    told("the same", "no acknowledged row lost", f"{kept} rows acknowledged, {there} there")
    assert felt.failed("page") == felt.failed("unrelated") == [], felt
