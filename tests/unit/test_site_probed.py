"""site_probed asks a real server at its rate, whatever the server does meanwhile."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import greenrack_modules
import pytest

probed = greenrack_modules.load("site_probed")


class Site(http.server.ThreadingHTTPServer):
    """Answers with `status`, after `wait` seconds, and remembers the Host headers."""

    status, wait = 200, 0.0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hosts: list[str] = []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.hosts.append(self.headers["Host"])  # type: ignore[attr-defined]
        time.sleep(self.server.wait)  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def probe(site: Site, mark: Path, **more: object) -> dict:
    url = f"http://127.0.0.1:{site.server_port}/healthz?x=1"
    return greenrack_modules.run(probed, url=url, mark=str(mark), **more)


def later(seconds: float, do: object) -> None:
    threading.Timer(seconds, do).start()  # type: ignore[arg-type]


def test_asks_until_the_mark_is_removed(site: Site, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.touch()
    later(1, mark.unlink)
    began = time.monotonic()
    found = probe(site, mark, host="shop.example.org", rate=50)
    assert "failed" not in found, found
    assert 10 < found["sent"] <= 1 + 50 * (time.monotonic() - began)
    assert set(site.hosts) == {"shop.example.org"}
    assert f"was asked {found['sent']} times from the controller: 0 failed" in found["said"]


def test_a_stall_is_seen_by_every_request_that_was_due(site: Site, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.touch()
    later(0.2, lambda: setattr(site, "wait", 0.5))
    later(1, mark.unlink)
    found = probe(site, mark, rate=50)
    assert found["slowest"] >= 0.5
    assert found["sent"] > 10  # those before the first was answered were not held back


def test_failures_are_counted_and_told(site: Site, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.touch()
    later(0.2, lambda: setattr(site, "status", 502))
    later(1, mark.unlink)
    said = probe(site, mark, rate=50)["msg"]
    assert "more than 0 requests failed (probe_allowed)" in said
    assert "s: status 502" in said
    assert "playbooks/rollback.yml" in said


def test_failures_may_be_allowed(site: Site, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.touch()
    later(0.2, lambda: setattr(site, "status", 502))
    later(0.5, mark.unlink)
    found = probe(site, mark, rate=50, allowed=1000)
    assert "failed" not in found, found
    assert ": 0 failed" not in found["said"]


def test_before_the_change_it_asks_once_and_makes_the_mark(site: Site) -> None:
    url = f"http://127.0.0.1:{site.server_port}/healthz"
    found = greenrack_modules.run(probed, url=url)
    mark = Path(found["mark"])
    assert (mark.is_file(), found["said"], len(site.hosts)) == (True, "", 1)
    mark.unlink()


def test_a_site_that_does_not_answer_before_is_not_asked(site: Site) -> None:
    site.status = 503
    url = f"http://127.0.0.1:{site.server_port}/healthz"
    found = greenrack_modules.run(probed, url=url)
    assert not Path(found["mark"]).exists()
    assert (
        "was not asked while the change went live. Before it, it was answered: status 503"
        in (found["said"])
    )
    assert greenrack_modules.run(probed, url=url, mark=found["mark"])["sent"] == 0


def test_it_ends_by_itself(site: Site, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.touch()
    assert probe(site, mark, rate=20, limit=0.5)["sent"] <= 11
