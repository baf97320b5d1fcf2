"""Backups on another host: what counts as one, who gets at them, and the database's host lost and brought back."""

import re
import time

import pytest

from tests.stack.backups import (
    HOME,
    archived,
    check,
    damaged,
    expired,
    gap,
    last_ok,
    old_log_damaged,
    passphrase,
    sql,
    stale,
)
from tests.stack.test_2_strangers import knock


def test_check_tells_what_it_found(kept):
    content, said = check(kept)
    assert content, said
    found = last_ok(kept)
    assert found["rows"]["demo.public.kept"] == 1, found
    assert 0 <= found["age_seconds"] <= 300, found
    left = kept.run("api1", f"ls {HOME}; ps -C postgres -o args= || true")
    assert sorted(left.split()) == ["job.lock", "last_ok.json", "lock", "repository"], left


def test_backups_are_kept_for_thirty_days(kept):
    """One older than that goes when there is another one as old, from which any of the thirty days can be had."""
    kept.run("api1", "systemctl start database-backup@full")
    assert expired(kept, days=29) == []
    full = f"ls {HOME}/repository/backup/main | grep 'F$' | head -1"
    assert kept.run("api1", full) in expired(kept, days=31)


def test_what_is_kept_is_encrypted(kept):
    plain = f"find {HOME}/repository -type f ! -exec grep -q --text '^Salted__' {{}} ';' -print"
    assert kept.run("api1", plain) == "", "files that are not encrypted"
    assert int(kept.run("api1", f"find {HOME}/repository -type f | wc -l")) > 5
    others = f"find {HOME} -perm /o=rwx ! -type l"
    for name in ("api1", "db1"):
        assert kept.run(name, others) == "", f"others may read these on {name}"
        key = kept.host(name).file("/etc/pgbackrest/own.key")
        assert (key.user, key.group, key.mode) == ("root", "postgres", 0o640), name
    secrets = kept.host("api1").file("/etc/pgbackrest/pgbackrest.conf")
    assert (secrets.user, secrets.group, secrets.mode) == ("root", "postgres", 0o640)


# Prints the command lines in which a word was seen until a unit has ended; the word is read from a file.
WATCH = """
import glob, subprocess
word = open("/etc/pgbackrest/pgbackrest.conf").read().partition("repo1-cipher-pass=")[2].split()[0]
job = subprocess.Popen(["systemctl", "start", "database-backup@full.service"])
looks = 0
while job.poll() is None:
    looks += 1
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            text = open(path).read()
        except OSError:
            continue
        assert word not in text, text
assert job.returncode == 0
print(looks)
"""


def test_pass_phrase_is_nowhere_else(kept):
    word = passphrase(kept)
    assert int(kept.run("api1", f"python3 -c '{WATCH}'")) > 5
    for name in ("api1", "db1"):
        assert word not in kept.run(name, "journalctl --no-pager --output cat"), name
    files = "grep -rh . /etc/pgbackrest"
    assert word in kept.run("api1", files)
    assert word not in kept.run("db1", files), "the database's host need not know it"


def test_repository_is_reached_by_the_database_alone(kept):
    for service, client in (("api1", "db1"), ("db1", "api1")):
        for name in {"proxy1", "app1", "load1", "api1", "db1"} - {service}:
            reached = knock(kept, name, kept.address(service), 8432)
            assert reached == ("open" if name == client else "shut"), (name, service)


def test_repository_lets_in_by_certificate(kept):
    ask = "runuser -u postgres -- pgbackrest --stanza=main --log-level-console=info"
    assert "full backup" in kept.run("db1", f"{ask} info")
    new = f"-subj /CN={kept.address('db1')} -newkey rsa:2048 -nodes -keyout /tmp/own.key -out /tmp/own.crt"
    kept.run("db1", f"openssl req -x509 {new}; chown postgres /tmp/own.*")
    given = "--repo1-host-cert-file=/tmp/own.crt --repo1-host-key-file=/tmp/own.key"
    answer = kept.host("db1").run(f"{ask} {given} info")
    assert "full backup" not in answer.stdout, "another certificate of that name is let in"
    assert "unknown ca" in answer.stdout + answer.stderr, answer


def test_jobs_come_in_time_and_have_few_rights(kept):
    units = {
        "api1": ["database-backup@full", "database-backup@diff", "database-backup-check"],
        "db1": ["database-backup-marker"],
    }
    for host, names in units.items():
        for name in names:
            timer = kept.run(host, f"systemctl show -p NextElapseUSecRealtime {name}.timer")
            if host == "api1":
                assert timer != "NextElapseUSecRealtime=", f"{name}.timer never comes"
            assert kept.host(host).service(f"{name}.timer").is_running
            shown = kept.run(host, f"systemctl show -p User,ProtectSystem,RemoveIPC {name}")
            # Were it yes, the end of a job would take PostgreSQL's shared memory along.
            assert set(shown.split()) == {"User=postgres", "ProtectSystem=strict", "RemoveIPC=no"}


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (damaged, "restore' failed"),
        (stale, "are promised"),
        (gap, "follow one another"),
        (old_log_damaged, "some is damaged"),
    ],
)
def test_check_is_red(kept, fault, says):
    before = last_ok(kept)
    with fault(kept):
        content, said = check(kept)
        failed = kept.run("api1", "systemctl --failed --plain --no-legend")
    assert not content
    assert says in said.replace("\n", " "), said
    assert "database-backup-check.service" in failed
    assert last_ok(kept) == before, "it says that a backup is ok which is not"
    content, said = check(kept)
    assert content, said


def test_times_whose_log_is_missing_are_told_and_refused(kept):
    for _ in range(3):
        archived(kept)
    listed = f"ls {HOME}/repository/archive/main/15-1/*/*.zst | tail -3"
    earlier, path, _ = kept.run("api1", listed).split()
    kept.run("api1", f"mv {path} /tmp/missing")
    try:
        ask = "runuser -u postgres -- /usr/local/lib/database-backup/database_backup.py window"
        assert "WAL is missing" in kept.run("api1", ask)
        moment = kept.run("api1", f"date -u -d @$(( $(stat -c %Y {earlier}) + 1 )) +%FT%T+00")
        time.sleep(2)
        sql(kept, "COMMENT ON TABLE kept IS 'later'")
        archived(kept)
        refused = kept.host("api1").run(f"{ask} --to {moment}")
        assert f"Of '{moment}', WAL is missing" in refused.stderr, refused
    finally:
        kept.run("api1", f"mv /tmp/missing {path}")
    assert "WAL is missing" not in kept.run("api1", ask)


def test_backups_beside_the_database_are_refused(kept, tmp_path):
    hosts = tmp_path / "hosts.yml"
    hosts.write_text("backup: {hosts: {db1: }}\n")
    run = kept.play("site.yml", "-i", str(hosts))
    assert run.code != 0, run.output
    assert "db1 keeps in backup what is on itself" in " ".join(run.output.split()), run.output


def test_another_pass_phrase_is_not_written_over_the_only_one(kept):
    run = kept.play("site.yml", "--tags", "backup", "-e", "backup_passphrase=another")
    assert run.code != 0, run.output
    assert "encrypted with another pass phrase" in run.output, run.output
    assert passphrase(kept) != "another"


def test_more_waits_for_the_repository_than_the_disk_holds(kept):
    run = kept.play("site.yml", "-e", "backup_queue_mb=10000000")
    assert run.code != 0, run.output
    said = " ".join(run.output.split())
    assert "up to backup_queue_mb 10000000 MiB of WAL wait for it" in said, run.output
    assert sum(run.changed.values()) == 0, run.output
    most = int(re.search(r"put into the inventory: backup_queue_mb: (\d+)", said)[1])
    # Others write to that disk at the same time.
    run = kept.play("site.yml", "--check", "-e", f"backup_queue_mb={most // 2}")
    assert run.code == 0, run.output


def test_repository_that_is_not_mounted_is_not_begun_anew(kept):
    kept.run("api1", f"mount -t tmpfs none {HOME} && chown postgres: {HOME}")
    try:
        for command in (["site.yml"], ["playbooks/restore.yml", "-e", "restore_to=latest"]):
            run = kept.play(*command)
            assert run.code != 0, run.output
            assert "The database on db1 has backups, and" in " ".join(run.output.split())
            assert "site.yml -e backup_begin_anew=true" in run.output, run.output
            assert sum(run.changed.values()) == 0, run.output
        # What leaves backups alone does so.
        run = kept.play("site.yml", "--tags", "slow_api")
        assert (run.code, sum(run.changed.values())) == (0, 0), run.output
    finally:
        kept.run("api1", f"umount {HOME}")
    run = kept.play("site.yml")
    assert run.code == 0, run.output
