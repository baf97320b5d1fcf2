"""`python -m bench during` tells what a site's clients felt while a command ran."""

from __future__ import annotations

import http.server
import json
import re
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.clients import Clients

REPOSITORY = Path(__file__).parents[2]


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers 200, but for every seventh request what the server says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked += 1  # type: ignore[attr-defined]
        time.sleep(float(self.path.partition("delay=")[2]))
        seventh = self.server.asked % 7 == 0  # type: ignore[attr-defined]
        self.send_response(self.server.seventh if seventh else 200)  # type: ignore[attr-defined]
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 100  # all clients come at once


@contextmanager
def site(seventh: int) -> Iterator[str]:
    server = Server(("127.0.0.1", 0), Answer)
    server.asked, server.seventh = 0, seventh  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/?delay=0"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def during(url: str, code: str, *options: str) -> int:
    return main(["during", *options, url, "--", sys.executable, "-c", code])


def test_a_change_that_costs_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with site(200) as url:
        assert during(url, "import time; time.sleep(0.5)") == 0
    said = capfd.readouterr().out
    assert " 0 failed, half took 0." in said


def test_each_may_come_over_a_new_connection(capfd: pytest.CaptureFixture[str]) -> None:
    with site(502) as url:
        assert during(url, "import time; time.sleep(1)", "--new") == 1
    said = capfd.readouterr().out
    assert "on a new connection: 502" in said
    assert "kept open" not in said


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
        for _ in range(6):  # then the next is the seventh
            urllib.request.urlopen(url).close()
        assert during(url, "print('it ran')") == 2
    assert during(f"http://127.0.0.1:{closed_port}/", "print('it ran')") == 2
    said = capfd.readouterr()
    assert "is not answered with 200, but: 502" in said.err
    assert "Connection refused" in said.err
    assert "it ran" not in said.out


NO_ADDRESSES = ["10.89.0.11", "https://10.89.0.11/", "http://", "http://[::1", "http://[::1]:abc/"]
NO_ADDRESSES += ["http://127.0.0.1:99999/", "http://127.0.0.1/a b", "http://127.0.0.1/sch\xf6n"]


@pytest.mark.parametrize("url", NO_ADDRESSES)
def test_what_is_no_address_is_refused(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert during(url, "") == 2
    assert "http://ADDRESS" in capfd.readouterr().err


def test_options_may_stand_behind_the_address(capfd: pytest.CaptureFixture[str]) -> None:
    with site(200) as url:
        words = ["during", url, "--rate", "5", "--", sys.executable, "-c", "print(1)", "--rate"]
        assert main(words) == 0
    assert "-c print(1) --rate: " in capfd.readouterr().out


def test_a_command_there_is_not_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with site(200) as url:
        assert main(["during", url, "--", "/nowhere/command"]) == 2
    assert "cannot run /nowhere/command: " in capfd.readouterr().err


def test_what_cannot_be_kept_is_told_before_the_command_runs(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with site(200) as url:
        assert during(url, "print('it ran')", "--keep", f"{tmp_path}/file/changes") == 2
    said = capfd.readouterr()
    assert f"cannot write {tmp_path}/file/changes: " in said.err
    assert "it ran" not in said.out


ROW = {"load": "a", "change": "b", "command": "x", "seconds": 1, "sent": 1, "failed": 0}
ROW |= {"median": 0, "slowest": 1, "live": None}


@pytest.mark.parametrize(
    "odd",
    [{"load": ["a"]}, {"change": 5}, {"command": None}, {"live": "z"}, {"median": float("nan")}],
)
def test_a_change_of_another_shape_is_damage(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, odd: dict[str, object]
) -> None:
    (tmp_path / "kept").write_text(
        f"{json.dumps(ROW | {'command': ''})}\n{json.dumps(ROW | odd)}\n"
    )
    assert main(["changes", str(tmp_path / "kept")]) == 1
    said = capfd.readouterr()
    assert re.search(r"^a +b +1 ", said.out, re.M), said.out
    assert f"{tmp_path}/kept, line 2: " in said.err


def test_clients_come_at_their_rate_whatever_the_answers_take(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "changes" / "one.jsonl"
    with site(200) as url:
        slow = url.replace("delay=0", "delay=1")
        named = ["--keep", str(file), "--load", "half", "--change", "switch", "--rate", "50"]
        assert during(slow, "import time; time.sleep(1.5)", *named) == 0
        (row,) = map(json.loads, file.read_text().splitlines())
        # Each waits a second, so that a closed loop would need as many clients as there are requests in flight.
        assert row["sent"] > 75, row
        assert row["median"] >= 1, row
        says = "time.sleep(0.5); print('it is live', flush=True); "
        change = f"import time; time.sleep(0.5); {says * 2}"
        assert during(url, change, *named, "--live", "is live") == 0
    with file.open("a") as more:
        more.write('{"load": "half"}\nnonsense\n' + json.dumps({**row, "sent": None}))
    capfd.readouterr()
    assert main(["changes", str(file)]) == 1
    said = capfd.readouterr()
    found = re.search(
        r"^half  switch +2 +(\S+) to (\S+) +\S+ to \S+ +\d+ +0 +\d\.\d\d", said.out, re.M
    )
    assert found, said.out
    first, last = map(json.loads, file.read_text().splitlines()[:2])
    assert first["live"] is None  # of the two, only one said when it was live
    assert found[1] == found[2] == f"{last['live']:.1f}"
    assert 1 <= last["live"] <= last["seconds"] - 0.5
    assert f"{file}, line 3: it lacks change, command, " in said.err
    assert f"{file}, line 4: Expecting value" in said.err
    assert f"{file}, line 5: one of failed, median, seconds, sent, slowest is no number" in said.err


def test_what_a_change_prints_once_it_is_live_is_what_bench_changes_waits_for() -> None:
    script = (REPOSITORY / "bin" / "bench-changes").read_text(encoding="utf-8")
    plays = (REPOSITORY / "playbooks" / "live.yml").read_text(encoding="utf-8")
    name = re.search(r"^live='PLAY \[(.*)\]'", script, re.M)
    assert name
    # The play after the one that goes over, but for the look whether a host was lost.
    assert re.findall(r"^- name: (.*)", plays, re.M)[2:5][::2] == [
        "Go over to the new instance",
        name[1],
    ]


@pytest.mark.parametrize("rate", ["0", "-1", "3000", "many"])
def test_rates_that_make_no_sense_are_refused(rate: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        during("http://10.89.0.11/", "", "--rate", rate)
    assert "--rate" in capfd.readouterr().err


def test_requests_that_were_due_and_never_sent_have_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.clients.MOST", 2)
    with site(200) as url, Clients(url.split("/")[2], "/?delay=0.5", 50) as asking:
        time.sleep(0.5)
        end = time.monotonic()
    due = sorted(answer.due for answer in asking.answers)
    gaps = [after - before for before, after in zip(due, due[1:], strict=False)]
    assert gaps == pytest.approx([1 / 50] * len(gaps))
    assert due[-1] > end - 0.3
    unsent = [said for said in asking.failures if "never sent: 2 were in flight" in said]
    assert len(unsent) == len(asking.failures) > 30


def test_whoever_came_last_has_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, which is behind when they end: the others are asked while there is time for it."""
    monkeypatch.setattr("bench.clients.MOST", 1)
    monkeypatch.setattr("bench.clients.TURN", 60.0)
    with site(200) as url, Clients(url.split("/")[2], "/?delay=0.2", 10) as asking:
        time.sleep(0.4)
        before = asking.sent
    assert [answer.wrong for answer in asking.answers] == [""] * asking.sent
    assert asking.sent >= before + 2


def test_whoever_is_due_until_the_end_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the thread that lets them come is held up."""
    with site(200) as url, Clients(url.split("/")[2], "/?delay=0", 100) as asking:
        wait = asking._stop.wait
        monkeypatch.setattr(asking._stop, "wait", lambda seconds: time.sleep(0.3) or wait(seconds))
        time.sleep(1)
        end = time.monotonic()
    due = sorted(answer.due for answer in asking.answers)
    gaps = [after - before for before, after in zip(due, due[1:], strict=False)]
    assert gaps == pytest.approx([1 / 100] * len(gaps))
    assert end - 1 / 100 < due[-1] <= end


def test_changes_that_are_not_there_are_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["changes", "/nowhere"]) == 2
    assert "a file as bench-changes writes it" in capfd.readouterr().err
