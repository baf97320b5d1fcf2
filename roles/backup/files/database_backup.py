#!/usr/bin/python3
"""Takes backups of a PostgreSQL cluster with pgBackRest, and proves that they restore.

Runs as postgres on the host that keeps the repository. What it is told stands in SETTINGS.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

from greenrack_recovery import Failed, Recovery, enough_space, run

SETTINGS = Path("/etc/pgbackrest/database_backup.json")
HOME = Path("/var/lib/pgbackrest")
REPOSITORY = HOME / "repository"
LAST = HOME / "last_ok.json"  # what the last check that succeeded has found
SCRATCH = HOME / "scratch"

MARKERS = """
SELECT to_char(max(at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS+00:00'), count(*), max(number) - min(number) + 1
FROM greenrack_backup.markers
"""
DATABASES = "SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1"
# One statement for each table; psql runs what this returns.
COUNTS = r"""
SELECT format('SELECT %L, count(*) FROM %I.%I', n.nspname || '.' || c.relname, n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY 1
\gexec
"""


def pgbackrest(settings, *arguments):
    """Run pgBackRest; return what it printed."""
    return run("pgbackrest", f"--stanza={settings['stanza']}", *arguments)


def now():
    """Return the time, whole seconds, in UTC."""
    return datetime.now(timezone.utc).replace(microsecond=0)


def shown(moment):
    """Return a time as it is typed: without a blank, at which Ansible would cut it."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}+00"


@contextmanager
def alone():
    """Let one job at a time in: what is restored must not expire meanwhile."""
    with (HOME / "job.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def information(settings):
    """Return what pgBackRest knows of the stanza; Failed where it cannot read the repository."""
    (stanza,) = json.loads(pgbackrest(settings, "--output=json", "info"))
    # 1 and 2: there is no stanza, or no backup, yet.
    for repository in stanza["repo"]:
        if repository["status"]["code"] not in (0, 1, 2):
            raise Failed(f"The repository cannot be read: {repository['status']['message']}")
    return stanza


def backups(stanza):
    """Return [(label, type, time it ended, bytes restored)], the oldest first."""
    return [
        (
            each["label"],
            each["type"],
            datetime.fromtimestamp(each["timestamp"]["stop"], timezone.utc),
            each["info"]["size"],
        )
        for each in stanza["backup"]
        if not each.get("error")
    ]


def take(settings, arguments):
    """Take a backup, and let what is too old expire."""
    with alone():
        pgbackrest(settings, f"--type={arguments.type}", "backup")


def stanza(settings, arguments):
    """Say whether the repository is that of the cluster; make it, if there is none, or add the cluster if told."""
    known = information(settings)
    systems = [str(each["system-id"]) for each in known["db"]]
    if systems[-1:] == [arguments.system]:
        return {"state": "same"}
    if not systems:
        pgbackrest(settings, "--no-online", "stanza-create")
        return {"state": "created"}
    if arguments.anew:
        pgbackrest(settings, "--no-online", "stanza-upgrade")
        return {"state": "added"}
    there = backups(known)
    newest = shown(there[-1][2]) if there else "none"
    return {"state": "other", "backups": len(there), "newest": newest}


def segments(settings):
    """Return the files of WAL, the newest last."""
    found = REPOSITORY.glob(f"archive/{settings['stanza']}/*/????????????????/*.zst")
    return sorted(found, key=lambda path: (int(path.parts[-3].split("-")[1]), path.name))


def gaps(settings, there):
    """Return [(from, to)] of times whose WAL is missing; to is None where no backup came after them."""
    found = []
    numbered = [
        (
            path,
            path.parts[-3],
            path.name[:8],
            int(path.name[8:16], 16) * 256 + int(path.name[16:24], 16),
        )
        for path in segments(settings)
    ]
    for (path, *line, number), (after, *line_after, number_after) in zip(numbered, numbered[1:]):
        if line == line_after and number_after > number + 1:
            begun, back = (
                datetime.fromtimestamp(each.stat().st_mtime, timezone.utc) for each in (path, after)
            )
            found.append((begun, next((end for _, _, end, _ in there if end >= back), None)))
    return found


def last_commit(settings):
    """Return the time of the last transaction that was archived, or None."""
    newest = segments(settings)
    waldump = f"{settings['programs']}/pg_waldump"
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        for path in reversed(newest[-20:]):
            segment = Path(folder, path.name[:24])
            name = str(path.relative_to(REPOSITORY))
            with segment.open("wb") as file:
                unpack = ["/bin/sh", "-c", 'pgbackrest repo-get "$0" | zstd -dcq', name]
                if subprocess.run(unpack, stdout=file, check=False).returncode != 0:
                    raise Failed(f"{name} in the repository cannot be read.")
            # It ends with an error where the segment was not full.
            command = [waldump, "--rmgr=Transaction", str(segment)]
            told = subprocess.run(
                command, env={"TZ": "UTC"}, capture_output=True, text=True, check=False
            )
            times = re.findall(r"desc: COMMIT (\S+ \S+?)(?:\.\d+)? UTC", told.stdout)
            if times:
                return datetime.fromisoformat(f"{times[-1]}+00:00")
            segment.unlink()
    return None


def window(settings, arguments):
    """Say what the database can be restored to; Failed where that is not what is asked for."""
    there = backups(information(settings))
    if not there:
        raise Failed("There is no backup. playbooks/backup.yml takes one.")
    first, end = there[0][2], last_commit(settings)
    missing = gaps(settings, there)
    cut = min((begun for begun, until in missing if until is None), default=None)
    latest = f"latest, which is no later than {shown(cut)}" if cut else "latest"
    told = f"Valid is {latest}: since the first backup ended, no transaction has been archived"
    if end and end > first:
        told = f"Valid is {latest}, or a time from {shown(first)} to {shown(end)}"
    for begun, until in missing:
        told += f", but not from {shown(begun)} to {shown(until) if until else 'the next backup'}: WAL is missing"
    if arguments.to and arguments.to != "latest":
        try:
            wanted = datetime.fromisoformat(re.sub(r"([+-]\d\d)$", r"\1:00", arguments.to))
        except ValueError:
            raise Failed(f"'{arguments.to}' is no time. {told}") from None
        if wanted.tzinfo is None:
            raise Failed(f"'{arguments.to}' does not say in which time zone, such as +00. {told}")
        if any(begun <= wanted and not (until and until <= wanted) for begun, until in missing):
            raise Failed(f"Of '{arguments.to}', WAL is missing. {told}")
        # The transaction after the wanted second is what ends a recovery.
        if not (end and first <= wanted < end):
            raise Failed(f"'{arguments.to}' is not among what can be restored. {told}")
        arguments.to = (
            f"{wanted.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S}+00"  # as pgBackRest reads it
        )
    size = max(each[3] for each in there)
    lines = [f"{label} {kind}, ended {shown(moment)}" for label, kind, moment, _ in there]
    last = json.loads(LAST.read_text("utf-8")) if LAST.exists() else None
    whole = {"from": shown(first), "until": shown(end) if end else "", "to": arguments.to}
    return {**whole, "bytes": size, "backups": lines, "last_ok": last, "valid": told}


def restored_rows(settings, scratch, began):
    """Count every row of a restored cluster; Failed where it is not what the database was."""
    newest, number, expected = scratch.ask("postgres", MARKERS).split("|")
    if not newest:
        raise Failed("It has no marker. Does database-backup-marker.timer run with the database?")
    age = began - datetime.fromisoformat(newest)
    if age > timedelta(seconds=settings["stale_seconds"]):
        raise Failed(
            f"The newest marker is of {newest}, {age} before this check began, and "
            f"{settings['stale_seconds']} s are promised (backup_stale_seconds). Does the database's host archive?"
        )
    if number != expected:
        raise Failed(f"Of {expected} markers, which follow one another, {number} are there.")
    rows = {}
    for database in scratch.ask("template1", DATABASES).splitlines():
        for line in scratch.ask(database, COUNTS).splitlines():
            table, _, count = line.rpartition("|")
            rows[f"{database}.{table}"] = int(count)
    # Every page of tables and B-trees, and whether each row is found in its indexes.
    scratch.program("pg_amcheck", "--all", "--install-missing", "--heapallindexed")
    return newest, int(age.total_seconds()), rows


def whole(settings):
    """Read all that is kept; Failed where some of it is not what was written."""
    told = pgbackrest(settings, "--output=text", "--verbose", "verify")
    # Its exit status may say only that it could look.
    if "\nstatus: ok\n" not in told:
        well = (
            r".*(, status: valid,|missing: 0, checksum invalid: 0, size invalid: 0, other: 0).*\n"
        )
        said = re.sub(well, "", told)
        raise Failed(f"Of what is kept, some is damaged or missing:\n{said}")


def check(settings, _):
    """Restore the newest backup and all WAL after it beside nothing else, and look at every row."""
    with alone():
        began = now()
        there = backups(information(settings))
        if not there:
            raise Failed("There is no backup.")
        shutil.rmtree(SCRATCH, ignore_errors=True)
        enough_space(HOME, there[-1][3])
        try:
            SCRATCH.mkdir(mode=0o700)
            data = SCRATCH / "data"
            data.mkdir(mode=0o700)
            options = ["--reset-pg1-host", f"--pg1-path={data}", "--archive-mode=off"]
            options.append(f"--tablespace-map-all={SCRATCH}/tablespaces")
            pgbackrest(settings, *options, "restore")
            with Recovery(settings["programs"], data, SCRATCH) as scratch:
                newest, age, rows = restored_rows(settings, scratch, began)
        finally:
            shutil.rmtree(SCRATCH, ignore_errors=True)
        if settings["verify"]:
            whole(settings)
        seconds = int((now() - began).total_seconds())
        found = {"at": shown(began), "backup": there[-1][0], "newest": newest, "age_seconds": age}
        found |= {"seconds": seconds, "rows": rows}
        partial = LAST.with_suffix(".partial")
        partial.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
        partial.replace(LAST)
    return {"backup ok": found}


def main():
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    for function in (take, check, window, stanza):
        command = commands.add_parser(function.__name__, help=function.__doc__)
        command.set_defaults(function=function)
        if function is take:
            command.add_argument("type", choices=["full", "diff"])
        elif function is window:
            command.add_argument(
                "--to", default="", help="latest, or a time such as 2026-11-26T12:00:00+00"
            )
        elif function is stanza:
            command.add_argument(
                "system", help="the cluster's identifier, as pg_controldata shows it"
            )
            command.add_argument("--anew", action="store_true", help="begin with another cluster")
    arguments = parser.parse_args()
    try:
        told = arguments.function(json.loads(SETTINGS.read_text("utf-8")), arguments)
    except Failed as error:
        sys.exit(str(error))
    if told:
        print(json.dumps(told))


if __name__ == "__main__":
    main()
