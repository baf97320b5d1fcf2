"""Databases brought back from backups: a host that was lost, what is refused, and what is in the way."""

import shlex
import subprocess
import time

import pytest

from tests.stack.backups import HOME, TEXT, archived, rows, sql
from tests.stack.lab import Run

DATA, UNIT = "/var/lib/postgresql/15/main", "postgresql@15-main.service"
CONFIRMED = ("-e", "restore=replace-the-database-on-db1")

NONSENSE = {
    "not confirmed": (["-e", "restore_to=latest"], "-e restore=replace-the-database-on-db1"),
    "before all backups": (["-e", "restore_to=2001-01-01T00:00:00+00", *CONFIRMED], "a time from"),
    "in the future": (["-e", "restore_to=2101-01-01T00:00:00+00", *CONFIRMED], "a time from"),
    "no zone": (["-e", "restore_to=2026-11-26", *CONFIRMED], "which time zone"),
    "no backups": (["-e", '{"backup_hosts": []}', *CONFIRMED], "no host in the group backup"),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_restore_refuses_nonsense(kept, case):
    arguments, says = NONSENSE[case]
    began = sql(kept, "SELECT pg_postmaster_start_time()")
    run = kept.play("playbooks/restore.yml", *arguments)
    assert run.code != 0, run.output
    assert says in " ".join(run.output.split()), run.output
    assert sum(run.changed.values()) == 0, run.output
    assert sql(kept, "SELECT pg_postmaster_start_time()") == began, "the database was restarted"


def test_restore_that_fails_leaves_the_database(kept):
    before = rows(kept)
    run = kept.play(
        *("playbooks/restore.yml", "-e", "restore_to=latest", "-e", "restore_timeline=99"),
        *CONFIRMED,
    )
    assert run.code != 0, run.output
    assert "The database is as it was" in run.output, run.output
    assert rows(kept) == before
    assert kept.comes_back("/db?delay=0.1") is None


def halted(lab, script):
    """Begin a restore, halt it while it is at work, and run a script there; return what that and the playbook did."""
    # The brackets make that no name of the shell itself, which looks for it.
    halt = f"""
    until [ -e {DATA}.new/PG_VERSION ]; do sleep 0.02; done
    pid=$(pgrep -of [d]atabase_restore.py)
    kill -STOP $pid $(pgrep -P $pid)
    {script}"""
    pipe = subprocess.PIPE
    begun = lab.begin("playbooks/restore.yml", "-e", "restore_to=latest", *CONFIRMED, stdout=pipe)
    try:
        said = lab.run("db1", f"timeout 120 bash -c {shlex.quote(halt)} 2>&1 || true")
    finally:
        output, _ = begun.communicate()
    return said, Run(begun.returncode, output)


GOES_ON = "kill -CONT $pid $(pgrep -P $pid)"


def test_restore_is_alone_and_one_that_is_interrupted_leaves_the_database(kept):
    before = rows(kept)
    again = "xargs -0 -a /proc/$pid/cmdline env 2>&1; kill -KILL $pid $(pgrep -P $pid)"
    said, run = halted(kept, again)
    assert run.code != 0
    assert "A restore is at work there already, and was not disturbed." in said, said
    # It leaves nothing that would be in the way of a start.
    kept.run("db1", f"test -e {DATA}.new && systemctl start {UNIT}")
    assert rows(kept) == before
    run = kept.play("playbooks/restore.yml", "-e", "restore_to=latest", *CONFIRMED)
    assert run.code == 0, run.output
    assert rows(kept) == before
    assert kept.host("db1").run(f"test -e {DATA}.new").rc != 0


def test_nobody_starts_the_database_while_it_is_restored(kept):
    """As an upgrade of its package would, whose scripts must not fail for it."""
    before = rows(kept)
    start = f"systemctl start {UNIT} && systemctl start postgresql && systemctl is-active {UNIT}"
    said, run = halted(kept, f"{start}; {GOES_ON}")
    assert said == "inactive", said
    assert run.code == 0, run.output
    assert rows(kept) == before
    told = kept.run("db1", f"journalctl --unit {UNIT} --output cat --lines 50")
    assert "A restore is at work, which starts it at its end." in told, told
    assert "restore.conf" not in kept.run("db1", f"systemctl show -p DropInPaths {UNIT}")


def test_server_that_somebody_has_started_is_not_replaced(kept):
    """Not by systemd: what was written to it is there."""
    before, postgres = rows(kept), "runuser -u postgres --"
    start = f"{postgres} pg_ctlcluster 15 main start"
    insert = f"{postgres} psql -XAtc \"INSERT INTO kept VALUES ('meanwhile')\" demo"  # noqa: S608
    said, run = halted(kept, f"{start}; {insert}; {GOES_ON}")
    assert run.code != 0, run.output
    words = " ".join(run.output.split())
    assert "The database is as it was, for it could not be restored: a server that is" in words, (
        said
    )
    assert rows(kept) == f"{before},meanwhile"
    sql(kept, "DELETE FROM kept WHERE text = 'meanwhile'")
    kept.run("db1", f"{postgres} pg_ctlcluster 15 main stop; systemctl start {UNIT}")
    assert kept.comes_back("/db?delay=0.1") is None


def test_lost_host_is_rebuilt_and_restored_to_a_second(kept):
    sql(kept, "INSERT INTO kept VALUES ('before')")
    time.sleep(1.1)
    now = "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\\\"T\\\"HH24:MI:SS+00')"
    moment = sql(kept, now)
    time.sleep(1.1)
    sql(kept, "INSERT INTO kept VALUES ('after')")
    archived(kept)
    kept.lose("db1")
    up = kept.play("playbooks/lab_up.yml")
    assert up.code == 0, up.output
    told = kept.run("api1", "runuser -u postgres -- pgbackrest info")
    run = kept.play("site.yml", "-e", "server=uwsgi_gevent")
    assert run.code != 0, "a blank database took the place of the lost one"
    assert "playbooks/restore.yml -e restore_to=" in run.output, run.output
    assert kept.run("api1", "runuser -u postgres -- pgbackrest info") == told
    assert kept.get("/db?delay=0.1")[0] == 503, "the site serves from a blank database"
    run = kept.play("playbooks/restore.yml", "-e", f"restore_to={moment}", *CONFIRMED)
    assert run.code == 0, run.output
    assert rows(kept) == f"{TEXT},before"
    assert kept.comes_back("/db?delay=0.1") is None
    run = kept.play("playbooks/backup.yml")
    assert run.code == 0, run.output
    assert "Rows         2 in demo.public.kept" in run.output, run.output
    run = kept.play("site.yml", "-e", "server=uwsgi_gevent")
    assert run.code == 0, run.output
    assert sum(run.changed.values()) == 0, run.output


def test_backups_begin_again_when_their_host_is_lost(kept):
    kept.lose("api1")
    up = kept.play("playbooks/lab_up.yml")
    assert up.code == 0, up.output
    run = kept.play("site.yml", "-e", "server=uwsgi_gevent")
    assert run.code != 0, "backups were begun anew, and nobody had said so"
    assert "site.yml -e backup_begin_anew=true" in run.output, run.output
    run = kept.play("site.yml", "-e", "server=uwsgi_gevent", "-e", "backup_begin_anew=true")
    assert run.code == 0, run.output
    run = kept.play("playbooks/backup.yml")
    assert run.code == 0, run.output
    assert " in demo.public.kept" in run.output, run.output
    run = kept.play("site.yml", "-e", "server=uwsgi_gevent")
    assert (run.code, sum(run.changed.values())) == (0, 0), run.output


def test_another_database_is_kept_beside_the_old_backups_if_told(kept):
    before = kept.run("api1", f"ls {HOME}/repository/backup/main")
    kept.run("db1", "pg_dropcluster --stop 15 main")  # as on a host that kept backups
    run = kept.play("site.yml", "-e", "server=uwsgi_gevent", "-e", "backup_begin_anew=true")
    assert run.code == 0, run.output
    run = kept.play("playbooks/backup.yml")
    assert run.code == 0, run.output
    assert "demo.public.kept" not in run.output, run.output
    after = kept.run("api1", f"ls {HOME}/repository/backup/main")
    assert set(before.split()) < set(after.split()), "the old backups are gone"
