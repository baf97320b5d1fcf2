#!/usr/bin/python3
"""Replaces a PostgreSQL cluster with what a backup says it was at a moment, or leaves it as it is.

Runs as root on the database's host, which it stops for as long as that takes.
"""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from greenrack_recovery import Failed, Recovery, enough_space, run


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


def restored(data, folder, arguments):
    """Restore into an empty directory, and recover up to the moment; as postgres."""
    target = ["--type=default"]
    if arguments.to != "latest":
        target = ["--type=time", f"--target={arguments.to}", "--target-action=promote"]
    target.append(f"--target-timeline={arguments.timeline}")
    run("pgbackrest", f"--stanza={arguments.stanza}", *target, "restore")
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
    data = arguments.data
    before, folder = data.with_name(f"{data.name}.before"), data.with_name(f"{data.name}.recovery")
    try:
        # Beside the one that is there, which is nothing to lose before this is done.
        enough_space(data.parent, arguments.bytes)
        run("systemctl", "stop", arguments.unit)
        if folder.exists() and before.exists():  # one was interrupted: what is there is not whole
            shutil.rmtree(folder)
            shutil.rmtree(data, ignore_errors=True)
        else:
            shutil.rmtree(before, ignore_errors=True)
            folder.mkdir(exist_ok=True)
            data.rename(before)
            shutil.rmtree(folder)
        for path in (data, folder):
            path.mkdir(mode=0o700)
            shutil.chown(path, "postgres", "postgres")
        try:
            as_owner(lambda: restored(data, folder, arguments))
        except Failed as error:
            shutil.rmtree(data)
            before.rename(data)
            raise Failed(
                f"The database is as it was, for it could not be restored: {error}"
            ) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run(["systemctl", "start", arguments.unit], check=True)
    except Failed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
