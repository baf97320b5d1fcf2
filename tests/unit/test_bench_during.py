"""`python -m bench during` tells what a site's clients felt while a command ran."""

from __future__ import annotations

import http.server
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.__main__ import main


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers 200, but for every tenth request what the server says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked += 1  # type: ignore[attr-defined]
        tenth = self.server.asked % 10 == 0  # type: ignore[attr-defined]
        self.send_response(self.server.tenth if tenth else 200)  # type: ignore[attr-defined]
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 100  # all clients come at once


@contextmanager
def site(tenth: int) -> Iterator[str]:
    server = Server(("127.0.0.1", 0), Answer)
    server.asked, server.tenth = 0, tenth  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/?delay=0"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def during(url: str, code: str) -> int:
    return main(["during", url, "--", sys.executable, "-c", code])


def test_a_change_that_costs_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with site(200) as url:
        assert during(url, "import time; time.sleep(0.5)") == 0
    said = capfd.readouterr().out
    assert " 0 failed, the slowest took 0." in said


def test_a_change_that_costs_requests(capfd: pytest.CaptureFixture[str]) -> None:
    with site(502) as url:
        assert during(url, "import time; time.sleep(0.5)") == 1
    said = capfd.readouterr().out
    assert " 0 failed" not in said
    assert "on a connection kept open: 502" in said


def test_a_change_that_fails(capfd: pytest.CaptureFixture[str]) -> None:
    with site(200) as url:
        assert during(url, "print('this went wrong'); raise SystemExit(3)") == 1
    assert "this went wrong" in capfd.readouterr().out


def test_a_site_that_does_not_answer_is_asked_once(
    capfd: pytest.CaptureFixture[str], closed_port: int
) -> None:
    with site(502) as url:
        for _ in range(9):  # then the next is the tenth
            urllib.request.urlopen(url).close()
        assert during(url, "print('it ran')") == 2
    assert during(f"http://127.0.0.1:{closed_port}/", "print('it ran')") == 2
    said = capfd.readouterr()
    assert "is not answered with 200, but: 502" in said.err
    assert "Connection refused" in said.err
    assert "it ran" not in said.out


@pytest.mark.parametrize("url", ["10.89.0.11", "https://10.89.0.11/", "http://"])
def test_what_is_no_address_is_refused(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert during(url, "") == 2
    assert "http://ADDRESS" in capfd.readouterr().err
