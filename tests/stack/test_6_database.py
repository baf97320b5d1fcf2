"""The database behind its pooler: many at once, exhausted, away and back, and without the pooler again."""

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

TIMEOUT = 5  # seconds a request waits for a connection, by default
SHORT = 2  # the same where it is to be waited for
# A request waits for the pool, PgBouncer, a new connection and once more PgBouncer; half as long again for chance.
WAITS = 4 * 1.5
PASSWORD = 'it\'s "100 %" $HOME {a}\\/@:#ü€;|'  # noqa: S105
# PgBouncer opens its connections one after another: what a busy machine can open within TIMEOUT.
POOL_SIZE = 20

POSTGRESQL, PGBOUNCER = "postgresql@15-main.service", "pgbouncer.service"

# What gives the application 200 connections of its own to a pooler that has 20.
POOLED = {
    "pooler": True,
    "pgbouncer_pool_size": POOL_SIZE,
    "app_workers": 2,
    "app_database_pool": 100,
    "database_password": PASSWORD,
}


def _deploy(lab, *arguments, **chosen):
    variables = {"server": "uwsgi_gevent", **chosen}
    run = lab.play("site.yml", "-e", json.dumps(variables), *arguments)
    assert run.code == 0, run.output
    return run


@pytest.fixture(scope="module")
def database(deployed):
    """The stack with a pooler, and a password that is hard to quote."""
    run = _deploy(deployed, "--diff", **POOLED)
    assert PASSWORD not in run.output, "the deploy shows the password"
    assert "/etc/pgbouncer/userlist.txt" in run.output, run.output
    return deployed


def _ask(lab, path):
    """Return (status, Retry-After, seconds) of a request."""
    start = time.monotonic()
    try:
        with urllib.request.urlopen(f"http://{lab.prefix}.11{path}", timeout=120) as answer:
            status, headers = answer.status, answer.headers
    except urllib.error.HTTPError as error:
        status, headers = error.code, error.headers
    return status, headers["Retry-After"], time.monotonic() - start


def _ask_at_once(lab, number, path):
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(lambda _: _ask(lab, path), range(number)))


def _connections(lab):
    """Return how many connections the application's role has at PostgreSQL."""
    count = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'demo%'"
    return int(lab.run("db1", f'runuser -u postgres -- psql -XAtc "{count}"'))


def test_pooler_runs_and_only_its_clients_may_use_it(database):
    shown = database.run("db1", f"systemctl show --property=User,LimitNOFILE {PGBOUNCER}")
    assert set(shown.split()) == {"User=postgres", f"LimitNOFILE={2000 + POOL_SIZE + 100}"}, shown
    listening = database.run("db1", "ss -Hltn 'sport = :6432' | awk '{print $4}'")
    assert listening == f"{database.prefix}.41:6432", listening
    secrets = database.host("db1").file("/etc/pgbouncer/userlist.txt")
    assert (secrets.user, secrets.mode) == ("postgres", 0o640), "others may read the passwords"
    assert PASSWORD not in database.run("db1", "journalctl --no-pager"), "in the journal"
    used = database.run("app1", f"grep DATABASE_URL /etc/{database.instance()}.env")
    assert ":6432/demo" in used, "not used"
    login = "demo_2" if "//demo_2:" in used else "demo"  # as another test may have left it
    assert database.knock("db1", 6432, login)[2] == "E", "a host that is no client may log in"
    assert database.knock("app1", 6432, login)[2] == "R", "the application's host may not log in"


def test_second_run_changes_nothing(database):
    run = _deploy(database, **POOLED)
    assert sum(run.changed.values()) == 0, run.output
    dry = _deploy(database, "--check", **POOLED)
    assert sum(dry.changed.values()) == 0, dry.output


def test_200_at_once_share_the_poolers_connections(database):
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_ask_at_once, database, 200, "/db?delay=0.1")
        seen = []
        while not asked.done():
            seen.append(_connections(database))
    statuses = Counter(status for status, *_ in asked.result())
    assert statuses == {200: 200}, f"answers: {statuses}"
    assert 10 < max(seen) <= POOL_SIZE, f"connections PostgreSQL saw: {seen}"


@pytest.mark.parametrize("unit", [POSTGRESQL, PGBOUNCER])
def test_what_is_away_is_answered_503_and_service_returns(database, unit):
    before = database.run("app1", f"systemctl show --property=MainPID {database.instance()}")
    database.run("db1", f"systemctl stop {unit}")
    try:
        for _ in range(2):  # with connections that have died, and with none
            answers = _ask_at_once(database, 20, "/db?delay=0.1")
            assert {status for status, *_ in answers} == {503}, f"{unit} is stopped: {answers}"
            slowest = max(seconds for *_, seconds in answers)
            assert slowest < WAITS * TIMEOUT, f"{unit} is stopped: an answer took {slowest:.1f} s"
        status = _ask(database, "/?delay=0")[0]
        assert status == 200, f"a page that needs no database is answered {status}"
    finally:
        database.run("db1", f"systemctl start {unit}")
    said = database.comes_back("/db?delay=0.1", seconds=30)
    assert said is None, f"after {unit} was started again: {said}"
    after = database.run("app1", f"systemctl show --property=MainPID {database.instance()}")
    assert after == before, "the application was restarted"


def test_pooler_that_is_killed_is_started_again(database):
    database.run("db1", f"systemctl kill --signal=KILL {PGBOUNCER}")
    said = database.comes_back("/db?delay=0.1", seconds=30)
    assert said is None, f"after pgbouncer was killed: {said}"


def test_release_stays_behind_the_pooler(database):
    before = database.instance()
    given = {"database_password": PASSWORD, "app_memory_max": "70%"}
    run = database.play("playbooks/release.yml", "-e", json.dumps(given))
    assert run.code == 0, run.output
    assert database.instance() != before
    environment = database.run("app1", f"cat /etc/{database.instance()}.env")
    assert ":6432/" in environment, "the release went past the pooler"
    assert database.get("/db?delay=0.1")[0] == 200
    run = database.play("playbooks/verify.yml", "-e", json.dumps(given))
    assert run.code != 0, run.output
    assert "-e pooler=true" in run.output, run.output


EXHAUSTED = {
    "the application's pool": {"app_workers": 1, "app_database_pool": 1},
    # The gate asks for ten at once, which is what this pooler does not have.
    "the pooler's": {
        "app_workers": 1,
        "app_database_pool": 10,
        "pgbouncer_pool_size": 1,
        "app_gate_database_path": "",
    },
}


@pytest.mark.parametrize("case", EXHAUSTED)
def test_exhausted_pool_is_answered_503_and_recovers(database, case):
    _deploy(database, **{**POOLED, **EXHAUSTED[case], "app_database_timeout": SHORT})
    held = 6 * SHORT  # longer than any wait for it
    answers = _ask_at_once(database, 4, f"/db?delay={2 * held}")
    statuses = Counter(status for status, *_ in answers)
    assert statuses == {200: 1, 503: 3}, f"answers: {answers}"
    for status, retry_after, seconds in answers:
        if status == 503:
            assert retry_after, f"no Retry-After in {answers}"
            waited = seconds - held
            assert 0 < waited < WAITS * SHORT, (
                f"a 503 took {waited:.1f} s of waiting for a connection"
            )
    status = _ask(database, "/db?delay=0.1")[0]
    assert status == 200, f"later it is answered {status}"


def test_pooler_is_there_for_what_is_live_until_nobody_goes_by_it(database):
    refused = {"database_password": PASSWORD, "app_health_path": "/nothing-here"}
    run = database.play("site.yml", "-e", json.dumps(refused))
    assert run.code != 0, run.output
    assert "serves as before" in run.output, run.output
    used = database.run("app1", f"grep DATABASE_URL /etc/{database.instance()}.env")
    assert ":6432/" in used, used
    login = "demo_2" if "//demo_2:" in used else "demo"
    said = database.knock("app1", 6432, login)
    assert said[2] == "R", f"what is live cannot reach the pooler any more: {said}"


def test_pooler_is_stopped_when_nobody_wants_it(database):
    _deploy(database)
    opened = database.run("db1", "cat /etc/greenrack/firewall/demo.services")
    assert "6432" not in opened, opened
    assert ".greenrack" not in database.run("db1", "ls /etc/pgbouncer"), "nobody else may have it"
    service = database.host("db1").service("pgbouncer")
    assert (service.is_running, service.is_enabled) == (False, False), "pgbouncer was not stopped"
    assert ":5432/demo" in database.run(
        "app1", f"grep DATABASE_URL /etc/{database.instance()}.env"
    ), "still used"
    status = _ask(database, "/db?delay=0.1")[0]
    assert status == 200, f"without the pooler it is answered {status}"
    run = _deploy(database)
    assert sum(run.changed.values()) == 0, run.output
