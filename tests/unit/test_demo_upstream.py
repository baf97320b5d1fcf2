"""The demo application's page that waits for the upstream, and an upstream that misbehaves."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from demo.http_clients import CLIENTS

POOLED = [name for name in CLIENTS if name != "unpooled"]
pooled_only = pytest.mark.parametrize("client_name", POOLED, indirect=True)


def test_waits_for_the_upstream(make_asker, slow_api_url: str) -> None:
    started = time.monotonic()
    response = make_asker(UPSTREAM_URL=slow_api_url).get("/?delay=0.3")
    assert time.monotonic() - started >= 0.3
    assert response.status_code == 200
    assert response.json == {"delay": 0.3, "upstream": {"delay": 0.3}}


def test_asks_for_one_second_when_not_told(make_asker, scripted) -> None:
    def behave(connection, _number: int) -> None:
        connection.read()
        connection.answer("{}")

    upstream = scripted(behave)
    assert make_asker(UPSTREAM_URL=upstream.url).get("/").json == {"delay": 1.0, "upstream": {}}
    assert upstream.requests[0].startswith(b"GET /?delay=1.0 HTTP/1.1")


@pytest.mark.parametrize("page", ["/", "/db"])
@pytest.mark.parametrize(
    "query", ["delay=", "delay=x", "delay=nan", "delay=-inf", "delay=-0.1", "delay=1&delay=1"]
)
def test_a_bad_delay(make_asker, silent, page: str, query: str) -> None:
    response = make_asker(UPSTREAM_URL=silent.url).get(f"{page}?{query}")
    assert response.status_code == 400
    assert "delay" in response.json["error"]
    assert "from 0 up" in response.json["valid"]
    assert silent.connections == 0, "it must be refused before anybody is asked"


@pytest.mark.parametrize("delay", ["6", "1e30"])
def test_a_delay_above_the_upstreams_limit_is_the_clients_fault(
    make_asker, slow_api_url: str, delay: str
) -> None:
    response = make_asker(UPSTREAM_URL=slow_api_url).get(f"/?delay={delay}")
    assert response.status_code == 400
    assert "limit" in response.json["error"]
    assert "from 0 to 5" in response.json["valid"]


def test_a_silent_upstream_is_asked_once_and_waited_for_once(make_asker, silent) -> None:
    started = time.monotonic()
    response = make_asker(UPSTREAM_URL=silent.url, UPSTREAM_TIMEOUT=0.4).get("/?delay=0")
    assert response.status_code == 504
    assert "in time" in response.json["error"]
    assert 0.4 <= time.monotonic() - started < 5
    assert silent.connections == 1


def test_an_upstream_that_refuses_connections(make_asker, closed_port: int) -> None:
    response = make_asker(UPSTREAM_URL=f"http://127.0.0.1:{closed_port}").get("/?delay=0")
    assert response.status_code == 502
    assert "Connection refused" in response.json["error"]


@pooled_only
def test_a_refused_connection_is_tried_again(make_asker) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        client = make_asker(UPSTREAM_URL=f"http://127.0.0.1:{server.getsockname()[1]}")

        def come_up() -> None:
            time.sleep(0.03)
            server.listen()
            with server.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        thread = threading.Thread(target=come_up, daemon=True)
        thread.start()
        assert client.get("/?delay=0").status_code == 200
        thread.join(10)


def test_connections_are_kept_and_used_again(client_name: str, make_asker, scripted) -> None:
    def behave(connection, _number: int) -> None:
        while connection.read():
            connection.answer("{}")

    upstream = scripted(behave)
    client = make_asker(UPSTREAM_URL=upstream.url)
    assert [client.get("/?delay=0").status_code for _ in range(5)] == [200] * 5
    assert upstream.connections == (1 if client_name in POOLED else 5)


def test_kept_connections_that_were_closed_meanwhile(make_asker, scripted) -> None:
    together = threading.Barrier(4)

    def behave(connection, number: int) -> None:
        connection.read()
        if number <= 4:
            together.wait(10)
        connection.answer("{}")

    upstream = scripted(behave)
    client = make_asker(UPSTREAM_URL=upstream.url)
    assert [r.status_code for r in client.get_together(["/?delay=0"] * 4)] == [200] * 4
    # More of them than there are retries.
    assert [client.get("/?delay=0").status_code for _ in range(2)] == [200] * 2
    assert upstream.connections == 6


@pooled_only
def test_a_kept_connection_that_closes_just_as_it_is_used_again(make_asker, scripted) -> None:
    def behave(connection, number: int) -> None:
        connection.read()
        connection.answer("{}")
        if number == 1:
            connection.read()  # the second request, left without an answer

    upstream = scripted(behave)
    client = make_asker(UPSTREAM_URL=upstream.url)
    assert client.get("/?delay=0").status_code == 200
    assert client.get("/?delay=0").status_code == 200
    assert (upstream.connections, len(upstream.requests)) == (2, 3)


def test_an_upstream_that_always_closes_is_given_up(client_name: str, make_asker, scripted) -> None:
    upstream = scripted(lambda connection, _number: connection.read())
    response = make_asker(UPSTREAM_URL=upstream.url).get("/?delay=0")
    assert response.status_code == 502
    assert upstream.connections == (2 if client_name in POOLED else 1)


@pytest.mark.parametrize(("then_hang", "status"), [(False, 502), (True, 504)])
def test_half_an_answer(make_asker, scripted, then_hang: bool, status: int) -> None:
    def behave(connection, _number: int) -> None:
        connection.read()
        connection.answer('{"delay":', length=100)
        if then_hang:
            connection.hang()

    upstream = scripted(behave)
    client = make_asker(UPSTREAM_URL=upstream.url, UPSTREAM_TIMEOUT=0.4)
    response = client.get("/?delay=0")
    assert response.status_code == status
    assert "upstream" in response.json["error"]
    assert upstream.connections == 1


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        ("500 Internal Server Error", [], 502),
        ("404 Not Found", [], 502),
        ("302 Found", ["Location: /elsewhere"], 502),
        ("503 Service Unavailable", ["Retry-After: 1"], 502),
        ("400 Bad Request", [], 400),
    ],
)
def test_any_other_status_is_not_retried(
    make_asker, scripted, status: str, headers: list[str], expected: int
) -> None:
    def behave(connection, _number: int) -> None:
        while connection.read():
            connection.answer("<html>", status, *headers)

    upstream = scripted(behave)
    response = make_asker(UPSTREAM_URL=upstream.url).get("/?delay=0")
    assert response.status_code == expected
    told = f"status {status[:3]}" if expected == 502 else "refused"
    assert told in response.json["error"]
    assert len(upstream.requests) == 1


def test_an_answer_that_is_not_json(make_asker, scripted) -> None:
    def behave(connection, _number: int) -> None:
        connection.read()
        connection.answer("hello")

    response = make_asker(UPSTREAM_URL=scripted(behave).url).get("/?delay=0")
    assert response.status_code == 502
    assert "not JSON" in response.json["error"]


def test_one_users_cookies_are_not_sent_with_the_next_ones_request(make_asker, scripted) -> None:
    def behave(connection, _number: int) -> None:
        while connection.read():
            connection.answer("{}", "200 OK", "Set-Cookie: session=alice; Path=/")

    upstream = scripted(behave)
    client = make_asker(UPSTREAM_URL=upstream.url)
    client.get("/?delay=0")
    client.get("/?delay=0")
    assert len(upstream.requests) == 2
    assert b"alice" not in upstream.requests[1]


@pooled_only
def test_a_proxy_for_the_rest_of_the_world_is_left_out(
    make_asker, slow_api_url: str, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    client = make_asker(UPSTREAM_URL=slow_api_url)
    assert client.get("/?delay=0").status_code == 200
