"""The demo application's database, on a real PostgreSQL."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
from demo import database
from demo.database import get_database
from demo.errors import Failure


@pytest.fixture
def make_app(make_client, cluster, slow_api_url: str):
    """Make a client of an application that has everything it needs."""

    def make(**settings):
        return make_client(UPSTREAM_URL=slow_api_url, DATABASE_URL=cluster.url, **settings)

    return make


def test_waits_half_in_the_upstream_and_half_in_the_database(make_app) -> None:
    started = time.monotonic()
    response = make_app().get("/db?delay=0.6")
    assert time.monotonic() - started >= 0.6
    assert response.status_code == 200
    assert response.json == {"delay": 0.6, "upstream": 0.3, "database": 0.3}


def test_counts_visits_and_clients(make_app) -> None:
    client = make_app()
    answers = [
        client.get("/stats", environ_base={"REMOTE_ADDR": address}).json
        for address in ("192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1", "2001:db8::1%eth0", "")
    ]
    assert answers == [
        {"visits": 1, "clients": 1},
        {"visits": 2, "clients": 2},
        {"visits": 3, "clients": 2},  # the first one again, through an IPv6 socket
        {"visits": 4, "clients": 3},
        {"visits": 5, "clients": 3},  # a visit without an address
    ]


@pytest.mark.parametrize(
    ("proxies", "forwarded", "stored"),
    [
        (0, "203.0.113.9", "127.0.0.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "198.51.100.66, 203.0.113.9", "203.0.113.9"),
        (2, "198.51.100.66, 203.0.113.9", "198.51.100.66"),
        (1, "unknown", None),
    ],
)
def test_believes_only_the_trusted_proxies(
    make_app, cluster, proxies: int, forwarded: str, stored: str | None
) -> None:
    client = make_app(TRUSTED_PROXIES=proxies)
    assert client.get("/stats", headers={"X-Forwarded-For": forwarded}).status_code == 200
    assert cluster.query("SELECT host(client) FROM visits") == [(stored,)]


def test_never_opens_more_connections_than_allowed(make_app, monkeypatch) -> None:
    """Counted where they are opened: the server lists one for a moment after it was closed."""
    client = make_app(DATABASE_POOL=3)
    begun, made, seen, lock = 0, [], [], threading.Lock()
    connect = psycopg2.connect

    def counted(**dsn):
        nonlocal begun
        with lock:
            begun += 1
            seen.append(begun - sum(conn.closed != 0 for conn in made))
        conn = connect(**dsn)
        made.append(conn)
        return conn

    monkeypatch.setattr(psycopg2, "connect", counted)
    with ThreadPoolExecutor(12) as threads:
        requests = [
            threads.submit(client.application.test_client().get, "/db?delay=0.3") for _ in range(12)
        ]
        probes = [threads.submit(client.application.test_client().get, "/readyz") for _ in range(2)]
    assert [request.result().status_code for request in requests] == [200] * 12
    assert [probe.result().status_code for probe in probes] == [200] * 2
    assert max(seen) == 3
    assert len(seen) > 3  # the probes' own took the place of others


def test_waits_for_a_free_connection_but_not_for_ever(make_app) -> None:
    client = make_app(DATABASE_POOL=1, DATABASE_POOL_TIMEOUT=0.2)
    with client.application.app_context(), get_database().transaction():
        started = time.monotonic()
        response = client.get("/stats")
        assert time.monotonic() - started >= 0.2
    assert response.status_code == 503
    assert response.headers["Retry-After"].isdigit()
    assert client.get("/stats").status_code == 200


def test_takes_a_connection_that_becomes_free_in_time(make_app) -> None:
    client = make_app(DATABASE_POOL=1, DATABASE_POOL_TIMEOUT=10)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with client.application.app_context(), get_database().transaction():
            held.set()
            release.wait(10)

    with ThreadPoolExecutor() as threads:
        holder = threads.submit(hold)
        assert held.wait(10)
        waiting = threads.submit(client.get, "/stats")
        time.sleep(0.2)
        assert not waiting.done()
        release.set()
        assert waiting.result().status_code == 200
        holder.result()


def test_waits_for_both_no_longer_than_for_the_upstream_alone(make_app) -> None:
    client = make_app(DATABASE_POOL=1, DATABASE_POOL_TIMEOUT=60, UPSTREAM_TIMEOUT=1)
    with client.application.app_context(), get_database().transaction():
        began = time.monotonic()
        response = client.get("/db?delay=1")
        took = time.monotonic() - began
    assert response.status_code == 503
    assert 0.9 < took < 30
    assert client.get("/db?delay=0.2").status_code == 200


def test_takes_no_new_connection_when_its_time_is_over(make_app, cluster) -> None:
    client = make_app(DATABASE_POOL=1)
    assert client.get("/stats").status_code == 200
    cluster.stop()
    cluster.start()  # the one connection that is idle has died
    with client.application.app_context():
        with pytest.raises(Failure) as failed, get_database().transaction(time.monotonic() - 1):
            pass
        assert "no time left" in str(failed.value.__cause__)
        with get_database().transaction(time.monotonic() + 60) as cursor:
            cursor.execute("SELECT 1")


@pytest.mark.parametrize("statement", ["SELECT 1 / 0", "SELECT nonsense"])
def test_an_exception_rolls_back_and_spoils_nothing(make_app, statement: str) -> None:
    client = make_app(DATABASE_POOL=1)

    def fail() -> None:
        with client.application.app_context(), get_database().transaction() as cursor:
            cursor.execute("INSERT INTO visits (client) VALUES ('192.0.2.1')")
            cursor.execute(statement)

    with pytest.raises(psycopg2.Error):
        fail()
    assert client.get("/stats").json == {"visits": 1, "clients": 1}


def test_a_restart_of_the_database_heals(make_app, cluster) -> None:
    client = make_app(DATABASE_POOL=3)
    with client.application.app_context():
        database = get_database()
        with database.transaction(), database.transaction(), database.transaction():
            assert cluster.connections() == 3
    cluster.stop()
    cluster.start()
    # All three have died; none of them may cost a request.
    assert [client.get("/stats").json["visits"] for _ in range(4)] == [1, 2, 3, 4]

    cluster.stop()
    assert [client.get("/stats").status_code for _ in range(4)] == [503] * 4
    assert "No such file" in client.get("/readyz").json["database"]
    cluster.start()
    assert client.get("/stats").json["visits"] == 5


def test_a_restart_that_is_under_way_is_waited_for(make_app, cluster) -> None:
    client = make_app(DATABASE_POOL=3)
    assert client.get("/stats").status_code == 200
    cluster.stop()
    with ThreadPoolExecutor() as threads:
        waiting = [threads.submit(client.get, "/stats") for _ in range(4)]
        time.sleep(0.5)
        assert not any(one.done() for one in waiting)
        cluster.start()
        assert [one.result().status_code for one in waiting] == [200] * 4


def test_a_database_that_stays_away_is_waited_for_once(make_app, cluster, monkeypatch) -> None:
    pauses: list[float] = []
    client = make_app(DATABASE_POOL=1)
    cluster.stop()
    monkeypatch.setattr(database.time, "sleep", pauses.append)
    assert client.get("/stats").status_code == 503
    assert pauses
    pauses.clear()
    assert [client.get("/stats").status_code for _ in range(3)] == [503] * 3
    assert pauses == []
    cluster.start()


def test_a_connection_that_dies_in_use(make_app, cluster) -> None:
    client = make_app(DATABASE_POOL=1)
    ours = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'"
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(client.get, "/db?delay=1")
        while not waiting.done() and not cluster.query(ours):
            time.sleep(0.02)
        assert waiting.result().status_code == 503
    assert client.get("/stats").status_code == 200
    assert cluster.connections() == 1


def test_the_role_it_runs_as_owns_nothing(cluster) -> None:
    connection = psycopg2.connect(cluster.url)
    with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute("CREATE TABLE more ()")
    connection.close()


FORK = """
import os
from demo import create_app
app = create_app()
client = app.test_client()
def backend():
    with app.app_context():
        from demo.database import get_database
        with get_database().transaction() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return cursor.fetchone()[0]
def sessions():
    return id(app.extensions["demo_upstream"]._clients.get())
before = backend(), sessions()
assert client.get("/?delay=0").status_code == 200
if os.fork() == 0:
    other = backend(), sessions()
    assert other[0] != before[0] and other[1] != before[1], (before, other)
    assert client.get("/?delay=0").status_code == 200
    raise SystemExit(0)
_, status = os.wait()
assert status == 0
assert (backend(), sessions()) == before
print("parent and child each on their own")
"""


def test_a_fork_shares_no_connection(run_python, cluster, slow_api_url: str) -> None:
    output = run_python(FORK, DATABASE_URL=cluster.url, UPSTREAM_URL=slow_api_url)
    assert output == "parent and child each on their own"
