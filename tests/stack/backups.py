"""What the tests of backups do to a lab: look at its database and its backups, and break them."""

import json
import re
import time
from contextlib import contextmanager

HOME = "/var/lib/pgbackrest"
TEXT = "a row that nobody may read"


def sql(lab, statement, database="demo"):
    """Run SQL as PostgreSQL's superuser; return what psql prints."""
    return lab.run("db1", f'runuser -u postgres -- psql -XAt {database} -c "{statement}"')


def rows(lab):
    return sql(lab, "SELECT string_agg(text, ',' ORDER BY text) FROM kept")


def passphrase(lab):
    line = lab.run("api1", "grep ^repo1-cipher-pass= /etc/pgbackrest/pgbackrest.conf")
    return line.partition("=")[2]


def archived(lab):
    """Have all that was written until now in the repository."""
    sql(lab, "SELECT pg_create_restore_point('written')")  # an empty segment is not archived
    segment = sql(lab, "SELECT pg_walfile_name(pg_current_wal_lsn())")
    sql(lab, "SELECT pg_switch_wal()")
    end = time.monotonic() + 60
    while sql(lab, "SELECT last_archived_wal FROM pg_stat_archiver").split(".")[0] < segment:
        assert time.monotonic() < end, f"{segment} is not archived"
        time.sleep(0.2)


def check(lab):
    """Return whether the check that restores into scratch is content, and the end of its journal."""
    unit = "database-backup-check.service"
    done = lab.host("api1").run(f"systemctl start {unit}")
    return done.rc == 0, lab.run("api1", f"journalctl --unit {unit} --lines 15 --output cat")


def last_ok(lab):
    return json.loads(lab.run("api1", f"cat {HOME}/last_ok.json"))


@contextmanager
def damaged(lab):
    """The newest full backup with one byte changed in the largest file of it; of its manifest there are two."""
    newest = f"$(ls -d {HOME}/repository/backup/main/*F | tail -1)/pg_data"
    largest = f"find {newest} -type f -printf '%s %p\\n' | sort -n | tail -1"
    size, path = lab.run("api1", largest).split()
    flip = f"""python3 -c "
file = open('{path}', 'r+b')
file.seek({int(size) // 2})
byte = file.read(1)[0]
file.seek({int(size) // 2})
file.write(bytes([byte ^ 255]))" """
    lab.run("api1", flip)
    yield
    lab.run("api1", flip)


@contextmanager
def stale(lab):
    """A promise that what is restored is no older than the check itself."""
    change = (
        'sed -i \'s/"stale_seconds": {}/"stale_seconds": {}/\' /etc/pgbackrest/database_backup.json'
    )
    lab.run("api1", change.format(300, -1))
    yield
    lab.run("api1", change.format(-1, 300))


@contextmanager
def gap(lab):
    """A row less in the database than there were."""
    sql(lab, "UPDATE greenrack_backup.markers SET number = -number WHERE number = 1", "postgres")
    archived(lab)
    yield
    sql(lab, "UPDATE greenrack_backup.markers SET number = -number WHERE number = -1", "postgres")
    archived(lab)


@contextmanager
def old_log_damaged(lab):
    """A byte changed in WAL that the newest backup does not need, but times before it do."""
    lab.run("api1", "systemctl start database-backup@full.service")
    first = f"$(ls {HOME}/repository/archive/main/15-1/*/*.zst | head -1)"
    lab.run(
        "api1", f"cp -p {first} /tmp/log && printf X | dd of={first} bs=1 seek=200 conv=notrunc"
    )
    yield
    lab.run("api1", f"cp -p /tmp/log {first}")


def expired(lab, days):
    """Return the backups that would be thrown away so many days from now."""
    lab.run("api1", "apt-get install --quiet=2 --yes --no-install-recommends faketime")
    expire = "pgbackrest --stanza=main --dry-run --log-level-console=info expire"
    said = lab.run("api1", f"runuser -u postgres -- faketime '+{days} days' {expire}")
    return re.findall(r"remove expired backup (\S+)", said)
