"""The repository of the backups is away for long: the database goes on, and who looks at the backups is told."""

import time

import pytest

from tests.stack.backups import check, sql

QUEUE_MB = 64  # of WAL
SEGMENT_MB = 16
WRITE = "SELECT txid_current(), pg_switch_wal()"
WAITING = "ls /var/lib/postgresql/15/main/pg_wal/archive_status | grep --count ready || true"


@pytest.fixture
def short_queue(deployed):
    """Let the database's host keep little for the repository, and have a backup; all is as before after the test."""
    deployed_with(deployed, f"backup_queue_mb={QUEUE_MB}")
    backed_up(deployed)
    yield
    deployed_with(deployed)


def deployed_with(lab, *variables):
    chosen = [word for variable in variables for word in ("-e", variable)]
    run = lab.play("site.yml", "-e", "server=uwsgi_gevent", *chosen)
    assert run.code == 0, run.output


def backed_up(lab):
    run = lab.play("playbooks/backup.yml")
    assert run.code == 0, run.output
    assert "Backup ok" in run.output, run.output


@pytest.mark.usefixtures("short_queue", "not_restarted")
def test_repository_is_away_for_longer_than_its_queue(deployed, suffered):
    settings = "/etc/pgbackrest/database_backup.json"
    deployed.run(
        "api1", f'sed -i.before \'s/"stale_seconds": 300/"stale_seconds": 20/\' {settings}'
    )

    def away():
        deployed.run("api1", "systemctl stop pgbackrest")
        for _ in range(3 * QUEUE_MB // SEGMENT_MB):
            sql(deployed, WRITE)

    def back():
        # pgBackRest counts what waits when it gives up on one, after a minute.
        end = time.monotonic() + 300
        while (waiting := int(deployed.run("db1", WAITING))) * SEGMENT_MB > QUEUE_MB:
            assert time.monotonic() < end, f"{waiting} segments wait"
            time.sleep(1)
        deployed.run("api1", "systemctl start pgbackrest")

    felt = suffered(
        f"the repository of the backups away while {3 * QUEUE_MB} MB were written, with `backup_queue_mb` {QUEUE_MB}",
        "no effect; what is above it is dropped, and the check is red until the next backup",
        away,
        back,
    )
    assert [felt.failed(route) for route in felt.clients] == [[], [], []], felt
    content, said = check(deployed)
    deployed.run("api1", f"mv {settings}.before {settings}")
    assert not content, said
    backed_up(deployed)
