"""A restored PostgreSQL cluster, brought up for nobody but us."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path

DAYS = 7 * 24 * 3600  # seconds; recovery takes as long as there is WAL


# Said to the server itself, which then heeds nothing that ALTER SYSTEM has left in the directory. No hot standby,
# which would want the limits of the cluster that was: it answers once it has recovered.
SETTINGS = {
    "config_file": "{folder}/postgresql.conf",
    "hba_file": "{folder}/hba.conf",
    "ident_file": "{folder}/ident.conf",
    "unix_socket_directories": "{folder}",
    "listen_addresses": "",
    "hot_standby": "off",
    "archive_mode": "{archive}",
    "archive_command": "false",
    "autovacuum": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
    "max_connections": "20",
    "max_prepared_transactions": "1000",  # a backup may have some
    "shared_preload_libraries": "",
    "ssl": "off",
}


class Failed(Exception):
    """What was to be done could not be done; says why, for people."""


def run(*command, **options):
    """Run a command; return what it printed, Failed with its words otherwise."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-3000:]
        raise Failed(f"'{' '.join(command)}' failed:\n{said}")
    return done.stdout


def enough_space(folder, size):
    """Fail where a cluster of so many bytes, and WAL, does not fit."""
    free = shutil.disk_usage(folder).free
    if free < size * 1.2:
        raise Failed(
            f"{folder} has {free // 2**20} MiB free, and what is restored takes {size // 2**20}, and some for WAL."
        )


class Recovery:
    """A cluster that recovers, answers on a unix socket in a folder of ours, and is stopped.

    programs: PostgreSQL's own; data: the restored directory, which is the present user's; folder: for its
    socket, its log and its settings.
    """

    def __init__(self, programs, data, folder, archive="off"):
        self.programs, self.data, self.folder = programs, data, Path(folder)
        self.log = self.folder / "log"
        for name, text in (("postgresql", ""), ("ident", ""), ("hba", "local all all peer")):
            (self.folder / f"{name}.conf").write_text(f"{text}\n", "utf-8")
        given = [
            f"{name}={value.format(folder=folder, archive=archive)}"
            for name, value in SETTINGS.items()
        ]
        self.options = " ".join(f"-c {shlex.quote(each)}" for each in given)

    def __enter__(self):
        """Start it, and wait until it has recovered."""
        command = [f"{self.programs}/pg_ctl", "--silent", f"--pgdata={self.data}"]
        command += [f"--log={self.log}", f"--timeout={DAYS}", f"--options={self.options}"]
        try:
            # Not captured: what it starts would keep the pipe open.
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            subprocess.run([*command, "start"], check=True, **quiet)
            self.recovered()
        except (subprocess.CalledProcessError, FileNotFoundError):
            raise Failed(f"It does not recover:\n{self.log.read_text('utf-8')[-3000:]}") from None
        return self

    def recovered(self):
        """Wait until it has recovered; FileNotFoundError where it has ended."""
        state = Path(self.data, "postmaster.pid")
        # The last of its lines says what it is doing; gone with it.
        while [line.strip() for line in state.read_text("utf-8").splitlines()[7:8]] != ["ready"]:
            time.sleep(0.2)

    def __exit__(self, *_):
        """Stop it."""
        wait = f"--timeout={DAYS}"  # a checkpoint comes first
        run(f"{self.programs}/pg_ctl", f"--pgdata={self.data}", "--mode=fast", wait, "stop")

    def program(self, name, *arguments, **options):
        """Run one of PostgreSQL's programs with the cluster."""
        environment = {**os.environ, "PGHOST": str(self.folder), "PGCONNECT_TIMEOUT": "60"}
        try:
            return run(f"{self.programs}/{name}", *arguments, env=environment, **options)
        except Failed as error:
            raise Failed(f"The restored cluster is not whole: {error}") from None

    def ask(self, database, statement):
        """Run SQL; return what psql prints, a line for a row, with | between columns."""
        options = ["--no-psqlrc", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
        return self.program("psql", *options, f"--dbname={database}", input=statement).strip()
