"""Disks that are full: a deploy refuses, what needs no room is served, and the rest is when there is some again."""

import json
import re
import urllib.error
import urllib.request

from tests.faults.felt import ROUTES
from tests.faults.small_disk import SmallDisk

POSTGRESQL = "postgresql@15-main"
REFUSED = "a deploy refuses before it changes anything"
WRITING = {**ROUTES, "writing": "/stats"}
PSQL = "runuser -u postgres -- psql -XAt"
# What free pages the tables have is taken, too.
ROWS = f'while {PSQL} -c "INSERT INTO visits SELECT FROM generate_series(1, 50)" demo; do :; done'
SWITCH = "SELECT txid_current(), pg_switch_wal()"
SEGMENTS = f"for each in $(seq 20); do {PSQL} -c '{SWITCH}' demo; done; true"


def _refused(lab, host, *paths):
    run = lab.play("site.yml", "-e", "server=uwsgi_gevent")
    assert run.code != 0, run.output
    said = " ".join(run.output.split())
    words = rf"{host} cannot take .* It has 0 MiB and \d+ inodes free under {', '.join(paths)}, and a deploy"
    assert re.search(words, said), run.output
    assert sum(run.changed.values()) == 0, run.output


def _visits(lab):
    return json.loads(lab.get("/stats")[1])["visits"]


def test_applications_disk_is_full(deployed, suffered):
    with SmallDisk(deployed, "app1", ["/srv", "/var/log"], [deployed.instance()]) as disk:

        def strike():
            disk.fill()
            _refused(deployed, "app1", "/srv", "/var/log")

        felt = suffered(
            "the disk of the application's host full for 30 s",
            f"no effect; {REFUSED}",
            strike,
            disk.make_room,
        )
        assert [felt.failed(route) for route in felt.clients] == [[], [], []], felt
        # Its server, too, is started again without room for a byte.
        disk.fill()
        kill = "systemctl kill --signal=KILL --kill-whom=main"
        deployed.run("app1", f"{kill} {deployed.instance()}")
        said = deployed.comes_back()
        disk.make_room()
        assert said is None, said


def _upload(lab):
    """Return the status of a request with a body that nginx does not keep in memory."""
    url = f"http://{lab.address('proxy1')}/healthz"
    asked = urllib.request.Request(url, data=bytes(1_000_000), method="POST")
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_proxys_disk_is_full(deployed, suffered, told):
    with SmallDisk(deployed, "proxy1", ["/var/lib/nginx", "/var/log"], ["nginx"]) as disk:
        before = _upload(deployed)  # it takes none, and says so

        def strike():
            disk.fill()
            uploads.append(_upload(deployed))
            _refused(deployed, "proxy1", "/var/log")

        uploads = []
        felt = suffered(
            "the disk of nginx's host full for 30 s",
            f"no effect but on uploads; {REFUSED}",
            strike,
            disk.make_room,
        )
        assert [felt.failed(route) for route in felt.clients] == [[], [], []], felt
        assert (before, uploads, _upload(deployed)) == (405, [500], 405)
    told("the same", "uploads that do not fit into memory fail", f"{uploads[0]} for 1 MB")


def test_databases_disk_is_full(deployed, suffered):
    paths = ["/var/lib/postgresql", "/var/log"]
    with SmallDisk(deployed, "db1", paths, [POSTGRESQL]) as disk:

        def strike():
            disk.fill()
            deployed.run("db1", ROWS)
            _refused(deployed, "db1", *paths)

        felt = suffered(
            "the database's disk full for 30 s",
            f"what writes gets 503, reads go on; {REFUSED}",
            strike,
            disk.make_room,
            routes=WRITING,
        )
    assert [felt.failed(route) for route in ROUTES] == [[], [], []], felt
    assert len(felt.failed("writing")) > 100, f"some could write\n{felt}"
    assert felt.statuses("writing") == {503}, felt


def test_database_has_no_room_for_its_log_of_writes(deployed, suffered, told):
    promise = "503 in a bound; others unaffected; back by itself; no acknowledged row lost"
    with SmallDisk(deployed, "db1", ["/var/lib/postgresql"], [POSTGRESQL]) as disk:
        before = _visits(deployed)

        def strike():
            disk.fill()
            deployed.run("db1", SEGMENTS)

        felt = suffered(
            "the database's disk full, and its spare WAL used up, for 30 s",
            promise,
            strike,
            disk.make_room,
            routes=WRITING,
        )
        kept = sum(not one.wrong for one in felt.clients["writing"].answers)
        there = _visits(deployed) - 1 - before
    felt.unaffected("page", "unrelated")
    for route in ("database", "writing"):
        assert len(felt.failed(route)) > 100, f"PostgreSQL found room\n{felt}"
        assert felt.statuses(route) == {503}, felt
    assert kept <= there, felt
    told("the same", "no acknowledged row lost", f"{kept} rows acknowledged, {there} there")
