"""Action site_probed asks a real server at its rate, whatever the server does meanwhile."""

from __future__ import annotations

import http.server
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import greenrack_modules
import pytest
from ansible.errors import AnsibleActionFail

probed = greenrack_modules.plugin("roles/probe/action_plugins/site_probed.py")


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


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it keeps what it works with."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def url(site: Site) -> str:
    return f"http://127.0.0.1:{site.server_port}/healthz?x=1"


def begin(site: Site, **more: object) -> dict:
    told = {"host": "", "rate": 50.0, "limit": 300.0, "timeout": 30.0, "url": url(site)}
    return probed.begin({**told, **more})


def end(site: Site, begun: dict, allowed: int = 0) -> dict:
    return probed.end(begun, url(site), allowed, "what goes back")


def wait_for(true: Callable[[], bool]) -> None:
    late = time.monotonic() + 60
    while not true():
        assert time.monotonic() < late
        time.sleep(0.01)


def more(site: Site) -> None:
    """Return once requests have come that came after this was called."""
    enough = len(site.hosts) + 5
    wait_for(lambda: len(site.hosts) >= enough)


def test_asks_until_it_is_ended(site: Site) -> None:
    began = time.monotonic()
    begun = begin(site, host="shop.example.org")
    time.sleep(1)
    found = end(site, begun)
    assert 10 < found["sent"] <= 1 + 50 * (time.monotonic() - began)
    assert len(site.hosts) == found["sent"] + 1  # the first was before
    assert set(site.hosts) == {"shop.example.org"}
    assert f"was asked {found['sent']} times from the controller: 0 failed" in found["said"]
    assert not Path(begun["directory"]).exists()


def test_a_stall_is_seen_by_every_request_that_was_due(site: Site) -> None:
    begun = begin(site)
    time.sleep(0.2)
    site.wait = 0.5
    time.sleep(0.8)
    found = end(site, begun)
    assert found["slowest"] >= 0.5
    assert found["sent"] > 10  # those before the first was answered were not held back


def test_failures_are_counted_and_told(site: Site) -> None:
    begun = begin(site)
    site.status = 502
    more(site)
    with pytest.raises(AnsibleActionFail) as failed:
        end(site, begun)
    said = str(failed.value)
    assert "more than 0 requests failed (probe_allowed)" in said
    assert "s: status 502" in said
    assert "To go back, type: what goes back" in said
    assert not Path(begun["directory"]).exists()


@pytest.mark.parametrize(("status", "limited"), [(429, True), (503, False)])
def test_a_limit_of_requests_is_not_taken_for_the_change(
    site: Site, status: int, limited: bool
) -> None:
    begun = begin(site)
    site.status = status
    more(site)
    with pytest.raises(AnsibleActionFail) as failed:
        end(site, begun)
    assert ("leaves app_health_path out, or a lower probe_rate" in str(failed.value)) is limited


def test_failures_may_be_allowed(site: Site) -> None:
    begun = begin(site)
    site.status = 502
    more(site)
    assert ": 0 failed" not in end(site, begun, allowed=1000)["said"]


def test_a_site_that_does_not_answer_before_is_not_asked(site: Site, folder: Path) -> None:
    site.status = 503
    begun = begin(site)
    assert "Before it, it was answered: status 503" in end(site, begun)["said"]
    time.sleep(0.2)
    assert len(site.hosts) == 1
    assert not any(folder.iterdir())


def test_it_ends_by_itself(site: Site) -> None:
    begun = begin(site, limit=0.5, rate=20.0)
    wait_for(Path(begun["directory"], "found").exists)  # and nobody has ended it
    assert 1 <= end(site, begun)["sent"] == len(site.hosts) - 1 <= 11


def test_what_cannot_ask_says_why(site: Site, folder: Path) -> None:
    with pytest.raises(
        AnsibleActionFail, match=r"(?s) ended before it had asked .*TypeError: 'str'"
    ):
        begin(site, timeout="nonsense")
    assert not any(folder.iterdir())


def test_what_waits_for_ever_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probed, "PATIENCE", 0.3)
    begun = begin(site)
    site.wait = 3
    more(site)
    with pytest.raises(AnsibleActionFail, match="is gone, or waits for ever"):
        end(site, begun)


def test_what_is_gone_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probed, "PATIENCE", 0.3)
    begun = begin(site)
    Path(begun["directory"], "going").unlink()
    wait_for(Path(begun["directory"], "found").exists)
    shutil.rmtree(begun["directory"])
    with pytest.raises(AnsibleActionFail, match="is gone, or waits for ever"):
        end(site, begun)
