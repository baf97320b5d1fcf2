"""What the demo application tells a supervisor, and a database that cannot be reached."""

from __future__ import annotations

import time

GENEROUS = 10  # seconds; the bounds under test are 2 seconds for each check


def test_alive_asks_nobody(make_client, silent) -> None:
    client = make_client(
        UPSTREAM_URL=silent.url, DATABASE_URL=f"postgresql://127.0.0.1:{silent.port}/demo"
    )
    response = client.get("/healthz")
    assert (response.status_code, response.json) == (200, {"status": "ok"})
    assert silent.connections == 0


def test_ready(make_client, cluster, slow_api_url: str) -> None:
    client = make_client(UPSTREAM_URL=slow_api_url, DATABASE_URL=cluster.url)
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json == {"status": "ready", "database": "ok", "upstream": "ok"}


def test_not_ready_tells_what_and_why_and_no_password(make_client, closed_port: int) -> None:
    client = make_client(
        UPSTREAM_URL=f"http://user:s3cret@127.0.0.1:{closed_port}",
        # libpq tells the folder, and so, here, the password.
        DATABASE_URL="postgresql://demo:s3cret@/demo?host=/s3cret",
    )
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json["status"] == "not ready"
    assert "No such file" in response.json["database"]
    assert "refused" in response.json["upstream"]
    assert "s3cret" not in response.text


def test_readiness_is_told_soon_when_the_upstream_is_out_of_reach(
    make_client, out_of_reach: int, closed_port: int
) -> None:
    client = make_client(
        UPSTREAM_URL=f"http://127.0.0.1:{out_of_reach}",
        DATABASE_URL=f"postgresql://127.0.0.1:{closed_port}/demo",
    )
    started = time.monotonic()
    response = client.get("/readyz")
    # 2 seconds once, not three times as for a request that is worth a retry.
    assert time.monotonic() - started < 5
    assert response.status_code == 503
    assert "in time" in response.json["upstream"]


def test_readiness_with_a_database_gone_silent_under_an_open_connection(
    make_client, cluster, slow_api_url: str
) -> None:
    client = make_client(UPSTREAM_URL=slow_api_url, DATABASE_URL=cluster.url)
    assert client.get("/readyz").status_code == 200
    cluster.pause()
    try:
        started = time.monotonic()
        response = client.get("/readyz")
        assert time.monotonic() - started < GENEROUS
    finally:
        cluster.resume()
    assert (response.status_code, response.json["upstream"]) == (503, "ok")
    assert "timeout" in response.json["database"]
    assert client.get("/readyz").status_code == 200


def test_a_database_that_refuses_connections(make_client, closed_port, slow_api_url) -> None:
    client = make_client(
        UPSTREAM_URL=slow_api_url, DATABASE_URL=f"host=127.0.0.1 port={closed_port} dbname=demo"
    )
    for page in ("/stats", "/db?delay=0"):
        response = client.get(page)
        assert response.status_code == 503
        assert response.headers["Retry-After"].isdigit()
        assert response.json == {"error": "the database is not available"}


def test_a_silent_database_is_given_up(make_client, silent) -> None:
    client = make_client(
        DATABASE_URL=f"postgresql://127.0.0.1:{silent.port}/demo", DATABASE_CONNECT_TIMEOUT=2
    )
    started = time.monotonic()
    assert client.get("/stats").status_code == 503
    assert time.monotonic() - started < GENEROUS
