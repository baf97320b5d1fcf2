"""Every error of the demo application is JSON."""

from __future__ import annotations

import pytest


def test_an_unknown_page(make_client) -> None:
    response = make_client().get("/nowhere")
    assert response.status_code == 404
    assert "not found" in response.json["error"]


def test_a_method_that_is_not_allowed(make_client) -> None:
    response = make_client().post("/healthz")
    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]
    assert "GET" in response.json["valid"]
    assert "not allowed" in response.json["error"]


def test_a_fault_of_our_own_tells_no_details(make_client) -> None:
    client = make_client()
    client.application.add_url_rule("/fault", view_func=lambda: 1 / 0)
    response = client.get("/fault")
    assert response.status_code == 500
    assert "server" in response.json["error"]
    assert "division" not in response.text


@pytest.mark.parametrize("page", ["/", "/db"])
@pytest.mark.parametrize(
    "query", ["delay=", "delay=x", "delay=nan", "delay=-inf", "delay=-0.1", "delay=1&delay=1"]
)
def test_a_bad_delay(make_client, scripted, page: str, query: str) -> None:
    upstream = scripted(lambda connection, _number: connection.hang())
    response = make_client(UPSTREAM_URL=upstream.url).get(f"{page}?{query}")
    assert response.status_code == 400
    assert "delay" in response.json["error"]
    assert "from 0 up" in response.json["valid"]
    assert upstream.connections == 0, "it must be refused before anybody is asked"
