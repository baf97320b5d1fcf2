"""Every error of the demo application is JSON."""

from __future__ import annotations


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
