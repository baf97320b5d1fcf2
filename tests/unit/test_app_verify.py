"""app_verify: what it finds wrong, and that each failure names its cause and its cure."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import greenrack_modules
import pytest
from demo_servers import waiting_server

verify = greenrack_modules.load("app_verify")

FOUND = {
    10: "/srv/demo/releases/0/.venv/bin/python /srv/demo/releases/0/.venv/bin/gunicorn --config c",
    11: "the first worker",
    12: "the second worker",
}
GOOD = {"patched": True, "tls": "ok", "wait_callback": True}


def declared(**changed: Any) -> dict[str, Any]:
    """Return the module's parameters for gunicorn with gevent."""
    return {
        **{
            "unit": "demo.service",
            "bind": "127.0.0.1:1",
            "protocol": "http",
            "host": "localhost",
            "scheme": "",
        },
        **{"mode": "gunicorn_gevent", "program": "gunicorn", "workers": 2, "slots": 100},
        **{"concurrency": "greenlets", "master": True},
        **{
            "patched": True,
            "psycogreen": True,
            "reports": "/nowhere",
            "delay": 1.0,
            "starting": 30.0,
        },
        **{"http_path": "/http?delay={delay}", "database_path": "/database?delay={delay}"},
        **{"passed": "/nowhere", "declared": ""},
        **changed,
    }


def write(folder: Path, **reports: dict[str, Any]) -> dict[str, Any]:
    """Write reports, p10 for process 10; return the parameters that find them."""
    for pid, report in reports.items():
        (folder / f"{pid[1:]}.report").write_text(json.dumps(report))
    return declared(reports=str(folder))


@contextmanager
def unit(monkeypatch: pytest.MonkeyPatch, folder: Path, **shown: Any) -> Iterator[None]:
    """Let systemd show a unit whose processes are those that a file in the folder lists."""
    up = "/.." * len(Path("/sys/fs/cgroup").parts)
    values = {"MainPID": os.getpid(), "ControlGroup": f"{up}{folder}", **shown}
    text = "".join(f"{name}={value}\n" for name, value in values.items())
    (folder / "cgroup.procs").write_text(f"{os.getppid()}\n{os.getpid()}\n{2**22 + 1}\n")
    monkeypatch.setattr(verify, "run", lambda _command: text)
    yield


def test_the_units_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with unit(monkeypatch, tmp_path):
        found = verify.processes("demo.service")
    assert list(found) == [os.getpid(), os.getppid()]  # the main one first, and no dead one
    own = Path("/proc/self/cmdline").read_text().replace("\0", " ").strip()
    assert found[os.getpid()] == own


def test_a_process_that_ends_while_it_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_text

    def ended(path: Path, **how: Any) -> str:
        if path == Path(f"/proc/{os.getppid()}/cmdline"):
            raise ProcessLookupError
        return read(path, **how)

    monkeypatch.setattr(Path, "read_text", ended)
    with unit(monkeypatch, tmp_path):
        assert list(verify.processes("demo.service")) == [os.getpid()]


@pytest.mark.parametrize("shown", [{"MainPID": 0}, {"ControlGroup": "", "MainPID": 0}])
def test_a_unit_that_does_not_run(
    shown: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        unit(monkeypatch, tmp_path, **shown),
        pytest.raises(verify.Failed, match=r"^demo\.service does not run\."),
    ):
        verify.processes("demo.service")


def result(monkeypatch: pytest.MonkeyPatch, p: dict[str, Any]) -> dict[str, Any]:
    """Run the module where the unit's processes are FOUND."""
    monkeypatch.setattr(verify, "processes", lambda _unit: FOUND)
    monkeypatch.setattr(verify, "journal", lambda _unit: "the journal says")
    monkeypatch.setattr(verify, "run", lambda _command: "InvocationID=1")
    monkeypatch.setattr(verify, "STEADY", 0)
    return greenrack_modules.run(verify, **{**p, "passed": f"{p['reports']}/passed"})


def test_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with waiting_server(http.server.ThreadingHTTPServer) as bind:
        p = {**write(tmp_path, p11=GOOD, p12=GOOD), "bind": bind, "slots": 6, "delay": 1.5}
        found = result(monkeypatch, p)
    assert found["changed"] is False
    program, reports, client, database, steady = found["said"]
    assert program == "its main process is gunicorn"
    assert reports.startswith("2 workers, ")
    assert client.startswith("the HTTP client: 3 requests")
    assert database.startswith("the database driver: 3 requests")
    assert steady == "none of its processes has ended by itself"


@pytest.mark.parametrize("what", ["a pipe", "a link", "{", "[]", "[" * 9999, "1" * 2**17])
def test_what_is_no_report_is_told_and_holds_nobody_up(tmp_path: Path, what: str) -> None:
    """The directory is the application's own, and who reads it is root."""
    path = tmp_path / "10.report"
    if what == "a pipe":
        os.mkfifo(path)
        os.open(path, os.O_RDWR)  # somebody may write to it, and does not
    elif what == "a link":
        (tmp_path / "other").write_text("{}")
        path.symlink_to(tmp_path / "other")
    else:
        path.write_text(what)
    with pytest.raises(verify.Failed, match=r"10\.report is not the report of a process"):
        verify.reports_of(FOUND, declared(reports=str(tmp_path)))


def test_no_more_are_asked_of_the_database_than_one_worker_may_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with waiting_server(http.server.HTTPServer) as bind:  # which takes one at a time
        p = {**write(tmp_path, p11=GOOD, p12=GOOD), "bind": bind, "http_path": "", "delay": 0.5}
        found = result(monkeypatch, {**p, "database_at_once": 1})
    said = found["said"][-2]
    assert said.startswith("the database driver: 1 requests")
    assert said.endswith("too few to show which of 2 workers serves one after the other")


@pytest.mark.parametrize(
    ("workers", "slots", "pool", "http", "database"),
    [
        (2, 400, 10, (50, True), (10, True)),
        (1, 1, 10, (1, False), (1, False)),
        (1, 50, 2, (50, True), (3, True)),  # the third waits for one of two
        (4, 800, 10, (50, True), (10, True)),
        (6, 1200, 7, (50, True), (13, True)),
        (8, 1600, 5, (50, True), (5, False)),  # 17 in one worker would wait for its 5 connections
        (8, 1600, 100, (50, True), (17, True)),
        (64, 12800, 100, (65, True), (129, True)),
        (64, 128, 1, (2, False), (1, False)),
    ],
)
def test_how_many_show_a_worker_that_serves_in_turn(
    workers: int, slots: int, pool: int, http: Any, database: Any
) -> None:
    share = slots // workers
    assert verify.for_http(share, workers) == http
    assert verify.for_database(share, pool, workers) == database


def test_what_has_passed_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    p = {**write(tmp_path, p11=GOOD, p12=GOOD), "http_path": "", "database_path": ""}
    once = ["it has passed since it was started, and is not asked again"]
    with waiting_server(http.server.ThreadingHTTPServer) as bind:
        p["bind"] = bind
        assert [len(result(monkeypatch, p)["said"]) for _ in range(2)] == [5, 1]
        assert result(monkeypatch, p)["said"] == once
        other = result(monkeypatch, {**p, "health_path": "/broken", "starting": 1})
        assert "did not answer GET /broken with 2xx" in other["msg"]
        assert result(monkeypatch, {**p, "again": True})["said"] != once
        assert result(monkeypatch, {**p, "slots": 7})["said"] != once
        assert result(monkeypatch, p)["said"] != once
        assert result(monkeypatch, p)["said"] == once
    found = result(monkeypatch, {**p, "starting": 1})
    assert "did not answer GET /healthz with 2xx" in found["msg"]
    write(tmp_path, p11={**GOOD, "patched": False})
    assert result(monkeypatch, {**p, "again": True})["failed"]


def test_a_driver_that_is_meant_to_block_is_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocking = {**GOOD, "wait_callback": False}
    p = {**write(tmp_path, p11=blocking, p12=blocking), "psycogreen": False, "http_path": ""}
    with waiting_server(http.server.ThreadingHTTPServer) as bind:
        said = result(monkeypatch, {**p, "bind": bind})["said"]
    assert said[-2] == "the database driver blocks, as psycogreen=false asks for: not measured"


@pytest.mark.parametrize(
    ("patched", "callback", "cure"),
    [
        (True, True, "look at DATABASE_POOL"),
        (False, False, "look at DATABASE_POOL"),
        (True, None, "has no psycopg2"),
        (False, None, "look at DATABASE_POOL"),
    ],
)
def test_a_database_that_lets_one_through(
    patched: bool, callback: Any, cure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = {"patched": patched, "tls": "ok", "wait_callback": callback}
    p = {**write(tmp_path, p11=report, p12=report), "patched": patched, "psycogreen": patched}
    with waiting_server(http.server.HTTPServer) as bind:
        found = result(monkeypatch, {**p, "bind": bind, "http_path": "", "slots": 6, "delay": 0.3})
    assert found["failed"]
    assert "through the database driver" in found["msg"]
    assert cure in found["msg"]


def test_workers_that_are_still_importing_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    p = {**write(tmp_path, p11=GOOD), "http_path": "", "database_path": ""}
    late = threading.Timer(1, write, [tmp_path], {"p12": GOOD})
    late.start()
    with waiting_server(http.server.ThreadingHTTPServer) as bind:
        found = result(monkeypatch, {**p, "bind": bind})
    late.join()
    assert found["said"][1].startswith("2 workers, ")


def test_a_failure_ends_with_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = result(monkeypatch, {**write(tmp_path, p11=GOOD), "starting": 0})
    assert found["failed"]
    assert found["msg"].startswith("gunicorn_gevent is not what runs: 1 processes of demo.service")
    assert found["msg"].endswith("The end of its journal:\nthe journal says")
