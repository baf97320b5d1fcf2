"""A password made anew: which of the two logins gets in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from testinfra.host import Host

testinfra_hosts = ["db1"]
LOGINS = {1: "demo", 2: "demo_2"}


@pytest.fixture
def secrets() -> dict[str, str]:
    """What was made, and kept on the controller."""
    path = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "secrets.yml")
    assert path.stat().st_mode & 0o077 == 0
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def log_in(host: Host, address: str, login: int, password: str) -> str:
    """Return what psql says of a login."""
    url = f"host={address} user={LOGINS[login]} dbname=demo sslmode=require"
    done = host.run("PGPASSWORD=%s psql -XAtc 'SELECT 1' %s", password, url)
    return (done.stdout + done.stderr).strip()


def test_the_login_in_use_gets_in(host: Host, address: str, secrets: dict[str, str]) -> None:
    """By the password that was made for it."""
    used = int(secrets["database_login"])
    assert log_in(host, address, used, secrets[f"database_password_{used}"]) == "1"


def test_the_other_does_not(host: Host, address: str, secrets: dict[str, str]) -> None:
    """Even by its own password."""
    other = 3 - int(secrets["database_login"])
    said = log_in(host, address, other, secrets[f"database_password_{other}"])
    assert f'role "{LOGINS[other]}" is not permitted to log in' in said


def test_no_exchange_is_left_half_done(secrets: dict[str, str]) -> None:
    """The next one begins anew."""
    assert not secrets["database_next"]
