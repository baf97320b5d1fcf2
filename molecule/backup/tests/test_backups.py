"""A database's backups on another host: taken, encrypted, and tried."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from testinfra.host import Host

HOME = "/var/lib/pgbackrest"
testinfra_hosts = ["api1"]


@pytest.fixture(scope="module")
def taken(host: Host) -> Host:
    """The repository's host, after the first backup, which the role only begins."""
    state = "systemctl show --value --property=ActiveState database-backup@full.service"
    waits = f"while [ $({state}) = activating ]; do sleep 0.2; done"
    host.check_output(f"timeout 120 sh -c '{waits}'")
    return host


def test_are_taken_in_time(host: Host, on: Callable[[str], Host]) -> None:
    """By timers, which come again after a reboot."""
    mine = ["database-backup@full", "database-backup@diff", "database-backup-check"]
    for there, timers in [(host, mine), (on("db1"), ["database-backup-marker"])]:
        for timer in timers:
            service = there.service(f"{timer}.timer")
            assert (service.is_running, service.is_enabled) == (True, True), timer


def test_first_one_is_taken_at_once(taken: Host) -> None:
    """And pgBackRest itself says that it is whole."""
    (stanza,) = json.loads(
        taken.check_output("runuser -u postgres -- pgbackrest --output=json info")
    )
    assert stanza["status"]["message"] == "ok", stanza
    first = stanza["backup"][0]
    assert (first["type"], first["error"]) == ("full", False)


def test_count_once_they_were_restored(taken: Host, on: Callable[[str], Host]) -> None:
    """With their rows."""
    made = (
        "CREATE TABLE IF NOT EXISTS kept (n int); TRUNCATE kept; INSERT INTO kept VALUES (1), (2)"
    )
    on("db1").check_output("runuser -u postgres -- psql -Xd demo -c %s", made)
    for unit in ("database-backup@diff", "database-backup-check"):
        taken.check_output(f"systemctl start {unit}.service")
    assert json.loads(taken.file(f"{HOME}/last_ok.json").content)["rows"]["demo.public.kept"] == 2


def test_cannot_be_read_without_the_pass_phrase(taken: Host) -> None:
    """Nothing in the repository is plain, and its host runs no database."""
    files = f"find {HOME}/repository -type f"
    assert int(taken.check_output(f"{files} | wc -l")) > 5
    plain = f"{files} ! -exec grep -q --text '^Salted__' {{}} ';' -print"
    assert taken.check_output(plain) == ""
    assert not taken.process.filter(comm="postgres")
