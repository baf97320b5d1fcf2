#!/usr/bin/python3
"""Replaces a PostgreSQL cluster with what a backup says it was at a moment, or leaves it as it is.

Runs as root on the database's host, which it stops for as long as that takes.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from greenrack_recovery import Failed, Recovery, enough_space, run

PR_SET_PDEATHSIG = 1
# What the unit is told while a restore is at work: a start is skipped as long as the lock is held, which ends with who
# holds it. That is no failure, which would leave a package half installed.
UNIT = """[Service]
ExecCondition=/bin/sh -c 'flock --shared --nonblock {folder} true || \\
  {{ echo "A restore is at work, which starts it at its end."; exit 1; }}'
"""


def as_owner(work):
    """Do something in a process that is postgres; Failed with its words if it fails."""
    user = pwd.getpwnam("postgres")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            os.initgroups(user.pw_name, user.pw_gid)
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # it has the lock, too
            os.chdir("/")
            work()
            os._exit(0)
        except BaseException as error:
            os.write(write, str(error).encode())
            os._exit(1)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        raise Failed(said)


@contextmanager
def stopped(unit, data):
    """Stop a cluster, and start it in the end; who has the lock on the directory above it lets nobody else start it."""
    told = Path(f"/run/systemd/system/{unit}.d/restore.conf")
    told.parent.mkdir(parents=True, exist_ok=True)
    told.write_text(UNIT.format(folder=data.parent), "utf-8")
    run("systemctl", "daemon-reload")
    run("systemctl", "stop", unit)
    try:
        yield
    finally:
        told.unlink(missing_ok=True)
        subprocess.run(["systemctl", "daemon-reload"], check=False)
        if not served(data):  # by a server that is not the unit's, for which its start would wait
            subprocess.run(["systemctl", "start", unit], check=True)


def served(data):
    """Return whether there is a server on a cluster; one that was killed has left its file."""
    try:
        pid, *_ = Path(data, "postmaster.pid").read_text("ascii").split() or ["0"]
        return os.path.samefile(f"/proc/{pid}/cwd", data)  # noqa: PTH121
    except FileNotFoundError:
        return False


def see_that_nobody_serves(data):
    """Fail where a server is on a cluster that somebody has started past systemd."""
    if served(data):
        raise Failed(
            "a server that is not systemd's is on it, to which clients may have written. Stop that, such as by "
            "pg_ctlcluster, and type the same command again."
        )


def restored(data, folder, arguments):
    """Restore into an empty directory, and recover up to the moment; as postgres."""
    target = ["--type=default"]
    if arguments.to != "latest":
        target = ["--type=time", f"--target={arguments.to}", "--target-action=promote"]
    target.append(f"--target-timeline={arguments.timeline}")
    run("pgbackrest", f"--stanza={arguments.stanza}", f"--pg1-path={data}", *target, "restore")
    # Told that it archives, it keeps the history of its new timeline for when it does.
    with Recovery(arguments.programs, data, folder, archive="on") as cluster:
        told = cluster.ask("postgres", "SELECT timeline_id FROM pg_control_checkpoint()")
    print(f"recovered, checkpoint of timeline {told}", flush=True)


def main():
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--to", required=True, help="latest, or a time such as 2026-11-26 12:00:00+00"
    )
    parser.add_argument("--timeline", default="latest", help="the one to follow")
    parser.add_argument("--stanza", required=True)
    parser.add_argument("--data", required=True, type=Path, help="the cluster's directory")
    parser.add_argument("--bytes", required=True, type=int, help="what it will take")
    parser.add_argument("--programs", required=True, help="directory of PostgreSQL's programs")
    parser.add_argument("--unit", required=True, help="the cluster's systemd unit")
    arguments = parser.parse_args()
    try:
        replace(arguments)
    except Failed as error:
        sys.exit(str(error))


def replace(arguments):
    """Restore beside the cluster that is there, which stays whole until its place is taken at once."""
    data = arguments.data
    before, new, folder = (
        data.with_name(f"{data.name}.{w}") for w in ("before", "new", "recovery")
    )
    alone = os.open(data.parent, os.O_RDONLY)
    try:
        fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Failed("A restore is at work there already, and was not disturbed.") from None
    # What an interrupted one has left.
    if not data.exists() and before.exists():
        before.rename(data)
    for path in (new, folder):
        shutil.rmtree(path, ignore_errors=True)
    try:
        enough_space(data.parent, arguments.bytes)
    except Failed as error:
        hint = (
            f" {before} is what an earlier restore replaced, and may be removed."
            if before.exists()
            else ""
        )
        raise Failed(f"The database is as it was. {error}{hint}") from None
    with stopped(arguments.unit, data):
        try:
            see_that_nobody_serves(data)
            for path in (new, folder):
                as_owner(partial(path.mkdir, mode=0o700))  # root could be led elsewhere there
            as_owner(lambda: restored(new, folder, arguments))
            see_that_nobody_serves(data)
            shutil.rmtree(before, ignore_errors=True)
            data.rename(before)
            new.rename(data)
        except BaseException as error:
            if not data.exists():
                before.rename(data)
            raise Failed(
                f"The database is as it was, for it could not be restored: {error or type(error).__name__}"
            ) from error
        finally:
            for path in (new, folder):
                shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    main()
