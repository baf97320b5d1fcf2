"""A throw-away PostgreSQL on a Unix socket, for the demo application's tests."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg2
from demo_servers import DEMO

GRANTS = """
CREATE ROLE demo LOGIN;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO demo;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO demo;
"""


def find_binaries() -> Path | None:
    """Return the folder of the newest installed server, None when there is none."""
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in found), key=lambda p: int(p.parts[-2]), default=None)


class Cluster:
    """A running server with a database "demo", its schema, and a role "demo" of few rights."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        # Short, for a socket's path has 107 characters at most; and not in pytest's own
        # folder, which nobody but its owner may enter.
        self.folder = Path(tempfile.mkdtemp(prefix="demo-pg-"))
        self._as_owner = self._drop_root()
        self.url = f"postgresql://demo@/demo?host={self.folder}"
        self._run("initdb", "-D", "data", "-U", "owner", "-A", "trust", "--no-sync")
        self.start()
        self.query("CREATE DATABASE demo", dbname="postgres")
        for _ in range(2):  # it must be safe to run again
            self.query((DEMO / "schema.sql").read_text())
        self.query(GRANTS)

    def _drop_root(self) -> dict[str, Any]:
        """Return what makes subprocess run programs unprivileged: PostgreSQL refuses root."""
        if os.geteuid() != 0:
            return {}
        names = {user.pw_name for user in pwd.getpwall()}
        user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
        os.chown(self.folder, user.pw_uid, user.pw_gid)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, **self._as_owner
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        options = ["listen_addresses=", "fsync=off", "max_connections=40"]
        self._log = (self.folder / "log").open("a")
        self._process = subprocess.Popen(
            [str(self._binaries / "postgres"), "-D", "data", "-k", str(self.folder)]
            + [word for option in options for word in ("-c", option)],
            cwd=self.folder,
            stdout=self._log,
            stderr=self._log,
            **self._as_owner,
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                return self.query("SELECT 1", dbname="postgres")
            except psycopg2.OperationalError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.02)

    def stop(self) -> None:
        """Stop at once, running queries included."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(20)
        self._log.close()

    def pause(self) -> None:
        """Make the server go silent: it accepts connections, and answers nothing."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: int) -> None:
        self._process.send_signal(number)
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for pid in map(int, children.read_text().split()):
            with suppress(ProcessLookupError):  # ended, as that of a closed connection does
                os.kill(pid, number)

    def remove(self) -> None:
        if self._process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder)

    def query(self, sql: str, parameters: Any = None, dbname: str = "demo") -> list[tuple]:
        """Run sql as the database's owner; return its rows."""
        connection = psycopg2.connect(host=str(self.folder), user="owner", dbname=dbname)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def empty(self) -> None:
        """Empty the table and end what earlier applications left open."""
        while self.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'demo'"
        ):
            time.sleep(0.01)
        self.query("TRUNCATE visits")

    def connections(self) -> int:
        """Return how many connections of the application there are now."""
        sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'demo'"
        return self.query(sql)[0][0]
