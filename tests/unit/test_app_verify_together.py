"""app_verify: requests that are sent at once, and how long it takes until all of them are answered."""

from __future__ import annotations

import http.server
import re
from typing import Any

import greenrack_modules
import pytest
from demo_servers import waiting_server
from test_app_verify import declared

verify = greenrack_modules.load("app_verify")


def together(bind: str, **changed: Any) -> str:
    p = declared(bind=bind, **changed)
    share = max(p["slots"] // p["workers"], 1)
    numbers = verify.how_many(share, 4, p["workers"] + 1, share)
    return verify.check_concurrency("the HTTP client", p["http_path"], *numbers, "Do this.", p)


def test_requests_that_are_served_together() -> None:
    with waiting_server(http.server.ThreadingHTTPServer) as bind:
        says = together(bind, delay=1.5)
    took = re.fullmatch(r"the HTTP client: 4 requests of 1.5 s at once took (\S+) s", says)
    assert took
    assert 1.5 <= float(took[1]) <= 3


def test_requests_that_are_served_one_at_a_time() -> None:
    with waiting_server(http.server.HTTPServer) as bind, pytest.raises(verify.Failed) as error:
        together(bind, delay=0.3)
    says = r"4 requests of 0\.3 s at once took \S+ s through the HTTP client\. Do this\."
    assert re.fullmatch(says, str(error.value))


def test_no_more_are_sent_than_one_worker_takes() -> None:
    with waiting_server(http.server.ThreadingHTTPServer) as bind:
        assert "3 requests of 1.5 s" in together(bind, delay=1.5, slots=6)


def test_no_more_are_sent_than_the_server_takes() -> None:
    with waiting_server(http.server.HTTPServer) as bind:
        assert "1 requests of 1.5 s" in together(bind, delay=1.5, slots=1)


def test_a_request_that_fails_is_shown() -> None:
    with (
        waiting_server(http.server.ThreadingHTTPServer) as bind,
        pytest.raises(verify.Failed, match=r"^4 of 4 requests to /broken failed") as error,
    ):
        together(bind, http_path="/broken")
    assert "the application says: /broken" in str(error.value)


def test_a_request_that_gets_no_answer_is_told_with_what_to_look_at() -> None:
    with pytest.raises(verify.Failed, match=r"^4 of 4 requests to /broken failed") as error:
        together("127.0.0.1:1", http_path="/broken")
    assert "none: [Errno 111] Connection refused" in str(error.value)
    assert "look at what that page waits for" in str(error.value)


def test_what_has_no_path_is_not_asked() -> None:
    says = "the HTTP client: not asked, for no path is declared"
    assert together("127.0.0.1:1", http_path="") == says


@pytest.mark.parametrize(
    ("seconds", "passes"),
    [
        ([1.9], True),
        ([2.5, 4.6], True),  # as much again for the processor, and once for the wait
        ([2.1, 6.1, 1.9], True),
        ([2.1, 6.1, 2.2, 6.0], False),
        ([9.9, 30.0, 2.1, 5.2], False),
        ([25.0], False),
    ],
)
def test_what_is_late_is_asked_to_wait_longer(
    seconds: list[float], passes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = list(seconds)
    monkeypatch.setattr(verify, "together", lambda *_asked: left.pop(0))
    if passes:
        assert " at once took " in together("127.0.0.1:1")
    else:
        with pytest.raises(verify.Failed, match=r"at once took \S+ s through"):
            together("127.0.0.1:1")
    assert left == []
